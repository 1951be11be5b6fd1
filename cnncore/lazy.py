"""Modules that are imported when something of them is first used, because most programs get by without them: one that
predicts needs no optimizers."""

import importlib


class LazyModule:
    """Stands in for a module of the package; its attributes are the module's.

    Parameters
    ----------
    name : str
        Within the package: "training.sources".
    """

    def __init__(self, name):
        self._name = f"{__package__}.{name}"
        self._module = None

    def __getattr__(self, attribute):
        if self._module is None:
            self._module = importlib.import_module(self._name)
        return getattr(self._module, attribute)

    def __repr__(self):
        return f"<LazyModule {self._name}>"
