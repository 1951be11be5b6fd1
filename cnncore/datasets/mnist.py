"""MNIST: 70,000 handwritten digits (LeCun, Cortes and Burges, 1998)."""

from . import _idx

_SOURCE = _idx.source("mnist", "http://yann.lecun.com/exdb/mnist/", ("mnist", "MNIST/raw"))


def load_data(path=None):
    """Load MNIST from its four IDX files.

    Parameters
    ----------
    path : str or os.PathLike, optional
        The folder with the files, or the folder above it (then in ``mnist`` or ``MNIST/raw``). Default: below
        the folder in the environment variable ``CNNCORE_DATA``, or below ``~/.cnncore/datasets``. The files are
        ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
        ``t10k-labels-idx1-ubyte``, also spelt ``.idx3-ubyte``, each plain or with ``.gz``.

    Returns
    -------
    tuple
        ``(x_train, y_train), (x_test, y_test)``, all uint8: images (60000, 28, 28) and (10000, 28, 28) with 0
        for the background and 255 for ink, labels (60000,) and (10000,) in 0 .. 9. Add the channel axis with
        ``x_train[..., None]``.

    Raises
    ------
    FileNotFoundError
        If a file is missing; says which, where it was looked for and where to get it.
    ValueError
        If a file is damaged.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document recognition",
    Proc. IEEE 86 (11), 1998.
    """
    return _idx.load(_SOURCE, path)
