"""CIFAR-100: 60,000 small colour photos in 100 classes, grouped into 20 (Krizhevsky, 2009)."""

from . import _cifar
from ._files import Layout, Source, locate

_BINARY = Layout(("cifar-100-binary",), (("train.bin",), ("test.bin",)))
_PYTHON = Layout(("cifar-100-python",), (("train",), ("test",)))
_SOURCE = Source("cifar100", "https://www.cs.toronto.edu/~kriz/cifar.html", (_BINARY, _PYTHON))
_CLASSES = {"fine": 100, "coarse": 20}
_LABEL_NAMES = ("coarse_labels", "fine_labels")  # the Python version's names in the binary version's order


def load_data(label_mode="fine", path=None):
    """Load CIFAR-100 from the files of its binary or its Python version.

    The Python version's pickles are read by an interpreter that knows lists, numbers and byte arrays only:
    nothing in them is executed.

    Parameters
    ----------
    label_mode : {"fine", "coarse"}
        "fine" for the 100 classes, "coarse" for the 20 groups of five.
    path : str or os.PathLike, optional
        The folder with the files, or the folder above it (then in ``cifar-100-binary`` or ``cifar-100-python``;
        the first wins). Default: below the folder in the environment variable ``CNNCORE_DATA``, or below
        ``~/.cnncore/datasets``.

    Returns
    -------
    tuple
        ``(x_train, y_train), (x_test, y_test)``, all uint8: images (50000, 32, 32, 3) and (10000, 32, 32, 3),
        red, green, blue last; labels (50000, 1) and (10000, 1), in 0 .. 99 or 0 .. 19.

    Raises
    ------
    FileNotFoundError
        If a file is missing; says which, where it was looked for and where to get it.
    ValueError
        If `label_mode` is neither of the two, or a file is damaged.

    References
    ----------
    A. Krizhevsky, "Learning multiple layers of features from tiny images", technical report, University of
    Toronto, 2009.
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(f'cifar100: label_mode must be "fine" or "coarse", got {label_mode!r}')
    layout, (train, test) = locate(_SOURCE, path)
    reader = _cifar.read_binary if layout is _BINARY else _cifar.read_python
    label, classes = f"{label_mode}_labels", _CLASSES[label_mode]
    return (
        _cifar.gather(reader, [train], 50000, _LABEL_NAMES, label, classes),
        _cifar.gather(reader, [test], 10000, _LABEL_NAMES, label, classes),
    )
