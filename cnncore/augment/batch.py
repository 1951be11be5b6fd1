"""Batches of small images, augmented by the engine while bytes become float32: for training from arrays in memory.

The recipe of CIFAR (shift, flip, erase, normalise) costs one reading of the batch. It does less than the transforms of
this package, which work on photographs one by one, and is some hundred times faster.
"""

import math

import numpy as np

from .. import _core, batches, checks, config, random
from ..registry import Configurable


class BatchAugment(Configurable):
    """Random border and crop, flips, erased boxes, mixup and normalisation of batches, in one pass of the engine.

    An image is surrounded by a border, a window is cut out at a random place, flipped, normalised, ``(x * rescale -
    mean) / std``, and a box of it is erased; mixup then blends it with another image that went the same way. What
    happens to an image depends on the seed, the epoch and its number in the data set, on nothing else: not on the
    order, the batches or the threads.

    Parameters
    ----------
    flip : float
        Probability of a flip left to right; default 0. 0.5 for photographs; 0 for digits and letters, which it would
        turn into others.
    flip_vertical : float
        Probability of a flip upside down; default 0.
    shift : int or (int, int)
        Largest shift in pixels, (down, right): the width of the border. Default 0; 4 for CIFAR (He et al. 2016).
    size : (int, int), optional
        (height, width) of the window; default that of the images. A smaller one is a random crop.
    border : "constant", "edge", "reflect", "symmetric" or "wrap"
        What the border shows, as of `numpy.pad`; default "constant".
    border_value : float or one per channel
        Of a constant border, in units of the images (0..255 for bytes); default 0.
    cutout : int or (int, int)
        Size of the erased box; default 0, none. Its centre lies anywhere in the window, and what hangs over the edge is
        cut off (DeVries and Taylor 2017).
    cutout_probability : float
        Default 1.
    cutout_value : float or one per channel
        What an erased box holds after normalisation; default 0, the mean where a mean is given.
    mixup : float
        alpha of the share Beta(alpha, alpha) that an image keeps (Zhang et al. 2018); default 0, none. The partner is
        drawn from the whole data set.
    rescale : float
        Default 1.
    mean, std : float or one per channel
        In rescaled units; default 0 and 1. Leave them where the model itself holds its preprocessing.

    Raises
    ------
    ValueError
        For arguments out of range.

    Examples
    --------
    >>> recipe = BatchAugment(flip=0.5, shift=4, cutout=16, rescale=1 / 255,
    ...                       mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))
    >>> model.fit(recipe.flow(x_train, y_train, batch_size=128, seed=1), epochs=10)
    """

    def __init__(
        self,
        flip=0.0,
        flip_vertical=0.0,
        shift=0,
        size=None,
        border="constant",
        border_value=0.0,
        cutout=0,
        cutout_probability=1.0,
        cutout_value=0.0,
        mixup=0.0,
        rescale=1.0,
        mean=0.0,
        std=1.0,
    ):
        owner = "BatchAugment"
        rule, allowed = "be a probability in 0 to 1", lambda v: 0 <= v <= 1
        chance = lambda name, value: checks.number(owner, name, value, rule, allowed)
        self.flip, self.flip_vertical = chance("flip", flip), chance("flip_vertical", flip_vertical)
        self.shift, self.cutout = _pair(owner, "shift", shift, 0), _pair(owner, "cutout", cutout, 0)
        self.size = None if size is None else _pair(owner, "size", size, 1)
        self.border = checks.choice(owner, "border", border, _core.BORDERS)
        self.cutout_probability = chance("cutout_probability", cutout_probability)
        self.mixup = checks.non_negative(owner, "mixup", mixup)
        self.rescale = checks.number(owner, "rescale", rescale)
        self.border_value = _values(owner, "border_value", border_value)
        self.cutout_value = _values(owner, "cutout_value", cutout_value)
        self.mean, self.std = _values(owner, "mean", mean), _values(owner, "std", std)
        if min(np.atleast_1d(self.std)) <= 0:
            raise ValueError(f"{owner}: std must be > 0, got {std!r}")

    def get_config(self):
        names = (
            "flip",
            "flip_vertical",
            "shift",
            "size",
            "border",
            "border_value",
            "cutout",
            "cutout_probability",
            "cutout_value",
            "mixup",
            "rescale",
            "mean",
            "std",
        )
        return {name: getattr(self, name) for name in names}

    def __call__(self, images, indices=None, seed=None, epoch=0, threads=0):
        """Augment images of a data set.

        Parameters
        ----------
        images : array of shape (n, h, w, c)
            The data set: uint8, or what becomes float32.
        indices : array of int, optional
            The numbers of the images wanted, with repetitions if need be; default all in order.
        seed : int, optional
            Default: from `cnncore.random`.
        epoch : int
        threads : int
            0: all that `get_threads` tells.

        Returns
        -------
        ndarray
            Float32, (len(indices), height, width, c).
        """
        images = _checked_images(images)
        numbers = np.arange(len(images)) if indices is None else _checked_indices(indices)
        seed = random.next_seed() if seed is None else random.checked_seed(seed, 64)
        epoch = checks.integer("BatchAugment", "epoch", epoch)
        threads = checks.integer("BatchAugment", "threads", threads)
        return self._run(images, numbers, seed, epoch, threads)[0]

    def _run(self, images, numbers, seed, epoch, threads, isa=None):
        """(augmented images, what was drawn): see `_core.augment_batch`."""
        n, h, w, c = images.shape
        std, mean, border_value, cutout_value = (
            _spread("BatchAugment", name, getattr(self, name), c)
            for name in ("std", "mean", "border_value", "cutout_value")
        )
        out = np.empty((len(numbers), *(self.size or (h, w)), c), np.float32)
        draws = _core.augment_batch(
            images,
            numbers,
            out,
            self.shift,
            border=self.border,
            flip=self.flip,
            flip_vertical=self.flip_vertical,
            cutout=self.cutout_probability if min(self.cutout) else 0.0,
            cutout_size=self.cutout,
            mixup=self.mixup,
            scale=(self.rescale / std).astype(np.float32),
            offset=(-mean / std).astype(np.float32),
            border_value=border_value.astype(np.float32),
            cutout_value=cutout_value.astype(np.float32),
            seed=seed,
            epoch=epoch,
            threads=threads or config.get_threads(),
            isa=isa,
        )
        return out, draws

    def flow(self, x, y=None, batch_size=32, shuffle=True, seed=None, epoch=0, num_classes=None, threads=0):
        """Batches for `Model.fit`: augmented images (x, y) anew in each epoch.

        Parameters
        ----------
        x : array of shape (n, h, w, c)
        y : array of shape (n, ...), optional
            Class numbers, or what mixup can blend: one-hot vectors and other floats.
        batch_size : int
            Default 32. The last batch may be smaller.
        shuffle : bool
            A new order in each epoch.
        seed : int, optional
            Of the order and of all draws; default from `cnncore.random`.
        epoch : int
            The epoch to begin with.
        num_classes : int, optional
            With mixup, class numbers become blended vectors of this length; the loss is then
            "categorical_crossentropy".
        threads : int
            0: all that `get_threads` tells.

        Returns
        -------
        BatchFlow
        """
        return BatchFlow(self, x, y, batch_size, shuffle, seed, epoch, num_classes, threads)


class BatchFlow:
    """An iterable of augmented batches; each walk over it is the next epoch.

    Attributes
    ----------
    epoch : int
        The epoch of the next walk. Setting it repeats an epoch, or continues where a run was broken off.
    """

    def __init__(self, recipe, x, y, batch_size, shuffle, seed, epoch, num_classes, threads):
        owner = "BatchAugment"
        self._recipe, self._x = recipe, _checked_images(x)
        self._batch_size = checks.integer(owner, "batch_size", batch_size, 1)
        self._shuffle = checks.boolean(owner, "shuffle", shuffle)
        self._seed = random.next_seed() if seed is None else random.checked_seed(seed, 64)
        self.epoch = checks.integer(owner, "epoch", epoch)
        self._threads = checks.integer(owner, "threads", threads)
        self._classes = None  # where class numbers become vectors
        self._y = None if y is None else self._targets(batches.to_array(y, f"{owner}: y"), num_classes)
        recipe._run(self._x, np.zeros(1, np.int64), 0, 0, 1)  # wrong sizes are refused here

    def _targets(self, y, num_classes):
        if y.ndim == 0 or len(y) != len(self._x):
            raise ValueError(f"BatchAugment: y must have one entry per image, {len(self._x)}, got shape {y.shape}")
        if not self._recipe.mixup:
            if num_classes is not None:
                raise ValueError("BatchAugment: num_classes must be left out without mixup, labels stay as they are")
            return y
        if y.dtype.kind == "f":
            if num_classes is not None:
                raise ValueError(
                    "BatchAugment: num_classes must be left out where y holds floats, which are blended as they are"
                )
            return y.astype(np.float32)
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if num_classes is None:
            raise ValueError(
                "BatchAugment: num_classes must be given, mixup makes vectors of class numbers; or give y as one-hot "
                "floats"
            )
        classes = checks.integer("BatchAugment", "num_classes", num_classes, 1)
        if y.ndim != 1 or y.min() < 0 or y.max() >= classes:
            raise ValueError(
                f"BatchAugment: y must be class numbers 0 to {classes - 1} of shape (n,), got {y.min()} to {y.max()} "
                f"of shape {y.shape}"
            )
        self._classes = classes
        return y.astype(np.int64)

    def __len__(self):
        return math.ceil(len(self._x) / self._batch_size)

    def __iter__(self):
        epoch, self.epoch = self.epoch, self.epoch + 1
        n = len(self._x)
        order = np.arange(n)
        if self._shuffle:
            order = np.random.Generator(np.random.Philox(key=np.array([self._seed, epoch], np.uint64))).permutation(n)
        for begin in range(0, n, self._batch_size):
            numbers = np.ascontiguousarray(order[begin : begin + self._batch_size], np.int64)
            x, draws = self._recipe._run(self._x, numbers, self._seed, epoch, self._threads)
            yield x if self._y is None else (x, self._labels(numbers, draws))

    def _labels(self, numbers, draws):
        if not self._recipe.mixup:
            return self._y[numbers]
        draws = draws[: len(numbers)]
        share, own, other = draws["share"], self._y[numbers], self._y[draws["partner"]]
        if self._classes:
            rows, y = np.arange(len(numbers)), np.zeros((len(numbers), self._classes), np.float32)
            y[rows, own] = share
            y[rows, other] += 1 - share
            return y
        share = share.reshape(-1, *[1] * (own.ndim - 1))
        return share * own + (1 - share) * other


def _pair(owner, name, value, minimum):
    """(vertical, horizontal) from one whole number or two."""
    values = value if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2:
        raise ValueError(f"{owner}: {name} must be a whole number or a pair of them, got {value!r}")
    return tuple(checks.integer(owner, name, v, minimum) for v in values)


def _values(owner, name, value):
    """A float, or a list of one per channel."""
    if np.ndim(value) == 0:
        return checks.number(owner, name, value)
    if np.ndim(value) != 1:
        raise ValueError(f"{owner}: {name} must be a number or one per channel, got {value!r}")
    return [checks.number(owner, name, v) for v in np.asarray(value, np.float64).tolist()]


def _spread(owner, name, value, channels):
    """float64 of shape (channels,)."""
    if np.ndim(value) and len(value) != channels:
        raise ValueError(f"{owner}: {name} must have one value per channel, {channels}, got {len(value)}")
    return np.broadcast_to(np.asarray(value, np.float64), (channels,))


def _checked_images(images):
    images = batches.to_array(images, "BatchAugment: images")
    if images.ndim != 4 or images.size == 0:
        raise ValueError(
            f"BatchAugment: images must have shape (n, h, w, c), got {images.shape}"
            + ("; add the channel: x[..., None]" if images.ndim == 3 else "")
        )
    return batches.engine_array(images)


def _checked_indices(indices):
    indices = np.asarray(indices)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise ValueError(
            f"BatchAugment: indices must be a list of whole numbers, got {indices.dtype} of shape {indices.shape}"
        )
    return np.ascontiguousarray(indices, np.int64)
