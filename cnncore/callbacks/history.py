"""The record of training that `fit` returns."""

from .base import Callback


class History(Callback):
    """Records the logs of each epoch. `fit` adds one by itself and returns it.

    Attributes
    ----------
    history : dict
        The list of values, one for each epoch, of each quantity. A second `fit` with the same object adds to it.
    epoch : list of int
        The epochs of the last `fit`, counting from 0.
    """

    def __init__(self):
        super().__init__()
        self.history = {}
        self.epoch = []

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        self.model.history = self
