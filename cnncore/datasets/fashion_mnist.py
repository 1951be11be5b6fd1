"""Fashion-MNIST: 70,000 photos of articles of clothing in MNIST's format (Zalando Research, 2017)."""

from . import _idx

_FOLDERS = ("fashion-mnist", "fashion_mnist", "FashionMNIST/raw")
_SOURCE = _idx.source("fashion_mnist", "https://github.com/zalandoresearch/fashion-mnist", _FOLDERS)


def load_data(path=None):
    """Load Fashion-MNIST from its four IDX files.

    Parameters
    ----------
    path : str or os.PathLike, optional
        The folder with the files, or the folder above it (then in ``fashion-mnist``, ``fashion_mnist`` or
        ``FashionMNIST/raw``). Default: below the folder in the environment variable ``CNNCORE_DATA``, or below
        ``~/.cnncore/datasets``. The files have the names that `mnist.load_data` lists.

    Returns
    -------
    tuple
        ``(x_train, y_train), (x_test, y_test)``, all uint8: images (60000, 28, 28) and (10000, 28, 28), labels
        (60000,) and (10000,): 0 T-shirt/top, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7
        sneaker, 8 bag, 9 ankle boot.

    Raises
    ------
    FileNotFoundError
        If a file is missing; says which, where it was looked for and where to get it.
    ValueError
        If a file is damaged.

    References
    ----------
    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms", arXiv:1708.07747, 2017.
    """
    return _idx.load(_SOURCE, path)
