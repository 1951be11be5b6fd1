"""Images in files, decoded when they are asked for."""

import os

import numpy as np

from .dataset import Dataset
from .decode import MAX_PIXELS, Decoder


class ImageFiles(Dataset):
    """A data set of image files. `ImageFolder` and `ImageTable` find the files; this takes a list.

    Parameters
    ----------
    paths : sequence of str or os.PathLike
    labels : array_like of shape (n, ...), optional
    class_names : list of str, optional
    channels : int
        1 (grey), 3 (RGB, default) or 4 (RGB and alpha).
    background : sequence of int
        (red, green, blue) in 0..255 behind transparent pixels; default white.
    max_pixels : int
        Larger pictures are refused as unreadable; default 89,478,485.

    Attributes
    ----------
    paths : list of str
    """

    def __init__(
        self, paths, labels=None, class_names=None, channels=3, background=(255, 255, 255), max_pixels=MAX_PIXELS
    ):
        self.decoder = Decoder(channels, background, max_pixels)
        self.paths = [os.fspath(path) for path in paths]
        if labels is not None:
            labels = np.asarray(labels)
            if labels.ndim == 0 or len(labels) != len(self.paths) or labels.dtype.kind not in "fiub":
                raise ValueError(
                    f"{type(self).__name__}: labels must be one number or one array of numbers for each "
                    f"of the {len(self.paths)} files, got {labels.dtype} of shape {labels.shape}"
                )
            self.labels = labels
        self.class_names = None if class_names is None else list(class_names)

    def __len__(self):
        return len(self.paths)

    def image(self, index, at_least=None):
        return self.decoder.read(self.paths[index], at_least)

    def path(self, index):
        return self.paths[index]

    def stamp(self, index):
        path = self.paths[index]
        try:
            status = os.stat(path)
        except OSError:
            return None  # decoding will say what is wrong with the file
        return (path, self.decoder.settings), (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
