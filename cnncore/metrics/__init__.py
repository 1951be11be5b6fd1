"""Metrics: quantities computed batch by batch and summed in float64.

A metric takes targets and predictions as NumPy arrays, in as many batches as there are, and gives one value for
all of them. Names, arguments, defaults and equations are Keras 3's.

Shapes. ``(n,)`` and ``(n, 1)`` are the same thing, for targets, predictions and weights alike; every other
difference of shape is an error, never broadcast. `sample_weight` has one weight for each sample, or the shape of
the values that are averaged.

Not-a-number. In the predictions it makes the result NaN until `reset_state`: it is neither right nor wrong.
In the targets or weights it is an error, for then the data are at fault.
"""

from .accuracies import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from .auc import AUC
from .base import Metric
from .crossentropies import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from .errors import (
    MeanAbsoluteError,
    MeanSquaredError,
    RootMeanSquaredError,
    mean_absolute_error,
    mean_squared_error,
)
from .f_scores import F1Score, FBetaScore
from .lookup import deserialize, direction_of, get, resolve, resolve_accuracy, serialize
from .means import Mean, MeanMetricWrapper, Sum
from .precision_recall import Precision, Recall
