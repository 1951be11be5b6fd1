"""Elementwise operations, broadcasting and its gradient, on every instruction set."""

import numpy as np
import pytest

import op_cases
from harness import check, count, on_every_path
from op_cases import Case

OPS = (
    "add",
    "subtract",
    "multiply",
    "maximum",
    "minimum",
    "maximum_backward",
    "minimum_backward",
    "reduce_sum_to",
    "affine",
    "fill",
    "log",
    "log_backward",
    "arctan",
    "arctan_backward",
    "replace_nan",
)


@pytest.mark.parametrize("op", OPS)
def test_within_the_bound(op):
    for index in range(count(150)):
        check(op_cases.case(op, index))


@pytest.mark.parametrize("op", ["add", "subtract", "multiply", "maximum", "minimum"])
@pytest.mark.parametrize(
    "a, b",
    [
        ((2, 3, 4, 5), (5,)),
        ((5,), (2, 3, 4, 5)),
        ((2, 1, 4, 1), (3, 1, 17)),
        ((1,), (2, 3)),
        ((1, 1, 1, 33), (2, 1, 3, 1)),
    ],
)
def test_broadcasting(op, a, b):
    rng = np.random.default_rng(0)
    check(Case(op, 0, [op_cases.normal(rng, *a), op_cases.normal(rng, *b)]))


@pytest.mark.parametrize("op, numpy_op", [("maximum", np.maximum), ("minimum", np.minimum)])
def test_nan_propagates(op, numpy_op):
    a = np.tile(np.float32([np.nan, 1, np.nan, np.inf, -np.inf]), 7)
    b = np.tile(np.float32([1, np.nan, np.nan, 0, 0]), 7)
    for isa, (y,) in on_every_path(Case(op, 0, [a, b])):
        assert np.array_equal(y, numpy_op(a, b), equal_nan=True), isa


def test_every_byte_becomes_its_number():
    x = np.arange(256, dtype=np.uint8)
    for isa, (y,) in on_every_path(Case("affine", 0, [x], {"scale": 0.5, "offset": -64.0})):
        assert np.array_equal(y, np.arange(256) * 0.5 - 64), isa


def test_log_and_arctan_over_the_whole_range():
    tiny_to_huge = np.float32(2.0) ** np.linspace(-126, 127, 2003, dtype=np.float32)
    near_one = np.linspace(0.5, 3, 4001, dtype=np.float32)
    check(Case("log", 0, [np.concatenate([tiny_to_huge, near_one])]))
    check(Case("arctan", 0, [np.concatenate([-tiny_to_huge, tiny_to_huge, near_one, -near_one])]))
    check(Case("arctan_backward", 0, [np.ones(4006, np.float32), np.concatenate([-tiny_to_huge, tiny_to_huge])]))


def test_limits_of_log_and_arctan():
    x = np.tile(np.float32([0, -1, np.inf, -np.inf, np.nan]), 7)
    for isa, (y,) in on_every_path(Case("log", 0, [x])):
        assert np.array_equal(y[:5], [-np.inf, np.nan, np.inf, np.nan, np.nan], equal_nan=True), isa
    for isa, (y,) in on_every_path(Case("arctan", 0, [x])):
        half = np.float32(np.pi / 2)
        assert np.array_equal(y[[0, 2, 3, 4]], [0, half, -half, np.nan], equal_nan=True), isa
