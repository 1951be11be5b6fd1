"""Cross-entropies of predicted probabilities, in nats."""

import numpy as np

from .. import checks
from .arrays import EPSILON, class_numbers, finite_weights, same_rank, same_shape, spread_weights
from .means import MeanMetricWrapper


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """Return ``-sum(y_true * log(p))`` along `axis`, in nats.

    Without `from_logits` p is ``y_pred / sum(y_pred)`` kept within [1e-7, 1 - 1e-7]; with it, the softmax of `y_pred`.
    ``label_smoothing=s`` replaces the targets by ``(1 - s) * y_true + s / classes``.
    """
    y_true, y_pred = same_shape("categorical_crossentropy", y_true, y_pred)
    y_true = y_true.astype(np.float64)
    if label_smoothing:
        y_true = y_true * (1 - label_smoothing) + label_smoothing / y_true.shape[axis]
    return -np.sum(y_true * _log_probabilities(y_pred, from_logits, axis), axis=axis)


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """Return ``-log(p[y_true])``, in nats, 0 where `y_true` is `ignore_class`; p follows from `y_pred`, `from_logits`
    and `axis` as in `categorical_crossentropy`.
    """
    labels, y_pred = class_numbers("sparse_categorical_crossentropy", y_true, np.moveaxis(np.asarray(y_pred), axis, -1))
    kept = np.ones(labels.shape, bool) if ignore_class is None else labels != ignore_class
    wrong = kept & ((labels < 0) | (labels >= y_pred.shape[-1]))
    if wrong.any():
        raise ValueError(
            f"sparse_categorical_crossentropy: y_true must be in 0..{y_pred.shape[-1] - 1}, "
            f"got {labels[wrong][0]}; name a class to leave out in ignore_class"
        )
    logs = _log_probabilities(y_pred, from_logits, -1)
    index = np.where(kept, labels, 0).astype(np.int64)[..., None]
    return np.where(kept, -np.take_along_axis(logs, index, axis=-1)[..., 0], 0.0)


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """Return the mean of ``-t * log(p) - (1 - t) * log(1 - p)`` along `axis`, in nats.

    Without `from_logits` p is `y_pred` kept within [1e-7, 1 - 1e-7]; with it, the sigmoid of `y_pred`.
    ``label_smoothing=s`` replaces the targets by ``(1 - s) * y_true + s / 2``.
    """
    y_true, y_pred = same_shape("binary_crossentropy", y_true, y_pred)
    t, x = y_true.astype(np.float64), y_pred.astype(np.float64)
    if label_smoothing:
        t = t * (1 - label_smoothing) + label_smoothing / 2
    if from_logits:
        with np.errstate(invalid="ignore"):
            loss = np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))
    else:
        x = np.clip(x, EPSILON, 1 - EPSILON)
        loss = -t * np.log(x) - (1 - t) * np.log1p(-x)
    return np.mean(loss, axis=axis) if loss.ndim > 1 else loss


def _log_probabilities(y_pred, from_logits, axis):
    x = y_pred.astype(np.float64)
    with np.errstate(invalid="ignore"):
        if from_logits:
            x = x - np.max(x, axis=axis, keepdims=True)
            return x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True))
        return np.log(np.clip(x / np.sum(x, axis=axis, keepdims=True), EPSILON, 1 - EPSILON))


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
        super().__init__(
            categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=self.label_smoothing,
            axis=self.axis,
        )


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

    def __init__(
        self, name="sparse_categorical_crossentropy", dtype=None, from_logits=False, ignore_class=None, axis=-1
    ):
        owner = "SparseCategoricalCrossentropy"
        self.from_logits = checks.boolean(owner, "from_logits", from_logits)
        self.ignore_class = (
            None if ignore_class is None else checks.integer(owner, "ignore_class", ignore_class, minimum=-(2**31))
        )
        self.axis = checks.integer(owner, "axis", axis, minimum=-32)
        super().__init__(
            sparse_categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=self.ignore_class,
            axis=self.axis,
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        if self.ignore_class is not None:
            y_pred = np.asarray(y_pred)
            labels, _ = class_numbers("sparse_categorical_crossentropy", y_true, np.moveaxis(y_pred, self.axis, -1))
            kept = (labels != self.ignore_class).astype(np.float64)
            if sample_weight is not None:
                kept, weights = same_rank(kept, finite_weights(self.name, sample_weight))
                kept = kept * spread_weights(self.name, weights, kept.shape)
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
        super().__init__(
            binary_crossentropy, name, dtype, from_logits=from_logits, label_smoothing=self.label_smoothing
        )
