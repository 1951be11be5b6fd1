"""CIFAR-10: 60,000 small colour photos in ten classes (Krizhevsky, 2009)."""

from . import _cifar
from ._files import Layout, Source, locate

_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6)) + ("test_batch",)
_BINARY = Layout(("cifar-10-batches-bin",), tuple((f"{name}.bin",) for name in _BATCHES))
_PYTHON = Layout(("cifar-10-batches-py",), tuple((name,) for name in _BATCHES))
_SOURCE = Source("cifar10", "https://www.cs.toronto.edu/~kriz/cifar.html", (_BINARY, _PYTHON))


def load_data(path=None):
    """Load CIFAR-10 from the files of its binary or its Python version.

    The Python version's pickles are read by an interpreter that knows lists, numbers and byte arrays only:
    nothing in them is executed.

    Parameters
    ----------
    path : str or os.PathLike, optional
        The folder with the files, or the folder above it (then in ``cifar-10-batches-bin`` or
        ``cifar-10-batches-py``; the first wins). Default: below the folder in the environment variable
        ``CNNCORE_DATA``, or below ``~/.cnncore/datasets``.

    Returns
    -------
    tuple
        ``(x_train, y_train), (x_test, y_test)``, all uint8: images (50000, 32, 32, 3) and (10000, 32, 32, 3),
        red, green, blue last; labels (50000, 1) and (10000, 1): 0 airplane, 1 automobile, 2 bird, 3 cat, 4
        deer, 5 dog, 6 frog, 7 horse, 8 ship, 9 truck.

    Raises
    ------
    FileNotFoundError
        If a file is missing; says which, where it was looked for and where to get it.
    ValueError
        If a file is damaged.

    References
    ----------
    A. Krizhevsky, "Learning multiple layers of features from tiny images", technical report, University of
    Toronto, 2009.
    """
    layout, paths = locate(_SOURCE, path)
    if layout is _BINARY:
        reader, label = _cifar.read_binary, "label"
    else:
        reader, label = _cifar.read_python, "labels"
    train = _cifar.gather(reader, paths[:5], 10000, (label,), label, 10)
    return train, _cifar.gather(reader, paths[5:], 10000, (label,), label, 10)
