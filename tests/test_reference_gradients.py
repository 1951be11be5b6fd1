"""The reference's gradients: central differences for every rule."""

import numpy as np
import pytest

import op_cases
import reference as ref
from reference import activations as act


def forward(op, slot=0):
    """The first output of `op` as a function of its inputs and attributes."""
    return lambda inputs, attributes: ref.run(op, inputs, attributes)[slot]


def without(attributes, *names):
    return {key: value for key, value in attributes.items() if key not in names}


def conv_gradients(inputs, y, g, a):
    x, w, bias, residual = inputs
    geometry = without(a, "activation", "alpha", "max_value")
    d = g * conv_slope(inputs, a, ref.conv2d)
    grad_w, grad_bias = ref.conv2d_backward_weight(x, d, **geometry)
    return [ref.conv2d_backward_input(d, w, in_h=x.shape[1], in_w=x.shape[2], **geometry), grad_w, grad_bias, d]


def conv_slope(inputs, a, function):
    """act'(z), with z the value before the activation."""
    z = function(*inputs, **without(a, "activation", "alpha", "max_value"))
    kind = {key: a[key] for key in ("activation", "alpha", "max_value") if key in a}
    return act.derivative(z[0] if isinstance(z, tuple) else z, **kind)


def transpose_gradients(inputs, y, g, a):
    x, w, bias = inputs
    geometry = without(a, "activation", "alpha", "max_value", "out_h", "out_w")
    d = g * conv_slope(inputs, a, ref.conv2d_transpose)
    return [ref.conv2d(d, w, **geometry)[0], ref.conv2d_backward_weight(d, x, **geometry)[0], d.sum(axis=(0, 1, 2))]


def depthwise_gradients(inputs, y, g, a):
    x, w, bias = inputs
    geometry = without(a, "activation", "alpha", "max_value")
    d = g * conv_slope(inputs, a, ref.depthwise_conv2d)
    grad_w, grad_bias = ref.depthwise_conv2d_backward_weight(x, d, multiplier=w.shape[3], **geometry)
    return [ref.depthwise_conv2d_backward_input(d, w, in_h=x.shape[1], in_w=x.shape[2], **geometry), grad_w, grad_bias]


def dense_gradients(inputs, y, g, a):
    x, w, bias, residual = inputs
    d = g * conv_slope(inputs, a, ref.dense)
    grad_w, grad_bias = ref.dense_backward_weight(x, d)
    return [ref.dense_backward_input(d, w), grad_w, grad_bias, d]


def train_batchnorm(inputs, a):
    """Batch normalisation with the batch's own moments."""
    x, _, _, *rest = inputs
    return ref.norm.normalise(x, *ref.batchnorm_moments(x), *rest, **a)


def train_batchnorm_gradients(inputs, y, g, a):
    x, _, _, gamma, beta, residual = inputs
    grad_x, grad_gamma, grad_beta, grad_residual = ref.batchnorm_backward(
        g, x, y, *ref.batchnorm_moments(x), gamma, **a
    )
    return [grad_x, None, None, grad_gamma, grad_beta, grad_residual]


def fixed_batchnorm_gradients(inputs, y, g, a):
    x, mean, var, gamma, beta, residual = inputs
    grad_x, grad_gamma, grad_beta, grad_residual = ref.batchnorm_backward(g, x, y, mean, var, gamma, training=0, **a)
    return [grad_x, None, None, grad_gamma, grad_beta, grad_residual]


def size_of(x):
    return {"in_h": x.shape[1], "in_w": x.shape[2]}


def broadcast_gradients(grad_a, grad_b, inputs):
    return [
        ref.reduce_sum_to(grad, **op_cases.shape_attributes(value.shape))
        for grad, value in zip((grad_a, grad_b), inputs)
    ]


def loss_rule(op):
    return forward(op), lambda inputs, y, g, a: [ref.run(op + "_backward", [*inputs, g], a)[0], None]


def interpolation_rule(inputs, y, g, a):
    return [ref.upsample2d_backward(g, **a)]


# forward function and its gradients, [one per input; None where the input is not differentiated]
RULES = {
    "conv2d": (forward("conv2d"), conv_gradients),
    "conv2d_transpose": (forward("conv2d_transpose"), transpose_gradients),
    "depthwise_conv2d": (forward("depthwise_conv2d"), depthwise_gradients),
    "dense": (forward("dense"), dense_gradients),
    "max_pool2d": (forward("max_pool2d"), lambda i, y, g, a: [ref.max_pool2d_backward(i[0], y, g, **a)]),
    "avg_pool2d": (forward("avg_pool2d"), lambda i, y, g, a: [ref.avg_pool2d_backward(g, **size_of(i[0]), **a)]),
    "batchnorm (training)": (train_batchnorm, train_batchnorm_gradients),
    "batchnorm": (forward("batchnorm"), fixed_batchnorm_gradients),
    "activation (from x)": (
        forward("activation"),
        lambda i, y, g, a: [ref.activation_backward(g, i[0], reference_is_input=1, **a)],
    ),
    "activation (from y)": (
        forward("activation"),
        lambda i, y, g, a: [ref.activation_backward(g, y, reference_is_input=0, **a)],
    ),
    "softmax": (forward("softmax"), lambda i, y, g, a: [ref.softmax_backward(g, y)]),
    "log": (forward("log"), lambda i, y, g, a: [ref.log_backward(g, i[0])]),
    "arctan": (forward("arctan"), lambda i, y, g, a: [ref.arctan_backward(g, i[0])]),
    "standardize": (forward("standardize"), lambda i, y, g, a: [ref.standardize_backward(g, i[0], **a)]),
    "add": (forward("add"), lambda i, y, g, a: broadcast_gradients(g, g, i)),
    "subtract": (forward("subtract"), lambda i, y, g, a: broadcast_gradients(g, -g, i)),
    "multiply": (forward("multiply"), lambda i, y, g, a: broadcast_gradients(g * i[1], g * i[0], i)),
    "maximum": (forward("maximum"), lambda i, y, g, a: broadcast_gradients(*ref.maximum_backward(g, *i), i)),
    "minimum": (forward("minimum"), lambda i, y, g, a: broadcast_gradients(*ref.minimum_backward(g, *i), i)),
    "upsample2d": (forward("upsample2d"), interpolation_rule),
    "softmax_cross_entropy": loss_rule("softmax_cross_entropy"),
    "categorical_cross_entropy": loss_rule("categorical_cross_entropy"),
    "sigmoid_cross_entropy": loss_rule("sigmoid_cross_entropy"),
    "binary_cross_entropy": loss_rule("binary_cross_entropy"),
    "squared_error": loss_rule("squared_error"),
    "absolute_error": loss_rule("absolute_error"),
    "weighted_mean": (
        forward("weighted_mean"),
        lambda i, y, g, a: [ref.weighted_mean_backward(g, i[1], **op_cases.shape_attributes(i[0].shape), **a), None],
    ),
    "l1_l2_penalty": (forward("l1_l2_penalty"), lambda i, y, g, a: [ref.l1_l2_backward(i[0], g, **a)]),
}


SMOOTH = (
    act.LINEAR,
    act.SIGMOID,
    act.TANH,
    act.GELU,
    act.GELU_TANH,
    act.SILU,
    act.SOFTPLUS,
    act.SOFTSIGN,
    act.EXPONENTIAL,
    act.MISH,
)


def smooth_case(rule, index):
    """A random case of the rule's operation in float64, its optional inputs present or not."""
    case = op_cases.case(rule.split()[0], index)
    attributes = dict(case.attributes)
    if rule in (
        "conv2d",
        "conv2d_transpose",
        "depthwise_conv2d",
        "dense",
    ):  # a step moves many outputs: one would cross a kink
        attributes.pop("max_value", None)
        attributes["activation"] = SMOOTH[index % len(SMOOTH)]
    if rule == "activation (from y)":
        if attributes["activation"] not in act.FROM_OUTPUT:
            attributes["activation"] = act.FROM_OUTPUT[index % len(act.FROM_OUTPUT)]
        attributes.pop("threshold", None)
        attributes["alpha"] = abs(attributes["alpha"])
    if rule.startswith("batchnorm") and attributes["activation"] not in (0, 1):
        attributes["activation"] = index % 2
    inputs = [x if x is None or x.dtype.kind == "i" else x.astype(np.float64) for x in case.inputs]
    if rule.startswith("batchnorm"):
        del inputs[6:]  # a residual's constants, which the compiler puts there when the gradients are made
    if rule == "max_pool2d":  # the same of a normalisation and its activation
        del inputs[1:]
        attributes = {k: v for k, v in attributes.items() if k not in ("activation", "alpha", "max_value")}
    if rule.startswith("activation"):
        inputs[0] = np.clip(inputs[0], -8, 8)  # beyond that 1 - y is lost in y's last digits
    if rule == "log":
        inputs[0] = np.clip(inputs[0], 0.01, 100)  # the third derivative is 2 / x^3
    if rule == "categorical_cross_entropy":
        inputs[0] = np.clip(inputs[0], 0.01, 0.99)  # the third derivative of log p is 2 / p^3
    return case, inputs, attributes


@pytest.mark.parametrize("rule", RULES)
def test_gradient_against_central_differences(rule):
    """<g, (f(x + e d) - f(x - e d)) / 2e> = <grad, d> for random directions d.

    The error is e^2 f''' / 6 + 2^-52 |f| / e.
    """
    step = 1e-6
    function, gradient = RULES[rule]
    checked = 0
    for index in range(12):
        case, inputs, attributes = smooth_case(rule, index)
        rng = np.random.default_rng(index)
        y = function(inputs, attributes)
        g = rng.standard_normal(np.shape(y))
        grads = gradient(inputs, y, g, attributes)
        for slot, (value, grad) in enumerate(zip(inputs, grads)):
            if value is None or grad is None:
                continue
            assert grad.shape == value.shape, f"{case} input {slot}"
            for _ in range(2):
                d = rng.standard_normal(value.shape)
                moved = [[x if k != slot else x + sign * step * d for k, x in enumerate(inputs)] for sign in (1, -1)]
                change = (function(moved[0], attributes) - function(moved[1], attributes)) / (2 * step)
                size = np.abs(g * y).sum() + np.abs(grad * d).sum() + 1.0
                assert abs((g * change).sum() - (grad * d).sum()) <= 1e-7 * size, f"{case} input {slot}"
                checked += 1
    assert checked >= 12


def test_convolution_adjoints_are_exact_on_integers():
    """<conv(x), g> = <x, backward_input(g)> = <w, backward_weight(x, g)>."""
    for index in range(100):
        rng = np.random.default_rng(index)
        a = op_cases.convolution(rng, op_cases.integers, 100_000)
        size = {"in_h": a["in_h"], "in_w": a["in_w"]}
        inner = (ref.conv2d(a["x"], a["w"], **a["attributes"])[0] * a["grad_y"]).sum()
        assert inner == (a["x"] * ref.conv2d_backward_input(a["grad_y"], a["w"], **size, **a["attributes"])).sum()
        assert inner == (a["w"] * ref.conv2d_backward_weight(a["x"], a["grad_y"], **a["attributes"])[0]).sum()
