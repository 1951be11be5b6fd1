"""Images that are in memory, or in a memory-mapped file, as one array."""

import numpy as np

from .dataset import Dataset


class ArrayDataset(Dataset):
    """A data set of arrays.

    Parameters
    ----------
    x : ndarray of shape (n, height, width) or (n, height, width, channels)
        A `numpy.memmap` is read as it is needed.
    y : array_like of shape (n, ...), optional
        Labels.
    class_names : list of str, optional

    Raises
    ------
    ValueError
        If the shapes do not fit together or the elements are no numbers.
    """

    in_memory = True

    def __init__(self, x, y=None, class_names=None):
        x = x if isinstance(x, np.ndarray) else np.asarray(x)
        if x.ndim not in (3, 4) or x.dtype.kind not in "fiub":
            raise ValueError(
                f"ArrayDataset: x must be numbers of the shape (n, height, width) or (n, height, width, "
                f"channels), got {x.dtype} of shape {x.shape}"
            )
        self.x = x[..., None] if x.ndim == 3 else x
        if y is not None:
            y = np.asarray(y)
            if y.ndim == 0 or len(y) != len(x) or y.dtype.kind not in "fiub":
                raise ValueError(
                    f"ArrayDataset: y must be one number or one array of numbers for each of the {len(x)} "
                    f"images, got {y.dtype} of shape {y.shape}"
                )
            self.labels = y
        self.class_names = None if class_names is None else list(class_names)

    def __len__(self):
        return len(self.x)

    def image(self, index, at_least=None):
        return self.x[index]

    def gather(self, indices):
        """Images as one array (len(indices), height, width, channels), a copy."""
        return self.x[indices]
