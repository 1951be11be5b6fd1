"""Error bounds of Winograd's convolution, and the matrices of its forms by their definition.

Bound. With the transforms' matrices A', B', G and M = sum over channels of (G g G') o (B' d B), rounding errors are at
most, element by element, gamma * |A'| [ sum over channels of (|G||g||G'|) o (|B'||d||B|) ] |A|, gamma = n * 2^-24,
where n counts the roundings on the way of a product to the result: the sum over channels, two passes of at most 5
operations in each of the three transforms, with stride 2 one more for what is not transformed, bias and residual
(Higham 2002, section 3.5). The matrices are those of each tile: with tiles of 4x4 the last row and column of an image
may be of narrow ones, of two or of three results.
"""

import itertools
from typing import NamedTuple

import numpy as np

EPS = 2.0**-24


class Form(NamedTuple):
    """A form in one dimension: A' (out x slots), G (slots x taps), B' (slots x in); tiles read pixels `step` apart."""

    a: np.ndarray
    g: np.ndarray
    b: np.ndarray
    step: int

    @property
    def absolute(self):
        return np.abs(self.a), np.abs(self.g), np.abs(self.b)


def toom_cook(points, out, taps):
    """A', G and B' of F(out, taps) from the definition with polynomials."""
    size = out + taps - 1
    a, g, b = np.zeros((out, size)), np.zeros((size, taps)), np.zeros((size, size))
    for k, p in enumerate(points):
        others = [q for q in points if q != p]
        a[:, k] = [p**i for i in range(out)]
        g[k] = np.array([p**i for i in range(taps)]) / np.prod([p - q for q in others])
        b[k, : size - 1] = np.polynomial.polynomial.polyfromroots(others)
    a[out - 1, size - 1] = g[size - 1, taps - 1] = 1
    b[size - 1] = np.polynomial.polynomial.polyfromroots(points)
    return a, g, b


def some_of(points, out, taps):
    """F(out, taps) with the G of all points, of which it has the first rows and the last; the factors that are missing
    are in B'.
    """
    count = out + taps - 2
    a, g, b = toom_cook(points[:count], out, taps)
    factor = np.array([np.prod([p - q for q in points[count:]]) for p in points[:count]] + [1])[:, None]
    return a, g / factor, b * factor


POINTS = (0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)
STRIDED_POINTS = (3 / 8, -3 / 8, 9 / 8, -9 / 8)


def strided(n=4, backwards=False, pad=0):
    """With stride 2: slots 0 to n are F(n, 2) of the taps 0 and 2, the others products with tap 1. Backwards, with
    the kernel turned around, 2 n results from n + 1 pixels; `pad` before the image tells which of them tap 1 gives.
    """
    a_n, g_n, b_n = some_of(STRIDED_POINTS, n, 2)
    slots = 2 * n + 1
    g = np.zeros((slots, 3))
    g[: n + 1, ::2], g[n + 1 :, 1] = g_n, 1
    if not backwards:
        a, b = np.hstack([a_n, np.eye(n)]), np.zeros((slots, slots))
        b[: n + 1, ::2], b[n + 1 :, 1::2] = b_n, np.eye(n)
        return Form(a, g, b, 8)
    a, b = np.zeros((2 * n, slots)), np.zeros((slots, n + 1))
    a[pad::2, : n + 1], a[1 - pad :: 2, n + 1 :] = a_n, np.eye(n)
    b[: n + 1], b[n + 1 :, 1 - pad : n + 1 - pad] = b_n, np.eye(n)
    return Form(a, g, b, 4)


FORMS = {
    "4x4": Form(*toom_cook(POINTS, 4, 3), 4),
    "2x2": Form(*toom_cook((0, 1, -1), 2, 3), 2),
    "2x2 of 5x5": Form(*toom_cook(POINTS, 2, 5), 2),
    "4x4 strided": strided(),
    "3x3 folded": Form(*toom_cook(POINTS, 3, 4), 3),
}
BACK = {pad: strided(4, True, pad) for pad in (0, 1)}
# The narrow tiles beside those of a form.
NARROW = [
    (FORMS["4x4"], {n: Form(*some_of(POINTS, n, 3), 4) for n in (2, 3)}),
    (FORMS["4x4 strided"], {n: strided(n) for n in (2, 3)}),
    *((BACK[pad], {n: strided(n, True, pad) for n in (2, 3)}) for pad in (0, 1)),
]


def axis(out, form, last):
    """(first result, first pixel, form) of the tiles along an axis of `out` results; pixels without padding. last: of
    what is left, where that is enough.
    """
    size = len(form.a)
    left = form if out % size > len(last.a) else last
    starts = range(-(-out // size))
    return [(i * size, i * form.step, form if (i + 1) * size <= out else left) for i in starts]


def tiles(out_h, out_w, form):
    """Those of an image: (form along columns, along rows, first result, first pixel). Narrow ones are all of one size,
    the smaller one where an axis needs no more.
    """
    last = form
    for whole, narrow in NARROW:
        if form is whole:
            every = len(form.a) // 4  # results for one of a tile of 4x4
            last = narrow[2 if {-(-out % len(form.a) // every) for out in (out_h, out_w)} & {1, 2} else 3]
    for (i, row, down), (j, column, across) in itertools.product(axis(out_h, form, last), axis(out_w, form, last)):
        yield down, across, (i, j), (row, column)


def window(x, first, size):
    """Pixels of a zero-padded image, size[0] x size[1] of them, from `first` on."""
    result = np.zeros((len(x), *size, x.shape[3]))
    (top, left), (bottom, right) = np.maximum(first, 0), np.maximum(np.add(first, size), 0)
    inside = x[:, top:bottom, left:right]
    i, j = np.subtract((top, left), first)
    result[:, i : i + inside.shape[1], j : j + inside.shape[2]] = inside
    return result


def both(left, t, right):
    """left t right' on the two middle axes of (..., i, j, c)."""
    return np.einsum("pi,...ijc,qj->...pqc", left, t, right)


def forward_bound(x, w, pads, out_h, out_w, form):
    y = np.zeros((len(x), out_h, out_w, w.shape[3]))
    for down, across, (i, j), first in tiles(out_h, out_w, form):
        (a, g, b), (a2, g2, b2) = down.absolute, across.absolute
        v = both(b, np.abs(window(x, np.subtract(first, pads), (b.shape[1], b2.shape[1]))), b2)
        u = np.einsum("pi,ijco,qj->pqco", g, np.abs(w), g2)
        to = y[:, i : i + len(a), j : j + len(a2)]
        to[...] = both(a, np.einsum("npqc,pqco->npqo", v, u), a2)[:, : to.shape[1], : to.shape[2]]
    return (w.shape[2] + 36) * EPS * y


def weight_bound(x, grad_y, pads, form):
    out_h, out_w = grad_y.shape[1:3]
    bound, count = 0, 0
    for down, across, at, first in tiles(out_h, out_w, form):
        (a, g, b), (a2, g2, b2) = down.absolute, across.absolute
        v = both(b, np.abs(window(x, np.subtract(first, pads), (b.shape[1], b2.shape[1]))), b2)
        d = both(a.T, np.abs(window(grad_y, at, (len(a), len(a2)))), a2.T)
        bound = bound + np.einsum("pi,pqco,qj->ijco", g, np.einsum("npqc,npqo->pqco", v, d), g2)
        count += len(x)
    most_slots = 16 if form.step == 8 else 1
    return (count * most_slots + 36) * EPS * bound


def assert_within(result, expected, bound, what):
    excess = np.abs(result - expected) - bound
    assert excess.max() <= 0, (
        f"{what}: error exceeds its bound by {excess.max():.3g} at {np.unravel_index(excess.argmax(), excess.shape)}"
    )
