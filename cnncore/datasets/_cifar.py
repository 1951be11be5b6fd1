"""The two published forms of the CIFAR data sets.

Binary: records of one or two label bytes and 3,072 pixel bytes, with no header, so a file's size says whether
it is whole. Python: a dictionary with an array of pixels and lists of labels, pickled by Python 2. In both an
image is planar: 1,024 red, then green, then blue bytes, each row by row.
"""

import numpy as np

from . import _pickled
from ._files import check_labels, damaged

_PIXELS = 3 * 32 * 32


def read_binary(path, count, label_names):
    """Read one file of the binary version.

    Parameters
    ----------
    path : pathlib.Path
    count : int
        Number of records it must hold.
    label_names : tuple of str
        What the bytes before the pixels of each record are.

    Returns
    -------
    tuple of (numpy.ndarray, dict)
        Pixels, uint8 (count, 3072), and labels, name to uint8 (count,).
    """
    record = len(label_names) + _PIXELS
    size = path.stat().st_size
    if size != count * record:
        raise damaged(path, f"its size must be {count} records of {record} bytes, {count * record}", f"{size} bytes")
    records = np.fromfile(path, np.uint8, count * record).reshape(count, record)
    return records[:, len(label_names) :], {name: records[:, i] for i, name in enumerate(label_names)}


def read_python(path, count, label_names):
    """Read one file of the Python version; parameters and result as in `read_binary`."""
    content = _pickled.read(path)
    pixels = content.get("data")
    if not isinstance(pixels, np.ndarray) or pixels.shape != (count, _PIXELS):
        got = getattr(pixels, "shape", type(pixels).__name__)
        raise damaged(path, f'"data" must be an array of shape {(count, _PIXELS)}', got)
    labels = {}
    for name in label_names:
        values = content.get(name)
        if not isinstance(values, list) or len(values) != count:
            got = len(values) if isinstance(values, list) else type(values).__name__
            raise damaged(path, f'"{name}" must be a list of {count} labels', got)
        if not all(type(value) is int and 0 <= value <= 255 for value in values):
            raise damaged(path, f'"{name}" must hold integers in 0 .. 255', "another value")
        labels[name] = np.array(values, np.uint8)
    return pixels, labels


def gather(reader, paths, count, label_names, label, classes):
    """Read files of `count` images each and join them.

    Returns
    -------
    tuple of numpy.ndarray
        Images, uint8 (len(paths) * count, 32, 32, 3), and the labels called `label`, uint8 (len(paths) * count, 1).
    """
    x = np.empty((len(paths) * count, 32, 32, 3), np.uint8)
    y = np.empty((len(paths) * count, 1), np.uint8)
    for i, path in enumerate(paths):
        pixels, labels = reader(path, count, label_names)
        check_labels(path, labels[label], classes)
        part = slice(i * count, (i + 1) * count)
        x[part] = pixels.reshape(count, 3, 32, 32).transpose(0, 2, 3, 1)
        y[part, 0] = labels[label]
    return x, y
