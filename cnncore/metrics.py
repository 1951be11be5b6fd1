"""Metrics: quantities computed batch by batch and summed in float64.

A metric takes targets and predictions as NumPy arrays, in as many batches as there are, and gives one value for
all of them. Names, arguments, defaults and equations are Keras 3's.

Shapes. ``(n,)`` and ``(n, 1)`` are the same thing, for targets, predictions and weights alike; every other
difference of shape is an error, never broadcast. `sample_weight` has one weight for each sample, or the shape of
the values that are averaged.

Not-a-number. In the predictions it makes the result NaN until `reset_state`: it is neither right nor wrong.
In the targets or weights it is an error, for then the data are at fault.
"""

import math
import re

import numpy as np

from . import checks
from .registry import Configurable, Registry, to_snake_case

# Probabilities are kept this far from 0 and 1 before their logarithm is taken; also what Keras adds to denominators.
_EPSILON = 1e-7


class Metric(Configurable):
    """Base of metrics. A subclass defines `update_state`, `result` and `reset_state`.

    Parameters
    ----------
    dtype : {None, "float32", "float64"}
        Type of the result. None, the default, gives a Python float (an array where the result is one). Sums are
        always kept in float64.
    name : str, optional
        Key of the value in the logs; by default the class's name in snake_case.

    Attributes
    ----------
    direction : {"up", "down", None}
        Whether more is better, for callbacks that seek the best value; None if unknown.
    """

    direction = None

    def __init__(self, dtype=None, name=None):
        self.name = to_snake_case(type(self).__name__) if name is None else name
        if not isinstance(self.name, str):
            raise ValueError(f"{type(self).__name__}: name must be a string, got {name!r}")
        self.dtype = None if dtype is None else checks.choice(self.name, "dtype", dtype, ("float32", "float64"))

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add one batch: targets, predictions and, if given, a weight for each sample."""
        raise NotImplementedError(f"{type(self).__name__}: update_state(y_true, y_pred, sample_weight=None) "
                                  f"must be defined")

    def result(self):
        """Return the value over everything since the last `reset_state`; 0 if there was nothing."""
        raise NotImplementedError(f"{type(self).__name__}: result() must be defined")

    def reset_state(self):
        """Forget every batch."""
        raise NotImplementedError(f"{type(self).__name__}: reset_state() must be defined")

    def __call__(self, *args, **kwargs):
        """Update with one batch and return the result so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}

    def _output(self, value):
        value = np.asarray(value, dtype=self.dtype or np.float64)
        return value[()] if value.ndim or self.dtype else float(value)


# ------------------------------------------------------------------------------------------------ sums and means


class Sum(Metric):
    """``sum(weight * value)``.

    Parameters
    ----------
    name : str
    dtype : {None, "float32", "float64"}
    """

    def __init__(self, name="sum", dtype=None):
        super().__init__(dtype, name)
        self.reset_state()

    def update_state(self, values, sample_weight=None):
        """Add `values`, an array of any shape, each times its weight."""
        values, _ = _samplewise(self.name, values, sample_weight, np.sum)
        self.total += float(np.sum(values))

    def result(self):
        return self._output(self.total)

    def reset_state(self):
        self.total = 0.0


class Mean(Metric):
    """``sum(weight * value) / sum(weight)``, 0 if the weights are all 0.

    Parameters
    ----------
    name : str
    dtype : {None, "float32", "float64"}
    """

    def __init__(self, name="mean", dtype=None):
        super().__init__(dtype, name)
        self.reset_state()

    def update_state(self, values, sample_weight=None):
        """Add `values` of shape ``(n, ...)``: n samples, each the mean over its further axes."""
        values, weights = _samplewise(self.name, values, sample_weight, np.mean)
        self.total += float(np.sum(values))
        self.count += float(np.sum(weights)) if weights is not None else values.shape[0] if values.ndim else 1

    def result(self):
        return self._output(_divide(self.total, self.count))

    def reset_state(self):
        self.total = 0.0
        self.count = 0.0


class MeanMetricWrapper(Mean):
    """Mean of what a function gives for each sample.

    Parameters
    ----------
    fn : callable
        ``fn(y_true, y_pred, **kwargs)`` returns an array with one value for each sample.
    name : str, optional
        By default the function's name.
    dtype : {None, "float32", "float64"}
    **kwargs
        Passed on to `fn`.
    """

    def __init__(self, fn, name=None, dtype=None, **kwargs):
        if not callable(fn):
            raise ValueError(f"MeanMetricWrapper: fn must be callable, got {fn!r}")
        super().__init__(name or getattr(fn, "__name__", None) or to_snake_case(type(fn).__name__), dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(self._fn(y_true, y_pred, **self._fn_kwargs), sample_weight)

    def get_config(self):
        if type(self) is MeanMetricWrapper:
            raise ValueError(f'metric "{self.name}": a function cannot be serialized; write it as a subclass of Metric')
        return {**super().get_config(), **self._fn_kwargs}


def _samplewise(name, values, sample_weight, reduce):
    """Return values and weights with one entry for each sample (or for each weight, where there are more)."""
    values = np.asarray(values, dtype=np.float64)
    if sample_weight is not None:
        weights = _weights(name, sample_weight)
        values, weights = _same_rank(values, weights)
        if values.ndim > weights.ndim:
            values = reduce(values, axis=tuple(range(weights.ndim, values.ndim)))
        weights = _spread(name, weights, values.shape)
        values = values * weights
        if weights.ndim > 1:
            weights = reduce(weights, axis=tuple(range(1, weights.ndim)))
    else:
        weights = None
    if values.ndim > 1:
        values = reduce(values, axis=tuple(range(1, values.ndim)))
    return values, weights


def _weights(name, sample_weight):
    weights = np.asarray(sample_weight, dtype=np.float64)
    if not np.all(np.isfinite(weights)):
        raise ValueError(f'metric "{name}": sample_weight must be finite, got {_first_bad(weights)}')
    return weights


def _spread(name, weights, shape):
    """Return the weights, which have the leading axes of `shape`, repeated over its further axes."""
    try:
        return np.broadcast_to(weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim)), shape)
    except ValueError:
        raise ValueError(f'metric "{name}": sample_weight must have one weight for each sample of an array of shape '
                         f"{shape}, got the shape {weights.shape}") from None


def _first_bad(array):
    bad = np.argwhere(~np.isfinite(array))[0]
    return f"{array[tuple(bad)]} at index {tuple(int(i) for i in bad)}"


def _divide(numerator, denominator):
    """Return the quotient in float64, 0 where the denominator is 0 (but NaN where either is NaN)."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    quotient = np.where(np.isnan(numerator), np.nan, 0.0)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def _same_rank(a, b):
    """Drop or add a last axis of length 1 so that ``(n,)`` and ``(n, 1)`` agree."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b[..., None]) if b.ndim == 1 else (a[..., 0], b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (a[..., None], b) if a.ndim == 1 else (a, b[..., 0])
    return a, b


def _pair(name, y_true, y_pred):
    """Return targets and predictions as arrays of one shape, or raise ValueError."""
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    a, b = _same_rank(y_true, y_pred)
    if a.shape != b.shape:
        raise ValueError(f"{name}: y_true must have the shape of y_pred, got {y_true.shape} and {y_pred.shape}")
    if a.dtype.kind == "f" and np.isnan(a).any():
        raise ValueError(f"{name}: y_true must not contain NaN, got {_first_bad(a)}")
    return a, b


def _labels(name, y_true, y_pred):
    """Return class numbers as integers of shape ``y_pred.shape[:-1]``, and the predictions."""
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_pred.ndim == 0:
        raise ValueError(f"{name}: y_pred must have a last axis of classes, got a scalar")
    labels = y_true[..., 0] if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1 else y_true
    if labels.shape != y_pred.shape[:-1]:
        hint = "; one-hot targets belong to the metric without 'sparse'" if labels.shape == y_pred.shape else ""
        raise ValueError(f"{name}: y_true must hold one class number for each prediction, shape {y_pred.shape[:-1]}, "
                         f"got {y_true.shape}{hint}")
    if labels.dtype.kind not in "iub":
        whole = labels.astype(np.int64) if labels.dtype.kind == "f" and np.isfinite(labels).all() else None
        if whole is None or (whole != labels).any():
            raise ValueError(f"{name}: y_true must hold whole class numbers, got values of type {labels.dtype} "
                             f"that are not whole")
        labels = whole
    return labels, y_pred


def _nan_where(y_pred, matches):
    """Return matches as float64 with NaN where the predictions of the sample contain NaN."""
    matches = matches.astype(np.float64)
    if y_pred.dtype.kind == "f":
        nan = np.isnan(y_pred)
        if nan.any():
            matches[np.any(nan, axis=-1) if nan.ndim > matches.ndim else nan] = np.nan
    return matches


# ------------------------------------------------------------------------------------------------ accuracy


def accuracy(y_true, y_pred):
    """Return ``y_true == y_pred`` as 0 or 1, elementwise."""
    y_true, y_pred = _pair("accuracy", y_true, y_pred)
    return _nan_where(y_pred, y_true == y_pred)


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """Return ``y_true == (y_pred > threshold)`` as 0 or 1, elementwise."""
    y_true, y_pred = _pair("binary_accuracy", y_true, y_pred)
    return _nan_where(y_pred, y_true == (y_pred > threshold))


def categorical_accuracy(y_true, y_pred):
    """Return whether the largest prediction is the largest target (one-hot), for each sample."""
    y_true, y_pred = _pair("categorical_accuracy", y_true, y_pred)
    return _nan_where(y_pred, np.argmax(y_true, axis=-1) == np.argmax(y_pred, axis=-1))


def sparse_categorical_accuracy(y_true, y_pred):
    """Return whether the largest prediction is class `y_true`, for each sample.

    A number that is no class, such as the -1 of ignored pixels, is never right; give those the weight 0.
    """
    y_true, y_pred = _labels("sparse_categorical_accuracy", y_true, y_pred)
    return _nan_where(y_pred, y_true == np.argmax(y_pred, axis=-1))


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """Return whether the class of `y_true` (one-hot) is among the `k` largest predictions, for each sample."""
    y_true, y_pred = _pair("top_k_categorical_accuracy", y_true, y_pred)
    return sparse_top_k_categorical_accuracy(np.argmax(y_true, axis=-1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """Return whether class `y_true` is among the `k` largest predictions, for each sample.

    A class that ties with the k-th is in. With `from_sorted_ids`, `y_pred` holds class numbers, best first.
    """
    labels, y_pred = _labels("top_k_categorical_accuracy", y_true, y_pred)
    classes = y_pred.shape[-1]
    if k > classes:
        raise ValueError(f"top_k_categorical_accuracy: k must not exceed the {classes} classes, got {k}")
    if from_sorted_ids:
        return np.any(y_pred[..., :k] == labels[..., None], axis=-1).astype(np.float64)
    valid = (labels >= 0) & (labels < classes)
    scores = np.take_along_axis(y_pred, np.where(valid, labels, 0)[..., None].astype(np.int64), axis=-1)
    return _nan_where(y_pred, valid & (np.sum(y_pred > scores, axis=-1) < k))


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


# ------------------------------------------------------------------------------------------------ errors


def mean_squared_error(y_true, y_pred):
    """Return ``mean((y_true - y_pred)**2)`` over the last axis."""
    return np.mean(np.square(_difference("mean_squared_error", y_true, y_pred)), axis=-1)


def mean_absolute_error(y_true, y_pred):
    """Return ``mean(abs(y_true - y_pred))`` over the last axis."""
    return np.mean(np.abs(_difference("mean_absolute_error", y_true, y_pred)), axis=-1)


def _difference(name, y_true, y_pred):
    y_true, y_pred = _pair(name, y_true, y_pred)
    with np.errstate(invalid="ignore"):  # of infinite predictions comes NaN, which the result shows
        difference = np.subtract(y_true, y_pred, dtype=np.float64)
    return difference if difference.ndim > 1 else difference.reshape(-1, 1)


class MeanSquaredError(MeanMetricWrapper):
    """``mean((y_true - y_pred)**2)``."""

    direction = "down"

    def __init__(self, name="mean_squared_error", dtype=None):
        super().__init__(mean_squared_error, name, dtype)


class MeanAbsoluteError(MeanMetricWrapper):
    """``mean(abs(y_true - y_pred))``."""

    direction = "down"

    def __init__(self, name="mean_absolute_error", dtype=None):
        super().__init__(mean_absolute_error, name, dtype)


class RootMeanSquaredError(Mean):
    """``sqrt(mean((y_true - y_pred)**2))``, the root taken once, over all samples."""

    direction = "down"

    def __init__(self, name="root_mean_squared_error", dtype=None):
        super().__init__(name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(np.square(_difference(self.name, y_true, y_pred)), sample_weight)

    def result(self):
        return self._output(math.sqrt(_divide(self.total, self.count)))


# ------------------------------------------------------------------------------------------------ cross-entropies


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """Return ``-sum(y_true * log(p))`` along `axis`, in nats.

    Without `from_logits` p is ``y_pred / sum(y_pred)`` kept within [1e-7, 1 - 1e-7]; with it, the softmax of `y_pred`.
    ``label_smoothing=s`` replaces the targets by ``(1 - s) * y_true + s / classes``.
    """
    y_true, y_pred = _pair("categorical_crossentropy", y_true, y_pred)
    y_true = y_true.astype(np.float64)
    if label_smoothing:
        y_true = y_true * (1 - label_smoothing) + label_smoothing / y_true.shape[axis]
    return -np.sum(y_true * _log_probabilities(y_pred, from_logits, axis), axis=axis)


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """Return ``-log(p[y_true])``, in nats, 0 where `y_true` is `ignore_class`; p as in `categorical_crossentropy`."""
    labels, y_pred = _labels("sparse_categorical_crossentropy", y_true, np.moveaxis(np.asarray(y_pred), axis, -1))
    kept = np.ones(labels.shape, bool) if ignore_class is None else labels != ignore_class
    wrong = kept & ((labels < 0) | (labels >= y_pred.shape[-1]))
    if wrong.any():
        raise ValueError(f"sparse_categorical_crossentropy: y_true must be in 0..{y_pred.shape[-1] - 1}, "
                         f"got {labels[wrong][0]}; name a class to leave out in ignore_class")
    logs = _log_probabilities(y_pred, from_logits, -1)
    index = np.where(kept, labels, 0).astype(np.int64)[..., None]
    return np.where(kept, -np.take_along_axis(logs, index, axis=-1)[..., 0], 0.0)


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """Return the mean of ``-t * log(p) - (1 - t) * log(1 - p)`` along `axis`, in nats.

    Without `from_logits` p is `y_pred` kept within [1e-7, 1 - 1e-7]; with it, the sigmoid of `y_pred`.
    ``label_smoothing=s`` replaces the targets by ``(1 - s) * y_true + s / 2``.
    """
    y_true, y_pred = _pair("binary_crossentropy", y_true, y_pred)
    t, x = y_true.astype(np.float64), y_pred.astype(np.float64)
    if label_smoothing:
        t = t * (1 - label_smoothing) + label_smoothing / 2
    if from_logits:
        with np.errstate(invalid="ignore"):
            loss = np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))
    else:
        x = np.clip(x, _EPSILON, 1 - _EPSILON)
        loss = -t * np.log(x) - (1 - t) * np.log1p(-x)
    return np.mean(loss, axis=axis) if loss.ndim > 1 else loss


def _log_probabilities(y_pred, from_logits, axis):
    x = y_pred.astype(np.float64)
    with np.errstate(invalid="ignore"):
        if from_logits:
            x = x - np.max(x, axis=axis, keepdims=True)
            return x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True))
        return np.log(np.clip(x / np.sum(x, axis=axis, keepdims=True), _EPSILON, 1 - _EPSILON))


def _smoothing(owner, value):
    return checks.number(owner, "label_smoothing", value, "be in [0, 1]", lambda v: 0 <= v <= 1)


class CategoricalCrossentropy(MeanMetricWrapper):
    """Mean cross-entropy, in nats, of predictions ``(..., classes)`` with one-hot targets.

    Parameters
    ----------
    name : str
    dtype : {None, "float32", "float64"}
    from_logits : bool
        Whether the predictions are logits instead of probabilities. Default False.
    label_smoothing : float
        s in ``(1 - s) * y_true + s / classes``. Default 0.
    axis : int
        The axis of classes. Default -1.
    """

    direction = "down"

    def __init__(self, name="categorical_crossentropy", dtype=None, from_logits=False, label_smoothing=0.0, axis=-1):
        self.from_logits = checks.boolean("CategoricalCrossentropy", "from_logits", from_logits)
        self.label_smoothing = _smoothing("CategoricalCrossentropy", label_smoothing)
        self.axis = checks.integer("CategoricalCrossentropy", "axis", axis, minimum=-32)
        super().__init__(categorical_crossentropy, name, dtype, from_logits=from_logits,
                         label_smoothing=self.label_smoothing, axis=self.axis)


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """Mean cross-entropy, in nats, of predictions ``(..., classes)`` with integer targets.

    Parameters
    ----------
    name : str
    dtype : {None, "float32", "float64"}
    from_logits : bool
        Whether the predictions are logits instead of probabilities. Default False.
    ignore_class : int, optional
        Targets of this number are left out of the mean, with and without weights (as in Keras' loss; Keras' metric
        counts them, as 0, when there are no weights).
    axis : int
        The axis of classes. Default -1.
    """

    direction = "down"

    def __init__(self, name="sparse_categorical_crossentropy", dtype=None, from_logits=False, ignore_class=None,
                 axis=-1):
        owner = "SparseCategoricalCrossentropy"
        self.from_logits = checks.boolean(owner, "from_logits", from_logits)
        self.ignore_class = None if ignore_class is None else checks.integer(owner, "ignore_class", ignore_class,
                                                                             minimum=-2**31)
        self.axis = checks.integer(owner, "axis", axis, minimum=-32)
        super().__init__(sparse_categorical_crossentropy, name, dtype, from_logits=from_logits,
                         ignore_class=self.ignore_class, axis=self.axis)

    def update_state(self, y_true, y_pred, sample_weight=None):
        if self.ignore_class is not None:
            y_pred = np.asarray(y_pred)
            labels, _ = _labels("sparse_categorical_crossentropy", y_true, np.moveaxis(y_pred, self.axis, -1))
            kept = (labels != self.ignore_class).astype(np.float64)
            if sample_weight is not None:
                kept, weights = _same_rank(kept, _weights(self.name, sample_weight))
                kept = kept * _spread(self.name, weights, kept.shape)
            sample_weight = kept
        super().update_state(y_true, y_pred, sample_weight)


class BinaryCrossentropy(MeanMetricWrapper):
    """Mean binary cross-entropy, in nats.

    Parameters
    ----------
    name : str
    dtype : {None, "float32", "float64"}
    from_logits : bool
        Whether the predictions are logits instead of probabilities. Default False.
    label_smoothing : float
        s in ``(1 - s) * y_true + s / 2``. Default 0.
    """

    direction = "down"

    def __init__(self, name="binary_crossentropy", dtype=None, from_logits=False, label_smoothing=0.0):
        self.from_logits = checks.boolean("BinaryCrossentropy", "from_logits", from_logits)
        self.label_smoothing = _smoothing("BinaryCrossentropy", label_smoothing)
        super().__init__(binary_crossentropy, name, dtype, from_logits=from_logits,
                         label_smoothing=self.label_smoothing)


# ------------------------------------------------------------------------------------------------ confusion counts


class _Confusion:
    """Weighted counts of right and wrong decisions ``y_pred > threshold``, for each threshold.

    The four arrays have the shape ``(thresholds,)``, or ``(thresholds, labels)``.
    """

    def __init__(self, thresholds, labels=None):
        self.thresholds = np.asarray(thresholds, dtype=np.float64)
        self.true_positives, self.false_positives, self.positives, self.negatives = np.zeros(
            (4, self.thresholds.size) if labels is None else (4, self.thresholds.size, labels))

    @property
    def false_negatives(self):
        return self.positives - self.true_positives

    @property
    def true_negatives(self):
        return self.negatives - self.false_positives

    def add(self, y_true, y_pred, weights):
        """Add elements: truth (bool), score and weight, arrays of one shape ``(n,)`` or ``(n, labels)``."""
        if np.isnan(y_pred).any():
            self.true_positives += np.nan
            self.false_positives += np.nan
            return
        order = np.argsort(self.thresholds, kind="stable")
        # In the scores' own type, so that a float32 score 0.3 is not above the threshold 0.3.
        ladder = self.thresholds[order].astype(y_pred.dtype)
        above = np.searchsorted(ladder, y_pred, side="left")  # how many thresholds each score exceeds
        for truth, counts, totals in ((y_true, self.true_positives, self.positives),
                                      (~y_true, self.false_positives, self.negatives)):
            exceeding = _histogram(above, weights * truth, ladder.size + 1)
            counts[order] += np.cumsum(exceeding[::-1], axis=0)[::-1][1:]
            totals += np.sum(exceeding, axis=0)


def _histogram(bins, weights, size):
    """Return ``out[b]``, the sum of the weights in bin b, for each column."""
    if bins.ndim == 1:
        return np.bincount(bins, weights, minlength=size)
    columns = bins.shape[1]
    flat = (bins * columns + np.arange(columns)).reshape(-1)
    return np.bincount(flat, weights.reshape(-1), minlength=size * columns).reshape(size, columns)


def _scores(name, y_true, y_pred, sample_weight):
    """Return truth (bool), scores (float) and weights, three arrays of one shape."""
    y_true, y_pred = _pair(f'metric "{name}"', y_true, y_pred)
    if y_pred.dtype.kind != "f":
        y_pred = y_pred.astype(np.float64)
    weights = np.ones(()) if sample_weight is None else _weights(name, sample_weight)
    if weights.ndim == y_pred.ndim + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    return y_true.astype(bool), y_pred, _spread(name, weights, y_pred.shape)


class _ThresholdMetric(Metric):
    """Base of Precision and Recall."""

    direction = "up"

    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None, dtype=None):
        super().__init__(dtype, name)
        owner = type(self).__name__
        self.top_k = None if top_k is None else checks.integer(owner, "top_k", top_k, minimum=1)
        self.class_id = None if class_id is None else checks.integer(owner, "class_id", class_id)
        if thresholds is None:
            self.thresholds = [0.5 if top_k is None else -math.inf]
        else:
            listed = list(thresholds) if isinstance(thresholds, (list, tuple, np.ndarray)) else [thresholds]
            self.thresholds = [checks.number(owner, "each threshold", t, "be in [0, 1]", lambda v: 0 <= v <= 1)
                               for t in listed]
            if not listed:
                raise ValueError(f"{owner}: thresholds must not be empty, got {thresholds!r}")
        self._init_thresholds = None if thresholds is None else self.thresholds
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred, weights = _scores(self.name, y_true, y_pred, sample_weight)
        classes = y_pred.shape[-1]
        if self.top_k is not None:
            if self.top_k > classes:
                raise ValueError(f'metric "{self.name}": top_k must not exceed the {classes} classes, '
                                 f"got {self.top_k}")
            best = np.argsort(-y_pred, axis=-1, kind="stable")[..., :self.top_k]
            kept = np.full_like(y_pred, -np.inf)
            np.put_along_axis(kept, best, np.take_along_axis(y_pred, best, axis=-1), axis=-1)
            kept[np.isnan(y_pred).any(axis=-1)] = np.nan  # a sample with NaN has no order
            y_pred = kept
        if self.class_id is not None:
            if y_pred.ndim < 2 or self.class_id >= classes:
                raise ValueError(f'metric "{self.name}": class_id must be a column of the predictions, '
                                 f"got {self.class_id} for the shape {y_pred.shape}")
            y_true, y_pred, weights = (a[..., self.class_id] for a in (y_true, y_pred, weights))
        self._counts.add(y_true.reshape(-1), y_pred.reshape(-1), weights.reshape(-1))

    def reset_state(self):
        self._counts = _Confusion(self.thresholds)

    def _of_thresholds(self, values):
        return self._output(values[0] if len(self.thresholds) == 1 else values)

    def get_config(self):
        return {"thresholds": self._init_thresholds, "top_k": self.top_k, "class_id": self.class_id,
                **super().get_config()}


class Precision(_ThresholdMetric):
    """``true positives / (true positives + false positives)``, 0 if nothing was predicted positive.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        In [0, 1]; a prediction is positive above the threshold. Default 0.5. A sequence gives an array of results.
    top_k : int, optional
        Only the `top_k` largest predictions of each sample can be positive; the threshold is then off by default.
    class_id : int, optional
        Only this column counts.
    name : str, optional
    dtype : {None, "float32", "float64"}
    """

    def result(self):
        counts = self._counts
        return self._of_thresholds(_divide(counts.true_positives, counts.true_positives + counts.false_positives))


class Recall(_ThresholdMetric):
    """``true positives / (true positives + false negatives)``, 0 if there were no positives.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        In [0, 1]; a prediction is positive above the threshold. Default 0.5. A sequence gives an array of results.
    top_k : int, optional
        Only the `top_k` largest predictions of each sample can be positive; the threshold is then off by default.
    class_id : int, optional
        Only this column counts.
    name : str, optional
    dtype : {None, "float32", "float64"}
    """

    def result(self):
        return self._of_thresholds(_divide(self._counts.true_positives, self._counts.positives))


class FBetaScore(Metric):
    """``(1 + beta**2) * precision * recall / (beta**2 * precision + recall)`` for each class.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None gives one score for each class; "micro" counts all classes together; "macro" is the mean over classes;
        "weighted" the mean weighted by each class's number of targets.
    beta : float
        How many times recall weighs as much as precision. Default 1.
    threshold : float, optional
        In (0, 1]; predictions above it are positive. None: the largest of each sample is.
    name : str
    dtype : {None, "float32", "float64"}

    Notes
    -----
    Targets are one-hot (or 0 and 1 for each label), of the predictions' shape ``(n, classes)``. Each denominator has
    1e-7 added, as in Keras.
    """

    direction = "up"

    def __init__(self, average=None, beta=1.0, threshold=None, name="fbeta_score", dtype=None):
        super().__init__(dtype, name)
        owner = type(self).__name__
        self.average = checks.choice(owner, "average", average, (None, "micro", "macro", "weighted"))
        self.beta = checks.positive(owner, "beta", beta)
        self.threshold = None if threshold is None else checks.number(owner, "threshold", threshold, "be in (0, 1]",
                                                                      lambda v: 0 < v <= 1)
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = _pair(f'metric "{self.name}"', y_true, y_pred)
        y_true, y_pred = (a[:, None] if a.ndim == 1 else a for a in (y_true, y_pred))
        if y_pred.ndim != 2:
            raise ValueError(f'metric "{self.name}": y_true and y_pred must have the shape (n, classes), '
                             f"got {y_pred.shape}")
        classes = y_pred.shape[1]
        if self._classes not in (None, classes):
            raise ValueError(f'metric "{self.name}": y_pred must keep its {self._classes} classes from batch to '
                             f"batch, got {classes}; call reset_state() first")
        weights = np.ones((y_pred.shape[0], 1))
        if sample_weight is not None:
            weights = _weights(self.name, sample_weight).reshape(-1, 1)
            if weights.shape[0] != y_pred.shape[0]:
                raise ValueError(f'metric "{self.name}": sample_weight must have one weight for each of the '
                                 f"{y_pred.shape[0]} samples, got the shape {np.shape(sample_weight)}")
        nan = y_pred.dtype.kind == "f" and np.isnan(y_pred).any()
        if self.threshold is None:
            positive = (y_pred >= np.max(y_pred, axis=-1, keepdims=True)) & (np.abs(y_pred) > 1e-9)
        else:
            positive = y_pred > self.threshold
        targets, positive = y_true.astype(np.float64), positive.astype(np.float64)
        counts = np.stack([np.sum(weights * c, axis=0) for c in (
            positive * targets, positive * (1 - targets), (1 - positive) * targets, targets)])
        self._classes = classes
        self._counts = self._counts + (counts + np.nan if nan else counts)

    def result(self):
        counts = np.sum(self._counts, axis=1) if self.average == "micro" else self._counts
        hits, false_positives, false_negatives, targets = counts
        precision = hits / (hits + false_positives + _EPSILON)
        recall = hits / (hits + false_negatives + _EPSILON)
        squared = self.beta ** 2
        score = (1 + squared) * precision * recall / (squared * precision + recall + _EPSILON)
        if self.average == "weighted":
            score = np.sum(score * targets / (np.sum(targets) + _EPSILON))
        elif self.average is not None:
            score = np.mean(score)
        return self._output(score)

    def reset_state(self):
        self._classes = None
        self._counts = np.zeros((4, 1))

    def get_config(self):
        return {"average": self.average, "beta": self.beta, "threshold": self.threshold, **super().get_config()}


class F1Score(FBetaScore):
    """``2 * precision * recall / (precision + recall)`` for each class: `FBetaScore` with beta 1.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None gives one score for each class; "micro" counts all classes together; "macro" is the mean over classes;
        "weighted" the mean weighted by each class's number of targets.
    threshold : float, optional
        In (0, 1]; predictions above it are positive. None: the largest of each sample is. A single output needs one.
    name : str
    dtype : {None, "float32", "float64"}
    """

    def __init__(self, average=None, threshold=None, name="f1_score", dtype=None):
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self):
        config = super().get_config()
        del config["beta"]
        return config


class AUC(Metric):
    """Area under the ROC or the precision-recall curve, as a sum over a ladder of thresholds.

    Parameters
    ----------
    num_thresholds : int
        At least 2. Default 200, evenly spaced on [0, 1]; more of them, smaller the error.
    curve : {"ROC", "PR"}
        ROC: recall over the false-positive rate. PR: precision over recall.
    summation_method : {"interpolation", "minoring", "majoring"}
        Mid-point heights (for PR, the interpolation of Davis and Goadrich 2006), or the lower or upper sum.
    name : str, optional
    dtype : {None, "float32", "float64"}
    thresholds : sequence of float, optional
        In [0, 1]; used, with one below 0 and one above 1, instead of `num_thresholds` even ones.
    multi_label : bool
        True computes an area for each column and averages them; False counts all elements together.
    num_labels : int, optional
        Number of columns, with `multi_label` only; otherwise taken from the first batch.
    label_weights : sequence of float, optional
        One for each column: weights of the average with `multi_label`, else of the elements.
    from_logits : bool
        Whether the predictions are logits, to be passed through the sigmoid. Default False.
    """

    direction = "up"

    def __init__(self, num_thresholds=200, curve="ROC", summation_method="interpolation", name=None, dtype=None,
                 thresholds=None, multi_label=False, num_labels=None, label_weights=None, from_logits=False):
        super().__init__(dtype, name)
        curve = curve.upper() if isinstance(curve, str) else curve
        self.curve = checks.choice("AUC", "curve", curve, ("ROC", "PR"))
        method = summation_method.lower() if isinstance(summation_method, str) else summation_method
        self.summation_method = checks.choice("AUC", "summation_method", method,
                                              ("interpolation", "minoring", "majoring"))
        if thresholds is None:
            self.num_thresholds = checks.integer("AUC", "num_thresholds", num_thresholds, minimum=2)
            inner = [(i + 1) / (self.num_thresholds - 1) for i in range(self.num_thresholds - 2)]
        else:
            inner = sorted(checks.number("AUC", "each threshold", t, "be in [0, 1]", lambda v: 0 <= v <= 1)
                           for t in thresholds)
            self.num_thresholds = len(inner) + 2
        self._init_thresholds = None if thresholds is None else inner
        self.thresholds = [-_EPSILON, *inner, 1 + _EPSILON]
        self.multi_label = checks.boolean("AUC", "multi_label", multi_label)
        if num_labels is not None and not multi_label:
            raise ValueError(f"AUC: num_labels must be given with multi_label=True only, got {num_labels!r}")
        self.num_labels = None if num_labels is None else checks.integer("AUC", "num_labels", num_labels, minimum=1)
        self.label_weights = None if label_weights is None else [
            checks.non_negative("AUC", "each label weight", w) for w in label_weights]
        self.from_logits = checks.boolean("AUC", "from_logits", from_logits)
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred, weights = _scores(self.name, y_true, y_pred, sample_weight)
        if self.multi_label and y_pred.ndim != 2:
            raise ValueError(f'metric "{self.name}": y_pred must have the shape (n, labels) with multi_label=True, '
                             f"got {y_pred.shape}")
        labels = y_pred.shape[-1] if y_pred.ndim > 1 else 1
        if self.label_weights is not None and len(self.label_weights) != labels:
            raise ValueError(f'metric "{self.name}": label_weights must be one for each of the {labels} labels, '
                             f"got {len(self.label_weights)}")
        if self.multi_label and labels != (self._labels or labels):
            raise ValueError(f'metric "{self.name}": y_pred must have {self._labels} labels, got {labels}')
        if self.from_logits:
            y_pred = 0.5 * (1 + np.tanh(0.5 * y_pred))
        elif np.any((y_pred < -1e-5) | (y_pred > 1 + 1e-5)):
            raise ValueError(f'metric "{self.name}": y_pred must be in [0, 1], got {np.min(y_pred)} to '
                             f"{np.max(y_pred)}; for logits use from_logits=True")
        y_pred = np.clip(y_pred, 0, 1)
        if self.multi_label:
            if self._labels is None:
                self._labels, self._counts = labels, _Confusion(self.thresholds, labels)
            self._counts.add(y_true, y_pred, weights)
        else:
            if self.label_weights is not None:
                weights = weights * np.asarray(self.label_weights)
            self._counts.add(y_true.reshape(-1), y_pred.reshape(-1), weights.reshape(-1))

    def result(self):
        if self._counts is None:
            return self._output(0.0)
        if self.curve == "PR" and self.summation_method == "interpolation":
            area = self._interpolated_pr_area()
        else:
            area = self._sum_of_steps()
        if self.multi_label:
            weights = np.ones(area.shape) if self.label_weights is None else np.asarray(self.label_weights)
            area = _divide(np.sum(area * weights), np.sum(weights))
        return self._output(area)

    def _sum_of_steps(self):
        c = self._counts
        recall = _divide(c.true_positives, c.positives)
        if self.curve == "ROC":
            x, y = _divide(c.false_positives, c.negatives), recall
        else:
            x, y = recall, _divide(c.true_positives, c.true_positives + c.false_positives)
        left, right = y[:-1], y[1:]
        heights = {"interpolation": (left + right) / 2, "minoring": np.minimum(left, right),
                   "majoring": np.maximum(left, right)}[self.summation_method]
        return np.sum((x[:-1] - x[1:]) * heights, axis=0)

    def _interpolated_pr_area(self):
        """Sum the area between thresholds with true positives linear in the predicted positives.

        Between two thresholds TP = intercept + slope * P, so precision TP / P integrates over recall to
        slope * (dTP + intercept * log(P_before / P_after)) / positives.
        """
        c = self._counts
        predicted = c.true_positives + c.false_positives
        d_hits, d_predicted = -np.diff(c.true_positives, axis=0), -np.diff(predicted, axis=0)
        slope = _divide(d_hits, np.maximum(d_predicted, 0))
        intercept = c.true_positives[1:] - slope * predicted[1:]
        both = (predicted[:-1] > 0) & (predicted[1:] > 0)
        ratio = np.where(both, _divide(predicted[:-1], predicted[1:]), 1.0)
        return np.sum(_divide(slope * (d_hits + intercept * np.log(ratio)), c.positives[1:]), axis=0)

    def reset_state(self):
        self._labels = self.num_labels
        unknown = self.multi_label and self._labels is None
        self._counts = None if unknown else _Confusion(self.thresholds, self._labels if self.multi_label else None)

    def get_config(self):
        return {"num_thresholds": self.num_thresholds, "curve": self.curve, "summation_method": self.summation_method,
                "thresholds": self._init_thresholds, "multi_label": self.multi_label, "num_labels": self.num_labels,
                "label_weights": self.label_weights, "from_logits": self.from_logits, **super().get_config()}


# ------------------------------------------------------------------------------------------------ by name

_registry = Registry(
    "metric",
    [Mean, Sum, Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, TopKCategoricalAccuracy,
     SparseTopKCategoricalAccuracy, MeanSquaredError, MeanAbsoluteError, RootMeanSquaredError,
     CategoricalCrossentropy, SparseCategoricalCrossentropy, BinaryCrossentropy, Precision, Recall, FBetaScore,
     F1Score, AUC],
    {"acc": Accuracy, "mse": MeanSquaredError, "MSE": MeanSquaredError, "mae": MeanAbsoluteError,
     "MAE": MeanAbsoluteError, "rmse": RootMeanSquaredError, "bce": BinaryCrossentropy, "BCE": BinaryCrossentropy,
     "auc": AUC, "fbeta_score": FBetaScore})
serialize = _registry.serialize
deserialize = _registry.deserialize


def get(identifier):
    """Return a metric for an instance, a class, a name, a config dict or a function; None for None.

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
    """Return the metrics that ``compile(metrics=identifiers)`` means, each with its own name.

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

    Knows the losses and every metric of this module, with a number ("auc_1") or an output's name ("head_accuracy").
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
