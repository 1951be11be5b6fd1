"""Optimizers on every instruction set."""

import numpy as np
import pytest

import op_cases
from harness import check, count, on_every_path
from op_cases import Case


@pytest.mark.parametrize("op", ["sgd", "adam"])
def test_within_the_bound(op):
    for index in range(count(150)):
        check(op_cases.case(op, index))


def test_adam_bias_correction_at_the_first_step_is_exact():
    """1 - 0.999 in float32 would be off by 3e-5.

    The first step is the learning rate to a few units in the last place.
    """
    rng = np.random.default_rng(0)
    g, zero = op_cases.normal(rng, 65), np.zeros(65, np.float32)
    hyper = np.float32([0.01, 1, 0, 0])
    inputs = [zero, g, zero, zero, hyper, None, None]
    attributes = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 0.0}
    for isa, (w, *_) in on_every_path(Case("adam", 0, inputs, attributes, (True, True, True, False))):
        np.testing.assert_allclose(w, -0.01 * np.sign(g), rtol=16 * 2.0**-24, err_msg=isa)


def test_nan_gradient_is_seen_after_clipping():
    """Clipping by value must not turn a NaN into a number."""
    w, g, hyper = np.ones(19, np.float32), np.full(19, np.nan, np.float32), np.float32([0.1, 1, 0, 0])
    for isa, (new,) in on_every_path(Case("sgd", 0, [w, g, hyper, None, None], {"clip_value": 0.5}, (True, False))):
        assert np.isnan(new).all(), isa
