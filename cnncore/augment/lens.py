"""Lens distortion: radial, barrel or pincushion."""

import numpy as np

from . import draws
from .geometry import Filled
from .stages import Stage


class LensDistortion(Filled):
    """Bend straight lines as a lens does: the output point at distance r from the centre shows r (1 + k r^2).

    The distance is 1 at the corners. k > 0 is a barrel (lines bend outwards, the border of the picture comes into
    view), k < 0 a pincushion. This is the first term of Brown's model ("Close-range camera calibration", 1971).

    Parameters
    ----------
    k : float or (float, float)
        Within (-1/3, 10], where the map stays one to one; a number v stands for (-v, v). Default 0.2.
    fill_mode, fill_value, mask_value, interpolation, p
        See `geometry.Filled`.
    """

    def __init__(self, k=0.2, fill_mode="constant", fill_value=0, mask_value=0, interpolation="bilinear", p=1.0):
        super().__init__(fill_mode, fill_value, mask_value, interpolation, p)
        self.k = draws.symmetric("LensDistortion", "k", k, -0.333, 10)

    def stage(self, size, generator):
        return Radial(draws.uniform(generator, self.k), size, self._fill, self.interpolation)


class Radial(Stage):
    """r -> r + k r^3 up to the corners (r = 1), and its tangent beyond them, so that it has an inverse everywhere."""

    def __init__(self, k, size, fill, interpolation):
        super().__init__(size, size, fill, interpolation)
        self.k = k

    def is_identity(self):
        return self.k == 0

    def to_source(self, x, y):
        return self._scaled(
            x,
            y,
            lambda r: np.where(
                r <= 1, 1 + self.k * np.square(np.minimum(r, 1)), 1 + 3 * self.k - 2 * self.k / np.maximum(r, 1)
            ),
        )

    def from_source(self, x, y):
        return self._scaled(x, y, self._inverse)

    def _scaled(self, x, y, factor):
        """Multiply the distance from the centre by ``factor(distance)``."""
        width, height = self.size_in
        x, y = x - width / 2, y - height / 2
        scale = factor(np.hypot(x, y) * (2 / np.hypot(width, height)))
        return x * scale + width / 2, y * scale + height / 2

    def _inverse(self, s):
        """Return r / s where r + k r^3 = s."""
        k, corner, slope = self.k, 1 + self.k, 1 + 3 * self.k
        inside = np.minimum(s, corner)
        low, high = np.zeros_like(inside), np.ones_like(inside)
        for _ in range(52):  # halving: the cubic rises on [0, 1], but may do so too flatly for Newton's steps
            middle = (low + high) / 2
            below = middle + k * middle**3 < inside
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        r = np.where(s <= corner, (low + high) / 2, 1 + (s - corner) / slope)
        return np.divide(r, s, out=np.ones_like(r), where=s > 0)
