"""Saving the model, or its weights, as training goes."""

import os

from .. import checks
from .monitor import MonitorCallback


class ModelCheckpoint(MonitorCallback):
    """Save the model after each epoch, or after a number of batches.

    Parameters
    ----------
    filepath : str or path
        May hold fields that are filled in: ``{epoch:02d}`` and ``{batch}`` count from 1, and any quantity of the
        logs, ``{val_loss:.3f}``. The folder is made if it is missing. Without fields each save replaces the last.
    monitor : str
        With `save_best_only`. Default "val_loss".
    verbose : {0, 1}
        1 prints each decision.
    save_best_only : bool
        Save only when `monitor` is better than ever before. Default False.
    save_weights_only : bool
        ``model.save_weights(path)`` instead of ``model.save(path)``. Default False.
    mode : {"auto", "min", "max"}
        See `MonitorCallback`.
    save_freq : "epoch" or int
        An integer saves after that many training batches, counted through all epochs; the logs then hold no
        validation quantities. Default "epoch".
    initial_value_threshold : float, optional
        The best value of an earlier run, to be beaten before anything is saved.

    Notes
    -----
    If the monitored quantity is missing, the model is saved with a warning rather than lost. NaN is never better.
    """

    def __init__(
        self,
        filepath,
        monitor="val_loss",
        verbose=0,
        save_best_only=False,
        save_weights_only=False,
        mode="auto",
        save_freq="epoch",
        initial_value_threshold=None,
    ):
        super().__init__(monitor, mode)
        owner = "ModelCheckpoint"
        try:
            self.filepath = os.fspath(filepath)
        except TypeError:
            raise ValueError(f"{owner}: filepath must be a path, got {filepath!r}") from None
        self.verbose = checks.integer(owner, "verbose", int(verbose))
        self.save_best_only = checks.boolean(owner, "save_best_only", save_best_only)
        self.save_weights_only = checks.boolean(owner, "save_weights_only", save_weights_only)
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq < 1):
            raise ValueError(f'{owner}: save_freq must be "epoch" or a number of batches >= 1, got {save_freq!r}')
        self.save_freq = save_freq
        if initial_value_threshold is not None:
            self.best = checks.number(owner, "initial_value_threshold", initial_value_threshold)
        self._epoch = 0
        self._batches = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.save_freq == "epoch":
            return
        self._batches += 1
        if self._batches >= self.save_freq:
            self._batches = 0
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _save(self, epoch, batch, logs):
        path = self._path(epoch, batch, logs)
        if self.save_best_only and not self._is_best(epoch, logs):
            return
        if os.path.isdir(path):
            raise IsADirectoryError(f"ModelCheckpoint: filepath must name a file, got the folder {path!r}")
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saving {'weights' if self.save_weights_only else 'model'} to {path}")
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)

    def _is_best(self, epoch, logs):
        value = self._monitored(logs)
        if value is None:
            return True
        before = "none" if self.best is None else f"{self.best:.5f}"
        if self._is_improvement(value, self.best):
            if self.verbose:
                print(f"Epoch {epoch + 1}: {self.monitor} improved from {before} to {value:.5f}")
            self.best = value
            return True
        if self.verbose:
            print(f"Epoch {epoch + 1}: {self.monitor} did not improve from {before}")
        return False

    def _path(self, epoch, batch, logs):
        fields = {**({} if batch is None else {"batch": batch + 1}), **logs, "epoch": epoch + 1}
        try:
            return self.filepath.format(**fields)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ValueError(
                f"ModelCheckpoint: filepath must have only the fields {', '.join(sorted(fields))}, with "
                f"formats that suit them, got {self.filepath!r} ({error})"
            ) from None
