"""Activations and softmax on every instruction set."""

import numpy as np
import pytest

import op_cases
from harness import check, count, on_every_path
from op_cases import Case
from reference.activations import NAMES, RELU

REPEAT = 7  # vector body and remainder see each value


@pytest.mark.parametrize("op", ["activation", "activation_backward", "softmax", "softmax_backward"])
def test_within_the_bound(op):
    for index in range(count(200)):
        check(op_cases.case(op, index))


@pytest.mark.parametrize("kind", range(len(NAMES)), ids=NAMES)
def test_whole_range_within_the_bound(kind):
    """From subnormal to the largest float, both signs."""
    tiny_to_huge = np.float32(2.0) ** np.linspace(-126, 127, 2000, dtype=np.float32)
    x = np.concatenate(
        [-tiny_to_huge, tiny_to_huge, np.linspace(-110, 110, 4001, dtype=np.float32), np.zeros(1, np.float32)]
    )
    check(Case("activation", 0, [x.astype(np.float32)], {"activation": kind, "alpha": 0.0 if kind == RELU else 1.0}))


LIMITS = {  # at -inf and +inf
    "linear": (-np.inf, np.inf),
    "relu": (0, np.inf),
    "sigmoid": (0, 1),
    "tanh": (-1, 1),
    "elu": (-1, np.inf),
    "selu": (-1.0507009873554805 * 1.6732632423543772, np.inf),
    "softplus": (0, np.inf),
    "hard_sigmoid": (0, 1),
    "exponential": (0, np.inf),
}


@pytest.mark.parametrize("kind", range(len(NAMES)), ids=NAMES)
def test_nan_and_infinity(kind):
    """NaN passes through every activation; infinities go to the limits."""
    x = np.tile(np.float32([np.nan, np.inf, -np.inf, 1.0]), REPEAT)
    for isa, (y,) in on_every_path(
        Case("activation", 0, [x], {"activation": kind, "alpha": 0.0 if kind == RELU else 1.0})
    ):
        rows = y.reshape(REPEAT, 4)
        assert np.isnan(rows[:, 0]).all(), f"{NAMES[kind]} {isa}: NaN became {rows[:, 0]}"
        assert np.isfinite(rows[:, 3]).all(), f"{NAMES[kind]} {isa}"
        if NAMES[kind] in LIMITS:
            low, high = LIMITS[NAMES[kind]]
            np.testing.assert_allclose(rows[:, 1], high, rtol=2.0**-22, err_msg=f"{NAMES[kind]} {isa}")
            np.testing.assert_allclose(rows[:, 2], low, rtol=2.0**-22, err_msg=f"{NAMES[kind]} {isa}")


@pytest.mark.parametrize("kind", range(len(NAMES)), ids=NAMES)
def test_a_nan_is_the_same_wherever_it_is_in_a_row(kind):
    """Its sign and its digits, so that the bits do not depend on where the rows of a thread end."""
    for n in (1, 5, 16, 37):
        x = np.resize(np.uint32([0x7FC00000, 0xFFC00000, 0x7FC12345]), n).view(np.float32)
        for isa, (y,) in on_every_path(
            Case("activation", 0, [x], {"activation": kind, "alpha": 0.5, "max_value": 3.0})
        ):
            assert np.array_equal(y.view(np.uint32), x.view(np.uint32)), f"{NAMES[kind]} {isa}: {y.view(np.uint32)}"


@pytest.mark.parametrize(
    "attributes", [{}, {"max_value": 6.0}, {"alpha": 0.25}, {"alpha": 0.25, "max_value": 6.0}], ids=str
)
def test_nan_passes_through_the_relu_family(attributes):
    x = np.tile(np.float32([np.nan, -1, 7]), REPEAT)
    for isa, (y,) in on_every_path(Case("activation", 0, [x], {"activation": RELU, **attributes})):
        assert np.isnan(y[::3]).all() and np.isfinite(y.reshape(-1, 3)[:, 1:]).all(), isa


@pytest.mark.parametrize("from_input", [0, 1])
def test_relu_slope_at_zero_is_zero(from_input):
    zero, one = np.zeros(37, np.float32), np.ones(37, np.float32)
    for sign in (zero, -zero):
        attributes = {"activation": RELU, "reference_is_input": from_input}
        for isa, (grad,) in on_every_path(Case("activation_backward", 0, [one, sign], attributes)):
            assert not grad.any(), isa


def test_softmax_of_large_values():
    x = np.tile(np.float32([1e30, 0, -1e30, 1e30]), (5, 1))
    for isa, (y,) in on_every_path(Case("softmax", 0, [x])):
        assert np.array_equal(y, np.tile(np.float32([0.5, 0, 0, 0.5]), (5, 1))), isa


def test_softmax_with_minus_infinity_masks_and_with_nan_tells():
    x = np.float32([[0, -np.inf, 0], [0, np.nan, 0]])
    for isa, (y,) in on_every_path(Case("softmax", 0, [x])):
        assert y[0].tolist() == [0.5, 0, 0.5] and np.isnan(y[1]).all(), isa
