"""The pieces that the networks share: convolution and normalisation in the order in which the compiler fuses them.

Every block is written convolution -> BatchNormalization -> (Add ->) ReLU. Padding is symmetric, `kernel // 2` on each
side, as in PyTorch; this is the same as padding="same" for stride 1, and differs from it for stride 2, where "same"
pads an even image at the bottom and right only.
"""

from .. import layers, regularizers

BN_MOMENTUM = 0.9  # torch momentum 0.1
BN_EPSILON = 1e-5


def decay(weight_decay):
    """The regularizer whose gradient is weight_decay * w: L2 adds l2 * sum(w^2) to the loss, so l2 is half the
    decay."""
    return regularizers.L2(0.5 * weight_decay) if weight_decay else None


def conv_bn(x, filters, kernel_size, strides=1, *, weight_decay=0.0, conv, bn):
    """Convolution without bias, then batch normalisation; `conv` and `bn` are the names of the two layers."""
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=kernel_size // 2,
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=decay(weight_decay),
        name=conv,
    )(x)
    return batch_norm(x, name=bn)


def conv_relu(x, filters, kernel_size, *, weight_decay=0.0, name, **arguments):
    """Convolution with bias and ReLU, without normalisation."""
    return layers.Conv2D(
        filters,
        kernel_size,
        activation="relu",
        kernel_initializer="he_normal",
        kernel_regularizer=decay(weight_decay),
        name=name,
        **arguments,
    )(x)


def dense_relu(x, units, *, weight_decay=0.0, dropout=0.0, name, dropout_name="dropout"):
    """Hidden dense layer with ReLU, then dropout where its rate is not 0."""
    x = layers.Dense(
        units, activation="relu", kernel_initializer="he_normal", kernel_regularizer=decay(weight_decay), name=name
    )(x)
    return layers.Dropout(dropout, name=dropout_name)(x) if dropout else x


def batch_norm(x, *, name):
    """Batch normalisation with torchvision's momentum and epsilon."""
    return layers.BatchNormalization(momentum=BN_MOMENTUM, epsilon=BN_EPSILON, name=name)(x)


def classifier(x, classes, activation, *, weight_decay=0.0, name="predictions"):
    """The last layer: class scores of shape (batch, classes)."""
    return layers.Dense(classes, activation=activation, kernel_regularizer=decay(weight_decay), name=name)(x)
