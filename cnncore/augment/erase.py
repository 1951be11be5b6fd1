"""Rectangles of the image replaced by a constant or by noise."""

import math

import numpy as np

from .. import checks
from . import draws
from .base import Transform
from .resample import channel_values, rounded


class _Erasing(Transform):
    """Base: ``rectangles(size, generator)`` and the fill."""

    def __init__(self, fill_value, p):
        super().__init__(p)
        name = type(self).__name__
        if fill_value != "noise":
            for number in fill_value if isinstance(fill_value, (tuple, list)) else (fill_value,):
                checks.number(name, "fill_value", number, 'be "noise", a number or one number for each channel')
        self.fill_value = tuple(fill_value) if isinstance(fill_value, list) else fill_value

    def rectangles(self, size, generator):
        """Return (left, top, right, bottom) of each rectangle to be erased, within the image."""
        raise NotImplementedError(f"{type(self).__name__}: rectangles(size, generator) must be defined")

    def transform(self, sample, generator):
        rectangles = self.rectangles(sample.size, generator)
        if not rectangles:
            return
        array = sample.array().copy()
        for left, top, right, bottom in rectangles:
            area = array[top:bottom, left:right]
            if self.fill_value == "noise":
                values = generator.random(area.shape, np.float32)
                area[...] = values if sample.is_float else rounded(values * 255, array.dtype)
            else:
                area[...] = channel_values(self.fill_value, array)
        sample.pixels = array


class Cutout(_Erasing):
    """Erase squares whose centres are drawn uniformly from all pixels, so that part of them may lie outside.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.

    Parameters
    ----------
    size : int or (int, int)
        Height and width in pixels; 16 is usual for CIFAR-10.
    count : int
        How many, default 1.
    fill_value : float, sequence of float or "noise"
        In the image's units, one or one for each channel, or ``"noise"``, uniform for each value. Default 0.
    p : float
        Probability, default 1.
    """

    def __init__(self, size, count=1, fill_value=0, p=1.0):
        super().__init__(fill_value, p)
        self.size = draws.size2d("Cutout", "size", size)
        self.count = checks.integer("Cutout", "count", count, 1)

    def rectangles(self, size, generator):
        result = []
        for _ in range(self.count):
            x, y = (int(generator.integers(n)) for n in size)
            left, top = x - self.size[1] // 2, y - self.size[0] // 2
            right, bottom = left + self.size[1], top + self.size[0]
            result.append((max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])))
        return result


class RandomErasing(_Erasing):
    """Erase one rectangle of random area, proportions and place, wholly within the image.

    Zhong et al., "Random erasing data augmentation", AAAI 2020.

    Parameters
    ----------
    scale : (float, float)
        Part of the image's area, default (0.02, 0.33).
    ratio : (float, float)
        Height / width, drawn uniformly in its logarithm, default (0.3, 1 / 0.3).
    fill_value : float, sequence of float or "noise"
        In the image's units, one or one for each channel, or ``"noise"`` (default), uniform for each value.
    p : float
        Probability, default 0.5. After ten rectangles that do not fit nothing is erased.
    """

    def __init__(self, scale=(0.02, 0.33), ratio=(0.3, 1 / 0.3), fill_value="noise", p=0.5):
        super().__init__(fill_value, p)
        self.scale = draws.interval("RandomErasing", "scale", scale, 0, 1)
        self.ratio = draws.interval("RandomErasing", "ratio", ratio, 1e-3, 1e3)

    def rectangles(self, size, generator):
        full_width, full_height = size
        for _ in range(10):
            area = full_width * full_height * draws.uniform(generator, self.scale)
            ratio = math.exp(draws.uniform(generator, tuple(map(math.log, self.ratio))))
            height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width <= full_width and 0 < height <= full_height:
                left = int(generator.integers(full_width - width + 1))
                top = int(generator.integers(full_height - height + 1))
                return [(left, top, left + width, top + height)]
        return []
