"""Pooling on every instruction set."""

import numpy as np
import pytest

import op_cases
from harness import check, count, on_every_path
from op_cases import Case


@pytest.mark.parametrize("op", ["max_pool2d", "max_pool2d_backward", "avg_pool2d", "avg_pool2d_backward"])
def test_within_the_bound(op):
    for index in range(count(100)):
        check(op_cases.case(op, index))


def image(*values):
    """A row of pixels, the same in each of 19 channels."""
    return np.tile(np.float32(values)[None, None, :, None], (1, 1, 1, 19))


@pytest.mark.parametrize(
    "values, expected",
    [
        ([1, np.nan, 3, 4], [np.nan, np.nan, 4]),
        ([np.nan, 1, 2, 3], [np.nan, 2, 3]),
        ([1, 2, 3, np.nan], [2, 3, np.nan]),
        ([-np.inf, -np.inf, 1, np.inf], [-np.inf, 1, np.inf]),
        ([-3, -2, -1, -4], [-2, -1, -1]),
    ],
)
def test_special_values(values, expected):
    for isa, (y,) in on_every_path(Case("max_pool2d", 0, [image(*values)], {"pool_h": 1, "pool_w": 2})):
        assert np.array_equal(y, image(*expected), equal_nan=True), f"{isa}: {y[0, 0, :, 0]}"


def test_padding_counts_as_minus_infinity():
    x = image(-5, -7)
    for isa, (y,) in on_every_path(
        Case("max_pool2d", 0, [x], {"pool_h": 1, "pool_w": 2, "pad_left": 1, "pad_right": 1})
    ):
        assert np.array_equal(y, image(-5, -5, -7)), isa


def test_ties_give_the_gradient_to_the_first():
    x = np.zeros((1, 2, 2, 19), np.float32)
    y, grad_y = np.zeros((1, 1, 1, 19), np.float32), np.ones((1, 1, 1, 19), np.float32)
    for isa, (grad_x,) in on_every_path(Case("max_pool2d_backward", 0, [x, y, grad_y], {"pool_h": 2, "pool_w": 2})):
        assert grad_x[0, :, :, 0].tolist() == [[1, 0], [0, 0]] and grad_x.sum() == 19, isa
