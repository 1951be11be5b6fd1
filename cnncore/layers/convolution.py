"""Convolutions: Conv2D, DepthwiseConv2D, Conv2DTranspose."""

from .. import checks
from .arguments import channels_last, image_shape, padding as checked_padding, pads, pair
from .kernel import KernelLayer


class _Convolution(KernelLayer):
    """What the three have in common: a window that moves over images."""

    def _set_window(self, kernel_size, strides, padding, data_format, dilation_rate):
        owner = self._owner()
        channels_last(owner, data_format)
        self.kernel_size = pair(owner, "kernel_size", kernel_size)
        self.strides = pair(owner, "strides", strides)
        self.padding = checked_padding(owner, padding)
        self.dilation_rate = pair(owner, "dilation_rate", dilation_rate)

    def _window(self, shape):
        """The attributes of the operation for images of this shape (n, height, width, channels)."""
        return {
            "kernel_h": self.kernel_size[0],
            "kernel_w": self.kernel_size[1],
            "stride_h": self.strides[0],
            "stride_w": self.strides[1],
            "dilation_h": self.dilation_rate[0],
            "dilation_w": self.dilation_rate[1],
            **pads(self.padding, shape[1:3], self.kernel_size, self.strides, self.dilation_rate),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
        }


class Conv2D(_Convolution):
    """2-D convolution (cross-correlation): ``y[n,i,j,o] = act(bias[o] + sum x[n, i*stride + r*dilation - pad, ..., c] *
    kernel[r,s,c,o])``.

    Input (n, height, width, channels), output (n, new height, new width, filters), with
    ``new = floor((size + pads - (kernel_size - 1) * dilation_rate - 1) / strides) + 1``; with padding="same"
    ``ceil(size / strides)``.

    Parameters
    ----------
    filters : int
    kernel_size, strides, dilation_rate : int or pair
        Rows and columns. Strides and dilation default to 1.
    padding : "valid", "same", int, (rows, columns) or ((top, bottom), (left, right))
        Zeros around the image; default "valid", none. Explicit padding is what Keras lacks and other frameworks'
        networks need.
    data_format : None or "channels_last"
    groups : int
        Channels and filters are cut into so many groups that do not see each other; must divide both. Default 1.
    activation : str or Activation, optional
    use_bias : bool
    kernel_initializer, bias_initializer : Initializer or str
        Default "glorot_uniform" and "zeros".
    kernel_regularizer, bias_regularizer : Regularizer, optional
    name, trainable
        As of every layer.

    Raises
    ------
    ValueError
        For a kernel larger than the padded image, groups that do not divide, inputs that are not images.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        data_format=None,
        dilation_rate=(1, 1),
        groups=1,
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
        self._set_window(kernel_size, strides, padding, data_format, dilation_rate)
        owner = self._owner()
        self.filters = checks.integer(owner, "filters", filters, 1)
        self.groups = checks.integer(owner, "groups", groups, 1)
        if self.filters % self.groups:
            raise ValueError(
                f"{owner}: groups must divide filters, got {self.groups} groups for {self.filters} filters"
            )

    def build(self, shape):
        channels = image_shape(self.name, shape)[2]
        if channels % self.groups:
            raise ValueError(
                f'layer "{self.name}": groups must divide the channels of the input, got {self.groups} groups '
                f"for {channels} channels"
            )
        self._add_kernel((*self.kernel_size, channels // self.groups, self.filters), self.filters)

    def lower(self, b, x):
        channels = x.shape[3]
        if self.groups == channels > 1:  # a depthwise convolution, whose kernels lie in memory just so
            shape = (*self.kernel_size, channels, self.filters // channels)
            return self._apply(b, "depthwise_conv2d", x, kernel_shape=shape, **self._window(x.shape))
        return self._apply(b, "conv2d", x, groups=self.groups, **self._window(x.shape))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "groups": self.groups}


class DepthwiseConv2D(_Convolution):
    """Convolution of every channel with kernels of its own: ``y[n,i,j,c * depth_multiplier + m] = act(bias + sum
    x[n, i*stride + r*dilation - pad, ..., c] * kernel[r,s,c,m])``.

    Input (n, height, width, channels), output (n, new height, new width, channels * depth_multiplier), sizes as of
    Conv2D. The kernel has shape (rows, columns, channels, depth_multiplier).

    Parameters
    ----------
    kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer, bias_regularizer
        As of Conv2D.
    depth_multiplier : int
        Kernels of each channel, default 1.
    depthwise_initializer : Initializer or str
        Of the kernels, default "glorot_uniform".
    depthwise_regularizer : Regularizer, optional
    """

    def __init__(
        self,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        depth_multiplier=1,
        data_format=None,
        dilation_rate=(1, 1),
        activation=None,
        use_bias=True,
        depthwise_initializer="glorot_uniform",
        bias_initializer="zeros",
        depthwise_regularizer=None,
        bias_regularizer=None,
        **kwargs,
    ):
        super().__init__(
            activation,
            use_bias,
            depthwise_initializer,
            bias_initializer,
            depthwise_regularizer,
            bias_regularizer,
            **kwargs,
        )
        self._set_window(kernel_size, strides, padding, data_format, dilation_rate)
        self.depthwise_initializer, self.depthwise_regularizer = self.kernel_initializer, self.kernel_regularizer
        self.depth_multiplier = checks.integer(self._owner(), "depth_multiplier", depth_multiplier, 1)

    def build(self, shape):
        channels = image_shape(self.name, shape)[2]
        self._add_kernel((*self.kernel_size, channels, self.depth_multiplier), channels * self.depth_multiplier)

    def lower(self, b, x):
        return self._apply(b, "depthwise_conv2d", x, **self._window(x.shape))

    def get_config(self):
        config = {**super().get_config(), "depth_multiplier": self.depth_multiplier}
        for kind in ("initializer", "regularizer"):
            config[f"depthwise_{kind}"] = config.pop(f"kernel_{kind}")
        return config


class Conv2DTranspose(_Convolution):
    """Transposed convolution: the gradient of Conv2D in its input, used to enlarge images.

    Input (n, height, width, channels). Output size: ``size * strides`` with padding="same",
    ``size * strides + max(kernel - strides, 0)`` with "valid" (kernel: its extent with dilation). With output_padding
    and explicit padding ``(size - 1) * strides + kernel - pads + output_padding``, as with "valid", which pads nothing;
    with "same" ``(size - 1) * strides + kernel % 2 + output_padding``. The kernel has shape (rows, columns, filters,
    channels).

    Parameters
    ----------
    filters, kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias
        As of Conv2D.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer
        As of Conv2D.
    output_padding : int or pair, optional
        Further rows and columns at the bottom and right; must be smaller than the strides.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=(1, 1),
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
        self._set_window(kernel_size, strides, padding, data_format, dilation_rate)
        owner = self._owner()
        self.filters = checks.integer(owner, "filters", filters, 1)
        self.output_padding = None if output_padding is None else pair(owner, "output_padding", output_padding, 0)
        if self.output_padding and any(p >= s for p, s in zip(self.output_padding, self.strides)):
            raise ValueError(
                f"{owner}: output_padding must be smaller than strides, got {self.output_padding} for strides "
                f"{self.strides}"
            )

    def build(self, shape):
        self._add_kernel((*self.kernel_size, self.filters, image_shape(self.name, shape)[2]), self.filters)

    def _sizes(self, size, axis):
        """(result size, padding before, padding after) along one axis."""
        kernel = (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1
        stride = self.strides[axis]
        more = None if self.output_padding is None else self.output_padding[axis]
        if self.padding == "same":  # crop `total` in all; a negative one enlarges the result at its end
            total = kernel - stride if more is None else kernel - kernel % 2 - more
            before = max(total // 2, 0)
            return (size - 1) * stride + kernel - total, before, max(total - before, 0)
        if self.padding == "valid":
            return (size - 1) * stride + (max(kernel, stride) if more is None else kernel + more), 0, 0
        before, after = self.padding[axis]
        return (size - 1) * stride + kernel - before - after + (more or 0), before, after

    def lower(self, b, x):
        (out_h, top, bottom), (out_w, left, right) = self._sizes(x.shape[1], 0), self._sizes(x.shape[2], 1)
        if out_h < 1 or out_w < 1:
            raise ValueError(
                f'layer "{self.name}": padding {self.padding} leaves nothing of the result, {out_h}x{out_w}; '
                "use less padding"
            )
        sides = {"pad_top": top, "pad_bottom": bottom, "pad_left": left, "pad_right": right}
        return self._apply(b, "conv2d_transpose", x, out_h=out_h, out_w=out_w, **{**self._window(x.shape), **sides})

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "output_padding": self.output_padding}
