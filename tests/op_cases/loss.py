"""Losses and penalties."""

import numpy as np

import reference
from reference.loss import IGNORE_NONE

from .elementwise import shape_attributes
from .pieces import feature_shape, generator, maybe, normal


def _with_grad(rng, op, inputs, attributes):
    """Add grad_loss for the backward operation."""
    if op.endswith("backward"):
        inputs = [*inputs, normal(rng, *inputs[0].shape[:-1])]
    return inputs, attributes


def _loss_shape(rng):
    shape = feature_shape(rng)
    return shape if len(shape) > 1 else (3, *shape)


@generator(
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "categorical_cross_entropy",
    "categorical_cross_entropy_backward",
)
def _categorical(rng, op):
    shape = _loss_shape(rng)
    x = normal(rng, *shape, scale=3.0)
    attributes = {"label_smoothing": float(rng.choice([0.0, 0.125]))}
    if op.startswith("categorical"):
        x = reference.softmax(0.5 * x).astype(np.float32) * np.float32(rng.choice([1.0, 1.25]))  # not always normalised
        x = np.minimum(x, np.float32(0.99)) if shape[-1] > 1 else np.full_like(x, 0.5)
    if rng.random() < 0.5:
        target = reference.softmax(normal(rng, *shape)).astype(np.float32)
    else:
        target = rng.integers(0, shape[-1], shape[:-1]).astype(np.int32)
        if rng.random() < 0.4:
            attributes["ignore_class"] = int(rng.choice([0, 255, -1]))
            target = np.where(rng.random(target.shape) < 0.2, attributes["ignore_class"], target).astype(np.int32)
        else:
            attributes["ignore_class"] = IGNORE_NONE
    return _with_grad(rng, op, [x, target], attributes)


@generator(
    "sigmoid_cross_entropy", "sigmoid_cross_entropy_backward", "binary_cross_entropy", "binary_cross_entropy_backward"
)
def _binary_loss(rng, op):
    shape = _loss_shape(rng)
    x = (
        normal(rng, *shape, scale=3.0)
        if op.startswith("sigmoid")
        else rng.uniform(0.01, 0.99, shape).astype(np.float32)
    )
    target = (
        rng.integers(0, 2, shape).astype(np.float32) if rng.random() < 0.7 else rng.random(shape).astype(np.float32)
    )
    return _with_grad(rng, op, [x, target], {"label_smoothing": float(rng.choice([0.0, 0.125]))})


@generator("squared_error", "squared_error_backward", "absolute_error", "absolute_error_backward")
def _regression(rng, op):
    shape = _loss_shape(rng)
    return _with_grad(rng, op, [normal(rng, *shape), normal(rng, *shape)], {})


@generator("weighted_mean")
def _weighted_mean(rng, op):
    loss = normal(rng, *feature_shape(rng))
    return [loss, maybe(rng, rng.random(loss.shape).astype(np.float32))], {"scale": float(rng.choice([1.0, 0.25]))}


@generator("weighted_mean_backward")
def _weighted_mean_backward(rng, op):
    shape = feature_shape(rng)
    return [normal(rng, 1), maybe(rng, rng.random(shape).astype(np.float32))], {
        **shape_attributes(shape),
        "scale": float(rng.choice([1.0, 0.25])),
    }


@generator("l1_l2_penalty")
def _penalty(rng, op):
    return [normal(rng, *feature_shape(rng))], {
        "l1": float(rng.choice([0.0, 0.125])),
        "l2": float(rng.choice([0.0, 0.25])),
    }


@generator("l1_l2_backward")
def _penalty_backward(rng, op):
    w = normal(rng, *feature_shape(rng))
    w.flat[0] = 0.0  # sign(0) = 0
    return [w, normal(rng, 1), maybe(rng, normal(rng, *w.shape))], {"l1": 0.125, "l2": 0.25}


@generator("correct")
def _correct(rng, op):
    shape, mode = _loss_shape(rng), int(rng.integers(0, 3))
    x = (
        np.round(normal(rng, *shape, scale=2.0)) if mode < 2 else rng.random(shape).astype(np.float32)
    )  # ties: the first is the argmax
    target = (
        rng.integers(0, shape[-1], shape[:-1]).astype(np.int32)
        if mode == 0
        else normal(rng, *shape)
        if mode == 1
        else rng.integers(0, 2, shape).astype(np.float32)
    )
    return [x, target], {"mode": mode, "threshold": float(rng.choice([0.5, 0.25]))}


@generator("sum_of_squares")
def _sum_of_squares(rng, op):
    return [normal(rng, *feature_shape(rng))], {}


@generator("clip_scale")
def _clip_scale(rng, op):
    sums = [rng.random(1).astype(np.float32) for _ in range(int(rng.integers(1, 5)))]
    return sums, {"clip": float(rng.choice([0.1, 1.0, 10.0]))}
