"""Fully connected layers."""

import numpy as np

from .activations import activate, gradient_epilogue
from .window import f64


def _rows(x):
    """(..., k) as a matrix (rows, k)."""
    return f64(x).reshape(-1, np.shape(x)[-1])


def dense(x, w, bias=None, residual=None, *, activation=0, alpha=0.0, max_value=np.inf):
    """y[...,u] = act(sum_i x[...,i] w[i,u] + bias[u] + residual)."""
    y = (_rows(x) @ f64(w)).reshape(*np.shape(x)[:-1], np.shape(w)[1])
    if bias is not None:
        y = y + f64(bias)
    if residual is not None:
        y = y + f64(residual)
    return activate(y, activation=activation, alpha=alpha, max_value=max_value)


def dense_backward_input(
    grad_y,
    w,
    residual=None,
    y=None,
    x=None,
    mean=None,
    scale=None,
    shift=None,
    *,
    activation=0,
    alpha=0.0,
    max_value=np.inf,
):
    """grad_x = grad_y w^T (+ residual); then comes `gradient_epilogue`."""
    grad_x = (_rows(grad_y) @ f64(w).T).reshape(*np.shape(grad_y)[:-1], np.shape(w)[0])
    if residual is not None:
        grad_x = grad_x + f64(residual)
    act = {"activation": activation, "alpha": alpha, "max_value": max_value}
    return gradient_epilogue(grad_x, y, x, mean, scale, shift, **act)


def dense_backward_weight(x, grad_y):
    """grad_w = x^T grad_y and grad_bias = sum of grad_y, over all rows. Returns both."""
    return _rows(x).T @ _rows(grad_y), _rows(grad_y).sum(axis=0)
