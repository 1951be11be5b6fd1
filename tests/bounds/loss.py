"""Activations and losses."""

import numpy as np

import reference as ref
from reference import activations as act

from .base import REDUCTION, SLOPE, ULPS, U, absolute, bound, reduction, through_activation


@bound("activation")
def _activation(inputs, attributes, outputs):
    x = ref.window.f64(inputs[0])
    kind = attributes["activation"]
    threshold = attributes.get("threshold", 0.0)
    if kind == act.RELU:
        return [2 * U * np.abs(outputs[0]) + U * abs(threshold) * attributes["alpha"]]
    shown = {key: value for key, value in attributes.items() if key != "threshold"}
    return [through_activation(x, np.zeros_like(x), shown)]


@bound("activation_backward")
def _activation_backward(inputs, attributes, outputs):
    """f' combines at most four functions of at most max(1, |x|, |f'|) each; it is exact for linear and relu."""
    grad_y, seen = absolute(inputs)
    kind = attributes["activation"]
    if kind in (act.LINEAR, act.RELU):
        return [U * np.abs(outputs[0])]
    if kind == act.EXPONENTIAL:
        return [2 * (ULPS + 1) * U * np.abs(outputs[0])]
    return [4 * 2 * ULPS * U * grad_y * np.maximum(SLOPE[kind], seen if attributes["reference_is_input"] else 1.0)]


def softmax_error(x):
    """p_i = e^{x_i - max} / sum: relative error (|x_i - max| + n + 2 ULPS + 2) u, and the mean of those in the sum."""
    x = ref.window.f64(x)
    distance = np.abs(x - x.max(axis=-1, keepdims=True))
    p = ref.softmax(x)
    relative = distance + (p * distance).sum(axis=-1, keepdims=True) + x.shape[-1] + 4 * ULPS + 4
    return p, REDUCTION * U * relative * p


@bound("softmax")
def _softmax(inputs, attributes, outputs):
    return [softmax_error(inputs[0])[1]]


@bound("softmax_backward")
def _softmax_backward(inputs, attributes, outputs):
    grad_y, y = absolute(inputs)
    return [reduction(y.shape[-1] + 2, y * (grad_y + (grad_y * y).sum(axis=-1, keepdims=True)))]


@bound("softmax_cross_entropy")
def _softmax_cross_entropy(inputs, attributes, outputs):
    """sum t (lse - z): lse = max + log(sum), off by u |max| + (n + 2 ULPS) u; then k products."""
    z = ref.window.f64(inputs[0])
    t, keep = target_of(inputs, attributes)
    k, size = z.shape[-1], np.abs(z).max(axis=-1)
    total = (np.abs(t) * (np.abs(z) + (size + np.log(k) + 1)[..., None])).sum(axis=-1)
    return [reduction(k + 4 * ULPS, total) * keep]


def target_of(inputs, attributes):
    x, target = inputs[:2]
    return ref.loss._target(
        target, x.shape[-1], attributes["label_smoothing"], attributes.get("ignore_class", ref.loss.IGNORE_NONE)
    )


@bound("softmax_cross_entropy_backward")
def _softmax_cross_entropy_backward(inputs, attributes, outputs):
    p, error = softmax_error(inputs[0])
    t, keep = target_of(inputs, attributes)
    total = np.abs(t).sum(axis=-1, keepdims=True)
    error = error * total + reduction(t.shape[-1] + 2, p * total) + 4 * U * np.abs(t)
    return [error * (np.abs(inputs[2]) * keep)[..., None]]


@bound("categorical_cross_entropy")
def _categorical(inputs, attributes, outputs):
    """log q: q is off by (k + 2) u relative (the clip by u absolute, so at most u / (1 - q) ...), log by ULPS.

    Then k products.
    """
    p = ref.window.f64(inputs[0])
    t, keep = target_of(inputs, attributes)
    k = p.shape[-1]
    q = np.clip(p / p.sum(axis=-1, keepdims=True), 1e-7, 1 - 1e-7)
    terms = (t * ((k + 2 * ULPS) * U * np.abs(np.log(q)) + (k + 4) * U)).sum(axis=-1)
    return [REDUCTION * terms * keep]


@bound("categorical_cross_entropy_backward")
def _categorical_backward(inputs, attributes, outputs):
    p, g = ref.window.f64(inputs[0]), np.abs(inputs[2])
    t, keep = target_of(inputs, attributes)
    k = p.shape[-1]
    total = p.sum(axis=-1, keepdims=True)
    magnitude = (t * total / p + t.sum(axis=-1, keepdims=True)) / total * (g * keep)[..., None]
    return [reduction(3 * k + 6, magnitude)]


@bound("sigmoid_cross_entropy")
def _sigmoid_loss(inputs, attributes, outputs):
    z, t = np.abs(ref.window.f64(inputs[0])), ref.loss._smooth_binary(inputs[1], attributes["label_smoothing"])
    return [reduction(z.shape[-1] + 2 * ULPS + 4, (z + z * t + 1.0).mean(axis=-1))]


@bound("sigmoid_cross_entropy_backward")
def _sigmoid_loss_backward(inputs, attributes, outputs):
    t = ref.loss._smooth_binary(inputs[1], attributes["label_smoothing"])
    return [(2 * ULPS + 6) * U * (1.0 + t) * np.abs(inputs[2])[..., None] / t.shape[-1]]


@bound("binary_cross_entropy")
def _binary(inputs, attributes, outputs):
    """1 - p is exact to u, so log(1 - p) is off by u / (1 - p) + ULPS."""
    p, t = ref.window.f64(inputs[0]), ref.loss._smooth_binary(inputs[1], attributes["label_smoothing"])
    terms = t * np.abs(np.log(p)) + (1 - t) * np.abs(np.log1p(-p))
    return [
        reduction(p.shape[-1] + 2 * ULPS + 4, terms.mean(axis=-1))
        + U * (1 / (1 - p) + 4 * np.abs(np.log(p) - np.log1p(-p))).mean(axis=-1)
    ]


@bound("binary_cross_entropy_backward")
def _binary_backward(inputs, attributes, outputs):
    p, t = ref.window.f64(inputs[0]), ref.loss._smooth_binary(inputs[1], attributes["label_smoothing"])
    magnitude = (1 - t) / (1 - p) * (1 + 1 / (1 - p)) + t / p + (1 / p + 1 / (1 - p))
    return [8 * U * magnitude * np.abs(inputs[2])[..., None] / p.shape[-1]]


@bound("squared_error", "absolute_error")
def _regression(inputs, attributes, outputs):
    return [reduction(inputs[0].shape[-1] + 4, np.abs(y)) for y in outputs]


@bound("squared_error_backward", "absolute_error_backward")
def _regression_backward(inputs, attributes, outputs):
    return [6 * U * np.abs(y) for y in outputs]


@bound("clip_scale")
def _clip_scale(inputs, attributes, outputs):
    return [(len(inputs) + 4) * U * np.abs(outputs[0])]
