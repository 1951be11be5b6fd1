"""The metric: what every metric has."""

import numpy as np

from .. import checks
from ..registry import Configurable, to_snake_case


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
        raise NotImplementedError(
            f"{type(self).__name__}: update_state(y_true, y_pred, sample_weight=None) must be defined"
        )

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
        if self.dtype is None and type(value) is float:  # every step asks for some
            return value
        value = np.asarray(value, dtype=self.dtype or np.float64)
        return value[()] if value.ndim or self.dtype else float(value)
