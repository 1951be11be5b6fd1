"""How far a float32 result may be from the float64 reference: derived, stated here once, never tuned.

u = 2^-24 is the relative error of one rounding.

- Reductions. A sum of n products in any order, with or without fused multiply-add, is off by at most n u sum |a||b|
(Higham 2002, section 3.1, to first order). The bound used is REDUCTION (n + 2) u sum |a||b|: two more roundings for an
addend and the store.
- Elementwise functions. ULPS units in the last place of the result (2 u |y|), for a polynomial of exp, log, tanh or erf
with its range reduction; where the definition itself subtracts, relative to the larger term.
- Chains. Errors are carried through the formula to first order, every term by its absolute value.

Numbers below 2^-126 are flushed to zero, results and what they are made of: FLUSHED bounds a result made of such a
number times one of at most 128, such as x in x sigmoid(x) where sigmoid(x) is that small.
"""

import numpy as np

import reference as ref
from reference import activations as act

U = 2.0**-24
FLUSHED = 128 * 2.0**-126
REDUCTION = 1.0
ULPS = 4

BOUNDS = {}


def bound(*ops):
    """Register a function (inputs, attributes, reference outputs) -> absolute bounds, one per output."""

    def register(function):
        BOUNDS.update(dict.fromkeys(ops, function))
        return function

    return register


def bounds(case, outputs):
    """The absolute bounds of all outputs of the case."""
    return [b + FLUSHED for b in BOUNDS[case.op](case.inputs, case.attributes, outputs)]


def reduction(n, magnitude):
    """The error of a sum of n products whose absolute values sum to `magnitude`."""
    return REDUCTION * (n + 2) * U * magnitude


def absolute(inputs):
    return [None if x is None else np.abs(ref.window.f64(x)) for x in inputs]


def split_activation(attributes):
    """(attributes of the activation, the others)."""
    own = {key: attributes[key] for key in ("activation", "alpha", "max_value") if key in attributes}
    return own, {key: value for key, value in attributes.items() if key not in own}


# The largest |f'| of each activation (with alpha at most 1); exp is treated on its own.
SLOPE = {
    act.LINEAR: 1,
    act.RELU: 1,
    act.SIGMOID: 0.25,
    act.TANH: 1,
    act.ELU: 1,
    act.SELU: 1.7581,
    act.GELU: 1.129,
    act.GELU_TANH: 1.129,
    act.SILU: 1.0999,
    act.SOFTPLUS: 1,
    act.HARD_SIGMOID: 1 / 6,
    act.HARD_SILU: 1.5,
    act.SOFTSIGN: 1,
    act.MISH: 1.0885,
}
# x (1 + erf), x (1 + tanh), and x tanh(log(1 + e^x)) lose digits in their second factor: the error is relative to x.
RELATIVE_TO_INPUT = (act.GELU, act.GELU_TANH)


def through_activation(z, error, attributes):
    """The error of act(z) when z is off by `error`: |f'| error + ULPS of the function itself."""
    kind = attributes.get("activation", act.LINEAR)
    y = np.abs(act.activate(z, **attributes))
    carried = (
        np.abs(act.activate(z, activation=kind)) * np.expm1(error) if kind == act.EXPONENTIAL else SLOPE[kind] * error
    )
    if kind in (act.LINEAR, act.RELU):
        return carried + U * y  # at most one product, alpha z
    return carried + 2 * ULPS * U * np.maximum(y, np.abs(z) if kind in RELATIVE_TO_INPUT else 0.0)


def activated_reduction(op, n):
    """The bound of act(sum of n products + addends): the magnitude is the same operation on absolute values."""

    def compute(inputs, attributes, outputs):
        act_attributes, others = split_activation(attributes)
        z, magnitude = (ref.run(op, values, others)[0] for values in (inputs, absolute(inputs)))
        return z, through_activation(z, reduction(n(inputs), magnitude), act_attributes)

    return compute


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


def moments_bound(x, error=0.0, shifted=False):
    """The errors of the mean and the biased variance of x over all but its last axis, when x itself is off by `error`.

    mean: one sum of n terms. var: two passes, or any method whose error grows as the condition sqrt(1 + mean^2 / var)
    and not as its square, which is what E[x^2] - mean^2 in float32 would give; `shifted`: one pass over x less one of
    its values, any of them, whose squares are as large as var and the square of that value's deviation (Chan, Golub
    and LeVeque 1983).
    """
    axes, n = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    error = np.broadcast_to(error, x.shape)
    mean, var = x.mean(axis=axes), x.var(axis=axes)
    mean_error = reduction(n, np.abs(x).mean(axis=axes)) + error.mean(axis=axes)
    squares = var + (np.abs(x - mean).max(axis=axes) ** 2 if shifted else 0)
    var_error = (
        reduction(n, squares)
        + 8 * U * np.sqrt(var * (var + mean**2))
        + (4 * U * mean) ** 2
        + 2 * (np.abs(x - mean) * error).mean(axis=axes)
        + (error**2).mean(axis=axes)
    )
    return [mean_error, var_error]


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


def normalised(x, scale, shift, attributes, residual=(None, None, None)):
    """t = act(x scale + shift + residual) and its error: three roundings of its terms, and one of their sum. residual:
    with its own scale and shift, one rounding more, or with None for them.
    """
    own, geometry = split_activation(attributes)
    x, scale, shift = (ref.window.f64(v) for v in (x, scale, shift))
    roundings = 3 + sum(value is not None for value in residual[:2])
    added = np.zeros(1) if residual[0] is None else ref.norm.normalised_residual(*residual)
    magnitude = added if residual[0] is None else ref.norm.normalised_residual(*absolute(residual))
    t, terms = x * scale + shift + added, np.abs(x * scale) + np.abs(shift) + np.abs(magnitude)
    error = through_activation(t, roundings * U * terms, own)
    return act.activate(t, **own), error, geometry


@bound("batchnorm_depthwise_conv2d")
def _batchnorm_depthwise(inputs, attributes, outputs):
    x, w, scale, shift = inputs
    t, error, geometry = normalised(x, scale, shift, attributes)
    z, magnitude, carried = (
        ref.depthwise_conv2d(*values, **geometry)[0] for values in ((t, w), absolute([t, w]), (error, np.abs(w)))
    )
    error = reduction(np.prod(w.shape[:2]), magnitude) + carried
    return [error, *moments_bound(z, error, shifted=True)]


@bound("batchnorm_depthwise_conv2d_backward")
def _batchnorm_depthwise_backward(inputs, attributes, outputs):
    """grad_x and its sums as those of depthwise_conv2d_backward_input; grad_w from t, which is off by `error`."""
    grad_y, x, w, mean, scale, shift = inputs
    t, error, geometry = normalised(x, scale, shift, attributes)
    size = {"in_h": x.shape[1], "in_w": x.shape[2]}
    grad_x, *sums = BOUNDS["depthwise_conv2d_backward_input"](
        [grad_y, w, None, x, mean, scale, shift], {**attributes, **size}, [outputs[0], *outputs[2:]]
    )
    magnitude, carried = (
        ref.depthwise_conv2d_backward_weight(values, np.abs(grad_y), multiplier=1, **geometry)[0]
        for values in (np.abs(t), error)
    )
    return [grad_x, reduction(grad_y.size // grad_y.shape[3], magnitude) + carried, *sums]


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


def plain_reduction(op, n):
    """Each output is a sum of at most n(inputs, attributes) products."""

    def compute(inputs, attributes, outputs):
        magnitudes = ref.run(op, absolute(inputs), attributes)
        return [reduction(n(inputs, attributes), magnitude) for magnitude in magnitudes]

    BOUNDS[op] = compute


def gradient_sums(error, x, mean, gradient):
    """The errors of the sums over the batch of a gradient that is off by `error`, and of it times x - mean, which is
    off by u (|x| + |mean|)."""
    axes, count = tuple(range(error.ndim - 1)), error.size // error.shape[-1]
    g, distance = np.abs(gradient) + error, np.abs(ref.window.f64(x)) + np.abs(mean)
    return [
        error.sum(axis=axes) + reduction(count, g.sum(axis=axes)),
        (error * distance).sum(axis=axes) + reduction(count + 1, (g * distance).sum(axis=axes)),
    ]


def gradient_reduction(op, operands, n):
    """A sum of n products through the epilogue of gradients: a mask of at most 1 and one more rounding, then the sums
    over the batch.
    """

    def compute(inputs, attributes, outputs):
        own, others = split_activation(attributes)
        magnitude = ref.run(op, absolute(inputs[:operands]), others)[0]
        error = reduction(n(inputs, attributes) + 1, magnitude)
        if len(outputs) == 1:
            return [error]
        return [error, *gradient_sums(error, inputs[operands + 1], inputs[operands + 2], outputs[0])]

    BOUNDS[op] = compute


gradient_reduction(
    "conv2d_backward_input", 3, lambda i, a: np.prod(i[1].shape[:2]) * i[1].shape[3] // a.get("groups", 1)
)
gradient_reduction("depthwise_conv2d_backward_input", 2, lambda i, a: i[1].size // i[1].shape[2])
gradient_reduction("dense_backward_input", 3, lambda i, a: i[1].shape[1])
for _op in ("depthwise_conv2d_backward_weight", "dense_backward_weight"):
    plain_reduction(_op, lambda i, a: i[1].size // i[1].shape[-1])  # one product per pixel or row of grad_y
plain_reduction("avg_pool2d", lambda i, a: a["pool_h"] * a["pool_w"])
plain_reduction("avg_pool2d_backward", lambda i, a: 2 * a["pool_h"] * a["pool_w"])  # each share is a rounded quotient
plain_reduction("reduce_sum_to", lambda i, a: i[0].size)
plain_reduction("upsample2d", lambda i, a: 8 * a["mode"])  # four products of two rounded weights
plain_reduction("upsample2d_backward", lambda i, a: 8 * a["factor_h"] * a["factor_w"])
plain_reduction("sum_of_squares", lambda i, a: 1)  # accumulated in double
plain_reduction("l1_l2_penalty", lambda i, a: i[0].size + 3)
plain_reduction("l1_l2_backward", lambda i, a: 4)
plain_reduction("weighted_mean", lambda i, a: i[0].size + 2)
plain_reduction("weighted_mean_backward", lambda i, a: 3)
plain_reduction("moving_average", lambda i, a: 2)


@bound("max_pool2d")
def _max_pool(inputs, attributes, outputs):
    """The maximum is exact, and no further off than what it is taken of: one rounding, and the activation's."""
    act_attributes, geometry = split_activation(attributes)
    if len(inputs) == 1:
        return _exact(inputs, attributes, outputs)
    x, scale, shift = inputs
    magnitude = ref.pool.pooled_values(*absolute([x, scale, shift]))
    error = through_activation(ref.pool.pooled_values(x, scale, shift), U * magnitude, act_attributes)
    return [ref.max_pool2d(error, **geometry), *(np.zeros_like(y, float) for y in outputs[1:])]


@bound(
    "maximum",
    "minimum",
    "maximum_backward",
    "minimum_backward",
    "concat",
    "slice",
    "pad2d",
    "crop2d",
    "reshape",
    "fill",
)
def _exact(inputs, attributes, outputs):
    """Copies, comparisons and halves are exact."""
    return [np.zeros(np.shape(y)) for y in outputs]


# ---------------------------------------------------------------- preparing data


@bound("log", "arctan")
def _function(inputs, attributes, outputs):
    return [2 * ULPS * U * np.abs(np.where(np.isfinite(outputs[0]), outputs[0], 0.0))]


@bound("log_backward", "arctan_backward")
def _function_backward(inputs, attributes, outputs):
    """1 / x or 1 / (1 + x^2) in at most six roundings, and the product.

    Where 1 / (1 + x^2) is below 2^-126 it may be flushed.
    """
    return [8 * U * np.abs(np.where(np.isfinite(outputs[0]), outputs[0], 0.0)) + FLUSHED * np.abs(inputs[0])]


BOUNDS["replace_nan"] = _exact


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


@bound("max_pool2d_backward")
def _max_pool_backward(inputs, attributes, outputs):
    x, y, grad_y, *place = inputs
    magnitude = ref.max_pool2d_backward(x, y, np.abs(grad_y), *place, **attributes)
    return [reduction(attributes["pool_h"] * attributes["pool_w"], magnitude)]


@bound("add", "subtract", "multiply")
def _one_rounding(inputs, attributes, outputs):
    return [U * np.abs(y) for y in outputs]


@bound("affine")
def _affine(inputs, attributes, outputs):
    product = np.abs(ref.window.f64(inputs[0]) * attributes["scale"])
    return [U * (3 * product + np.abs(attributes["offset"]) + np.abs(outputs[0]))]  # x, scale, product, offset, sum


# ---------------------------------------------------------------- normalisation


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
    return [
        reduction(n + 10, scale * inner),
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


# ---------------------------------------------------------------- activations and losses


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


# ---------------------------------------------------------------- optimizers


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
