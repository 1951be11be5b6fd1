"""What is augmented (`Sample`) and what augments it (`Transform`).

Images are Pillow images (modes L, LA, RGB, RGBA) or arrays (height, width[, channels]), uint8 in 0..255 or float32 in
0..1; a batch is an array (count, height, width, channels). The result is of the kind that was given. With two or four
channels the last one is alpha: geometry moves it, colour leaves it alone.

Coordinates of boxes and keypoints are (x, y) in pixels from the image's top left *corner*, so that the pixel in row i
and column j covers [j, j + 1] x [i, i + 1] and its centre is (j + 0.5, i + 0.5).
"""

import inspect
from typing import Any, NamedTuple

import numpy as np

from .. import _core, checks, random
from ..registry import Configurable
from . import draws
from .resample import Pipeline

_MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


class Augmented(NamedTuple):
    """What a transform returns when annotations were given; of a batch, each field is stacked or a list.

    Attributes
    ----------
    image
        Of the kind that was given.
    mask
        Of the kind that was given, or None.
    boxes : ndarray of shape (kept, 4) or None
        Corners (x0, y0, x1, y1) of the boxes that are still in the image.
    keypoints : ndarray of shape (count, 2) or None
        Every keypoint, in the order given, inside the image or not.
    kept_boxes : ndarray of bool or None
        For each box given, whether it is among `boxes`; False where it has left the image.
    visible_keypoints : ndarray of bool or None
        For each keypoint, whether it is inside the image.
    """

    image: Any
    mask: Any = None
    boxes: Any = None
    keypoints: Any = None
    kept_boxes: Any = None
    visible_keypoints: Any = None


class Sample:
    """One image on its way through transforms, with its annotations.

    Geometric steps are only noted by `move`; the pixels are resampled once, when something next looks at them.

    Parameters
    ----------
    image, mask, boxes, keypoints
        As in a call of `Transform`.
    """

    def __init__(self, image, mask=None, boxes=None, keypoints=None):
        self._pixels, self._restore = _opened_image(image)
        self._given, self._range = self._pixels, None
        self._mask, self._restore_mask = (None, None) if mask is None else _opened_mask(mask)
        self._steps = Pipeline(self._stored_size())
        if self._mask is not None and self._mask.shape[:2] != self.size[::-1]:
            raise ValueError(
                f"augment: mask must have the height and width of the image, {self.size[::-1]}, "
                f"got {self._mask.shape[:2]}"
            )
        self._boxes = None if boxes is None else _points("boxes", boxes, 4)
        self._kept = None if boxes is None else np.ones(len(self._boxes), bool)
        self._keypoints = None if keypoints is None else _points("keypoints", keypoints, 2)
        self._visible = None if keypoints is None else self._inside(self._keypoints)

    @property
    def size(self):
        """(width, height) after the steps noted so far."""
        return self._steps.size

    @property
    def channels(self):
        """Number of channels, alpha included."""
        return self._pixels.shape[2] if isinstance(self._pixels, np.ndarray) else len(self._pixels.getbands())

    @property
    def is_float(self):
        """Whether the image is float32 in 0..1 rather than uint8 in 0..255."""
        return isinstance(self._pixels, np.ndarray) and self._pixels.dtype == np.float32

    def given_range(self):
        """Smallest and largest value of the array that was given, before noise or cubic weights went past them."""
        if self._range is None:
            self._range = float(self._given.min()), float(self._given.max())
        return self._range

    @property
    def has_alpha(self):
        """Whether the last channel is alpha."""
        return self.channels in (2, 4)

    def move(self, stage):
        """Note a geometric step (`resample.Stage`), or None for none."""
        if stage is None or stage.is_identity():
            return
        if not self._steps.accepts(stage):
            self._settle()
        self._steps.append(stage)

    @property
    def pixels(self):
        """The image with all steps done: a Pillow image or an array (height, width, channels), not to be written to."""
        self._settle()
        return self._pixels

    @pixels.setter
    def pixels(self, pixels):
        self._settle()
        self._pixels = pixels

    def array(self):
        """The image with all steps done as an array (height, width, channels), not to be written to."""
        self._settle()
        return pixels_of(self._pixels)

    def result(self):
        """Return the `Augmented` image and annotations."""
        self._settle()
        return Augmented(
            self._restore(self._pixels),
            None if self._mask is None else self._restore_mask(self._mask),
            None if self._boxes is None else self._boxes[self._kept],
            self._keypoints,
            self._kept,
            self._visible,
        )

    def _stored_size(self):
        return self._pixels.shape[1::-1] if isinstance(self._pixels, np.ndarray) else self._pixels.size

    def _inside(self, points):
        return np.all((points >= 0) & (points <= self.size), axis=1)

    def _settle(self):
        """Do the steps that are noted: the only place where pixels and annotations are moved."""
        steps = self._steps
        if not steps.stages:
            return
        self._pixels = steps.image(pixels_of(self._pixels))
        if self._mask is not None:
            self._mask = steps.mask(self._mask)
        if self._boxes is not None:
            self._boxes, kept = steps.boxes(self._boxes)
            self._kept = self._kept & kept
        if self._keypoints is not None:
            self._keypoints, visible = steps.points(self._keypoints)
            self._visible = self._visible & visible
        self._steps = Pipeline(steps.size)


class Transform(Configurable):
    """Base of augmentations. A subclass keeps its arguments as attributes and defines ``transform(sample, generator)``.

    Parameters
    ----------
    p : float
        Probability with which the transform is done, default 1.
    """

    def __init__(self, p=1.0):
        self.p = checks.number(type(self).__name__, "p", p, "be a probability in [0, 1]", lambda v: 0 <= v <= 1)

    def __call__(self, image, mask=None, boxes=None, keypoints=None, *, seed=None, epoch=0, index=None, indices=None):
        """Return the augmented image, or `Augmented` when annotations are given.

        Parameters
        ----------
        image : PIL.Image.Image or ndarray
            One image or a batch; see the module's text. Images of a batch must come out equally large.
        mask : PIL.Image.Image or ndarray, optional
            Labels of the pixels, (height, width) or (height, width, n); moved by the nearest pixel.
        boxes : array_like of shape (count, 4), optional
            Corners (x0, y0, x1, y1). A box becomes the bounding box of its four moved corners, cut at the image.
        keypoints : array_like of shape (count, 2), optional
            Of a batch, `mask`, `boxes` and `keypoints` hold one entry for each image.
        seed : int, optional
            Seed of the run. All draws are a function of (seed, epoch, index). Without it `cnncore.random` gives one.
        epoch : int
            Default 0.
        index, indices : int or sequence of int
            Number of the sample, or of each sample of a batch, in the data set: must be given with `seed`, for without
            it every image would get the same draws.
        """
        annotated = not (mask is None and boxes is None and keypoints is None)
        batch = isinstance(image, np.ndarray) and image.ndim == 4
        seed, numbers = self._numbers(len(image) if batch else None, seed, index, indices)
        if not batch:
            result = self._augmented(Sample(image, mask, boxes, keypoints), seed, epoch, numbers[0])
            return result if annotated else result.image
        for name, given in (("mask", mask), ("boxes", boxes), ("keypoints", keypoints)):
            if given is not None and len(given) != len(image):
                raise ValueError(
                    f"{type(self).__name__}: {name} must hold one entry for each of the {len(image)} "
                    f"images, got {len(given)}"
                )
        results = [
            self._augmented(
                Sample(image[i], *(None if a is None else a[i] for a in (mask, boxes, keypoints))), seed, epoch, number
            )
            for i, number in enumerate(numbers)
        ]
        images = self._stacked(image, [r.image for r in results])
        if not annotated:
            return images
        masks = None if mask is None else np.stack([np.asarray(r.mask) for r in results]) if results else mask
        lists = ([getattr(r, name) for r in results] for name in Augmented._fields[2:])
        given = (boxes, keypoints, boxes, keypoints)
        return Augmented(images, masks, *(None if g is None else values for g, values in zip(given, lists)))

    def apply(self, sample, generator):
        """Change `sample` in place, with probability `p`, by draws from `generator`; return it."""
        if self.p == 1 or generator.random() < self.p:
            self.transform(sample, generator)
        return sample

    def transform(self, sample, generator):
        """Change `sample` (a `Sample`) in place by draws from `generator`."""
        raise NotImplementedError(f"{type(self).__name__}: transform(sample, generator) must be defined")

    def children(self):
        """Return the transforms that this one holds."""
        return ()

    def changes_digits(self):
        """Return how this transform can turn a digit or letter into another one or into none, or None."""
        return None

    def get_config(self):
        return {
            name: getattr(self, name) for name in inspect.signature(type(self).__init__).parameters if name != "self"
        }

    def _augmented(self, sample, seed, epoch, number):
        return self.apply(sample, draws.generator(seed, epoch, number)).result()

    def _numbers(self, count, seed, index, indices):
        """Return the seed and the numbers of the samples, drawn or as given."""
        name, other, given, wrong = (
            ("index", "indices", index, indices) if count is None else ("indices", "index", indices, index)
        )
        if wrong is not None:
            kind = "one image" if count is None else "a batch"
            raise ValueError(f"{type(self).__name__}: {name} must be given for {kind}, got {other}={wrong!r}")
        if (seed is None) != (given is None):
            raise ValueError(
                f"{type(self).__name__}: seed and {name} must be given together, got seed={seed!r} and "
                f"{name}={given!r}; {name} is the number of the sample in the data set"
            )
        if seed is None:
            return random.next_seed(), range(1 if count is None else count)
        numbers = [given] if count is None else np.asarray(given).reshape(-1).tolist()
        if count is not None and len(numbers) != count:
            raise ValueError(
                f"{type(self).__name__}: indices must hold one number for each of the {count} images, "
                f"got {len(numbers)}"
            )
        return seed, numbers

    def _stacked(self, batch, images):
        sizes = {image.shape for image in images}
        if len(sizes) > 1:
            raise ValueError(
                f"{type(self).__name__}: the images of a batch must come out equally large, got the "
                f"shapes {', '.join(map(str, sorted(sizes)))}; end with CenterCrop, RandomCrop or Resize"
            )
        return np.stack(images) if images else batch


def _opened_image(image):
    """Return a Pillow image or an array with 3 axes, and the function that gives the result its first form."""
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3) or 0 in image.shape:
            raise ValueError(
                f"augment: an image must have the shape (height, width) or (height, width, channels), a "
                f"batch (count, height, width, channels), and none of them empty, got {image.shape}"
            )
        if image.dtype not in (np.uint8, np.float32):
            raise ValueError(
                f"augment: an image must be uint8 in 0..255 or float32 in 0..1, got {image.dtype}; "
                f"convert it with astype"
            )
        restore = (
            (lambda pixels: _owned(pixels, image)[..., 0])
            if image.ndim == 2
            else (lambda pixels: _owned(pixels, image))
        )
        return image.reshape(*image.shape[:2], -1), restore
    if not hasattr(image, "getbands"):
        raise ValueError(f"augment: an image must be a Pillow image or a NumPy array, got {type(image).__name__}")
    if image.mode not in _MODES:
        raise ValueError(
            f"augment: a Pillow image must have one of the modes {', '.join(_MODES)}, got "
            f'{image.mode!r}; convert it, for example with image.convert("RGB")'
        )

    def restore(pixels):
        if pixels is image:
            return image.copy()
        return to_pil(pixels) if isinstance(pixels, np.ndarray) else pixels

    return image, restore


def _owned(pixels, image):
    """Return `pixels` as an array that shares no memory with `image`."""
    array = pixels_of(pixels)
    return (
        array.copy() if np.may_share_memory(array, image) or not array.flags.writeable else np.ascontiguousarray(array)
    )


def _opened_mask(mask):
    if isinstance(mask, np.ndarray):
        if mask.ndim not in (2, 3):
            raise ValueError(
                f"augment: mask must have the shape (height, width) or (height, width, n), got {mask.shape}"
            )
        return mask, lambda array: array.copy() if np.may_share_memory(array, mask) else np.ascontiguousarray(array)
    if not hasattr(mask, "getbands"):
        raise ValueError(f"augment: mask must be a Pillow image or a NumPy array, got {type(mask).__name__}")

    def restore(array):
        from PIL import Image

        again = Image.fromarray(np.ascontiguousarray(array))
        if mask.mode == "P":
            again.putpalette(mask.getpalette())
        return again

    return np.asarray(mask), restore


def _points(name, values, width):
    array = np.array(values, np.float64, ndmin=2)
    if array.size == 0:
        array = array.reshape(0, width)
    if array.ndim != 2 or array.shape[1] != width or not np.isfinite(array).all():
        raise ValueError(f"augment: {name} must be finite numbers of the shape (count, {width}), got {values!r}")
    if width == 4 and (array[:, 2:] < array[:, :2]).any():
        raise ValueError(f"augment: boxes must be (x0, y0, x1, y1) with x0 <= x1 and y0 <= y1, got {values!r}")
    return array


def pixels_of(pixels):
    """Return a Pillow image or an array as an array, where possible of the same memory: it must not be written to."""
    return pixels if isinstance(pixels, np.ndarray) else _core.pillow_pixels(pixels)


def to_pil(array):
    """Return a Pillow image of a uint8 array (height, width, channels) with 1 to 4 channels; it shares no memory with
    another image or array.
    """
    from PIL import Image

    array = array[..., 0] if array.shape[2] == 1 else array
    return Image.fromarray(array if array.flags.owndata and array.flags.c_contiguous else np.array(array, order="C"))
