"""The reference itself: values worked by hand, central differences for every gradient, PyTorch and Keras."""

import math

import numpy as np
import pytest

import op_cases
import reference as ref
from reference import activations as act
from reference.loss import IGNORE_NONE

SOURCE = dict(kernel_h=3, kernel_w=3, pad_top=1, pad_left=1, pad_bottom=1, pad_right=1)


def plane(rows):
    """A 2-D list as an image (1, h, w, 1)."""
    return np.asarray(rows, dtype=float)[None, :, :, None]


# ---------------------------------------------------------------- golden values


def test_conv2d_is_cross_correlation_with_zero_padding():
    x = plane([[1, 2, 1, 0], [0, 2, 1, 2], [1, 2, 1, 2], [1, 2, 1, 1]])
    w = np.array([[1, -1, 1], [0, 1, 0], [1, 1, -1]], dtype=float)[:, :, None, None]
    y, mean, var = ref.conv2d(x, w, **SOURCE)
    assert y[0, :, :, 0].tolist() == [[-1, 3, 2, 3], [0, 4, 3, 6], [2, 3, 6, 3], [2, 2, 4, 0]]
    assert mean[0] == 42 / 16 and var[0] == pytest.approx(166 / 16 - (42 / 16) ** 2)


def test_conv2d_gradients_by_hand():
    """x = [1 2 3], w = [a b] = [10 100]: y = [210, 320]; with grad_y = [1, 5] each tap sees its own pixels."""
    x, w, grad_y = plane([[1, 2, 3]]), np.array([[10.0, 100.0]])[:, :, None, None], plane([[1, 5]])
    g = dict(kernel_h=1, kernel_w=2)
    assert ref.conv2d(x, w, **g)[0].ravel().tolist() == [210, 320]
    assert ref.conv2d_backward_input(grad_y, w, in_h=1, in_w=3, **g).ravel().tolist() == [10, 150, 500]
    grad_w, grad_bias = ref.conv2d_backward_weight(x, grad_y, **g)
    assert grad_w.ravel().tolist() == [11, 17] and grad_bias.tolist() == [6]


def test_conv2d_groups_keep_channels_apart():
    x = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 4)
    w = np.array([[1.0, 100.0], [10.0, 1000.0]]).reshape(1, 1, 2, 2)  # group 0 reads channels 0, 1; group 1 reads 2, 3
    assert ref.conv2d(x, w, kernel_h=1, kernel_w=1, groups=2)[0].ravel().tolist() == [21, 4300]


def test_depthwise_channel_order():
    x = np.array([1.0, 2.0]).reshape(1, 1, 1, 2)
    w = np.array([[3.0, 4.0], [5.0, 6.0]]).reshape(1, 1, 2, 2)
    assert ref.depthwise_conv2d(x, w, kernel_h=1, kernel_w=1).ravel().tolist() == [3, 4, 10, 12]


def test_conv2d_transpose_by_hand():
    """Stride 2, kernel [1 10 100]: each pixel stamps the kernel two pixels further."""
    w = np.array([[1.0, 10.0, 100.0]])[:, :, None, None]
    y = ref.conv2d_transpose(plane([[1, 2]]), w, np.array([0.5]), kernel_h=1, kernel_w=3, stride_w=2, out_h=1, out_w=5)
    assert y.ravel().tolist() == [1.5, 10.5, 102.5, 20.5, 200.5]


def test_max_pool_golden():
    nine = plane([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert ref.max_pool2d(nine, pool_h=2, pool_w=2)[0, :, :, 0].tolist() == [[5, 6], [8, 9]]
    rows = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]]
    half = dict(pool_h=2, pool_w=2, stride_h=2, stride_w=2)
    assert ref.max_pool2d(plane(rows), **half)[0, :, :, 0].tolist() == [[6, 8], [14, 16]]
    assert ref.max_pool2d(plane([[2, 3, 4, 5], *rows[1:]]), **half)[0, :, :, 0].tolist() == [[6, 8], [14, 16]]
    assert ref.avg_pool2d(plane(rows), **half)[0, :, :, 0].tolist() == [[3.5, 5.5], [11.5, 13.5]]


def test_max_pool_gradient_goes_to_the_first_maximum():
    x = plane([[1, 3], [3, 3]])
    half = dict(pool_h=2, pool_w=2, stride_h=2, stride_w=2)
    grad = ref.max_pool2d_backward(x, ref.max_pool2d(x, **half), plane([[7]]), **half)
    assert grad[0, :, :, 0].tolist() == [[0, 7], [0, 0]]


def test_max_pool_negative_values_beat_the_padding_and_nan_propagates():
    g = dict(pool_h=2, pool_w=2, pad_top=1, pad_left=1)
    x = plane([[-5, -6], [-7, -8]])
    assert ref.max_pool2d(x, **g)[0, :, :, 0].tolist() == [[-5, -5], [-5, -5]]
    x[0, 1, 1, 0] = np.nan
    assert np.isnan(ref.max_pool2d(x, **g)[0, :, :, 0]).tolist() == [[False, False], [False, True]]


def test_avg_pool_divisor():
    """The corner window of a padded 2x2 pool holds one pixel.

    Its mean is that pixel, or a quarter with count_include_pad.
    """
    g = dict(pool_h=2, pool_w=2, pad_top=1, pad_left=1)
    assert ref.avg_pool2d(plane([[4, 8], [12, 16]]), **g)[0, :, :, 0].tolist() == [[4, 6], [8, 10]]
    assert ref.avg_pool2d(plane([[4, 8], [12, 16]]), count_include_pad=1, **g)[0, :, :, 0].tolist() == [[1, 3], [4, 10]]


def test_sigmoid_golden():
    y = ref.activation(np.array([-10.0, 0.0, 10.0]), activation=act.SIGMOID)
    np.testing.assert_allclose(y, [4.5397868702434395e-05, 0.5, 0.9999546021312976], rtol=1e-14)
    slope = act.derivative(np.array([-10.0, 0.0]), activation=act.SIGMOID)
    np.testing.assert_allclose(slope, [4.5395807735951673e-05, 0.25], rtol=1e-14)


@pytest.mark.parametrize(
    "name, attributes, x, y",
    [
        ("relu", {}, [-2, 0, 3], [0, 0, 3]),
        ("relu", {"alpha": 0.1}, [-2, 0, 3], [-0.2, 0, 3]),
        ("relu", {"max_value": 6.0}, [-2, 5, 7], [0, 5, 6]),
        ("relu", {"threshold": 1.0, "alpha": 0.5}, [-1, 0.5, 1, 2], [-1, -0.25, 1, 2]),
        ("hard_sigmoid", {}, [-4, 0, 1.5, 4], [0, 0.5, 0.75, 1]),
        ("hard_silu", {}, [-4, 0, 1.5, 4], [0, 0, 1.125, 4]),
        ("softsign", {}, [-1, 3], [-0.5, 0.75]),
        ("elu", {"alpha": 1.0}, [-1, 2], [math.exp(-1) - 1, 2]),
        ("selu", {}, [-1, 2], [1.0507009873554805 * 1.6732632423543772 * (math.exp(-1) - 1), 2.101401974710961]),
        ("gelu", {}, [1, -1], [0.8413447460685429, -0.15865525393145707]),
        ("softplus", {}, [0, 1000, -1000], [math.log(2), 1000, 0]),
        ("tanh", {}, [0.5], [math.tanh(0.5)]),
        ("exponential", {}, [1], [math.e]),
    ],
)
def test_activation_golden(name, attributes, x, y):
    result = ref.activation(np.array(x, dtype=float), activation=act.NAMES.index(name), **attributes)
    np.testing.assert_allclose(result, y, rtol=1e-14, atol=0)


def test_relu_slope_at_zero_is_zero():
    assert act.derivative(np.zeros(1), activation=act.RELU)[0] == 0
    assert ref.activation_backward(np.ones(1), np.zeros(1), activation=act.RELU, reference_is_input=0)[0] == 0


def test_tanh_is_a_rescaled_sigmoid():
    x = np.linspace(-5, 5, 101)
    np.testing.assert_allclose(np.tanh(x), 2 * act.sigmoid(2 * x) - 1, atol=1e-15)


def test_cross_entropy_is_in_nats():
    p = np.array([[0.01, 0.99], [0.9, 0.1]])
    loss = ref.categorical_cross_entropy(p, np.array([0, 0]))
    np.testing.assert_allclose(loss, [4.605170185988091, 0.10536051565782628], rtol=1e-12)
    np.testing.assert_allclose(ref.softmax_cross_entropy(np.log(p), np.array([0, 0])), loss, rtol=1e-12)


def test_label_smoothing_is_uniform():
    """k = 10, epsilon = 0.1: targets 0.91 and 0.01.

    Epsilon 10/9 larger than the form that spreads epsilon over the other classes.
    """
    t, _ = ref.loss._target(np.array([3]), 10, 0.1, IGNORE_NONE)
    np.testing.assert_allclose(t[0, 3], 0.91)
    np.testing.assert_allclose(np.delete(t[0], 3), 0.01)
    t, _ = ref.loss._target(np.array([3]), 10, 0.1 * 10 / 9, IGNORE_NONE)
    np.testing.assert_allclose([t[0, 3], t[0, 0]], [0.9, 0.1 / 9])


def test_large_logits_stay_finite():
    z = np.array([[1e4, 0.0, -1e4]])
    assert ref.softmax_cross_entropy(z, np.array([2]))[0] == 2e4
    assert ref.softmax(z).tolist() == [[1, 0, 0]]


def test_moving_average_keeps_the_old_state():
    assert ref.moving_average(1.0, 2.0, momentum=0.9) == pytest.approx(1.1)


def test_batchnorm_golden():
    x = np.array([[1.0], [3.0]])
    mean, var = ref.batchnorm_moments(x)
    assert mean == [2] and var == [1]
    np.testing.assert_allclose(ref.batchnorm(x, mean, var, [2.0], [5.0], epsilon=0.0), [[3], [7]])


def test_batchnorm_fold_equals_batchnorm_after_convolution():
    rng = np.random.default_rng(3)
    x, w, bias = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(3, 3, 3, 4)), rng.normal(size=4)
    mean, var, gamma, beta = rng.normal(size=4), rng.uniform(0.1, 1, 4), rng.normal(size=4), rng.normal(size=4)
    w2, bias2 = ref.batchnorm_fold(w, bias, mean, var, gamma, beta, epsilon=1e-3)
    expected = ref.batchnorm(ref.conv2d(x, w, bias, **SOURCE)[0], mean, var, gamma, beta, epsilon=1e-3)
    np.testing.assert_allclose(ref.conv2d(x, w2, bias2, **SOURCE)[0], expected, rtol=1e-12, atol=1e-12)
    w, o = rng.normal(size=(3, 3, 3, 2)), 6
    mean, var = rng.normal(size=o), rng.uniform(0.1, 1, o)
    w2, bias2 = ref.batchnorm_fold(w, None, mean, var, epsilon=1e-3, depthwise=1)
    expected = ref.batchnorm(ref.depthwise_conv2d(x, w, **SOURCE), mean, var, epsilon=1e-3)
    np.testing.assert_allclose(ref.depthwise_conv2d(x, w2, bias2, **SOURCE), expected, rtol=1e-12, atol=1e-12)


def test_upsample_golden():
    x = plane([[0, 4]])
    assert ref.upsample2d(x, factor_h=1, factor_w=2).ravel().tolist() == [0, 0, 4, 4]
    assert ref.upsample2d(x, factor_h=1, factor_w=2, mode=1).ravel().tolist() == [0, 1, 3, 4]


def test_sgd_golden():
    """w = 1, g = 0.5, rate 0.1, v = 1, momentum 0.9: v = 0.85; plain w = 1.85; Nesterov w = 1 + 0.9 * 0.85 - 0.05."""
    arguments = [np.array([value]) for value in (1.0, 0.5)] + [np.array([0.1, 1, 0, 0]), np.array([1.0])]
    w, v = ref.sgd(*arguments, momentum=0.9)
    assert v[0] == pytest.approx(0.85) and w[0] == pytest.approx(1.85)
    assert ref.sgd(*arguments, momentum=0.9, nesterov=1)[0][0] == pytest.approx(1.715)
    w, _ = ref.sgd(*arguments[:3], None, np.array([2.0]), weight_decay=0.5, clip_value=0.8)
    assert w[0] == pytest.approx(1 - 0.05 - 0.08)  # decay first; gradient scaled to 1, clipped to 0.8


def test_adam_first_step_is_the_learning_rate():
    zero = np.zeros(2)
    w, *_ = ref.adam(zero, np.array([3.0, -1e-3]), zero, zero, np.array([0.01, 1, 0, 0]), epsilon=0.0)
    np.testing.assert_allclose(w, [-0.01, 0.01])


def test_weight_penalties():
    """At w = 0.1 the step of l2 w^2 is 2 l2 w and that of l1 |w| is l1."""
    w, one = np.array([0.1]), np.ones(1)
    assert ref.l1_l2_backward(w, one, l2=1.0)[0] == pytest.approx(0.2)
    assert ref.l1_l2_backward(w, one, l1=1.0)[0] == 1.0
    assert ref.l1_l2_penalty(np.array([-0.1, 0.2]), l1=1.0, l2=10.0)[0] == pytest.approx(0.3 + 0.5)


def test_small_operations_by_hand():
    ones = np.ones((2, 3))
    assert ref.reduce_sum_to(ones, rank=1, d0=3).tolist() == [2, 2, 2]
    assert ref.reduce_sum_to(ones, rank=2, d0=2, d1=1).tolist() == [[3], [3]]
    assert ref.maximum_backward([8.0, 8.0, 8.0], [1.0, 2, 3], [2.0, 2, 2])[0].tolist() == [0, 4, 8]
    assert ref.minimum_backward([8.0, 8.0, 8.0], [1.0, 2, 3], [2.0, 2, 2])[0].tolist() == [8, 4, 0]
    assert ref.correct([[0.0, 1, 1]], np.array([1])).tolist() == [1]
    assert ref.correct([[0.6, 0.4]], [[1.0, 1.0]], mode=2).tolist() == [0.5]
    assert ref.clip_scale([9.0], [16.0], clip=1.0)[0] == pytest.approx(0.2)
    assert ref.clip_scale([0.0], clip=1.0)[0] == 1.0
    assert ref.affine(np.array([255], dtype=np.uint8), scale=2.0, offset=-10.0).tolist() == [500]


# ---------------------------------------------------------------- gradients against central differences


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
    return ref.batchnorm(x, *ref.batchnorm_moments(x), *rest, **a)


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


# ---------------------------------------------------------------- PyTorch, float64


def nchw(x, torch):
    return torch.tensor(np.moveaxis(np.asarray(x, dtype=np.float64), -1, 1).copy(), requires_grad=True)


def nhwc(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def close(actual, expected, what, rtol=1e-10):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-11, err_msg=str(what))


def torch_conv(a, torch, groups, multiplier=None):
    """The convolution of case `a` in torch: (x, w, y, grad of both).

    Depthwise weights (kh,kw,c,m) become (c m,1,kh,kw).
    """
    g = a["attributes"]
    x = nchw(a["x"], torch)
    w = a["w"] if multiplier is None else a["w"].reshape(*a["w"].shape[:2], 1, -1)
    w = torch.tensor(w.astype(np.float64).transpose(3, 2, 0, 1).copy(), requires_grad=True)
    pads = [g.get(f"pad_{side}", 0) for side in ("left", "right", "top", "bottom")]
    y = torch.nn.functional.conv2d(
        torch.nn.functional.pad(x, pads),
        w,
        stride=(g["stride_h"], g["stride_w"]),
        dilation=(g.get("dilation_h", 1), g.get("dilation_w", 1)),
        groups=groups,
    )
    y.backward(nchw(a["grad_y"], torch).detach())
    return nhwc(y), nhwc(x.grad), w.grad.numpy().transpose(2, 3, 1, 0)


def test_convolution_against_torch():
    torch = pytest.importorskip("torch")
    for index in range(60):
        a = op_cases.convolution(np.random.default_rng(index), max_products=200_000)
        g, size = a["attributes"], {"in_h": a["in_h"], "in_w": a["in_w"]}
        y, grad_x, grad_w = torch_conv(a, torch, g.get("groups", 1))
        close(ref.conv2d(a["x"], a["w"], **g)[0], y, g)
        close(ref.conv2d_backward_input(a["grad_y"], a["w"], **size, **g), grad_x, g)
        close(ref.conv2d_backward_weight(a["x"], a["grad_y"], **g)[0], grad_w, g)


def test_depthwise_convolution_against_torch():
    torch = pytest.importorskip("torch")
    for index in range(40):
        a = op_cases.depthwise(np.random.default_rng(index), max_products=200_000)
        g, size = a["attributes"], {"in_h": a["in_h"], "in_w": a["in_w"]}
        y, grad_x, grad_w = torch_conv(a, torch, a["x"].shape[3], a["multiplier"])
        close(ref.depthwise_conv2d(a["x"], a["w"], **g), y, g)
        close(ref.depthwise_conv2d_backward_input(a["grad_y"], a["w"], **size, **g), grad_x, g)
        own = ref.depthwise_conv2d_backward_weight(a["x"], a["grad_y"], multiplier=a["multiplier"], **g)[0]
        close(own, grad_w.reshape(own.shape), g)


@pytest.mark.parametrize(
    "stride, dilation, kernel, padding, output_padding",
    [(1, 1, 3, 1, 0), (2, 1, 3, 1, 1), (2, 1, 4, 1, 0), (3, 1, 2, 0, 2), (2, 2, 3, 2, 1), (3, 1, 5, 2, 0)],
)
def test_transposed_convolution_against_torch(stride, dilation, kernel, padding, output_padding):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, w, bias = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(kernel, kernel, 6, 3)), rng.normal(size=6)
    y = torch.nn.functional.conv_transpose2d(
        nchw(x, torch),
        torch.tensor(w.transpose(3, 2, 0, 1).copy()),
        torch.tensor(bias),
        stride,
        padding,
        output_padding,
        dilation=dilation,
    )
    pads = {f"pad_{side}": padding for side in ("top", "left", "bottom", "right")}
    own = ref.conv2d_transpose(
        x,
        w,
        bias,
        kernel_h=kernel,
        kernel_w=kernel,
        stride_h=stride,
        stride_w=stride,
        dilation_h=dilation,
        dilation_w=dilation,
        **pads,
        out_h=y.shape[2],
        out_w=y.shape[3],
    )
    close(own, nhwc(y), "conv2d_transpose")


@pytest.mark.parametrize(
    "pool, stride, padding, size", [(2, 2, 0, 7), (3, 2, 1, 8), (3, 1, 1, 5), (5, 3, 2, 9), (4, 4, 0, 4), (2, 1, 1, 3)]
)
def test_pooling_against_torch(pool, stride, padding, size):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(pool)
    image = rng.normal(size=(2, size, size + 1, 5))
    g = dict(
        pool_h=pool,
        pool_w=pool,
        stride_h=stride,
        stride_w=stride,
        **{f"pad_{side}": padding for side in ("top", "left", "bottom", "right")},
    )
    x = nchw(image, torch)
    y = torch.nn.functional.max_pool2d(x, pool, stride, padding)
    grad_y = rng.normal(size=nhwc(y).shape)
    y.backward(nchw(grad_y, torch).detach())
    close(ref.max_pool2d(image, **g), nhwc(y), g)
    close(ref.max_pool2d_backward(image, nhwc(y), grad_y, **g), nhwc(x.grad), g)
    for count in (0, 1):
        x = nchw(image, torch)
        y = torch.nn.functional.avg_pool2d(x, pool, stride, padding, count_include_pad=bool(count))
        y.backward(nchw(grad_y, torch).detach())
        close(ref.avg_pool2d(image, count_include_pad=count, **g), nhwc(y), g)
        own = ref.avg_pool2d_backward(grad_y, in_h=size, in_w=size + 1, count_include_pad=count, **g)
        close(own, nhwc(x.grad), g)


@pytest.mark.parametrize("training", [1, 0])
def test_batchnorm_against_torch(training):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(training)
    image, gamma, beta = rng.normal(1, 3, size=(3, 4, 5, 6)), rng.normal(size=6), rng.normal(size=6)
    mean, var = ref.batchnorm_moments(image) if training else (rng.normal(size=6), rng.uniform(0.5, 2, 6))
    x, scale, shift = (
        nchw(image, torch),
        torch.tensor(gamma, requires_grad=True),
        torch.tensor(beta, requires_grad=True),
    )
    y = torch.relu(
        torch.nn.functional.batch_norm(
            x, torch.tensor(mean), torch.tensor(var), scale, shift, bool(training), 0.1, 1e-3
        )
    )
    grad_y = rng.normal(size=image.shape)
    y.backward(nchw(grad_y, torch).detach())
    own = ref.batchnorm(image, mean, var, gamma, beta, epsilon=1e-3, activation=1)
    close(own, nhwc(y), "y")
    grads = ref.batchnorm_backward(grad_y, image, own, mean, var, gamma, epsilon=1e-3, activation=1, training=training)
    for grad, expected in zip(grads, (nhwc(x.grad), scale.grad.numpy(), shift.grad.numpy())):
        close(grad, expected, f"training={training}")


def torch_activations(torch):
    f = torch.nn.functional
    return {
        "linear": (lambda x: x, {}),
        "relu": (f.relu, {}),
        "sigmoid": (torch.sigmoid, {}),
        "tanh": (torch.tanh, {}),
        "elu": (lambda x: f.elu(x, 0.7), {"alpha": 0.7}),
        "selu": (f.selu, {}),
        "gelu": (f.gelu, {}),
        "gelu_tanh": (lambda x: f.gelu(x, approximate="tanh"), {}),
        "silu": (f.silu, {}),
        "softplus": (lambda x: f.softplus(x, threshold=1e9), {}),
        "hard_sigmoid": (f.hardsigmoid, {}),
        "hard_silu": (f.hardswish, {}),
        "softsign": (f.softsign, {}),
        "exponential": (torch.exp, {}),
        "mish": (f.mish, {}),
    }


@pytest.mark.parametrize("name", act.NAMES)
def test_activation_against_torch(name):
    torch = pytest.importorskip("torch")
    function, attributes = torch_activations(torch)[name]
    check_activation(torch, function, {"activation": act.NAMES.index(name), **attributes})


def test_relu_variants_against_torch():
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    check_activation(torch, lambda x: f.leaky_relu(x, 0.1), {"activation": act.RELU, "alpha": 0.1})
    check_activation(torch, f.relu6, {"activation": act.RELU, "max_value": 6.0})
    check_activation(torch, lambda x: f.threshold(x, 0.5, 0.0), {"activation": act.RELU, "threshold": 0.5})


def check_activation(torch, function, attributes):
    """Values and slopes at 500 points; torch rounds hard_sigmoid's 1/6 to float32 even in float64."""
    rtol = 2.0**-24 if attributes["activation"] == act.HARD_SIGMOID else 1e-10
    values = np.random.default_rng(0).normal(0, 3, size=500)
    x = torch.tensor(values, requires_grad=True)
    y = function(x)
    y.backward(torch.ones_like(y))
    close(ref.activation(values, **attributes), y.detach().numpy(), attributes)
    close(
        ref.activation_backward(np.ones(500), values, reference_is_input=1, **attributes),
        x.grad.numpy(),
        attributes,
        rtol,
    )
    if attributes["activation"] in act.FROM_OUTPUT and "threshold" not in attributes:
        own = ref.activation_backward(np.ones(500), y.detach().numpy(), reference_is_input=0, **attributes)
        close(own, x.grad.numpy(), attributes, rtol)


def test_softmax_against_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values, grad_y = rng.normal(0, 5, size=(4, 3, 7)), rng.normal(size=(4, 3, 7))
    x = torch.tensor(values, requires_grad=True)
    y = torch.softmax(x, -1)
    y.backward(torch.tensor(grad_y))
    close(ref.softmax(values), y.detach().numpy(), "y")
    close(ref.softmax_backward(grad_y, y.detach().numpy()), x.grad.numpy(), "grad_x")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["sparse", "dense", "ignore"])
def test_softmax_cross_entropy_against_torch(kind, smoothing):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits, grad = rng.normal(0, 4, size=(9, 6)), rng.normal(size=9)
    target = ref.softmax(rng.normal(size=(9, 6))) if kind == "dense" else rng.integers(0, 6, 9)
    z = torch.tensor(logits, requires_grad=True)
    ignore = {"ignore_class": 2} if kind == "ignore" else {}
    options = {"ignore_index": 2} if kind == "ignore" else {}
    loss = torch.nn.functional.cross_entropy(
        z, torch.tensor(target), reduction="none", label_smoothing=smoothing, **options
    )
    loss.backward(torch.tensor(grad))
    close(ref.softmax_cross_entropy(logits, target, label_smoothing=smoothing, **ignore), loss.detach().numpy(), kind)
    own = ref.softmax_cross_entropy_backward(logits, target, grad, label_smoothing=smoothing, **ignore)
    close(own, z.grad.numpy(), kind)


@pytest.mark.parametrize("op", ["sigmoid_cross_entropy", "binary_cross_entropy", "squared_error", "absolute_error"])
def test_elementwise_losses_against_torch(op):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    function = {
        "sigmoid_cross_entropy": f.binary_cross_entropy_with_logits,
        "binary_cross_entropy": f.binary_cross_entropy,
        "squared_error": f.mse_loss,
        "absolute_error": f.l1_loss,
    }[op]
    rng = np.random.default_rng(0)
    values, target, grad = rng.uniform(0.01, 0.99, (5, 7)), rng.random((5, 7)), rng.normal(size=5)
    x = torch.tensor(values, requires_grad=True)
    loss = function(x, torch.tensor(target), reduction="none").mean(-1)
    loss.backward(torch.tensor(grad))
    close(ref.OPS[op](values, target), loss.detach().numpy(), op)
    close(ref.OPS[op + "_backward"](values, target, grad), x.grad.numpy(), op)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_upsample_against_torch(mode):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    image, grad_y = rng.normal(size=(2, 3, 1, 5)), rng.normal(size=(2, 12, 3, 5))
    x = nchw(image, torch)
    options = {"align_corners": False} if mode == "bilinear" else {}
    y = torch.nn.functional.interpolate(x, scale_factor=(4, 3), mode=mode, **options)
    y.backward(nchw(grad_y, torch).detach())
    g = dict(factor_h=4, factor_w=3, mode=int(mode == "bilinear"))
    close(ref.upsample2d(image, **g), nhwc(y), mode)
    close(ref.upsample2d_backward(grad_y, **g), nhwc(x.grad), mode)


@pytest.mark.parametrize("nesterov", [0, 1])
def test_sgd_against_torch(nesterov):
    """At a constant rate Keras' velocity is -rate times torch's buffer, and the parameters are the same."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(nesterov)
    start = rng.normal(size=20)
    w = torch.tensor(start.copy(), requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9, nesterov=bool(nesterov))
    own, velocity = start, np.zeros(20)
    for step in range(1, 6):
        g = rng.normal(size=20)
        w.grad = torch.tensor(g)
        optimizer.step()
        own, velocity = ref.sgd(own, g, [0.1, step, 0, 0], velocity, momentum=0.9, nesterov=nesterov)
    close(own, w.detach().numpy(), "sgd")


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adamw_against_torch_without_epsilon(amsgrad):
    """Keras' epsilon stands beside the uncorrected sqrt(v), torch's beside the corrected one.

    With epsilon = 0 they agree.
    """
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start = rng.normal(size=20)
    w = torch.tensor(start.copy(), requires_grad=True)
    optimizer = torch.optim.AdamW([w], lr=0.01, eps=0.0, weight_decay=0.1, amsgrad=amsgrad)
    own, m, v = start, np.zeros(20), np.zeros(20)
    largest = np.zeros(20) if amsgrad else None
    for step in range(1, 6):
        g = rng.normal(size=20) / step**2  # falling gradients: vmax leaves v behind
        w.grad = torch.tensor(g)
        optimizer.step()
        own, m, v, largest = ref.adam(own, g, m, v, [0.01, step, 0, 0], None, largest, epsilon=0.0, weight_decay=0.1)
    close(own, w.detach().numpy(), "adam")


# ---------------------------------------------------------------- Keras


@pytest.fixture(scope="module")
def keras():
    import os

    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


@pytest.mark.parametrize(
    "name, attributes, options",
    [
        ("SGD", {}, {}),
        ("SGD", {"momentum": 0.9}, {"momentum": 0.9}),
        (
            "SGD",
            {"momentum": 0.9, "nesterov": 1, "weight_decay": 0.01},
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        ),
        ("SGD", {"clip_value": 0.5}, {"clipvalue": 0.5}),
        ("Adam", {}, {}),
        ("Adam", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
        ("Adam", {"amsgrad": True, "weight_decay": 0.01}, {"amsgrad": True, "weight_decay": 0.01}),
    ],
)
def test_optimizers_against_keras(keras, name, attributes, options):
    """Five steps of Keras' float32.

    Its 1 - beta_2^t >= 0.001 is off by 2^-24, so each Adam step of 0.05 by 0.05 2^-24 / 0.002.
    """
    rng = np.random.default_rng(0)
    start = rng.normal(size=30).astype(np.float32)
    variable = keras.Variable(start)
    optimizer = getattr(keras.optimizers, name)(learning_rate=0.05, **options)
    w, state = start, [np.zeros(30), np.zeros(30), np.zeros(30) if attributes.pop("amsgrad", False) else None]
    for step in range(1, 6):
        g = rng.normal(size=30).astype(np.float32) / step
        optimizer.apply([keras.ops.convert_to_tensor(g)], [variable])
        hyper = [0.05, step, 0, 0]
        if name == "SGD":
            w, state[0] = ref.sgd(w, g, hyper, state[0] if "momentum" in attributes else None, **attributes)
        else:
            w, *state = ref.adam(w, g, state[0], state[1], hyper, None, state[2], **attributes)
    atol = 2.0**-20 + (5 * 0.05 * 2.0**-24 / 0.002 if name == "Adam" else 0.0)
    np.testing.assert_allclose(w, keras.ops.convert_to_numpy(variable), rtol=0, atol=atol)


@pytest.mark.parametrize(
    "op, function, options",
    [
        ("categorical_cross_entropy", "categorical_crossentropy", {}),
        ("categorical_cross_entropy", "categorical_crossentropy", {"label_smoothing": 0.1}),
        ("softmax_cross_entropy", "categorical_crossentropy", {"label_smoothing": 0.1}),
        ("binary_cross_entropy", "binary_crossentropy", {"label_smoothing": 0.1}),
        ("sigmoid_cross_entropy", "binary_crossentropy", {"label_smoothing": 0.1}),
    ],
)
def test_losses_against_keras(keras, op, function, options):
    rng = np.random.default_rng(0)
    from_logits = op.startswith(("softmax", "sigmoid"))
    x = rng.normal(size=(6, 5)) if from_logits else rng.uniform(0.01, 0.99, (6, 5))
    target = np.eye(5)[rng.integers(0, 5, 6)]
    expected = getattr(keras.losses, function)(
        target.astype("float32"), x.astype("float32"), from_logits=from_logits, **options
    )
    np.testing.assert_allclose(ref.OPS[op](x, target, **options), keras.ops.convert_to_numpy(expected), rtol=1e-5)


def test_same_padding_layers_against_keras(keras):
    """Keras pads the odd pixel at the bottom and right."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 6, 3)).astype(np.float32)
    pool = keras.ops.max_pool(x, 3, strides=2, padding="same")
    own = ref.max_pool2d(x, pool_h=3, pool_w=3, stride_h=2, stride_w=2, pad_top=1, pad_bottom=1, pad_right=1)
    np.testing.assert_allclose(own, keras.ops.convert_to_numpy(pool), atol=1e-5)
    w = rng.normal(size=(3, 3, 3, 4)).astype(np.float32)
    y = keras.ops.conv(x, w, strides=2, padding="same", data_format="channels_last")
    own = ref.conv2d(
        x, w, kernel_h=3, kernel_w=3, stride_h=2, stride_w=2, pad_top=1, pad_left=0, pad_bottom=1, pad_right=1
    )[0]
    np.testing.assert_allclose(own, keras.ops.convert_to_numpy(y), atol=1e-4)
    w = rng.normal(size=(3, 3, 3, 2)).astype(np.float32)
    y = keras.ops.depthwise_conv(x, w, padding="valid", data_format="channels_last")
    own = ref.depthwise_conv2d(x, w, kernel_h=3, kernel_w=3)
    np.testing.assert_allclose(own, keras.ops.convert_to_numpy(y), atol=1e-4)


def test_every_operation_has_cases():
    assert set(op_cases.GENERATORS) == set(ref.OPS)
