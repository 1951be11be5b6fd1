"""A folder with one folder of images for each class."""

import os

import numpy as np

from .decode import MAX_PIXELS, UnreadableImage, identify
from .image_files import ImageFiles
from .slow_bar import SlowBar

# Files with these extensions are taken without a look inside; all others are opened to see whether they are images.
_SUFFIXES = {
    ".apng",
    ".avif",
    ".bmp",
    ".gif",
    ".jfif",
    ".jp2",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tga",
    ".tif",
    ".tiff",
    ".webp",
}


class ImageFolder(ImageFiles):
    """Images in one folder for each class; the folder's name is the name of the class.

    The folders are searched to any depth. Files are images by their extension or, where that is not known, by their
    content, so that a photo without an extension or with a wrong one is found too. Hidden files and folders are left
    out. Classes, and the files of each class, are in alphabetical order. Nothing is decoded yet: see
    `cnncore.data.check_files`.

    Parameters
    ----------
    folder : str or os.PathLike
    class_names : list of str, optional
        The classes and their order. Give a validation folder those of the training folder: ``ImageFolder("val",
        class_names=train.class_names)``. Default: all folders that hold images.
    channels, background, max_pixels
        See `ImageFiles`.
    follow_links : bool
        Enter folders that are symbolic links, each folder once; default False. Files may be links.
    verbose : "auto" or 0
        0: no progress bar. "auto" (default): one where the search takes longer than a second.

    Attributes
    ----------
    paths : list of str
    labels : ndarray of int64, shape (n,)
    class_names : list of str
    ignored : list of str
        Files that are no images.

    Raises
    ------
    ValueError
        If there are no images, a class is missing in `class_names`.
    NotADirectoryError, FileNotFoundError
        If `folder` is none.
    """

    def __init__(
        self,
        folder,
        class_names=None,
        channels=3,
        background=(255, 255, 255),
        max_pixels=MAX_PIXELS,
        follow_links=False,
        verbose="auto",
    ):
        folder = os.fspath(folder)
        present = subfolders(folder, follow_links)
        if class_names is not None:
            unknown = [name for name in present if name not in class_names]
            if unknown:
                raise ValueError(
                    f'ImageFolder "{folder}": class_names must name every folder in it, and lacks '
                    f"{', '.join(map(repr, unknown))}"
                )
        paths, labels, names, ignored = [], [], [], []
        with SlowBar(f"Scanning {os.path.basename(os.path.abspath(folder))}", verbose=verbose) as bar:
            for name in present if class_names is None else class_names:
                found = (
                    []
                    if name not in present
                    else list(image_paths(os.path.join(folder, name), follow_links, ignored, bar))
                )
                if found or class_names is not None:
                    paths += found
                    labels += [len(names)] * len(found)
                    names.append(name)
        if not paths:
            raise ValueError(
                f'ImageFolder "{folder}": must hold one folder of images per class, got '
                f"{len(present)} folders and no image in them"
            )
        super().__init__(paths, np.array(labels, np.int64), names, channels, background, max_pixels)
        self.ignored = ignored


def subfolders(folder, follow_links=True):
    """The names of the folders in a folder, in order, without hidden ones."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=follow_links))


def image_paths(folder, follow_links=False, ignored=None, bar=None):
    """Yield the paths of the images below a folder, each folder's files before its folders, both in order.

    Parameters
    ----------
    folder : str
    follow_links : bool
    ignored : list, optional
        Gets the paths of the files that are no images.
    bar : SlowBar, optional
        Counts the files.
    """
    seen = set()  # (device, inode) of folders entered, which ends a circle of links

    def walk(path):
        if follow_links:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                return
            seen.add((status.st_dev, status.st_ino))
        files, folders = [], []
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=follow_links):
                    folders.append(entry.name)
                elif not entry.is_dir():  # what is no regular file will be reported as unreadable
                    files.append(entry.name)
        for name in sorted(files):
            file = os.path.join(path, name)
            if bar is not None:
                bar.update()
            if os.path.splitext(name)[1].lower() in _SUFFIXES or _is_image(file):
                yield file
            elif ignored is not None:
                ignored.append(file)
        for name in sorted(folders):
            yield from walk(os.path.join(path, name))

    yield from walk(folder)


def _is_image(path):
    try:
        identify(path)
    except UnreadableImage:
        return False
    return True
