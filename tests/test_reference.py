"""The reference itself: values worked by hand."""

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
    assert ref.depthwise_conv2d(x, w, kernel_h=1, kernel_w=1)[0].ravel().tolist() == [3, 4, 10, 12]


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
    np.testing.assert_allclose(ref.norm.normalise(x, mean, var, [2.0], [5.0], epsilon=0.0), [[3], [7]])


def test_batchnorm_fold_equals_batchnorm_after_convolution():
    rng = np.random.default_rng(3)
    x, w, bias = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(3, 3, 3, 4)), rng.normal(size=4)
    mean, var, gamma, beta = rng.normal(size=4), rng.uniform(0.1, 1, 4), rng.normal(size=4), rng.normal(size=4)
    w2, bias2 = ref.batchnorm_fold(w, bias, mean, var, gamma, beta, epsilon=1e-3)
    expected = ref.norm.normalise(ref.conv2d(x, w, bias, **SOURCE)[0], mean, var, gamma, beta, epsilon=1e-3)
    np.testing.assert_allclose(ref.conv2d(x, w2, bias2, **SOURCE)[0], expected, rtol=1e-12, atol=1e-12)
    w, o = rng.normal(size=(3, 3, 3, 2)), 6
    mean, var = rng.normal(size=o), rng.uniform(0.1, 1, o)
    w2, bias2 = ref.batchnorm_fold(w, None, mean, var, epsilon=1e-3, depthwise=1)
    expected = ref.norm.normalise(ref.depthwise_conv2d(x, w, **SOURCE)[0], mean, var, epsilon=1e-3)
    np.testing.assert_allclose(ref.depthwise_conv2d(x, w2, bias2, **SOURCE)[0], expected, rtol=1e-12, atol=1e-12)


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


def test_every_operation_has_cases():
    assert set(op_cases.GENERATORS) == set(ref.OPS)
