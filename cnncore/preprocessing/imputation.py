"""Values for what is missing."""

import numpy as np

from .. import checks
from .base import Preprocessor, flatten, grouped, per_choice, unflatten
from .moments import ValueCounts


class _RunningMean:
    """The mean of what is there, of each group."""

    def __init__(self, groups):
        self.counts, self.means = np.zeros(groups, np.int64), np.zeros(groups)

    def update(self, x):
        there = ~np.isnan(x)
        n = there.sum(axis=0)
        self.counts += n
        deviations = np.where(there, x - self.means, 0.0).sum(axis=0)
        self.means = self.means + deviations / np.maximum(self.counts, 1)


class Impute(Preprocessor):
    """What is missing, NaN, becomes the mean, the median or the most frequent value of what is there.

    That is sound where values are missing at random. Where their being missing says something (an examination that was
    not made), any value in their place is a bias; then give the network a feature more that tells.

    Parameters
    ----------
    strategy : "mean", "median" or "mode"
        The mode is for categories: at most 65,536 different values. The median is exact for as many, and close to it
        beyond: see `cnncore.preprocessing.moments.ValueCounts`.
    per : "feature", "channel" or "all"
        Over what it is taken, as of `Standardize`; default "feature".
    """

    array_names = ("values",)
    takes_nan = True

    def __init__(self, strategy="mean", per="feature"):
        super().__init__()
        self.strategy = checks.choice("Impute", "strategy", strategy, ("mean", "median", "mode"))
        self.per = per_choice("Impute", per)

    def get_config(self):
        return {"strategy": self.strategy, "per": self.per}

    def _groups(self, shape):
        return {"feature": int(np.prod(shape)), "channel": shape[-1], "all": 1}[self.per]

    def _fits(self, shape):
        same_groups = self._groups(shape) == self._groups(self.sample_shape)
        return shape == self.sample_shape if self.per == "feature" else same_groups

    def _begin(self, shape):
        groups = self._groups(shape)
        self._statistics = _RunningMean(groups) if self.strategy == "mean" else [ValueCounts() for _ in range(groups)]

    def _update(self, x, y):
        x = grouped(x, self.per)
        if self.strategy == "mean":
            self._statistics.update(x)
            return
        for i, counts in enumerate(self._statistics):
            column = x[:, i]
            counts.update(column[~np.isnan(column)])

    def _finish(self):
        if self.strategy == "mean":
            empty = np.flatnonzero(self._statistics.counts == 0)
        else:
            empty = [i for i, counts in enumerate(self._statistics) if len(counts.values) == 0]
        if len(empty):
            raise ValueError(
                f"Impute: every {'feature' if self.per == 'feature' else self.per} must have a value in some sample, "
                f"but number {empty[0]} is always missing; leave it out"
            )
        if self.strategy == "mean":
            return {"values": self._statistics.means}
        if self.strategy == "median":
            return {"values": [counts.median() for counts in self._statistics]}
        many = [i for i, counts in enumerate(self._statistics) if not counts.exact]
        if many:
            raise ValueError(
                f'Impute: strategy "mode" must be used with at most {self._statistics[many[0]].limit} different '
                f'values, number {many[0]} has more; use "median"'
            )
        return {"values": [counts.mode() for counts in self._statistics]}

    def lower(self, b, x, weights):
        if self.per != "feature":
            return b.op("replace_nan", [x, weights["values"]])
        return unflatten(b, b.op("replace_nan", [flatten(b, x), weights["values"]]), x.shape[1:])

    def _why_no_inverse(self):
        return "what was missing is not known"
