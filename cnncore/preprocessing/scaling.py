"""Differences and quotients: rescaling, standardising, mean images, ranges."""

import numpy as np

from .. import checks
from .base import Preprocessor, features_last, per_choice
from .moments import Moments

RESOLUTION = 2.0**-24  # of float32: a deviation below this share of the mean is rounding


def not_zero(owner, name, value):
    """Return `value` as a float; it must be finite and not 0."""
    return checks.number(owner, name, value, "be a finite number other than 0", lambda v: np.isfinite(v) and v != 0)


class Rescale(Preprocessor):
    """``x' = x * scale + offset``. Nothing is fitted.

    Parameters
    ----------
    scale : float
        Default 1/255, which takes bytes to 0..1; 1/127.5 with offset -1 takes them to -1..1.
    offset : float
        Default 0.
    """

    accepts_bytes = True

    def __init__(self, scale=1 / 255, offset=0.0):
        super().__init__()
        self.scale = not_zero("Rescale", "scale", scale)
        self.offset = checks.number("Rescale", "offset", offset)

    def get_config(self):
        return {"scale": self.scale, "offset": self.offset}

    def lower(self, b, x, weights):
        return b.op("affine", [x], scale=self.scale, offset=self.offset)

    def inverse_transform(self, y):
        return ((np.asarray(y, np.float64) - self.offset) / self.scale).astype(np.float32)


class _Affine(Preprocessor):
    """``x' = (x - center) * scale`` with one center and scale per feature, per channel, or for all."""

    array_names = ("center", "scale")

    def __init__(self, per):
        super().__init__()
        self.per = per_choice(self._owner, per)

    def get_config(self):
        return {"per": self.per}

    def _shape(self, shape):
        """Of the arrays, for samples of a shape."""
        return {"feature": shape, "channel": shape[-1:], "all": (1,)}[self.per]

    def _fits(self, shape):
        return self._shape(shape) == self._shape(self.sample_shape)

    def lower(self, b, x, weights):
        return b.op("multiply", [b.op("subtract", [x, weights["center"]]), weights["scale"]])

    def inverse_transform(self, y):
        arrays = {name: array.astype(np.float64) for name, array in self.arrays.items()}
        y = np.asarray(y, np.float64)
        if not self._fits(y.shape[1:]):
            raise ValueError(f"{self._owner}: y must have samples of shape {self.sample_shape}, got {y.shape[1:]}")
        return (y / arrays.get("scale", 1.0) + arrays["center"]).astype(np.float32)


class Standardize(_Affine):
    """``x' = (x - mean) / std``: mean 0 and standard deviation 1 over the data set.

    Per channel this is what ResNets take (He et al. 2016), and with divide=False, the mean colour alone, what VGG takes
    (Simonyan and Zisserman 2015). The deviation is the biased one, as in batch normalisation. A constant feature, one
    whose deviation is below the resolution of float32, becomes 0: it is centred and divided by 1. This is a channel's
    mean over the whole data set; for that of each image see `PerImageCenter`.

    Parameters
    ----------
    per : "channel", "feature" or "all"
        Over what mean and std are taken: one pair for each channel (the last axis), for each element of a sample, or
        one for all.
    divide : bool
        False: the mean is taken off and nothing is divided.
    """

    def __init__(self, per="channel", divide=True):
        super().__init__(per)
        self.divide = checks.boolean(self._owner, "divide", divide)
        if not self.divide:
            self.array_names = ("center",)

    def get_config(self):
        return {"per": self.per, "divide": self.divide}

    def _begin(self, shape):
        self._statistics = Moments(int(np.prod(self._shape(shape))))

    def _update(self, x, y):
        self._statistics.update(features_last(x))

    def _finish(self):
        moments, shape = self._statistics, self._shape(self.sample_shape)
        if not self.divide:
            return {"center": moments.mean.reshape(shape)}
        std = np.sqrt(moments.variance)
        constant = std <= RESOLUTION * np.abs(moments.mean)
        return {"center": moments.mean.reshape(shape), "scale": (1 / np.where(constant, 1.0, std)).reshape(shape)}

    def lower(self, b, x, weights):
        if self.divide:
            return super().lower(b, x, weights)
        return b.op("subtract", [x, weights["center"]])


class ZScore(Standardize):
    """``x' = (x - mean) / std`` of each feature: `Standardize` with per="feature", for tables; constant features become
    0."""

    def __init__(self):
        super().__init__("feature")

    def get_config(self):
        return {}


class MeanImage(Standardize):
    """``x' = x - mean image``, the mean of each pixel over the data set (Krizhevsky, Sutskever and Hinton 2012)."""

    def __init__(self):
        super().__init__("feature", divide=False)

    def get_config(self):
        return {}


class MinMax(_Affine):
    """``x' = low + (x - min) / (max - min) * (high - low)``, so that the training data fill low..high.

    Other data may lie outside. A constant feature becomes `low`.

    Parameters
    ----------
    low, high : float
        Default 0 and 1.
    per : "feature", "channel" or "all"
        Over what minimum and maximum are taken, as of `Standardize`; default "feature". For images "all" keeps the
        colours.
    """

    def __init__(self, low=0.0, high=1.0, per="feature"):
        super().__init__(per)
        self.low, self.high = checks.number("MinMax", "low", low), checks.number("MinMax", "high", high)
        if self.low >= self.high:
            raise ValueError(f"MinMax: low must be below high, got {low!r} and {high!r}")

    def get_config(self):
        return {"low": self.low, "high": self.high, "per": self.per}

    def _begin(self, shape):
        groups = int(np.prod(self._shape(shape)))
        self._statistics = [np.full(groups, np.inf), np.full(groups, -np.inf)]

    def _update(self, x, y):
        x = x.reshape(-1, len(self._statistics[0]))
        low, high = self._statistics
        self._statistics = [np.minimum(low, x.min(axis=0)), np.maximum(high, x.max(axis=0))]

    def _finish(self):
        low, high = self._statistics
        shape, constant = self._shape(self.sample_shape), high - low <= RESOLUTION * np.maximum(abs(low), abs(high))
        scale = np.where(constant, 1.0, (self.high - self.low) / np.where(constant, 1.0, high - low))
        return {"center": (low - self.low / scale).reshape(shape), "scale": scale.reshape(shape)}
