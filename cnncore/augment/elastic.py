"""Elastic deformation: every pixel is shifted by a smooth random field."""

import math

import numpy as np

from . import draws
from .geometry import Filled
from .stages import Stage


class ElasticDeformation(Filled):
    """Shift each pixel by a random field: uniform in (-1, 1), smoothed by a Gaussian, times `alpha`.

    Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to visual document
    analysis", ICDAR 2003; they took sigma = 4 and alpha = 34 for digits of 28 x 28 pixels.

    Parameters
    ----------
    alpha : float or (float, float)
        Strength in pixels; a number is fixed, a pair is a range. Default 34.
    sigma : float or (float, float)
        Standard deviation of the Gaussian in pixels, at least 0.1, fixed or a range. Default 4. The smaller it is
        beside `alpha`, the less the picture hangs together.
    fill_mode, fill_value, mask_value, interpolation, p
        See `geometry.Filled`.
    """

    def __init__(
        self, alpha=34.0, sigma=4.0, fill_mode="constant", fill_value=0, mask_value=0, interpolation="bilinear", p=1.0
    ):
        super().__init__(fill_mode, fill_value, mask_value, interpolation, p)
        self.alpha, self.sigma = (
            draws.interval(
                "ElasticDeformation", name, value if isinstance(value, (tuple, list)) else (value, value), low, high
            )
            for name, value, low, high in (("alpha", alpha, 0, math.inf), ("sigma", sigma, 0.1, math.inf))
        )

    def stage(self, size, generator):
        alpha, sigma = draws.uniform(generator, self.alpha), draws.uniform(generator, self.sigma)
        noise = generator.random((2, size[1], size[0]), dtype=np.float32) * 2 - 1
        field = smoothed(noise, sigma)
        field *= np.float32(alpha)
        return Displacement(field, self._fill, self.interpolation)


class Displacement(Stage):
    """The output point (x, y) shows the input point (x, y) + field(x, y).

    Parameters
    ----------
    field : ndarray of shape (2, height, width)
        Shifts (x, y) in pixels at the pixels' centres, linear between them.
    """

    def __init__(self, field, fill, interpolation):
        size = field.shape[:0:-1]
        super().__init__(size, size, fill, interpolation)
        self.field = field

    def to_source(self, x, y):
        width, height = self.size_in
        if x.shape == (width,) and y.shape == (height, 1) and x[0] == 0.5 == y[0, 0]:  # the pixels' own centres
            return x + self.field[0], y + self.field[1]
        shift_x, shift_y = self._at(*np.broadcast_arrays(x, y))
        return x + shift_x, y + shift_y

    def from_source(self, x, y):
        """Solve p + field(p) = (x, y) by iterating p = (x, y) - field(p): it converges where the field is gentle.

        Where the field folds the picture over itself several points show (x, y); one of them, or the nearest miss
        after 50 steps, is returned.
        """
        to_x, to_y = x, y
        for _ in range(50):
            shift_x, shift_y = self._at(to_x, to_y)
            next_x, next_y = (to_x + x - shift_x) / 2, (to_y + y - shift_y) / 2  # halved steps also calm steep fields
            done = max(np.abs(next_x - to_x).max(initial=0), np.abs(next_y - to_y).max(initial=0)) < 1e-6
            to_x, to_y = next_x, next_y
            if done:
                break
        return to_x, to_y

    def _at(self, x, y):
        """The field at any points, bilinear, beyond the canvas as at its edge."""
        width, height = self.size_in
        x, y = np.clip(x - 0.5, 0, width - 1), np.clip(y - 0.5, 0, height - 1)
        column, row = x.astype(np.intp), y.astype(np.intp)
        right, below = np.minimum(column + 1, width - 1), np.minimum(row + 1, height - 1)
        s, t = x - column, y - row
        upper = self.field[:, row, column] * (1 - s) + self.field[:, row, right] * s
        lower = self.field[:, below, column] * (1 - s) + self.field[:, below, right] * s
        return upper * (1 - t) + lower * t


def gaussian_weights(sigma):
    """Return w[k] for k = 0..r with r = 4 sigma rounded: half of a Gaussian whose whole sums to 1."""
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    return weights / (2 * weights.sum() - weights[0])


def smoothed(fields, sigma):
    """Convolve each of `fields` (n, height, width) with a Gaussian; beyond the border they are 0."""
    weights = gaussian_weights(sigma).astype(np.float32)
    reach = len(weights) - 1
    for axis in (1, 2):
        count = fields.shape[axis]
        padding = [(0, 0)] * 3
        padding[axis] = (reach, reach)
        padded = np.moveaxis(np.pad(fields, padding), axis, 0)
        result = weights[0] * padded[reach : reach + count]
        pair = np.empty_like(result)
        for k in range(1, reach + 1):
            np.add(padded[reach - k : reach - k + count], padded[reach + k : reach + k + count], out=pair)
            pair *= weights[k]
            result += pair
        fields = np.moveaxis(result, 0, axis)
    return np.ascontiguousarray(fields)
