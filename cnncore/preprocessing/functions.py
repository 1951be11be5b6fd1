"""Functions of each element: logarithm, arc tangent, the window of Hounsfield units."""

import math

import numpy as np

from .. import checks
from .base import Preprocessor, grouped
from .scaling import _Affine, not_zero


class Log(_Affine):
    """``x' = log(x + offset) / log(max + offset)``, the logarithmic normalisation: for data that span orders of
    magnitude.

    With the default offset 1 the domain is x >= 0 and the training data come to lie in 0..1; with offset 0 it is ``log
    x / log max`` and x must be at least 1, since the logarithm of what is below is negative. Where max + offset is 1
    the result is 0 for all training data.

    Parameters
    ----------
    offset : float
        At least 0, default 1; x >= 1 - offset.
    per : "all", "channel" or "feature"
        Over what the maximum is taken, as of `Standardize`; default "all".
    """

    array_names = ("scale",)

    def __init__(self, offset=1.0, per="all"):
        super().__init__(per)
        self.offset = checks.non_negative("Log", "offset", offset)
        self.domain = (1 - self.offset, math.inf)

    def get_config(self):
        return {"offset": self.offset, "per": self.per}

    def _domain_remedy(self):
        return (
            "; the logarithm must not be negative or undefined: shift the data with preprocessing.Rescale, or give a "
            "larger offset"
        )

    def _begin(self, shape):
        self._statistics = np.full(int(np.prod(self._shape(shape))), -np.inf)

    def _update(self, x, y):
        self._statistics = np.maximum(self._statistics, grouped(x, self.per).max(axis=0))

    def _finish(self):
        top = np.log(self._statistics + self.offset)
        return {"scale": (1 / np.where(top > 0, top, 1.0)).reshape(self._shape(self.sample_shape))}

    def lower(self, b, x, weights):
        return b.op("multiply", [b.op("log", [b.op("affine", [x], scale=1.0, offset=self.offset)]), weights["scale"]])

    def inverse_transform(self, y):
        scale = self.arrays["scale"].astype(np.float64)
        return (np.exp(np.asarray(y, np.float64) / scale) - self.offset).astype(np.float32)


class Arctan(Preprocessor):
    """``x' = 2 arctan(x) / pi``, which squeezes all numbers into -1..1. Nothing is fitted.

    It is nearly linear up to 1 and saturates beyond, so standardise first: ``Pipeline([ZScore(), Arctan()])``.
    """

    def lower(self, b, x, weights):
        return b.op("affine", [b.op("arctan", [x])], scale=2 / math.pi)

    def inverse_transform(self, y):
        y = np.asarray(y, np.float64)
        if not (np.abs(y) <= 1).all():
            raise ValueError(f"Arctan: y must be in -1 to 1, got {float(np.abs(y).max()):g}")
        return np.tan(y * (math.pi / 2)).astype(np.float32)


class HounsfieldWindow(Preprocessor):
    """The window of a computed tomography image.

    ``x' = low + (high - low) clip((slope x + intercept - (center - width / 2)) / width, 0, 1)``, where
    ``slope x + intercept`` are Hounsfield units, -1000 for air and 0 for water; slope and intercept are those of the
    DICOM file. Nothing is fitted.

    Parameters
    ----------
    center, width : float
        Of the window, in Hounsfield units; default 40 and 400, soft tissue. Lung: -600 and 1500; bone: 400 and 1800.
    low, high : float
        What the ends of the window become; default -1 and 1.
    slope, intercept : float
        Default 1 and 0, data that are in Hounsfield units already.
    """

    accepts_bytes = True

    def __init__(self, center=40.0, width=400.0, low=-1.0, high=1.0, slope=1.0, intercept=0.0):
        super().__init__()
        owner = self._owner
        self.center, self.width = checks.number(owner, "center", center), checks.positive(owner, "width", width)
        self.low, self.high = checks.number(owner, "low", low), checks.number(owner, "high", high)
        self.slope = not_zero(owner, "slope", slope)
        self.intercept = checks.number(owner, "intercept", intercept)
        if self.low >= self.high:
            raise ValueError(f"{owner}: low must be below high, got {low!r} and {high!r}")

    def get_config(self):
        return {name: getattr(self, name) for name in ("center", "width", "low", "high", "slope", "intercept")}

    def lower(self, b, x, weights):
        size = self.high - self.low
        scale = size / self.width
        begin = self.center - self.width / 2
        above = b.op("affine", [x], scale=self.slope * scale, offset=(self.intercept - begin) * scale)
        clipped = b.op("activation", [above], activation=1, max_value=size)  # relu: 0 below the window
        return b.op("affine", [clipped], offset=self.low)

    def _why_no_inverse(self):
        return "what lay outside the window is gone"
