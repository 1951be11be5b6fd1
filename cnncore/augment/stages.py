"""Geometric steps: maps from the pixels of an output canvas back to those of an input canvas.

Points are continuous: pixel (row i, column j) covers [j, j + 1] x [i, i + 1]. A map goes backwards, from where a pixel
is wanted to where it is to be read, so that each output pixel gets exactly one value.
"""

import math

import numpy as np

from .. import checks

FILL_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


class Fill:
    """What lies beyond the border of a canvas.

    Parameters
    ----------
    mode : str
        ``"constant"``, ``"edge"``, ``"reflect"``, ``"symmetric"`` or ``"wrap"``, as in `numpy.pad`.
    value : float or sequence of float
        The constant, in the image's own units; one number or one for each channel.
    mask_value : int
        The constant for masks.
    """

    def __init__(self, mode="constant", value=0, mask_value=0):
        self.mode, self.value, self.mask_value = mode, value, mask_value

    def __eq__(self, other):
        return vars(self) == vars(other)

    def of_mask(self):
        """The fill of a mask."""
        return Fill(self.mode, self.mask_value)

    @classmethod
    def checked(cls, owner, mode, value, mask_value):
        """Return the fill of a transform's arguments."""
        checks.choice(owner, "fill_mode", mode, FILL_MODES)
        for number in value if isinstance(value, (tuple, list)) else (value,):
            checks.number(owner, "fill_value", number)
        return cls(
            mode, tuple(value) if isinstance(value, list) else value, checks.number(owner, "mask_value", mask_value)
        )


CONSTANT = Fill()
EDGE = Fill("edge")


class Stage:
    """One geometric step.

    Parameters
    ----------
    size_in, size_out : (int, int)
        (width, height) of the input and the output canvas.
    fill : Fill
        What lies beyond the input canvas.
    interpolation : str or None
        None for a step that moves whole pixels, and so can be joined to any other.
    """

    def __init__(self, size_in, size_out, fill=CONSTANT, interpolation=None):
        self.size_in, self.size_out = tuple(size_in), tuple(size_out)
        self.fill, self.interpolation = fill, interpolation

    def is_identity(self):
        """Whether the step changes nothing at all."""
        return False

    def to_source(self, x, y):
        """Return the points of the input canvas that are seen at the points (x, y) of the output canvas."""
        raise NotImplementedError

    def from_source(self, x, y):
        """Return the points of the output canvas at which the points (x, y) of the input canvas are seen."""
        raise NotImplementedError


class Projective(Stage):
    """(x, y, w) = matrix (x', y', 1): x' in the output canvas, (x / w, y / w) in the input canvas.

    Parameters
    ----------
    matrix : array_like of shape (3, 3)
        Affine where its last row is (0, 0, 1).
    """

    def __init__(self, matrix, size_in, size_out, fill=CONSTANT, interpolation=None):
        super().__init__(size_in, size_out, fill, interpolation)
        matrix = np.asarray(matrix, np.float64)
        self.matrix = matrix / matrix[2, 2]

    def is_identity(self):
        return self.size_in == self.size_out and bool(np.all(self.matrix == np.eye(3)))

    def is_affine(self):
        """Whether parallel lines stay parallel."""
        return self.matrix[2, 0] == 0 and self.matrix[2, 1] == 0

    def to_source(self, x, y):
        return _project(self.matrix, x, y, self.is_affine())

    def from_source(self, x, y):
        return _project(np.linalg.inv(self.matrix), x, y, self.is_affine())

    def bounds(self):
        """Return (x0, y0, x1, y1) of the output canvas, seen in the input canvas."""
        width, height = self.size_out
        corners = [self.to_source(x, y) for x in (0.0, float(width)) for y in (0.0, float(height))]
        x, y = zip(*corners)
        return min(x), min(y), max(x), max(y)

    def stays_inside(self):
        """Whether every output pixel is read from within the input canvas, so that the fill is not needed."""
        x0, y0, x1, y1 = self.bounds()
        return min(x0, y0) >= -1e-6 and x1 <= self.size_in[0] + 1e-6 and y1 <= self.size_in[1] + 1e-6

    def after(self, first):
        """Return the one step that does `first` and then this one; it needs `stays_inside`."""
        return Projective(
            first.matrix @ self.matrix,
            first.size_in,
            self.size_out,
            first.fill,
            first.interpolation or self.interpolation,
        )


def _project(m, x, y, affine):
    m = m.tolist()  # for numbers are multiplied more quickly than scalars of NumPy
    source_x = m[0][0] * x + (m[0][1] * y + m[0][2])  # of a row x and a column y: one pass over the whole
    source_y = m[1][0] * x + (m[1][1] * y + m[1][2])
    if affine:
        return source_x, source_y
    w = m[2][0] * x + (m[2][1] * y + m[2][2])
    return source_x / w, source_y / w


def translation(x, y):
    """The matrix that adds (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def about_centre(linear, size):
    """The matrix of the 2 x 2 map `linear` that leaves the centre of the canvas where it is."""
    centre = np.array(size) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = centre - matrix[:2, :2] @ centre
    return matrix


def rotation(degrees):
    """The 2 x 2 map back from a picture turned counterclockwise (y points down); exact for multiples of 90."""
    quarters = degrees / 90
    if quarters == round(quarters):
        c, s = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[round(quarters) % 4]
    else:
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s], [s, c]])
