"""Lowering the learning rate when a quantity has stopped improving."""

from .. import checks
from .monitor import MonitorCallback


class ReduceLROnPlateau(MonitorCallback):
    """Multiply the learning rate by `factor` when `monitor` has not improved for `patience` epochs in a row.

    Parameters
    ----------
    monitor : str
        Default "val_loss".
    factor : float
        In (0, 1). Default 0.1.
    patience : int
        Epochs without improvement before the rate is lowered. Default 10.
    verbose : {0, 1}
        1 prints each change.
    mode : {"auto", "min", "max"}
        See `MonitorCallback`.
    min_delta : float
        An improvement by no more than this does not count. Default 1e-4.
    cooldown : int
        Epochs after each change in which lack of improvement is not counted. Default 0.
    min_lr : float
        The rate is not lowered below this. Default 0.

    Notes
    -----
    The rate is added to the logs of each epoch as "learning_rate". NaN is never an improvement.
    """

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        verbose=0,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
    ):
        super().__init__(monitor, mode, min_delta)
        owner = "ReduceLROnPlateau"
        self.factor = checks.number(owner, "factor", factor, "be in (0, 1)", lambda v: 0 < v < 1)
        self.patience = checks.integer(owner, "patience", patience)
        self.verbose = checks.integer(owner, "verbose", int(verbose))
        self.cooldown = checks.integer(owner, "cooldown", cooldown)
        self.min_lr = checks.non_negative(owner, "min_lr", min_lr)
        self._forget()

    def _forget(self):
        self.best = None
        self.wait = 0
        self.cooldown_counter = 0

    def on_train_begin(self, logs=None):
        self._forget()

    def on_epoch_end(self, epoch, logs=None):
        value = self._monitored(logs)
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(value, self.best):
            self.best = value
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch):
        optimizer = self.model.optimizer
        old = float(optimizer.learning_rate)
        if old <= self.min_lr:
            return
        new = max(old * self.factor, self.min_lr)
        optimizer.learning_rate = new
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate reduced from {old:g} to {new:g}")

    def in_cooldown(self):
        """Return whether lack of improvement is not counted now."""
        return self.cooldown_counter > 0
