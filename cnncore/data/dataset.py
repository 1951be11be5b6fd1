"""What a data set is: numbered images with labels, each made when it is asked for."""

import numpy as np

from .. import checks
from .decode import shown


class Dataset:
    """Base of data sets. A subclass defines ``__len__`` and ``image``, and may set the attributes.

    Attributes
    ----------
    labels : ndarray or None
        One entry for each image: class numbers (n,), or targets of any shape (n, ...).
    class_names : list of str or None
        Name of each class number.
    """

    labels = None
    class_names = None

    def __len__(self):
        raise NotImplementedError(f"{type(self).__name__}: __len__ must be defined")

    def image(self, index, at_least=None):
        """Return an image: a Pillow image of mode L, RGB or RGBA, or an array (height, width, channels).

        Parameters
        ----------
        index : int
        at_least : (int, int), optional
            (height, width) that suffice: an image that is larger may be made at a smaller size, no smaller than that.
        """
        raise NotImplementedError(f"{type(self).__name__}: image must be defined")

    def path(self, index):
        """Return the path of the file that an image comes from; None where there is none."""
        return None

    def describe(self, index):
        """Name an image in messages: its path, or its number."""
        path = self.path(index)
        return f"sample {index}" if path is None else shown(path)

    def stamp(self, index):
        """Return (identity, version) of an image for caches, both hashable; None where caching would gain nothing.

        The identity tells what is decoded and how; the version changes when the file does.
        """
        return None

    def subset(self, indices):
        """Return the data set of the images with these numbers, in this order."""
        return Subset(self, indices)

    def __getitem__(self, index):
        """(image as an array (height, width, channels), label or None)."""
        index = range(len(self))[index]  # negative numbers; IndexError ends an iteration
        return as_array(self.image(index)), None if self.labels is None else self.labels[index]


class Subset(Dataset):
    """Some images of a data set, without a copy.

    Parameters
    ----------
    dataset : Dataset
    indices : sequence of int
        Numbers in `dataset`; one may occur several times.
    """

    def __init__(self, dataset, indices):
        indices = np.asarray(indices)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            raise ValueError(
                f"Subset: indices must be a sequence of integers, got {indices.dtype} of shape {indices.shape}"
            )
        if indices.size and not (0 <= indices.min() and indices.max() < len(dataset)):
            raise ValueError(
                f"Subset: indices must be in 0 to {len(dataset) - 1}, got {indices.min()} to {indices.max()}"
            )
        self.dataset, self.indices = dataset, indices.astype(np.int64)
        self.labels = None if dataset.labels is None else dataset.labels[self.indices]
        self.class_names = dataset.class_names

    def __len__(self):
        return len(self.indices)

    def image(self, index, at_least=None):
        return self.dataset.image(int(self.indices[index]), at_least)

    def path(self, index):
        return self.dataset.path(int(self.indices[index]))

    def describe(self, index):
        return self.dataset.describe(int(self.indices[index]))

    def stamp(self, index):
        return self.dataset.stamp(int(self.indices[index]))

    def gather(self, indices):
        """Images as one array, of a data set that has them in memory."""
        return self.dataset.gather(self.indices[indices])

    @property
    def in_memory(self):
        """Whether `gather` can be used."""
        return getattr(self.dataset, "in_memory", False)


def as_array(image):
    """A Pillow image or an array (height, width[, channels]) as an array (height, width, channels)."""
    array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def class_numbers(dataset, what):
    """The class number of each image of a data set, from labels (n,), (n, 1) or one-hot rows.

    Parameters
    ----------
    dataset : Dataset or array_like
        A data set, or its labels.
    what : str
        Who asks, for the message of the ValueError.
    """
    labels = dataset.labels if isinstance(dataset, Dataset) else np.asarray(dataset)
    if labels is None:
        raise ValueError(f"{what}: dataset must have labels, got none")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    elif labels.ndim == 2 and labels.size and (np.sort(labels, axis=1) == np.eye(labels.shape[1])[-1]).all():
        labels = labels.argmax(axis=1)
    whole = (
        labels.ndim == 1
        and labels.dtype.kind in "iufb"
        and (labels.dtype.kind != "f" or bool((labels == np.floor(labels)).all()))
    )
    if not whole:
        raise ValueError(
            f"{what}: labels must be class numbers (n,) or one-hot rows (n, classes), got {labels.dtype} "
            f"of shape {labels.shape}"
        )
    if labels.size and labels.min() < 0:
        raise ValueError(f"{what}: class numbers must not be negative, got {labels.min()}")
    return labels.astype(np.int64)


def checked_dataset(owner, dataset):
    """Return `dataset`, which must be a Dataset (or act as one) with at least one image."""
    if not all(hasattr(dataset, name) for name in ("image", "path", "describe", "stamp", "labels", "__len__")):
        raise ValueError(
            f"{owner}: dataset must be a cnncore.data.Dataset such as ImageFolder, got "
            f"{type(dataset).__name__}; wrap arrays in ArrayDataset"
        )
    if len(dataset) == 0:
        raise ValueError(f"{owner}: dataset must have at least one image, got none")
    return dataset


def checked_size(owner, name, size):
    """Return (height, width) of a pair of positive integers, or of one for both."""
    if isinstance(size, (tuple, list)) and len(size) == 2:
        return tuple(checks.integer(owner, name, v, 1) for v in size)
    if isinstance(size, (tuple, list)):
        raise ValueError(f"{owner}: {name} must be (height, width), got {size!r}")
    return (checks.integer(owner, name, size, 1),) * 2
