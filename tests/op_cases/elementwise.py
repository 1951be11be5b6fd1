"""Elementwise operations and reductions."""

import numpy as np

from .pieces import feature_shape, generator, normal


def broadcast_pair(rng):
    """Two shapes that NumPy broadcasts, with ones and missing axes at random."""
    full = feature_shape(rng)

    def thinned():
        shape = tuple(1 if rng.random() < 0.25 else d for d in full)
        return shape[int(rng.integers(0, len(shape))) :] if rng.random() < 0.25 else shape

    return ((full, full), (full, thinned()), (thinned(), full), (thinned(), thinned()))[int(rng.integers(0, 4))]


@generator("add", "subtract", "multiply", "maximum", "minimum")
def _binary(rng, op):
    return [normal(rng, *shape) for shape in broadcast_pair(rng)], {}


@generator("maximum_backward", "minimum_backward")
def _extremum_backward(rng, op):
    a, b = (np.round(normal(rng, *shape)) for shape in broadcast_pair(rng))  # rounded: ties occur
    return [normal(rng, *np.broadcast_shapes(a.shape, b.shape)), a, b], {}, (True, True)


def shape_attributes(shape):
    return {"rank": len(shape), **{f"d{k}": int(d) for k, d in enumerate(shape)}}


@generator("reduce_sum_to")
def _reduce_sum_to(rng, op):
    full = feature_shape(rng)
    target = tuple(1 if rng.random() < 0.5 else d for d in full)[int(rng.integers(0, len(full))) :]
    return [normal(rng, *full)], shape_attributes(target)


@generator("affine")
def _affine(rng, op):
    shape, kind = feature_shape(rng), rng.integers(0, 3)
    x = (
        normal(rng, *shape)
        if kind == 0
        else (
            rng.integers(0, 256, shape).astype(np.uint8)
            if kind == 1
            else rng.integers(-(2**31), 2**31, shape).astype(np.int32)
        )
    )
    return [x], {"scale": float(rng.choice([1.0, 1 / 255, -0.25])), "offset": float(rng.choice([0.0, -0.5, 3.0]))}


@generator("fill")
def _fill(rng, op):
    return [], {**shape_attributes(feature_shape(rng)), "value": float(rng.choice([0.0, 1.0, -2.5]))}


@generator("reshape")
def _reshape(rng, op):
    x = normal(rng, *feature_shape(rng))
    shape = ((x.size,), (1, x.size), x.shape[::-1], (x.shape[0], x.size // x.shape[0]))[int(rng.integers(0, 4))]
    return [x], shape_attributes(shape)
