"""Colour and sharpness. The engine (what mixes colours) and Pillow compute on bytes, NumPy the same equations on
float32 images in 0..1.

An alpha channel (the last of two or four) is left alone. Other numbers of channels than 1 and 3 are taken one by one;
what mixes colours (saturation, hue, grayscale) needs three, and does nothing to a grey image.
"""

import io
import math

import numpy as np

from .. import _core, checks
from . import draws
from .base import Transform, to_pil
from .elastic import gaussian_weights

LUMA = np.array([0.299, 0.587, 0.114])  # of ITU-R BT.601, as Pillow's mode "L"
_YIQ = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])


class Color(Transform):
    """Base of colour transforms.

    A subclass defines ``draw(generator)``, which returns a value or None for no change; ``on_bytes(image, value)`` for
    Pillow images of mode L or RGB; and ``on_floats(array, value)`` for arrays, or sets `bytes_only`. `needs_rgb` says
    that it does nothing to grey images.
    """

    needs_rgb = False
    bytes_only = False

    def draw(self, generator):
        """Return the value that decides what happens to one image; None leaves it as it is."""
        return True

    def on_bytes(self, image, value):
        """Return the Pillow image, of mode L or RGB (`_Mix`: the array), changed as `value` says."""
        raise NotImplementedError(f"{type(self).__name__}: on_bytes(image, value) must be defined")

    def on_floats(self, array, value):
        """Return the float32 array, with white at 1, changed as `value` says."""
        raise NotImplementedError(f"{type(self).__name__}: on_floats(array, value) must be defined")

    def transform(self, sample, generator):
        value = self.draw(generator)
        colors = sample.channels - sample.has_alpha
        if value is None or (self.needs_rgb and colors == 1):
            return
        if self.needs_rgb and colors != 3:
            raise ValueError(
                f"{type(self).__name__}: the image must be grey, RGB or RGBA, got {sample.channels} channels"
            )
        if sample.is_float:
            sample.pixels = self._floats(sample, value)
        elif colors in (1, 3):
            sample.pixels = self._bytes(sample, value)
        else:
            array = sample.array()
            planes = [self._plane(array[..., c : c + 1], value) for c in range(array.shape[2])]
            sample.pixels = np.concatenate(planes, axis=2)

    def _plane(self, array, value):
        return _core.pillow_pixels(self.on_bytes(to_pil(array), value))

    def _bytes(self, sample, value):
        pixels = sample.pixels
        image = to_pil(pixels) if isinstance(pixels, np.ndarray) else pixels
        if sample.has_alpha:
            from PIL import Image

            *bands, alpha = image.split()
            colored = self.on_bytes(Image.merge("RGB", bands) if len(bands) == 3 else bands[0], value)
            return Image.merge(image.mode, [*colored.split(), alpha])
        return self.on_bytes(image, value)

    def _floats(self, sample, value):
        name = type(self).__name__
        if self.bytes_only:
            raise ValueError(f"{name}: the image must be uint8, got float32; put it before the conversion to floats")
        low, high = sample.given_range()
        if not (low >= -1e-4 and high <= 1 + 1e-4):
            raise ValueError(
                f"{name}: a float32 image must lie in 0..1, got {low:g}..{high:g}; put it before any standardisation"
            )
        array = sample.array()
        colors = np.clip(array[..., :-1] if sample.has_alpha else array, 0, 1)
        result = np.clip(self.on_floats(colors, value), 0, 1).astype(np.float32, copy=False)
        return np.concatenate([result, array[..., -1:]], axis=2) if sample.has_alpha else result


class _Mix(Color):
    """Base of what mixes the colours of each pixel by itself: ``on_bytes`` takes and gives arrays."""

    needs_rgb = True

    def _plane(self, array, value):
        return self.on_bytes(array, value)

    def _bytes(self, sample, value):
        pixels = sample.array()
        if not sample.has_alpha:
            return self.on_bytes(pixels, value)
        return np.concatenate([self.on_bytes(pixels[..., :-1], value), pixels[..., -1:]], axis=2)


class _Curve(Color):
    """Base of what maps each value by itself: ``curve(x, value, mean)`` on 0..1; bytes go through a table."""

    needs_mean = False

    def curve(self, x, value, mean):
        """Return the values x, in 0 to 1, changed as `value` says; `mean` is the image's brightness."""
        raise NotImplementedError(f"{type(self).__name__}: curve(x, value, mean) must be defined")

    def on_bytes(self, image, value):
        mean = _mean_luma(image) if self.needs_mean else None
        levels = self.curve(np.arange(256) / 255, value, mean)
        table = np.clip(np.floor(levels * 255 + 0.5), 0, 255).astype(np.uint8).tolist()
        return image.point(table * len(image.getbands()))

    def on_floats(self, array, value):
        return self.curve(array, value, _mean_luma(array) if self.needs_mean else None)


def _mean_luma(pixels):
    """Mean luma in 0..1; of floats with other channels than three, the mean of each channel."""
    if isinstance(pixels, np.ndarray):
        means = pixels.mean(axis=(0, 1), dtype=np.float64)
        return float(means @ LUMA) if len(means) == 3 else means
    counts = np.array(pixels.convert("L").histogram())
    return float(counts @ np.arange(256)) / (255 * counts.sum())


def _ordered(array):
    """The array, or a copy of it, as the engine wants its strides."""
    return array if array.strides[2] == 1 and array.strides[1] >= 3 else np.ascontiguousarray(array)


def _other_than_one(value):
    return None if value == 1 else value


class Brightness(_Curve):
    """Multiply by a factor: 0 is black, 1 leaves the image as it is.

    Parameters
    ----------
    factor : float or (float, float)
        A number v stands for (1 - v, 1 + v), cut at 0. Default 0.2.
    p : float
        Probability, default 1.
    """

    def __init__(self, factor=0.2, p=1.0):
        super().__init__(p)
        self.factor = draws.factor("Brightness", "factor", factor)

    def draw(self, generator):
        return _other_than_one(draws.uniform(generator, self.factor))

    def curve(self, x, value, mean):
        return x * value


class Contrast(_Curve):
    """Multiply the distance from the image's mean luma by a factor: 0 is plain grey.

    Parameters
    ----------
    factor : float or (float, float)
        A number v stands for (1 - v, 1 + v), cut at 0. Default 0.2.
    p : float
        Probability, default 1.
    """

    needs_mean = True

    def __init__(self, factor=0.2, p=1.0):
        super().__init__(p)
        self.factor = draws.factor("Contrast", "factor", factor)

    def draw(self, generator):
        return _other_than_one(draws.uniform(generator, self.factor))

    def curve(self, x, value, mean):
        return mean + (x - mean) * value


class Gamma(_Curve):
    """x ** gamma on 0..1: below 1 brightens the shadows, above 1 darkens them.

    Parameters
    ----------
    gamma : float or (float, float)
        Above 0; a number v < 1 stands for (1 - v, 1 + v). Default 0.2.
    p : float
        Probability, default 1.
    """

    def __init__(self, gamma=0.2, p=1.0):
        super().__init__(p)
        self.gamma = draws.factor("Gamma", "gamma", gamma)
        if self.gamma[0] <= 0:
            raise ValueError(f"Gamma: gamma must be a number below 1 or a pair of numbers above 0, got {gamma!r}")

    def draw(self, generator):
        return _other_than_one(draws.uniform(generator, self.gamma))

    def curve(self, x, value, mean):
        return np.maximum(x, 0) ** value


class Solarize(_Curve):
    """Invert the values from a threshold on.

    Parameters
    ----------
    threshold : float or (float, float)
        In grey levels 0..256 (for float images divided by 255), fixed or a range; 256 changes nothing. Default 128.
    p : float
        Probability, default 1.
    """

    def __init__(self, threshold=128, p=1.0):
        super().__init__(p)
        self.threshold = draws.interval("Solarize", "threshold", _pair(threshold), 0, 256)

    def draw(self, generator):
        return draws.uniform(generator, self.threshold) / 255

    def curve(self, x, value, mean):
        return np.where(x >= value, 1 - x, x)


class Saturation(_Mix):
    """Multiply the distance from the pixel's own grey by a factor: 0 is grayscale.

    Parameters
    ----------
    factor : float or (float, float)
        A number v stands for (1 - v, 1 + v), cut at 0. Default 0.2.
    p : float
        Probability, default 1.
    """

    def __init__(self, factor=0.2, p=1.0):
        super().__init__(p)
        self.factor = draws.factor("Saturation", "factor", factor)

    def draw(self, generator):
        return _other_than_one(draws.uniform(generator, self.factor))

    def on_bytes(self, array, value):
        return _mixed(array, _saturation(value))

    def on_floats(self, array, value):
        return array @ _saturation(value).T.astype(np.float32)


class Hue(_Mix):
    """Turn the hues round the colour circle.

    Parameters
    ----------
    shift : float or (float, float)
        Part of a full turn, within [-0.5, 0.5]; a number v stands for (-v, v). Default 0.1. Positive goes from red
        to green.
    space : str
        ``"hsv"`` (default) adds to the hue of the HSV hexcone, as Keras and others do; ``"yiq"`` turns the colours
        about the grey axis, which keeps the luma and is one matrix (quick).
    p : float
        Probability, default 1.
    """

    def __init__(self, shift=0.1, space="hsv", p=1.0):
        super().__init__(p)
        self.shift = draws.symmetric("Hue", "shift", shift, -0.5, 0.5)
        self.space = checks.choice("Hue", "space", space, ("hsv", "yiq"))

    def draw(self, generator):
        return draws.uniform(generator, self.shift) or None

    def on_bytes(self, array, value):
        if self.space == "yiq":
            return _mixed(array, _hue_turn(value))
        return (_hsv_shifted(array.astype(np.float32) / 255, value) * 255 + 0.5).astype(np.uint8)

    def on_floats(self, array, value):
        return array @ _hue_turn(value).T.astype(np.float32) if self.space == "yiq" else _hsv_shifted(array, value)


class ColorJitter(_Mix):
    """Brightness, contrast, saturation and hue at once, as one matrix, so that the values are cut and rounded once.

    All four are linear and, until they are cut at 0 and 1, change places freely, so that there is no order to draw::

        x' = b (c S H x + (1 - c) m)

    with S the saturation, H the turn of the hue about the grey axis and m the image's mean luma.

    Parameters
    ----------
    brightness, contrast, saturation : float or (float, float)
        Factors; a number v stands for (1 - v, 1 + v), cut at 0. Default 0: unchanged.
    hue : float or (float, float)
        Part of a full turn, within [-0.5, 0.5]; a number v stands for (-v, v). Default 0.
    hue_space : str
        ``"yiq"`` (default), part of the matrix, or ``"hsv"``, a pass of its own; see `Hue`.
    p : float
        Probability, default 1.
    """

    needs_rgb = False

    def __init__(self, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, hue_space="yiq", p=1.0):
        super().__init__(p)
        self.brightness = draws.factor("ColorJitter", "brightness", brightness)
        self.contrast = draws.factor("ColorJitter", "contrast", contrast)
        self.saturation = draws.factor("ColorJitter", "saturation", saturation)
        self.hue = draws.symmetric("ColorJitter", "hue", hue, -0.5, 0.5)
        self.hue_space = checks.choice("ColorJitter", "hue_space", hue_space, ("yiq", "hsv"))

    def draw(self, generator):
        values = [
            draws.uniform(generator, bounds) for bounds in (self.brightness, self.contrast, self.saturation, self.hue)
        ]
        return None if values == [1, 1, 1, 0] else values

    def on_bytes(self, array, value):
        brightness, contrast, saturation, hue = value
        grey = array.shape[2] == 1
        mean = 0.0
        if contrast != 1:
            total = array.sum(dtype=np.int64) if grey else _core.luma_sum(_ordered(array))
            mean = float(total) / (255 * array.shape[0] * array.shape[1])
        offset = brightness * (1 - contrast) * mean
        if grey:
            levels = np.arange(256) * (brightness * contrast) + 255 * offset
            return np.clip(np.floor(levels + 0.5), 0, 255).astype(np.uint8)[array]
        array = _mixed(array, self._matrix(value), 255 * offset)
        return Hue((hue, hue)).on_bytes(array, hue) if hue and self.hue_space == "hsv" else array

    def on_floats(self, array, value):
        brightness, contrast, saturation, hue = value
        offset = np.asarray(brightness * (1 - contrast) * np.asarray(_mean_luma(array)), np.float32)
        if array.shape[2] != 3:
            return array * np.float32(brightness * contrast) + offset
        array = array @ self._matrix(value).T.astype(np.float32) + offset
        return _hsv_shifted(np.clip(array, 0, 1), hue) if hue and self.hue_space == "hsv" else array

    def _matrix(self, value):
        brightness, contrast, saturation, hue = value
        matrix = brightness * contrast * _saturation(saturation)
        return matrix @ _hue_turn(hue) if hue and self.hue_space == "yiq" else matrix


class Grayscale(_Mix):
    """Replace the colours by their luma 0.299 R + 0.587 G + 0.114 B; the number of channels stays.

    Parameters
    ----------
    p : float
        Probability, default 0.1.
    """

    def __init__(self, p=0.1):
        super().__init__(p)

    def on_bytes(self, array, value):
        from PIL import Image

        luma = Image.fromarray(np.ascontiguousarray(array)).convert("L")
        return np.repeat(np.asarray(luma)[..., None], 3, axis=2)

    def on_floats(self, array, value):
        return np.repeat((array @ LUMA.astype(np.float32))[..., None], 3, axis=2)


class Posterize(Color):
    """Keep only the leading bits of each byte. Images of bytes only.

    Parameters
    ----------
    bits : int or (int, int)
        1 to 8, fixed or a range. Default 4.
    p : float
        Probability, default 1.
    """

    bytes_only = True

    def __init__(self, bits=4, p=1.0):
        super().__init__(p)
        self.bits = tuple(checks.integer("Posterize", "bits", b, 1) for b in _pair(bits))
        draws.interval("Posterize", "bits", self.bits, 1, 8)

    def draw(self, generator):
        bits = int(generator.integers(self.bits[0], self.bits[1] + 1))
        return None if bits == 8 else bits

    def on_bytes(self, image, value):
        from PIL import ImageOps

        return ImageOps.posterize(image, value)


class Equalize(Color):
    """Spread each channel so that its histogram is as even as it can be. Images of bytes only."""

    bytes_only = True

    def on_bytes(self, image, value):
        from PIL import ImageOps

        return ImageOps.equalize(image)


class AutoContrast(Color):
    """Stretch each channel so that its darkest value becomes 0 and its brightest white.

    Parameters
    ----------
    cutoff : float
        Per cent of the values that are cut off at each end first, in [0, 50). Default 0.
    p : float
        Probability, default 1.
    """

    def __init__(self, cutoff=0.0, p=1.0):
        super().__init__(p)
        self.cutoff = checks.number("AutoContrast", "cutoff", cutoff, "be in [0, 50)", lambda v: 0 <= v < 50)

    def on_bytes(self, image, value):
        from PIL import ImageOps

        return ImageOps.autocontrast(image, self.cutoff)

    def on_floats(self, array, value):
        low, high = np.percentile(array, (self.cutoff, 100 - self.cutoff), axis=(0, 1)).astype(np.float32)
        flat = high <= low
        return np.where(flat, array, (array - low) / np.where(flat, 1, high - low))


class Sharpness(Color):
    """Go from the smoothed image (0) past the image itself (1) to a sharper one (2).

    The smooth image is the mean over 3 x 3 pixels with weight 5 in the middle; the outermost pixels stay as they are.

    Parameters
    ----------
    factor : float or (float, float)
        A number v stands for (1 - v, 1 + v), cut at 0. Default 0.5.
    p : float
        Probability, default 1.
    """

    def __init__(self, factor=0.5, p=1.0):
        super().__init__(p)
        self.factor = draws.factor("Sharpness", "factor", factor)

    def draw(self, generator):
        return _other_than_one(draws.uniform(generator, self.factor))

    def on_bytes(self, image, value):
        from PIL import ImageEnhance

        return ImageEnhance.Sharpness(image).enhance(value)

    def on_floats(self, array, value):
        height, width = array.shape[:2]
        if min(height, width) < 3:
            return array
        smooth = array.copy()
        middle = 4 * array[1:-1, 1:-1]
        for i in range(3):
            for j in range(3):
                middle = middle + array[i : height - 2 + i, j : width - 2 + j]
        smooth[1:-1, 1:-1] = middle / np.float32(13)
        return smooth + (array - smooth) * np.float32(value)


class GaussianBlur(Color):
    """Blur by a Gaussian; beyond the border the edge is repeated.

    On bytes it is Pillow's, three box filters in a row; on floats the Gaussian itself, out to four sigma.

    Parameters
    ----------
    sigma : float or (float, float)
        Standard deviation in pixels; a number v stands for (0, v). Default (0.1, 2).
    p : float
        Probability, default 1.
    """

    def __init__(self, sigma=(0.1, 2.0), p=1.0):
        super().__init__(p)
        self.sigma = draws.up_to("GaussianBlur", "sigma", sigma)

    def draw(self, generator):
        return draws.uniform(generator, self.sigma) or None

    def on_bytes(self, image, value):
        from PIL import ImageFilter

        return image.filter(ImageFilter.GaussianBlur(value))

    def on_floats(self, array, value):
        weights = gaussian_weights(max(value, 1e-3)).astype(np.float32)
        reach = len(weights) - 1
        for axis in (0, 1):
            padding = [(0, 0)] * 3
            padding[axis] = (reach, reach)
            padded = np.moveaxis(np.pad(array, padding, "edge"), axis, 0)
            count = array.shape[axis]
            result = weights[0] * padded[reach : reach + count]
            for k in range(1, reach + 1):
                result += weights[k] * (padded[reach - k : reach - k + count] + padded[reach + k : reach + k + count])
            array = np.moveaxis(result, 0, axis)
        return array


class JpegQuality(Color):
    """Save as JPEG and read again: the blocks and halos of compression. Images of bytes only.

    Parameters
    ----------
    quality : int or (int, int)
        1 (worst) to 100, fixed or a range. Default (30, 95).
    p : float
        Probability, default 1.
    """

    bytes_only = True

    def __init__(self, quality=(30, 95), p=1.0):
        super().__init__(p)
        self.quality = tuple(checks.integer("JpegQuality", "quality", q, 1) for q in _pair(quality))
        draws.interval("JpegQuality", "quality", self.quality, 1, 100)

    def draw(self, generator):
        return int(generator.integers(self.quality[0], self.quality[1] + 1))

    def on_bytes(self, image, value):
        from PIL import Image

        file = io.BytesIO()
        image.save(file, "JPEG", quality=value)
        with Image.open(file) as again:
            again.load()
            return again.convert(image.mode)


def _pair(value):
    return value if isinstance(value, (tuple, list)) else (value, value)


def _mixed(array, matrix, offset=0.0):
    """Return matrix @ rgb + offset for bytes (height, width, 3), rounded and cut once."""
    rows = np.empty((3, 4), np.float32)
    rows[:, :3], rows[:, 3] = matrix, offset
    return _core.mix_colors(_ordered(array), rows)


def _saturation(factor):
    return factor * np.eye(3) + (1 - factor) * LUMA


def _hue_turn(shift):
    """The matrix that turns colours about the grey axis in the YIQ plane (FCC NTSC primaries), red towards green."""
    angle = -2 * math.pi * shift
    c, s = math.cos(angle), math.sin(angle)
    return _YIQ_INVERSE @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ _YIQ


_YIQ_INVERSE = np.linalg.inv(_YIQ)


def _hsv_shifted(rgb, shift):
    """Add to the hue, a part of a turn; largest and smallest of the three values (V and S) stay as they are."""
    red, green, blue = (rgb[..., c] for c in range(3))
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    divisor = np.where(chroma > 0, chroma, 1)
    hue = np.where(
        value == red,
        (green - blue) / divisor,
        np.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    hue += np.float32(6 * shift)
    result = np.empty_like(rgb)
    for c, phase in enumerate((5, 3, 1)):  # the channel falls from its peak by a trapezium of the hue's distance
        k = hue + np.float32(phase)
        k -= 6 * np.floor(k * np.float32(1 / 6))
        fall = np.minimum(k, 4 - k)
        np.clip(fall, 0, 1, out=fall)
        fall *= chroma
        np.subtract(value, fall, out=result[..., c])
    return result
