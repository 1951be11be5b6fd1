"""What layers with a kernel share: kernel, bias and activation."""

from .. import activations, checks, initializers, regularizers
from .base import Layer


class KernelLayer(Layer):
    """Base of Dense and the convolutions: ``act(operation(x, kernel) + bias)``."""

    def __init__(
        self,
        activation,
        use_bias,
        kernel_initializer,
        bias_initializer,
        kernel_regularizer,
        bias_regularizer,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.use_bias = checks.boolean(self._owner(), "use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel = self.bias = None

    def _owner(self):
        """The layer in messages about its arguments."""
        return f'{type(self).__name__} "{self.name}"'

    def _add_kernel(self, shape, channels):
        """Create the kernel, and the bias of each of the result's channels."""
        self.kernel = self.add_weight("kernel", shape, self.kernel_initializer, regularizer=self.kernel_regularizer)
        if self.use_bias:
            self.bias = self.add_weight("bias", (channels,), self.bias_initializer, regularizer=self.bias_regularizer)

    def _apply(self, b, operation, x, kernel_shape=None, **attributes):
        """Append the operation on x, the kernel (as an array of kernel_shape) and the bias, then the activation."""
        kernel = b.weight(self.kernel)
        if kernel_shape:
            kernel = b.reshape(kernel, kernel_shape)
        operands = [x, kernel] + ([b.weight(self.bias)] if self.use_bias else [])
        return self.activation.lower(b, b.op(operation, operands, **attributes))

    def get_config(self):
        return {
            **super().get_config(),
            "activation": self.activation.name,
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
        }
