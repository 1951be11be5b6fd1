"""Pooling over windows, per channel."""

import numpy as np

from .activations import activate, derivative_from_output
from .window import f64, pool_window


def pooled_values(x, scale=None, shift=None, activation=0, alpha=0.0, max_value=np.inf):
    """What max_pool2d takes the maximum of: x, or act(x scale + shift)."""
    if scale is None:
        return f64(x)
    return activate(f64(x) * f64(scale) + f64(shift), activation=activation, alpha=alpha, max_value=max_value)


def max_pool2d(x, scale=None, shift=None, *, activation=0, alpha=0.0, max_value=np.inf, **geometry):
    """y[n,p,q,c] = max over the window of pooled_values; padding counts as -inf; NaN propagates."""
    x, window = pooled_values(x, scale, shift, activation, alpha, max_value), pool_window(**geometry)
    out_h, out_w = window.out_size(*x.shape[1:3])
    y = np.full((x.shape[0], out_h, out_w, x.shape[3]), -np.inf)
    for _, _, view in window.taps(window.pad(x, -np.inf), out_h, out_w):
        y = np.maximum(y, view)  # np.maximum propagates NaN
    return y


def max_pool2d_places(x, scale=None, shift=None, *, activation=0, alpha=0.0, max_value=np.inf, **geometry):
    """The number of each window's first maximum (or first NaN) among its pixels that lie inside the image, which are
    counted in row-major order."""
    x = pooled_values(x, scale, shift, activation, alpha, max_value)
    y, window = max_pool2d(x, **geometry), pool_window(**geometry)
    place, number = np.full(y.shape, -1), np.zeros(y.shape, int)
    real = window.taps(window.pad(np.ones_like(x)), *y.shape[1:3])
    for (_, _, value), (_, _, inside) in zip(window.taps(window.pad(x, -np.inf), *y.shape[1:3]), real):
        found = (inside > 0) & (place < 0) & ((value == y) | np.isnan(value))
        place = np.where(found, number, place)
        number = number + (inside > 0)
    return place


def max_pool2d_backward(
    x, y, grad_y, place=None, *, activation=0, alpha=0.0, max_value=np.inf, in_h=0, in_w=0, **geometry
):
    """Each grad_y[n,p,q,c] act'(y) is added to grad_x at the place of its window's maximum (max_pool2d_places)."""
    y, grad_y, window = f64(y), f64(grad_y), pool_window(**geometry)
    place = max_pool2d_places(x, **geometry) if place is None else place.astype(int)
    n, out_h, out_w, channels = y.shape
    grad_x = np.zeros((n, in_h, in_w, channels) if x is None else x.shape)
    grad_y = grad_y * derivative_from_output(y, activation=activation, alpha=alpha, max_value=max_value)
    padded, number = window.pad(grad_x), np.zeros(y.shape, int)
    real = window.taps(window.pad(np.ones_like(grad_x)), out_h, out_w)
    for (_, _, grad), (_, _, inside) in zip(window.taps(padded, out_h, out_w), real):
        grad += np.where((inside > 0) & (place == number), grad_y, 0.0)
        number = number + (inside > 0)
    return window.crop(padded).copy()


def _counts(window, h, w, count_include_pad):
    """The divisor of each window: its size, or the number of its pixels inside the image.

    Shape (1, out_h, out_w, 1).
    """
    out_h, out_w = window.out_size(h, w)
    ones = window.pad(np.ones((1, h, w, 1)), 1.0 if count_include_pad else 0.0)
    return sum(view for _, _, view in window.taps(ones, out_h, out_w))


def avg_pool2d(x, *, count_include_pad=0, **geometry):
    """y[n,p,q,c] = mean of the window's pixels that lie inside the image (of all its pixels when count_include_pad)."""
    x, window = f64(x), pool_window(**geometry)
    out_h, out_w = window.out_size(*x.shape[1:3])
    total = sum(view for _, _, view in window.taps(window.pad(x), out_h, out_w))
    return total / _counts(window, *x.shape[1:3], count_include_pad)


def avg_pool2d_backward(grad_y, *, in_h, in_w, count_include_pad=0, **geometry):
    """grad_x[n,h,w,c] = sum over the windows that hold pixel (h,w) of grad_y / count."""
    grad_y, window = f64(grad_y), pool_window(**geometry)
    n, out_h, out_w, channels = grad_y.shape
    share = grad_y / _counts(window, in_h, in_w, count_include_pad)
    padded = window.pad(np.zeros((n, in_h, in_w, channels)))
    for _, _, view in window.taps(padded, out_h, out_w):
        view += share
    return window.crop(padded).copy()
