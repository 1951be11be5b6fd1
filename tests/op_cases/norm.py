"""Normalisation."""

import numpy as np

import reference

from .conv import gradient_epilogue
from .pieces import (
    activation_attributes,
    channels,
    feature_shape,
    generator,
    maybe,
    normal,
    normalised_residual,
    relu_family,
)


def _statistics(rng, c):
    return normal(rng, c), rng.uniform(0.1, 2.0, c).astype(np.float32)


@generator("batchnorm_moments")
def _moments(rng, op):
    shape = feature_shape(rng)
    offset = float(rng.choice([0.0, 0.0, 1.0, 1000.0]))  # a mean far above the deviation
    return [normal(rng, *shape) + np.float32(offset)], {}, (True, True)


@generator("batchnorm")
def _batchnorm(rng, op):
    shape = feature_shape(rng)
    c = shape[-1]
    inputs = [
        normal(rng, *shape),
        *_statistics(rng, c),
        maybe(rng, normal(rng, c)),
        maybe(rng, normal(rng, c)),
        *normalised_residual(rng, shape),
    ]
    constants = bool(rng.random() < 0.5)
    return inputs, {"epsilon": 1e-3, **activation_attributes(rng)}, (True, constants, constants)


@generator("batchnorm_backward")
def _batchnorm_backward(rng, op):
    shape = feature_shape(rng)
    c = shape[-1]
    x, gamma, act = normal(rng, *shape), maybe(rng, normal(rng, c)), relu_family(rng)
    training = int(rng.integers(0, 2))
    mean, var = (m.astype(np.float32) for m in reference.batchnorm_moments(x)) if training else _statistics(rng, c)
    y = reference.norm.normalise(
        x, mean, var, gamma, normal(rng, c), maybe(rng, normal(rng, *shape)), epsilon=1e-3, **act
    ).astype(np.float32)
    outputs = (True, *(bool(b) for b in rng.random(3) < 0.6))
    grad_y, scale, shift, sum_g, sum_gx = normal(rng, *shape), None, None, None, None
    kind = rng.random()
    if kind < 0.3:  # the sign from x
        (_, x, _, scale, shift), act, _ = gradient_epilogue(rng, shape)
        y = None
        scale, shift, act = (scale, shift, act) if scale is not None else (None, None, {})
        x = x if x is not None else normal(rng, *shape)
    elif kind < 0.6:  # the sums from elsewhere
        act, y = {}, None
        sum_g, sum_gx = (
            v.astype(np.float32) for v in reference.activations.gradient_epilogue(grad_y, None, x, mean)[1:]
        )
    inputs = [grad_y, x, y, mean, var, gamma, scale, shift, sum_g, sum_gx]
    if sum_g is not None and training and rng.random() < 0.6:  # what other readers of x have given
        before, after = (int(n) for n in rng.integers(0, 20, 2) * (rng.random() < 0.7))
        inputs.append(normal(rng, *shape[:-1], before + c + after))
        act, outputs = {"added_begin": before}, (*outputs[:3], False)
    return inputs, {"epsilon": 1e-3, **act, "training": training}, outputs


@generator("batchnorm_constants")
def _batchnorm_constants(rng, op):
    c = channels(rng)
    inputs = [*_statistics(rng, c), maybe(rng, normal(rng, c)), maybe(rng, normal(rng, c))]
    return inputs, {"epsilon": 1e-3}, (True, True)


@generator("batchnorm_backward_constants")
def _batchnorm_backward_constants(rng, op):
    c = channels(rng)
    statistics, gamma = _statistics(rng, c), maybe(rng, normal(rng, c))
    rows = int(rng.integers(1, 1000))
    if rng.random() < 0.5:
        inputs = [*statistics, normal(rng, c), normal(rng, c), gamma]
    else:
        inputs = [*statistics, None, None, gamma, normal(rng, rows, c), normal(rng, rows, c)]
    return inputs, {"epsilon": 1e-3, "rows": float(rows)}, (True,) * 5


@generator("batchnorm_fold")
def _batchnorm_fold(rng, op):
    c, m, is_depthwise = channels(rng), int(rng.integers(1, 4)), rng.random() < 0.4
    w = (
        normal(rng, 3, 2, c, m)
        if is_depthwise
        else normal(rng, 3, 2, 4, c)
        if rng.random() < 0.6
        else normal(rng, 5, c)
    )
    o = c * m if is_depthwise else c
    inputs = [
        w,
        maybe(rng, normal(rng, o)),
        *_statistics(rng, o),
        maybe(rng, normal(rng, o)),
        maybe(rng, normal(rng, o)),
    ]
    return inputs, {"epsilon": 1e-3, "depthwise": int(is_depthwise)}, (True, True)


@generator("moving_average")
def _moving_average(rng, op):
    c = channels(rng)
    return [normal(rng, c), normal(rng, c)], {"momentum": float(rng.choice([0.0, 0.9, 0.99, 0.999]))}
