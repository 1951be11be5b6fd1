"""Batches of images, made ahead by threads while the model trains."""

import math
import warnings

import numpy as np

from .. import checks, config
from ..augment.base import Transform, pixels_of
from .dataset import as_array, checked_dataset, checked_size
from .decode import UnreadableImage
from .resize import INTERPOLATIONS, RESIZES, resized
from .sampling import SequentialSampler, ShuffledSampler, occurrences
from .split import seeded
from .workers import ordered_map

_PIECE = 8  # images at most that a worker makes in one go: what an interruption has to wait for
_MOST_WORKERS = 8  # by default; what each does under Python's lock leaves little for more


class Loader:
    """Walks over a data set in batches, anew in each epoch; made to be given to ``Model.fit`` as ``x``.

    Each image is decoded, brought to `image_size`, and given to `transform`; then the batch to `batch_transform`.
    The bytes that come out are a function of the arguments, the seed and the epoch: not of `workers`, `prefetch` or
    `cache`, nor of whether the epoch was interrupted and resumed.

    Parameters
    ----------
    dataset : Dataset
    batch_size : int or None
        Images in a batch, default 32; the last batch may have fewer. None: single images without a batch axis.
    shuffle : bool
        Draw a new order in each epoch; default False.
    sampler : object, optional
        Decides order and number of the images instead: `WeightedSampler`, `BalancedSampler`, or any object with `len`
        and ``order(seed, epoch)``, in which case it also says with ``repeats`` whether an image may come twice.
    seed : int, optional
        0 <= seed < 2**64, of the order and of the transforms. Default: from `cnncore.random`.
    drop_last : bool
        Leave out a last batch that is not full; default False.
    image_size : int or (int, int), optional
        (height, width) to which every image is brought before the transform. Default: as it is.
    resize : str
        How: ``"crop"`` (default), ``"stretch"`` or ``"pad"``, see `cnncore.data.resized`.
    interpolation : str
        ``"bilinear"`` (default), ``"nearest"``, ``"bicubic"``, ``"area"`` or ``"lanczos3"``.
    draft_size : "auto", None, int or (int, int)
        (height, width) at least kept in decoding: JPEG files are decoded at 1/8, 1/4 or 1/2 of their size where both
        sides stay that long. "auto" (default): `image_size`; twice that keeps a little more detail. None: full size.
        Without `image_size` it changes the size of the images that the transform gets.
    transform : callable, optional
        Called as ``transform(image, seed=, epoch=, index=)`` with a Pillow image (files) or an array (`ArrayDataset`),
        by several threads at once; returns either. `index` is the number of the image in the data set; where a
        sampler repeats an image in an epoch, n is added for each time it came before, so that it gets other draws.
    batch_transform : callable, optional
        Called as ``batch_transform(images, labels, seed=, epoch=, indices=)``; returns (images, labels), for MixUp and
        CutMix.
    dtype : str, optional
        ``"uint8"`` or ``"float32"``: type of the images handed out, values as they are. Default: as they come, uint8
        for files.
    workers : int, optional
        Number of threads; 0 does all work when a batch is asked for. Default: those the engine uses, at most 8.
    prefetch : int
        Batches made ahead, at least 1, default 2. At most ``prefetch + 2`` batches are held, beside the one handed out
        and an image for each worker while it is decoded. Nothing is made ahead with ``workers=0``.
    on_error : str
        For files that cannot be read. ``"raise"`` (default): `UnreadableImage` names the file. ``"skip"``: the batch is
        smaller, a warning is given once for each file, and `skipped` lists them; a batch without any image is left out.
    cache : MemoryCache or FileCache, optional
        Keeps what was decoded and brought to `image_size`. A file that has changed since (time of last change, size)
        is decoded anew.

    Attributes
    ----------
    skipped : dict
        Path to reason.
    epoch : int
        Of the walk that was begun last, or, before the first one, of the first.

    Notes
    -----
    Each ``iter(loader)`` is the next epoch, the first being 0, whether the last one was walked to its end or not.

    Examples
    --------
    >>> train = data.Loader(data.ImageFolder("photos"), 32, shuffle=True, image_size=(96, 96))    # doctest: +SKIP
    >>> model.fit(train, epochs=10)                                                              # doctest: +SKIP
    """

    def __init__(
        self,
        dataset,
        batch_size=32,
        shuffle=False,
        sampler=None,
        seed=None,
        drop_last=False,
        image_size=None,
        resize="crop",
        interpolation="bilinear",
        draft_size="auto",
        transform=None,
        batch_transform=None,
        dtype=None,
        workers=None,
        prefetch=2,
        on_error="raise",
        cache=None,
    ):
        self.dataset = checked_dataset("Loader", dataset)
        self.batch_size = None if batch_size is None else checks.integer("Loader", "batch_size", batch_size, 1)
        checks.boolean("Loader", "shuffle", shuffle)
        if shuffle and sampler is not None:
            raise ValueError("Loader: shuffle must be False with a sampler, which decides the order")
        if sampler is not None and not hasattr(sampler, "order"):
            raise ValueError(f"Loader: sampler must have order(seed, epoch), got {type(sampler).__name__}")
        self.sampler = sampler or (ShuffledSampler if shuffle else SequentialSampler)(len(dataset))
        self.seed = seeded(seed)
        self.drop_last = checks.boolean("Loader", "drop_last", drop_last)
        self.image_size = None if image_size is None else checked_size("Loader", "image_size", image_size)
        self.resize = checks.choice("Loader", "resize", resize, RESIZES)
        self.interpolation = checks.choice("Loader", "interpolation", interpolation, tuple(INTERPOLATIONS))
        if isinstance(draft_size, str):
            checks.choice("Loader", "draft_size", draft_size, ("auto",))
            draft_size = self.image_size
        self.draft_size = None if draft_size is None else checked_size("Loader", "draft_size", draft_size)
        for name, value in (("transform", transform), ("batch_transform", batch_transform)):
            if value is not None and not callable(value):
                raise ValueError(f"Loader: {name} must be callable, got {type(value).__name__}")
        if batch_transform is not None and (dataset.labels is None or batch_size is None):
            raise ValueError("Loader: batch_transform must be left out for images without labels and without batches")
        self.transform, self.batch_transform = transform, batch_transform
        self.dtype = None if dtype is None else np.dtype(checks.choice("Loader", "dtype", dtype, ("uint8", "float32")))
        self.workers = (
            min(config.get_threads(), _MOST_WORKERS)
            if workers is None
            else checks.integer("Loader", "workers", workers)
        )
        self.prefetch = checks.integer("Loader", "prefetch", prefetch, 1)
        self.on_error = checks.choice("Loader", "on_error", on_error, ("raise", "skip"))
        if cache is not None and not (hasattr(cache, "get") and hasattr(cache, "put")):
            raise ValueError(f"Loader: cache must be a MemoryCache or a FileCache, got {type(cache).__name__}")
        self.cache = cache
        self.skipped = {}
        self._settings = self.image_size, self.resize, self.interpolation, self.draft_size
        self._epoch, self._batch, self._begun, self._walk = 0, 0, False, None
        if len(self) == 0:
            raise ValueError(
                f"Loader: batch_size must be at most the {len(self.sampler)} images of an epoch with "
                f"drop_last=True, got {batch_size}"
            )

    @property
    def class_names(self):
        """Names of the classes of the data set, or None."""
        return self.dataset.class_names

    @property
    def file_paths(self):
        """Paths of the images in the order of the data set, None for each that comes from no file."""
        return [self.dataset.path(i) for i in range(len(self.dataset))]

    @property
    def epoch(self):
        """The number of the epoch that is walked over, or comes next."""
        return self._epoch

    def __len__(self):
        """Batches in a whole epoch."""
        size = self.batch_size or 1
        return len(self.sampler) // size if self.drop_last else math.ceil(len(self.sampler) / size)

    def set_epoch(self, epoch):
        """Make the next walk that of this epoch, from its beginning."""
        self._epoch, self._batch, self._begun = checks.integer("Loader", "epoch", epoch), 0, False

    def state_dict(self):
        """Where the walk that was begun last has come to: what `load_state_dict` needs to go on behind it.

        Batches count when they are handed out; those that were made ahead do not.

        Returns
        -------
        dict
            Of plain integers, to be stored in a checkpoint.
        """
        done = self._batch == len(self)
        return {
            "seed": self.seed,
            "epoch": self._epoch + done,
            "batch": 0 if done else self._batch,
            "batch_size": self.batch_size or 0,
            "images": len(self.dataset),
            "images_per_epoch": len(self.sampler),
        }

    def load_state_dict(self, state):
        """Make the next walk the rest of an interrupted epoch; the one after it is whole.

        Parameters
        ----------
        state : dict
            From `state_dict` of a loader with the same arguments; the seed is taken from it.

        Raises
        ------
        ValueError
            If the numbers of images or the batch sizes differ; nothing is changed then.
        """
        mine = self.state_dict()
        if not isinstance(state, dict) or set(state) != set(mine):
            raise ValueError(
                f"Loader: state must be a dict with the keys {', '.join(mine)}, got "
                f"{', '.join(map(str, state)) if isinstance(state, dict) else type(state).__name__}"
            )
        for name in ("batch_size", "images", "images_per_epoch"):
            if state[name] != mine[name]:
                raise ValueError(
                    f"Loader: state must come from a loader of the same data, got {name}={state[name]!r} "
                    f"where this one has {mine[name]}"
                )
        seed, epoch, batch = (checks.integer("Loader", name, state[name]) for name in ("seed", "epoch", "batch"))
        if batch >= len(self):
            raise ValueError(f"Loader: batch must be below {len(self)}, got {batch}")
        self.seed, self._epoch, self._batch, self._begun = seeded(seed), epoch, batch, False

    def __iter__(self):
        """Begin the next epoch: an iterator over x, or (x, y) where there are labels."""
        if self._begun:
            self._epoch, self._batch = self._epoch + 1, 0
        self._begun = True
        self._walk = walk = object()
        return self._batches(walk, self._epoch, self._batch)

    def _batches(self, walk, epoch, first):
        order = np.asarray(self.sampler.order(self.seed, epoch), np.int64)
        numbers = order + len(self.dataset) * occurrences(order) if getattr(self.sampler, "repeats", True) else order
        size = self.batch_size or 1
        # A batch is made in pieces by all workers together, so that the first is there soon and few must be held.
        piece = size if self.workers == 0 or self._gathers() else min(_PIECE, math.ceil(size / (2 * self.workers)))
        pieces = math.ceil(size / piece)

        def tasks():
            for batch in range(first, len(self)):
                end = min((batch + 1) * size, len(order))
                for begin in range(batch * size, end, piece):
                    cut = slice(begin, min(begin + piece, end))
                    yield batch, cut.stop == end, order[cut], numbers[cut], epoch

        parts = []
        results = ordered_map(self._piece, tasks(), self.workers, self.prefetch * pieces)
        try:
            for batch, is_last, images, kept, indices, draws, errors in results:
                self._report(errors)
                parts.append((images, indices[kept], draws[kept]))
                if not is_last:
                    continue
                if self._walk is walk:
                    self._batch = batch + 1
                images, indices, draws = zip(*parts)
                parts = []
                indices, draws = np.concatenate(indices), np.concatenate(draws)
                made = self._assembled(images, indices, draws, epoch) if len(indices) else None
                images = None  # nothing is held longer than needed
                if made is not None:
                    yield made
                made = None
        finally:
            results.close()

    def _gathers(self):
        """Whether batches are cut from an array in memory as they are."""
        dataset = self.dataset
        if not getattr(dataset, "in_memory", False) or self.transform is not None:
            return False
        return self.image_size is None or dataset.image(0).shape[:2] == self.image_size

    def _piece(self, task):
        """Make the images of a piece of a batch, in a worker."""
        batch, is_last, indices, draws, epoch = task
        if self._gathers():
            return batch, is_last, [self.dataset.gather(indices)], slice(None), indices, draws, []
        images, kept, errors = [], [], []
        for i, (index, number) in enumerate(zip(indices.tolist(), draws.tolist())):
            try:
                image = self._base(index)
            except UnreadableImage as error:
                if self.on_error == "raise":
                    raise
                errors.append(error)
                continue
            images.append(self._transformed(image, index, number, epoch)[None])
            kept.append(i)
        return batch, is_last, images, kept, indices, draws, errors

    def _base(self, index):
        """An image before the transform, from the cache if it is there."""
        stamp = None if self.cache is None else self.dataset.stamp(index)
        if stamp is not None:
            identity, version = (stamp[0], self._settings), stamp[1]
            array = self.cache.get(identity, version)
            if array is not None:
                return _as_pil(array)
        image = self.dataset.image(index, self.draft_size)
        if self.image_size is not None:
            image = resized(image, self.image_size, self.resize, self.interpolation)
        if stamp is not None:
            self.cache.put(identity, version, as_array(image))
        return image

    def _transformed(self, image, index, number, epoch):
        if self.transform is not None:
            try:
                if isinstance(self.transform, Transform):  # arrays give the same pixels, without a Pillow image between
                    image = pixels_of(image)
                image = self.transform(image, seed=self.seed, epoch=epoch, index=number)
            except Exception as error:
                raise RuntimeError(
                    f'Loader: the transform failed for "{self.dataset.describe(index)}": '
                    f"{type(error).__name__}: {error}"
                ) from error
        array = as_array(image)
        if array.ndim != 3:
            raise ValueError(
                f"Loader: an image must have the shape (height, width, channels), got {array.shape} for "
                f'"{self.dataset.describe(index)}"'
            )
        return array

    def _report(self, errors):
        for error in errors:
            if error.path not in self.skipped:
                self.skipped[error.path] = error.reason
                warnings.warn(f"Loader: skipped {error}", stacklevel=4)

    def _assembled(self, parts, indices, draws, epoch):
        """The batch as it is handed out."""
        parts = [array for part in parts for array in part]
        odd = next((i for i, array in enumerate(parts) if array.shape[1:] != parts[0].shape[1:]), None)
        if odd is not None:  # only single images differ, so that `odd` is a place in the batch
            raise ValueError(
                f"Loader: the images of a batch must have the same shape, got {parts[0].shape[1:]} of "
                f'"{self.dataset.describe(int(indices[0]))}" and {parts[odd].shape[1:]} of '
                f'"{self.dataset.describe(int(indices[odd]))}"; give image_size, or end the transform '
                "with a crop to one size"
            )
        x = parts[0] if len(parts) == 1 else np.concatenate(parts)
        y = None if self.dataset.labels is None else self.dataset.labels[indices]
        if self.batch_transform is not None:
            x, y = self.batch_transform(x, y, seed=self.seed, epoch=epoch, indices=draws.tolist())
        if self.dtype is not None and x.dtype != self.dtype:
            x = np.rint(x).clip(0, 255).astype(np.uint8) if self.dtype == np.uint8 else x.astype(self.dtype)
        if not (x.flags.writeable and x.flags.c_contiguous):
            x = np.array(x, order="C")
        if self.batch_size is None:
            return x[0] if y is None else (x[0], y[0])
        return x if y is None else (x, y)


def _as_pil(array):
    """A Pillow image of an array from the cache."""
    from PIL import Image

    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
