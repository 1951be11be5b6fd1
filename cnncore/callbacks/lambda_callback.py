"""A callback made of functions."""

from .. import checks
from .base import HOOKS, Callback


class LambdaCallback(Callback):
    """A callback whose hooks are the functions given by name.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        ``function(epoch, logs)``
    on_train_begin, on_train_end : callable, optional
        ``function(logs)``
    on_train_batch_begin, on_train_batch_end : callable, optional
        ``function(batch, logs)``, the second argument named ``logs``
    **kwargs
        Any other hook of `Callback` by its name.
    """

    def __init__(
        self,
        on_epoch_begin=None,
        on_epoch_end=None,
        on_train_begin=None,
        on_train_end=None,
        on_train_batch_begin=None,
        on_train_batch_end=None,
        **kwargs,
    ):
        super().__init__()
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, function in hooks.items():
            checks.choice("LambdaCallback", "each argument", name, HOOKS)
            if function is None:
                continue
            if not callable(function):
                raise ValueError(f"LambdaCallback: {name} must be a function, got {function!r}")
            setattr(self, name, function)
