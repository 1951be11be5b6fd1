"""A progress bar for what is usually quick: it appears after a second."""

import time

from .. import checks
from ..progress import ProgressBar

_DELAY_S = 1.0


class SlowBar:
    """A `cnncore.progress.ProgressBar` that stays away while the work has taken less than a second. A context manager.

    Parameters
    ----------
    label : str
    total : int, optional
    unit : str
    verbose : "auto" or 0
        0: never.
    """

    def __init__(self, label, total=None, unit="files", verbose="auto"):
        checks.choice("progress", "verbose", verbose, ("auto", 0))
        self._bar = ProgressBar(total, label=label, unit=unit) if verbose == "auto" else None
        self._begin, self._held_back, self._shown = time.perf_counter(), 0, False

    def update(self):
        """Count one."""
        if self._shown:
            self._bar.update()
        elif self._bar is not None:
            self._held_back += 1
            if time.perf_counter() - self._begin > _DELAY_S:
                self._shown = True
                self._bar.batches = self._held_back - 1
                self._bar.update(self._held_back)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if self._shown:
            self._bar.finish() if kind is None else self._bar.close()
