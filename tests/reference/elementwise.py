"""Element by element operations with NumPy broadcasting, and the sum that undoes a broadcast."""

import numpy as np

from .window import f64


def add(a, b):
    """y = a + b."""
    return f64(a) + f64(b)


def subtract(a, b):
    """y = a - b."""
    return f64(a) - f64(b)


def multiply(a, b):
    """y = a b."""
    return f64(a) * f64(b)


def maximum(a, b):
    """y = max(a, b); NaN propagates."""
    return np.maximum(f64(a), f64(b))


def minimum(a, b):
    """y = min(a, b); NaN propagates."""
    return np.minimum(f64(a), f64(b))


def maximum_backward(grad_y, a, b):
    """grad_a = grad_y [a > b], grad_b = grad_y [b > a], half to each where a = b; both in the broadcast shape."""
    return _split(f64(grad_y), np.sign(f64(a) - f64(b)))


def minimum_backward(grad_y, a, b):
    """grad_a = grad_y [a < b], grad_b = grad_y [b < a], half to each where a = b; both in the broadcast shape."""
    return _split(f64(grad_y), np.sign(f64(b) - f64(a)))


def _split(grad_y, preference):
    share = 0.5 * (1.0 + preference)  # 1 to a, 0, or half where they tie
    return grad_y * share, grad_y * (1.0 - share)


def _shape(rank, d0=1, d1=1, d2=1, d3=1):
    return (d0, d1, d2, d3)[:rank]


def reduce_sum_to(x, **target):
    """Sum the axes in which the target shape (rank, d0..d3) is 1 or missing: the gradient of broadcasting."""
    x, shape = f64(x), _shape(**target)
    aligned = (1,) * (x.ndim - len(shape)) + shape
    axes = tuple(k for k in range(x.ndim) if aligned[k] == 1)
    return x.sum(axis=axes, keepdims=True).reshape(shape)


def affine(x, *, scale, offset):
    """y = scale x + offset; x may be uint8 or int32."""
    return f64(x) * scale + offset


def fill(*, value, **shape):
    """A tensor of `value`."""
    return np.full(_shape(**shape), float(value))


def reshape(x, **shape):
    """The same elements in another shape."""
    return np.asarray(x).reshape(_shape(**shape))


def dropout(x, mask, *, rate):
    """y = x mask / (1 - rate) with mask in {0, 1}; the operation draws the mask, the reference is given it."""
    return f64(x) * f64(mask) / (1.0 - rate)


def gaussian_noise(x, normal, *, stddev):
    """y = x + stddev normal; the operation draws the standard normal numbers, the reference is given them."""
    return f64(x) + stddev * f64(normal)
