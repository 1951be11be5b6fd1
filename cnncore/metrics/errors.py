"""Distances between predictions and targets: mean squared, mean absolute and root mean squared error."""

import math

import numpy as np

from .arrays import divide_or_zero, same_shape
from .means import Mean, MeanMetricWrapper


def mean_squared_error(y_true, y_pred):
    """Return ``mean((y_true - y_pred)**2)`` over the last axis."""
    return np.mean(np.square(_difference("mean_squared_error", y_true, y_pred)), axis=-1)


def mean_absolute_error(y_true, y_pred):
    """Return ``mean(abs(y_true - y_pred))`` over the last axis."""
    return np.mean(np.abs(_difference("mean_absolute_error", y_true, y_pred)), axis=-1)


def _difference(name, y_true, y_pred):
    y_true, y_pred = same_shape(name, y_true, y_pred)
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
        return self._output(math.sqrt(divide_or_zero(self.total, self.count)))
