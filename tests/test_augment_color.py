"""Colour transforms against their equations in float64, and against Pillow where it defines them."""

import colorsys
import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from augment_oracle import noise_image, smooth_image
from cnncore import augment

LUMA = np.array([0.299, 0.587, 0.114])


def fixed(value):
    return (value, value)


def random_bytes(channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (30, 41, channels), dtype=np.uint8)


def hue_turned(x, shift):
    """Turn by -2 pi shift in the YIQ plane, written out with the NTSC equations."""
    y = x @ LUMA
    i = x @ [0.595716, -0.274453, -0.321263]
    q = x @ [0.211456, -0.522591, 0.311135]
    turned = (i + 1j * q) * np.exp(-2j * np.pi * shift)
    i, q = turned.real, turned.imag
    return np.stack([y + 0.9563 * i + 0.6210 * q, y - 0.2721 * i - 0.6474 * q, y - 1.1070 * i + 1.7046 * q], axis=2)


EQUATIONS = {
    "brightness": (augment.Brightness(fixed(1.3)), lambda x: 1.3 * x),
    "dark": (augment.Brightness(fixed(0.0)), lambda x: 0 * x),
    "contrast": (augment.Contrast(fixed(0.6)), lambda x: (x @ LUMA).mean() + 0.6 * (x - (x @ LUMA).mean())),
    "more contrast": (augment.Contrast(fixed(1.8)), lambda x: (x @ LUMA).mean() + 1.8 * (x - (x @ LUMA).mean())),
    "gamma": (augment.Gamma(fixed(2.2)), lambda x: x**2.2),
    "solarize": (augment.Solarize(100), lambda x: np.where(x >= 100 / 255, 1 - x, x)),
    "saturation": (augment.Saturation(fixed(1.7)), lambda x: (x @ LUMA)[..., None] * -0.7 + 1.7 * x),
    "hue yiq": (augment.Hue(fixed(0.2), space="yiq"), lambda x: hue_turned(x, 0.2)),
    "grayscale": (augment.Grayscale(p=1), lambda x: np.repeat((x @ LUMA)[..., None], 3, 2)),
    "jitter": (
        augment.ColorJitter(fixed(1.2), fixed(0.8), fixed(1.5)),
        lambda x: 1.2 * (0.8 * (1.5 * x - 0.5 * (x @ LUMA)[..., None]) + 0.2 * (x @ LUMA).mean()),
    ),
    "jitter with hue": (augment.ColorJitter(fixed(1), fixed(1), fixed(1), fixed(-0.1)), lambda x: hue_turned(x, -0.1)),
}


@pytest.mark.parametrize("name", list(EQUATIONS))
def test_equations(name):
    transform, equation = EQUATIONS[name]
    levels = random_bytes()
    expected = equation(levels / 255.0).clip(0, 1)
    # Half a level of rounding; a mean luma taken from bytes may be off by half a level more, times |1 - factor|.
    mean_error = 0.5 if "contrast" in name or name == "jitter" else 0
    # Pillow's luma in bytes is the sum of rounded products; the inverse matrix above is given to four digits.
    tolerance = 0.5 + mean_error + (0.5 if name == "grayscale" else 0) + (0.1 if "hue" in name else 0) + 1e-6
    for image in (levels, Image.fromarray(levels)):
        np.testing.assert_allclose(np.asarray(transform(image)), expected * 255, rtol=0, atol=tolerance)
    np.testing.assert_allclose(
        transform(levels.astype(np.float32) / 255), expected, rtol=0, atol=3e-4 if "hue" in name else 2e-6
    )


@pytest.mark.parametrize("shift", [-0.5, -0.21, 0.1, 1 / 3])
def test_hue_in_hsv_is_that_of_colorsys(shift):
    image = np.concatenate([noise_image(12, 9), np.repeat(noise_image(12, 1, 1), 3, axis=2)], axis=1)
    image[0] = [0, 0, 0]
    image[1] = [1, 0, 0]
    expected = np.empty(image.shape)
    for i in np.ndindex(image.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*image[i].astype(float))
        expected[i] = colorsys.hsv_to_rgb((h + shift) % 1, s, v)
    np.testing.assert_allclose(augment.Hue(fixed(shift))(image), expected, atol=3e-6)
    jitter = augment.ColorJitter(hue=fixed(shift), hue_space="hsv")
    np.testing.assert_allclose(jitter(image), expected, atol=3e-6)
    levels = np.rint(image * 255).astype(np.uint8)
    exact = augment.Hue(fixed(shift))(levels.astype(np.float32) / 255) * 255
    np.testing.assert_allclose(augment.Hue(fixed(shift))(levels), exact, atol=0.501)


@pytest.mark.parametrize("space", ["hsv", "yiq"])
def test_positive_hue_goes_from_red_to_green(space):
    red = np.zeros((2, 2, 3), np.uint8) + np.array([200, 30, 30], np.uint8)
    result = augment.Hue(fixed(1 / 3), space)(red)[0, 0]
    assert result.argmax() == 1


PILLOW = {
    "posterize": (augment.Posterize(3), lambda im: ImageOps.posterize(im, 3)),
    "equalize": (augment.Equalize(), ImageOps.equalize),
    "autocontrast": (augment.AutoContrast(), ImageOps.autocontrast),
    "autocontrast cut": (augment.AutoContrast(10), lambda im: ImageOps.autocontrast(im, 10)),
    "sharpness": (augment.Sharpness(fixed(1.9)), lambda im: ImageEnhance.Sharpness(im).enhance(1.9)),
    "blur": (augment.GaussianBlur(fixed(1.3)), lambda im: im.filter(ImageFilter.GaussianBlur(1.3))),
}


@pytest.mark.parametrize("name", list(PILLOW))
def test_those_that_pillow_defines(name):
    transform, expected = PILLOW[name]
    for levels in (random_bytes(), smooth_image(), random_bytes(1), np.full((5, 6, 3), 90, np.uint8)):
        image = Image.fromarray(levels if levels.shape[2] == 3 else levels[..., 0])
        np.testing.assert_array_equal(np.asarray(transform(image)), expected(image))
        np.testing.assert_array_equal(transform(levels).squeeze(), np.asarray(expected(image)).squeeze())


@pytest.mark.parametrize("name, cls", [("Brightness", augment.Brightness), ("Color", augment.Saturation)])
@pytest.mark.parametrize("factor", [0.3, 1.6])
def test_enhancers_are_those_of_pillow_but_rounded(name, cls, factor):
    image = Image.fromarray(random_bytes())
    expected = np.asarray(getattr(ImageEnhance, name)(image).enhance(factor)).astype(int)
    difference = np.asarray(cls(fixed(factor))(image)).astype(int) - expected
    # Pillow cuts fractions off, so never more; its grey of a pixel is itself a byte.
    assert np.abs(difference).max() <= 1


def test_floats_agree_with_bytes():
    """Sharpness, blur and contrast have two implementations: one equation."""
    image = smooth_image(160, 208)
    for transform, tolerance in (
        (augment.Sharpness(fixed(0.2)), 1.0),
        (augment.GaussianBlur(fixed(2)), 2.0),
        (augment.AutoContrast(), 1.01),
        (augment.Sharpness(fixed(3)), 2.0),
    ):
        in_floats = transform(image.astype(np.float32) / 255) * 255
        np.testing.assert_allclose(transform(image), in_floats, atol=tolerance)


def test_float_blur_is_a_gaussian():
    ndimage = pytest.importorskip("scipy.ndimage")
    image = noise_image(20, 25)
    expected = ndimage.gaussian_filter(image.astype(np.float64), (1.7, 1.7, 0), mode="nearest")
    np.testing.assert_allclose(augment.GaussianBlur(fixed(1.7))(image), expected, atol=1e-6)


def test_float_sharpness():
    ndimage = pytest.importorskip("scipy.ndimage")
    image = noise_image(20, 25)
    kernel = np.ones((3, 3, 1)) / 13
    kernel[1, 1] = 5 / 13
    smooth = ndimage.correlate(image.astype(np.float64), kernel)
    smooth[[0, -1]], smooth[:, [0, -1]] = image[[0, -1]], image[:, [0, -1]]
    expected = smooth + 1.5 * (image - smooth)
    np.testing.assert_allclose(augment.Sharpness(fixed(1.5))(image), expected.clip(0, 1), atol=1e-6)


def test_jpeg_quality():
    image = Image.fromarray(smooth_image())
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    np.testing.assert_array_equal(np.asarray(augment.JpegQuality(40)(image)), Image.open(file))
    errors = [np.abs(augment.JpegQuality(q)(random_bytes()) / 1.0 - random_bytes()).mean() for q in (5, 50, 100)]
    assert errors[0] > errors[1] > errors[2] > 0
    assert augment.JpegQuality()(random_bytes(1)).shape == (30, 41, 1)


NEUTRAL = [
    augment.Brightness(0),
    augment.Contrast(0),
    augment.Saturation(0),
    augment.Hue(0),
    augment.Gamma(0),
    augment.Sharpness(0),
    augment.ColorJitter(),
    augment.Posterize(8),
    augment.Solarize(256),
    augment.GaussianBlur(0),
    augment.GaussianNoise(0),
    augment.SpeckleNoise(0),
    augment.SaltAndPepperNoise(0),
    augment.Grayscale(0),
    augment.RandAugment(0),
    augment.ColorJitter(fixed(1), fixed(1), fixed(1), fixed(0), "hsv"),
]


@pytest.mark.parametrize("transform", NEUTRAL, ids=repr)
def test_neutral_parameters_change_no_byte(transform):
    for image in (random_bytes(), random_bytes(1), random_bytes(4), noise_image()):
        np.testing.assert_array_equal(transform(image), image)
    np.testing.assert_array_equal(np.asarray(transform(Image.fromarray(random_bytes(4)))), random_bytes(4))


COLORFUL = [
    augment.Brightness(0.5),
    augment.Contrast(0.5),
    augment.Saturation(0.5),
    augment.Hue(0.3),
    augment.Gamma(0.5),
    augment.Sharpness(0.9),
    augment.ColorJitter(0.4, 0.4, 0.4, 0.1),
    augment.Posterize(2),
    augment.Solarize(128),
    augment.GaussianBlur(),
    augment.GaussianNoise(),
    augment.SpeckleNoise(),
    augment.SaltAndPepperNoise(0.5),
    augment.Grayscale(1),
    augment.Equalize(),
    augment.AutoContrast(),
    augment.JpegQuality(),
]


@pytest.mark.parametrize("transform", COLORFUL, ids=repr)
def test_alpha_stays_and_grey_stays_grey(transform):
    for channels in (2, 4):
        image = random_bytes(channels) // 2 + 30
        result = transform(image, seed=1, index=1)
        np.testing.assert_array_equal(result[..., -1], image[..., -1])
        assert channels == 2 or not np.array_equal(result, image)
        pillow = transform(Image.fromarray(image), seed=1, index=1)
        assert pillow.mode == ("LA" if channels == 2 else "RGBA")
        np.testing.assert_array_equal(np.asarray(pillow), result)
    grey = Image.fromarray(random_bytes(1)[..., 0])
    assert transform(grey).mode == "L"


def test_what_went_past_white_on_the_way_is_cut():
    image = noise_image()
    steps = [augment.GaussianNoise(fixed(0.5)), augment.Scale(fixed(1.5), interpolation="bicubic")]
    assert augment.Compose(steps)(image, seed=1, index=0).max() > 1.2
    assert augment.Compose([*steps, augment.Brightness(fixed(0.5))])(image, seed=1, index=0).max() == 0.5


def test_many_channels_are_taken_one_by_one():
    image = random_bytes(6)
    for transform in (
        augment.Brightness(fixed(1.4)),
        augment.Contrast(fixed(0.5)),
        augment.Equalize(),
        augment.GaussianBlur(fixed(1)),
    ):
        expected = np.concatenate([transform(image[..., c : c + 1]) for c in range(6)], axis=2)
        np.testing.assert_array_equal(transform(image), expected)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: augment.Brightness(-0.1), "Brightness: factor must be a finite number >= 0, got -0.1"),
        (lambda: augment.Gamma(1), "Gamma: gamma must be a number below 1"),
        (lambda: augment.Hue(0.6), r"Hue: shift must be .* within \[-0.5, 0.5\]"),
        (lambda: augment.Hue(space="lab"), "Hue: space must be one of 'hsv', 'yiq'"),
        (lambda: augment.Posterize(9), "Posterize: bits must be"),
        (lambda: augment.Posterize(0), "Posterize: bits must be"),
        (lambda: augment.JpegQuality((1, 101)), "JpegQuality: quality must be"),
        (lambda: augment.AutoContrast(50), r"AutoContrast: cutoff must be in \[0, 50\)"),
        (lambda: augment.Solarize(300), "Solarize: threshold must be"),
        (lambda: augment.Posterize(3)(noise_image()), "Posterize: the image must be uint8, got float32"),
        (lambda: augment.Equalize()(noise_image()), "Equalize: the image must be uint8, got float32"),
        (lambda: augment.Brightness()(noise_image() * 255), "Brightness: a float32 image must lie in 0..1, got"),
        (lambda: augment.Brightness()(noise_image() * np.float32("nan")), "must lie in 0..1, got nan"),
        (
            lambda: augment.Saturation()(random_bytes(5)),
            "Saturation: the image must be grey, RGB or RGBA, got 5 channels",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
