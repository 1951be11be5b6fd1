"""Random draws that depend on the seed, the epoch and the sample's number, and on nothing else.

Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns a key and a counter into random
bits without any state. The key is (seed, stream) and the counter starts at (0, 0, sample, epoch), low word first: each
sample of each epoch owns 2**128 draws that no other shares, whichever worker makes them and in whatever order.
"""

import numpy as np

from .. import checks, random

# Streams: what one consumer draws tells nothing of what another draws. A batch's and a sample's own draws differ.
SAMPLE, MIXUP, CUTMIX = 0, 1, 2
OWN = 16


def generator(seed, epoch, index, stream=SAMPLE):
    """Return the `numpy.random.Generator` of one sample in one epoch.

    Parameters
    ----------
    seed : int
        0 <= seed < 2**64, the same for the whole run.
    epoch : int
        0 <= epoch < 2**64.
    index : int
        The sample's number in the data set, 0 <= index < 2**64.
    stream : int
        Which consumer draws.
    """
    for name, value in (("epoch", epoch), ("index", index)):
        if checks.integer("augment", name, value) >= 2**64:
            raise ValueError(f"augment: {name} must be below 2**64, got {value}")
    key = np.array([random.checked_seed(seed, 64), stream], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, index, epoch], np.uint64)))


def interval(owner, name, value, low, high):
    """Return ``(low, high)`` of a parameter given as a pair, checked to lie within [low, high] and in order."""
    if isinstance(value, (tuple, list)) and len(value) == 2:
        first, last = (checks.number(owner, name, v) for v in value)
        if low <= first <= last <= high:
            return first, last
    raise ValueError(
        f"{owner}: {name} must be a number or a pair (smallest, largest) within [{low:g}, {high:g}], got {value!r}"
    )


def symmetric(owner, name, value, low=-np.inf, high=np.inf):
    """Return the interval of a parameter that is neutral at 0: a number v stands for (-v, v)."""
    if not isinstance(value, (tuple, list)):
        value = checks.non_negative(owner, name, value)
        value = (-value, value)
    return interval(owner, name, value, low, high)


def factor(owner, name, value, low=0.0, high=np.inf):
    """Return the interval of a parameter that is neutral at 1: a number v stands for (max(low, 1 - v), 1 + v)."""
    if not isinstance(value, (tuple, list)):
        value = checks.non_negative(owner, name, value)
        value = (max(low, 1 - value), 1 + value)
    return interval(owner, name, value, low, high)


def up_to(owner, name, value, low=0.0, high=np.inf):
    """Return the interval of a strength that is neutral at 0 and never negative: a number v stands for (0, v)."""
    if not isinstance(value, (tuple, list)):
        value = (0.0, checks.non_negative(owner, name, value))
    return interval(owner, name, value, low, high)


def size2d(owner, name, value):
    """Return ``(height, width)`` for a pair of positive integers or one for both."""
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{owner}: {name} must be an integer or a pair (height, width), got {value!r}")
        return tuple(checks.integer(owner, name, v, 1) for v in value)
    return (checks.integer(owner, name, value, 1),) * 2


def uniform(generator, bounds):
    """Return a float drawn uniformly from [low, high); exactly `low` where both are equal."""
    low, high = bounds
    return low + (high - low) * generator.random()
