"""LeNet: the network of 1998 and its modern form.

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11), 1998.
"""

from .. import Input, Model, layers
from .blocks import classifier, conv_relu, decay, dense_relu


def LeNet(
    input_shape=(28, 28, 1), classes=10, classifier_activation="softmax", dropout=0.0, weight_decay=0.0, name="lenet"
):
    """The form of LeNet used in tutorials today: 3x3 convolutions of 32 and 64 channels, each with ReLU and 2x2
    max-pooling, a dense layer of 128, a classifier.

    Parameters
    ----------
    input_shape, classes, classifier_activation, weight_decay, name
        Described in `cnncore.models`. Height and width at least 4.
    dropout : float
        Fraction of the 128 hidden units dropped in training, default 0 (no dropout layer).

    Returns
    -------
    Model
        (batch, height, width, channels) -> (batch, classes); 421,642 parameters by default.
    """
    inputs = Input(shape=input_shape, name="image")
    x = inputs
    for i, filters in enumerate((32, 64), start=1):
        x = conv_relu(x, filters, 3, padding="same", weight_decay=weight_decay, name=f"conv{i}")
        x = layers.MaxPooling2D(2, name=f"pool{i}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = dense_relu(x, 128, weight_decay=weight_decay, dropout=dropout, name="dense")
    return Model(inputs, classifier(x, classes, classifier_activation, weight_decay=weight_decay), name=name)


def LeNet5(
    input_shape=(32, 32, 1),
    classes=10,
    classifier_activation="softmax",
    activation="tanh",
    weight_decay=0.0,
    name="lenet5",
):
    """LeNet-5 of 1998: 5x5 convolutions of 6 and 16 channels with 2x2 average pooling, then dense layers of 120 and 84.

    As in most reproductions, the second convolution sees all six channels (the paper's table connects a part of
    them), pooling has no trainable scale, and the output is a softmax in place of the radial basis functions.

    Parameters
    ----------
    input_shape, classes, classifier_activation, weight_decay, name
        Described in `cnncore.models`. A 28x28 digit has a border of 2; height and width at least 16.
    activation : str
        Activation of the hidden layers, default "tanh" as in the paper.

    Returns
    -------
    Model
        (batch, height, width, channels) -> (batch, classes); 61,706 parameters by default.
    """
    inputs = Input(shape=input_shape, name="image")
    x = inputs
    for i, filters in enumerate((6, 16), start=1):
        x = layers.Conv2D(filters, 5, activation=activation, kernel_regularizer=decay(weight_decay), name=f"conv{i}")(x)
        x = layers.AveragePooling2D(2, name=f"pool{i}")(x)
    x = layers.Flatten(name="flatten")(x)
    for i, units in enumerate((120, 84), start=1):
        x = layers.Dense(units, activation=activation, kernel_regularizer=decay(weight_decay), name=f"dense{i}")(x)
    return Model(inputs, classifier(x, classes, classifier_activation, weight_decay=weight_decay), name=name)
