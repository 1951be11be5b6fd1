"""Dropout and Gaussian noise: counter-based, so a draw depends on (seed, step, stream, element) alone."""

import math

import numpy as np
import pytest

from harness import on_every_path
from op_cases import Case

N = 100_003


def draw(op, attributes, x=None, **counters):
    """The output on the first instruction set; equal bits on all of them and for any number of threads."""
    x = np.ones(N, np.float32) if x is None else x
    results = [y for _, (y,) in on_every_path(Case(op, 0, [x], attributes), **{"seed": 1, "step": 1, **counters})]
    for y in results[1:]:
        if op == "dropout":
            assert np.array_equal(y, results[0], equal_nan=True)
        else:
            np.testing.assert_allclose(y, results[0], atol=2.0**-18)  # log and cosine may round differently
    return results[0]


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9])
def test_dropout_keeps_the_expectation(rate):
    """Survivors are 1 / (1 - rate); their share is 1 - rate within five standard deviations."""
    y = draw("dropout", {"rate": rate, "stream": 3})
    kept = y != 0
    assert np.allclose(y[kept], 1 / (1 - rate), rtol=2.0**-22)
    assert abs(kept.mean() - (1 - rate)) <= 5 * math.sqrt(rate * (1 - rate) / N)


def test_dropout_is_the_identity_at_rate_zero():
    x = np.random.default_rng(0).standard_normal(1001).astype(np.float32)
    assert np.array_equal(draw("dropout", {"rate": 0.0, "stream": 0}, x), x)


def test_dropout_of_everything_is_zero():
    """rate = 1 is allowed, as in Keras: no 0 / 0."""
    assert not draw("dropout", {"rate": 1.0, "stream": 0}).any()


def test_the_same_counters_give_the_same_mask_and_it_is_the_gradient():
    rng = np.random.default_rng(0)
    x, grad = (rng.standard_normal(5003).astype(np.float32) for _ in range(2))
    mask = draw("dropout", {"rate": 0.5, "stream": 7}, np.ones(5003, np.float32))
    assert np.array_equal(draw("dropout", {"rate": 0.5, "stream": 7}, x), x * mask)
    assert np.array_equal(draw("dropout", {"rate": 0.5, "stream": 7}, grad), grad * mask)


@pytest.mark.parametrize("change", [{"seed": 2}, {"step": 2}, {"stream": 8}], ids=str)
@pytest.mark.parametrize("op, attributes", [("dropout", {"rate": 0.5}), ("gaussian_noise", {"stddev": 1.0})])
def test_another_seed_step_or_stream_is_independent(op, attributes, change):
    """Two draws of n values are uncorrelated: |r| <= 5 / sqrt(n)."""
    a = draw(op, {**attributes, "stream": 7})
    b = draw(
        op,
        {**attributes, "stream": change.get("stream", 7)},
        **{key: value for key, value in change.items() if key != "stream"},
    )
    assert abs(np.corrcoef(a, b)[0, 1]) <= 5 / math.sqrt(N)
    assert abs(np.corrcoef(a[1:], b[:-1])[0, 1]) <= 5 / math.sqrt(N)


def test_neighbours_are_independent():
    y = draw("dropout", {"rate": 0.5, "stream": 0})
    for lag in (1, 2, 4, 8, 16):
        assert abs(np.corrcoef(y[lag:], y[:-lag])[0, 1]) <= 5 / math.sqrt(N), lag


def test_a_nan_that_is_kept_stays_nan():
    y = draw("dropout", {"rate": 0.25, "stream": 0}, np.full(1001, np.nan, np.float32))
    assert np.isnan(y).sum() >= 600


def test_gaussian_noise_is_normal():
    """Mean, deviation, skew and kurtosis of 1e5 draws within five standard errors, and the 3-sigma tail."""
    z = (draw("gaussian_noise", {"stddev": 2.0, "stream": 5}).astype(np.float64) - 1) / 2
    error = 5 / math.sqrt(N)
    assert abs(z.mean()) <= error and abs(z.std() - 1) <= error / math.sqrt(2)
    assert abs((z**3).mean()) <= error * math.sqrt(15) and abs((z**4).mean() - 3) <= error * math.sqrt(96)
    assert abs((np.abs(z) > 3).mean() - 0.0026998) <= error * math.sqrt(0.0027)


def test_gaussian_noise_of_zero_deviation_is_the_identity():
    x = np.random.default_rng(0).standard_normal(1001).astype(np.float32)
    assert np.array_equal(draw("gaussian_noise", {"stddev": 0.0, "stream": 0}, x), x)


@pytest.mark.parametrize("rate", [-0.1, 1.5, math.nan])
def test_rate_outside_zero_to_one_is_refused(rate):
    with pytest.raises(ValueError, match="rate"):
        draw("dropout", {"rate": rate, "stream": 0})
