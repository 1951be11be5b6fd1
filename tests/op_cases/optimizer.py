"""Optimizers."""

import numpy as np

from .pieces import feature_shape, generator, maybe, normal


def _optimizer(rng):
    shape = feature_shape(rng)
    hyper = np.array([rng.choice([0.1, 0.001]), rng.integers(1, 1000), 0, 0], dtype=np.float32)
    attributes = {"weight_decay": float(rng.choice([0.0, 0.01])), "clip_value": float(rng.choice([0.0, 0.5]))}
    return shape, hyper, maybe(rng, rng.random(1).astype(np.float32), 0.3), attributes


@generator("sgd")
def _sgd(rng, op):
    shape, hyper, scale, attributes = _optimizer(rng)
    velocity = maybe(rng, normal(rng, *shape))
    if velocity is not None:
        attributes.update(momentum=float(rng.choice([0.5, 0.9])), nesterov=int(rng.integers(0, 2)))
    return [normal(rng, *shape), normal(rng, *shape), hyper, velocity, scale], attributes, (True, velocity is not None)


@generator("adam")
def _adam(rng, op):
    shape, hyper, scale, attributes = _optimizer(rng)
    v = rng.random(shape).astype(np.float32)
    vmax = maybe(rng, rng.random(shape).astype(np.float32))
    attributes.update(beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    inputs = [normal(rng, *shape), normal(rng, *shape), normal(rng, *shape), v, hyper, scale, vmax]
    return inputs, attributes, (True, True, True, vmax is not None)
