"""Pooling over windows, per channel."""

import numpy as np

from .activations import derivative_from_output
from .window import f64, pool_window


def max_pool2d(x, **geometry):
    """y[n,p,q,c] = max over the window; padding counts as -inf; NaN propagates."""
    x, window = f64(x), pool_window(**geometry)
    out_h, out_w = window.out_size(*x.shape[1:3])
    y = np.full((x.shape[0], out_h, out_w, x.shape[3]), -np.inf)
    for _, _, view in window.taps(window.pad(x, -np.inf), out_h, out_w):
        y = np.maximum(y, view)  # np.maximum propagates NaN
    return y


def max_pool2d_backward(x, y, grad_y, *, activation=0, alpha=0.0, max_value=np.inf, **geometry):
    """Each grad_y[n,p,q,c] act'(y) is added to grad_x at the first maximum of its window in row-major order."""
    x, y, grad_y, window = f64(x), f64(y), f64(grad_y), pool_window(**geometry)
    grad_y = grad_y * derivative_from_output(y, activation=activation, alpha=alpha, max_value=max_value)
    out_h, out_w = y.shape[1:3]
    padded_x = window.pad(x, -np.inf)
    padded_grad = np.zeros_like(padded_x)
    inside = window.pad(np.ones_like(x))  # padding never receives a gradient
    pending = np.ones(y.shape, dtype=bool)
    views = zip(
        window.taps(padded_x, out_h, out_w), window.taps(padded_grad, out_h, out_w), window.taps(inside, out_h, out_w)
    )
    for (_, _, value), (_, _, grad), (_, _, real) in views:
        chosen = pending & (value == y) & (real > 0)
        grad += np.where(chosen, grad_y, 0.0)
        pending &= ~chosen
    return window.crop(padded_grad).copy()


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
