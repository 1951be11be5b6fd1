"""Dense layers."""

from .conv import gradient_epilogue
from .pieces import activation_attributes, channels, feature_shape, generator, maybe, normal, weights


def _dense_sizes(rng):
    return feature_shape(rng)[:-1] or (1,), channels(rng), channels(rng)


@generator("dense")
def _dense(rng, op):
    rows, i, u = _dense_sizes(rng)
    return (
        [
            normal(rng, *rows, i),
            weights(rng, normal, i, i, u),
            maybe(rng, normal(rng, u)),
            maybe(rng, normal(rng, *rows, u), 0.3),
        ],
        activation_attributes(rng),
    )


@generator("dense_backward_input")
def _dense_backward_input(rng, op):
    rows, i, u = _dense_sizes(rng)
    inputs, act, outputs = gradient_epilogue(rng, (*rows, i))
    return [normal(rng, *rows, u), normal(rng, i, u), maybe(rng, normal(rng, *rows, i), 0.3), *inputs], act, outputs


@generator("dense_backward_weight")
def _dense_backward_weight(rng, op):
    rows, i, u = _dense_sizes(rng)
    return [normal(rng, *rows, i), normal(rng, *rows, u)], {}, (True, bool(rng.random() < 0.5))
