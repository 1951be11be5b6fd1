"""Noise on the values. Strengths are parts of white (255 for bytes, 1 for floats); an alpha channel is left alone.

Bytes are rounded and cut at 0 and 255; floats are not cut, for they may have been standardised (colour transforms cut
them when they come next).
"""

import numpy as np

from .. import checks
from . import draws
from .base import Transform
from .resample import rounded


class _Noise(Transform):
    """Base: ``noisy(values, strength, generator)`` on float32 values with white at 1."""

    def strength(self, generator):
        """Return the strength of the noise of one image, drawn from its range."""
        raise NotImplementedError(f"{type(self).__name__}: strength(generator) must be defined")

    def noisy(self, values, strength, generator):
        """Return the values with noise of this strength."""
        raise NotImplementedError(f"{type(self).__name__}: noisy(values, strength, generator) must be defined")

    def transform(self, sample, generator):
        strength = self.strength(generator)
        if strength == 0:
            return
        array = sample.array()
        result = array.copy()
        colors = array[..., :-1] if sample.has_alpha else array
        white = np.float32(1 if sample.is_float else 255)
        values = self.noisy(colors / white, strength, generator) * white
        result[..., : colors.shape[2]] = rounded(values, array.dtype)
        sample.pixels = result


class GaussianNoise(_Noise):
    """x + n with n normal, independent for each value.

    Parameters
    ----------
    std : float or (float, float)
        Standard deviation; a number v stands for (0, v). Default 0.05.
    p : float
        Probability, default 1.
    """

    def __init__(self, std=0.05, p=1.0):
        super().__init__(p)
        self.std = draws.up_to("GaussianNoise", "std", std)

    def strength(self, generator):
        return draws.uniform(generator, self.std)

    def noisy(self, values, strength, generator):
        return values + np.float32(strength) * generator.standard_normal(values.shape, np.float32)


class SpeckleNoise(_Noise):
    """x (1 + n) with n normal, independent for each value: noise as strong as the light.

    Parameters
    ----------
    std : float or (float, float)
        Standard deviation of n; a number v stands for (0, v). Default 0.1.
    p : float
        Probability, default 1.
    """

    def __init__(self, std=0.1, p=1.0):
        super().__init__(p)
        self.std = draws.up_to("SpeckleNoise", "std", std)

    def strength(self, generator):
        return draws.uniform(generator, self.std)

    def noisy(self, values, strength, generator):
        return values * (1 + np.float32(strength) * generator.standard_normal(values.shape, np.float32))


class SaltAndPepperNoise(_Noise):
    """Set whole pixels to white or black.

    Parameters
    ----------
    amount : float or (float, float)
        Part of the pixels, within [0, 1]; a number v stands for (0, v). Default 0.02.
    salt : float
        Part of these that become white, default 0.5.
    p : float
        Probability, default 1.
    """

    def __init__(self, amount=0.02, salt=0.5, p=1.0):
        super().__init__(p)
        self.amount = draws.up_to("SaltAndPepperNoise", "amount", amount, 0, 1)
        self.salt = checks.number("SaltAndPepperNoise", "salt", salt, "be in [0, 1]", lambda v: 0 <= v <= 1)

    def strength(self, generator):
        return draws.uniform(generator, self.amount)

    def noisy(self, values, strength, generator):
        draw = generator.random((*values.shape[:2], 1))
        return np.where(draw < strength * self.salt, np.float32(1), np.where(draw < strength, np.float32(0), values))
