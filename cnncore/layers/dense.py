"""The fully connected layer."""

from .. import checks
from .kernel import KernelLayer


class Dense(KernelLayer):
    """``y = act(x @ kernel + bias)`` over the last axis.

    Input (n, ..., features), output (n, ..., units).

    Parameters
    ----------
    units : int
    activation : str or Activation, optional
    use_bias : bool
    kernel_initializer, bias_initializer : Initializer or str
        Default "glorot_uniform" and "zeros".
    kernel_regularizer, bias_regularizer : Regularizer, optional
    """

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        **kwargs,
    ):
        super().__init__(
            activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, **kwargs
        )
        self.units = checks.integer(self._owner(), "units", units, 1)

    def build(self, shape):
        if len(shape) < 2:
            raise ValueError(f'layer "{self.name}": the input must have shape (n, ..., features), got {shape}')
        self._add_kernel((shape[-1], self.units), self.units)

    def lower(self, b, x):
        return self._apply(b, "dense", x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}
