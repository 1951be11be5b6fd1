"""Convolutions, with all that is fused with them, and dense layers."""

import numpy as np

import reference as ref
from reference import activations as act

from .base import (
    BOUNDS,
    U,
    absolute,
    activated_reduction,
    bound,
    gradient_sums,
    moments_bound,
    reduction,
    split_activation,
    through_activation,
)


def window_products(inputs):
    """Products in one output of a convolution: kh kw c/g."""
    return np.prod(inputs[1].shape[:3])


def rescaled(inputs, attributes):
    """The inputs of a convolution with x x_scale + x_offset as x, their magnitudes, the other attributes, and the
    roundings of x, each of at most u (|x x_scale| + |x_offset|): scale and offset, product, sum.
    """
    own = {key: attributes[key] for key in ("x_scale", "x_offset") if key in attributes}
    if not own:
        return inputs, absolute(inputs), attributes, 0
    x, others = ref.window.f64(inputs[0]) * own["x_scale"], inputs[1:]
    magnitude = np.abs(x) + abs(own["x_offset"])
    left = {key: value for key, value in attributes.items() if key not in own}
    return [x + own["x_offset"], *others], [magnitude, *absolute(others)], left, 3


@bound("conv2d")
def _conv2d(inputs, attributes, outputs):
    inputs, magnitudes, attributes, roundings = rescaled(inputs, attributes)
    own, geometry = split_activation(attributes)
    z, magnitude = (ref.conv2d(*values, **geometry)[0] for values in (inputs, magnitudes))
    error = through_activation(z, reduction(window_products(inputs) + roundings, magnitude), own)
    return [error, *moments_bound(z, error, shifted=True)]


@bound("conv2d_backward_weight")
def _conv2d_backward_weight(inputs, attributes, outputs):
    """One product per pixel of grad_y, or of the d that stands for it and is off by `error`."""
    x, grad_y, *after = inputs
    d, error = normalised_gradient(grad_y, *after) if after else (grad_y, np.zeros(grad_y.shape))
    _, (magnitude, _), geometry, roundings = rescaled([x, d], attributes)
    pixels = grad_y.size // grad_y.shape[-1]
    sums = ref.conv2d_backward_weight(magnitude, np.abs(d), **geometry)
    carried = ref.conv2d_backward_weight((1 + roundings * U) * magnitude, error, **geometry)
    return [reduction(pixels + roundings, m) + c for m, c in zip(sums, carried)]


@bound("depthwise_conv2d")
def _depthwise(inputs, attributes, outputs):
    z, error = activated_reduction("depthwise_conv2d", lambda i: np.prod(i[1].shape[:2]))(inputs, attributes, outputs)
    return [error, *moments_bound(z, error, shifted=True)]


@bound("pointwise_depthwise_conv2d")
def _pointwise_depthwise(inputs, attributes, outputs):
    x, w_inner, w, bias_inner, bias = (*inputs, None, None)[:5]
    inner_attributes = {k.removeprefix("inner_"): v for k, v in attributes.items() if k.startswith("inner_")}
    act_attributes, geometry = split_activation({k: v for k, v in attributes.items() if not k.startswith("inner_")})
    inner, magnitude = (
        ref.conv2d(*values, kernel_h=1, kernel_w=1)[0]
        for values in ([x, w_inner, bias_inner], absolute([x, w_inner, bias_inner]))
    )
    error = through_activation(inner, reduction(x.shape[3], magnitude), inner_attributes)
    inner = act.activate(inner, **inner_attributes)
    z = ref.depthwise_conv2d(inner, w, bias, **geometry)[0]
    magnitude = ref.depthwise_conv2d(*absolute([inner, w, bias]), **geometry)[0]
    carried = ref.depthwise_conv2d(error, np.abs(w), **geometry)[0]
    return [through_activation(z, reduction(np.prod(w.shape[:2]), magnitude) + carried, act_attributes)]


def normalised(x, scale, shift, attributes, residual=(None, None, None), x_error=0.0):
    """t = act(x scale + shift + residual) and its error: three roundings of its terms, and one of their sum, and what x
    is off by. residual: with its own scale and shift, one rounding more, or with None for them.
    """
    own, geometry = split_activation(attributes)
    x, scale, shift = (ref.window.f64(v) for v in (x, scale, shift))
    roundings = 3 + sum(value is not None for value in residual[:2])
    added = np.zeros(1) if residual[0] is None else ref.norm.normalised_residual(*residual)
    magnitude = added if residual[0] is None else ref.norm.normalised_residual(*absolute(residual))
    t, terms = x * scale + shift + added, np.abs(x * scale) + np.abs(shift) + np.abs(magnitude)
    error = through_activation(t, roundings * U * terms + np.abs(scale) * x_error, own)
    return act.activate(t, **own), error, geometry


@bound("batchnorm_depthwise_conv2d")
def _batchnorm_depthwise(inputs, attributes, outputs):
    x, w, scale, shift = inputs
    t, error, geometry = normalised(x, scale, shift, attributes)
    return _after_depthwise(t, error, w, geometry)


def _after_depthwise(t, error, w, geometry):
    """Of the depthwise convolution of a t that is off by `error`, and of its moments."""
    z, magnitude, carried = (
        ref.depthwise_conv2d(*values, **geometry)[0] for values in ((t, w), absolute([t, w]), (error, np.abs(w)))
    )
    error = reduction(np.prod(w.shape[:2]), magnitude) + carried
    return [error, *moments_bound(z, error, shifted=True)]


@bound("batchnorm_depthwise_conv2d_backward")
def _batchnorm_depthwise_backward(inputs, attributes, outputs):
    """grad_x and its sums as those of depthwise_conv2d_backward_input; grad_w from t, which is off by `error`. Where d
    is made of grad_y, all carry its error: grad_x no more than through the steepest slope.
    """
    grad_y, x, w, mean, scale, shift, *after = inputs
    d, d_error = normalised_gradient(grad_y, *after) if after else (grad_y, np.zeros(grad_y.shape))
    t, error, geometry = normalised(x, scale, shift, attributes)
    size = {"in_h": x.shape[1], "in_w": x.shape[2]}
    grad_x, *_ = BOUNDS["depthwise_conv2d_backward_input"](
        [d, w, None, x, mean, scale, shift], {**attributes, **size}, [outputs[0], *outputs[2:]]
    )
    steepest = max(1.0, abs(attributes.get("alpha", 0.0)))
    grad_x = grad_x + steepest * ref.depthwise_conv2d_backward_input(d_error, np.abs(w), **size, **geometry)
    product = lambda t, d: ref.depthwise_conv2d_backward_weight(t, d, multiplier=1, **geometry)[0]
    weight_error = reduction(d.size // d.shape[3], product(np.abs(t), np.abs(d)))
    weight_error += product(error, np.abs(d)) + product(np.abs(t) + error, d_error)
    return [grad_x, weight_error, *gradient_sums(grad_x, x, mean, outputs[0])]


def narrow(x, in_scale, in_shift):
    """What a 1x1 convolution expands, and its error."""
    if in_scale is None:
        return ref.window.f64(x), np.zeros(x.shape)
    return normalised(x, in_scale, in_shift, {})[:2]


@bound("expansion_moments")
def _expansion_moments(inputs, attributes, outputs):
    """Of the covariance S, a sum of products of deviations d from a block's mean: the squares of these sum to no more
    than those of deviations from the mean of all, so the products' magnitudes to no more than s_i s_j, s^2 = diag S. A
    deviation is rounded twice and off by what t is; what a block's mean is rounded by shifts all of its deviations. The
    mean of z and its variance w S w carry these errors.
    """
    x, w, in_scale, in_shift = (*inputs, None, None)[:4]
    t, error = narrow(x, in_scale, in_shift)
    w, rows, channels = ref.window.f64(w)[0, 0], t.size // t.shape[-1], t.shape[-1]
    mean_error = moments_bound(t, error)[0]
    t, error = t.reshape(rows, channels), np.broadcast_to(error, t.shape).reshape(rows, channels)
    mean, s = t.mean(axis=0), t.std(axis=0)
    off = np.sqrt((error**2).mean(axis=0)) + U * np.abs(mean) + 2 * U * s
    covariance_error = reduction(rows, np.outer(s, s)) + np.outer(s, off) + np.outer(off, s) + np.outer(off, off)
    z_mean_error = mean_error @ np.abs(w) + U * np.abs(mean @ w)
    z_var_error = ((covariance_error @ np.abs(w)) * np.abs(w)).sum(axis=0) + U * (t @ w).var(axis=0)
    return [z_mean_error, z_var_error, mean_error + U * np.abs(mean), covariance_error + U * np.outer(s, s)]


@bound("expanded_depthwise_conv2d")
def _expanded_depthwise(inputs, attributes, outputs):
    """As batchnorm_depthwise_conv2d of a z that is off by the error of its product."""
    x, w_inner, w, scale, shift, in_scale, in_shift = (*inputs, None, None)[:7]
    t, t_error = narrow(x, in_scale, in_shift)
    weights = np.abs(ref.window.f64(w_inner))[0, 0]
    z_error = reduction(t.shape[3], np.abs(t) @ weights) + t_error @ weights
    z = t @ ref.window.f64(w_inner)[0, 0]
    t, error, geometry = normalised(z, scale, shift, attributes, x_error=z_error)
    return _after_depthwise(t, error, w, geometry)


@bound("expanded_depthwise_conv2d_backward")
def _expanded_depthwise_backward(inputs, attributes, outputs):
    """z is exact (`op_cases`), and g off as grad_x of batchnorm_depthwise_conv2d_backward. Of g and of t - m there are
    products with p, rounded a few times, and q, which carries the error of the sum that it is made of. The moments that
    are given are rounded; our way to the gradients and the reference's are the same only where they are not.
    """
    grad_y, x, w_inner, w, mean, var, scale, shift, in_mean, _, gamma = inputs[:11]
    in_scale, in_shift, residual, _, below, below_mean = inputs[11:17]
    f64, inner_names = ref.window.f64, ("inner_activation", "inner_alpha", "inner_max_value")
    geometry = {k: v for k, v in split_activation(attributes)[1].items() if k not in (*inner_names, "epsilon")}
    inner = {**geometry, **{k.removeprefix("inner_"): attributes[k] for k in inner_names if k in attributes}}
    t, weights = narrow(x, in_scale, in_shift)[0], f64(w_inner)[0, 0]
    z, rows = t @ weights, t.size // t.shape[3]
    found = ref.batchnorm_depthwise_conv2d_backward(grad_y, z, w, mean, scale, shift, **inner)
    g, _, sum_g, sum_gx = found
    g_error, w_error, g_sum_error, gx_sum_error = BOUNDS["batchnorm_depthwise_conv2d_backward"](
        [grad_y, z, w, mean, scale, shift], inner, found
    )
    r = 1 / np.sqrt(f64(var) + attributes["epsilon"])
    p, mean = np.abs(r * f64(gamma)), np.abs(f64(mean))
    q, q_error = p * r**2 * np.abs(sum_gx) / rows, p * r**2 * (gx_sum_error + U * mean * np.abs(sum_g)) / rows
    t, g, g_error = (v.reshape(rows, -1) for v in (t, np.abs(g), g_error))
    deviations, off = np.abs(t - t.mean(axis=0)), 2 * U * (np.abs(t) + np.abs(f64(in_mean)))
    spread = np.abs(np.cov(t.T, bias=True).reshape(t.shape[1], -1)) @ np.abs(weights)
    weight_error = p * (reduction(rows + 6, deviations.T @ g) + deviations.T @ g_error + off.T @ (g + g_error))
    weight_error += rows * spread * (q_error + 8 * U * q)
    weight_error += U * rows * np.abs(t).mean(axis=0)[:, None] * q * mean
    back = np.abs(weights).T
    square, square_error = (np.abs(weights) * v @ back for v in (q, q_error + 8 * U * q))
    constant = p * (8 * U * np.abs(sum_g) + g_sum_error) / rows + U * mean * q
    error = reduction(g.shape[1] + 7, (g * p) @ back) + (g_error * p + constant) @ back
    error += reduction(t.shape[1] + 2, deviations @ square) + deviations @ square_error + off @ square
    error = error.reshape(x.shape) + (0 if residual is None else 2 * U * np.abs(residual))
    sums = [0.0, 0.0] if below_mean is None else gradient_sums(error, below, below_mean, outputs[0])
    gamma_error = r * gx_sum_error + 6 * U * np.abs(r * sum_gx)
    return [error, *sums, weight_error[None, None], w_error, gamma_error, g_sum_error + U * np.abs(sum_g)]


@bound("batchnorm_conv2d")
def _batchnorm_conv2d(inputs, attributes, outputs):
    x, w, scale, shift, *residual = (*inputs, *[None] * 3)[:7]
    t, t_error, geometry = normalised(x, scale, shift, attributes, residual)
    product = lambda t, w: ref.conv2d(t, w, **geometry)[0]
    error = reduction(np.prod(w.shape[:3]), product(np.abs(t), np.abs(w))) + product(t_error, np.abs(w))
    return [error, *moments_bound(product(t, w), error, shifted=True), t_error]


@bound("batchnorm_conv2d_backward_weight")
def _batchnorm_conv2d_backward_weight(inputs, attributes, outputs):
    x, grad_y, scale, shift = inputs
    t, error, geometry = normalised(x, scale, shift, attributes)
    product = lambda t: ref.conv2d_backward_weight(t, np.abs(grad_y), **geometry)[0]
    return [reduction(grad_y.size // grad_y.shape[3], product(np.abs(t))) + product(error)]


def normalised_gradient(grad_y, out, p, q, s):
    """d = p grad_y + q out + s and its error: three roundings of its terms."""
    terms = absolute([p, grad_y, q, out, s])
    return ref.conv.normalised_gradient(grad_y, out, p, q, s), 3 * U * (
        terms[0] * terms[1] + terms[2] * terms[3] + terms[4]
    )


@bound("pointwise_conv2d_backward")
def _pointwise_backward(inputs, attributes, outputs):
    """d and t are off by three roundings of their terms; then as the two gradients of which they are the inputs."""
    grad_y, w, x, out, p, q, s, in_scale, in_shift, residual, _, below, mean = inputs[:13]
    f64 = ref.window.f64
    t, t_error = f64(x), np.zeros(x.shape)
    if in_scale is not None:
        own = {name.removeprefix("in_"): value for name, value in attributes.items() if name.startswith("in_")}
        t, t_error, _ = normalised(x, in_scale, in_shift, own)
    d, d_error = normalised_gradient(grad_y, out, p, q, s)
    size = {"in_h": x.shape[1], "in_w": x.shape[2], **ref.conv.POINTWISE}
    magnitude = ref.conv2d_backward_input(*absolute([d, w, residual]), **size)
    error = reduction(w.shape[3] + 1, magnitude) + ref.conv2d_backward_input(d_error, np.abs(w), **size)
    product = lambda t, d: ref.conv2d_backward_weight(t, d, **ref.conv.POINTWISE)[0]
    weight_error = reduction(d.size // d.shape[3], product(np.abs(t), np.abs(d)))
    weight_error += product(t_error, np.abs(d)) + product(np.abs(t) + t_error, d_error)
    sums = [0.0, 0.0] if mean is None else gradient_sums(error, below, mean, outputs[0])
    return [error, *sums, weight_error]


@bound("conv2d_max_pool2d")
def _conv2d_max_pool2d(inputs, attributes, outputs):
    """The largest error of a window."""
    own, pooling = ref.conv.split_pooling(attributes)
    error = _conv2d(inputs, own, outputs)[0]
    return [ref.max_pool2d(error, **pooling)]


@bound("conv2d_max_pool2d_backward_weight")
def _conv2d_max_pool2d_backward_weight(inputs, attributes, outputs):
    """A product per pixel of the convolution's result, whose gradient is a sum over the windows that hold it."""
    x, y, grad_y, place = inputs
    own, pooling = ref.conv.split_pooling(attributes)
    magnitudes = ref.conv2d_max_pool2d_backward_weight(np.abs(x), y, np.abs(grad_y), place, **attributes)
    own = split_activation(own)[1]
    pixels = len(x) * np.prod(ref.conv.Window(**own).out_size(*x.shape[1:3]))
    return [reduction(pixels + pooling["pool_h"] * pooling["pool_w"] + 1, magnitude) for magnitude in magnitudes]


@bound("conv2d_transpose")
def _transpose(inputs, attributes, outputs):
    kh, kw, _, i = inputs[1].shape
    return [activated_reduction("conv2d_transpose", lambda _: kh * kw * i)(inputs, attributes, outputs)[1]]


@bound("dense")
def _dense(inputs, attributes, outputs):
    return [activated_reduction("dense", lambda i: i[1].shape[0])(inputs, attributes, outputs)[1]]
