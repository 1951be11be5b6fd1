"""Activation functions, their derivatives in x and (where it follows from the value) in y, and softmax."""

import math

import numpy as np

from .window import f64

(
    LINEAR,
    RELU,
    SIGMOID,
    TANH,
    ELU,
    SELU,
    GELU,
    GELU_TANH,
    SILU,
    SOFTPLUS,
    HARD_SIGMOID,
    HARD_SILU,
    SOFTSIGN,
    EXPONENTIAL,
    MISH,
) = range(15)
NAMES = (
    "linear",
    "relu",
    "sigmoid",
    "tanh",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "softplus",
    "hard_sigmoid",
    "hard_silu",
    "softsign",
    "exponential",
    "mish",
)

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
GELU_C = math.sqrt(2.0 / math.pi)
_erf = np.vectorize(math.erf, otypes=[np.float64])

# activations whose derivative the operation can take from y (relu: threshold 0, alpha >= 0)
FROM_OUTPUT = (LINEAR, RELU, SIGMOID, TANH, ELU, SELU, SOFTPLUS, HARD_SIGMOID, SOFTSIGN, EXPONENTIAL)


def sigmoid(x):
    """1 / (1 + exp(-x)) without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def softplus(x):
    """log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def _normal_cdf(x):
    return 0.5 * (1.0 + _erf(x / math.sqrt(2.0)))


def _gelu_tanh_inner(x):
    return GELU_C * (x + 0.044715 * x**3)


def activate(x, *, activation=LINEAR, alpha=0.0, max_value=np.inf, threshold=0.0):
    """y = min(f(x), max_value); NaN stays NaN.

    relu: x where x >= threshold, alpha (x - threshold) elsewhere. elu: alpha (e^x - 1) for x < 0. hard_sigmoid:
    relu6(x + 3) / 6.
    """
    x = f64(x)
    below = np.minimum(x, 0.0)  # keeps exp from overflowing on the branch not taken
    with np.errstate(invalid="ignore", over="ignore"):
        y = {
            LINEAR: lambda: x,
            RELU: lambda: np.where(x >= threshold, x, np.where(np.isnan(x), x, _slope(alpha, x - threshold))),
            SIGMOID: lambda: sigmoid(x),
            TANH: lambda: np.tanh(x),
            ELU: lambda: np.where(x > 0, x, alpha * np.expm1(below)),
            SELU: lambda: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(below)),
            GELU: lambda: x * _normal_cdf(x),
            GELU_TANH: lambda: 0.5 * x * (1.0 + np.tanh(_gelu_tanh_inner(x))),
            SILU: lambda: x * sigmoid(x),
            SOFTPLUS: lambda: softplus(x),
            HARD_SIGMOID: lambda: np.clip(x + 3.0, 0.0, 6.0) / 6.0,
            HARD_SILU: lambda: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0,
            SOFTSIGN: lambda: x / (1.0 + np.abs(x)),
            EXPONENTIAL: lambda: np.exp(x),
            MISH: lambda: x * np.tanh(softplus(x)),
        }[activation]()
    return np.minimum(y, max_value)


def _slope(alpha, x):
    """alpha x, and 0 (not NaN) for alpha = 0 and x = -inf."""
    return np.zeros_like(x) if alpha == 0.0 else alpha * x


def derivative(x, *, activation=LINEAR, alpha=0.0, max_value=np.inf, threshold=0.0):
    """dy/dx at x. At a kink the value from the left (relu'(0) = alpha, so 0 for plain relu); 0 where y >= max_value."""
    x = f64(x)
    below = np.minimum(x, 0.0)
    s = sigmoid(x)
    slope = {
        LINEAR: lambda: np.ones_like(x),
        RELU: lambda: np.where(x > threshold, 1.0, alpha),
        SIGMOID: lambda: s * (1.0 - s),
        TANH: lambda: 1.0 - np.tanh(x) ** 2,
        ELU: lambda: np.where(x > 0, 1.0, alpha * np.exp(below)),
        SELU: lambda: SELU_SCALE * np.where(x > 0, 1.0, SELU_ALPHA * np.exp(below)),
        GELU: lambda: _normal_cdf(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi),
        GELU_TANH: lambda: _gelu_tanh_derivative(x),
        SILU: lambda: s * (1.0 + x * (1.0 - s)),
        SOFTPLUS: lambda: s,
        HARD_SIGMOID: lambda: np.where((x > -3.0) & (x < 3.0), 1.0 / 6.0, 0.0),
        HARD_SILU: lambda: np.where(x <= -3.0, 0.0, np.where(x >= 3.0, 1.0, (2.0 * x + 3.0) / 6.0)),
        SOFTSIGN: lambda: 1.0 / (1.0 + np.abs(x)) ** 2,
        EXPONENTIAL: lambda: np.exp(x),
        MISH: lambda: np.tanh(softplus(x)) + x * s * (1.0 - np.tanh(softplus(x)) ** 2),
    }[activation]()
    y = activate(x, activation=activation, alpha=alpha, threshold=threshold)
    return np.where(y < max_value, slope, 0.0)


def _gelu_tanh_derivative(x):
    t = np.tanh(_gelu_tanh_inner(x))
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * GELU_C * (1.0 + 3.0 * 0.044715 * x * x)


def derivative_from_output(y, *, activation=LINEAR, alpha=0.0, max_value=np.inf):
    """dy/dx written in y, for the activations in FROM_OUTPUT (relu with threshold 0 and alpha >= 0)."""
    y = f64(y)
    slope = {
        LINEAR: lambda: np.ones_like(y),
        RELU: lambda: np.where(y > 0, 1.0, alpha),
        SIGMOID: lambda: y * (1.0 - y),
        TANH: lambda: 1.0 - y * y,
        ELU: lambda: np.where(y > 0, 1.0, y + alpha),
        SELU: lambda: np.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA),
        SOFTPLUS: lambda: -np.expm1(-y),
        HARD_SIGMOID: lambda: np.where((y > 0) & (y < 1), 1.0 / 6.0, 0.0),
        SOFTSIGN: lambda: (1.0 - np.abs(y)) ** 2,
        EXPONENTIAL: lambda: y,
    }[activation]()
    return np.where(y < max_value, slope, 0.0)


def gradient_epilogue(
    grad, y=None, x=None, mean=None, scale=None, shift=None, *, activation=LINEAR, alpha=0.0, max_value=np.inf
):
    """What a gradient goes through where it is made: g = grad act'(y), or act'(x scale + shift) where y is None.

    Returns g, or with x and mean (g, sum of g, sum of g (x - mean)), the sums per channel.
    """
    if scale is not None:
        y = activate(f64(x) * f64(scale) + f64(shift), activation=activation, alpha=alpha, max_value=max_value)
    g = f64(grad)
    if y is not None:
        g = g * derivative_from_output(y, activation=activation, alpha=alpha, max_value=max_value)
    axes = tuple(range(g.ndim - 1))
    if x is None or mean is None:
        return g
    return g, g.sum(axis=axes), (g * (f64(x) - f64(mean))).sum(axis=axes)


def activation(x, *, activation=LINEAR, alpha=0.0, max_value=np.inf, threshold=0.0):
    """The operation `activation`: y = min(f(x), max_value)."""
    return activate(x, activation=activation, alpha=alpha, max_value=max_value, threshold=threshold)


def activation_backward(
    grad_y, reference, *, reference_is_input, activation=LINEAR, alpha=0.0, max_value=np.inf, threshold=0.0
):
    """grad_x = grad_y f'(x), with f' taken from x (reference_is_input) or from y."""
    if reference_is_input:
        slope = derivative(reference, activation=activation, alpha=alpha, max_value=max_value, threshold=threshold)
    else:
        slope = derivative_from_output(reference, activation=activation, alpha=alpha, max_value=max_value)
    return f64(grad_y) * slope


def softmax(x):
    """y_i = exp(x_i) / sum_j exp(x_j) over the last axis."""
    x = f64(x)
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(grad_y, y):
    """grad_x_i = y_i (grad_y_i - sum_j grad_y_j y_j)."""
    grad_y, y = f64(grad_y), f64(y)
    return y * (grad_y - (grad_y * y).sum(axis=-1, keepdims=True))
