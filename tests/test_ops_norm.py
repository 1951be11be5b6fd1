"""Batch normalisation on every instruction set."""

import numpy as np
import pytest

import op_cases
from cnncore import _core
from harness import check, count, on_every_path
from op_cases import Case


@pytest.mark.parametrize(
    "op",
    [
        "batchnorm_moments",
        "batchnorm",
        "batchnorm_backward",
        "batchnorm_fold",
        "batchnorm_constants",
        "batchnorm_backward_constants",
        "moving_average",
        "standardize",
        "standardize_backward",
    ],
)
def test_within_the_bound(op):
    for index in range(count(100)):
        check(op_cases.case(op, index))


@pytest.mark.parametrize("ratio", [1e3, 1e4])
def test_variance_survives_a_large_mean(ratio):
    """mean = ratio std: E[x^2] - mean^2 in float32 is off by ratio^2 2^-24 = 0.06 or 6 times the variance."""
    rng = np.random.default_rng(0)
    x = (ratio + rng.standard_normal((3, 17, 19, 33))).astype(np.float32)
    expected = x.astype(np.float64).var(axis=(0, 1, 2))
    for isa, (mean, var) in on_every_path(Case("batchnorm_moments", 0, [x], {}, (True, True))):
        np.testing.assert_allclose(mean, x.astype(np.float64).mean(axis=(0, 1, 2)), rtol=2.0**-22, err_msg=isa)
        np.testing.assert_allclose(var, expected, rtol=ratio * 2.0**-20, err_msg=isa)


def test_a_constant_channel_has_no_variance():
    x = np.full((2, 9, 7, 17), 3.3, np.float32)
    for isa, (mean, var) in on_every_path(Case("batchnorm_moments", 0, [x], {}, (True, True))):
        assert np.all(np.abs(mean - x[0, 0, 0]) <= 2.0**-22) and np.all((var >= 0) & (var <= 2.0**-40)), isa


def test_nan_stays_in_its_channel():
    x = np.random.default_rng(0).standard_normal((2, 5, 5, 17)).astype(np.float32)
    x[1, 2, 3, 16] = np.nan
    for isa, (mean, var) in on_every_path(Case("batchnorm_moments", 0, [x], {}, (True, True))):
        assert (
            np.isnan(mean[16]) and np.isnan(var[16]) and np.isfinite(mean[:16]).all() and np.isfinite(var[:16]).all()
        ), isa


@pytest.mark.parametrize("attributes", [{}, {"ridge": 10.0}, {"per_channel": 1}, {"divide": 0}], ids=str)
def test_a_constant_sample_becomes_zero(attributes):
    """Whatever is divided by: the difference from the mean is exactly 0, so no epsilon can blow it up."""
    x = np.full((3, 9, 7, 17), 0.1, np.float32)
    for isa, (y,) in on_every_path(Case("standardize", 0, [x], attributes)):
        assert not y.any(), isa


@pytest.mark.parametrize("activation", [{}, {"activation": 1}, {"activation": 1, "max_value": 1.0}])
def test_a_result_written_past_the_caches_has_the_same_bits(activation):
    """33 images together are beyond the size from which that is done, one image is not."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((33, 64, 64, 16)).astype(np.float32)
    vectors = [draw.uniform(0.5, 1.5, 16).astype(np.float32) for _ in range(4)]
    attributes = {"epsilon": 1e-3, **activation}
    for isa, (together,) in on_every_path(Case("batchnorm", 0, [x, *vectors], attributes)):
        for i, image in enumerate(x):
            (alone,) = _core.run_op("batchnorm", [image[None], *vectors], attributes, isa=isa, outputs=(True,))
            assert np.array_equal(together[i], alone[0]), f"{isa}, image {i}"


def test_constants_of_a_gradient_take_sums_or_what_they_are_of():
    c, x = np.ones(3, np.float32), np.ones((2, 5, 3), np.float32)
    run = lambda *inputs, rows=10: _core.run_op("batchnorm_backward_constants", [c, c, *inputs], {"rows": rows})
    for inputs in ([None] * 2, [c, None], [c, c, None, x, x], [None, None, None, x, None]):
        with pytest.raises(ValueError, match="either sum_g and sum_gx must be given, or g and x"):
            run(*inputs)
    with pytest.raises(ValueError, match=r"g must have the shape of x, \(2, 5, 3\), got \(2, 1, 3\)"):
        run(None, None, None, x[:, :1], x)
    with pytest.raises(ValueError, match=r"x must have 3 channels, as mean, in 11 rows, got \(2, 5, 3\)"):
        run(None, None, None, x, x, rows=11)


def test_a_residual_is_normalised_with_both_its_constants():
    c, x = np.ones(3, np.float32), np.ones((2, 5, 3), np.float32)
    run = lambda *inputs: _core.run_op("batchnorm", [x, c, c, None, None, *inputs], {"epsilon": 1e-3})
    for inputs in ([x, c, None], [x, None, c], [None, c, c]):
        with pytest.raises(ValueError, match="must be given together, and with a residual"):
            run(*inputs)
    with pytest.raises(ValueError, match=r"residual_shift must be float32 of shape \(3,\)"):
        run(x, c, c[:2])
