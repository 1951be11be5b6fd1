"""What prepares data: logarithm, arc tangent, values for what is missing, samples of mean 0 and deviation 1."""

import numpy as np

from .window import f64


def log(x):
    """y = log x: -inf at 0, NaN below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(f64(x))


def log_backward(grad_y, x):
    """grad_x = grad_y / x."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return f64(grad_y) / f64(x)


def arctan(x):
    """y = arctan x."""
    return np.arctan(f64(x))


def arctan_backward(grad_y, x):
    """grad_x = grad_y / (1 + x^2)."""
    return f64(grad_y) / (1.0 + f64(x) ** 2)


def replace_nan(x, fallback, value=None):
    """y = fallback where x is NaN, else value, which is x where it is not given."""
    return np.where(np.isnan(f64(x)), f64(fallback), f64(x if value is None else value))


def _axes(x, per_channel):
    return tuple(range(1, x.ndim - 1)) if per_channel else tuple(range(1, x.ndim))


def standard_moments(x, per_channel=0):
    """Mean and biased variance of each sample (and channel), broadcastable to x."""
    x, axes = f64(x), _axes(x, per_channel)
    mean = x.mean(axis=axes, keepdims=True)
    return mean, ((x - mean) ** 2).mean(axis=axes, keepdims=True)


def standard_deviation(x, ridge=0.0, epsilon=1e-8, per_channel=0, divide=1):
    """What standardize divides by, and whether it follows the variance."""
    variance = standard_moments(x, per_channel)[1]
    root = np.sqrt(ridge + variance)
    return (np.maximum(epsilon, root), root > epsilon) if divide else (np.ones_like(root), np.zeros_like(root, bool))


def standardize(x, *, scale=1.0, per_channel=0, **others):
    """y = scale (x - mean) / max(epsilon, sqrt(ridge + var))."""
    return (
        scale
        * (f64(x) - standard_moments(x, per_channel)[0])
        / standard_deviation(x, per_channel=per_channel, **others)[0]
    )


def standardize_backward(grad_y, x, *, scale=1.0, per_channel=0, **others):
    """grad_x = scale / d (g - mean g - [d follows] (x - mean) mean(g (x - mean)) / d^2)."""
    g, centred = f64(grad_y), f64(x) - standard_moments(x, per_channel)[0]
    d, follows = standard_deviation(x, per_channel=per_channel, **others)
    mean = lambda v: v.mean(axis=_axes(v, per_channel), keepdims=True)
    return scale / d * (g - mean(g) - np.where(follows, centred * mean(g * centred) / d**2, 0.0))
