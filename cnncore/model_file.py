"""Model files: named arrays and a map of strings in one file, in the safetensors format.

A file is 8 bytes with the length of the header (little-endian), the header (JSON, padded with spaces so that the data
begin at a multiple of 64 bytes), and the arrays' bytes. Any reader of safetensors opens it. Reading is done by the
strict C reader, which embedders use too; cnncore.h says all that it refuses. What a string of the metadata means is not
its concern: it bounds the length, 100 MB with all names and strings, and whoever parses the string checks its contents.
Writing is atomic: on disk there is always the old file or the new one, whole.

Reference: https://huggingface.co/docs/safetensors
"""

import contextlib
import errno
import json
import os
import stat

import numpy as np

from . import _core

_DTYPES = {"float32": "F32", "int32": "I32", "uint8": "U8"}
_ALIGNMENT = _core.ALIGNMENT


def write(path, tensors, metadata=None):
    """Write a model file; what is at the path already is replaced in one step or not at all.

    The bytes go to a temporary file in the same folder, which is flushed to disk and renamed, and then the folder is
    flushed. When that fails at any point before the renaming the temporary file is removed and the old file is as it
    was. A symbolic link is followed; the permissions of the old file stay. A process that is killed while it saves
    leaves the temporary file, ".<name>.<random>.tmp", behind.

    Parameters
    ----------
    path : str or os.PathLike
    tensors : dict of str to numpy.ndarray
        float32, uint8 or int32 arrays of 1 to 4 dimensions with at least one element. They need not be contiguous.
    metadata : dict of str to str, optional

    Raises
    ------
    ValueError
        A name, key, value or array that a file cannot hold; nothing has been written then.
    OSError
        The file cannot be written.
    """
    arrays = {name: _checked(name, array) for name, array in sorted(tensors.items(), key=_order)}
    header = _header(arrays, _checked_metadata({} if metadata is None else metadata))
    target = os.path.realpath(os.fspath(path))
    mode = _mode_of(target)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:200]}.{os.urandom(8).hex()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        try:
            if mode is not None:
                os.fchmod(fd, mode)
            _write_all(fd, header)
            for array in arrays.values():
                _write_all(fd, np.ascontiguousarray(array).reshape(-1).view(np.uint8))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the first failure is the one to tell
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = target
        raise
    _flush_folder(folder)


def read(path):
    """Read a model file.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    tensors : dict of str to numpy.ndarray
        Read-only arrays, which share the memory that the file was read into.
    metadata : dict of str to str

    Raises
    ------
    ValueError
        The file is not a model file or is damaged; the sentence says where.
    OSError
        The file cannot be read.
    """
    file = _core.ModelFile(path)
    return file.tensors(), file.metadata()


def begin(path):
    """Read the header of a model file, and the tensors later, to where they shall lie.

    Raises what `read` does, and so does reading the tensors.

    Returns
    -------
    ModelFile
        ``entries()``: name to (dtype, shape); ``metadata()``; ``read_into({name: array})``, once.
    """
    return _core.ModelFile(path, header_only=True)


def parse(data):
    """Like `read`, from a bytes-like object that holds a whole file."""
    file = _core.ModelFile(data=data)
    return file.tensors(), file.metadata()


def _order(item):
    """Larger elements first, so that every tensor is aligned to its elements; then by name."""
    name, array = item
    return -np.asarray(array).itemsize, str(name)


def _check_text(text, what):
    if not isinstance(text, str):
        raise ValueError(f"model file: {what} must be a string, got {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"model file: {what} must be Unicode without lone surrogates, got {text[:100]!r}") from None
    if "\0" in text:
        raise ValueError(f"model file: {what} must not have the character 0, got {text[:100]!r}")


def _checked(name, array):
    _check_text(name, "the name of a tensor")
    if name in ("", "__metadata__"):
        raise ValueError(f'model file: the name of a tensor must not be "" or "__metadata__", got {name!r}')
    array = np.asarray(array)
    if array.dtype.name not in _DTYPES:
        raise ValueError(f"model file: tensor {name!r} must be float32, uint8 or int32, got {array.dtype}; use astype")
    if not 1 <= array.ndim <= _core.MAX_RANK or not array.size:
        raise ValueError(
            f"model file: tensor {name!r} must have 1 to {_core.MAX_RANK} dimensions and at least one "
            f"element, got shape {array.shape}"
        )
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _checked_metadata(metadata):
    for key, value in metadata.items():
        _check_text(key, "a key of the metadata")
        _check_text(value, f"the metadata {key!r}")
    if len(metadata) > _core.FILE_MAX_METADATA:
        raise ValueError(
            f"model file: the metadata must have at most {_core.FILE_MAX_METADATA} entries, got {len(metadata)}"
        )
    return metadata


def _header(arrays, metadata):
    """The length and the padded JSON, as bytes."""
    if len(arrays) > _core.FILE_MAX_TENSORS:
        raise ValueError(f"model file: there must be at most {_core.FILE_MAX_TENSORS} tensors, got {len(arrays)}")
    entries = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        entries[name] = {"dtype": _DTYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    if len(text) > _core.FILE_MAX_HEADER_BYTES:
        raise ValueError(
            f"model file: names and metadata must take at most {_core.FILE_MAX_HEADER_BYTES:,} bytes, got {len(text):,}"
        )
    return len(text).to_bytes(8, "little") + text


def _mode_of(target):
    """The permissions of the file that is to be replaced, which the new one shall have; None if there is none."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "a model file can only take the place of a regular file", target)
    return stat.S_IMODE(status.st_mode)


def _write_all(fd, data):
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _flush_folder(folder):
    """Make the renaming last. A file system that cannot flush a folder says EINVAL; there is no more to do then."""
    fd = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)
