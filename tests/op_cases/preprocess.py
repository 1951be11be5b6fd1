"""Preparing data."""

import numpy as np

from .pieces import channels, feature_shape, generator, maybe, normal


@generator("log", "arctan")
def _function(rng, op):
    x = normal(rng, *feature_shape(rng)) * np.float32(2.0 ** rng.uniform(-20, 20))
    return [np.abs(x) if op == "log" else x], {}


@generator("log_backward", "arctan_backward")
def _function_backward(rng, op):
    (x,), _ = _function(rng, op.removesuffix("_backward"))
    return [normal(rng, *x.shape), x], {}


@generator("replace_nan")
def _replace_nan(rng, op):
    x = normal(rng, *feature_shape(rng))
    x[rng.random(x.shape) < 0.3] = np.nan
    return [x, normal(rng, 1 if rng.random() < 0.3 else x.shape[-1]), maybe(rng, normal(rng, *x.shape))], {}


def _sample_shape(rng):
    return (int(rng.integers(1, 5)), *(int(d) for d in rng.integers(1, 9, int(rng.integers(0, 3)))), channels(rng))


def _standard_attributes(rng):
    return {
        "scale": float(rng.choice([1.0, -0.5, 55.0])),
        "ridge": float(rng.choice([0.0, 0.25, 10.0])),
        "epsilon": float(rng.choice([0.125, 4.0])),
        "per_channel": int(rng.integers(0, 2)),
        "divide": int(rng.random() < 0.8),
    }


@generator("standardize")
def _standardize(rng, op):
    return [normal(rng, *_sample_shape(rng)) + np.float32(rng.choice([0.0, 1.0, 100.0]))], _standard_attributes(rng)


@generator("standardize_backward")
def _standardize_backward(rng, op):
    (x,), attributes = _standardize(rng, "standardize")
    return [normal(rng, *x.shape), x], attributes
