"""Optimizers in Keras' form. hyper = (learning_rate, step counted from 1, unused, unused)."""

import numpy as np

from .window import f64


def _prepare(param, grad, hyper, scale, weight_decay, clip_value):
    """(w - rate weight_decay w, the gradient scaled and then clipped to +-clip_value, rate)."""
    param, grad, rate = f64(param), f64(grad), f64(hyper)[0]
    if scale is not None:
        grad = grad * f64(scale)[0]
    if clip_value > 0:
        grad = np.clip(grad, -clip_value, clip_value)
    return param - rate * weight_decay * param, grad, rate


def sgd(param, grad, hyper, velocity=None, scale=None, *, momentum=0.0, nesterov=0, weight_decay=0.0, clip_value=0.0):
    """v = momentum v - rate g; w += v, or w += momentum v - rate g (nesterov). Without velocity w -= rate g.

    Returns (w, v).
    """
    w, g, rate = _prepare(param, grad, hyper, scale, weight_decay, clip_value)
    if velocity is None:
        return w - rate * g, None
    v = momentum * f64(velocity) - rate * g
    return w + (momentum * v - rate * g if nesterov else v), v


def adam(
    param,
    grad,
    m,
    v,
    hyper,
    scale=None,
    vmax=None,
    *,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-7,
    weight_decay=0.0,
    clip_value=0.0,
):
    """m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; a = rate sqrt(1-b2^t)/(1-b1^t); w -= a m / (sqrt(v) + epsilon).

    Kingma and Ba 2015, section 2, last paragraph. With vmax (AMSGrad, Reddi et al. 2018) max(vmax, v) takes v's place
    in the step. Returns (w, m, v, vmax).
    """
    w, g, rate = _prepare(param, grad, hyper, scale, weight_decay, clip_value)
    t = f64(hyper)[1]
    m = beta_1 * f64(m) + (1.0 - beta_1) * g
    v = beta_2 * f64(v) + (1.0 - beta_2) * g * g
    largest = None if vmax is None else np.maximum(f64(vmax), v)
    a = rate * np.sqrt(1.0 - beta_2**t) / (1.0 - beta_1**t)
    return w - a * m / (np.sqrt(v if largest is None else largest) + epsilon), m, v, largest
