"""Each geometric transform against a plain sampler, every fill mode and interpolation, corners included."""

import math

import numpy as np
import pytest
from PIL import Image

from augment_oracle import FILL_MODES, noise_image, sampled, smooth_image
from cnncore import augment
from cnncore.augment import resample


def fixed(value):
    return (value, value)


def centred(function, width, height):
    """The backward map `function` of vectors from the centre."""

    def back(x, y):
        u, v = function(x - width / 2, y - height / 2)
        return u + width / 2, v + height / 2

    return back


def cases(width, height):
    """(name, transform's class and arguments, backward map) with the equations of the docstrings."""
    c, s = math.cos(math.radians(25)), math.sin(math.radians(25))
    a, b = math.tan(math.radians(20)), math.tan(math.radians(-10))
    radius = math.hypot(width, height) / 2

    def lens(k):
        return lambda u, v: (u * (1 + k * (u * u + v * v) / radius**2), v * (1 + k * (u * u + v * v) / radius**2))

    def sheared(u, v):  # solve x' = x - a y, y' = y - b x
        return np.linalg.solve([[1, -a], [-b, 1]], [u, v])

    return {
        "rotation": (
            augment.Rotation,
            (fixed(25),),
            centred(lambda u, v: (c * u - s * v, s * u + c * v), width, height),
        ),
        "translation": (
            augment.Translation,
            (fixed(0.31), fixed(-0.23)),
            lambda x, y: (x - 0.31 * width, y + 0.23 * height),
        ),
        "scale in": (augment.Scale, (fixed(1.7),), centred(lambda u, v: (u / 1.7, v / 1.7), width, height)),
        "shear": (augment.Shear, (fixed(20), fixed(-10)), centred(sheared, width, height)),
        "stretch": (augment.Stretch, (fixed(1.6), fixed(1.2)), centred(lambda u, v: (u / 1.6, v / 1.2), width, height)),
        "barrel": (augment.LensDistortion, (fixed(0.6),), centred(lens(0.6), width, height)),
        "pincushion": (augment.LensDistortion, (fixed(-0.3),), centred(lens(-0.3), width, height)),
    }


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("mode", FILL_MODES)
@pytest.mark.parametrize("name", list(cases(1, 1)))
def test_against_a_plain_sampler(name, mode, interpolation):
    image = noise_image()
    height, width = image.shape[:2]
    cls, arguments, back = cases(width, height)[name]
    transform = cls(*arguments, fill_mode=mode, fill_value=(0.25, 0.5, 1.0), interpolation=interpolation)
    expected = sampled(image, back, (width, height), mode, (0.25, 0.5, 1.0), interpolation)
    np.testing.assert_allclose(transform(image), expected, atol=1e-5)
    levels = np.rint(64 + image * 127).astype(np.uint8)  # cubic overshoot stays within a byte
    expected = sampled(levels, back, (width, height), mode, (64, 128, 191), interpolation)
    transform = cls(*arguments, fill_mode=mode, fill_value=(64, 128, 191), interpolation=interpolation)
    # Bytes are rounded once; twice where Pillow resizes rows, then columns (weights of a cubic sum to 1.25 at most).
    tolerance = (
        {"nearest": 0, "bilinear": 1.0, "bicubic": 0.5 * 1.25 + 0.5}[interpolation]
        if name in ("translation", "scale in", "stretch")
        else {"nearest": 0}.get(interpolation, 0.5)
    )
    for result in (transform(levels), np.asarray(transform(Image.fromarray(levels)))):
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance + 1e-4)


@pytest.mark.parametrize("mode", FILL_MODES)
def test_scaling_out(mode):
    """To 0.8 of the size interpolation misses no pixel; what Pillow averages is a triangle of width 1 / 0.8."""
    image = noise_image(12, 16)
    back = centred(lambda u, v: (u / 0.8, v / 0.8), 16, 12)
    result = augment.Scale(fixed(0.8), fill_mode=mode, fill_value=0.5)(image)
    padded = np.pad(
        image.astype(np.float64),
        ((40, 40), (40, 40), (0, 0)),
        mode,
        **({"constant_values": 0.5} if mode == "constant" else {}),
    )

    def weights(position, count):
        w = np.maximum(0, 1 - 0.8 * np.abs(np.arange(count) - (position - 0.5 + 40)))
        return w / w.sum()

    for i in range(12):
        for j in range(16):
            x, y = back(j + 0.5, i + 0.5)
            expected = np.einsum("i,j,ijc->c", weights(y, padded.shape[0]), weights(x, padded.shape[1]), padded)
            np.testing.assert_allclose(result[i, j], expected, atol=1e-5)


@pytest.mark.parametrize("mode", FILL_MODES)
@pytest.mark.parametrize("factor", [0.4, 0.1])
def test_scaling_far_out_keeps_the_mean(mode, factor):
    """An image of single black and white pixels becomes grey, not black or white by chance."""
    board = (np.indices((64, 64)).sum(0) % 2).astype(np.float32)[..., None]
    for transform in (
        augment.Scale(fixed(factor), fill_mode=mode, fill_value=0.5),
        augment.Compose(
            [
                augment.Scale(fixed(factor), fill_mode=mode, fill_value=0.5),
                augment.Rotation(fixed(10), fill_mode=mode, fill_value=0.5),
            ]
        ),
    ):
        reach = int(32 * factor * 0.8)  # within the picture, whatever lies around it
        assert np.abs(transform(board)[32 - reach : 32 + reach, 32 - reach : 32 + reach] - 0.5).max() < 0.1


@pytest.mark.parametrize("mode", FILL_MODES)
def test_perspective(mode):
    image = noise_image(15, 11)
    transform = augment.Perspective(0.6, fill_mode=mode, fill_value=0.3)
    stage = transform.stage((11, 15), np.random.default_rng(3))
    inner = np.stack(stage.from_source(np.array([0.0, 11, 11, 0]), np.array([0.0, 0, 15, 15])), axis=1)
    drawn = np.random.default_rng(3).random((4, 2)) * 0.3 * (11, 15)
    np.testing.assert_allclose(
        inner, np.array([[0, 0], [11, 0], [11, 15], [0, 15]]) + drawn * [[1, 1], [-1, 1], [-1, -1], [1, -1]], atol=1e-9
    )

    def back(x, y):
        u, v, w = stage.matrix @ (x, y, 1)
        return u / w, v / w

    sample = augment.Sample(image)
    sample.move(stage)
    np.testing.assert_allclose(sample.array(), sampled(image, back, (11, 15), mode, 0.3), atol=1e-5)


@pytest.mark.parametrize("mode", FILL_MODES)
def test_elastic(mode):
    """The field is SciPy's Gaussian of the drawn noise, the picture is read where it points."""
    ndimage = pytest.importorskip("scipy.ndimage")
    image = noise_image(24, 20)
    noise = np.random.default_rng(5).random((2, 24, 20), dtype=np.float32) * 2.0 - 1
    transform = augment.ElasticDeformation(15, 2.5, fill_mode=mode, fill_value=0.3)

    class Drawn:
        def random(self, *args, **kwargs):
            return np.random.default_rng(5).random(*args, **kwargs) if args else 0.0

    sample = augment.Sample(image)
    transform.transform(sample, Drawn())
    shift_x, shift_y = (15 * ndimage.gaussian_filter(n, 2.5, mode="constant") for n in noise)
    assert 0.5 < np.abs(shift_x).max() < 8

    def back(x, y):
        return x + shift_x[int(y), int(x)], y + shift_y[int(y), int(x)]

    expected = sampled(image, back, (20, 24), mode, 0.3)
    np.testing.assert_allclose(sample.array(), expected, atol=2e-5)


@pytest.mark.parametrize("kind", ["bytes", "floats", "pillow", "one channel", "seven channels"])
def test_whole_pixels_are_only_moved(kind):
    image = np.random.default_rng(1).integers(
        0, 256, (9, 12, {"one channel": 1, "seven channels": 7}.get(kind, 3)), dtype=np.uint8
    )
    image = image.astype(np.float32) / 255 if kind == "floats" else image

    def done(transform):
        return np.asarray(transform(Image.fromarray(image) if kind == "pillow" else image))

    np.testing.assert_array_equal(done(augment.HorizontalFlip(1)), image[:, ::-1])
    np.testing.assert_array_equal(done(augment.VerticalFlip(1)), image[::-1])
    np.testing.assert_array_equal(done(augment.Transpose(1)), image.transpose(1, 0, 2))
    np.testing.assert_array_equal(done(augment.CenterCrop((5, 6))), image[2:7, 3:9])
    np.testing.assert_array_equal(done(augment.Rotation(fixed(180))), image[::-1, ::-1])
    square = augment.Compose([augment.CenterCrop(8), augment.Rotation(fixed(90))])
    np.testing.assert_array_equal(done(square), np.rot90(image[:8, 2:10]))
    for mode in FILL_MODES:
        np.testing.assert_array_equal(
            done(augment.Pad((2, 3, 4, 5), fill_mode=mode)), np.pad(image, ((2, 3), (4, 5), (0, 0)), mode)
        )
        np.testing.assert_array_equal(
            done(augment.Pad(30, fill_mode=mode)), np.pad(image, ((30, 30), (30, 30), (0, 0)), mode)
        )
        both = augment.Compose(
            [
                augment.Pad(3, fill_mode=mode),
                augment.Transpose(1),
                augment.HorizontalFlip(1),
                augment.Pad(2, fill_mode="wrap"),
                augment.CenterCrop(9),
            ]
        )
        expected = np.pad(image, ((3, 3), (3, 3), (0, 0)), mode).transpose(1, 0, 2)[:, ::-1]
        expected = np.pad(expected, ((2, 2), (2, 2), (0, 0)), "wrap")
        top, left = (expected.shape[0] - 9) // 2, (expected.shape[1] - 9) // 2
        np.testing.assert_array_equal(done(both), expected[top : top + 9, left : left + 9])
    shift = augment.Translation(fixed(0.26), fixed(-0.2), whole_pixels=True, fill_mode="wrap")
    np.testing.assert_array_equal(done(shift), np.roll(image, (-2, 3), (0, 1)))


@pytest.mark.parametrize("turn", ["flip", "flop", "transpose", "quarter", "half", "three quarters", "anti-transpose"])
def test_scaling_with_a_turn_is_turning_what_is_scaled(turn):
    """The eight positions of a square take the quick way through Pillow; all give the same pixels."""
    image = smooth_image(24, 24)
    steps, expected = {
        "flip": ([augment.HorizontalFlip(1)], lambda a: a[:, ::-1]),
        "flop": ([augment.VerticalFlip(1)], lambda a: a[::-1]),
        "transpose": ([augment.Transpose(1)], lambda a: a.transpose(1, 0, 2)),
        "quarter": ([augment.Rotation(fixed(90))], lambda a: np.rot90(a)),
        "half": ([augment.Rotation(fixed(180))], lambda a: np.rot90(a, 2)),
        "three quarters": ([augment.Rotation(fixed(-90))], lambda a: np.rot90(a, 3)),
        "anti-transpose": (
            [augment.Transpose(1), augment.Rotation(fixed(180))],
            lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        ),
    }[turn]
    scaled = augment.Scale(fixed(1.37))(image)
    for kind in (np.asarray, Image.fromarray):
        for order in ([*steps, augment.Scale(fixed(1.37))], [augment.Scale(fixed(1.37)), *steps]):
            np.testing.assert_allclose(
                np.asarray(augment.Compose(order)(kind(image))).astype(int), expected(scaled).astype(int), atol=1
            )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(30, 21), (90, 17), (7, 100)])
def test_resize_is_that_of_pillow(size, interpolation):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    method = Image.Resampling[interpolation.upper()]
    # Along x, then along y: of some shapes Pillow does it the other way round.
    expected = image.resize((size[1], 40), method).resize(size[::-1], method)
    np.testing.assert_array_equal(augment.Resize(size, interpolation)(image), expected)
    np.testing.assert_array_equal(augment.Resize(size, interpolation)(np.asarray(image)), expected)
    assert augment.Resize(20)(image).size == (25, 20)


def test_random_resized_crop():
    image = smooth_image(40, 52)
    transform = augment.RandomResizedCrop((24, 32), scale=(0.2, 0.7))
    areas, ratios, corners = [], [], set()
    for i in range(300):
        left, top, width, height = transform.piece((52, 40), np.random.default_rng(i))
        assert 0 <= left <= left + width <= 52 and 0 <= top <= top + height <= 40
        areas.append(width * height / (52 * 40))
        ratios.append(width / height)
        corners.add((left, top))
    assert 0.19 < min(areas) < 0.23 and 0.6 < max(areas) < 0.72 and 0.4 < np.mean(areas) < 0.5
    assert 0.7 < min(ratios) < 0.8 and 1.25 < max(ratios) < 1.4 and len(corners) > 150
    left, top, width, height = transform.piece((52, 40), np.random.default_rng(7))
    sample = augment.Sample(Image.fromarray(image))
    transform.transform(sample, np.random.default_rng(7))
    box = (left, top, left + width, top + height)
    expected = Image.fromarray(image).resize((32, 24), Image.Resampling.BILINEAR, box=box)
    np.testing.assert_array_equal(np.asarray(sample.pixels), expected)
    assert augment.RandomResizedCrop(10, scale=(1, 1), ratio=(3, 3)).piece((52, 40), np.random.default_rng(0)) == (
        0,
        11,
        52,
        17,
    )


def test_random_crop_reaches_every_place():
    image = np.arange(1, 37, dtype=np.uint8).reshape(6, 6)
    seen = {augment.RandomCrop(6, padding=2)(image, seed=1, index=i).tobytes() for i in range(600)}
    padded = np.pad(image, 2)
    assert seen == {padded[i : i + 6, j : j + 6].tobytes() for i in range(5) for j in range(5)}


@pytest.mark.parametrize(
    "transform",
    [
        augment.Rotation(fixed(0)),
        augment.Translation(fixed(0), fixed(0)),
        augment.Scale(fixed(1)),
        augment.Stretch(fixed(1), fixed(1)),
        augment.Shear(fixed(0)),
        augment.Perspective(fixed(0)),
        augment.Pad(0),
        augment.LensDistortion(fixed(0)),
        augment.ElasticDeformation(0),
        augment.Identity(),
        augment.CenterCrop((9, 12)),
        augment.RandomCrop((9, 12)),
        augment.Resize((9, 12)),
        augment.Rotation(fixed(360)),
        augment.HorizontalFlip(0),
        augment.RandomResizedCrop((9, 12), scale=(1, 1), ratio=(12 / 9, 12 / 9)),
        augment.Compose([augment.HorizontalFlip(1), augment.HorizontalFlip(1)]),
    ],
    ids=repr,
)
def test_neutral_parameters_change_no_byte(transform):
    image = np.random.default_rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    for interpolation in ("bilinear", "bicubic"):
        if hasattr(transform, "interpolation"):
            transform.interpolation = interpolation
        np.testing.assert_array_equal(transform(image), image)
        np.testing.assert_array_equal(transform(Image.fromarray(image)), image)
        np.testing.assert_array_equal(transform(np.float32(image) / 255), np.float32(image) / 255)


def test_alpha_is_a_channel_like_the_others():
    image = np.random.default_rng(1).integers(0, 256, (20, 20, 4), dtype=np.uint8)
    for transform in (augment.Rotation(fixed(20), "reflect"), augment.Scale(fixed(1.5)), augment.HorizontalFlip(1)):
        expected = np.concatenate([transform(image[..., c : c + 1]) for c in range(4)], axis=2)
        np.testing.assert_array_equal(transform(image), expected)
        np.testing.assert_array_equal(np.asarray(transform(Image.fromarray(image))), expected)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: augment.Rotation("x"), "Rotation: degrees must be a finite number >= 0, got 'x'"),
        (lambda: augment.Rotation((5, 1)), r"Rotation: degrees must be a number or a pair .* got \(5, 1\)"),
        (lambda: augment.Rotation(fill_mode="mirror"), "Rotation: fill_mode must be one of 'constant'"),
        (lambda: augment.Rotation(interpolation="cubic"), "Rotation: interpolation must be one of .*did you mean"),
        (lambda: augment.Scale(1), "Scale: factor must be a number below 1"),
        (lambda: augment.Shear(90), r"Shear: x must be .* within \[-89, 89\]"),
        (lambda: augment.LensDistortion((-1, 0)), "LensDistortion: k must be"),
        (lambda: augment.HorizontalFlip(1.5), r"HorizontalFlip: p must be a probability in \[0, 1\], got 1.5"),
        (lambda: augment.CenterCrop(0), "CenterCrop: size must be an integer >= 1, got 0"),
        (
            lambda: augment.CenterCrop(30)(noise_image()),
            "CenterCrop: size must not be larger than the image, 13x17, got 30x30; put Pad or Resize before it",
        ),
        (lambda: augment.Pad((1, 2, 3)), "Pad: padding must be one number"),
        (lambda: augment.Pad(2, fill_value=(1, 2))(noise_image()), "fill_value must be one number or one for each"),
        (
            lambda: augment.HorizontalFlip(1)(np.zeros((3, 3))),
            "must be uint8 in 0..255 or float32 in 0..1, got float64",
        ),
        (
            lambda: augment.HorizontalFlip(1)(Image.new("P", (3, 3))),
            r"got 'P'; convert it, for example with image.convert",
        ),
        (lambda: augment.HorizontalFlip(1)([[1, 2]]), "must be a Pillow image or a NumPy array, got list"),
        (lambda: augment.HorizontalFlip(1)(noise_image(), mask=np.zeros((3, 3), int)), "mask must have the height"),
        (lambda: augment.HorizontalFlip(1)(noise_image(), boxes=[(3, 3, 1, 5)]), "boxes must be"),
        (lambda: augment.HorizontalFlip(1)(noise_image(), keypoints=[(3, 3, 1)]), "keypoints must be finite numbers"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)])
@pytest.mark.parametrize("mode", FILL_MODES)
def test_tiny_images(size, mode):
    image = np.full((*size, 3), 200, np.uint8)
    for transform in (
        augment.Rotation(30, mode, 200),
        augment.Scale((0.3, 3), mode, 200),
        augment.Perspective(0.5, mode, 200),
        augment.LensDistortion(0.3, mode, 200),
        augment.ElasticDeformation(3, 1, mode, 200),
        augment.Translation(3, 3, False, mode, 200),
        augment.Pad(5, mode, 200),
        augment.RandAugment(operations=["Rotate", "ShearX"], fill_value=200),
    ):
        for index in range(3):
            assert np.all(transform(image, seed=1, index=index) == 200)


@pytest.mark.parametrize("mode", FILL_MODES)
def test_windows_of_the_endless_picture(mode):
    """Inside, across each border, and wholly outside, against `numpy.pad`."""
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 2), dtype=np.uint8)
    picture = np.pad(image, ((40, 40), (40, 40), (0, 0)), mode)
    for x0, x1 in ((0, 7), (1, 4), (-3, 2), (5, 12), (-9, 15), (-30, -20), (20, 33), (7, 8), (-1, 0), (3, 3)):
        for y0, y1 in ((0, 5), (2, 4), (-6, 1), (4, 9), (-8, 20), (-30, -21), (30, 31), (5, 6), (-1, 0)):
            np.testing.assert_array_equal(
                resample.window(image, x0, y0, x1, y1, mode, 0), picture[y0 + 40 : y1 + 40, x0 + 40 : x1 + 40]
            )


@pytest.mark.parametrize("k", [-0.333, -0.2, 0.1, 0.7, 10])
def test_lens_has_an_inverse_everywhere(k):
    stage = augment.LensDistortion(fixed(k)).stage((60, 40), np.random.default_rng(0))
    x, y = np.random.default_rng(1).uniform(-60, 120, (2, 500))
    np.testing.assert_allclose(stage.from_source(*stage.to_source(x, y)), (x, y), atol=1e-6 if k > -0.3 else 1e-3)
    corner = np.array([60 - 1e-4, 60, 60 + 1e-4])  # on the diagonal: the slope does not jump at the corner
    inside, outside = np.diff(stage.to_source(corner, 20 + (corner - 30) * 2 / 3)[0])
    np.testing.assert_allclose(inside, outside, rtol=1e-3, atol=1e-8)


def test_elastic_inverse():
    stage = augment.ElasticDeformation(60, 6).stage((60, 40), np.random.default_rng(0))
    assert np.abs(stage.field).max() > 2
    x, y = np.random.default_rng(1).uniform(5, 35, (2, 300))
    np.testing.assert_allclose(stage.from_source(*stage.to_source(x, y)), (x, y), atol=1e-4)
