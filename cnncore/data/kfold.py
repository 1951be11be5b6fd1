"""Cross-validation."""

import numpy as np

from .. import checks
from .dataset import checked_dataset
from .split import seeded, strata


class KFold:
    """Divide a data set into k folds, each of which is the validation set once.

    The sizes of the folds differ by at most one image; stratified, so do the numbers of each class in them.

    Parameters
    ----------
    n_splits : int
        k, at least 2; default 5.
    shuffle : bool
        Deal the images out at random; otherwise in their order, one to each fold in turn. Default True.
    stratified : bool
        Deal each class out on its own; default False.
    seed : int, optional
        0 <= seed < 2**64. Default: from `cnncore.random`, once, so that `split` always gives the same folds.

    Examples
    --------
    >>> for train, validation in data.KFold(5, stratified=True, seed=1).split(photos):    # doctest: +SKIP
    ...     ...
    """

    def __init__(self, n_splits=5, shuffle=True, stratified=False, seed=None):
        self.n_splits = checks.integer("KFold", "n_splits", n_splits, 2)
        self.shuffle = checks.boolean("KFold", "shuffle", shuffle)
        self.stratified = checks.boolean("KFold", "stratified", stratified)
        if seed is not None and not shuffle:
            raise ValueError(f"KFold: seed must be left out with shuffle=False, got {seed!r}")
        self._seed = seeded(seed)

    def split(self, dataset):
        """Yield k pairs of (training Subset, validation Subset); ValueError where there are fewer images than folds."""
        if len(checked_dataset("KFold", dataset)) < self.n_splits:
            raise ValueError(f"KFold: dataset must have at least n_splits={self.n_splits} images, got {len(dataset)}")
        generator = np.random.Generator(np.random.PCG64(self._seed))
        groups = strata(dataset, self.stratified, "KFold")
        dealt = np.concatenate([generator.permutation(g) if self.shuffle else g for g in groups])
        fold = np.empty(len(dataset), np.int64)
        fold[dealt] = np.arange(len(dealt)) % self.n_splits
        return (
            (dataset.subset(np.flatnonzero(fold != k)), dataset.subset(np.flatnonzero(fold == k)))
            for k in range(self.n_splits)
        )
