"""The progress of an epoch, drawn for whoever is looking: a terminal, a notebook, or a log file."""

import math
import os
import sys
import time

import numpy as np

_INTERVAL_S = 0.1  # a display is drawn again at most this often
_BAR_WIDTH = 30
_SHORTEST_BAR = 5
_NOTEBOOK_WIDTH = 120


class ProgressBar:
    """Shows the batches done, a bar, images per second, the time left, the loss and the metrics.

    In a terminal and in a notebook the line is drawn over itself at most ten times a second, no wider than the
    terminal; nothing but a carriage return and spaces is used for that. Anywhere else (a file, a pipe) one whole
    line is written at the end, without control characters.

    Parameters
    ----------
    total : int, optional
        Number of batches; None if it is not known, as for an iterable.
    epoch, epochs : int, optional
        Number of this epoch, counting from 1, and of all epochs.
    label : str, optional
        Shown first if there is no epoch: "Evaluate".
    unit : str
        What is counted in a batch. Default "images".
    stream : file, optional
        Default `sys.stdout`, looked up when the bar is made.
    verbose : {"auto", 0, 1, 2}
        0 writes nothing, 1 draws, 2 writes one line at the end. "auto" is 1.

    Examples
    --------
    >>> bar = ProgressBar(total=3, epoch=1, epochs=1)
    >>> for loss in (0.9, 0.5, 0.4):
    ...     bar.update(64, {"loss": loss})
    >>> bar.finish({"loss": 0.6, "val_loss": 0.5})
    """

    def __init__(self, total=None, epoch=None, epochs=None, label=None, unit="images", stream=None, verbose="auto"):
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f'ProgressBar: verbose must be "auto", 0, 1 or 2, got {verbose!r}')
        self.total = total
        self.unit = unit
        self.batches = 0
        self.images = 0
        self._stream = sys.stdout if stream is None else stream
        self._draws = verbose in ("auto", 1) and self._stream is not None and _can_redraw(self._stream)
        self._writes = verbose != 0 and self._stream is not None
        self._title = label or ""
        if epoch is not None:
            self._title = f"Epoch {epoch}" if epochs is None else f"Epoch {epoch:{len(str(epochs))}}/{epochs}"
        self._full, self._empty = _bar_characters(self._stream)
        self._drawn = 0  # characters of the line that is on the screen
        self._finished = False
        self._start = self._last = time.perf_counter()
        self._next_draw = self._start + _INTERVAL_S if self._draws else math.inf

    def update(self, images=1, logs=None):
        """Count one batch of `images`; `logs` holds the quantities to show, means over the epoch so far."""
        self.batches += 1
        self.images += images
        self._last = time.perf_counter()
        if self._last >= self._next_draw or (self.batches == self.total and self._draws):
            self._next_draw = self._last + _INTERVAL_S
            self._draw(self._running_line(logs or {}))

    def finish(self, logs=None):
        """Write the final line, with the quantities of the whole epoch; further calls do nothing."""
        if self._finished:
            return
        self._finished = True
        if self._writes:
            self._write(self._final_line(logs or {}), end="\n")

    def close(self):
        """End a line that is still being drawn, as after an interruption, so that what follows starts a new one."""
        if not self._finished and self._drawn:
            self._stream.write("\n")
            self._stream.flush()
        self._finished = True

    def rate(self):
        """Return images per second from the start to the last batch; 0.0 before the first."""
        elapsed = self._last - self._start
        return self.images / elapsed if self.batches and elapsed > 0 else 0.0

    def _running_line(self, logs):
        """Return a line no wider than the terminal: each quantity whole or not at all, and a bar in the room left."""
        width = _width(self._stream)
        head = [self._title] if self._title else []
        tail = [self._rate_text()]
        if self.total:
            head.append(f"{self.batches:{len(str(self.total))}}/{self.total}")
            left = (self._last - self._start) / self.batches * max(0, self.total - self.batches)
            tail.append(f"ETA {_clock(left)}")
        else:
            head.append(str(self.batches))
        room = width - len(" ".join(head + tail))
        quantities = ""
        for name, value in logs.items():
            text = f"  {name}: {_number(value)}"
            if len(text) > room:
                break
            quantities += text
            room -= len(text)
        bar_width = min(_BAR_WIDTH, room - 1)
        if self.total and bar_width >= _SHORTEST_BAR:
            done = min(bar_width, bar_width * self.batches // self.total)
            head.append(self._full * done + self._empty * (bar_width - done))
        return (" ".join(head + tail) + quantities)[:width]

    def _final_line(self, logs):
        total = self.total if self.total else self.batches
        parts = [self._title, f"{self.batches}/{total}", _clock(time.perf_counter() - self._start), self._rate_text()]
        parts += [f"{name}: {_number(value)}" for name, value in logs.items()]
        return ("  " if self._draws else " - ").join(part for part in parts if part)

    def _rate_text(self):
        rate = self.rate()
        return f"{rate:.0f} {self.unit}/s" if rate >= 10 else f"{rate:.2g} {self.unit}/s"

    def _draw(self, line):
        self._write(line, end="")
        self._drawn = len(line)

    def _write(self, line, end):
        """Write over what is drawn: return to the first column, and blank what the new line does not cover."""
        if self._drawn:
            line = "\r" + line + " " * (self._drawn - len(line))
        self._stream.write(line + end)
        self._stream.flush()


def _can_redraw(stream):
    """Return whether a carriage return starts the line again: in a terminal that is not "dumb", and in a notebook."""
    if _is_notebook():
        return stream is sys.stdout or stream is sys.stderr
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # no such method; a closed file
        return False


def _is_notebook():
    """Return whether this runs in an IPython kernel that talks to a front end (Jupyter, Colab)."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return any(cls.__name__ == "ZMQInteractiveShell" for cls in type(shell).__mro__)


def _width(stream):
    """Return how many characters a line may have; the last column stays free, for some terminals wrap there."""
    try:
        return max(20, os.get_terminal_size(stream.fileno()).columns - 1)
    except (AttributeError, OSError, ValueError):  # a notebook's stream has no terminal
        return _NOTEBOOK_WIDTH if _is_notebook() else 79


def _bar_characters(stream):
    try:
        "━─".encode(getattr(stream, "encoding", None) or "ascii")
    except (LookupError, UnicodeEncodeError):
        return "=", "."
    return "━", "─"


def _clock(seconds):
    """Return seconds as ``12s``, ``3:05`` or ``1:02:03``; below ten seconds with a tenth."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _number(value):
    if isinstance(value, str):
        return value
    value = np.asarray(value)
    if value.ndim:
        return "[" + " ".join(_number(v) for v in value.ravel()) + "]"
    value = float(value)
    return f"{value:.4f}" if value == 0 or not 1e-3 > abs(value) else f"{value:.4e}"
