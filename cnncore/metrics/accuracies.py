"""How often predictions are right."""

import numpy as np

from .. import checks
from .arrays import class_numbers, nan_where_predicted, same_shape
from .means import MeanMetricWrapper


def accuracy(y_true, y_pred):
    """Return ``y_true == y_pred`` as 0 or 1, elementwise."""
    y_true, y_pred = same_shape("accuracy", y_true, y_pred)
    return nan_where_predicted(y_pred, y_true == y_pred)


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """Return ``y_true == (y_pred > threshold)`` as 0 or 1, elementwise."""
    y_true, y_pred = same_shape("binary_accuracy", y_true, y_pred)
    return nan_where_predicted(y_pred, y_true == (y_pred > threshold))


def categorical_accuracy(y_true, y_pred):
    """Return whether the largest of `y_pred` is the largest of `y_true` (one-hot), for each sample."""
    y_true, y_pred = same_shape("categorical_accuracy", y_true, y_pred)
    return nan_where_predicted(y_pred, np.argmax(y_true, axis=-1) == np.argmax(y_pred, axis=-1))


def sparse_categorical_accuracy(y_true, y_pred):
    """Return whether the largest of `y_pred` is that of class `y_true`, for each sample.

    A number that is no class, such as the -1 of ignored pixels, is never right; give those the weight 0.
    """
    y_true, y_pred = class_numbers("sparse_categorical_accuracy", y_true, y_pred)
    return nan_where_predicted(y_pred, y_true == np.argmax(y_pred, axis=-1))


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """Return whether the class of `y_true` (one-hot) is among the `k` largest of `y_pred`, for each sample."""
    y_true, y_pred = same_shape("top_k_categorical_accuracy", y_true, y_pred)
    return sparse_top_k_categorical_accuracy(np.argmax(y_true, axis=-1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """Return whether class `y_true` is among the `k` largest predictions, for each sample.

    A class that ties with the k-th is in. With `from_sorted_ids`, `y_pred` holds class numbers, best first.
    """
    labels, y_pred = class_numbers("top_k_categorical_accuracy", y_true, y_pred)
    classes = y_pred.shape[-1]
    if k > classes:
        raise ValueError(f"top_k_categorical_accuracy: k must not exceed the {classes} classes, got {k}")
    if from_sorted_ids:
        return np.any(y_pred[..., :k] == labels[..., None], axis=-1).astype(np.float64)
    valid = (labels >= 0) & (labels < classes)
    scores = np.take_along_axis(y_pred, np.where(valid, labels, 0)[..., None].astype(np.int64), axis=-1)
    return nan_where_predicted(y_pred, valid & (np.sum(y_pred > scores, axis=-1) < k))


class Accuracy(MeanMetricWrapper):
    """How often ``y_pred == y_true``, elementwise.

    For class probabilities use the accuracy that fits the targets; ``compile(metrics=["accuracy"])`` chooses it
    (`resolve_accuracy`).
    """

    direction = "up"

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """How often ``(y_pred > threshold) == y_true``.

    Parameters
    ----------
    name : str
    dtype : {None, "float32", "float64"}
    threshold : float
        Default 0.5.
    """

    direction = "up"

    def __init__(self, name="binary_accuracy", dtype=None, threshold=0.5):
        self.threshold = checks.number("BinaryAccuracy", "threshold", threshold)
        super().__init__(binary_accuracy, name, dtype, threshold=self.threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the largest of ``(..., classes)`` predictions is the class of one-hot targets."""

    direction = "up"

    def __init__(self, name="categorical_accuracy", dtype=None):
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the largest of ``(..., classes)`` predictions is the class that the integer target names."""

    direction = "up"

    def __init__(self, name="sparse_categorical_accuracy", dtype=None):
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the class of one-hot targets is among the `k` largest predictions.

    Parameters
    ----------
    k : int
        Default 5; not more than the classes.
    name : str
    dtype : {None, "float32", "float64"}
    """

    direction = "up"

    def __init__(self, k=5, name="top_k_categorical_accuracy", dtype=None):
        self.k = checks.integer("TopKCategoricalAccuracy", "k", k, minimum=1)
        super().__init__(top_k_categorical_accuracy, name, dtype, k=self.k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the class that the integer target names is among the `k` largest predictions.

    Parameters
    ----------
    k : int
        Default 5; not more than the classes.
    name : str
    dtype : {None, "float32", "float64"}
    from_sorted_ids : bool
        True if the predictions are class numbers, best first, instead of scores.
    """

    direction = "up"

    def __init__(self, k=5, name="sparse_top_k_categorical_accuracy", dtype=None, from_sorted_ids=False):
        self.k = checks.integer("SparseTopKCategoricalAccuracy", "k", k, minimum=1)
        self.from_sorted_ids = checks.boolean("SparseTopKCategoricalAccuracy", "from_sorted_ids", from_sorted_ids)
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=self.k, from_sorted_ids=from_sorted_ids)
