"""Mixup and CutMix: batches in which images, and their labels, are mixed in pairs."""

import math

import numpy as np

from .. import checks, random
from ..registry import Configurable
from . import draws
from .resample import rounded


class _Mixing(Configurable):
    """Base of what mixes a batch.

    Parameters
    ----------
    alpha : float
        Of the distribution Beta(alpha, alpha) of the share lambda that an image keeps: 1 is uniform, near 0 most
        images stay nearly alone.
    per : str
        ``"batch"``: one lambda for all images; ``"sample"``: one for each.
    num_classes : int, optional
        Makes one-hot vectors of labels that are class numbers.
    p : float
        Probability with which a batch is mixed, default 1.
    """

    _stream = None

    def __init__(self, alpha, per, num_classes, p):
        name = type(self).__name__
        self.alpha = checks.positive(name, "alpha", alpha)
        self.per = checks.choice(name, "per", per, ("batch", "sample"))
        self.num_classes = None if num_classes is None else checks.integer(name, "num_classes", num_classes, 2)
        self.p = checks.number(name, "p", p, "be a probability in [0, 1]", lambda v: 0 <= v <= 1)

    def get_config(self):
        return {"alpha": self.alpha, "per": self.per, "num_classes": self.num_classes, "p": self.p}

    def __call__(self, images, labels, *, seed=None, epoch=0, indices=None):
        """Return the mixed images and labels.

        Parameters
        ----------
        images : ndarray of shape (count, height, width, channels)
            uint8 or float32; the mixed images have the same type, bytes rounded to the nearest.
        labels : ndarray of shape (count, classes) or (count,)
            Vectors (one-hot or already mixed), or class numbers where `num_classes` was given.
        seed, epoch, indices
            All draws are a function of (seed, epoch, the samples' numbers in the data set): of the first sample's
            number for what the batch shares (the pairs, and lambda where it is one for all), of its own for each.
            Give `seed` and `indices` or neither.

        Returns
        -------
        images : ndarray
        labels : ndarray of shape (count, classes), float32
            ``share * label + (1 - share) * partner's label``.
        """
        name = type(self).__name__
        images = np.asarray(images)
        if images.ndim != 4 or images.dtype not in (np.uint8, np.float32):
            raise ValueError(
                f"{name}: images must be a uint8 or float32 array (count, height, width, channels), got "
                f"{images.dtype} of shape {images.shape}"
            )
        labels = self._vectors(np.asarray(labels), len(images))
        if (seed is None) != (indices is None):
            raise ValueError(
                f"{name}: seed and indices must be given together, got seed={seed!r} and "
                f"indices={indices!r}; indices are the numbers of the samples in the data set"
            )
        seed = random.next_seed() if seed is None else seed
        numbers = list(range(len(images))) if indices is None else np.asarray(indices).reshape(-1).tolist()
        if len(numbers) != len(images):
            raise ValueError(
                f"{name}: indices must hold one number for each of the {len(images)} images, got {len(numbers)}"
            )
        if not numbers:
            return images.copy(), labels
        shared = draws.generator(seed, epoch, numbers[0], self._stream)
        if self.p < 1 and shared.random() >= self.p:
            return images.copy(), labels
        partners = shared.permutation(len(images))
        if self.per == "batch":
            sources = [shared] * len(images)
            shares = np.full(len(images), shared.beta(self.alpha, self.alpha))
        else:
            sources = [draws.generator(seed, epoch, number, self._stream + draws.OWN) for number in numbers]
            shares = np.array([source.beta(self.alpha, self.alpha) for source in sources])
        images, shares = self.mixed(images, partners, shares, sources)
        share = shares.astype(np.float64)[:, None]
        return images, (share * labels + (1 - share) * labels[partners]).astype(np.float32)

    def mixed(self, images, partners, shares, sources):
        """Return the mixed images and the share that each really keeps."""
        raise NotImplementedError(f"{type(self).__name__}: mixed(images, partners, shares, sources) must be defined")

    def _vectors(self, labels, count):
        name = type(self).__name__
        if len(labels) != count:
            raise ValueError(f"{name}: labels must hold one entry for each of the {count} images, got {len(labels)}")
        if labels.ndim == 2:
            if self.num_classes not in (None, labels.shape[1]):
                raise ValueError(f"{name}: labels must have {self.num_classes} columns, got {labels.shape[1]}")
            return labels.astype(np.float32)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ValueError(
                f"{name}: labels must be vectors (count, classes) or class numbers (count,), got "
                f"{labels.dtype} of shape {labels.shape}"
            )
        if self.num_classes is None:
            raise ValueError(f"{name}: num_classes must be given to mix class numbers; or pass one-hot vectors")
        if count and not 0 <= labels.min() <= labels.max() < self.num_classes:
            raise ValueError(f"{name}: labels must be in 0..{self.num_classes - 1}, got {labels.min()}..{labels.max()}")
        return (labels[:, None] == np.arange(self.num_classes)).astype(np.float32)


class MixUp(_Mixing):
    """x = lambda x_i + (1 - lambda) x_j, and the labels alike, lambda ~ Beta(alpha, alpha).

    Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.

    Parameters
    ----------
    alpha : float
        Default 0.2.
    per : str
        One lambda for the ``"batch"`` (default) or for each ``"sample"``.
    num_classes : int, optional
        Makes one-hot vectors of labels that are class numbers.
    p : float
        Probability with which a batch is mixed, default 1.
    """

    _stream = draws.MIXUP

    def __init__(self, alpha=0.2, per="batch", num_classes=None, p=1.0):
        super().__init__(alpha, per, num_classes, p)

    def mixed(self, images, partners, shares, sources):
        share = shares.astype(np.float32)[:, None, None, None]
        return rounded(share * images + (1 - share) * images[partners], images.dtype), shares


class CutMix(_Mixing):
    """Paste a rectangle of the partner's pixels; the labels are mixed by the areas that are really seen.

    The rectangle has the image's proportions and 1 - lambda of its area, its centre is drawn uniformly and it is cut
    at the border: the share of the labels is counted after that cut. Yun et al., "CutMix", ICCV 2019.

    Parameters
    ----------
    alpha : float
        Default 1.
    per : str
        One rectangle for the ``"batch"`` (default) or one for each ``"sample"``.
    num_classes : int, optional
        Makes one-hot vectors of labels that are class numbers.
    p : float
        Probability with which a batch is mixed, default 1.
    """

    _stream = draws.CUTMIX

    def __init__(self, alpha=1.0, per="batch", num_classes=None, p=1.0):
        super().__init__(alpha, per, num_classes, p)

    def mixed(self, images, partners, shares, sources):
        count, height, width = images.shape[:3]
        result = images.copy()
        kept = np.empty(count)
        for i in range(count):
            if i == 0 or self.per == "sample":
                top, bottom, left, right = _rectangle(height, width, shares[i], sources[i])
            result[i, top:bottom, left:right] = images[partners[i], top:bottom, left:right]
            kept[i] = 1 - (bottom - top) * (right - left) / (height * width)
        return result, kept


def _rectangle(height, width, share, generator):
    side = math.sqrt(1 - share)
    cut_height, cut_width = int(height * side), int(width * side)
    top = int(generator.integers(height)) - cut_height // 2
    left = int(generator.integers(width)) - cut_width // 2
    return max(top, 0), min(top + cut_height, height), max(left, 0), min(left + cut_width, width)


def mixup(images, labels, alpha=0.2, *, per="batch", num_classes=None, p=1.0, seed=None, epoch=0, indices=None):
    """Return (images, labels) of a batch mixed by `MixUp`.

    Parameters
    ----------
    images, labels
        The batch.
    alpha, per, num_classes, p
        As of `MixUp`.
    seed, epoch, indices
        What the draws follow from, as in a call of `MixUp`.
    """
    return MixUp(alpha, per, num_classes, p)(images, labels, seed=seed, epoch=epoch, indices=indices)


def cutmix(images, labels, alpha=1.0, *, per="batch", num_classes=None, p=1.0, seed=None, epoch=0, indices=None):
    """Return (images, labels) of a batch mixed by `CutMix`.

    Parameters
    ----------
    images, labels
        The batch.
    alpha, per, num_classes, p
        As of `CutMix`.
    seed, epoch, indices
        What the draws follow from, as in a call of `CutMix`.
    """
    return CutMix(alpha, per, num_classes, p)(images, labels, seed=seed, epoch=epoch, indices=indices)
