"""Activations as layers."""

from .. import activations, checks
from ..compiler.kinds import ELU as ELU_KIND, RELU
from .base import Layer


class Activation(Layer):
    """An activation by name: ``Activation("relu")``.

    Parameters
    ----------
    activation : str or Activation
        A name of `cnncore.activations`.
    """

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def lower(self, b, x):
        return self.activation.lower(b, x)

    def get_config(self):
        return {**super().get_config(), "activation": self.activation.name}


class ReLU(Layer):
    """``max_value`` where x >= max_value; x where threshold <= x < max_value; ``negative_slope * (x - threshold)``
    below.

    The derivative at the threshold is that below it. NaN stays NaN.

    Parameters
    ----------
    max_value : float, optional
        Default None, unbounded. ReLU(6.0) is relu6.
    negative_slope : float
        At least 0, default 0.
    threshold : float
        At least 0, default 0.
    """

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        super().__init__(**kwargs)
        owner = f'ReLU "{self.name}"'
        self.max_value = None if max_value is None else checks.non_negative(owner, "max_value", max_value)
        self.negative_slope = checks.non_negative(owner, "negative_slope", negative_slope)
        self.threshold = checks.non_negative(owner, "threshold", threshold)

    def lower(self, b, x):
        limit = float("inf") if self.max_value is None else self.max_value
        return activations.Activation("relu", RELU, self.negative_slope, limit, self.threshold).lower(b, x)

    def get_config(self):
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class LeakyReLU(Layer):
    """x where x > 0, else ``negative_slope * x`` (Maas et al. 2013).

    Parameters
    ----------
    negative_slope : float
        At least 0, default 0.3.
    """

    def __init__(self, negative_slope=0.3, **kwargs):
        super().__init__(**kwargs)
        self.negative_slope = checks.non_negative(f'LeakyReLU "{self.name}"', "negative_slope", negative_slope)

    def lower(self, b, x):
        return activations.Activation("leaky_relu", RELU, self.negative_slope, float("inf"), 0.0).lower(b, x)

    def get_config(self):
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(Layer):
    """x where x > 0, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2016).

    Parameters
    ----------
    alpha : float
        Greater than 0, default 1.
    """

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = checks.positive(f'ELU "{self.name}"', "alpha", alpha)

    def lower(self, b, x):
        return activations.Activation("elu", ELU_KIND, self.alpha, float("inf"), 0.0).lower(b, x)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha}


class Softmax(Layer):
    """``exp(x) / sum(exp(x))`` over the last axis.

    Parameters
    ----------
    axis : int
        The last, -1.
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, shape):
        if self.axis not in (-1, len(shape) - 1):
            raise ValueError(
                f'layer "{self.name}": axis must be the last, -1, got {self.axis} for an input of shape {shape}'
            )

    def lower(self, b, x):
        return activations.softmax.lower(b, x)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}
