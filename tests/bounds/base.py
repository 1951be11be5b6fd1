"""What the bounds of several operations are made of, and the table of all of them."""

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


def gradient_sums(error, x, mean, gradient):
    """The errors of the sums over the batch of a gradient that is off by `error`, and of it times x - mean, which is
    off by u (|x| + |mean|)."""
    axes, count = tuple(range(error.ndim - 1)), error.size // error.shape[-1]
    g, distance = np.abs(gradient) + error, np.abs(ref.window.f64(x)) + np.abs(mean)
    return [
        error.sum(axis=axes) + reduction(count, g.sum(axis=axes)),
        (error * distance).sum(axis=axes) + reduction(count + 1, (g * distance).sum(axis=axes)),
    ]
