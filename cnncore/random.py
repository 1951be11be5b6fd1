"""The source of every seed that a user did not give.

Layers, optimizers and data pipelines that need randomness take a ``seed=`` argument; where it is left out they
ask `next_seed`. After `set_seed` the seeds that follow are always the same ones, so a script that calls it
first is repeatable; without it they come from the operating system's entropy. NumPy's and Python's global
generators are never read or changed here.

The sequence is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA
2014): the i-th output is ``mix(seed + i * 0x9E3779B97F4A7C15)`` modulo 2**64, a function of a counter, so that
there is no state to corrupt and no lock to hold.
"""

import itertools
import os

import numpy as np

from . import checks

__all__ = ["generator", "next_seed", "set_seed"]

_MASK = 2**64 - 1
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15  # the odd integer nearest to 2**64 divided by the golden ratio

# (seed, counter, process): replaced as a whole, so that a thread sees the old sequence or the new one, never a
# mixture. `process` is None for a seed that was set and the process id for one drawn from entropy.
_sequence = None


def set_seed(seed):
    """Start the sequence of `next_seed` anew.

    Parameters
    ----------
    seed : int or None
        0 <= seed < 2**64. None returns to the operating system's entropy.

    Raises
    ------
    ValueError
        If `seed` is neither None nor an integer in range.
    """
    global _sequence
    _sequence = None if seed is None else (checked_seed(seed, 64), itertools.count(1), None)


def next_seed():
    """Return the next seed of the sequence.

    Returns
    -------
    int
        0 <= seed < 2**64. Each call gives another one; safe to call from several threads.
    """
    global _sequence
    sequence = _sequence
    if sequence is None or sequence[2] not in (None, os.getpid()):  # a forked child must not repeat its parent
        sequence = (int.from_bytes(os.urandom(8), "little"), itertools.count(1), os.getpid())
        _sequence = sequence
    seed, counter, _ = sequence
    return _mix(seed + next(counter) * _GOLDEN_GAMMA & _MASK)


def generator():
    """Return a new NumPy generator seeded by `next_seed`.

    Returns
    -------
    numpy.random.Generator
        A PCG64 generator of its own; drawing from it changes nothing else.
    """
    return np.random.Generator(np.random.PCG64(next_seed()))


def _mix(z):
    """The 64-bit finaliser of SplitMix64: a bijection whose output bits each depend on every input bit."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31


def checked_seed(seed, bits):
    """Return `seed` as an int, or raise ValueError if it is not an integer with 0 <= seed < 2**bits."""
    seed = checks.integer("random", "seed", seed)
    if seed >= 2**bits:
        raise ValueError(f"random: seed must be below 2**{bits}, got {seed}")
    return seed
