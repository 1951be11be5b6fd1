"""VGG: stacks of 3x3 convolutions with max-pooling between them.

Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.
"""

from .. import Input, Model, layers
from .blocks import classifier, conv_bn, conv_relu, dense_relu


def VGG16(
    input_shape=(224, 224, 3),
    classes=1000,
    classifier_activation="softmax",
    dropout=0.5,
    weight_decay=0.0,
    name="vgg16",
):
    """VGG-16 (configuration D): thirteen 3x3 convolutions and three dense layers, without batch normalisation.

    Parameters
    ----------
    input_shape, classes, classifier_activation, weight_decay, name
        Described in `cnncore.models`. Height and width at least 32. The paper trains with weight_decay 5e-4.
    dropout : float
        Fraction of the units of each of the two hidden dense layers dropped in training, default 0.5 as in the paper.

    Returns
    -------
    Model
        (batch, height, width, channels) -> (batch, classes); 138,357,544 parameters by default.
    """
    inputs = Input(shape=input_shape, name="image")
    x = inputs
    for stage, (filters, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
        for i in range(1, depth + 1):
            x = conv_relu(x, filters, 3, padding="same", weight_decay=weight_decay, name=f"stage{stage}_conv{i}")
        x = layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    for i in (1, 2):
        x = dense_relu(
            x, 4096, weight_decay=weight_decay, dropout=dropout, name=f"dense{i}", dropout_name=f"dropout{i}"
        )
    return Model(inputs, classifier(x, classes, classifier_activation, weight_decay=weight_decay), name=name)


def VGGCifar(
    input_shape=(32, 32, 3),
    classes=10,
    classifier_activation="softmax",
    dropout=0.0,
    weight_decay=0.0,
    name="vgg_cifar",
):
    """VGG for small images: ten 3x3 convolutions (64, 64 | 128, 128 | 256 x 3 | 512 x 3) with batch normalisation and
    ReLU, max-pooling after each group, global average pooling and a classifier.

    Parameters
    ----------
    input_shape, classes, classifier_activation, weight_decay, name
        Described in `cnncore.models`. Height and width at least 16.
    dropout : float
        Fraction of the 512 pooled features dropped in training, default 0 (no dropout layer).

    Returns
    -------
    Model
        (batch, height, width, channels) -> (batch, classes); 7,643,082 trainable parameters by default.
    """
    inputs = Input(shape=input_shape, name="image")
    x = inputs
    for stage, (filters, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3)), start=1):
        for i in range(1, depth + 1):
            prefix = f"stage{stage}_"
            x = conv_bn(x, filters, 3, weight_decay=weight_decay, conv=f"{prefix}conv{i}", bn=f"{prefix}bn{i}")
            x = layers.ReLU(name=f"{prefix}relu{i}")(x)
        x = layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return Model(inputs, classifier(x, classes, classifier_activation, weight_decay=weight_decay), name=name)
