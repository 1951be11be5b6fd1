"""Batch normalisation (Ioffe and Szegedy 2015), its folding into a convolution, and moving averages."""

import numpy as np

from .activations import activate, derivative_from_output
from .window import f64


def _batch_axes(x):
    return tuple(range(np.ndim(x) - 1))


def batchnorm_moments(x):
    """mean[c] and biased var[c] = mean (x - mean)^2, over all but the last axis. Returns both."""
    x = f64(x)
    return x.mean(axis=_batch_axes(x)), x.var(axis=_batch_axes(x))


def normalise(
    x, mean, var, gamma=None, beta=None, residual=None, *, epsilon, activation=0, alpha=0.0, max_value=np.inf
):
    """y = act(gamma (x - mean) / sqrt(var + epsilon) + beta + residual)."""
    y = (f64(x) - f64(mean)) / np.sqrt(f64(var) + epsilon)
    if gamma is not None:
        y = y * f64(gamma)
    if beta is not None:
        y = y + f64(beta)
    if residual is not None:
        y = y + f64(residual)
    return activate(y, activation=activation, alpha=alpha, max_value=max_value)


def batchnorm_constants(mean, var, gamma=None, beta=None, *, epsilon):
    """(scale, shift) with what a normalisation is x scale + shift."""
    scale = (1.0 if gamma is None else f64(gamma)) / np.sqrt(f64(var) + epsilon)
    return scale, (0.0 if beta is None else f64(beta)) - f64(mean) * scale


def normalised_residual(residual, scale, shift):
    """What is added for a residual with a scale and a shift of its own, or without; None where there is none."""
    return residual if scale is None else f64(residual) * f64(scale) + f64(shift)


def batchnorm(
    x, mean, var, gamma=None, beta=None, residual=None, residual_scale=None, residual_shift=None, *, epsilon, **act
):
    """(y, scale, shift): `normalise`, and with what y = act(x scale + shift + residual)."""
    scale, shift = batchnorm_constants(mean, var, gamma, beta, epsilon=epsilon)
    residual = normalised_residual(residual, residual_scale, residual_shift)
    return normalise(x, mean, var, gamma, beta, residual, epsilon=epsilon, **act), scale, shift


def batchnorm_backward(
    grad_y,
    x,
    y,
    mean,
    var,
    gamma=None,
    scale=None,
    shift=None,
    sum_g=None,
    sum_gx=None,
    added=None,
    *,
    epsilon,
    activation=0,
    alpha=0.0,
    max_value=np.inf,
    training=1,
    added_begin=0,
):
    """Gradients of `normalise`, with d = grad_y act'(y) and xhat = (x - mean) / sqrt(var + epsilon):

    grad_gamma = sum d xhat;  grad_beta = sum d;  grad_residual = d;
    grad_x = gamma / sqrt(var + epsilon) (d - mean(d) - xhat mean(d xhat)) in training, without the two means otherwise.
    act(x scale + shift) stands for y where y is None. sum_g and sum_gx are the sums of d and d (x - mean) where they
    were taken elsewhere; channels added_begin and on of `added` are added to grad_x.

    Returns (grad_x, grad_gamma, grad_beta, grad_residual).
    """
    act = {"activation": activation, "alpha": alpha, "max_value": max_value}
    x, mean, inverse_std = f64(x), f64(mean), 1.0 / np.sqrt(f64(var) + epsilon)
    axes = _batch_axes(x)
    d, xhat = f64(grad_y), (x - mean) * inverse_std
    if scale is not None:
        y = activate(x * f64(scale) + f64(shift), **act)
    if y is not None:
        d = d * derivative_from_output(y, **act)
    grad_beta = d.sum(axis=axes) if sum_g is None else f64(sum_g)
    grad_gamma = (d * xhat).sum(axis=axes) if sum_gx is None else f64(sum_gx) * inverse_std
    n = x.size // x.shape[-1]
    grad_x = d - grad_beta / n - xhat * grad_gamma / n if training else d
    grad_x = inverse_std * (1.0 if gamma is None else f64(gamma)) * grad_x
    if added is not None:
        grad_x = grad_x + f64(added)[..., added_begin : added_begin + x.shape[-1]]
    return grad_x, grad_gamma, grad_beta, d


def batchnorm_backward_constants(mean, var, sum_g, sum_gx, gamma=None, g=None, x=None, *, epsilon, rows):
    """(p, q, s, grad_gamma, grad_beta) with what `batchnorm_backward` is p d + q x + s, over so many rows; the sums of
    d are given, or taken of g and x.
    """
    if g is not None:
        axes = tuple(range(np.ndim(x) - 1))
        sum_g, sum_gx = f64(g).sum(axis=axes), (f64(g) * (f64(x) - f64(mean))).sum(axis=axes)
    inverse_std = 1.0 / np.sqrt(f64(var) + epsilon)
    p = inverse_std if gamma is None else f64(gamma) * inverse_std
    q = -p * inverse_std**2 * f64(sum_gx) / rows
    return p, q, -p * f64(sum_g) / rows - q * f64(mean), f64(sum_gx) * inverse_std, f64(sum_g)


def batchnorm_fold(w, bias, mean, var, gamma=None, beta=None, *, epsilon, depthwise=0):
    """w2 = w s and bias2 = (bias - mean) s + beta with s = gamma / sqrt(var + epsilon), per output channel. Returns
    both.

    The output channel is w's last axis, or its last two axes (c, m) as c M + m when depthwise.
    """
    w, mean = f64(w), f64(mean)
    s = 1.0 / np.sqrt(f64(var) + epsilon)
    if gamma is not None:
        s = s * f64(gamma)
    bias2 = ((0.0 if bias is None else f64(bias)) - mean) * s
    if beta is not None:
        bias2 = bias2 + f64(beta)
    return w * (s.reshape(w.shape[-2:]) if depthwise else s), bias2


def moving_average(state, sample, *, momentum):
    """momentum state + (1 - momentum) sample: momentum is the weight of the OLD state."""
    return momentum * f64(state) + (1.0 - momentum) * f64(sample)
