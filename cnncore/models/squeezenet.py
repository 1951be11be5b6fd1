"""SqueezeNet: few parameters through 1x1 convolutions.

Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
<0.5MB model size", 2016 (arXiv:1602.07360). Version 1.1 is the authors' later one, with 2.4 times less computation at
the same accuracy.
"""

from .. import Input, Model, layers
from .blocks import conv_relu

# Stem (filters, kernel), then the body: "pool", or the squeeze and expand channels of a fire module.
VERSIONS = {
    "1.0": (
        (96, 7),
        ("pool", (16, 64), (16, 64), (32, 128), "pool", (32, 128), (48, 192), (48, 192), (64, 256), "pool", (64, 256)),
    ),
    "1.1": (
        (64, 3),
        ("pool", (16, 64), (16, 64), "pool", (32, 128), (32, 128), "pool", (48, 192), (48, 192), (64, 256), (64, 256)),
    ),
}


def _fire(x, squeeze, expand, weight_decay, prefix):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 convolutions side by side."""
    x = conv_relu(x, squeeze, 1, weight_decay=weight_decay, name=f"{prefix}_squeeze")
    return layers.Concatenate(name=f"{prefix}_concat")(
        [
            conv_relu(x, expand, 1, weight_decay=weight_decay, name=f"{prefix}_expand1x1"),
            conv_relu(x, expand, 3, weight_decay=weight_decay, name=f"{prefix}_expand3x3", padding="same"),
        ]
    )


def _pool(x, name):
    """3x3 max-pooling of stride 2 in which the last window may hang over the border, as in Caffe (PyTorch:
    ceil_mode)."""
    bottom, right = ((size - 3) % 2 for size in x.shape[1:3])
    return layers.MaxPooling2D(3, strides=2, padding=((0, bottom), (0, right)), name=name)(x)


def SqueezeNet(
    input_shape=(224, 224, 3),
    classes=1000,
    classifier_activation="softmax",
    version="1.1",
    dropout=0.5,
    weight_decay=0.0,
    name="squeezenet",
):
    """SqueezeNet with torchvision's geometry.

    Parameters
    ----------
    input_shape, classes, classifier_activation, weight_decay, name
        Described in `cnncore.models`.
    version : {"1.1", "1.0"}
        Which of the authors' two networks, default "1.1".
    dropout : float
        Fraction of the last features dropped in training, default 0.5 as in the paper.

    Returns
    -------
    Model
        (batch, height, width, channels) -> (batch, classes); 1,235,496 parameters by default, 1,248,424 for version
        "1.0".

    Raises
    ------
    ValueError
        If version is unknown.
    """
    if version not in VERSIONS:
        raise ValueError(f'SqueezeNet: version must be "1.0" or "1.1", got {version!r}')
    (filters, kernel_size), body = VERSIONS[version]
    inputs = Input(shape=input_shape, name="image")
    x = conv_relu(inputs, filters, kernel_size, weight_decay=weight_decay, name="stem_conv", strides=2)
    fires = pools = 0
    for item in body:
        if item == "pool":
            pools += 1
            x = _pool(x, f"pool{pools}")
        else:
            fires += 1
            x = _fire(x, *item, weight_decay, f"fire{fires}")
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    x = conv_relu(x, classes, 1, weight_decay=weight_decay, name="classifier_conv")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    outputs = layers.Activation(classifier_activation or "linear", name="predictions")(x)
    return Model(inputs, outputs, name=name)
