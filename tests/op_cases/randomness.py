"""Dropout and noise."""

from .pieces import feature_shape, generator, normal


@generator("dropout")
def _dropout(rng, op):
    return [normal(rng, *feature_shape(rng))], {
        "rate": float(rng.choice([0.0, 0.25, 0.5, 0.9])),
        "stream": int(rng.integers(0, 100)),
    }


@generator("gaussian_noise")
def _gaussian_noise(rng, op):
    return [normal(rng, *feature_shape(rng))], {
        "stddev": float(rng.choice([0.0, 0.5, 2.0])),
        "stream": int(rng.integers(0, 100)),
    }
