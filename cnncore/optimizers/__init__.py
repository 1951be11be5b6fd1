"""Optimizers: SGD, Adam, AdamW; and schedules of the learning rate."""

from ..registry import Registry
from . import schedules
from .adam import Adam, AdamW
from .base import Optimizer
from .sgd import SGD

__all__ = ["Adam", "AdamW", "Optimizer", "SGD", "deserialize", "get", "schedules", "serialize"]

_registry = Registry("optimizer", [SGD, Adam, AdamW])
serialize, deserialize = _registry.serialize, _registry.deserialize


def get(identifier):
    """The Optimizer for an identifier: a name ("sgd"), an object, a class or a configuration; ValueError lists the
    names.
    """
    optimizer = _registry.get(identifier)
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise ValueError(f"optimizer: must be a name or an Optimizer, got {identifier!r}")
    return optimizer
