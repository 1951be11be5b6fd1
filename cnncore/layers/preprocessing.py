"""Preparing the input inside the model."""
from .. import checks
from .base import Layer


class Rescaling(Layer):
    """``y = x * scale + offset``; takes uint8 images as they are.

    Parameters
    ----------
    scale : float
        1/255 for bytes to 0..1.
    offset : float
        Default 0.
    """
    accepts_bytes = True

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = checks.number(f'Rescaling "{self.name}"', "scale", scale)
        self.offset = checks.number(f'Rescaling "{self.name}"', "offset", offset)

    def lower(self, b, x):
        return b.op("affine", [x], scale=self.scale, offset=self.offset)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}
