"""Losses, penalties and metrics. k is the size of the last axis.

A loss has one value for each position of the others.
"""

import numpy as np

from .activations import sigmoid, softmax
from .window import f64

IGNORE_NONE = -(2**31)  # the operation's value of ignore_class for "none"
EPSILON = 1e-7  # Keras' clip of probabilities


def _is_sparse(target):
    return np.issubdtype(np.asarray(target).dtype, np.integer)


def _target(target, k, label_smoothing, ignore_class):
    """(t, keep): class probabilities t (1 - s) + s / k, and 0 where the class is to be ignored, else 1."""
    keep = np.ones(np.shape(target)[:-1] if not _is_sparse(target) else np.shape(target))
    if _is_sparse(target):
        keep = (target != ignore_class).astype(float)
        t = np.equal(np.where(keep > 0, target, 0)[..., None], np.arange(k)).astype(float)
    else:
        t = f64(target)
    return t * (1.0 - label_smoothing) + label_smoothing / k, keep


def softmax_cross_entropy(logits, target, *, label_smoothing=0.0, ignore_class=IGNORE_NONE):
    """loss = -sum_j t_j log softmax(z)_j = sum_j t_j (log sum_i e^{z_i} - z_j)."""
    z = f64(logits)
    t, keep = _target(target, z.shape[-1], label_smoothing, ignore_class)
    shifted = z - z.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -(t * log_p).sum(axis=-1) * keep


def softmax_cross_entropy_backward(logits, target, grad_loss, *, label_smoothing=0.0, ignore_class=IGNORE_NONE):
    """grad_z = (softmax(z) sum_j t_j - t) grad_loss."""
    p = softmax(logits)
    t, keep = _target(target, p.shape[-1], label_smoothing, ignore_class)
    return (p * t.sum(axis=-1, keepdims=True) - t) * (f64(grad_loss) * keep)[..., None]


def categorical_cross_entropy(probabilities, target, *, label_smoothing=0.0, ignore_class=IGNORE_NONE):
    """loss = -sum_j t_j log clip(q_j), q = p / sum(p) clipped to [1e-7, 1 - 1e-7], as in Keras."""
    p = f64(probabilities)
    t, keep = _target(target, p.shape[-1], label_smoothing, ignore_class)
    q = p / p.sum(axis=-1, keepdims=True)
    return -(t * np.log(np.clip(q, EPSILON, 1.0 - EPSILON))).sum(axis=-1) * keep


def categorical_cross_entropy_backward(
    probabilities, target, grad_loss, *, label_smoothing=0.0, ignore_class=IGNORE_NONE
):
    """With r = -t / q where q is inside the clip and 0 elsewhere:

    grad_p = (r - sum_j r_j q_j) / sum(p) grad_loss.
    """
    p = f64(probabilities)
    t, keep = _target(target, p.shape[-1], label_smoothing, ignore_class)
    total = p.sum(axis=-1, keepdims=True)
    q = p / total
    inside = (q >= EPSILON) & (q <= 1.0 - EPSILON)
    r = np.where(inside, -t / np.where(inside, q, 1.0), 0.0)
    grad = (r - (r * q).sum(axis=-1, keepdims=True)) / total
    return grad * (f64(grad_loss) * keep)[..., None]


def sigmoid_cross_entropy(logits, target, *, label_smoothing=0.0):
    """loss = mean_j max(z, 0) - z t + log(1 + e^{-|z|}), t <- t (1 - s) + s / 2."""
    z, t = f64(logits), _smooth_binary(target, label_smoothing)
    return (np.maximum(z, 0.0) - z * t + np.log1p(np.exp(-np.abs(z)))).mean(axis=-1)


def sigmoid_cross_entropy_backward(logits, target, grad_loss, *, label_smoothing=0.0):
    """grad_z = (sigmoid(z) - t) grad_loss / k."""
    z, t = f64(logits), _smooth_binary(target, label_smoothing)
    return (sigmoid(z) - t) * f64(grad_loss)[..., None] / z.shape[-1]


def _smooth_binary(target, label_smoothing):
    return f64(target) * (1.0 - label_smoothing) + 0.5 * label_smoothing


def binary_cross_entropy(probabilities, target, *, label_smoothing=0.0):
    """loss = -mean_j (t log p + (1 - t) log(1 - p)), p clipped to [1e-7, 1 - 1e-7]."""
    p, t = np.clip(f64(probabilities), EPSILON, 1.0 - EPSILON), _smooth_binary(target, label_smoothing)
    return -(t * np.log(p) + (1.0 - t) * np.log1p(-p)).mean(axis=-1)


def binary_cross_entropy_backward(probabilities, target, grad_loss, *, label_smoothing=0.0):
    """grad_p = ((1 - t) / (1 - p) - t / p) grad_loss / k inside the clip, 0 outside."""
    p, t = f64(probabilities), _smooth_binary(target, label_smoothing)
    inside = (p >= EPSILON) & (p <= 1.0 - EPSILON)
    q = np.where(inside, p, 0.5)
    return np.where(inside, (1.0 - t) / (1.0 - q) - t / q, 0.0) * f64(grad_loss)[..., None] / p.shape[-1]


def squared_error(prediction, target):
    """loss = mean_j (p - t)^2."""
    return ((f64(prediction) - f64(target)) ** 2).mean(axis=-1)


def squared_error_backward(prediction, target, grad_loss):
    """grad_p = 2 (p - t) grad_loss / k."""
    p = f64(prediction)
    return 2.0 * (p - f64(target)) * f64(grad_loss)[..., None] / p.shape[-1]


def absolute_error(prediction, target):
    """loss = mean_j |p - t|."""
    return np.abs(f64(prediction) - f64(target)).mean(axis=-1)


def absolute_error_backward(prediction, target, grad_loss):
    """grad_p = sign(p - t) grad_loss / k."""
    p = f64(prediction)
    return np.sign(p - f64(target)) * f64(grad_loss)[..., None] / p.shape[-1]


def weighted_mean(loss, weights=None, *, scale=1.0):
    """scale sum(weights loss) / count(loss), shape (1,)."""
    loss = f64(loss)
    return np.array([scale * (loss if weights is None else f64(weights) * loss).sum() / loss.size])


def weighted_mean_backward(grad, weights=None, *, rank, d0=1, d1=1, d2=1, d3=1, scale=1.0):
    """grad_loss = grad scale weights / count, in the shape (rank, d0..d3)."""
    shape = (d0, d1, d2, d3)[:rank]
    share = f64(grad) * scale / np.prod(shape)
    return np.full(shape, share[0]) * (1.0 if weights is None else f64(weights))


def l1_l2_penalty(w, *, l1=0.0, l2=0.0):
    """l1 sum |w| + l2 sum w^2, shape (1,)."""
    w = f64(w)
    return np.array([l1 * np.abs(w).sum() + l2 * (w * w).sum()])


def l1_l2_backward(w, grad, residual=None, *, l1=0.0, l2=0.0):
    """grad_w = (l1 sign(w) + 2 l2 w) grad (+ residual)."""
    w = f64(w)
    grad_w = (l1 * np.sign(w) + 2.0 * l2 * w) * f64(grad)
    return grad_w if residual is None else grad_w + f64(residual)


def correct(prediction, target, *, mode=0, threshold=0.5):
    """1 where the prediction is right, 0 elsewhere.

    mode 0: argmax = class number; 1: argmax = argmax of the target; 2: mean_j of (p > threshold) = target.
    """
    prediction = f64(prediction)
    if mode == 2:
        return ((prediction > threshold) == (f64(target) == 1.0)).mean(axis=-1)
    label = target if mode == 0 else np.argmax(target, axis=-1)
    return (np.argmax(prediction, axis=-1) == label).astype(float)


def sum_of_squares(x):
    """sum x^2, shape (1,)."""
    return np.array([(f64(x) ** 2).sum()])


def clip_scale(*sums, clip):
    """min(1, clip / sqrt(sum of the sums)), shape (1,): the factor that clips a gradient by its global norm."""
    norm = np.sqrt(sum(f64(s) for s in sums))
    return np.minimum(1.0, clip / np.where(norm > 0, norm, clip))
