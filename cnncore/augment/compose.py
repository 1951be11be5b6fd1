"""Transforms made of transforms."""

import warnings

import numpy as np

from .. import checks
from .base import Transform

_SYMBOLS = ("digits", "mnist", "emnist", "svhn", "text")  # data sets whose classes depend on how a symbol is turned


class LabelWarning(UserWarning):
    """An augmentation can change what an image shows, and so make its label wrong."""


class Compose(Transform):
    """Do transforms one after the other.

    Neighbouring geometric ones become one resampling: their matrices are multiplied and the pixels read once, so that
    the time and the loss of sharpness are those of one.

    Parameters
    ----------
    transforms : sequence of Transform
        Or their configurations or names.
    dataset : str, optional
        What is augmented: for ``"digits"``, ``"mnist"``, ``"emnist"``, ``"svhn"`` and ``"text"`` there is a
        `LabelWarning` for each transform that changes such labels, as flips do; other names have no rules.
    p : float
        Probability with which all of it is done, default 1.
    """

    def __init__(self, transforms, dataset=None, p=1.0):
        super().__init__(p)
        self.transforms = _opened("Compose", transforms)
        self.dataset = dataset
        if dataset is not None:
            check(self, dataset)

    def transform(self, sample, generator):
        for transform in self.transforms:
            transform.apply(sample, generator)

    def children(self):
        return self.transforms

    def get_config(self):
        return {"transforms": _configs(self.transforms), "dataset": self.dataset, "p": self.p}


class OneOf(Transform):
    """Do one of several transforms, drawn anew for each sample.

    Parameters
    ----------
    transforms : sequence of Transform
        Or their configurations or names.
    weights : sequence of float, optional
        How often each is drawn, in proportion; default all alike.
    p : float
        Probability with which any is done, default 1.
    """

    def __init__(self, transforms, weights=None, p=1.0):
        super().__init__(p)
        self.transforms = _opened("OneOf", transforms)
        if not self.transforms:
            raise ValueError("OneOf: transforms must hold at least one, got none")
        if weights is None:
            self.weights = None
            shares = np.ones(len(self.transforms))
        else:
            self.weights = [checks.non_negative("OneOf", "each of weights", w) for w in weights]
            if len(self.weights) != len(self.transforms) or sum(self.weights) == 0:
                raise ValueError(
                    f"OneOf: weights must be one number for each of the {len(self.transforms)} transforms "
                    f"and not all 0, got {weights!r}"
                )
            shares = np.array(self.weights)
        self._bounds = np.cumsum(shares) / shares.sum()

    def transform(self, sample, generator):
        chosen = int(np.searchsorted(self._bounds, generator.random(), side="right"))
        self.transforms[min(chosen, len(self.transforms) - 1)].apply(sample, generator)

    def children(self):
        return self.transforms

    def get_config(self):
        return {"transforms": _configs(self.transforms), "weights": self.weights, "p": self.p}


class RandomApply(Transform):
    """Do a transform with a probability (times the transform's own).

    Parameters
    ----------
    transform : Transform
        Or its configuration or name.
    p : float
        Default 0.5.
    """

    def __init__(self, transform, p=0.5):
        super().__init__(p)
        self.child = _opened("RandomApply", [transform])[0]

    def transform(self, sample, generator):
        self.child.apply(sample, generator)

    def children(self):
        return [self.child]

    def get_config(self):
        return {"transform": _configs([self.child])[0], "p": self.p}


class Identity(Transform):
    """Leave the sample as it is."""

    def transform(self, sample, generator):
        return


def check(transform, dataset):
    """Warn of transforms that change the labels of a data set, and return the warnings' sentences.

    Parameters
    ----------
    transform : Transform
        All that it holds is looked at too.
    dataset : str
        ``"digits"``, ``"mnist"``, ``"emnist"``, ``"svhn"`` or ``"text"``; other names have no rules and give none.

    Returns
    -------
    list of str
        One sentence for each transform that is unfit; each is also issued as a `LabelWarning`.
    """
    if not isinstance(dataset, str):
        raise ValueError(f"augment.check: dataset must be a name such as {_SYMBOLS[0]!r}, got {dataset!r}")
    if dataset.lower().replace("_", "-") not in _SYMBOLS:
        return []
    sentences = [
        f"{type(t).__name__} must not be used for {dataset}: it {t.changes_digits()}, and the label would be "
        f"wrong; leave it out"
        for t in _all(transform)
        if t.changes_digits()
    ]
    for sentence in sentences:
        warnings.warn(sentence, LabelWarning, stacklevel=3)
    return sentences


def _all(transform):
    """The transform and what it holds, without what is never done."""
    if transform.p > 0:
        yield transform
        for child in transform.children():
            yield from _all(child)


def _opened(owner, transforms):
    from . import get

    if isinstance(transforms, (str, dict, Transform)) or not hasattr(transforms, "__iter__"):
        raise ValueError(f"{owner}: transforms must be a list of transforms, got {transforms!r}")
    return [get(transform) for transform in transforms]


def _configs(transforms):
    from . import serialize

    return [serialize(transform) for transform in transforms]
