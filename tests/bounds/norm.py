"""Batch normalisation."""

import numpy as np

import reference as ref

from .base import U, absolute, bound, moments_bound, reduction, split_activation, through_activation


@bound("batchnorm_moments")
def _moments(inputs, attributes, outputs):
    return moments_bound(ref.window.f64(inputs[0]))


@bound("batchnorm")
def _batchnorm(inputs, attributes, outputs):
    """Computed as x s + (beta - mean s) or gamma (x - mean) s: ten roundings of the terms' absolute values."""
    act_attributes, others = split_activation(attributes)
    x, mean, var, gamma, beta, *residual = (*inputs, None, None)[:8]
    terms = absolute([x, mean, gamma, beta, ref.norm.normalised_residual(*absolute(residual))])
    residual = ref.norm.normalised_residual(*residual)
    z = ref.norm.normalise(x, mean, var, gamma, beta, residual, **others)
    magnitude = ref.norm.normalise(terms[0], -terms[1], var, *terms[2:], **others)
    constants = ref.batchnorm(terms[0], -terms[1], var, *terms[2:5], **others)[1:]
    return [through_activation(z, 10 * U * magnitude, act_attributes), *(4 * U * m for m in constants)]


@bound("batchnorm_constants")
def _batchnorm_constants(inputs, attributes, outputs):
    """Computed in double and rounded, with the terms' absolute values."""
    mean, var, gamma, beta = inputs
    terms = absolute([mean, gamma, beta])
    return [4 * U * m for m in ref.batchnorm_constants(-terms[0], var, *terms[1:], **attributes)]


@bound("batchnorm_backward_constants")
def _batchnorm_backward_constants(inputs, attributes, outputs):
    """Computed in double from float32 and rounded; p's terms are positive, s is a difference. Sums that are taken on
    the way are off as those of `batchnorm_backward`.
    """
    mean, var, sum_g, sum_gx, gamma, g, x = (*inputs, None, None)[:7]
    p, q, s, grad_gamma, grad_beta = np.abs(outputs)
    n, errors = attributes["rows"], (0, 0)
    if g is not None:
        axes = tuple(range(np.ndim(x) - 1))
        magnitudes = np.abs(g).sum(axis=axes), (np.abs(g) * (np.abs(x) + np.abs(mean))).sum(axis=axes)
        errors = reduction(n, magnitudes[0]), reduction(n + 1, magnitudes[1])
        sum_g = grad_beta
    inverse_std = 1 / np.sqrt(ref.window.f64(var) + attributes["epsilon"])
    q_error = p * inverse_std**2 * errors[1] / n
    rounded = [4 * U * v for v in (p, q, p * np.abs(sum_g) / n + q * np.abs(mean), grad_gamma, grad_beta)]
    carried = 0, q_error, p * errors[0] / n + q_error * np.abs(mean), inverse_std * errors[1], errors[0]
    return [a + b for a, b in zip(rounded, carried)]


@bound("batchnorm_backward")
def _batchnorm_backward(inputs, attributes, outputs):
    """grad_gamma and the second mean hold |d| (|x| + |mean|) s; sums of n terms; ten more roundings around them."""
    grad_y, x, y, mean, var, gamma = inputs[:6]
    s = 1.0 / np.sqrt(ref.window.f64(var) + attributes["epsilon"])
    d, xhat = np.abs(outputs[3]), (np.abs(x) + np.abs(mean)) * s
    axes, n = tuple(range(np.ndim(x) - 1)), np.size(x) // np.shape(x)[-1]
    inner = d + d.mean(axis=axes) + xhat * (d * xhat).mean(axis=axes) if attributes["training"] else d
    scale = s if gamma is None else s * np.abs(gamma)
    added = U * np.abs(outputs[0]) if inputs[10:] and inputs[10] is not None else 0
    return [
        reduction(n + 10, scale * inner) + added,
        reduction(n + 10, (d * xhat).sum(axis=axes)),
        reduction(n, d.sum(axis=axes)),
        U * d,
    ]


@bound("batchnorm_fold")
def _fold(inputs, attributes, outputs):
    w, bias, mean, var, gamma, beta = inputs
    terms = absolute([w, bias, mean, gamma, beta])
    magnitude = ref.batchnorm_fold(terms[0], terms[1], -terms[2], var, *terms[3:], **attributes)
    return [10 * U * m for m in magnitude]
