"""The engine's work on photos, on every instruction set: resampling beside Pillow, and all of it beside float64."""

import numpy as np
import pytest
from PIL import Image

from cnncore import _core

ISAS = _core.available_isas()
METHODS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos3": Image.Resampling.LANCZOS,
}
FILTERS = {
    "box": lambda x: ((x > -0.5) & (x <= 0.5)) * 1.0,
    "bilinear": lambda x: np.maximum(1 - np.abs(x), 0),
    "bicubic": lambda x: np.where(
        np.abs(x) < 1,
        1.5 * np.abs(x) ** 3 - 2.5 * x**2 + 1,
        np.where(np.abs(x) < 2, -0.5 * np.abs(x) ** 3 + 2.5 * x**2 - 4 * np.abs(x) + 2, 0),
    ),
    "lanczos3": lambda x: np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0),
}


def cases(count):
    """(image, box, size): noise and black and white of all shapes, boxes of fractions of pixels, whole images."""
    rng = np.random.default_rng(0)
    for i in range(count):
        h, w = rng.integers(1, 90, 2)
        image = rng.integers(0, 256, (h, w, i % 4 + 1), dtype=np.uint8)
        if i % 5 == 0:
            image = (image > 128).astype(np.uint8) * 255
        (x0, x1), (y0, y1) = np.sort(rng.uniform(0, w, 2)), np.sort(rng.uniform(0, h, 2))
        box = (0, 0, w, h) if i % 3 == 0 else tuple(np.float32((x0, y0, x1, y1)).tolist())
        yield image, box, tuple(rng.integers(1, 70, 2).tolist())


def by_pillow(image, box, size, method):
    """Along x, then along y; channel by channel, for Pillow weighs the colours by alpha."""
    planes = [Image.fromarray(np.ascontiguousarray(image[..., c])) for c in range(image.shape[2])]
    (x0, y0, x1, y1), (height, width) = box, size
    planes = [p.resize((width, p.height), method, box=(x0, 0, x1, p.height)) for p in planes]
    return np.stack([np.asarray(p.resize((width, height), method, box=(0, y0, width, y1))) for p in planes], axis=2)


def weights(start, end, count, out, name):
    """The matrix (out, count) of one axis."""
    scale = (end - start) / out
    shrink, centers = max(scale, 1), start + (np.arange(out) + 0.5) * scale
    distance = np.arange(count) + 0.5 - centers[:, None]
    w = FILTERS[name](distance / shrink)
    return w / w.sum(1, keepdims=True)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", METHODS)
def test_resampling_is_that_of_pillow_to_the_bit(name, isa):
    for image, box, size in cases(60):
        made = _core.resize_image(image, box, size, name, isa=isa)
        np.testing.assert_array_equal(made, by_pillow(image, box, size, METHODS[name]))


@pytest.mark.parametrize("name", ["box", "bilinear"])
def test_resampling_differs_by_one_level_at_most_from_pillow_in_any_order(name):
    for image, box, size in cases(60):
        if image.shape[2] == 3:
            theirs = Image.fromarray(image).resize(size[::-1], METHODS[name], box=box)
            difference = np.asarray(theirs, int) - _core.resize_image(image, box, size, name)
            assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("name", METHODS)
def test_resampling_is_that_of_float64(name):
    """Two roundings to half a level, of which the second pass multiplies the first by the weights' magnitudes."""
    rng = np.random.default_rng(1)
    for h, w, size, box in [
        (40, 50, (30, 21), (3, 4, 41, 39)),
        (33, 20, (60, 45), (0, 0, 20, 33)),
        (90, 17, (7, 40), (2.25, 0.5, 15.75, 88)),
    ]:
        image = rng.integers(100, 156, (h, w, 3), dtype=np.uint8)  # so that no overshoot is cut
        across, down = weights(box[0], box[2], w, size[1], name), weights(box[1], box[3], h, size[0], name)
        expected = np.einsum("ih,jw,hwc->ijc", down, across, image.astype(np.float64))
        bound = 0.5 * np.abs(down).sum(1).max() + 0.5 + 1e-4
        assert np.abs(_core.resize_image(image, box, size, name) - expected).max() <= bound


@pytest.mark.parametrize("isa", ISAS)
def test_turns_and_strides_change_nothing_else(isa):
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (37, 41, 3), dtype=np.uint8)
    quads = np.zeros((37, 41, 4), np.uint8)
    quads[..., :3], quads[..., 3] = image, rng.integers(0, 256, (37, 41))
    box, size = (1.5, 2, 40, 30.25), (19, 53)
    expected = _core.resize_image(image, box, size, isa=isa)
    turned = _core.resize_image(image, box, size, "bilinear", True, True, isa)
    np.testing.assert_array_equal(turned, expected[::-1, ::-1])
    np.testing.assert_array_equal(_core.resize_image(quads[..., :3], box, size, isa=isa), expected)
    upside_down = _core.resize_image(image[::-1], (1.5, 37 - 30.25, 40, 35), size, isa=isa)
    np.testing.assert_array_equal(upside_down, expected[::-1])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 16), (11, 33), (20, 317)])
def test_colours_are_those_of_float64(shape, isa):
    rng = np.random.default_rng(3)
    quads = rng.integers(0, 256, (*shape, 4), dtype=np.uint8)
    matrix = rng.normal(size=(3, 4)).astype(np.float32)
    matrix[:, 3] *= 100
    for image in (quads[..., :3], np.ascontiguousarray(quads[..., :3])):
        mixed = image.astype(np.float64) @ matrix[:, :3].T.astype(np.float64) + matrix[:, 3]
        made = _core.mix_colors(image, matrix, isa=isa)
        assert np.abs(made - np.clip(mixed, 0, 255)).max() <= 0.5 + 1e-3  # half a level, and the floats' own error
        luma = (image.astype(np.int64) @ np.array([19595, 38470, 7471]) + 32768) >> 16
        assert _core.luma_sum(image, isa=isa) == luma.sum()
        np.testing.assert_array_equal(made, _core.mix_colors(image, matrix, isa="generic"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_pixels_of_pillow_images(mode):
    pixels = np.random.default_rng(4).integers(0, 256, (13, 17, 4), dtype=np.uint8)
    image = Image.fromarray(pixels, "RGBA").convert(mode)
    seen = _core.pillow_pixels(image)
    np.testing.assert_array_equal(seen, np.asarray(image).reshape(seen.shape))
    assert seen.shape == (13, 17, len(mode)) and not (seen.flags.writeable and np.may_share_memory(seen, pixels))
    expected = np.array(seen)
    del image
    np.testing.assert_array_equal(seen, expected)  # the memory is kept for as long as it is looked at


def test_wrong_arguments_are_refused():
    image = np.zeros((8, 9, 3), np.uint8)
    with pytest.raises(ValueError, match="resize: the box must lie within 9 x 8 pixels"):
        _core.resize_image(image, (0, 0, 10, 8), (4, 4))
    with pytest.raises(ValueError, match="resize: the box"):
        _core.resize_image(image, (3, 0, 3, 8), (4, 4))
    with pytest.raises(ValueError, match="resize: the size must be"):
        _core.resize_image(image, (0, 0, 9, 8), (0, 4))
    with pytest.raises(ValueError, match="columns and channels must be in order"):
        _core.resize_image(image[:, ::-1], (0, 0, 9, 8), (4, 4))
    with pytest.raises(ValueError, match="1 to 4 channels"):
        _core.resize_image(np.zeros((8, 9, 5), np.uint8), (0, 0, 9, 8), (4, 4))
    with pytest.raises(ValueError, match="luma: the image must have 3 channels"):
        _core.luma_sum(image[..., :2])
    with pytest.raises(ValueError, match="mix: the matrix must be 3 x 4"):
        _core.mix_colors(image, np.zeros((3, 3), np.float32))
