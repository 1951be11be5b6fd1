"""In which order, and how often, the images of a data set come in an epoch.

A sampler has `len` and ``order(seed, epoch)``, which returns the numbers of the images of an epoch: a function of its
arguments alone, so that training can be resumed in the middle of an epoch.
"""

import numpy as np

from .. import checks, random
from .dataset import class_numbers

_STREAM = 0x73616D706C6572  # the second half of Philox' key; augmentations use other streams of the same seed


def _generator(seed, epoch):
    key = np.array([random.checked_seed(seed, 64), _STREAM], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, 0, epoch], np.uint64)))


class SequentialSampler:
    """0, 1, ..., n - 1.

    Parameters
    ----------
    n : int
    """

    repeats = False  # no image comes twice in an epoch

    def __init__(self, n):
        self._n = checks.integer("SequentialSampler", "n", n, 1)

    def __len__(self):
        return self._n

    def order(self, seed, epoch):
        """Return the numbers of the images of an epoch, in their order."""
        return np.arange(self._n)


class ShuffledSampler(SequentialSampler):
    """0 to n - 1 in an order that is drawn anew in each epoch.

    Parameters
    ----------
    n : int
    """

    def order(self, seed, epoch):
        return _generator(seed, epoch).permutation(self._n)


class WeightedSampler:
    """Images drawn at random with probabilities in proportion to their weights.

    Parameters
    ----------
    weights : array_like of shape (n,)
        Finite and not negative, not all 0.
    num_samples : int, optional
        Images in an epoch; default n.
    replacement : bool
        True (default): independent draws, so that an image may come several times in an epoch. False: each at most
        once, drawn one after the other (Efraimidis and Spirakis, "Weighted random sampling with a reservoir",
        Inf. Process. Lett. 2006).
    """

    def __init__(self, weights, num_samples=None, replacement=True):
        weights = np.asarray(weights, np.float64)
        if weights.ndim != 1 or not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
            raise ValueError(
                "WeightedSampler: weights must be finite numbers >= 0 of the shape (n,), not all 0, got "
                f"shape {weights.shape}"
            )
        self.weights = weights
        self.repeats = checks.boolean("WeightedSampler", "replacement", replacement)
        self._samples = (
            len(weights) if num_samples is None else checks.integer("WeightedSampler", "num_samples", num_samples, 1)
        )
        possible = np.count_nonzero(weights)
        if not replacement and self._samples > possible:
            raise ValueError(
                f"WeightedSampler: num_samples must be at most the {possible} images with a weight > 0 "
                f"when replacement=False, got {self._samples}"
            )

    def __len__(self):
        return self._samples

    def order(self, seed, epoch):
        """Return the numbers of the images of an epoch, as drawn."""
        generator = _generator(seed, epoch)
        if self.repeats:
            bounds = np.cumsum(self.weights / self.weights.sum())
            drawn = np.searchsorted(bounds, generator.random(self._samples) * bounds[-1], side="right")
            return np.minimum(drawn, np.flatnonzero(self.weights)[-1])
        with np.errstate(divide="ignore"):  # weight 0 comes last, at infinity
            arrival = generator.exponential(size=len(self.weights)) / self.weights
        return np.argsort(arrival, kind="stable")[: self._samples]


class BalancedSampler:
    """Every class equally often in every epoch, and every image of a class equally often, but for one.

    Images of small classes are repeated and those of large ones left out, others in each epoch; the order is random.

    Parameters
    ----------
    labels : Dataset or array_like
        Labeled images, or the class numbers (n,) or one-hot rows (n, classes).
    num_samples : int, optional
        Images in an epoch; default n.
    """

    repeats = True

    def __init__(self, labels, num_samples=None):
        classes = class_numbers(labels, "BalancedSampler")
        if not classes.size:
            raise ValueError("BalancedSampler: labels must not be empty")
        self._members = [np.flatnonzero(classes == c) for c in np.unique(classes)]
        self._samples = (
            len(classes) if num_samples is None else checks.integer("BalancedSampler", "num_samples", num_samples, 1)
        )

    def __len__(self):
        return self._samples

    def order(self, seed, epoch):
        """Return the numbers of the images of an epoch, as drawn."""
        generator = _generator(seed, epoch)
        counts = np.full(len(self._members), self._samples // len(self._members))
        counts[generator.permutation(len(counts))[: self._samples % len(counts)]] += 1
        chosen = [
            generator.permutation(members)[np.arange(count) % len(members)]
            for members, count in zip(self._members, counts)
        ]
        return generator.permutation(np.concatenate(chosen))


def balanced_class_weight(labels):
    """Return ``{class: n / (classes * count)}`` for ``fit(class_weight=...)``: every class weighs the same in the loss.

    Parameters
    ----------
    labels : Dataset or array_like
        Labeled images, or the class numbers (n,) or one-hot rows (n, classes).
    """
    numbers, counts = np.unique(class_numbers(labels, "balanced_class_weight"), return_counts=True)
    return {int(c): float(counts.sum() / (len(counts) * count)) for c, count in zip(numbers, counts)}


def occurrences(order):
    """For each entry of an order, how often the same number came before it."""
    by_number = np.argsort(order, kind="stable")
    ordered = order[by_number]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    start = np.repeat(first, np.diff(np.r_[first, len(ordered)]))
    result = np.empty(len(order), np.int64)
    result[by_number] = np.arange(len(order)) - start
    return result
