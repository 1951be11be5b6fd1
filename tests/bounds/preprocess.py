"""Operations that prepare data."""

import numpy as np

import reference as ref

from .base import BOUNDS, FLUSHED, REDUCTION, ULPS, U, bound, moments_bound
from .reductions import exact


@bound("log", "arctan")
def _function(inputs, attributes, outputs):
    return [2 * ULPS * U * np.abs(np.where(np.isfinite(outputs[0]), outputs[0], 0.0))]


@bound("log_backward", "arctan_backward")
def _function_backward(inputs, attributes, outputs):
    """1 / x or 1 / (1 + x^2) in at most six roundings, and the product.

    Where 1 / (1 + x^2) is below 2^-126 it may be flushed.
    """
    return [8 * U * np.abs(np.where(np.isfinite(outputs[0]), outputs[0], 0.0)) + FLUSHED * np.abs(inputs[0])]


BOUNDS["replace_nan"] = exact


def _sample_moments(x, per_channel):
    """The bounds of `moments_bound` for each sample, broadcastable to x."""
    n, c = len(x), x.shape[-1] if per_channel else 1
    columns = ref.window.f64(x).reshape(n, -1, c).transpose(1, 0, 2).reshape(-1, n * c)
    return [e.reshape((n,) + (1,) * (x.ndim - 2) + (c,)) for e in moments_bound(columns)]


@bound("standardize")
def _standardize(inputs, attributes, outputs):
    """(x - mean) scale / d: the errors of mean and variance carried on, the mean rounded, and four roundings."""
    (x,) = inputs
    per_channel = attributes.get("per_channel", 0)
    own = {key: value for key, value in attributes.items() if key != "scale"}
    d, follows = ref.preprocess.standard_deviation(x, **own)
    mean_error, var_error = _sample_moments(x, per_channel)
    mean_error = mean_error + U * np.abs(ref.preprocess.standard_moments(x, per_channel)[0])
    relative = np.where(follows, var_error / (2 * d**2), 0.0) + 4 * U
    return [np.abs(attributes.get("scale", 1.0)) / d * mean_error + np.abs(outputs[0]) * relative]


@bound("standardize_backward")
def _standardize_backward(inputs, attributes, outputs):
    """As of batch normalisation: (|x| + |mean|) / d stands for xhat.

    The variance's error counts three halves: 1 / d three times.
    """
    per_channel = attributes.get("per_channel", 0)
    grad_y, x = np.abs(ref.window.f64(inputs[0])), ref.window.f64(inputs[1])
    own = {key: value for key, value in attributes.items() if key != "scale"}
    d, follows = ref.preprocess.standard_deviation(x, **own)
    mean, axes = ref.preprocess.standard_moments(x, per_channel)[0], ref.preprocess._axes(x, per_channel)
    average = lambda v: v.mean(axis=axes, keepdims=True)
    n, xhat = x.size // d.size, (np.abs(x) + np.abs(mean)) / d
    inner = grad_y + average(grad_y) + np.where(follows, xhat * average(grad_y * xhat), 0.0)
    moved = np.where(follows, 1.5 * _sample_moments(x, per_channel)[1] / d**2, 0.0)
    return [np.abs(attributes.get("scale", 1.0)) / d * inner * (moved + REDUCTION * (n + 10) * U)]


@bound("correct")
def _correct(inputs, attributes, outputs):
    return [U * np.abs(y) * (2 if attributes["mode"] == 2 else 0) for y in outputs]


@bound("affine")
def _affine(inputs, attributes, outputs):
    product = np.abs(ref.window.f64(inputs[0]) * attributes["scale"])
    return [U * (3 * product + np.abs(attributes["offset"]) + np.abs(outputs[0]))]  # x, scale, product, offset, sum
