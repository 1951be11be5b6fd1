"""A list of callbacks that is called as one."""

import numpy as np

from .base import Callback
from .history import History

_BATCH_ALIASES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


class CallbackList(Callback):
    """Calls each of its callbacks in turn.

    Only the callbacks that override a batch hook are called at each batch, so that the others cost nothing there.

    Parameters
    ----------
    callbacks : Callback or nested sequence of Callback, optional
    add_history : bool
        Whether to append a `History` if there is none. Default False.
    model : Model, optional
    **params
        Passed to each callback's `set_params`.

    Attributes
    ----------
    callbacks : list of Callback
    history : History or None
    """

    def __init__(self, callbacks=None, add_history=False, model=None, **params):
        super().__init__()
        self.callbacks = list(_flatten(callbacks))
        self.history = next((c for c in self.callbacks if isinstance(c, History)), None)
        if self.history is None and add_history:
            self.history = History()
            self.callbacks.append(self.history)  # last, so that it records what the others add to the logs
        if model is not None:
            self.set_model(model)
        self.set_params(params)
        self._select()

    def append(self, callback):
        """Add a callback at the end."""
        self.callbacks.extend(_flatten(callback))
        self._select()

    def set_params(self, params):
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model):
        super().set_model(model)
        if self.history is not None:
            model.history = self.history
        for callback in self.callbacks:
            callback.set_model(model)

    def _select(self):
        """Find out who listens to the batch hooks."""
        self._listeners = {
            hook: [c for c in self.callbacks if _overrides(c, hook)]
            for hook in (
                "on_train_batch_begin",
                "on_train_batch_end",
                "on_test_batch_begin",
                "on_test_batch_end",
                "on_predict_batch_begin",
                "on_predict_batch_end",
            )
        }

    def listens(self, hook):
        """Return whether any callback overrides the batch hook of this name, so that its logs are worth computing."""
        return bool(self._listeners[hook])

    def on_train_begin(self, logs=None):
        self._select()
        self._call("on_train_begin", logs)

    def on_train_end(self, logs=None):
        self._call("on_train_end", logs)

    def on_test_begin(self, logs=None):
        self._select()
        self._call("on_test_begin", logs)

    def on_test_end(self, logs=None):
        self._call("on_test_end", logs)

    def on_predict_begin(self, logs=None):
        self._select()
        self._call("on_predict_begin", logs)

    def on_predict_end(self, logs=None):
        self._call("on_predict_end", logs)

    def on_epoch_begin(self, epoch, logs=None):
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, {} if logs is None else logs)

    def on_epoch_end(self, epoch, logs=None):
        logs = _python_numbers(logs)
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        self._call_batch("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._call_batch("on_train_batch_end", batch, logs)

    on_batch_begin = on_train_batch_begin
    on_batch_end = on_train_batch_end

    def on_test_batch_begin(self, batch, logs=None):
        self._call_batch("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        self._call_batch("on_test_batch_end", batch, logs)

    def on_predict_batch_begin(self, batch, logs=None):
        self._call_batch("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch, logs=None):
        self._call_batch("on_predict_batch_end", batch, logs)

    def _call(self, hook, logs):
        logs = _python_numbers(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(logs)

    def _call_batch(self, hook, batch, logs):
        for callback in self._listeners[hook]:
            getattr(callback, hook)(batch, logs={} if logs is None else logs)


def _flatten(callbacks):
    if callbacks is None:
        return
    if isinstance(callbacks, (list, tuple)):
        for item in callbacks:
            yield from _flatten(item)
    elif isinstance(callbacks, Callback):
        yield callbacks
    else:
        remedy = "; make an instance of it" if isinstance(callbacks, type) else ""
        raise ValueError(f"CallbackList: callbacks must be instances of Callback, got {callbacks!r}{remedy}")


def _overrides(callback, hook):
    names = [hook, _BATCH_ALIASES.get(hook, hook)]
    return any(name in vars(callback) or getattr(type(callback), name) is not getattr(Callback, name) for name in names)


def _python_numbers(logs):
    """Return a copy of the logs with NumPy scalars as Python numbers, as JSON and CSV want them."""
    return {
        key: value.item() if isinstance(value, np.generic) or getattr(value, "shape", None) == () else value
        for key, value in (logs or {}).items()
    }
