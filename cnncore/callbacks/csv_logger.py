"""Writing the logs of each epoch to a CSV file."""

import csv
import os
import warnings

import numpy as np

from .. import checks
from .base import Callback


class CSVLogger(Callback):
    """Write one row for each epoch, flushed at once: the epoch, counting from 0, and the quantities by name.

    Parameters
    ----------
    filename : str or path
    separator : str
        One character. Default ",".
    append : bool
        True adds to a file that is there, under its own header; False (default) replaces it.

    Notes
    -----
    The columns are those of the first epoch, in alphabetical order, with a ``val_`` column for each if the first
    epoch had no validation. A value that is missing later is written "NA"; one that has no column is left out, with a
    warning.
    """

    def __init__(self, filename, separator=",", append=False):
        super().__init__()
        self.filename = os.fspath(filename)
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"CSVLogger: separator must be one character, got {separator!r}")
        self.separator = separator
        self.append = checks.boolean("CSVLogger", "append", append)
        self._file = None
        self._keys = None
        self._left_out = set()

    def on_train_begin(self, logs=None):
        self._close()
        self._keys = self._header() if self.append else None
        self._left_out = set()
        self._file = open(self.filename, "a" if self.append else "w", newline="", encoding="utf-8")

    def _header(self):
        """Return the columns of the file that is there, or None if there is none."""
        if not os.path.exists(self.filename):
            return None
        with open(self.filename, newline="", encoding="utf-8") as file:
            header = next(csv.reader(file, delimiter=self.separator), None)
        if header is None:
            return None
        if header[:1] != ["epoch"]:
            raise ValueError(
                f'CSVLogger: with append=True, {self.filename!r} must begin with the column "epoch", got {header!r}'
            )
        return header[1:]

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        writer = csv.writer(self._file, delimiter=self.separator)
        if self._keys is None:
            self._keys = sorted(logs)
            if not any(key.startswith("val_") for key in logs):
                self._keys += [f"val_{key}" for key in self._keys]
            writer.writerow(["epoch", *self._keys])
        left_out = sorted(set(logs) - set(self._keys) - self._left_out)
        if left_out:
            warnings.warn(f"CSVLogger: {self.filename!r} has no column for {', '.join(left_out)}", stacklevel=2)
            self._left_out.update(left_out)
        writer.writerow([epoch, *(_cell(logs.get(key, "NA")) for key in self._keys)])
        self._file.flush()

    def on_train_end(self, logs=None):
        self._close()

    def _close(self):
        if self._file is not None:
            self._file.close()
            self._file = None


def _cell(value):
    return value if np.ndim(value) == 0 else "[" + ", ".join(map(str, np.asarray(value).ravel().tolist())) + "]"
