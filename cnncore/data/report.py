"""What is in a data set: unreadable files, channel statistics, class counts, and images that occur twice."""

import collections
import hashlib
import math
import os
from typing import NamedTuple

import numpy as np

from .. import checks, config
from .dataset import as_array, checked_dataset, class_numbers
from .decode import UnreadableImage, identify, is_mislabelled, shown
from .slow_bar import SlowBar
from .workers import ordered_map

_AHEAD = 4  # results held for each worker
_CHUNK_BYTES = 1 << 20  # read at a time for the hash of a file
_BLOCK = 1024  # rows of a comparison of all pairs held at a time


class FileReport(NamedTuple):
    """What `check_files` found.

    Attributes
    ----------
    images : int
        Images looked at.
    unreadable : list of UnreadableImage
    mislabelled : list of (str, str)
        (path, format) of images whose extension promises another format; they can be used as they are.
    ignored : list of str
        Files in the folder that are no images.
    formats : collections.Counter
        Number of readable images in each format.
    smallest, largest : (int, int) or None
        (height, width) of the readable images with the fewest and the most pixels.
    readable : ndarray of int64
        Their numbers: ``dataset.subset(report.readable)``.
    """

    images: int
    unreadable: list
    mislabelled: list
    ignored: list
    formats: collections.Counter
    smallest: tuple
    largest: tuple
    readable: np.ndarray

    def lines(self):
        """Yield the report as lines of text."""
        formats = ", ".join(f"{count:,} {name}" for name, count in self.formats.most_common())
        yield f"{self.images:,} images, {len(self.unreadable):,} of them unreadable{': ' if formats else ''}{formats}"
        if self.smallest:
            (least_h, least_w), (most_h, most_w) = self.smallest[:2], self.largest[:2]
            yield f"from {least_w} x {least_h} to {most_w} x {most_h} pixels (width x height)"
        for error in self.unreadable:
            yield f"unreadable: {error}"
        for path, name in self.mislabelled:
            yield f'mislabelled: "{shown(path)}" is of the format {name}'
        for path in self.ignored:
            yield f'no image: "{shown(path)}"'


class ChannelStatistics(NamedTuple):
    """Statistics of each channel over all pixels of all images, arrays of shape (channels,).

    Attributes
    ----------
    images, pixels : int
    mean, std, min, max : ndarray of float64
        In the images' own units, 0..255 for files; `std` divides by the number of pixels.
    """

    images: int
    pixels: int
    mean: np.ndarray
    std: np.ndarray
    min: np.ndarray
    max: np.ndarray


class Member(NamedTuple):
    """One of several images that are the same.

    Attributes
    ----------
    split : str
        Name of the data set.
    index : int
        Number in it.
    name : str
        Path, or "sample 3".
    """

    split: str
    index: int
    name: str


class Duplicates(NamedTuple):
    """Images that are the same, or look it.

    Attributes
    ----------
    members : list of Member
        At least two.
    exact : bool
        Whether all are the same bytes.
    """

    members: list
    exact: bool

    @property
    def splits(self):
        """Names of the data sets concerned, in order; more than one is a leak."""
        return list(dict.fromkeys(member.split for member in self.members))


def check_files(dataset, workers=None, verbose="auto"):
    """Decode every image once, whole, to find the files that are damaged, too large or wrongly named.

    Memory does not grow with the number of images, but for 8 bytes each and what is found.

    Parameters
    ----------
    dataset : Dataset
    workers : int, optional
        Threads; default those the engine uses.
    verbose : "auto" or 0
        A progress bar after the first second, or none.

    Returns
    -------
    FileReport
    """
    checked_dataset("check_files", dataset)

    def look(index):
        try:
            height, width = as_array(dataset.image(index)).shape[:2]
            path = dataset.path(index)
            name = "array" if path is None else identify(path, math.inf)  # it was decoded, so its size is accepted
        except UnreadableImage as error:
            return index, error, None, False, 0, 0
        return index, None, name, path is not None and is_mislabelled(path, name), height, width

    unreadable, mislabelled, formats, readable = [], [], collections.Counter(), []
    smallest = largest = None
    for index, error, name, is_wrong, height, width in _each(look, dataset, "Checking", workers, verbose):
        if error is not None:
            unreadable.append(error)
            continue
        readable.append(index)
        formats[name] += 1
        if is_wrong:
            mislabelled.append((dataset.path(index), name))
        if smallest is None or height * width < smallest[0] * smallest[1]:
            smallest = height, width
        if largest is None or height * width > largest[0] * largest[1]:
            largest = height, width
    return FileReport(
        len(dataset),
        unreadable,
        mislabelled,
        list(getattr(dataset, "ignored", ())),
        formats,
        smallest,
        largest,
        np.array(readable, np.int64),
    )


def channel_statistics(dataset, workers=None, verbose="auto"):
    """Mean, standard deviation, minimum and maximum of each channel, in one pass.

    Of bytes the sums are exact, from a histogram; of other types the moments of single images are merged in float64
    (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979).

    Parameters
    ----------
    dataset : Dataset
        Fit preprocessing on the training images only: pass those.
    workers, verbose
        See `check_files`.

    Returns
    -------
    ChannelStatistics

    Raises
    ------
    ValueError
        If the images have different numbers of channels; `UnreadableImage` for a file that cannot be read.
    """
    checked_dataset("channel_statistics", dataset)

    def moments(index):
        array = as_array(dataset.image(index))
        flat = array.reshape(-1, array.shape[2])
        if array.dtype == np.uint8:
            return index, len(flat), np.stack([np.bincount(column, minlength=256) for column in flat.T])
        flat = flat.astype(np.float64)
        mean = flat.mean(axis=0)
        return index, len(flat), (mean, np.square(flat - mean).sum(axis=0), flat.min(axis=0), flat.max(axis=0))

    histogram = merged = None
    images = pixels = 0
    first = None
    for index, count, found in _each(moments, dataset, "Statistics", workers, verbose):
        bytes_ = isinstance(found, np.ndarray)
        kind = f"{len(found if bytes_ else found[0])} channels of {'uint8' if bytes_ else 'other numbers'}"
        first = first or kind
        if kind != first:
            raise ValueError(
                f"channel_statistics: all images must have {first} like the first, got {kind} in "
                f'"{dataset.describe(index)}"'
            )
        if bytes_:
            histogram = found.astype(np.int64) if histogram is None else histogram + found
        else:
            merged = found if merged is None else _merged(pixels, merged, count, found)
        images, pixels = images + 1, pixels + count
    if histogram is None:
        return ChannelStatistics(images, pixels, merged[0], np.sqrt(merged[1] / pixels), merged[2], merged[3])
    total, squares = (histogram @ np.arange(256, dtype=np.int64) ** k for k in (1, 2))
    # n * squares - total**2 in Python's integers: no digit is lost where the spread is small
    variances = [(pixels * int(q) - int(t) ** 2) / pixels**2 for t, q in zip(total, squares)]
    present = histogram > 0
    return ChannelStatistics(
        images,
        pixels,
        total / pixels,
        np.sqrt(variances),
        present.argmax(axis=1).astype(float),
        255.0 - present[:, ::-1].argmax(axis=1),
    )


def class_counts(dataset):
    """Return a dict from the name (or number) of each class of a dataset to the number of its images, 0 included."""
    numbers = class_numbers(checked_dataset("class_counts", dataset), "class_counts")
    names = dataset.class_names or range(int(numbers.max()) + 1)
    counts = np.bincount(numbers, minlength=len(names))
    if len(counts) > len(names):
        raise ValueError(f"class_counts: labels must be below the {len(names)} class_names, got {numbers.max()}")
    return dict(zip(names, counts.tolist()))


def find_duplicates(datasets, distance=4, workers=None, verbose="auto"):
    """Find images that occur more than once, within a data set and across training, validation and test.

    Same bytes are found by a hash (BLAKE2b) of the file or array. Copies that were resized or compressed anew are found
    by a difference hash: of the grey picture averaged to 9 x 8 and to 8 x 9 fields, whether each field is brighter than
    its left, or its upper, neighbour; 128 bits, compared by the number in which they differ. Pictures without contrast
    are compared by bytes only, for so are files that cannot be decoded.

    Parameters
    ----------
    datasets : dict of str to Dataset, or Dataset
        ``{"train": train, "val": val}``.
    distance : int or None
        Bits, of 128, in which the hashes of two images may differ, at most 32; default 4. None: same bytes only, and
        nothing is decoded.
    workers, verbose
        See `check_files`.

    Returns
    -------
    list of Duplicates
        Each with ``members``, ``exact`` and ``splits``; a leak has more than one split. Likeness is passed on: with a
        like b and b like c all three are in one entry.
    """
    if distance is not None and checks.integer("find_duplicates", "distance", distance) > 32:
        raise ValueError(f"find_duplicates: distance must be at most 32 bits, got {distance}")
    datasets = datasets if isinstance(datasets, dict) else {"data": datasets}
    members, digests, hashes, hashed = [], [], [], []
    for split, dataset in datasets.items():
        checked_dataset("find_duplicates", dataset)

        def look(index, dataset=dataset):
            return index, *_digests(dataset, index, distance is not None)

        for index, digest, bits in _each(look, dataset, f"Hashing {split}", workers, verbose):
            if bits is not None:
                hashes.append(bits)
                hashed.append(len(members))
            members.append((split, index))
            digests.append(digest)
    groups = _Groups(len(members))
    first = {}
    for i, digest in enumerate(digests):
        groups.join(i, first.setdefault(digest, i))
    if hashes:
        for a, b in _near(np.array(hashes), distance):
            groups.join(hashed[a], hashed[b])
    found = []
    for numbers in groups.of_several():
        named = [Member(*members[i], datasets[members[i][0]].describe(members[i][1])) for i in numbers]
        found.append(Duplicates(named, len({digests[i] for i in numbers}) == 1))
    return found


def difference_hash(image):
    """Return the 128 bits of `find_duplicates` as 16 bytes (ndarray), or None for a picture without contrast."""
    from PIL import Image

    if not isinstance(image, np.ndarray):
        grey = np.asarray(image.convert("L"), np.float32)
    else:
        grey = as_array(image)[..., :3].mean(axis=2, dtype=np.float32)
    fields = np.asarray(Image.fromarray(grey).resize((72, 72), Image.Resampling.BOX))
    across = fields.reshape(8, 9, 9, 8).mean(axis=(1, 3))  # 8 rows of 9 fields
    down = fields.reshape(9, 8, 8, 9).mean(axis=(1, 3))  # 9 rows of 8 fields
    spread = float(across.max() - across.min())
    if not spread > 1e-2 * max(abs(float(grey.max())), abs(float(grey.min())), 1e-30):
        return None
    return np.packbits(np.concatenate([(across[:, 1:] > across[:, :-1]).ravel(), (down[1:] > down[:-1]).ravel()]))


def _each(function, dataset, label, workers, verbose):
    """Yield function(index) of each image, in order."""
    workers = config.get_threads() if workers is None else checks.integer("data", "workers", workers)
    with SlowBar(label, len(dataset), "images", verbose) as bar:
        results = ordered_map(function, range(len(dataset)), workers, _AHEAD * max(1, workers))
        try:
            for result in results:
                bar.update()
                yield result
        finally:
            results.close()


def _merged(n, a, m, b):
    """Mean, sum of squared deviations, minimum and maximum of n and m pixels together."""
    delta = b[0] - a[0]
    return (
        a[0] + delta * (m / (n + m)),
        a[1] + b[1] + delta**2 * (n * m / (n + m)),
        np.minimum(a[2], b[2]),
        np.maximum(a[3], b[3]),
    )


def _digests(dataset, index, perceptual):
    """(hash of the bytes, difference hash or None) of an image."""
    path = dataset.path(index)
    digest = hashlib.blake2b(digest_size=16)
    image = None
    if path is None:
        image = dataset.image(index)
        array = as_array(image)
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    else:
        try:
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    while chunk := file.read(_CHUNK_BYTES):
                        digest.update(chunk)
            else:
                digest.update(os.fsencode(path))  # nothing to read: like no other
        except OSError:
            digest.update(os.fsencode(path))
    if not perceptual:
        return digest.digest(), None
    try:
        return digest.digest(), difference_hash(dataset.image(index, (72, 72)) if image is None else image)
    except UnreadableImage:
        return digest.digest(), None


class _Groups:
    """Disjoint sets of numbers."""

    def __init__(self, n):
        self._parent = list(range(n))

    def _root(self, i):
        while self._parent[i] != i:
            self._parent[i] = i = self._parent[self._parent[i]]
        return i

    def join(self, i, j):
        i, j = sorted((self._root(i), self._root(j)))
        self._parent[j] = i

    def of_several(self):
        """The sets of at least two, each in order, by their first number."""
        groups = {}
        for i in range(len(self._parent)):
            groups.setdefault(self._root(i), []).append(i)
        return [group for group in groups.values() if len(group) > 1]


_ONES = np.array([bin(i).count("1") for i in range(256)], np.uint8)


def _near(hashes, distance):
    """Yield pairs of rows (n, 16 bytes) that differ in at most `distance` bits; of equal rows, each with the first.

    Two such rows agree in at least one of distance + 1 bands of their bits, so that only rows that share a band need to
    be compared.
    """
    unique, first, number = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    number = number.reshape(-1)
    yield from ((int(first[u]), i) for i, u in enumerate(number.tolist()) if first[u] != i)
    if distance == 0:
        return
    bits = np.unpackbits(unique, axis=1)
    for band in np.array_split(np.arange(bits.shape[1]), distance + 1):
        keys = np.packbits(bits[:, band], axis=1)
        _, number, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
        number = number.reshape(-1)
        for same in np.split(np.argsort(number, kind="stable"), np.cumsum(count)[:-1]):
            for begin in range(0, len(same) if len(same) > 1 else 0, _BLOCK):
                block = same[begin : begin + _BLOCK]
                for i, row in enumerate(block):
                    others = same[begin + i + 1 :]
                    apart = _ONES[unique[others] ^ unique[row]].sum(axis=1, dtype=np.int64)
                    yield from ((int(first[row]), int(first[other])) for other in others[apart <= distance])
