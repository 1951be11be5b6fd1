"""Sums of products or of elements, the gradients that are such sums, pooling, and what is exact or rounded once."""

import numpy as np

import reference as ref

from .base import BOUNDS, U, absolute, bound, gradient_sums, reduction, split_activation, through_activation


def plain_reduction(op, n):
    """Each output is a sum of at most n(inputs, attributes) products."""

    def compute(inputs, attributes, outputs):
        magnitudes = ref.run(op, absolute(inputs), attributes)
        return [reduction(n(inputs, attributes), magnitude) for magnitude in magnitudes]

    BOUNDS[op] = compute


def gradient_reduction(op, operands, n):
    """A sum of n products through the epilogue of gradients: a mask of at most 1 and one more rounding, then the sums
    over the batch.
    """

    def compute(inputs, attributes, outputs):
        own, others = split_activation(attributes)
        magnitude = ref.run(op, absolute(inputs[:operands]), others)[0]
        error = reduction(n(inputs, attributes) + 1, magnitude)
        if len(outputs) == 1:
            return [error]
        return [error, *gradient_sums(error, inputs[operands + 1], inputs[operands + 2], outputs[0])]

    BOUNDS[op] = compute


gradient_reduction(
    "conv2d_backward_input", 3, lambda i, a: np.prod(i[1].shape[:2]) * i[1].shape[3] // a.get("groups", 1)
)
gradient_reduction("depthwise_conv2d_backward_input", 2, lambda i, a: i[1].size // i[1].shape[2])
gradient_reduction("dense_backward_input", 3, lambda i, a: i[1].shape[1])
for _op in ("depthwise_conv2d_backward_weight", "dense_backward_weight"):
    plain_reduction(_op, lambda i, a: i[1].size // i[1].shape[-1])  # one product per pixel or row of grad_y
plain_reduction("avg_pool2d", lambda i, a: a["pool_h"] * a["pool_w"])
plain_reduction("avg_pool2d_backward", lambda i, a: 2 * a["pool_h"] * a["pool_w"])  # each share is a rounded quotient
plain_reduction("reduce_sum_to", lambda i, a: i[0].size)
plain_reduction("upsample2d", lambda i, a: 8 * a["mode"])  # four products of two rounded weights
plain_reduction("upsample2d_backward", lambda i, a: 8 * a["factor_h"] * a["factor_w"])
plain_reduction("sum_of_squares", lambda i, a: 1)  # accumulated in double
plain_reduction("l1_l2_penalty", lambda i, a: i[0].size + 3)
plain_reduction("l1_l2_backward", lambda i, a: 4)
plain_reduction("weighted_mean", lambda i, a: i[0].size + 2)
plain_reduction("weighted_mean_backward", lambda i, a: 3)
plain_reduction("moving_average", lambda i, a: 2)


@bound("max_pool2d")
def _max_pool(inputs, attributes, outputs):
    """The maximum is exact, and no further off than what it is taken of: one rounding, and the activation's."""
    act_attributes, geometry = split_activation(attributes)
    if len(inputs) == 1:
        return exact(inputs, attributes, outputs)
    x, scale, shift = inputs
    magnitude = ref.pool.pooled_values(*absolute([x, scale, shift]))
    error = through_activation(ref.pool.pooled_values(x, scale, shift), U * magnitude, act_attributes)
    return [ref.max_pool2d(error, **geometry), *(np.zeros_like(y, float) for y in outputs[1:])]


@bound(
    "maximum",
    "minimum",
    "maximum_backward",
    "minimum_backward",
    "concat",
    "slice",
    "pad2d",
    "crop2d",
    "reshape",
    "fill",
)
def exact(inputs, attributes, outputs):
    """Copies, comparisons and halves are exact."""
    return [np.zeros(np.shape(y)) for y in outputs]


@bound("max_pool2d_backward")
def _max_pool_backward(inputs, attributes, outputs):
    x, y, grad_y, *place = inputs
    magnitude = ref.max_pool2d_backward(x, y, np.abs(grad_y), *place, **attributes)
    return [reduction(attributes["pool_h"] * attributes["pool_w"], magnitude)]


@bound("add", "subtract", "multiply")
def _one_rounding(inputs, attributes, outputs):
    return [U * np.abs(y) for y in outputs]
