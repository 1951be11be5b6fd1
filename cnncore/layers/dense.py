"""The fully connected layer."""

from .. import activations, checks, initializers, regularizers
from .base import Layer


class Dense(Layer):
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
        super().__init__(**kwargs)
        self.units = checks.integer(f'Dense "{self.name}"', "units", units, 1)
        self.activation = activations.get(activation)
        self.use_bias = checks.boolean(f'Dense "{self.name}"', "use_bias", use_bias)
        self.kernel_initializer, self.bias_initializer = (
            initializers.get(kernel_initializer),
            initializers.get(bias_initializer),
        )
        self.kernel_regularizer, self.bias_regularizer = (
            regularizers.get(kernel_regularizer),
            regularizers.get(bias_regularizer),
        )
        self.kernel = self.bias = None

    def build(self, shape):
        if len(shape) < 2:
            raise ValueError(f'layer "{self.name}": the input must have shape (n, ..., features), got {shape}')
        self.kernel = self.add_weight(
            "kernel", (shape[-1], self.units), self.kernel_initializer, regularizer=self.kernel_regularizer
        )
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.units,), self.bias_initializer, regularizer=self.bias_regularizer)

    def lower(self, b, x):
        return self.activation.lower(
            b, b.op("dense", [x, b.weight(self.kernel)] + ([b.weight(self.bias)] if self.use_bias else []))
        )

    def get_config(self):
        save = lambda value: None if value is None else regularizers.serialize(value)
        return {
            **super().get_config(),
            "units": self.units,
            "activation": self.activation.name,
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": save(self.kernel_regularizer),
            "bias_regularizer": save(self.bias_regularizer),
        }
