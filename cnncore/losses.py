"""Losses, with Keras 3's names and equations.

A loss gives one value per sample (per position, for predictions with further axes); `fit` minimises their mean, each
times its sample weight: ``sum(weight * loss) / n`` ("sum_over_batch_size"). It is lowered to operations of the engine.
Cross-entropies of probabilities that come straight from a softmax or a sigmoid are computed from the logits before it,
which is exact where the probabilities have saturated.
"""

import numpy as np

from . import checks
from .compiler.kinds import SIGMOID
from .registry import Configurable, Registry

_NO_CLASS = -(2**31)  # the engine's ignore_class for "none"


class Loss(Configurable):
    """Base of losses.

    Parameters
    ----------
    reduction : "sum_over_batch_size", "mean" or "sum"
        How the values of a batch become the number that is minimised.
    name : str, optional
    dtype : None or "float32"
        There is no other.
    """

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None):
        self.name = name or type(self).__name__
        if dtype not in (None, "float32"):
            raise ValueError(f'{self.name}: dtype must be "float32", got {dtype!r}')
        self.reduction = checks.choice(self.name, "reduction", reduction, ("sum_over_batch_size", "mean", "sum"))

    def get_config(self):
        return {"name": self.name, "reduction": self.reduction}

    def targets(self, y, prediction_shape, owner):
        """Check targets, and convert them to what `lower` expects.

        Parameters
        ----------
        y : ndarray
            Targets of n samples.
        prediction_shape : tuple
            (None, ...): of the model's output.
        owner : str
            For messages: 'output "dense"'.

        Raises
        ------
        ValueError
            For a wrong shape, NaN or infinite targets, labels out of range.
        """
        wanted = prediction_shape[1:]
        if y.shape[1:] != wanted and y.shape[1:] + (1,) == wanted:
            y = y.reshape(y.shape[0], *wanted)
        if y.shape[1:] != wanted:
            raise ValueError(
                f"{owner}: targets for {self.name} must have shape {(len(y), *wanted)}, the output's, got "
                f"{y.shape}{self._hint(y, wanted)}"
            )
        y = np.ascontiguousarray(y, np.float32)
        if not np.isfinite(y).all():
            bad = np.argwhere(~np.isfinite(y))[0]
            raise ValueError(
                f"{owner}: targets must be finite, got {y[tuple(bad)]} in sample {bad[0]}; drop or repair such samples"
            )
        return y

    def batch_weights(self, target, weights):
        """The weights of the losses of one batch, given those of the user (None: all 1)."""
        return weights

    def _hint(self, y, wanted):
        return ""

    def lower(self, b, target, prediction):
        """Append the operations; returns the Value of the losses, one per sample."""
        raise NotImplementedError(f"{type(self).__name__} must override lower()")


def _logits(prediction):
    """(what went in, "softmax" or "sigmoid") of the activation that a prediction comes from; (None, None) without."""
    operation = prediction.producer
    if operation is None:
        return None, None
    if operation.name == "softmax":
        return operation.inputs[0], "softmax"
    if operation.name == "activation" and operation.attribute("activation") == SIGMOID:
        return operation.inputs[0], "sigmoid"
    return None, None


class _CrossEntropy(Loss):
    """Base of cross-entropies over the last axis: of logits where they are given or found, else of probabilities."""

    _activation = "softmax"  # what makes probabilities of logits
    _of_logits, _of_probabilities = "softmax_cross_entropy", "categorical_cross_entropy"  # the engine's operations

    def __init__(self, from_logits, axis, reduction, name, dtype):
        super().__init__(name, reduction, dtype)
        self.from_logits = checks.boolean(self.name, "from_logits", from_logits)
        self.axis = checks.choice(self.name, "axis", axis, (-1,))

    def _lower(self, b, target, prediction, **attributes):
        logits, activation = (prediction, self._activation) if self.from_logits else _logits(prediction)
        if activation == self._activation:
            return b.op(self._of_logits, [logits, target], **attributes)
        return b.op(self._of_probabilities, [prediction, target], **attributes)

    def get_config(self):
        return {**super().get_config(), "from_logits": self.from_logits, "axis": self.axis}


class _SmoothedCrossEntropy(_CrossEntropy):
    """Base of those whose targets are probabilities, which can be smoothed."""

    def __init__(self, from_logits, label_smoothing, axis, reduction, name, dtype):
        super().__init__(from_logits, axis, reduction, name, dtype)
        self.label_smoothing = checks.number(
            self.name, "label_smoothing", label_smoothing, "be in 0 to 1", lambda v: 0 <= v <= 1
        )

    def lower(self, b, target, prediction):
        return self._lower(b, target, prediction, label_smoothing=self.label_smoothing)

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


class CategoricalCrossentropy(_SmoothedCrossEntropy):
    """``-sum(target * log(probability))`` over the last axis, in nats; targets are probabilities, often one-hot.

    Parameters
    ----------
    from_logits : bool
        The predictions are logits; default False, probabilities.
    label_smoothing : float
        In 0 to 1: ``target * (1 - s) + s / k`` with k classes. (The form that spreads s over the k - 1 wrong classes is
        s * k / (k - 1) here.)
    axis : int
        The last, -1.
    """

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="categorical_crossentropy",
        dtype=None,
    ):
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)

    def _hint(self, y, wanted):
        labels = y.shape[1:] == wanted[:-1] or y.shape[1:] == (*wanted[:-1], 1)
        return '; for integer labels use "sparse_categorical_crossentropy" or utils.to_categorical' if labels else ""


class SparseCategoricalCrossentropy(_CrossEntropy):
    """``-log(probability[label])`` in nats; targets are integer labels 0 to k - 1, of shape (n,) or (n, 1).

    Parameters
    ----------
    from_logits : bool
        As of CategoricalCrossentropy.
    ignore_class : int, optional
        Samples with this label have no loss and no gradient; the mean is over the others.
    axis : int
        The last, -1.
    """

    def __init__(
        self,
        from_logits=False,
        ignore_class=None,
        reduction="sum_over_batch_size",
        axis=-1,
        name="sparse_categorical_crossentropy",
        dtype=None,
    ):
        super().__init__(from_logits, axis, reduction, name, dtype)
        if ignore_class is not None:
            ignore_class = checks.integer(self.name, "ignore_class", ignore_class, -(2**31) + 1)
        self.ignore_class = ignore_class

    def targets(self, y, prediction_shape, owner):
        wanted, classes = prediction_shape[1:-1], prediction_shape[-1]
        if y.shape[1:] == (*wanted, 1):
            y = y.reshape(len(y), *wanted)
        if y.shape[1:] != wanted:
            hint = '; for one-hot targets use "categorical_crossentropy"' if y.shape[1:] == prediction_shape[1:] else ""
            raise ValueError(
                f"{owner}: targets for {self.name} must be labels of shape {(len(y), *wanted)}, got {y.shape}{hint}"
            )
        if y.dtype.kind == "f":
            if not np.isfinite(y).all():
                bad = int(np.argwhere(~np.isfinite(y))[0][0])
                raise ValueError(
                    f"{owner}: labels must be integers, got {y.reshape(len(y), -1)[bad][0]} in sample {bad}; "
                    "drop or repair such samples"
                )
            if (y != np.floor(y)).any():
                bad = int(np.argwhere(y != np.floor(y))[0][0])
                raise ValueError(
                    f"{owner}: labels must be integers 0 to {classes - 1}, got {y.reshape(len(y), -1)[bad][0]} "
                    f"in sample {bad}"
                )
        self._check_range(y, classes, owner)
        return np.ascontiguousarray(y, np.int32)

    def _check_range(self, y, classes, owner):
        # As nearly always, and quickly seen; the methods min() and max() take twice the time for a few labels.
        if y.size == 0 or (np.minimum.reduce(y, axis=None) >= 0 and np.maximum.reduce(y, axis=None) < classes):
            return
        wrong = (y < 0) | (y >= classes)
        if self.ignore_class is not None:
            wrong &= y != self.ignore_class
        if wrong.any():
            bad = np.argwhere(wrong)[0]
            raise ValueError(
                f"{owner}: labels must be 0 to {classes - 1}, the output has {classes} classes, got "
                f"{y[tuple(bad)]} in sample {bad[0]}; "
                "renumber the labels or widen the last layer"
            )

    def batch_weights(self, target, weights):
        if self.ignore_class is None:
            return weights
        counted = target != self.ignore_class
        share = np.float32(counted.size / max(int(counted.sum()), 1) if self.reduction != "sum" else 1)
        return counted * share if weights is None else weights * counted * share

    def lower(self, b, target, prediction):
        return self._lower(
            b, target, prediction, ignore_class=_NO_CLASS if self.ignore_class is None else self.ignore_class
        )

    def get_config(self):
        return {**super().get_config(), "ignore_class": self.ignore_class}


class BinaryCrossentropy(_SmoothedCrossEntropy):
    """``-(t log p + (1 - t) log(1 - p))``, the mean over the last axis.

    Parameters
    ----------
    from_logits : bool
        The predictions are logits; default False, probabilities.
    label_smoothing : float
        In 0 to 1: ``t * (1 - s) + s / 2``.
    axis : int
        The last, -1.
    """

    _activation = "sigmoid"
    _of_logits, _of_probabilities = "sigmoid_cross_entropy", "binary_cross_entropy"

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="binary_crossentropy",
        dtype=None,
    ):
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)

    def targets(self, y, prediction_shape, owner):
        y = super().targets(y, prediction_shape, owner)
        wrong = (y < 0) | (y > 1)
        if wrong.any():
            bad = np.argwhere(wrong)[0]
            raise ValueError(
                f"{owner}: targets for {self.name} must be in 0 to 1, got {y[tuple(bad)]} in sample {bad[0]}"
            )
        return y


class MeanSquaredError(Loss):
    """``(prediction - target)**2``, the mean over the last axis."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_error", dtype=None):
        super().__init__(name, reduction, dtype)

    def lower(self, b, target, prediction):
        return b.op("squared_error", [prediction, target])


class MeanAbsoluteError(Loss):
    """``|prediction - target|``, the mean over the last axis. The gradient is 0 where they are equal."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_error", dtype=None):
        super().__init__(name, reduction, dtype)

    def lower(self, b, target, prediction):
        return b.op("absolute_error", [prediction, target])


_registry = Registry(
    "loss",
    [CategoricalCrossentropy, SparseCategoricalCrossentropy, BinaryCrossentropy, MeanSquaredError, MeanAbsoluteError],
    {
        "mse": MeanSquaredError,
        "MSE": MeanSquaredError,
        "mae": MeanAbsoluteError,
        "MAE": MeanAbsoluteError,
        "bce": BinaryCrossentropy,
        "BCE": BinaryCrossentropy,
    },
)
serialize, deserialize = _registry.serialize, _registry.deserialize


def get(identifier):
    """The Loss for an identifier: a name, an object, a class or a configuration; ValueError lists the names."""
    loss = _registry.get(identifier)
    if loss is not None and not isinstance(loss, Loss):
        raise ValueError(
            f"loss: must be a name or a Loss object, whose operations the engine has, got {identifier!r}; "
            "a Python function cannot run inside the program"
        )
    return loss
