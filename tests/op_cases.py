"""Random cases for every operation: inputs and attributes, sizes on both sides of every tile edge.

`case("conv2d", 17)` is always the same case, so the number in a failure's message ("conv2d case 17") brings it back.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np

import reference
from reference.activations import FROM_OUTPUT, LINEAR, NAMES, RELU, TANH
from reference.loss import IGNORE_NONE

CHANNELS = (
    1,
    3,
    5,
    7,
    8,
    15,
    16,
    17,
    31,
    32,
    33,
    48,
    63,
    64,
    65,
    100,
)  # equal to, a divisor of, below and above the tiles
MAX_PRODUCTS = 1_000_000  # multiply-adds of a convolution case


@dataclass
class Case:
    """One call of an operation; `outputs` says which of its outputs are asked for.

    `index` is the number from which the test's generator (`case`, where no other is named) makes the same inputs again.
    """

    op: str
    index: int
    inputs: list
    attributes: dict = field(default_factory=dict)
    outputs: tuple = (True,)

    def __str__(self):
        shapes = ", ".join("None" if x is None else f"{x.dtype}{list(x.shape)}" for x in self.inputs)
        return f"{self.op} case {self.index}: inputs [{shapes}] attributes {self.attributes} outputs {self.outputs}"


GENERATORS = {}


def generator(*ops):
    """Register a function (rng, op) -> (inputs, attributes) or (inputs, attributes, outputs) for these operations."""

    def register(function):
        GENERATORS.update(dict.fromkeys(ops, function))
        return function

    return register


def case(op, index):
    """The random case of that number."""
    rng = np.random.default_rng([zlib.crc32(op.encode()), index])
    return Case(op, index, *GENERATORS[op](rng, op))


# ---------------------------------------------------------------- pieces


def normal(rng, *shape, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def integers(rng, *shape, bound=4):
    """float32 whole numbers in [-bound, bound]."""
    return rng.integers(-bound, bound + 1, shape).astype(np.float32)


def weights(rng, values, fan_in, *shape):
    """Weights that keep the variance of what they are applied to, where `values` is `normal`.

    Whole numbers stay whole.
    """
    return normal(rng, *shape, scale=fan_in**-0.5) if values is normal else values(rng, *shape)


def maybe(rng, value, p=0.5):
    return value if rng.random() < p else None


def channels(rng):
    return int(rng.choice(CHANNELS))


def feature_shape(rng):
    """A shape (..., c) of rank 1 to 4."""
    rank = int(rng.integers(1, 5))
    return (*(int(d) for d in rng.integers(1, 8, rank - 1)), channels(rng))


def activation_attributes(rng, kinds=range(len(NAMES))):
    """activation, alpha, max_value; constants that float32 holds exactly, so that both sides see the same kink."""
    kind = int(rng.choice(list(kinds)))
    attributes = {"activation": kind, "alpha": float(rng.choice([0.0, 0.125, 0.25])) if kind == RELU else 1.0}
    if rng.random() < 0.3:
        attributes["max_value"] = float(rng.choice([0.75, 6.0]))
    return attributes


def relu_family(rng):
    return activation_attributes(rng, (0, RELU))


def geometry(rng, groups=1):
    """(h, w, attributes) of a convolution that has at least one output pixel."""
    kind = rng.integers(0, 8)
    if kind == 0:  # kernel as large as the input
        kernel_h, kernel_w = (int(k) for k in rng.integers(1, 7, 2))
        attributes = dict(
            kernel_h=kernel_h, kernel_w=kernel_w, stride_h=int(rng.integers(1, 3)), stride_w=int(rng.integers(1, 3))
        )
        return kernel_h, kernel_w, with_groups(attributes, groups)
    if kind == 1:  # 1x1 convolution
        kernel_h = kernel_w = 1
    elif kind <= 4:  # the usual 3x3
        kernel_h = kernel_w = 3
    else:
        kernel_h, kernel_w = int(rng.integers(1, 6)), int(rng.integers(1, 8))
    usual = rng.random() < 0.4
    dilation_h, dilation_w = (1, 1) if usual else (int(d) for d in rng.integers(1, 4, 2))
    stride_h, stride_w = (int(s) for s in rng.integers(1, 3 if usual else 4, 2))
    extent_h, extent_w = (kernel_h - 1) * dilation_h + 1, (kernel_w - 1) * dilation_w + 1
    pads = [int(rng.integers(0, extent + 1)) for extent in (extent_h // 2 + 1, extent_w // 2 + 1) * 2]
    if usual:
        pads = [extent_h // 2, extent_w // 2] * 2
    h = int(rng.integers(max(1, extent_h - pads[0] - pads[2]), extent_h + 12))
    w = int(rng.integers(max(1, extent_w - pads[1] - pads[3]), extent_w + 18))
    attributes = dict(
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride_h=stride_h,
        stride_w=stride_w,
        pad_top=pads[0],
        pad_left=pads[1],
        pad_bottom=pads[2],
        pad_right=pads[3],
        dilation_h=dilation_h,
        dilation_w=dilation_w,
    )
    return h, w, with_groups(attributes, groups)


def with_groups(attributes, groups):
    return {**attributes, "groups": groups} if groups > 1 else attributes


def out_size(h, w, attributes):
    return reference.conv.Window(**attributes).out_size(h, w)


def convolution(rng, values=normal, max_products=MAX_PRODUCTS, grouped=True):
    """Arrays and attributes of a convolution: dict(x, w, grad_y, bias, residual, attributes, in_h, in_w)."""
    while True:
        groups = int(rng.choice([1, 1, 1, 1, 2, 3, 4, 8])) if grouped else 1
        if groups == 1:
            c, o = channels(rng), channels(rng)
        else:
            c, o = groups * int(rng.choice([1, 2, 3, 5, 8, 9, 16])), groups * int(rng.choice([1, 2, 3, 7, 8, 16, 17]))
        n = int(rng.integers(1, 6))
        h, w, attributes = geometry(rng, groups)
        p, q = out_size(h, w, attributes)
        kernel = attributes["kernel_h"], attributes["kernel_w"]
        if n * p * q * o * kernel[0] * kernel[1] * (c // groups) <= max_products and n * h * w * c <= max_products:
            break
    fan_in = kernel[0] * kernel[1] * c // groups
    return dict(
        x=values(rng, n, h, w, c),
        w=weights(rng, values, fan_in, *kernel, c // groups, o),
        grad_y=values(rng, n, p, q, o),
        bias=values(rng, o),
        residual=values(rng, n, p, q, o),
        attributes=attributes,
        in_h=h,
        in_w=w,
    )


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


# ---------------------------------------------------------------- convolution and dense


def gathers(a):
    """Does a convolution gather what lies under its kernel?"""
    attributes = a["attributes"]
    few = a["x"].shape[3] <= 8 and attributes["kernel_w"] > 1
    return few and attributes.get("dilation_w", 1) == 1 and attributes.get("groups", 1) == 1


def bytes_or_floats(rng, a):
    """x of a convolution and the attributes of its rescaling: now and then bytes, where it takes them."""
    if not gathers(a) or rng.random() < 0.5:
        return a["x"], {}
    x = rng.integers(0, 256, a["x"].shape).astype(np.uint8)
    return x, {"x_scale": float(rng.choice([1 / 255, -1 / 64])), "x_offset": float(rng.choice([0.0, -0.5, 3.0]))}


@generator("conv2d")
def _conv2d(rng, op):
    a = convolution(rng)
    moments = rng.random() < 0.3
    act = {} if moments else activation_attributes(rng)
    x, rescaling = bytes_or_floats(rng, a)
    inputs = [x, a["w"], maybe(rng, a["bias"]), maybe(rng, a["residual"], 0.3)]
    return inputs, {**a["attributes"], **act, **rescaling}, (True, moments, moments)


def gradient_epilogue(rng, shape):
    """(y, x, mean, scale, shift), attributes and outputs of what a gradient of that shape goes through.

    x scale + shift is exact and never 0, so that the reference sees the same signs.
    """
    c = shape[-1]
    act = relu_family(rng) if rng.random() < 0.6 else {}
    from_x, sums = bool(act) and rng.random() < 0.5, rng.random() < 0.5
    x = np.round(4 * normal(rng, *shape)) / np.float32(4)
    scale, shift = np.float32(rng.choice([-2, -1, 0.5, 1], c)), np.round(normal(rng, c)) + np.float32(1 / 16)
    if from_x and rng.random() < 0.5:
        sums = True
    y = normal(rng, *shape) if act and not from_x else None
    inputs = [y, x if sums or from_x else None, normal(rng, c) if sums else None]
    return inputs + ([scale, shift] if from_x else [None, None]), act, (True, sums, sums)


@generator("conv2d_backward_input")
def _conv2d_backward_input(rng, op):
    a = convolution(rng)
    inputs, act, outputs = gradient_epilogue(rng, a["x"].shape)
    residual = normal(rng, *a["x"].shape)
    if rng.random() < 0.5:  # of the pixels that a 1x1 convolution with the same strides would reach
        residual = np.ascontiguousarray(residual[:, :: a["attributes"]["stride_h"], :: a["attributes"]["stride_w"]])
    return (
        [a["grad_y"], a["w"], maybe(rng, residual, 0.3), *inputs],
        {**a["attributes"], "in_h": a["in_h"], "in_w": a["in_w"], **act},
        outputs,
    )


@generator("conv2d_backward_weight")
def _conv2d_backward_weight(rng, op):
    a = convolution(rng)
    x, rescaling = bytes_or_floats(rng, a)
    inputs, attributes, grad_y = [x, a["grad_y"]], {**a["attributes"], **rescaling}, a["grad_y"]
    if gathers(a) and rng.random() < 0.5:
        inputs += [normal(rng, *grad_y.shape), *(normal(rng, grad_y.shape[3]) for _ in range(3))]
        return inputs, attributes, (True,)
    return inputs, attributes, (True, bool(rng.random() < 0.5))


def pooled_convolution(rng, values=normal, overlapping=False):
    """(x, w, bias) of a convolution of few channels and the attributes of it and of the pooling of its result, which is
    of 2x2 whole windows half of the time. overlapping: windows leave no rows between them.
    """
    while True:
        n, c, o = int(rng.integers(1, 6)), int(rng.integers(1, 9)), channels(rng)
        h, w, attributes = geometry(rng)
        p, q = out_size(h, w, attributes)
        if rng.random() < 0.5:
            pooling = dict(pool_h=2, pool_w=2, pool_stride_h=2, pool_stride_w=2)
        else:
            pool = [int(k) for k in rng.integers(1, 5, 2)]
            pads = [int(rng.integers(0, k)) if rng.random() < 0.5 else 0 for k in pool * 2]
            strides = [int(rng.integers(1, (k if overlapping else 3) + 1)) for k in pool]
            pooling = dict(pool_h=pool[0], pool_w=pool[1], pool_stride_h=strides[0], pool_stride_w=strides[1])
            pooling |= {f"pool_pad_{side}": pad for side, pad in zip(("top", "left", "bottom", "right"), pads)}
        products = n * p * q * o * c * attributes["kernel_h"] * attributes["kernel_w"]
        gathers = attributes["kernel_w"] > 1 and attributes.get("dilation_w", 1) == 1
        if gathers and p >= pooling["pool_h"] and q >= pooling["pool_w"] and products <= MAX_PRODUCTS:
            break
    kernel = attributes["kernel_h"], attributes["kernel_w"]
    inputs = [values(rng, n, h, w, c), weights(rng, values, kernel[0] * kernel[1] * c, *kernel, c, o), values(rng, o)]
    return inputs, {**attributes, **pooling}


@generator("conv2d_max_pool2d")
def _conv2d_max_pool2d(rng, op):
    (x, w, bias), attributes = pooled_convolution(rng)
    return [x, w, maybe(rng, bias)], {**attributes, **activation_attributes(rng)}


def pooled_gradient(rng, values=normal):
    """Inputs and attributes of conv2d_max_pool2d_backward_weight."""
    (x, w, bias), attributes = pooled_convolution(rng, values, overlapping=True)
    act = relu_family(rng) if rng.random() < 0.7 else {}
    own, pooling = reference.conv.split_pooling(attributes)
    t = reference.conv2d(x, w, bias, **own, **act)[0]
    y, place = reference.max_pool2d(t, **pooling), reference.max_pool2d_places(t, **pooling)
    inputs = [x, y.astype(np.float32), values(rng, *y.shape), place.astype(np.uint8)]
    return inputs, {**attributes, **act}


@generator("conv2d_max_pool2d_backward_weight")
def _conv2d_max_pool2d_backward_weight(rng, op):
    return *pooled_gradient(rng), (True, bool(rng.random() < 0.7))


@generator("conv2d_transpose")
def _conv2d_transpose(rng, op):
    a = convolution(rng, grouped=False)
    attributes = {**a["attributes"], **activation_attributes(rng), "out_h": a["in_h"], "out_w": a["in_w"]}
    return [a["grad_y"], a["w"], maybe(rng, normal(rng, a["x"].shape[3]))], attributes


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
    return inputs, {**attributes, **act}, (True, bool(rng.random() < 0.8), sums, sums)


def _normalised_pixels(rng):
    """(x, scale, shift) and the attributes of a 1x1 convolution, the one that takes them by direct sums."""
    c = channels(rng)
    x = normal(rng, *(int(n) for n in rng.integers(1, 12, 3)), c)
    return x, normal(rng, c), normal(rng, c), {"kernel_h": 1, "kernel_w": 1, **relu_family(rng)}


@generator("batchnorm_conv2d")
def _batchnorm_conv2d(rng, op):
    x, scale, shift, act = _normalised_pixels(rng)
    c, moments = x.shape[3], bool(rng.random() < 0.6)
    return [x, weights(rng, normal, c, 1, 1, c, channels(rng)), scale, shift], act, (True, moments, moments)


@generator("batchnorm_conv2d_backward_weight")
def _batchnorm_conv2d_backward_weight(rng, op):
    x, scale, shift, act = _normalised_pixels(rng)
    return [x, normal(rng, *x.shape[:3], channels(rng)), scale, shift], act


@generator("pointwise_conv2d_backward")
def _pointwise_backward(rng, op):
    x, scale, shift, _ = _normalised_pixels(rng)
    c, o = x.shape[3], channels(rng)
    grad_y, w = normal(rng, *x.shape[:3], o), weights(rng, normal, o, 1, 1, c, o)
    after = [normal(rng, *grad_y.shape), *(normal(rng, o) for _ in range(3))]
    own = {f"in_{name}": value for name, value in activation_attributes(rng).items()}
    if rng.random() < 0.3:
        scale, shift, own = None, None, {}
    epilogue, mask, outputs = gradient_epilogue(rng, x.shape)
    residual = maybe(rng, normal(rng, *x.shape), 0.3)
    return [grad_y, w, x, *after, scale, shift, residual, *epilogue], {**own, **mask}, (*outputs, True)


@generator("depthwise_conv2d_backward_input")
def _depthwise_backward_input(rng, op):
    a = depthwise(rng)
    inputs, act, outputs = gradient_epilogue(rng, a["x"].shape)
    return [a["grad_y"], a["w"], *inputs], {**a["attributes"], "in_h": a["in_h"], "in_w": a["in_w"], **act}, outputs


@generator("depthwise_conv2d_backward_weight")
def _depthwise_backward_weight(rng, op):
    a = depthwise(rng)
    return [a["x"], a["grad_y"]], {**a["attributes"], "multiplier": a["multiplier"]}, (True, bool(rng.random() < 0.5))


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


# ---------------------------------------------------------------- pooling


def pooling(rng):
    """(x, attributes): the pads are below the window, so every window holds a pixel."""
    pool_h, pool_w = (int(k) for k in rng.choice([1, 2, 2, 3, 3, 4, 5], 2))
    pads = [int(rng.integers(0, k)) if rng.random() < 0.5 else 0 for k in (pool_h, pool_w) * 2]
    h = int(rng.integers(max(1, pool_h - pads[0] - pads[2]), pool_h + 9))
    w = int(rng.integers(max(1, pool_w - pads[1] - pads[3]), pool_w + 9))
    if rng.random() < 0.15:  # the whole image in one window
        pool_h, pool_w, pads = h, w, [0] * 4
    attributes = dict(
        pool_h=pool_h,
        pool_w=pool_w,
        stride_h=int(rng.integers(1, 4)),
        stride_w=int(rng.integers(1, 4)),
        pad_top=pads[0],
        pad_left=pads[1],
        pad_bottom=pads[2],
        pad_right=pads[3],
    )
    return normal(rng, int(rng.integers(1, 6)), h, w, channels(rng)), attributes


@generator("max_pool2d")
def _max_pool(rng, op):
    x, attributes = pooling(rng)
    return [x], attributes


@generator("max_pool2d_backward")
def _max_pool_backward(rng, op):
    x, attributes = pooling(rng)
    if rng.random() < 0.5:
        x = np.round(x)  # many ties: the first maximum counts
    act = relu_family(rng) if rng.random() < 0.5 else {}
    if act:
        x = reference.activation(x, **act).astype(np.float32)
    y = reference.max_pool2d(x, **attributes).astype(np.float32)
    grad_y = normal(rng, *y.shape)
    if rng.random() < 0.5:
        place = reference.max_pool2d_places(x, **attributes).astype(np.uint8)
        return [None, y, grad_y, place], {**attributes, **act, "in_h": x.shape[1], "in_w": x.shape[2]}
    return [x, y, grad_y], {**attributes, **act}


@generator("avg_pool2d")
def _avg_pool(rng, op):
    x, attributes = pooling(rng)
    return [x], {**attributes, "count_include_pad": int(rng.integers(0, 2))}


@generator("avg_pool2d_backward")
def _avg_pool_backward(rng, op):
    x, attributes = pooling(rng)
    y = reference.avg_pool2d(x, **attributes)
    return [normal(rng, *y.shape)], {
        **attributes,
        "in_h": x.shape[1],
        "in_w": x.shape[2],
        "count_include_pad": int(rng.integers(0, 2)),
    }


# ---------------------------------------------------------------- preparing data


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


# ---------------------------------------------------------------- normalisation


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
        maybe(rng, normal(rng, *shape), 0.3),
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
    return inputs, {"epsilon": 1e-3, **act, "training": training}, outputs


@generator("batchnorm_constants")
def _batchnorm_constants(rng, op):
    c = channels(rng)
    inputs = [*_statistics(rng, c), maybe(rng, normal(rng, c)), maybe(rng, normal(rng, c))]
    return inputs, {"epsilon": 1e-3}, (True, True)


@generator("batchnorm_backward_constants")
def _batchnorm_backward_constants(rng, op):
    c = channels(rng)
    inputs = [*_statistics(rng, c), normal(rng, c), normal(rng, c), maybe(rng, normal(rng, c))]
    return inputs, {"epsilon": 1e-3, "rows": float(rng.integers(1, 1000))}, (True,) * 5


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


# ---------------------------------------------------------------- activation


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


# ---------------------------------------------------------------- elementwise


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


# ---------------------------------------------------------------- shape


@generator("concat")
def _concat(rng, op):
    shape = feature_shape(rng)
    axis = int(rng.integers(0, len(shape)))
    sizes = [
        channels(rng) if axis == len(shape) - 1 else int(rng.integers(1, 6)) for _ in range(int(rng.integers(1, 5)))
    ]
    return [normal(rng, *shape[:axis], size, *shape[axis + 1 :]) for size in sizes], {"axis": axis}


@generator("slice")
def _slice(rng, op):
    x = normal(rng, *feature_shape(rng))
    axis = int(rng.integers(0, x.ndim))
    begin = int(rng.integers(0, x.shape[axis]))
    return [x], {"axis": axis, "begin": begin, "length": int(rng.integers(1, x.shape[axis] - begin + 1))}


def image(rng):
    return normal(rng, *(int(d) for d in rng.integers(1, 8, 3)), channels(rng))


@generator("pad2d")
def _pad2d(rng, op):
    return [image(rng)], {f"pad_{side}": int(rng.integers(0, 4)) for side in ("top", "left", "bottom", "right")}


@generator("crop2d")
def _crop2d(rng, op):
    x = image(rng)
    top, left = int(rng.integers(0, x.shape[1])), int(rng.integers(0, x.shape[2]))
    bottom, right = int(rng.integers(0, x.shape[1] - top)), int(rng.integers(0, x.shape[2] - left))
    return [x], dict(crop_top=top, crop_left=left, crop_bottom=bottom, crop_right=right)


@generator("upsample2d", "upsample2d_backward")
def _upsample(rng, op):
    x, factor_h, factor_w = image(rng), int(rng.integers(1, 5)), int(rng.integers(1, 5))
    if op.endswith("backward"):
        x = normal(rng, x.shape[0], x.shape[1] * factor_h, x.shape[2] * factor_w, x.shape[3])
    return [x], {"factor_h": factor_h, "factor_w": factor_w, "mode": int(rng.integers(0, 2))}


# ---------------------------------------------------------------- random


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


# ---------------------------------------------------------------- losses


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


# ---------------------------------------------------------------- optimizers


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
