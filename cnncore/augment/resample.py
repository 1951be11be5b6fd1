"""All geometric steps of an image in one resampling.

A `Pipeline` is a list of stages. Neighbouring projective stages become one by the product of their matrices wherever
the canvas between them is not left; what remains is done

- by copying, where whole pixels move (flips, crops, padding, quarter turns);
- by separable filters, where rows stay rows or become columns: they average where they make smaller, as Pillow's
  resize does (runtime/image.h; float images and those of more than four channels by Pillow itself);
- by Pillow's transform on 32-bit floats, for every other single matrix with bilinear interpolation;
- by NumPy, for elastic fields, lenses, and for matrices with a canvas between them whose border shows: the point goes
  back through the stages one by one and is folded into each canvas as that stage's fill mode says.

Each way reads the same endless picture: the image extended by `numpy.pad` with the mode's name. The edge of a crop is
no border of that picture: interpolation there reads the pixels that were cut off, half a pixel deep. Where a map makes
the image more than twice smaller, the source is first averaged over blocks, since interpolation alone would skip
pixels.
"""

import math

import numpy as np

from .. import _core
from .stages import Projective

_MAX_PADDING = 8  # times the image's pixels that may be laid out around it; beyond that points are folded instead
_RANGE_ERROR = "augment: fill_value must be one number or one for each of the {} channels, got {!r}"


class Pipeline:
    """Geometric steps that wait to be done together.

    Parameters
    ----------
    size : (int, int)
        (width, height) of the image before the first step.
    """

    def __init__(self, size):
        self.size = tuple(size)
        self.stages = []
        self.interpolation = None

    def accepts(self, stage):
        """Whether `stage` can join: all that interpolate must do it in the same way."""
        return None in (self.interpolation, stage.interpolation) or self.interpolation == stage.interpolation

    def append(self, stage):
        """Add a step behind those that are there."""
        self.stages.append(stage)
        self.size = stage.size_out
        self.interpolation = self.interpolation or stage.interpolation

    def image(self, pixels):
        """Return the image, an array with 3 axes, after all steps."""
        stages = merged(self.stages)
        if len(stages) == 1 and isinstance(stages[0], Projective):
            stage = stages[0]
            moved = _copy(pixels, stage, stage.fill)
            if moved is not None:
                return moved
            if self.interpolation != "nearest":
                if _rows_stay_straight(stage):
                    resized = _resize(pixels, stage, self.interpolation)
                    if resized is not None:
                        return resized
                elif self.interpolation == "bilinear":
                    pixels, stages = _averaged(pixels, stages)
                    transformed = _transform(pixels, stages[0])
                    if transformed is not None:
                        return transformed
        if self.interpolation != "nearest":
            pixels, stages = _averaged(pixels, stages)
        return _gather(pixels, stages, self.interpolation or "nearest", [stage.fill.value for stage in stages])

    def mask(self, mask):
        """Return the mask after all steps: always by the nearest pixel."""
        array = mask if mask.ndim == 3 else mask[..., None]
        stages = merged(self.stages)
        moved = None
        if len(stages) == 1 and isinstance(stages[0], Projective):
            moved = _copy(array, stages[0], stages[0].fill.of_mask())
        if moved is None:
            moved = _gather(array, stages, "nearest", [stage.fill.mask_value for stage in stages])
        return moved if mask.ndim == 3 else moved[..., 0]

    def points(self, points):
        """Return points of shape (count, 2) after all steps, and which of them are in every canvas."""
        visible = np.ones(len(points), bool)
        for stage in self.stages:
            points = np.stack(stage.from_source(points[:, 0], points[:, 1]), axis=1)
            visible &= np.all((points >= 0) & (points <= stage.size_out), axis=1)
        return points, visible

    def boxes(self, boxes):
        """Return the bounding boxes of the moved corners, cut at the canvas, and which have an area left.

        A box that lies wholly outside any canvas on the way is gone: what it held was not kept.
        """
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
        kept = np.ones(len(boxes), bool)
        bounds = boxes
        for stage in self.stages:
            corners = np.stack(stage.from_source(corners[:, 0], corners[:, 1]), axis=1)
            four = corners.reshape(-1, 4, 2)
            bounds = np.clip(np.concatenate([four.min(1), four.max(1)], axis=1), 0, stage.size_out * 2)
            kept &= np.all(bounds[:, 2:] > bounds[:, :2], axis=1)
        return bounds, kept


def merged(stages):
    """Return `stages` with neighbouring matrices multiplied where nothing beyond the canvas between them is seen."""
    result = [stages[0]]
    for stage in stages[1:]:
        if isinstance(stage, Projective) and isinstance(result[-1], Projective) and stage.stays_inside():
            result[-1] = stage.after(result[-1])
        else:
            result.append(stage)
    return result


def fold(index, count, mode):
    """Return where in 0..count - 1 the pixel at `index` (an integer array) of the endless row comes from.

    The modes are those of `numpy.pad`; ``"constant"`` is not one of them, for it comes from nowhere.
    """
    if mode == "edge" or count == 1:
        return np.clip(index, 0, count - 1)
    if mode == "wrap":
        return index % count
    if mode == "reflect":  # the border pixel is not repeated: period 2 (count - 1)
        index = index % (2 * count - 2)
        return np.minimum(index, 2 * count - 2 - index)
    index = index % (2 * count)  # symmetric: the border pixel is repeated
    return np.minimum(index, 2 * count - 1 - index)


def fold_point(x, count, mode):
    """The same for continuous coordinates, in which the row covers [0, count]."""
    if mode in ("edge", "constant") or count == 1:
        return np.clip(x, 0.5, count - 0.5)
    if mode == "wrap":
        return x % count
    if mode == "reflect":
        x = (x - 0.5) % (2 * count - 2)
        return np.minimum(x, 2 * count - 2 - x) + 0.5
    x = x % (2 * count)
    return np.minimum(x, 2 * count - x)


def window(array, x0, y0, x1, y1, mode, value):
    """Return rows y0..y1 - 1 and columns x0..x1 - 1 of the endless picture that extends `array`."""
    height, width = array.shape[:2]
    if 0 <= x0 and 0 <= y0 and x1 <= width and y1 <= height:
        return array[y0:y1, x0:x1]
    result = np.empty((y1 - y0, x1 - x0, array.shape[2]), array.dtype)
    top, left = min(max(y0, 0), y1), min(max(x0, 0), x1)  # what of the window lies within the image
    bottom, right = max(min(y1, height), top), max(min(x1, width), left)
    inner = result[top - y0 : bottom - y0, left - x0 : right - x0]
    if mode == "constant":
        result[...] = channel_values(value, array)
        inner[...] = array[top:bottom, left:right]
        return result
    # Whole blocks are copied quickly: first the rows, those beyond the border by their folded numbers, then columns.
    rows = array if (y0, y1) == (0, height) else array[fold(np.arange(y0, y1), height, mode)]
    result[:, left - x0 : right - x0] = rows[:, left:right]
    result[:, : left - x0] = rows[:, fold(np.arange(x0, left), width, mode)]
    result[:, right - x0 :] = rows[:, fold(np.arange(right, x1), width, mode)]
    return result


def channel_values(value, array):
    """Return a fill value as an array of the image's type that broadcasts over its channels."""
    values = np.asarray(value, np.float64)
    if values.ndim and len(values) != array.shape[2]:
        raise ValueError(_RANGE_ERROR.format(array.shape[2], value))
    return rounded(values, array.dtype)


def rounded(values, dtype):
    """Return float values as `dtype`: integers are rounded to the nearest and held in range."""
    if np.dtype(dtype).kind in "fb":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def _rows_stay_straight(stage):
    """Whether rows become rows, or rows become columns."""
    m = stage.matrix
    return stage.is_affine() and (m[0, 1] == m[1, 0] == 0 or m[0, 0] == m[1, 1] == 0)


def _turned(pixels, flip_x, flip_y, swap):
    """Flip columns, flip rows, then exchange rows and columns."""
    pixels = pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return pixels.transpose(1, 0, 2) if swap else pixels


def _straight(stage):
    """Return ((x0, y0, x1, y1) seen in the source, (flip_x, flip_y, swap)) of a stage whose rows stay straight."""
    m = stage.matrix
    swap = bool(m[0, 0] == 0)
    step_x, step_y = (m[0, 1], m[1, 0]) if swap else (m[0, 0], m[1, 1])
    return stage.bounds(), (bool(step_x < 0), bool(step_y < 0), swap)


def _copy(pixels, stage, fill):
    """Do a stage that moves whole pixels; None if it does not."""
    m = stage.matrix
    turns = all(v in (-1, 0, 1) for v in m[:2, :2].ravel().tolist())
    if not (turns and _rows_stay_straight(stage) and all(v.is_integer() for v in m[:2, 2].tolist())):
        return None
    box, turn = _straight(stage)
    return _turned(window(pixels, *map(int, box), fill.mode, fill.value), *turn)


def _resize(pixels, stage, interpolation):
    """Do a stage whose rows stay straight by separable filters; None if the border to lay out is too large."""
    (x0, y0, x1, y1), turn = _straight(stage)
    width, height = stage.size_out[::-1] if turn[2] else stage.size_out
    source_width, source_height = stage.size_in
    # Half the width of the kernel, in source pixels: what is read beyond the box.
    reach = 2 if interpolation == "bicubic" else 1
    reach_x, reach_y = (math.ceil(reach * max(1, s)) for s in ((x1 - x0) / width, (y1 - y0) / height))
    beyond = min(x0, y0) < 0 or x1 > source_width or y1 > source_height
    near = x0 < reach_x or y0 < reach_y or x1 > source_width - reach_x or y1 > source_height - reach_y
    if beyond or (near and stage.fill.mode != "edge"):  # the edge is what the filters see where there is nothing more
        left, top = math.floor(x0) - reach_x, math.floor(y0) - reach_y
        right, bottom = math.ceil(x1) + reach_x, math.ceil(y1) + reach_y
        if (right - left) * (bottom - top) > _MAX_PADDING * (source_width * source_height + width * height):
            return None
        source = window(pixels, left, top, right, bottom, stage.fill.mode, stage.fill.value)
        x0, y0, x1, y1 = x0 - left, y0 - top, x1 - left, y1 - top
    else:
        source = pixels
    flip_x, flip_y, swap = turn
    resized = _resized(source, (x0, y0, x1, y1), (height, width), interpolation, flip_x, flip_y)
    return resized.transpose(1, 0, 2) if swap else resized


def _resized(pixels, box, size, interpolation, flip_x=False, flip_y=False):
    """Bring a box of an array to `size` (height, width), averaging where it becomes smaller, and turn it."""
    if pixels.dtype == np.uint8 and pixels.shape[2] <= 4 and max(*pixels.shape, *size) <= _core.MAX_SIDE:
        ordered = pixels.strides[1] >= pixels.shape[2] and pixels.strides[2] == 1
        pixels = pixels if ordered else np.ascontiguousarray(pixels)
        return _core.resize_image(pixels, box, size, interpolation, flip_x, flip_y)
    from PIL import Image

    method = Image.Resampling[interpolation.upper()]
    planes = (Image.fromarray(np.ascontiguousarray(pixels[..., c])) for c in range(pixels.shape[2]))
    resized = [np.asarray(plane.resize(size[::-1], method, box=box)) for plane in planes]
    return _turned(np.stack(resized, axis=2), flip_x, flip_y, False)


def _averaged(pixels, stages):
    """Average blocks of the source where the stages together make it at least twice smaller."""
    linear = np.eye(2)
    for stage in stages:
        if isinstance(stage, Projective):
            linear = linear @ _derivative_at_centre(stage)
    factor = int(np.linalg.svd(linear, compute_uv=False)[-1] + 1e-6)
    if factor < 2:
        return pixels, stages
    width, height = stages[0].size_in
    small = max(1, round(width / factor)), max(1, round(height / factor))
    shrink = Projective(np.diag([small[0] / width, small[1] / height, 1]), small, (width, height), stages[0].fill)
    pixels = _resized(pixels, (0, 0, width, height), small[::-1], "box")
    if isinstance(stages[0], Projective):
        first = Projective(
            shrink.matrix @ stages[0].matrix, small, stages[0].size_out, stages[0].fill, stages[0].interpolation
        )
        return pixels, [first, *stages[1:]]
    return pixels, [shrink, *stages]


def _derivative_at_centre(stage):
    m = stage.matrix
    x, y = stage.size_out[0] / 2, stage.size_out[1] / 2
    u, v, w = m @ (x, y, 1)
    return (m[:2, :2] - np.outer((u / w, v / w), m[2, :2])) / w


def _transform(pixels, stage):
    """Do one matrix by Pillow, bilinear; None if the border to lay out is too large.

    In 32-bit floats, for on bytes Pillow cuts the fraction off and so darkens by half a grey level.
    """
    from PIL import Image

    width, height = stage.size_in
    x0, y0, x1, y1 = stage.bounds()
    corner = stage.matrix[2] @ np.array(
        [[0, stage.size_out[0], 0, stage.size_out[0]], [0, 0, stage.size_out[1], stage.size_out[1]], [1, 1, 1, 1]]
    )
    if corner.min() <= 0:  # the horizon crosses the output
        return None
    left, top, right, bottom = math.floor(x0) - 1, math.floor(y0) - 1, math.ceil(x1) + 1, math.ceil(y1) + 1
    if stage.fill.mode == "constant":  # beyond one pixel all is alike
        left, top, right, bottom = max(left, -1), max(top, -1), min(right, width + 1), min(bottom, height + 1)
    if (
        right - left < 2
        or bottom - top < 2
        or (right - left) * (bottom - top) > _MAX_PADDING * (width * height + math.prod(stage.size_out))
    ):
        return None
    source = window(pixels, left, top, right, bottom, stage.fill.mode, stage.fill.value)
    matrix = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ stage.matrix
    matrix = (matrix / matrix[2, 2]).reshape(-1)[:8].tolist()
    method = Image.Transform.AFFINE if stage.is_affine() else Image.Transform.PERSPECTIVE
    data = matrix[:6] if stage.is_affine() else matrix
    channels = source.shape[2]
    fill = np.broadcast_to(channel_values(stage.fill.value, source), (channels,))
    result = np.empty((*stage.size_out[::-1], channels), source.dtype)
    for c in range(channels):
        plane = Image.fromarray(np.ascontiguousarray(source[..., c], np.float32))
        moved = np.asarray(
            plane.transform(stage.size_out, method, data, Image.Resampling.BILINEAR, fillcolor=float(fill[c]))
        )
        # Values are between those of the source, so that adding a half and cutting is rounding.
        np.add(moved, 0.5 if source.dtype == np.uint8 else 0.0, out=result[..., c], casting="unsafe")
    return result


def _gather(array, stages, interpolation, values):
    """Do any stages by NumPy: take each output point back to the source and interpolate there."""
    width, height = stages[-1].size_out
    x, y = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
    blends = []  # (share of the picture, value beside it) of each canvas whose fill is constant, last stage first
    for number in reversed(range(1, len(stages))):
        stage = stages[number]
        x, y = stage.to_source(x, y)
        folded_x, folded_y = (fold_point(v, n, stage.fill.mode) for v, n in zip((x, y), stage.size_in))
        if stage.fill.mode == "constant":
            share = _share(x, folded_x, interpolation) * _share(y, folded_y, interpolation)
            blends.append((share[..., None], channel_values(values[number], array)))
        x, y = folded_x, folded_y
    result = _interpolate(array, *stages[0].to_source(x, y), interpolation, stages[0].fill.mode, values[0])
    for share, value in reversed(blends):
        if interpolation == "nearest":
            result = np.where(share, result, value)
        else:
            result *= share
            if np.any(value):
                result += value * (1 - share)
    return result if interpolation == "nearest" else rounded(result, array.dtype)


def _share(x, folded, interpolation):
    """How much of the value at x comes from within the canvas, whose nearest pixel's centre is `folded`."""
    distance = np.abs(x - folded)
    if interpolation == "nearest":
        return distance <= 0.5
    return np.maximum(1 - distance, 0).astype(np.float32)


def _interpolate(array, x, y, interpolation, mode, value):
    """Return the values of the endless picture at points: (height, width, channels), float32 unless by the nearest."""
    height, width, channels = array.shape
    frame = 4  # so that no kernel reaches beyond it once the points are folded
    if mode in ("constant", "edge"):  # beyond two pixels all is alike
        x, y = np.clip(x, -2, width + 2), np.clip(y, -2, height + 2)
    else:
        x, y = fold_point(x, width, mode), fold_point(y, height, mode)
    framed = window(array, -frame, -frame, width + frame, height + frame, mode, value)
    pitch = width + 2 * frame
    if interpolation == "nearest":
        return framed.reshape(-1, channels)[_floor(y + frame) * pitch + _floor(x + frame)]
    x, y = x + (frame - 0.5), y + (frame - 0.5)
    column, row = _floor(x), _floor(y)
    place = row * pitch + column
    s, t = (x - column).astype(np.float32), (y - row).astype(np.float32)
    result = np.empty((*place.shape, channels), np.float32)
    # Channel by channel, for gathering single values is what NumPy does quickly; a neighbour is the same place in a
    # view that starts further on.
    for c in range(channels):
        plane = framed[..., c].astype(np.float32).reshape(-1)
        if interpolation == "bilinear":
            upper = _between(plane.take(place), plane[1:].take(place), s)
            lower = _between(plane[pitch:].take(place), plane[pitch + 1 :].take(place), s)
            result[..., c] = _between(upper, lower, t)
        else:
            first = place - (pitch + 1)
            result[..., c] = sum(
                weight_y
                * sum(weight_x * plane[j * pitch + i :].take(first) for i, weight_x in enumerate(_cubic_weights(s)))
                for j, weight_y in enumerate(_cubic_weights(t))
            )
    return result


def _floor(x):
    """The integers below non-negative x."""
    return x.astype(np.intp)


def _between(a, b, t):
    """a + t (b - a), in place of b."""
    b -= a
    b *= t
    b += a
    return b


def _cubic_weights(t):
    """Cubic convolution with a = -1/2 (Keys, IEEE Trans. ASSP 1981), as in Pillow's resize."""
    s = 1 - t
    return -0.5 * t * s * s, 1 - t * t * (2.5 - 1.5 * t), 1 - s * s * (2.5 - 1.5 * s), -0.5 * s * t * t
