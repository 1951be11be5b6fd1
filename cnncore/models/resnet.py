"""Residual networks, for large images (ResNet-18, ResNet-50) and for small ones (ResNet-18, ResNet-20 and deeper for
CIFAR).

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016.
"""

from .. import Input, Model, layers
from .blocks import classifier, conv_bn


def _shortcut(x, filters, strides, kind, weight_decay, prefix):
    """The shortcut of a block: x itself where shapes agree, else a strided 1x1 projection or (option A) no
    parameters."""
    height, width, channels = x.shape[1:]
    if strides == 1 and channels == filters:
        return x
    if kind == "projection":
        return conv_bn(
            x,
            filters,
            1,
            strides,
            weight_decay=weight_decay,
            conv=f"{prefix}_shortcut_conv",
            bn=f"{prefix}_shortcut_bn",
        )
    # Option A: every second pixel, and zero channels on both sides: columns of an image of height*width x channels.
    x = layers.AveragePooling2D(1, strides=strides, name=f"{prefix}_shortcut_subsample")(x)
    height, width = x.shape[1:3]
    before = (filters - channels) // 2
    x = layers.Reshape((height * width, channels, 1), name=f"{prefix}_shortcut_rows")(x)
    x = layers.ZeroPadding2D(((0, 0), (before, filters - channels - before)), name=f"{prefix}_shortcut_pad")(x)
    return layers.Reshape((height, width, filters), name=f"{prefix}_shortcut_image")(x)


def _basic_block(x, filters, strides, shortcut, weight_decay, prefix):
    """Two 3x3 convolutions, the first with the stride."""
    y = conv_bn(x, filters, 3, strides, weight_decay=weight_decay, conv=f"{prefix}_conv1", bn=f"{prefix}_bn1")
    y = layers.ReLU(name=f"{prefix}_relu1")(y)
    y = conv_bn(y, filters, 3, weight_decay=weight_decay, conv=f"{prefix}_conv2", bn=f"{prefix}_bn2")
    y = layers.Add(name=f"{prefix}_add")([y, _shortcut(x, filters, strides, shortcut, weight_decay, prefix)])
    return layers.ReLU(name=f"{prefix}_relu2")(y)


def _bottleneck(x, filters, strides, shortcut, weight_decay, prefix):
    """1x1, 3x3 (with the stride), 1x1 to four times the channels."""
    y = conv_bn(x, filters, 1, weight_decay=weight_decay, conv=f"{prefix}_conv1", bn=f"{prefix}_bn1")
    y = layers.ReLU(name=f"{prefix}_relu1")(y)
    y = conv_bn(y, filters, 3, strides, weight_decay=weight_decay, conv=f"{prefix}_conv2", bn=f"{prefix}_bn2")
    y = layers.ReLU(name=f"{prefix}_relu2")(y)
    y = conv_bn(y, 4 * filters, 1, weight_decay=weight_decay, conv=f"{prefix}_conv3", bn=f"{prefix}_bn3")
    y = layers.Add(name=f"{prefix}_add")([y, _shortcut(x, 4 * filters, strides, shortcut, weight_decay, prefix)])
    return layers.ReLU(name=f"{prefix}_relu3")(y)


_WIDTHS = (64, 128, 256, 512)  # of the stages, in networks for ImageNet


def _resnet(
    block, widths, depths, small, input_shape, classes, classifier_activation, weight_decay, name, shortcut="projection"
):
    """Stem, stages of blocks (each stage but the first halves the image), global average pooling, classifier.

    The stem is 7x7 stride 2 with 3x3 max-pooling, or, for small images, one 3x3 convolution.
    """
    inputs = Input(shape=input_shape, name="image")
    x = conv_bn(
        inputs,
        widths[0],
        3 if small else 7,
        1 if small else 2,
        weight_decay=weight_decay,
        conv="stem_conv",
        bn="stem_bn",
    )
    x = layers.ReLU(name="stem_relu")(x)
    if not small:
        x = layers.MaxPooling2D(3, strides=2, padding=1, name="stem_pool")(x)
    for stage, (filters, depth) in enumerate(zip(widths, depths), start=1):
        for i in range(1, depth + 1):
            strides = 2 if stage > 1 and i == 1 else 1
            x = block(x, filters, strides, shortcut, weight_decay, f"stage{stage}_block{i}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return Model(inputs, classifier(x, classes, classifier_activation, weight_decay=weight_decay), name=name)


def ResNet18(
    input_shape=(224, 224, 3), classes=1000, classifier_activation="softmax", weight_decay=0.0, name="resnet18"
):
    """ResNet-18 for ImageNet-sized images, with torchvision's geometry.

    Parameters
    ----------
    input_shape, classes, classifier_activation, weight_decay, name
        Described in `cnncore.models`. The paper trains with weight_decay 1e-4.

    Returns
    -------
    Model
        (batch, height, width, channels) -> (batch, classes); 11,689,512 trainable parameters by default.
    """
    return _resnet(
        _basic_block, _WIDTHS, (2, 2, 2, 2), False, input_shape, classes, classifier_activation, weight_decay, name
    )


def ResNet50(
    input_shape=(224, 224, 3), classes=1000, classifier_activation="softmax", weight_decay=0.0, name="resnet50"
):
    """ResNet-50 for ImageNet-sized images, version 1.5: the stride is in the 3x3 convolution of a bottleneck, as in
    torchvision, not in its first 1x1 convolution, as in the paper and in keras.applications.

    Parameters
    ----------
    input_shape, classes, classifier_activation, weight_decay, name
        Described in `cnncore.models`. The paper trains with weight_decay 1e-4.

    Returns
    -------
    Model
        (batch, height, width, channels) -> (batch, classes); 25,557,032 trainable parameters by default.
    """
    return _resnet(
        _bottleneck, _WIDTHS, (3, 4, 6, 3), False, input_shape, classes, classifier_activation, weight_decay, name
    )


def ResNet18Cifar(
    input_shape=(32, 32, 3), classes=10, classifier_activation="softmax", weight_decay=0.0, name="resnet18_cifar"
):
    """ResNet-18 for small images: a 3x3 stem of stride 1 and no first pooling, otherwise as `ResNet18`.

    Parameters
    ----------
    input_shape, classes, classifier_activation, weight_decay, name
        Described in `cnncore.models`.

    Returns
    -------
    Model
        (batch, height, width, channels) -> (batch, classes); 11,173,962 trainable parameters by default.
    """
    return _resnet(
        _basic_block, _WIDTHS, (2, 2, 2, 2), True, input_shape, classes, classifier_activation, weight_decay, name
    )


def resnet_cifar(
    depth,
    input_shape=(32, 32, 3),
    classes=10,
    classifier_activation="softmax",
    shortcut="projection",
    weight_decay=0.0,
    name=None,
):
    """The residual networks of section 4.2 of the paper: three stages of (depth - 2) / 6 blocks with 16, 32, 64
    channels.

    Parameters
    ----------
    depth : int
        Number of layers with weights: 6 n + 2, that is 20, 32, 44, 56, 110, ...
    input_shape, classes, classifier_activation, weight_decay
        Described in `cnncore.models`. The paper trains with weight_decay 1e-4.
    shortcut : {"projection", "identity"}
        What joins two stages: "projection" (default, the paper's option B) is a 1x1 convolution of stride 2 with batch
        normalisation; "identity" (option A, the one of the paper's CIFAR results) takes every second pixel and fills
        the new channels with zeros, half of them on each side, and has no parameters.
    name : str, optional
        Default "resnet" followed by the depth.

    Returns
    -------
    Model
        (batch, height, width, channels) -> (batch, classes); for depth 20 and ten classes 272,474 trainable
        parameters with projections, 269,722 without.

    Raises
    ------
    ValueError
        If depth is not 6 n + 2, or shortcut is unknown.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"resnet_cifar: depth must be 6 n + 2 with n >= 1, got {depth}; use 20, 32, 44, 56 or 110")
    if shortcut not in ("projection", "identity"):
        raise ValueError(f'resnet_cifar: shortcut must be "projection" or "identity", got {shortcut!r}')
    blocks = (depth - 2) // 6
    return _resnet(
        _basic_block,
        (16, 32, 64),
        (blocks, blocks, blocks),
        True,
        input_shape,
        classes,
        classifier_activation,
        weight_decay,
        name or f"resnet{depth}",
        shortcut,
    )


def ResNet20(
    input_shape=(32, 32, 3),
    classes=10,
    classifier_activation="softmax",
    shortcut="projection",
    weight_decay=0.0,
    name="resnet20",
):
    """ResNet-20 for small images: `resnet_cifar` of depth 20.

    Parameters
    ----------
    input_shape, classes, classifier_activation, shortcut, weight_decay, name
        As of `resnet_cifar`.

    Returns
    -------
    Model
        (batch, height, width, channels) -> (batch, classes).
    """
    return resnet_cifar(
        20,
        input_shape=input_shape,
        classes=classes,
        classifier_activation=classifier_activation,
        shortcut=shortcut,
        weight_decay=weight_decay,
        name=name,
    )
