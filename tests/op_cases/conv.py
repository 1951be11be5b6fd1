"""Convolutions, and what is fused with them."""

import numpy as np

import reference

from .pieces import (
    MAX_PRODUCTS,
    STRIDES,
    activation_attributes,
    channels,
    generator,
    maybe,
    normal,
    normalised_residual,
    relu_family,
    sparse,
    weights,
)


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
    stride_h, stride_w = (int(s) for s in rng.choice([1, 2] if usual else STRIDES, 2))
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


def has_windows(a):
    """Does a convolution read its pixels by windows, as it does where they have few channels?"""
    attributes = a["attributes"]
    few = a["x"].shape[3] <= 8 and attributes["kernel_w"] > 1
    return few and attributes.get("dilation_w", 1) == 1 and attributes.get("groups", 1) == 1


def bytes_or_floats(rng, a):
    """x of a convolution and the attributes of its rescaling: now and then bytes, where it takes them."""
    if not has_windows(a) or rng.random() < 0.5:
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
    if rng.random() < 0.5:
        residual = sparse(residual, a["attributes"])
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
    if has_windows(a) and rng.random() < 0.5:
        inputs += [normal(rng, *grad_y.shape), *(normal(rng, grad_y.shape[3]) for _ in range(3))]
        return inputs, attributes, (True,)
    return inputs, attributes, (True, bool(rng.random() < 0.5))


def pooled_convolution(rng, values=normal, overlapping=False):
    """(x, w, bias) of a convolution of few channels and the attributes of it and of the pooling of its result, which is
    of 2x2 whole windows half of the time. overlapping: windows leave no rows between them.
    """
    while True:
        n, c, o = int(rng.integers(1, 6)), int(rng.integers(1, 8)), channels(rng)
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
        windows = attributes["kernel_w"] > 1 and attributes.get("dilation_w", 1) == 1
        if windows and p >= pooling["pool_h"] and q >= pooling["pool_w"] and products <= MAX_PRODUCTS:
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


def _normalised_pixels(rng):
    """(x, scale, shift) and the attributes of a 1x1 convolution, the one that takes them by direct sums."""
    c = channels(rng)
    x = normal(rng, *(int(n) for n in rng.integers(1, 12, 3)), c)
    return x, normal(rng, c), normal(rng, c), {"kernel_h": 1, "kernel_w": 1, **relu_family(rng)}


@generator("batchnorm_conv2d")
def _batchnorm_conv2d(rng, op):
    x, scale, shift, act = _normalised_pixels(rng)
    c, moments, written = x.shape[3], bool(rng.random() < 0.6), bool(rng.random() < 0.5)
    w = weights(rng, normal, c, 1, 1, c, channels(rng))
    inputs = [x, w, scale, shift, *normalised_residual(rng, x.shape)]
    return inputs, act, (True, moments, moments, written)


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
    residual = normal(rng, *x.shape)
    residual = maybe(rng, sparse(residual, {}) if rng.random() < 0.5 else residual, 0.3)
    return [grad_y, w, x, *after, scale, shift, residual, *epilogue], {**own, **mask}, (*outputs, True)
