"""A small network for small images, which trains in seconds to minutes: the default of the command line."""

from .. import Input, Model, layers
from .blocks import classifier, conv_bn


def SmallCNN(
    input_shape=(28, 28, 1), classes=10, classifier_activation="softmax", dropout=0.25, weight_decay=0.0, name="small"
):
    """3x3 convolutions with batch normalisation and ReLU: two of 32 channels, max-pooling, one of 64, max-pooling; for
    images larger than 32x32 more of 128 with max-pooling until height or width is at most 8; then a classifier.

    Parameters
    ----------
    input_shape, classes, classifier_activation, weight_decay, name
        Described in `cnncore.models`. Height and width at least 4.
    dropout : float
        Fraction of the classifier's inputs dropped in training, default 0.25 (0: no dropout layer).

    Returns
    -------
    Model
        (batch, height, width, channels) -> (batch, classes); 59,562 trainable parameters by default.
    """
    inputs = Input(shape=input_shape, name="image")
    x = inputs
    stages = [(32, 32), (64,)]
    while min(input_shape[:2]) >> len(stages) > 8:
        stages.append((128,))
    for stage, channels in enumerate(stages, start=1):
        for i, filters in enumerate(channels, start=1):
            prefix = f"stage{stage}_"
            x = conv_bn(x, filters, 3, weight_decay=weight_decay, conv=f"{prefix}conv{i}", bn=f"{prefix}bn{i}")
            x = layers.ReLU(name=f"{prefix}relu{i}")(x)
        x = layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return Model(inputs, classifier(x, classes, classifier_activation, weight_decay=weight_decay), name=name)
