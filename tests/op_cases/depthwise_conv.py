"""Depthwise convolutions, and what is fused with them."""

import numpy as np

from reference.activations import LINEAR, RELU, TANH
from reference.conv import expansion_moments

from .conv import geometry, gradient_epilogue, out_size
from .pieces import MAX_PRODUCTS, activation_attributes, channels, generator, maybe, normal, relu_family, weights


def depthwise(rng, values=normal, max_products=MAX_PRODUCTS):
    """The same for a depthwise convolution, with its multiplier."""
    while True:
        c, m = channels(rng), int(rng.choice([1, 1, 1, 2, 3, 4]))
        n = int(rng.integers(1, 6))
        h, w, attributes = geometry(rng)
        p, q = out_size(h, w, attributes)
        kernel = attributes["kernel_h"], attributes["kernel_w"]
        if n * p * q * c * m * kernel[0] * kernel[1] <= max_products:
            break
    return dict(
        x=values(rng, n, h, w, c),
        w=weights(rng, values, kernel[0] * kernel[1], *kernel, c, m),
        grad_y=values(rng, n, p, q, c * m),
        bias=values(rng, c * m),
        attributes=attributes,
        in_h=h,
        in_w=w,
        multiplier=m,
    )


@generator("depthwise_conv2d")
def _depthwise(rng, op):
    a = depthwise(rng)
    moments = bool(rng.random() < 0.4)
    act = {} if moments else activation_attributes(rng)
    return [a["x"], a["w"], maybe(rng, a["bias"])], {**a["attributes"], **act}, (True, moments, moments)


def pointwise_depthwise(rng, values=normal):
    """Inputs of pointwise_depthwise_conv2d, biases included, and the attributes of its geometry."""
    a = depthwise(rng, values)
    n, h, w, c = a["x"].shape
    inputs = channels(rng)
    return [
        values(rng, n, h, w, inputs),
        weights(rng, values, inputs, 1, 1, inputs, c),
        a["w"][..., :1],
        values(rng, c),
        values(rng, c),
    ], a["attributes"]


@generator("pointwise_depthwise_conv2d")
def _pointwise_depthwise(rng, op):
    inputs, attributes = pointwise_depthwise(rng)
    kinds = [LINEAR, RELU, RELU, TANH]
    inner = {f"inner_{name}": value for name, value in activation_attributes(rng, kinds).items()}
    inputs[3:] = [maybe(rng, bias) for bias in inputs[3:]]
    return inputs, {**attributes, **activation_attributes(rng), **inner}


def batchnorm_depthwise(rng, values=normal):
    """(x, w, scale, shift), the gradient of the result and the attributes: 3x3 taps, stride 1 or 2. x scale + shift is
    exact and never 0, as in gradient_epilogue.
    """
    n, c, stride = int(rng.integers(1, 4)), channels(rng), int(rng.integers(1, 3))
    pads = [int(pad) for pad in rng.integers(0, 3, 4)]
    h, w = (int(rng.integers(max(1, 3 - pads[i] - pads[i + 2]), 15)) for i in (0, 1))
    sides = dict(zip(("top", "left", "bottom", "right"), pads))
    attributes = dict(kernel_h=3, kernel_w=3, stride_h=stride, stride_w=stride)
    attributes |= {f"pad_{side}": pad for side, pad in sides.items()}
    x = np.round(4 * values(rng, n, h, w, c)) / np.float32(4)
    scale, shift = np.float32(rng.choice([-2, -1, 0.5, 1], c)), np.round(normal(rng, c)) + np.float32(1 / 16)
    inputs = [x, weights(rng, values, 9, 3, 3, c, 1), scale, shift]
    return inputs, values(rng, n, *out_size(h, w, attributes), c), attributes


@generator("batchnorm_depthwise_conv2d")
def _batchnorm_depthwise(rng, op):
    moments = bool(rng.random() < 0.6)
    inputs, _, attributes = batchnorm_depthwise(rng)
    act = relu_family(rng) if rng.random() < 0.8 else {}
    return inputs, {**attributes, **act}, (True, moments, moments)


@generator("batchnorm_depthwise_conv2d_backward")
def _batchnorm_depthwise_backward(rng, op):
    (x, w, scale, shift), grad_y, attributes = batchnorm_depthwise(rng)
    act = relu_family(rng) if rng.random() < 0.8 else {}
    sums = bool(rng.random() < 0.8)
    inputs = [grad_y, x, w, normal(rng, x.shape[3]), scale, shift]
    if rng.random() < 0.5:  # a normalisation follows
        inputs += [normal(rng, *grad_y.shape), *(normal(rng, x.shape[3]) for _ in range(3))]
    return inputs, {**attributes, **act}, (True, bool(rng.random() < 0.8), sums, sums)


def expansion(rng):
    """(x, w_inner, w, scale, shift, in_scale, in_shift), a gradient and the attributes of expanded_depthwise_conv2d.

    What x is expanded to are exact sums of small integers, and times scale plus shift exact and never 0.
    """
    (pixels, *_), _, attributes = batchnorm_depthwise(rng)
    n, h, w, _ = pixels.shape
    narrow, wide = int(rng.integers(1, 20)), 16 * int(rng.integers(1, 11))
    whole = lambda most, *shape: rng.integers(-most, most + 1, shape).astype(np.float32)
    x, w_inner = whole(3, n, h, w, narrow), whole(2, 1, 1, narrow, wide)
    scale, shift = np.float32(rng.choice([-2, -1, 0.5, 1], wide)), whole(2, wide) + np.float32(1 / 16)
    own = [whole(2, narrow), whole(1, narrow)] if rng.random() < 0.5 else [None, None]
    depthwise = weights(rng, normal, 9, 3, 3, wide, 1)
    return [x, w_inner, depthwise, scale, shift, *own], normal(rng, n, *out_size(h, w, attributes), wide), attributes


@generator("expansion_moments")
def _expansion_moments(rng, op):
    (x, w_inner, *_, in_scale, in_shift), _, _ = expansion(rng)
    x, w_inner = x + normal(rng, *x.shape), normal(rng, *w_inner.shape)
    wanted = (True, *(bool(rng.random() < 0.8) for _ in range(3)))
    return [x, w_inner, in_scale, in_shift], {}, wanted


@generator("expanded_depthwise_conv2d")
def _expanded_depthwise(rng, op):
    moments = bool(rng.random() < 0.6)
    inputs, _, attributes = expansion(rng)
    act = relu_family(rng) if rng.random() < 0.8 else {}
    return inputs, {**attributes, **act}, (True, moments, moments)


def expansion_gradient(inputs, grad_y, epsilon=1e-3):
    """The first eleven inputs of expanded_depthwise_conv2d_backward: the moments are those of x and w_inner, and gamma
    is what makes the scale of them.
    """
    x, w_inner, w, scale, shift, in_scale, in_shift = inputs
    moments = [np.float32(v) for v in expansion_moments(x, w_inner, in_scale, in_shift)]
    gamma = np.float32(scale * np.sqrt(np.float64(moments[1]) + epsilon))
    return [grad_y, x, w_inner, w, *moments[:2], scale, shift, *moments[2:], gamma]


@generator("expanded_depthwise_conv2d_backward")
def _expanded_depthwise_backward(rng, op):
    inputs, grad_y, attributes = expansion(rng)
    act = {f"inner_{name}": value for name, value in (relu_family(rng) if rng.random() < 0.8 else {}).items()}
    residual = maybe(rng, normal(rng, *inputs[0].shape), 0.5)
    epilogue, mask, outputs = gradient_epilogue(rng, inputs[0].shape)
    own = [*expansion_gradient(inputs, grad_y), *inputs[5:], residual, *epilogue]
    wanted = (*outputs, *(bool(rng.random() < 0.8) for _ in range(4)))
    return own, {**attributes, **act, **mask, "epsilon": 1e-3}, wanted


@generator("depthwise_conv2d_backward_input")
def _depthwise_backward_input(rng, op):
    a = depthwise(rng)
    inputs, act, outputs = gradient_epilogue(rng, a["x"].shape)
    return [a["grad_y"], a["w"], *inputs], {**a["attributes"], "in_h": a["in_h"], "in_w": a["in_w"], **act}, outputs


@generator("depthwise_conv2d_backward_weight")
def _depthwise_backward_weight(rng, op):
    a = depthwise(rng)
    return [a["x"], a["grad_y"]], {**a["attributes"], "multiplier": a["multiplier"]}, (True, bool(rng.random() < 0.5))
