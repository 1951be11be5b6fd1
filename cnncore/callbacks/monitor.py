"""What the callbacks that watch a quantity share: which way is better, and what counts as an improvement."""

import numbers
import warnings

import numpy as np

from .. import checks
from ..metrics import direction_of
from .base import Callback


class MonitorCallback(Callback):
    """Base of callbacks that seek the best value of a quantity in the logs.

    Parameters
    ----------
    monitor : str
        Name of the quantity.
    mode : {"auto", "min", "max"}
        Whether less or more is better. "auto" knows the loss and every metric of cnncore by name, and asks a
        metric of the model for its `direction`.
    min_delta : float
        How much better than the best a value must be to count, as an absolute number.

    Raises
    ------
    ValueError
        If `mode` is another word; at the end of the first epoch, if "auto" cannot tell the direction.
    """

    def __init__(self, monitor, mode, min_delta=0.0):
        super().__init__()
        owner = type(self).__name__
        if not isinstance(monitor, str):
            raise ValueError(f"{owner}: monitor must be the name of a quantity in the logs, got {monitor!r}")
        self.monitor = monitor
        self.mode = checks.choice(owner, "mode", mode, ("auto", "min", "max"))
        self.min_delta = abs(checks.number(owner, "min_delta", min_delta))
        self.best = None

    def _monitored(self, logs):
        """Return the quantity as a float, or None with a warning that names what there is."""
        logs = logs or {}
        if self.monitor not in logs:
            warnings.warn(
                f"{type(self).__name__}: the monitored quantity {self.monitor!r} is not available; "
                f"available are {', '.join(logs) or 'none'}{checks.suggestion(self.monitor, list(logs))}",
                stacklevel=3,
            )
            return None
        value = logs[self.monitor]
        if not isinstance(value, numbers.Real) and np.ndim(value):
            warnings.warn(
                f"{type(self).__name__}: the monitored quantity {self.monitor!r} must be a single number, "
                f"got one of shape {np.shape(value)}",
                stacklevel=3,
            )
            return None
        return float(value)

    def _is_improvement(self, value, reference):
        """Return whether `value` is better than `reference` by more than `min_delta`; NaN never is."""
        if np.isnan(value):
            return False
        if reference is None or np.isnan(reference):
            return True
        if self._lower_is_better():
            return value + self.min_delta < reference
        return value - self.min_delta > reference

    def _lower_is_better(self):
        if self.mode != "auto":
            return self.mode == "min"
        name = self.monitor.removeprefix("val_")
        own = (
            m.direction
            for m in getattr(self.model, "metrics", ())
            if getattr(m, "name", None) == name
            if getattr(m, "direction", None)
        )
        direction = next(own, None) or direction_of(name)
        if direction is None:
            raise ValueError(
                f'{type(self).__name__}: mode must be "min" or "max" for monitor={self.monitor!r}, whose '
                f'direction is not known, got "auto"'
            )
        return direction == "down"
