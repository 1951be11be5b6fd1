"""Operations that move pixels: concat, slice, pad, crop, upsample."""

import numpy as np

from .window import f64


def concat(*inputs, axis):
    """The inputs one after another along `axis`."""
    return np.concatenate(inputs, axis=axis)


def slice(x, *, axis, begin, length):
    """x[..., begin : begin + length, ...] along `axis`."""
    return np.take(x, np.arange(begin, begin + length), axis=axis)


def pad2d(x, *, pad_top=0, pad_left=0, pad_bottom=0, pad_right=0):
    """A border of zeros around the image."""
    return np.pad(x, ((0, 0), (pad_top, pad_bottom), (pad_left, pad_right), (0, 0)))


def crop2d(x, *, crop_top=0, crop_left=0, crop_bottom=0, crop_right=0):
    """The image without its border."""
    h, w = np.shape(x)[1:3]
    return x[:, crop_top : h - crop_bottom, crop_left : w - crop_right]


def _interpolation(size, factor, mode):
    """The matrix (size factor, size) that upsamples one axis.

    Nearest: output pixel p copies input pixel p // factor. Bilinear: output pixel centre (p + 1/2) / factor - 1/2,
    clamped to [0, size - 1], weights its two neighbours by distance.
    """
    p = np.arange(size * factor)
    matrix = np.zeros((p.size, size))
    if mode == 0:
        matrix[p, p // factor] = 1.0
        return matrix
    centre = np.clip((p + 0.5) / factor - 0.5, 0.0, size - 1.0)
    low = np.floor(centre).astype(int)
    high = np.minimum(low + 1, size - 1)
    np.add.at(matrix, (p, low), 1.0 - (centre - low))
    np.add.at(matrix, (p, high), centre - low)
    return matrix


def upsample2d(x, *, factor_h, factor_w, mode=0):
    """y = U_h x U_w^T per channel, U the interpolation matrix of an axis; mode 0 nearest, 1 bilinear."""
    x = f64(x)
    rows, columns = _interpolation(x.shape[1], factor_h, mode), _interpolation(x.shape[2], factor_w, mode)
    return np.einsum("ph,nhwc,qw->npqc", rows, x, columns, optimize=True)


def upsample2d_backward(grad_y, *, factor_h, factor_w, mode=0):
    """grad_x = U_h^T grad_y U_w: the adjoint."""
    grad_y = f64(grad_y)
    rows = _interpolation(grad_y.shape[1] // factor_h, factor_h, mode)
    columns = _interpolation(grad_y.shape[2] // factor_w, factor_w, mode)
    return np.einsum("ph,npqc,qw->nhwc", rows, grad_y, columns, optimize=True)
