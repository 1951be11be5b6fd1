"""The IDX format of the MNIST family.

Two zero bytes, the element type, the number of dimensions, the dimensions as big-endian uint32, then the elements.
The shape of each file is known beforehand and the header must agree with it, so the memory taken never depends
on what a file claims.
"""

import contextlib
import gzip
import zlib

import numpy as np

from ._files import Layout, Source, check_labels, damaged, locate

_UINT8 = 0x08  # the element type of every file of the family
_CHUNK = 1 << 20


def source(name, url, folders):
    """The four files of a member of the MNIST family, in both spellings, plain or gzip."""
    stems = [("train-images", "idx3"), ("train-labels", "idx1"), ("t10k-images", "idx3"), ("t10k-labels", "idx1")]
    endings = ("", ".gz")
    files = tuple(tuple(f"{stem}{mark}{kind}-ubyte{end}" for end in endings for mark in "-.") for stem, kind in stems)
    return Source(name, url, (Layout(folders, files),))


def load(source, path):
    """Read the four files: ``(x_train, y_train), (x_test, y_test)``."""
    _, (train_images, train_labels, test_images, test_labels) = locate(source, path)
    return _pair(train_images, train_labels, 60000), _pair(test_images, test_labels, 10000)


def _pair(images_path, labels_path, count):
    labels = read_idx(labels_path, (count,))
    check_labels(labels_path, labels, 10)
    return read_idx(images_path, (count, 28, 28)), labels


def read_idx(path, shape):
    """Read an IDX file of bytes, gzip or plain.

    Parameters
    ----------
    path : pathlib.Path
    shape : tuple of int
        What the header must say.

    Returns
    -------
    numpy.ndarray
        uint8, of that shape.

    Raises
    ------
    ValueError
        If the header differs, the gzip data are damaged, or there are too few or too many bytes.
    """
    expected = np.array([_UINT8 << 8 | len(shape), *shape], ">u4").tobytes()
    with _open(path) as file:
        header = file.read(len(expected))
        if len(header) < len(expected):
            raise damaged(path, f"the IDX header must have {len(expected)} bytes", len(header))
        if header[:4] != expected[:4]:
            raise damaged(path, f"the IDX magic number must be {expected[:4].hex()}", header[:4].hex())
        if header != expected:
            dimensions = tuple(np.frombuffer(header, ">u4")[1:].tolist())
            raise damaged(path, f"the IDX dimensions must be {shape}", dimensions)
        array = np.empty(shape, np.uint8)
        rest = memoryview(array).cast("B")
        while rest:
            read = file.readinto(rest[:_CHUNK])
            if read == 0:
                raise damaged(path, f"{array.size} bytes must follow the header", array.size - len(rest))
            rest = rest[read:]
        if file.read(1):
            raise damaged(path, f"{array.size} bytes must follow the header", "more")
    return array


@contextlib.contextmanager
def _open(path):
    """Open a file, through gzip where its first bytes say so, whatever its name: IDX itself begins with zeros."""
    with open(path, "rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not is_gzip:
            yield raw
            return
        try:
            with gzip.GzipFile(fileobj=raw) as file:
                yield file
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise damaged(path, "the gzip data must be whole", str(error)) from error
