"""Dividing a data set into parts, for training, validation and test."""

import math

import numpy as np

from .. import checks, random
from .dataset import checked_dataset, class_numbers


def split(dataset, fractions=(0.8, 0.2), stratified=True, seed=None):
    """Divide a data set at random into parts that share no image.

    Parameters
    ----------
    dataset : Dataset
    fractions : sequence of float
        The share of each part; their sum must be 1. Default (0.8, 0.2).
    stratified : bool
        Divide each class on its own, so that its share is the same in every part but for rounding; a class
        with at least as many images as there are parts is in each of them. Needs class labels. Default True.
    seed : int, optional
        0 <= seed < 2**64; the same seed gives the same parts. Default: from `cnncore.random`.

    Returns
    -------
    list of Subset
        In each the images are in the order they have in `dataset`.

    Raises
    ------
    ValueError
        For fractions that are not positive or do not sum to 1, a part without an image, or labels that are no classes.

    Examples
    --------
    >>> train, val, test = data.split(photos, (0.7, 0.15, 0.15), seed=1)    # doctest: +SKIP
    """
    checked_dataset("split", dataset)
    checks.boolean("split", "stratified", stratified)
    fractions = [checks.positive("split", "fractions", f) for f in fractions]
    if len(fractions) < 2 or abs(math.fsum(fractions) - 1) > 1e-6:
        raise ValueError(f"split: fractions must be two or more that sum to 1, got {fractions}")
    generator = np.random.Generator(np.random.PCG64(seeded(seed)))
    parts = [[] for _ in fractions]
    for members in strata(dataset, stratified, "split"):
        order = generator.permutation(members)
        begin = 0
        for part, count in zip(parts, _counts(len(order), fractions)):
            part.append(order[begin : begin + count])
            begin += count
    parts = [np.sort(np.concatenate(part)) for part in parts]
    for fraction, part in zip(fractions, parts):
        if len(part) == 0:
            raise ValueError(
                f"split: every part must get an image, and the fraction {fraction:g} of {len(dataset)} "
                "gets none; make it larger"
            )
    return [dataset.subset(part) for part in parts]


def seeded(seed):
    """A seed as given, or drawn."""
    return random.next_seed() if seed is None else random.checked_seed(seed, 64)


def strata(dataset, stratified, what):
    """The numbers of the images of each class; of all images if not stratified."""
    if not stratified:
        return [np.arange(len(dataset))]
    classes = class_numbers(dataset, what)
    return [np.flatnonzero(classes == c) for c in np.unique(classes)]


def _counts(n, fractions):
    """Divide n by largest remainders; no part is left empty where another has images to spare."""
    exact = [n * f for f in fractions]
    counts = [math.floor(e + 1e-9) for e in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])
    for i in by_remainder[: n - sum(counts)]:
        counts[i] += 1
    while 0 in counts and max(counts) > 1:
        counts[counts.index(max(counts))] -= 1
        counts[counts.index(0)] += 1
    return counts
