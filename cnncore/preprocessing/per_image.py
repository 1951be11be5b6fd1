"""Statistics of each image by itself. Nothing is fitted; constant images become 0."""

import math

from .. import checks
from .base import Preprocessor


class _PerImage(Preprocessor):
    def __init__(self, per_channel):
        super().__init__()
        self.per_channel = checks.boolean(self._owner, "per_channel", per_channel)

    def get_config(self):
        return {"per_channel": self.per_channel}

    def _standardize(self, b, x, **attributes):
        return b.op("standardize", [x], per_channel=int(self.per_channel), **attributes)

    def _why_no_inverse(self):
        return "the statistics of each image are gone"


class PerImageCenter(_PerImage):
    """``x' = x - mean(x)`` with the mean of each image, or of each channel of each image (its mean colour).

    This is not the mean over the data set, for which see `Standardize` with divide=False.

    Parameters
    ----------
    per_channel : bool
        Default True.
    """

    def __init__(self, per_channel=True):
        super().__init__(per_channel)

    def lower(self, b, x, weights):
        return self._standardize(b, x, divide=0)


class PerImageStandardize(_PerImage):
    """``x' = (x - mean(x)) / max(std(x), epsilon)`` with mean and deviation of each image, or of each of its channels.

    For medical images this is the whitening per patient.

    Parameters
    ----------
    per_channel : bool
        Default False: of all channels together, as of TensorFlow's `per_image_standardization`.
    epsilon : float, optional
        Default 1 / sqrt(number of elements that the deviation is taken over), as there, which suits bytes.
    """

    def __init__(self, per_channel=False, epsilon=None):
        super().__init__(per_channel)
        self.epsilon = None if epsilon is None else checks.positive(self._owner, "epsilon", epsilon)

    def get_config(self):
        return {"per_channel": self.per_channel, "epsilon": self.epsilon}

    def lower(self, b, x, weights):
        elements = math.prod(x.shape[1:-1] if self.per_channel else x.shape[1:])
        return self._standardize(b, x, epsilon=elements**-0.5 if self.epsilon is None else self.epsilon)


class GlobalContrastNormalization(_PerImage):
    """``x' = scale (x - mean(x)) / max(epsilon, sqrt(regularization + var(x)))`` of each image over all its channels.

    Goodfellow, Bengio and Courville 2016, Deep Learning, equation 12.3; Coates, Ng and Lee 2011 used regularization 10
    for bytes.

    Parameters
    ----------
    scale : float
        The deviation that images get; default 1.
    regularization : float
        lambda, at least 0, default 0: keeps images of little contrast from being blown up.
    epsilon : float
        The least deviation that is divided by; default 1e-8.
    """

    def __init__(self, scale=1.0, regularization=0.0, epsilon=1e-8):
        super().__init__(False)
        self.scale = checks.positive(self._owner, "scale", scale)
        self.regularization = checks.non_negative(self._owner, "regularization", regularization)
        self.epsilon = checks.positive(self._owner, "epsilon", epsilon)

    def get_config(self):
        return {"scale": self.scale, "regularization": self.regularization, "epsilon": self.epsilon}

    def lower(self, b, x, weights):
        return self._standardize(b, x, scale=self.scale, ridge=self.regularization, epsilon=self.epsilon)
