"""Penalties on weights, added to the loss.

They are descriptions: the compiler turns the coefficients `l1` and `l2` into operations of the
training program. Called on an array they give the penalty itself.

A penalty is not weight decay. ``L2(l2)`` adds ``l2 * sum(w**2)`` to the loss, whose gradient is
``2 * l2 * w``; PyTorch's ``weight_decay=wd`` adds ``wd * w`` to the gradient, so ``wd = 2 * l2``.
An optimizer's own `weight_decay` is decoupled from the gradient (AdamW) and is a third thing.
"""

import numpy as np

from . import checks
from .registry import Configurable, Registry


class Regularizer(Configurable):
    """Base of the penalties ``l1 * sum(abs(w)) + l2 * sum(w**2)``.

    Attributes
    ----------
    l1, l2 : float
        Coefficients; 0 switches a term off.
    """

    l1 = 0.0
    l2 = 0.0

    def __call__(self, x):
        """Return the penalty of the array `x`, a float, summed in float64."""
        x = np.asarray(x, dtype=np.float64)
        return float(self.l1 * np.sum(np.abs(x)) + self.l2 * np.sum(np.square(x)))


class L1L2(Regularizer):
    """``l1 * sum(abs(w)) + l2 * sum(w**2)``; the gradient is ``l1 * sign(w) + 2 * l2 * w``.

    Parameters
    ----------
    l1, l2 : float
        Finite, not negative. Default 0.
    """

    def __init__(self, l1=0.0, l2=0.0):
        self.l1 = checks.non_negative("L1L2", "l1", 0.0 if l1 is None else l1)
        self.l2 = checks.non_negative("L1L2", "l2", 0.0 if l2 is None else l2)

    def get_config(self):
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """``l1 * sum(abs(w))``; the gradient is ``l1 * sign(w)``, 0 at 0. Default ``l1=0.01``."""

    def __init__(self, l1=0.01):
        self.l1 = checks.non_negative("L1", "l1", 0.01 if l1 is None else l1)

    def get_config(self):
        return {"l1": self.l1}


class L2(Regularizer):
    """``l2 * sum(w**2)``, without the factor 1/2; the gradient is ``2 * l2 * w``. Default ``l2=0.01``."""

    def __init__(self, l2=0.01):
        self.l2 = checks.non_negative("L2", "l2", 0.01 if l2 is None else l2)

    def get_config(self):
        return {"l2": self.l2}


l1, l2, l1_l2 = L1, L2, L1L2

_registry = Registry("regularizer", [L1, L2, L1L2], {"l1": L1, "l2": L2, "l1l2": L1L2, "l1_l2": L1L2})


def serialize(regularizer):
    """Return ``{"class_name": ..., "config": ...}`` for a regularizer; None for None."""
    return None if regularizer is None else _registry.serialize(regularizer)


def deserialize(config):
    """Return the regularizer that `config` (``{"class_name": ..., "config": ...}``) describes."""
    return _registry.deserialize(config)


def get(identifier):
    """Return a regularizer for an identifier: an instance, a class, a name ("l1", "l2", "l1l2") or a config dict; None
    for None.

    Only L1, L2 and L1L2 are accepted: the gradient is computed in C, and an arbitrary function has none there.
    """
    regularizer = _registry.get(identifier)
    if regularizer is not None and not isinstance(regularizer, (L1, L2, L1L2)):
        raise ValueError(
            f"regularizer: the identifier must be L1, L2 or L1L2, got {identifier!r}; "
            f"other penalties have no gradient in the engine"
        )
    return regularizer
