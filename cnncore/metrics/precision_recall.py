"""Precision and recall."""

import math

import numpy as np

from .. import checks
from .arrays import divide_or_zero
from .base import Metric
from .confusion import ConfusionCounts, binary_scores


class _ThresholdMetric(Metric):
    """Base of Precision and Recall: counts at thresholds, of all classes, the best ones or a single one."""

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
            self.thresholds = [
                checks.number(owner, "each threshold", t, "be in [0, 1]", lambda v: 0 <= v <= 1) for t in listed
            ]
            if not listed:
                raise ValueError(f"{owner}: thresholds must not be empty, got {thresholds!r}")
        self._init_thresholds = None if thresholds is None else self.thresholds
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred, weights = binary_scores(self.name, y_true, y_pred, sample_weight)
        classes = y_pred.shape[-1]
        if self.top_k is not None:
            if self.top_k > classes:
                raise ValueError(f'metric "{self.name}": top_k must not exceed the {classes} classes, got {self.top_k}')
            best = np.argsort(-y_pred, axis=-1, kind="stable")[..., : self.top_k]
            kept = np.full_like(y_pred, -np.inf)
            np.put_along_axis(kept, best, np.take_along_axis(y_pred, best, axis=-1), axis=-1)
            kept[np.isnan(y_pred).any(axis=-1)] = np.nan  # a sample with NaN has no order
            y_pred = kept
        if self.class_id is not None:
            if y_pred.ndim < 2 or self.class_id >= classes:
                raise ValueError(
                    f'metric "{self.name}": class_id must be a column of the predictions, '
                    f"got {self.class_id} for the shape {y_pred.shape}"
                )
            y_true, y_pred, weights = (a[..., self.class_id] for a in (y_true, y_pred, weights))
        self._counts.add(y_true.reshape(-1), y_pred.reshape(-1), weights.reshape(-1))

    def reset_state(self):
        self._counts = ConfusionCounts(self.thresholds)

    def _of_thresholds(self, values):
        return self._output(values[0] if len(self.thresholds) == 1 else values)

    def get_config(self):
        return {
            "thresholds": self._init_thresholds,
            "top_k": self.top_k,
            "class_id": self.class_id,
            **super().get_config(),
        }


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
        return self._of_thresholds(
            divide_or_zero(counts.true_positives, counts.true_positives + counts.false_positives)
        )


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
        return self._of_thresholds(divide_or_zero(self._counts.true_positives, self._counts.positives))
