"""Stopping when a quantity has stopped improving."""

import warnings

import numpy as np

from .. import checks
from .monitor import MonitorCallback


class EarlyStopping(MonitorCallback):
    """Stop training when `monitor` has not improved for `patience` epochs in a row.

    Parameters
    ----------
    monitor : str
        Default "val_loss".
    min_delta : float
        An improvement by no more than this does not count. Default 0.
    patience : int
        Epochs without improvement after which training stops. Default 0, at the first one (as does 1). Curves are
        noisy: a few epochs of patience keep one bad epoch from ending a good run.
    verbose : {0, 1}
        1 prints when it stops and when it restores weights.
    mode : {"auto", "min", "max"}
        See `MonitorCallback`.
    baseline : float, optional
        A value to be beaten: an epoch that does not beat it counts as one without improvement.
    restore_best_weights : bool
        Whether the model gets back, at the end of training however it ends, the weights of the best epoch. Default
        False: it keeps the last ones.
    start_from_epoch : int
        Epochs at the beginning that are not looked at. Default 0.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch, stopped_epoch : int
        Counting from 0; `stopped_epoch` is 0 if training was not stopped.

    Notes
    -----
    NaN is never an improvement. Training is never stopped after the first epoch (number 0). An epoch that is the
    best so far but does not beat `baseline` counts as one without improvement (in Keras 3 it is not counted), and
    its weights are the ones restored if none is better.
    """

    def __init__(
        self,
        monitor="val_loss",
        min_delta=0,
        patience=0,
        verbose=0,
        mode="auto",
        baseline=None,
        restore_best_weights=False,
        start_from_epoch=0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience = checks.integer("EarlyStopping", "patience", patience)
        self.verbose = checks.integer("EarlyStopping", "verbose", int(verbose))
        self.baseline = None if baseline is None else checks.number("EarlyStopping", "baseline", baseline)
        self.restore_best_weights = checks.boolean("EarlyStopping", "restore_best_weights", restore_best_weights)
        self.start_from_epoch = checks.integer("EarlyStopping", "start_from_epoch", start_from_epoch)
        self._forget()

    def _forget(self):
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_epoch = 0
        self.best_weights = None

    def on_train_begin(self, logs=None):
        self._forget()

    def on_epoch_end(self, epoch, logs=None):
        value = self._monitored(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self._is_improvement(value, self.best):
            self.best = value
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = [np.copy(w) for w in self.model.get_weights()]
            if self.baseline is None or self._is_improvement(value, self.baseline):
                self.wait = 0
                return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.verbose and self.stopped_epoch:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if not self.restore_best_weights:
            return
        if self.best_weights is None:
            warnings.warn(
                f"EarlyStopping: {self.monitor!r} never had a value that is a number, so there are no best "
                f"weights to restore",
                stacklevel=2,
            )
            return
        if self.verbose:
            print(f"Restoring the weights of the best epoch: {self.best_epoch + 1}")
        self.model.set_weights(self.best_weights)
