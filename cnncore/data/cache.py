"""Decoded images kept for the next epoch.

What is in a cache stays there; when it is full, further images are decoded anew each time. An epoch walks over all
images, and for such a walk throwing out the oldest would be worse: of a cache that is a little too small nothing would
ever be found.
"""

import mmap
import os
import tempfile
import threading

import numpy as np

from .. import checks


class MemoryCache:
    """Images kept in memory. One cache may serve several loaders, and several threads.

    Parameters
    ----------
    limit_bytes : int
        Of the pixels; the book-keeping takes some hundred bytes more for each image.

    Attributes
    ----------
    used_bytes, hits, misses : int
    """

    def __init__(self, limit_bytes):
        self.limit_bytes = checks.integer(type(self).__name__, "limit_bytes", limit_bytes, 1)
        self.used_bytes = self.hits = self.misses = 0
        self._entries = {}  # identity -> (version, what _store returned, bytes)
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._entries)

    def get(self, identity, version):
        """Return the array that was put for this version, not to be written to; None if there is none."""
        with self._lock:
            entry = self._entries.get(identity)
            found = entry is not None and entry[0] == version
            if not found:
                self.misses += 1
                return None
            self.hits += 1
            return self._load(entry[1])

    def put(self, identity, version, array):
        """Keep an array, in the place of any other version; return whether there was room."""
        array = np.array(array, order="C")
        array.flags.writeable = False
        with self._lock:
            old = self._entries.pop(identity, None)
            if old is not None:
                self._free(old[1])
                self.used_bytes -= old[2]
            if self.used_bytes + array.nbytes > self.limit_bytes:
                return False
            stored = self._store(array)
            if stored is None:
                return False
            self._entries[identity] = version, stored, array.nbytes
            self.used_bytes += array.nbytes
            return True

    def clear(self):
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self.used_bytes = 0
            self._free_all()

    def _store(self, array):
        return array

    def _load(self, stored):
        return stored

    def _free(self, stored):
        """Called when an entry is given up; an array is freed by being forgotten."""

    def _free_all(self):
        """Called when all entries are given up."""


class FileCache(MemoryCache):
    """Images kept in a memory-mapped file: they take memory only as far as there is some to spare.

    The file has no name and goes with this object or with the process, however it ends. In a child made by `fork` the
    cache is empty and stays so, for the file is the parent's.

    Parameters
    ----------
    limit_bytes : int
        Largest size of the file. When the disk is full the cache is too, with no error.
    folder : str or os.PathLike, optional
        Where the file is made, on a disk rather than in memory; default that of `tempfile`.

    Attributes
    ----------
    used_bytes, hits, misses : int
    """

    def __init__(self, limit_bytes, folder=None):
        super().__init__(limit_bytes)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)
        # Sparse: a page takes space when it is written to, by pwrite, which reports a full disk; a write to the map
        # would end the process then.
        os.ftruncate(self._file.fileno(), self.limit_bytes)
        self._map = mmap.mmap(self._file.fileno(), self.limit_bytes, access=mmap.ACCESS_READ)
        self._end = 0
        self._holes = {}  # bytes -> offsets of entries of that size that were given up
        self._pid = os.getpid()

    def get(self, identity, version):
        return super().get(identity, version) if os.getpid() == self._pid else None

    def put(self, identity, version, array):
        return super().put(identity, version, array) if os.getpid() == self._pid else False

    def _store(self, array):
        holes = self._holes.get(array.nbytes)
        offset = holes.pop() if holes else self._end
        if offset + array.nbytes > self.limit_bytes:
            return None
        view, done = memoryview(array.reshape(-1).view(np.uint8)), 0
        try:
            while done < array.nbytes:
                done += os.pwrite(self._file.fileno(), view[done:], offset + done)
        except OSError:  # a full disk is a full cache
            self._give_up(offset, array.nbytes)
            return None
        self._end = max(self._end, offset + array.nbytes)
        return offset, array.shape, array.dtype

    def _load(self, stored):
        offset, shape, dtype = stored
        return np.frombuffer(self._map, dtype, int(np.prod(shape)), offset).reshape(shape).copy()

    def _free(self, stored):
        offset, shape, dtype = stored
        self._give_up(offset, int(np.prod(shape)) * dtype.itemsize)

    def _free_all(self):
        self._end, self._holes = 0, {}

    def _give_up(self, offset, size):
        if offset < self._end:
            self._holes.setdefault(size, []).append(offset)
