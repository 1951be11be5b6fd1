"""Optimizers."""

import numpy as np

from .base import U, bound


def _step_sizes(inputs, hyper, scale, attributes):
    """|w|, |g| after scale and clip, and rate, as the operations see them."""
    w, g, rate = np.abs(inputs[0]), np.abs(inputs[1]), float(hyper[0])
    if scale is not None:
        g = g * abs(float(scale[0]))
    return (
        w * (1 + rate * attributes["weight_decay"]),
        np.minimum(g, attributes["clip_value"]) if attributes["clip_value"] > 0 else g,
        rate,
    )


@bound("sgd")
def _sgd(inputs, attributes, outputs):
    _, _, hyper, velocity, scale = inputs
    w, g, rate = _step_sizes(inputs, hyper, scale, attributes)
    m = attributes.get("momentum", 0.0)
    v = 0.0 if velocity is None else m * np.abs(velocity) + rate * g
    return [U * (4 * w + 6 * (rate * g + v * (1 + m))), None if velocity is None else 6 * U * v][
        : 1 if velocity is None else 2
    ]


@bound("adam")
def _adam(inputs, attributes, outputs):
    """m and v are sums of two products; the step is rate-like factors (exact to 4 u) times m over sqrt(v) + epsilon."""
    _, _, m, v, hyper, scale, vmax = inputs
    w, g, _ = _step_sizes(inputs, hyper, scale, attributes)
    b1, b2 = attributes["beta_1"], attributes["beta_2"]
    m_size, v_size = b1 * np.abs(m) + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    t = float(hyper[1])
    a = float(hyper[0]) * np.sqrt(1 - b2**t) / (1 - b1**t)
    root = np.sqrt(v_size if vmax is None else np.maximum(vmax, v_size)) + attributes["epsilon"]
    return [
        U * (4 * w + 16 * a * m_size / root),
        6 * U * m_size,
        8 * U * v_size,
        *([] if vmax is None else [8 * U * np.maximum(vmax, v_size)]),
    ]
