"""Well-known convolutional networks, built from the public layers, by function or by name.

    >>> from cnncore import models
    >>> model = models.ResNet20(classes=100)
    >>> model = models.build("mobilenet_v2", input_shape=(96, 96, 3), classes=5, alpha=0.5)

Weights are initialised at random. All networks have these arguments:

input_shape : tuple of int
    (height, width, channels) of an image; the default is the size that the network was made for.
classes : int
    Number of classes.
classifier_activation : str or None
    Activation of the class scores, default "softmax"; None returns logits.
weight_decay : float
    The gradient of every kernel gets weight_decay * kernel (and the loss half of weight_decay * the sum of squares),
    default 0.
name : str
    Name of the model.

As in Keras, `Model`, `Sequential` and `load_model` are found here too.
"""

from functools import partial

from .. import Model, Sequential
from .lenet import LeNet, LeNet5
from .mobilenet import MobileNetV2
from .resnet import ResNet18, ResNet18Cifar, ResNet20, ResNet50, resnet_cifar
from .small import SmallCNN
from .squeezenet import SqueezeNet
from .vgg import VGG16, VGGCifar

__all__ = [
    "LeNet",
    "LeNet5",
    "MobileNetV2",
    "Model",
    "ResNet18",
    "ResNet18Cifar",
    "ResNet20",
    "ResNet50",
    "Sequential",
    "SmallCNN",
    "SqueezeNet",
    "VGG16",
    "VGGCifar",
    "build",
    "load_model",
    "names",
    "resnet_cifar",
]

_BUILDERS = {
    "lenet": LeNet,
    "lenet5": LeNet5,
    "vgg_cifar": VGGCifar,
    "vgg16": VGG16,
    "resnet18": ResNet18,
    "resnet18_cifar": ResNet18Cifar,
    "resnet20": ResNet20,
    "resnet32": partial(resnet_cifar, 32),
    "resnet44": partial(resnet_cifar, 44),
    "resnet56": partial(resnet_cifar, 56),
    "resnet110": partial(resnet_cifar, 110),
    "resnet50": ResNet50,
    "mobilenet_v2": MobileNetV2,
    "squeezenet": SqueezeNet,
    "small": SmallCNN,
}


def names():
    """The names that `build` knows, as a list of str."""
    return list(_BUILDERS)


def build(model, **kwargs):
    """Build a network by its name.

    Parameters
    ----------
    model : str
        One of `names()`.
    **kwargs
        Passed to the builder, for instance `input_shape`, `classes`, `name`.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If no network has this name.
    """
    if model not in _BUILDERS:
        raise ValueError(f"models.build: model must be one of {', '.join(_BUILDERS)}, got {model!r}")
    return _BUILDERS[model](**kwargs)


def load_model(path, **kwargs):
    """Load a model that `Model.save` wrote at `path`; the same function as `cnncore.load_model`, which documents the
    parameters."""
    from .. import load_model as load

    return load(path, **kwargs)
