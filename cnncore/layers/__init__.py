"""The layers, with Keras 3's names."""

from ..registry import Registry
from .activation import ELU, Activation, LeakyReLU, ReLU, Softmax
from .base import Layer
from .convolution import Conv2D, Conv2DTranspose, DepthwiseConv2D
from .dense import Dense
from .merging import (
    Add,
    Average,
    Concatenate,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    maximum,
    minimum,
    multiply,
    subtract,
)
from .normalization import BatchNormalization
from .pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from .preprocessing import Normalization, Preprocessing, Rescaling
from .regularization import Dropout, GaussianNoise
from .reshaping import Cropping2D, Flatten, Reshape, UpSampling2D, ZeroPadding2D

Convolution2D, Convolution2DTranspose, DepthwiseConvolution2D = Conv2D, Conv2DTranspose, DepthwiseConv2D
MaxPool2D, AvgPool2D, GlobalAvgPool2D, GlobalMaxPool2D = (
    MaxPooling2D,
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
)

_registry = Registry(
    "layer",
    [
        Activation,
        Add,
        Average,
        AveragePooling2D,
        BatchNormalization,
        Concatenate,
        Conv2D,
        Conv2DTranspose,
        Cropping2D,
        Dense,
        DepthwiseConv2D,
        Dropout,
        ELU,
        Flatten,
        GaussianNoise,
        GlobalAveragePooling2D,
        GlobalMaxPooling2D,
        LeakyReLU,
        MaxPooling2D,
        Maximum,
        Minimum,
        Multiply,
        Normalization,
        Preprocessing,
        ReLU,
        Rescaling,
        Reshape,
        Softmax,
        Subtract,
        UpSampling2D,
        ZeroPadding2D,
    ],
)


def __getattr__(name):
    if name in ("Input", "InputLayer"):  # where Keras has them too
        from .. import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
