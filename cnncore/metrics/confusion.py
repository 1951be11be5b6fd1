"""Counts of right and wrong decisions at a ladder of thresholds."""

import numpy as np

from .arrays import finite_weights, same_shape, spread_weights


class ConfusionCounts:
    """Weighted counts of right and wrong decisions ``y_pred > threshold``, for each threshold.

    The four arrays have the shape ``(thresholds,)``, or ``(thresholds, labels)``.
    """

    def __init__(self, thresholds, labels=None):
        self.thresholds = np.asarray(thresholds, dtype=np.float64)
        self.true_positives, self.false_positives, self.positives, self.negatives = np.zeros(
            (4, self.thresholds.size) if labels is None else (4, self.thresholds.size, labels)
        )

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
        for truth, counts, totals in (
            (y_true, self.true_positives, self.positives),
            (~y_true, self.false_positives, self.negatives),
        ):
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


def binary_scores(name, y_true, y_pred, sample_weight):
    """Return truth (bool), scores (float) and weights, three arrays of one shape."""
    y_true, y_pred = same_shape(f'metric "{name}"', y_true, y_pred)
    if y_pred.dtype.kind != "f":
        y_pred = y_pred.astype(np.float64)
    weights = np.ones(()) if sample_weight is None else finite_weights(name, sample_weight)
    if weights.ndim == y_pred.ndim + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    return y_true.astype(bool), y_pred, spread_weights(name, weights, y_pred.shape)
