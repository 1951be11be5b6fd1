"""MobileNetV2: inverted residuals with linear bottlenecks.

Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018.
"""

from .. import Input, Model, layers
from .blocks import batch_norm, classifier, conv_bn, decay

# Expansion factor, output channels, blocks, stride of the first block (table 2 of the paper).
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _multiple_of_8(channels):
    """The nearest multiple of 8, at least 8, that is not more than a tenth below `channels`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _inverted_residual(x, filters, strides, expansion, weight_decay, prefix):
    """1x1 expansion, 3x3 depthwise, linear 1x1 projection; the input is added where the shapes agree."""
    channels = x.shape[-1]
    y = x
    if expansion > 1:
        y = conv_bn(
            y,
            expansion * channels,
            1,
            weight_decay=weight_decay,
            conv=f"{prefix}_expand_conv",
            bn=f"{prefix}_expand_bn",
        )
        y = layers.ReLU(max_value=6.0, name=f"{prefix}_expand_relu")(y)
    y = layers.DepthwiseConv2D(
        3,
        strides=strides,
        padding=1,
        use_bias=False,
        depthwise_initializer="he_normal",
        depthwise_regularizer=decay(weight_decay),
        name=f"{prefix}_depthwise_conv",
    )(y)
    y = batch_norm(y, name=f"{prefix}_depthwise_bn")
    y = layers.ReLU(max_value=6.0, name=f"{prefix}_depthwise_relu")(y)
    y = conv_bn(y, filters, 1, weight_decay=weight_decay, conv=f"{prefix}_project_conv", bn=f"{prefix}_project_bn")
    return layers.Add(name=f"{prefix}_add")([y, x]) if strides == 1 and channels == filters else y


def MobileNetV2(
    input_shape=(224, 224, 3),
    classes=1000,
    classifier_activation="softmax",
    alpha=1.0,
    dropout=0.2,
    weight_decay=0.0,
    name="mobilenet_v2",
):
    """MobileNetV2 with torchvision's geometry.

    Parameters
    ----------
    input_shape, classes, classifier_activation, weight_decay, name
        Described in `cnncore.models`. The paper trains with weight_decay 4e-5.
    alpha : float
        Width multiplier, default 1.0: every number of channels is multiplied by alpha and rounded to a multiple of 8;
        the last 1x1 convolution keeps at least 1280.
    dropout : float
        Fraction of the pooled features dropped in training, default 0.2.

    Returns
    -------
    Model
        (batch, height, width, channels) -> (batch, classes); 3,504,872 trainable parameters by default.

    Raises
    ------
    ValueError
        If alpha is not positive.
    """
    if not alpha > 0:
        raise ValueError(f"MobileNetV2: alpha must be positive, got {alpha}; use 1.0 for the network of the paper")
    inputs = Input(shape=input_shape, name="image")
    x = conv_bn(inputs, _multiple_of_8(32 * alpha), 3, 2, weight_decay=weight_decay, conv="stem_conv", bn="stem_bn")
    x = layers.ReLU(max_value=6.0, name="stem_relu")(x)
    for stage, (expansion, channels, depth, first_stride) in enumerate(STAGES, start=1):
        for i in range(1, depth + 1):
            x = _inverted_residual(
                x,
                _multiple_of_8(channels * alpha),
                first_stride if i == 1 else 1,
                expansion,
                weight_decay,
                f"stage{stage}_block{i}",
            )
    x = conv_bn(x, _multiple_of_8(1280 * max(1.0, alpha)), 1, weight_decay=weight_decay, conv="head_conv", bn="head_bn")
    x = layers.ReLU(max_value=6.0, name="head_relu")(x)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return Model(inputs, classifier(x, classes, classifier_activation, weight_decay=weight_decay), name=name)
