"""Losses, penalties and metrics on every instruction set."""

import numpy as np
import pytest

import op_cases
import reference
from harness import check, count, on_every_path
from op_cases import Case

OPS = (
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "categorical_cross_entropy",
    "categorical_cross_entropy_backward",
    "sigmoid_cross_entropy",
    "sigmoid_cross_entropy_backward",
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "squared_error",
    "squared_error_backward",
    "absolute_error",
    "absolute_error_backward",
    "weighted_mean",
    "weighted_mean_backward",
    "l1_l2_penalty",
    "l1_l2_backward",
    "correct",
    "sum_of_squares",
    "clip_scale",
)


@pytest.mark.parametrize("op", OPS)
def test_within_the_bound(op):
    for index in range(count(100)):
        check(op_cases.case(op, index))


@pytest.mark.parametrize("sparse", [True, False])
def test_large_logits(sparse):
    """Logits of +-1e4: the loss is their distance, the gradient is that of a hard maximum, nothing overflows."""
    logits = np.float32([[1e4, 0, -1e4], [1e4, 0, -1e4]])
    target = np.int32([0, 2]) if sparse else np.float32([[1, 0, 0], [0, 0, 1]])
    for isa, (loss,) in on_every_path(Case("softmax_cross_entropy", 0, [logits, target])):
        assert loss.tolist() == [0, 20000], isa
    for isa, (grad,) in on_every_path(
        Case("softmax_cross_entropy_backward", 0, [logits, target, np.ones(2, np.float32)])
    ):
        assert grad.tolist() == [[0, 0, 0], [1, 0, -1]], isa


def test_large_binary_logits():
    logits, target = np.float32([[1e4], [-1e4], [1e4], [-1e4]]), np.float32([[1], [0], [0], [1]])
    for isa, (loss,) in on_every_path(Case("sigmoid_cross_entropy", 0, [logits, target])):
        assert loss.tolist() == [0, 0, 1e4, 1e4], isa


def test_certain_and_wrong_probabilities_are_clipped():
    """-log 1e-7 = 16.118; and, since float32 has no 1 - 1e-7, -log of the 2^-23 or 2^-24 below one, for 1 - p."""
    for isa, (loss,) in on_every_path(
        Case("categorical_cross_entropy", 0, [np.float32([[0, 1], [1, 0]]), np.int32([0, 0])])
    ):
        assert loss[0] == pytest.approx(16.11809565, rel=2.0**-20) and 0 <= loss[1] <= 2.0**-22, isa
    for isa, (loss,) in on_every_path(
        Case("binary_cross_entropy", 0, [np.float32([[0], [1], [1]]), np.float32([[1], [0], [1]])])
    ):
        assert (
            loss[0] == pytest.approx(16.11809565, rel=2.0**-20) and 15.9 < loss[1] < 16.7 and 0 <= loss[2] <= 2.0**-22
        ), isa


def test_ignored_class_has_no_loss_and_no_gradient():
    rng = np.random.default_rng(0)
    logits, target = op_cases.normal(rng, 3, 5), np.int32([255, 1, 255])
    for isa, (loss,) in on_every_path(Case("softmax_cross_entropy", 0, [logits, target], {"ignore_class": 255})):
        assert loss[0] == 0 and loss[2] == 0 and loss[1] > 0, isa
    case = Case("softmax_cross_entropy_backward", 0, [logits, target, np.ones(3, np.float32)], {"ignore_class": 255})
    for isa, (grad,) in on_every_path(case):
        assert not grad[0].any() and not grad[2].any() and grad[1].any(), isa


def test_a_nan_logit_makes_the_loss_nan():
    logits = np.float32([[0, np.nan, 0], [0, 1, 0]])
    for isa, (loss,) in on_every_path(Case("softmax_cross_entropy", 0, [logits, np.int32([0, 0])])):
        assert np.isnan(loss[0]) and np.isfinite(loss[1]), isa


def test_sum_of_squares_is_accumulated_in_double():
    """2^20 ones and one 2^12: float32 accumulation would stall at 2^24."""
    x = np.ones(2**20 + 1, np.float32) * 8
    for isa, (total,) in on_every_path(Case("sum_of_squares", 0, [x])):
        assert total[0] == np.float32(reference.sum_of_squares(x)[0]), isa


def test_zero_gradients_are_not_scaled():
    for isa, (scale,) in on_every_path(Case("clip_scale", 0, [np.zeros(1, np.float32)], {"clip": 1.0})):
        assert scale[0] == 1, isa
