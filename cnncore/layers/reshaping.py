"""Layers that move or rearrange pixels: Flatten, Reshape, ZeroPadding2D, Cropping2D, UpSampling2D."""

import numbers
from math import prod

from .. import checks
from .arguments import borders, channels_last, image_shape, pair
from .base import Layer


class Flatten(Layer):
    """(n, ...) to (n, product of the rest). No data moves.

    Parameters
    ----------
    data_format : None or "channels_last"
    """

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        channels_last(f'Flatten "{self.name}"', data_format)

    def lower(self, b, x):
        return b.reshape(x, (x.shape[0], prod(x.shape[1:])))


class Reshape(Layer):
    """(n, ...) to (n, *target_shape). No data moves.

    Parameters
    ----------
    target_shape : tuple of int
        At most 3 dimensions; one of them may be -1 and follows from the others.
    """

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        rule = (
            f'Reshape "{self.name}": target_shape must be 1 to 3 positive integers, '
            f"one of which may be -1, got {target_shape!r}"
        )
        try:
            self.target_shape = tuple(int(d) for d in target_shape if isinstance(d, numbers.Integral))
        except TypeError:
            raise ValueError(rule) from None
        if (
            len(self.target_shape) != len(target_shape)
            or not 1 <= len(target_shape) <= 3
            or self.target_shape.count(-1) > 1
            or any(d < 1 and d != -1 for d in self.target_shape)
        ):
            raise ValueError(rule)

    def lower(self, b, x):
        count = prod(x.shape[1:])
        known = prod(d for d in self.target_shape if d != -1)
        if count % known or (-1 not in self.target_shape and count != known):
            raise ValueError(
                f'layer "{self.name}": target_shape {self.target_shape} must hold the {count} elements of an '
                f"input of shape {x.shape[1:]}"
            )
        shape = (x.shape[0], *(count // known if d == -1 else d for d in self.target_shape))
        return b.reshape(x, shape)

    def get_config(self):
        return {**super().get_config(), "target_shape": self.target_shape}


class ZeroPadding2D(Layer):
    """Zeros around images.

    Parameters
    ----------
    padding : int, (rows, columns) or ((top, bottom), (left, right))
        Default 1.
    data_format : None or "channels_last"
    """

    def __init__(self, padding=(1, 1), data_format=None, **kwargs):
        super().__init__(**kwargs)
        channels_last(f'ZeroPadding2D "{self.name}"', data_format)
        self.padding = borders(f'ZeroPadding2D "{self.name}"', "padding", padding)

    def build(self, shape):
        image_shape(self.name, shape)

    def lower(self, b, x):
        (top, bottom), (left, right) = self.padding
        return b.op("pad2d", [x], pad_top=top, pad_bottom=bottom, pad_left=left, pad_right=right)

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


class Cropping2D(Layer):
    """Images without their borders.

    Parameters
    ----------
    cropping : int, (rows, columns) or ((top, bottom), (left, right))
        Default 0. Something must be left.
    data_format : None or "channels_last"
    """

    def __init__(self, cropping=((0, 0), (0, 0)), data_format=None, **kwargs):
        super().__init__(**kwargs)
        channels_last(f'Cropping2D "{self.name}"', data_format)
        self.cropping = borders(f'Cropping2D "{self.name}"', "cropping", cropping)

    def build(self, shape):
        image_shape(self.name, shape)

    def lower(self, b, x):
        (top, bottom), (left, right) = self.cropping
        return b.op("crop2d", [x], crop_top=top, crop_bottom=bottom, crop_left=left, crop_right=right)

    def get_config(self):
        return {**super().get_config(), "cropping": self.cropping}


class UpSampling2D(Layer):
    """Images enlarged by whole factors.

    Parameters
    ----------
    size : int or pair
        Factors for rows and columns, default 2.
    data_format : None or "channels_last"
    interpolation : "nearest" or "bilinear"
        "bilinear" interpolates between pixel centres; beyond the outermost centres it continues the border.
    """

    MODES = ("nearest", "bilinear")

    def __init__(self, size=(2, 2), data_format=None, interpolation="nearest", **kwargs):
        super().__init__(**kwargs)
        owner = f'UpSampling2D "{self.name}"'
        channels_last(owner, data_format)
        self.size = pair(owner, "size", size)
        self.interpolation = checks.choice(owner, "interpolation", interpolation, self.MODES)

    def build(self, shape):
        image_shape(self.name, shape)

    def lower(self, b, x):
        return b.op(
            "upsample2d", [x], factor_h=self.size[0], factor_w=self.size[1], mode=self.MODES.index(self.interpolation)
        )

    def get_config(self):
        return {**super().get_config(), "size": self.size, "interpolation": self.interpolation}
