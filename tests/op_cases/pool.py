"""Pooling."""

import numpy as np

import reference

from .pieces import STRIDES, channels, generator, normal, relu_family


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
        stride_h=int(rng.choice(STRIDES)),
        stride_w=int(rng.choice(STRIDES)),
        pad_top=pads[0],
        pad_left=pads[1],
        pad_bottom=pads[2],
        pad_right=pads[3],
    )
    return normal(rng, int(rng.integers(1, 6)), h, w, channels(rng)), attributes


@generator("max_pool2d")
def _max_pool(rng, op):
    x, attributes = pooling(rng)
    if rng.random() < 0.5:
        return [x], attributes
    return [x, normal(rng, x.shape[3]), normal(rng, x.shape[3])], {**attributes, **relu_family(rng)}


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
