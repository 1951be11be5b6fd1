"""Stopping when the loss is no longer a number."""

import math
import warnings

from .. import checks
from .base import Callback


class TerminateOnNaN(Callback):
    """Stop training when the loss becomes NaN or infinite.

    Parameters
    ----------
    raise_error : bool
        False (default) warns and ends training in order; True raises RuntimeError at once.
    """

    def __init__(self, raise_error=False):
        super().__init__()
        self.raise_error = checks.boolean("TerminateOnNaN", "raise_error", raise_error)

    def on_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        message = f"TerminateOnNaN: the loss is {float(loss)} at batch {batch}; training stops"
        if self.raise_error:
            raise RuntimeError(message)
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        self.model.stop_training = True
