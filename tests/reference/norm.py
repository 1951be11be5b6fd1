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


def batchnorm(
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


def batchnorm_backward(
    grad_y, x, y, mean, var, gamma=None, *, epsilon, activation=0, alpha=0.0, max_value=np.inf, training=1
):
    """Gradients of `batchnorm`, with d = grad_y act'(y) and xhat = (x - mean) / sqrt(var + epsilon):

    grad_gamma = sum d xhat;  grad_beta = sum d;  grad_residual = d;
    grad_x = gamma / sqrt(var + epsilon) (d - mean(d) - xhat mean(d xhat)) in training, without the two means otherwise.
    Returns (grad_x, grad_gamma, grad_beta, grad_residual).
    """
    x, mean, inverse_std = f64(x), f64(mean), 1.0 / np.sqrt(f64(var) + epsilon)
    axes = _batch_axes(x)
    d = f64(grad_y) * derivative_from_output(y, activation=activation, alpha=alpha, max_value=max_value)
    xhat = (x - mean) * inverse_std
    scale = inverse_std if gamma is None else inverse_std * f64(gamma)
    grad_x = d - d.mean(axis=axes) - xhat * (d * xhat).mean(axis=axes) if training else d
    return scale * grad_x, (d * xhat).sum(axis=axes), d.sum(axis=axes), d


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
