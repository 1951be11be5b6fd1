"""Setting the learning rate at the beginning of each epoch."""

import math

from .. import checks
from .base import Callback


class LearningRateScheduler(Callback):
    """Set the optimizer's learning rate to what a function gives for the epoch.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)`` or ``schedule(epoch)``, with the epoch counting from 0 and the present rate,
        returns the new rate, a number >= 0.
    verbose : {0, 1}
        1 prints each rate.

    Notes
    -----
    The rate of each epoch is added to its logs as "learning_rate". An optimizer that follows a schedule of the step
    (`cnncore.optimizers.schedules`) cannot also be set from here.
    """

    def __init__(self, schedule, verbose=0):
        super().__init__()
        if not callable(schedule):
            raise ValueError(f"LearningRateScheduler: schedule must be a function of the epoch, got {schedule!r}")
        self.schedule = schedule
        self.verbose = checks.integer("LearningRateScheduler", "verbose", int(verbose))
        self._takes_rate = _accepts_two(schedule)

    def on_epoch_begin(self, epoch, logs=None):
        optimizer = self.model.optimizer
        arguments = (epoch, float(optimizer.learning_rate)) if self._takes_rate else (epoch,)
        rate = checks.number(
            "LearningRateScheduler",
            "what schedule returns",
            self.schedule(*arguments),
            "be a finite number >= 0",
            lambda v: math.isfinite(v) and v >= 0,
        )
        optimizer.learning_rate = rate
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {rate:g}")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


def _accepts_two(function):
    import inspect

    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # a builtin that does not tell its signature
        return False
    return True
