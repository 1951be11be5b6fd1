"""Metrics by name: which object a name, a configuration or the word "accuracy" stands for."""

import re

from ..registry import Registry
from .accuracies import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from .auc import AUC
from .base import Metric
from .crossentropies import BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy
from .errors import MeanAbsoluteError, MeanSquaredError, RootMeanSquaredError
from .f_scores import F1Score, FBetaScore
from .means import Mean, MeanMetricWrapper, Sum
from .precision_recall import Precision, Recall

_registry = Registry(
    "metric",
    [
        Mean,
        Sum,
        Accuracy,
        BinaryAccuracy,
        CategoricalAccuracy,
        SparseCategoricalAccuracy,
        TopKCategoricalAccuracy,
        SparseTopKCategoricalAccuracy,
        MeanSquaredError,
        MeanAbsoluteError,
        RootMeanSquaredError,
        CategoricalCrossentropy,
        SparseCategoricalCrossentropy,
        BinaryCrossentropy,
        Precision,
        Recall,
        FBetaScore,
        F1Score,
        AUC,
    ],
    {
        "acc": Accuracy,
        "mse": MeanSquaredError,
        "MSE": MeanSquaredError,
        "mae": MeanAbsoluteError,
        "MAE": MeanAbsoluteError,
        "rmse": RootMeanSquaredError,
        "bce": BinaryCrossentropy,
        "BCE": BinaryCrossentropy,
        "auc": AUC,
        "fbeta_score": FBetaScore,
    },
)
serialize = _registry.serialize
deserialize = _registry.deserialize


def get(identifier):
    """Return a metric for an identifier: an instance, a class, a name, a config dict or a function; None for None.

    Names are class names or their snake_case form ("F1Score", "f1_score") and "acc", "mse", "mae", "rmse", "bce".
    ``get("accuracy")`` is the elementwise `Accuracy`; which accuracy a model means depends on shapes: see `resolve`.
    A function ``fn(y_true, y_pred)`` becomes the mean of what it returns.
    """
    metric = _registry.get(identifier)
    return MeanMetricWrapper(metric) if metric is not None and not isinstance(metric, Metric) else metric


def resolve_accuracy(y_true_shape, y_pred_shape):
    """Return the class that "accuracy" means for targets and predictions of these shapes, by Keras' rule.

    Parameters
    ----------
    y_true_shape, y_pred_shape : tuple
        The first entry, the batch, may be None.

    Returns
    -------
    type
        BinaryAccuracy if the predictions have one column; SparseCategoricalAccuracy if the targets have one axis less,
        or one column; else CategoricalAccuracy.
    """
    if len(y_pred_shape) == 0:
        raise ValueError(f"accuracy: y_pred must have a batch axis, got the shape {tuple(y_pred_shape)}")
    if y_pred_shape[-1] == 1:
        return BinaryAccuracy
    if len(y_true_shape) < len(y_pred_shape) or y_true_shape[-1] == 1:
        return SparseCategoricalAccuracy
    return CategoricalAccuracy


def resolve(identifiers, y_true_shape, y_pred_shape):
    """Return the metrics that ``compile(metrics=identifiers)`` means, each with its own name; the shapes decide what
    "accuracy" is.

    Parameters
    ----------
    identifiers : list of str, Metric, type, dict or callable
    y_true_shape, y_pred_shape : tuple
        The first entry, the batch, may be None.

    A metric given by name is logged under that very name ("acc", "mse"), as in Keras. A name that comes twice
    gets a number: two Precision() are "precision" and "precision_1".
    """
    metrics, taken = [], set()
    for identifier in identifiers:
        if isinstance(identifier, str) and identifier in ("accuracy", "acc"):
            metric = resolve_accuracy(y_true_shape, y_pred_shape)(name=identifier)
        else:
            metric = get(identifier)
            if metric is None:
                raise ValueError("metric: the identifier must not be None")
            if isinstance(identifier, str):
                metric.name = identifier
        if any(metric is other for other in metrics):
            raise ValueError(f'metric "{metric.name}": each metric must be given once, got the same object twice')
        base, number = metric.name, 0
        while metric.name in taken:
            number += 1
            metric.name = f"{base}_{number}"
        taken.add(metric.name)
        metrics.append(metric)
    return metrics


def direction_of(name):
    """Return "up" or "down", whether more or less of the quantity logged as `name` is better; None if unknown.

    Knows the losses and every metric of this package, with a number ("auc_1") or an output's name ("head_accuracy").
    """
    name = re.sub(r"_\d+$", "", name.removeprefix("val_"))
    while name:
        if name == "loss":
            return "down"
        cls = _registry.find(name)
        if cls is not None and cls.direction:
            return cls.direction
        name = name.partition("_")[2]
    return None
