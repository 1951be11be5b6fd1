"""Running moments: means, variances and scatter matrices of batches that come one after another.

Batches are merged by the pairwise formula of Chan, Golub and LeVeque (1983, Algorithms for computing the sample
variance): with counts n and m and the difference d of the means, ``M = M_n + M_m + d d' n m / (n + m)``. Nothing is
ever computed as E[x^2] - E[x]^2, so a mean far above the deviation costs no digits. Everything is float64.
"""

import numpy as np


class Moments:
    """Count, mean and sum of squared deviations of each feature.

    Attributes
    ----------
    count : int
    mean, m2 : ndarray of shape (features,)
    """

    def __init__(self, features):
        self.count, self.mean, self.m2 = 0, np.zeros(features), np.zeros(features)

    def update(self, x):
        """Add the rows of x, float64 (n, k * features): k samples side by side, such as the pixels of an image."""
        means = x.mean(axis=0)
        centred = x - means
        m2 = np.einsum("ij,ij->j", centred, centred).reshape(-1, len(self.mean)).sum(axis=0)
        means = means.reshape(-1, len(self.mean))
        mean = means.mean(axis=0)
        self._merge(len(x) * len(means), mean, m2 + len(x) * ((means - mean) ** 2).sum(axis=0))

    def _merge(self, n, mean, m2):
        delta, total = mean - self.mean, self.count + n
        self.mean = self.mean + delta * (n / total)
        self.m2 = self.m2 + m2 + delta**2 * (self.count * n / total)
        self.count = total

    @property
    def variance(self):
        """Biased, ``m2 / count``."""
        return self.m2 / self.count


class Scatter:
    """Count, mean and scatter matrix ``sum (x - mean)(x - mean)'``.

    Attributes
    ----------
    count : int
    mean : ndarray of shape (features,)
    matrix : ndarray of shape (features, features)
    """

    def __init__(self, features):
        self.count, self.mean, self.matrix = 0, np.zeros(features), np.zeros((features, features))

    def update(self, x):
        """Add the rows of x, float64 (n, features)."""
        n, mean = len(x), x.mean(axis=0)
        centred = x - mean
        delta, total = mean - self.mean, self.count + n
        self.matrix += centred.T @ centred
        self.matrix += np.outer(delta, delta) * (self.count * n / total)
        self.mean = self.mean + delta * (n / total)
        self.count = total


class ValueCounts:
    """The values that one feature takes, sorted, and how often each.

    Exact up to `limit` different values. Beyond that neighbours are merged, by weight, to half as many: a rank is then
    off by at most half a group each time, in the worst case by a share ``count / limit**2`` of all values, which is
    less than a thousandth for 4 million values.

    Attributes
    ----------
    values, counts : ndarray
    exact : bool
    """

    def __init__(self, limit=65536):
        self.values, self.counts, self.exact, self.limit = np.zeros(0), np.zeros(0, np.int64), True, limit

    def update(self, x):
        """Add the values of x, float64 (n,), without NaN."""
        for begin in range(0, len(x), self.limit):
            values, counts = np.unique(x[begin : begin + self.limit], return_counts=True)
            self.values, where = np.unique(np.concatenate([self.values, values]), return_inverse=True)
            self.counts = np.bincount(where, np.concatenate([self.counts, counts]), len(self.values)).astype(np.int64)
            if len(self.values) > self.limit:
                self._merge_neighbours()

    def _merge_neighbours(self):
        self.exact = False
        below = np.cumsum(self.counts) - self.counts / 2  # the rank of each value's middle
        group = np.minimum((below * (self.limit // 2) / self.counts.sum()).astype(np.int64), self.limit // 2 - 1)
        first = np.flatnonzero(np.diff(group, prepend=-1))
        middle = (first + np.append(first[1:], len(group)) - 1) // 2
        self.values, self.counts = self.values[middle], np.add.reduceat(self.counts, first)

    def median(self):
        """The middle value; the mean of the two middle ones of an even number."""
        ends, n = np.cumsum(self.counts), int(self.counts.sum())
        return float(sum(self.values[np.searchsorted(ends, rank, side="right")] for rank in ((n - 1) // 2, n // 2)) / 2)

    def mode(self):
        """The most frequent value; of several the smallest."""
        return float(self.values[np.argmax(self.counts)])
