"""Flips, crops, padding, and the affine and projective maps.

Each draws one matrix; matrices of neighbouring transforms are multiplied and the pixels resampled once. Positive
angles turn counterclockwise, as in Pillow and Keras; positive shifts go right and down; factors above 1 enlarge.
"""

import math

import numpy as np

from .. import checks
from . import draws
from .base import Transform
from .stages import EDGE, INTERPOLATIONS, Fill, Projective, about_centre, rotation, translation


class Geometric(Transform):
    """Base of transforms that move pixels. A subclass defines ``stage(size, generator)``."""

    def transform(self, sample, generator):
        sample.move(self.stage(sample.size, generator))

    def stage(self, size, generator):
        """Return the `stages.Stage` drawn for a canvas of `size` (width, height)."""
        raise NotImplementedError(f"{type(self).__name__}: stage(size, generator) must be defined")


class Filled(Geometric):
    """Base of geometric transforms that can look beyond the border.

    Parameters
    ----------
    fill_mode : str
        What lies there, as in `numpy.pad`: ``"constant"`` (default), ``"edge"`` (a a | a b c | c c), ``"reflect"``
        (c b | a b c | b a), ``"symmetric"`` (b a | a b c | c b) or ``"wrap"`` (b c | a b c | a b). Keras calls
        ``"symmetric"`` ``"reflect"`` and ``"edge"`` ``"nearest"``.
    fill_value : float or sequence of float
        The constant, one or one for each channel, in the image's units; default 0.
    mask_value : int
        The constant for masks, default 0.
    interpolation : str
        ``"bilinear"`` (default), ``"nearest"`` or ``"bicubic"``.
    p : float
        Probability, default 1.
    """

    def __init__(self, fill_mode="constant", fill_value=0, mask_value=0, interpolation="bilinear", p=1.0):
        super().__init__(p)
        fill = Fill.checked(type(self).__name__, fill_mode, fill_value, mask_value)
        self.fill_mode, self.fill_value, self.mask_value = fill.mode, fill.value, mask_value
        self.interpolation = checks.choice(type(self).__name__, "interpolation", interpolation, INTERPOLATIONS)
        self._fill = fill

    def _in_place(self, linear, size):
        """The stage of a 2 x 2 map about the centre of a canvas that keeps its size."""
        return Projective(about_centre(linear, size), size, size, self._fill, self.interpolation)


class HorizontalFlip(Geometric):
    """Mirror left and right.

    Parameters
    ----------
    p : float
        Probability, default 0.5.
    """

    def __init__(self, p=0.5):
        super().__init__(p)

    def stage(self, size, generator):
        return Projective([[-1, 0, size[0]], [0, 1, 0], [0, 0, 1]], size, size)

    def changes_digits(self):
        return "mirrors them left to right"


class VerticalFlip(Geometric):
    """Mirror top and bottom.

    Parameters
    ----------
    p : float
        Probability, default 0.5.
    """

    def __init__(self, p=0.5):
        super().__init__(p)

    def stage(self, size, generator):
        return Projective([[1, 0, 0], [0, -1, size[1]], [0, 0, 1]], size, size)

    def changes_digits(self):
        return "turns them upside down (6 and 9 change places)"


class Transpose(Geometric):
    """Exchange rows and columns; an image of h x w becomes one of w x h.

    Parameters
    ----------
    p : float
        Probability, default 0.5.
    """

    def __init__(self, p=0.5):
        super().__init__(p)

    def stage(self, size, generator):
        return Projective([[0, 1, 0], [1, 0, 0], [0, 0, 1]], size, size[::-1])

    def changes_digits(self):
        return "exchanges their rows and columns"


class Rotation(Filled):
    """Turn about the centre, the size kept.

    Parameters
    ----------
    degrees : float or (float, float)
        Counterclockwise; a number v stands for (-v, v). Default 30.
    fill_mode, fill_value, mask_value, interpolation, p
        See `Filled`.
    """

    def __init__(self, degrees=30.0, fill_mode="constant", fill_value=0, mask_value=0, interpolation="bilinear", p=1.0):
        super().__init__(fill_mode, fill_value, mask_value, interpolation, p)
        self.degrees = draws.symmetric("Rotation", "degrees", degrees)

    def stage(self, size, generator):
        return self._in_place(rotation(draws.uniform(generator, self.degrees)), size)

    def changes_digits(self):
        worst = max(map(abs, self.degrees))
        return f"turns them by up to {worst:g} degrees (at 180, 6 and 9 change places)" if worst > 45 else None


class Translation(Filled):
    """Shift.

    Parameters
    ----------
    x, y : float or (float, float)
        Right and down, as parts of the width and the height; a number v stands for (-v, v). Default 0.1.
    whole_pixels : bool
        Round the shift to whole pixels, so that none is interpolated. Default False.
    fill_mode, fill_value, mask_value, interpolation, p
        See `Filled`.
    """

    def __init__(
        self,
        x=0.1,
        y=0.1,
        whole_pixels=False,
        fill_mode="constant",
        fill_value=0,
        mask_value=0,
        interpolation="bilinear",
        p=1.0,
    ):
        super().__init__(fill_mode, fill_value, mask_value, interpolation, p)
        self.x = draws.symmetric("Translation", "x", x)
        self.y = draws.symmetric("Translation", "y", y)
        self.whole_pixels = checks.boolean("Translation", "whole_pixels", whole_pixels)

    def stage(self, size, generator):
        x, y = (draws.uniform(generator, bounds) * n for bounds, n in zip((self.x, self.y), size))
        if self.whole_pixels:
            x, y = round(x), round(y)
        return Projective(translation(-x, -y), size, size, self._fill, self.interpolation)


class Scale(Filled):
    """Scale in (enlarge) or out (make smaller) about the centre, the canvas kept.

    Parameters
    ----------
    factor : float or (float, float)
        Above 1 enlarges; a number v stands for (1 - v, 1 + v). Default 0.2. Drawn uniformly in its logarithm.
    fill_mode, fill_value, mask_value, interpolation, p
        See `Filled`.
    """

    def __init__(self, factor=0.2, fill_mode="constant", fill_value=0, mask_value=0, interpolation="bilinear", p=1.0):
        super().__init__(fill_mode, fill_value, mask_value, interpolation, p)
        self.factor = _positive_factor("Scale", "factor", factor)

    def stage(self, size, generator):
        factor = _log_uniform(generator, self.factor)
        return self._in_place(np.diag([1 / factor, 1 / factor]), size)


class Stretch(Filled):
    """Scale the width and the height about the centre, each by its own factor, the canvas kept.

    Parameters
    ----------
    x, y : float or (float, float)
        Factors; a number v stands for (1 - v, 1 + v). Default 0.2. Drawn uniformly in their logarithms.
    fill_mode, fill_value, mask_value, interpolation, p
        See `Filled`.
    """

    def __init__(self, x=0.2, y=0.2, fill_mode="constant", fill_value=0, mask_value=0, interpolation="bilinear", p=1.0):
        super().__init__(fill_mode, fill_value, mask_value, interpolation, p)
        self.x = _positive_factor("Stretch", "x", x)
        self.y = _positive_factor("Stretch", "y", y)

    def stage(self, size, generator):
        return self._in_place(np.diag([1 / _log_uniform(generator, bounds) for bounds in (self.x, self.y)]), size)


class Shear(Filled):
    """Slant about the centre: x' = x - tan(a) y, y' = y - tan(b) x with y pointing down.

    Parameters
    ----------
    x, y : float or (float, float)
        Angles a and b in degrees, within (-89, 89): a positive `x` leans the upright to the right, a positive `y`
        lifts the right side. A number v stands for (-v, v). Defaults 15 and 0.
    fill_mode, fill_value, mask_value, interpolation, p
        See `Filled`.
    """

    def __init__(
        self, x=15.0, y=0.0, fill_mode="constant", fill_value=0, mask_value=0, interpolation="bilinear", p=1.0
    ):
        super().__init__(fill_mode, fill_value, mask_value, interpolation, p)
        self.x = draws.symmetric("Shear", "x", x, -89, 89)
        self.y = draws.symmetric("Shear", "y", y, -89, 89)

    def stage(self, size, generator):
        a, b = (math.tan(math.radians(draws.uniform(generator, bounds))) for bounds in (self.x, self.y))
        determinant = 1 - a * b
        if abs(determinant) < 1e-3:  # both slants fall into one line: the picture would have no area
            return None
        return self._in_place(np.array([[1, a], [b, 1]]) / determinant, size)


class Perspective(Filled):
    """See the picture from another place: each corner moves inwards by a part of the size drawn for itself.

    Parameters
    ----------
    distortion : float or (float, float)
        Largest move of a corner along each axis as a part of half the width and half the height, in [0, 1); a number
        v stands for (0, v). Default 0.5.
    fill_mode, fill_value, mask_value, interpolation, p
        See `Filled`.
    """

    def __init__(
        self, distortion=0.5, fill_mode="constant", fill_value=0, mask_value=0, interpolation="bilinear", p=1.0
    ):
        super().__init__(fill_mode, fill_value, mask_value, interpolation, p)
        self.distortion = draws.up_to("Perspective", "distortion", distortion, 0, 0.999)

    def stage(self, size, generator):
        width, height = size
        low, high = self.distortion
        moves = (low + (high - low) * generator.random((4, 2))) / 2 * size
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
        inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
        matrix = homography(corners + inwards * moves, corners)
        return Projective(matrix, size, size, self._fill, self.interpolation)


class RandomCrop(Filled):
    """Cut out a piece of a given size at a random place, after padding.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the piece.
    padding : int or (int, int)
        Pixels added above and below, and left and right, before the cut; default 0. ``RandomCrop(32, padding=4)`` is
        the usual recipe for CIFAR-10.
    fill_mode, fill_value, mask_value, p
        See `Filled`.

    Raises
    ------
    ValueError
        If the padded image is smaller than `size`.
    """

    def __init__(self, size, padding=0, fill_mode="constant", fill_value=0, mask_value=0, p=1.0):
        super().__init__(fill_mode, fill_value, mask_value, p=p)
        self.size = draws.size2d("RandomCrop", "size", size)
        self.padding = _paddings("RandomCrop", padding, 2)

    def stage(self, size, generator):
        padding_y, padding_x = self.padding
        _check_fits(self, size[0] + 2 * padding_x, size[1] + 2 * padding_y)
        left = int(generator.integers(size[0] + 2 * padding_x - self.size[1] + 1)) - padding_x
        top = int(generator.integers(size[1] + 2 * padding_y - self.size[0] + 1)) - padding_y
        return Projective(translation(left, top), size, self.size[::-1], self._fill)


class CenterCrop(Geometric):
    """Cut out the middle; where an odd pixel is left over it stays on the right and at the bottom.

    Parameters
    ----------
    size : int or (int, int)
        Height and width.

    Raises
    ------
    ValueError
        If the image is smaller than `size`.
    """

    def __init__(self, size, p=1.0):
        super().__init__(p)
        self.size = draws.size2d("CenterCrop", "size", size)

    def stage(self, size, generator):
        _check_fits(self, *size)
        left, top = (size[0] - self.size[1]) // 2, (size[1] - self.size[0]) // 2
        return Projective(translation(left, top), size, self.size[::-1])


class Pad(Filled):
    """Add pixels around the image.

    Parameters
    ----------
    padding : int, (int, int) or (int, int, int, int)
        All sides; above and below, left and right; or above, below, left, right.
    fill_mode, fill_value, mask_value, p
        See `Filled`.
    """

    def __init__(self, padding, fill_mode="constant", fill_value=0, mask_value=0, p=1.0):
        super().__init__(fill_mode, fill_value, mask_value, p=p)
        self.padding = _paddings("Pad", padding, 4)

    def stage(self, size, generator):
        above, below, left, right = self.padding
        return Projective(
            translation(-left, -above), size, (size[0] + left + right, size[1] + above + below), self._fill
        )


class Resize(Geometric):
    """Change the size; where the image becomes smaller its pixels are averaged.

    Parameters
    ----------
    size : int or (int, int)
        Height and width, or the length of the shorter side, the proportions kept.
    interpolation : str
        ``"bilinear"`` (default), ``"nearest"`` or ``"bicubic"``.
    """

    def __init__(self, size, interpolation="bilinear", p=1.0):
        super().__init__(p)
        self.size = (
            draws.size2d("Resize", "size", size)
            if isinstance(size, (tuple, list))
            else checks.integer("Resize", "size", size, 1)
        )
        self.interpolation = checks.choice("Resize", "interpolation", interpolation, INTERPOLATIONS)

    def stage(self, size, generator):
        if isinstance(self.size, tuple):
            target = self.size[::-1]
        else:
            target = tuple(max(1, round(n * self.size / min(size))) for n in size)
        matrix = np.diag([size[0] / target[0], size[1] / target[1], 1])
        return Projective(matrix, size, target, EDGE, self.interpolation)


class RandomResizedCrop(Geometric):
    """Cut out a piece of random area, proportions and place and bring it to a given size.

    The area is drawn uniformly from `scale`, width / height uniformly in its logarithm from `ratio`; after ten pieces
    that do not fit, the largest piece in the middle with the nearest proportions is taken (Szegedy et al., "Going
    deeper with convolutions", CVPR 2015).

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the result.
    scale : (float, float)
        Part of the image's area, within (0, 1]; default (0.08, 1).
    ratio : (float, float)
        Width / height, default (3/4, 4/3).
    interpolation : str
        ``"bilinear"`` (default), ``"nearest"`` or ``"bicubic"``; pixels are averaged where the piece becomes smaller.
    """

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), interpolation="bilinear", p=1.0):
        super().__init__(p)
        self.size = draws.size2d("RandomResizedCrop", "size", size)
        self.scale = draws.interval("RandomResizedCrop", "scale", scale, 1e-6, 1)
        self.ratio = draws.interval("RandomResizedCrop", "ratio", ratio, 1e-3, 1e3)
        self.interpolation = checks.choice("RandomResizedCrop", "interpolation", interpolation, INTERPOLATIONS)

    def stage(self, size, generator):
        left, top, width, height = self.piece(size, generator)
        target_height, target_width = self.size
        matrix = [[width / target_width, 0, left], [0, height / target_height, top], [0, 0, 1]]
        interpolation = None if (width, height) == (target_width, target_height) else self.interpolation
        return Projective(matrix, size, (target_width, target_height), EDGE, interpolation)

    def piece(self, size, generator):
        """Return (left, top, width, height) drawn for an image of `size` (width, height), in whole pixels."""
        full_width, full_height = size
        for _ in range(10):
            area = full_width * full_height * draws.uniform(generator, self.scale)
            ratio = _log_uniform(generator, self.ratio)
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width <= full_width and 0 < height <= full_height:
                left = int(generator.integers(full_width - width + 1))
                top = int(generator.integers(full_height - height + 1))
                return left, top, width, height
        low, high = self.ratio
        ratio = min(max(full_width / full_height, low), high)
        width = min(full_width, max(1, round(full_height * ratio)))
        height = min(full_height, max(1, round(full_width / ratio)))
        return (full_width - width) // 2, (full_height - height) // 2, width, height


def homography(source, target):
    """Return the 3 x 3 matrix that takes the four points `source` to `target`, each of shape (4, 2)."""
    rows = []
    for (x, y), (u, v) in zip(source, target):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    coefficients = np.linalg.solve(np.array(rows), np.asarray(target, np.float64).reshape(-1))
    return np.append(coefficients, 1).reshape(3, 3)


def _positive_factor(owner, name, value):
    low, high = draws.factor(owner, name, value)
    if low <= 0:
        raise ValueError(f"{owner}: {name} must be a number below 1 or a pair of numbers above 0, got {value!r}")
    return low, high


def _log_uniform(generator, bounds):
    low, high = bounds
    return math.exp(draws.uniform(generator, (math.log(low), math.log(high)))) if low < high else low


def _paddings(owner, value, count):
    if isinstance(value, (tuple, list)):
        if len(value) not in (2, count):
            raise ValueError(
                f"{owner}: padding must be one number, (above and below, left and right)"
                f"{' or (above, below, left, right)' if count == 4 else ''}, got {value!r}"
            )
        values = tuple(checks.integer(owner, "padding", v) for v in value)
    else:
        values = (checks.integer(owner, "padding", value),) * 2
    return (values[0], values[0], values[1], values[1]) if count == 4 and len(values) == 2 else values


def _check_fits(transform, width, height):
    if transform.size[1] > width or transform.size[0] > height:
        raise ValueError(
            f"{type(transform).__name__}: size must not be larger than the image, {height}x{width}, got "
            f"{transform.size[0]}x{transform.size[1]}; put Pad or Resize before it"
        )
