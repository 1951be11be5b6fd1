"""Shapes: joining, cutting, padding, repeating."""

from .pieces import channels, feature_shape, generator, normal


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
