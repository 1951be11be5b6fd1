"""Linear maps of all features: principal components, whitening, discriminants. ``x' = (x - mean) projection``."""

import math

import numpy as np

from .. import checks
from .base import Preprocessor, features_last, flatten, unflatten
from .moments import Scatter

MOST_FEATURES = 16384  # a covariance of 2 GiB


class _Projection(Preprocessor):
    """A fitted mean and matrix; samples are taken as vectors of all their features."""

    array_names = ("mean", "projection")
    keeps_shape = False

    def _begin(self, shape):
        features = math.prod(shape)
        if features > MOST_FEATURES:
            raise ValueError(
                f"{self._owner}: samples must have at most {MOST_FEATURES} features, got {features} of shape {shape}, "
                f"whose covariance would take {features**2 * 8 / 2**30:.0f} GiB; resize or crop them first"
            )
        self._statistics = Scatter(features)

    def _update(self, x, y):
        self._statistics.update(features_last(x))

    def output_shape(self, shape):
        return shape if self.keeps_shape else self.arrays["projection"].shape[1:]

    def lower(self, b, x, weights):
        centred = b.op("subtract", [flatten(b, x), weights["mean"]])  # first: a bias would lose digits
        y = b.op("dense", [centred, weights["projection"]])
        return unflatten(b, y, x.shape[1:]) if self.keeps_shape else y

    def inverse_transform(self, y):
        """``x = mean + y pinv(projection)``: exact for all components, else the nearest point of the subspace."""
        arrays = self.arrays
        shape = self.sample_shape if self.keeps_shape else arrays["projection"].shape[1:]
        y = self._inverse_input(y, shape).reshape(len(y), -1)
        x = y @ np.linalg.pinv(arrays["projection"].astype(np.float64)) + arrays["mean"]
        return x.reshape(-1, *self.sample_shape).astype(np.float32)


def principal_axes(scatter, owner):
    """Variances (biased, descending) and axes (columns) of a scatter.

    The largest entry of each axis is positive, so that signs are repeatable."""
    if scatter.count < 2:
        raise ValueError(f"{owner}: x must have at least 2 samples, got {scatter.count}")
    variances, axes = np.linalg.eigh(scatter.matrix / scatter.count)
    variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return variances, axes * np.where(largest < 0, -1.0, 1.0)


def rank_of(variances):
    """How many variances are above the rounding of the largest."""
    return int((variances > len(variances) * np.finfo(np.float64).eps * variances[0]).sum())


def _deviations(variances, epsilon, owner):
    """sqrt(variance + epsilon), or ValueError where that is 0."""
    rank = rank_of(variances)
    if epsilon == 0 and rank < len(variances):
        raise ValueError(
            f"{owner}: epsilon must be > 0, the data vary in {rank} of {len(variances)} directions only (constant "
            "features, or fewer samples than features) and 0 would be divided by 0"
        )
    return np.sqrt(variances + epsilon)


class PCA(_Projection):
    """Principal component analysis: ``x' = (x - mean) V``, the columns of V the eigenvectors of the covariance with the
    largest eigenvalues.

    Pearson 1901; Hotelling 1933. The components are uncorrelated, the first has the largest variance. Images become
    vectors.

    Parameters
    ----------
    n_components : int, float or None
        How many components; a float in 0 < share < 1: as many as hold that share of the variance; None (default): all.

    Attributes
    ----------
    explained_variance_ratio : ndarray
        The share of the variance in each component that is kept.
    """

    array_names = ("mean", "projection", "explained")

    def __init__(self, n_components=None):
        super().__init__()
        if isinstance(n_components, float) and not 0 < n_components < 1:
            raise ValueError(
                f"{self._owner}: n_components must be an integer >= 1, a share between 0 and 1, or None, got "
                f"{n_components!r}"
            )
        if n_components is not None and not isinstance(n_components, float):
            n_components = checks.integer(self._owner, "n_components", n_components, 1)
        self.n_components = n_components

    def get_config(self):
        return {"n_components": self.n_components}

    def _finish(self):
        variances, axes = principal_axes(self._statistics, self._owner)
        total = variances.sum()
        share = variances / total if total > 0 else np.zeros_like(variances)
        kept = self._kept(share)
        projection = self._scaled(variances[:kept], axes[:, :kept])
        return {"mean": self._statistics.mean, "projection": projection, "explained": share[:kept]}

    def _kept(self, share):
        if self.n_components is None:
            return len(share)
        if isinstance(self.n_components, float):
            return min(int(np.searchsorted(np.cumsum(share), self.n_components)) + 1, len(share))
        if self.n_components > len(share):
            raise ValueError(
                f"{self._owner}: n_components must be at most the number of features, {len(share)}, got "
                f"{self.n_components}"
            )
        return self.n_components

    def _scaled(self, variances, axes):
        return axes

    @property
    def explained_variance_ratio(self):
        """The share of the variance that each component explains, largest first."""
        return self.arrays["explained"].copy()


class PCAWhitening(PCA):
    """Principal components of variance 1: ``x' = (x - mean) V (L + epsilon)^(-1/2)``, L the eigenvalues of the
    covariance.

    The covariance of x' is the identity, up to epsilon. Images become vectors.

    Parameters
    ----------
    n_components : int, float or None
        As of `PCA`.
    epsilon : float
        In squared units of the data, at least 0, default 1e-5, for data in 0..1: directions of a smaller variance are
        noise and are not blown up. It is no machine epsilon; Krizhevsky 2009 and others take 0.01 to 0.1 for images.
    """

    def __init__(self, n_components=None, epsilon=1e-5):
        super().__init__(n_components)
        self.epsilon = checks.non_negative(self._owner, "epsilon", epsilon)

    def get_config(self):
        return {"n_components": self.n_components, "epsilon": self.epsilon}

    def _scaled(self, variances, axes):
        return axes / _deviations(variances, self.epsilon, self._owner)


class ZCAWhitening(_Projection):
    """Zero-phase component analysis: ``x' = (x - mean) V (L + epsilon)^(-1/2) V'`` (Bell and Sejnowski 1997).

    Of all maps that make the covariance the identity this one, being symmetric, changes the data least: images stay
    images of the same shape, with their edges sharpened.

    Parameters
    ----------
    epsilon : float
        As of `PCAWhitening`.
    """

    keeps_shape = True

    def __init__(self, epsilon=1e-5):
        super().__init__()
        self.epsilon = checks.non_negative(self._owner, "epsilon", epsilon)

    def get_config(self):
        return {"epsilon": self.epsilon}

    def _finish(self):
        variances, axes = principal_axes(self._statistics, self._owner)
        projection = axes / _deviations(variances, self.epsilon, self._owner) @ axes.T
        return {"mean": self._statistics.mean, "projection": projection}


class _ClassScatter:
    """Scatter within the classes, and the classes' counts and means."""

    def __init__(self, features):
        self.within, self.classes = np.zeros((features, features)), {}

    def update(self, x, y):
        for label in np.unique(y):
            part = x[y == label]
            n, mean = len(part), part.mean(axis=0)
            count, old = self.classes.get(int(label), (0, 0.0))
            centred, delta = part - mean, mean - old
            self.within += centred.T @ centred
            self.within += np.outer(delta, delta) * (count * n / (count + n))
            self.classes[int(label)] = count + n, old + delta * (n / (count + n))


class LDA(_Projection):
    """Linear discriminant analysis: ``x' = (x - mean) W``, the directions in which the classes lie furthest apart for
    their width.

    Fisher 1936; Rao 1948. The columns of W solve ``S_b w = lambda S_w w`` with the scatter between and within the
    classes; of C classes there are at most C - 1. They are scaled so that the covariance within the classes is the
    identity. `fit` needs y.

    Parameters
    ----------
    n_components : int, optional
        At most C - 1 and the number of features; default as many as there are.
    shrinkage : float
        In 0..1, default 0: S_w becomes ``(1 - shrinkage) S_w + shrinkage mean(diag S_w) I``, for few samples of many
        features. Directions in which the classes have no width at all (constant features) are left out.
    """

    needs_labels = True

    def __init__(self, n_components=None, shrinkage=0.0):
        super().__init__()
        if n_components is not None:
            n_components = checks.integer(self._owner, "n_components", n_components, 1)
        self.n_components = n_components
        self.shrinkage = checks.number(self._owner, "shrinkage", shrinkage, "be in 0 to 1", lambda v: 0 <= v <= 1)

    def get_config(self):
        return {"n_components": self.n_components, "shrinkage": self.shrinkage}

    def _begin(self, shape):
        super()._begin(shape)
        self._statistics = _ClassScatter(math.prod(shape))

    def _update(self, x, y):
        self._statistics.update(features_last(x), y)

    def _finish(self):
        classes = self._statistics.classes
        if len(classes) < 2:
            raise ValueError(f"{self._owner}: y must have at least 2 classes, got {len(classes)}")
        most = min(len(classes) - 1, math.prod(self.sample_shape))
        if self.n_components is not None and self.n_components > most:
            raise ValueError(
                f"{self._owner}: n_components must be at most {most}, for {len(classes)} classes and "
                f"{math.prod(self.sample_shape)} features, "
                f"got {self.n_components}"
            )
        counts = np.array([count for count, _ in classes.values()], np.float64)
        means = np.array([mean for _, mean in classes.values()])
        total = counts.sum()
        mean = counts @ means / total
        within = self._statistics.within / total
        within = (1 - self.shrinkage) * within + self.shrinkage * np.trace(within) / len(within) * np.eye(len(within))
        variances, axes = np.linalg.eigh(within)
        rank = rank_of(variances[::-1]) if variances[-1] > 0 else 0
        if rank == 0:
            raise ValueError(
                f"{self._owner}: the samples of each class must differ from each other, got classes of equal samples"
            )
        whiten = axes[:, -rank:] / np.sqrt(variances[-rank:])
        spread = (means - mean) * np.sqrt(counts / total)[:, None] @ whiten
        _, _, directions = np.linalg.svd(spread, full_matrices=False)
        projection = whiten @ directions[: min(most, rank) if self.n_components is None else self.n_components].T
        largest = projection[np.abs(projection).argmax(axis=0), np.arange(projection.shape[1])]
        return {"mean": mean, "projection": projection * np.where(largest < 0, -1.0, 1.0)}
