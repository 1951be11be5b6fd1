"""Sums and means over all batches, weighted."""

import numpy as np

from ..registry import to_snake_case
from .arrays import divide_or_zero, finite_weights, same_rank, spread_weights
from .base import Metric


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
        return self._output(divide_or_zero(self.total, self.count))

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
        weights = finite_weights(name, sample_weight)
        values, weights = same_rank(values, weights)
        if values.ndim > weights.ndim:
            values = reduce(values, axis=tuple(range(weights.ndim, values.ndim)))
        weights = spread_weights(name, weights, values.shape)
        values = values * weights
        if weights.ndim > 1:
            weights = reduce(weights, axis=tuple(range(1, weights.ndim)))
    else:
        weights = None
    if values.ndim > 1:
        values = reduce(values, axis=tuple(range(1, values.ndim)))
    return values, weights
