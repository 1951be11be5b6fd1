"""Finding the files of a data set, and the errors for files that are missing or damaged."""

import dataclasses
import os
import pathlib


@dataclasses.dataclass(frozen=True)
class Layout:
    """One form in which a data set is published: the folders it unpacks to, and its files, each with its spellings."""

    folders: tuple
    files: tuple


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set's name, its layouts in order of preference, and the page where its files are to be had."""

    name: str
    url: str
    layouts: tuple


def locate(source, path=None):
    """Find a complete set of files.

    Parameters
    ----------
    source : Source
    path : str or os.PathLike, optional
        The folder with the files, or the folder above it. Without it only folders below the default place
        count: the files' own names do not tell MNIST from Fashion-MNIST, the folder's name does.

    Returns
    -------
    tuple of (Layout, list of pathlib.Path)
        The first layout that is complete, and its files in its order.

    Raises
    ------
    FileNotFoundError
        If no layout is complete; names the first missing file of the most complete one, every folder searched,
        and the remedy.
    NotADirectoryError
        If `path` is a file.
    """
    if path is None:
        root = pathlib.Path(os.environ.get("CNNCORE_DATA") or pathlib.Path.home() / ".cnncore" / "datasets")
    else:
        root = pathlib.Path(path)
        if root.is_file():
            raise NotADirectoryError(f'{source.name}: path must be the folder with the files, got the file "{root}"')
    searched, best = [], None
    for layout in source.layouts:
        for folder in [root / name for name in layout.folders] + ([root] if path is not None else []):
            found = [_first_file(folder, names) for names in layout.files]
            if None not in found:
                return layout, found
            if folder not in searched:
                searched.append(folder)
            if best is None or found.count(None) < best[0]:
                best = found.count(None), layout.files[found.index(None)], folder
    _, names, folder = best
    raise FileNotFoundError(
        f"{source.name}: file {' or '.join(names)} must be in {folder}, but is missing "
        f"(searched: {', '.join(map(str, searched))}); get the files from {source.url} and pass path= with the folder "
        f'that holds them, or put them in a folder "{source.layouts[0].folders[0]}" below the one that the environment '
        "variable CNNCORE_DATA names"
    )


def _first_file(folder, names):
    return next((folder / name for name in names if (folder / name).is_file()), None)


def damaged(path, rule, got):
    """The error for a file that does not hold what its format promises."""
    return ValueError(f'data set file "{path}": {rule}, got {got}; it is damaged or not the original, get it again')


def check_labels(path, labels, classes):
    """Refuse labels that are no class of the data set."""
    if labels.max() >= classes:
        raise damaged(path, f"labels must be below {classes}", f"{labels.max()} at position {labels.argmax()}")
