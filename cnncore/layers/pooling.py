"""Pooling: the largest or the mean of windows, or of whole images."""

from .. import checks
from .arguments import channels_last, image_shape, padding, pads, pair
from .base import Layer


class _Pooling2D(Layer):
    """Base of pooling over windows."""

    operation = None

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(**kwargs)
        owner = f'{type(self).__name__} "{self.name}"'
        channels_last(owner, data_format)
        self.pool_size = pair(owner, "pool_size", pool_size)
        self.strides = self.pool_size if strides is None else pair(owner, "strides", strides)
        self.padding = _padding(owner, padding)

    def build(self, shape):
        image_shape(self.name, shape)

    def lower(self, b, x):
        (pool_h, pool_w), (stride_h, stride_w) = self.pool_size, self.strides
        return b.op(
            self.operation,
            [x],
            pool_h=pool_h,
            pool_w=pool_w,
            stride_h=stride_h,
            stride_w=stride_w,
            **pads(self.padding, x.shape[1:3], self.pool_size, self.strides),
        )

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}


_padding = padding  # the constructors have an argument of that name


class MaxPooling2D(_Pooling2D):
    """The largest value of each window: (n, height, width, channels) to (n, new height, new width, channels), sizes as
    of Conv2D.

    Parameters
    ----------
    pool_size : int or pair
        Default 2.
    strides : int or pair, optional
        Default pool_size.
    padding : "valid", "same", int, (rows, columns) or ((top, bottom), (left, right))
        Padding never wins. A window that would lie wholly in the padding is an error.
    data_format : None or "channels_last"

    The gradient goes to the first largest value of a window. NaN in a window gives NaN.
    """

    operation = "max_pool2d"


class AveragePooling2D(_Pooling2D):
    """The mean of each window, over the pixels inside the image; shapes as of MaxPooling2D.

    Parameters
    ----------
    pool_size, strides, padding, data_format
        As of MaxPooling2D.
    """

    operation = "avg_pool2d"


class _GlobalPooling2D(Layer):
    """Base of pooling over whole images."""

    operation = None

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        channels_last(f'{type(self).__name__} "{self.name}"', data_format)
        self.keepdims = checks.boolean(f'{type(self).__name__} "{self.name}"', "keepdims", keepdims)

    def build(self, shape):
        image_shape(self.name, shape)

    def lower(self, b, x):
        n, height, width, channels = x.shape
        y = b.op(self.operation, [x], pool_h=height, pool_w=width, stride_h=height, stride_w=width)
        return y if self.keepdims else b.reshape(y, (n, channels))

    def get_config(self):
        return {**super().get_config(), "keepdims": self.keepdims}


class GlobalAveragePooling2D(_GlobalPooling2D):
    """The mean of each channel over the image: (n, height, width, channels) to (n, channels), or (n, 1, 1, channels)
    with keepdims=True.

    Parameters
    ----------
    data_format : None or "channels_last"
    keepdims : bool
        Default False.
    """

    operation = "avg_pool2d"


class GlobalMaxPooling2D(_GlobalPooling2D):
    """The largest value of each channel over the image; shapes as of GlobalAveragePooling2D.

    Parameters
    ----------
    data_format, keepdims
        As of GlobalAveragePooling2D.
    """

    operation = "max_pool2d"
