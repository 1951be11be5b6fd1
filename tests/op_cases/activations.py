"""Activations."""

import numpy as np

import reference
from reference.activations import FROM_OUTPUT, NAMES, RELU

from .pieces import activation_attributes, feature_shape, generator, normal


@generator("activation")
def _activation(rng, op):
    attributes = activation_attributes(rng)
    if attributes["activation"] == RELU and rng.random() < 0.3:
        attributes["threshold"] = 0.5
    return [normal(rng, *feature_shape(rng), scale=float(rng.choice([0.01, 1.0, 4.0, 30.0])))], attributes


@generator("activation_backward")
def _activation_backward(rng, op):
    from_input = int(rng.integers(0, 2))
    attributes = activation_attributes(rng, range(len(NAMES)) if from_input else FROM_OUTPUT)
    x = normal(rng, *feature_shape(rng), scale=float(rng.choice([0.01, 1.0, 4.0])))
    if attributes["activation"] == RELU and from_input and rng.random() < 0.3:
        attributes["threshold"] = 0.5
    seen = x if from_input else reference.activation(x, **attributes).astype(np.float32)
    return [normal(rng, *x.shape), seen], {**attributes, "reference_is_input": from_input}


@generator("softmax")
def _softmax(rng, op):
    return [normal(rng, *feature_shape(rng), scale=float(rng.choice([1.0, 10.0])))], {}


@generator("softmax_backward")
def _softmax_backward(rng, op):
    y = reference.softmax(normal(rng, *feature_shape(rng))).astype(np.float32)
    return [normal(rng, *y.shape), y], {}
