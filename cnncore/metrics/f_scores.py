"""F-scores: precision and recall in one number for each class."""

import numpy as np

from .. import checks
from .arrays import EPSILON, finite_weights, same_shape
from .base import Metric


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
        self.threshold = (
            None
            if threshold is None
            else checks.number(owner, "threshold", threshold, "be in (0, 1]", lambda v: 0 < v <= 1)
        )
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = same_shape(f'metric "{self.name}"', y_true, y_pred)
        y_true, y_pred = (a[:, None] if a.ndim == 1 else a for a in (y_true, y_pred))
        if y_pred.ndim != 2:
            raise ValueError(
                f'metric "{self.name}": y_true and y_pred must have the shape (n, classes), got {y_pred.shape}'
            )
        classes = y_pred.shape[1]
        if self._classes not in (None, classes):
            raise ValueError(
                f'metric "{self.name}": y_pred must keep its {self._classes} classes from batch to '
                f"batch, got {classes}; call reset_state() first"
            )
        weights = np.ones((y_pred.shape[0], 1))
        if sample_weight is not None:
            weights = finite_weights(self.name, sample_weight).reshape(-1, 1)
            if weights.shape[0] != y_pred.shape[0]:
                raise ValueError(
                    f'metric "{self.name}": sample_weight must have one weight for each of the '
                    f"{y_pred.shape[0]} samples, got the shape {np.shape(sample_weight)}"
                )
        nan = y_pred.dtype.kind == "f" and np.isnan(y_pred).any()
        if self.threshold is None:
            positive = (y_pred >= np.max(y_pred, axis=-1, keepdims=True)) & (np.abs(y_pred) > 1e-9)
        else:
            positive = y_pred > self.threshold
        targets, positive = y_true.astype(np.float64), positive.astype(np.float64)
        counts = np.stack(
            [
                np.sum(weights * c, axis=0)
                for c in (positive * targets, positive * (1 - targets), (1 - positive) * targets, targets)
            ]
        )
        self._classes = classes
        self._counts = self._counts + (counts + np.nan if nan else counts)

    def result(self):
        counts = np.sum(self._counts, axis=1) if self.average == "micro" else self._counts
        hits, false_positives, false_negatives, targets = counts
        precision = hits / (hits + false_positives + EPSILON)
        recall = hits / (hits + false_negatives + EPSILON)
        squared = self.beta**2
        score = (1 + squared) * precision * recall / (squared * precision + recall + EPSILON)
        if self.average == "weighted":
            score = np.sum(score * targets / (np.sum(targets) + EPSILON))
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
