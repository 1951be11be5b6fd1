"""Arguments that layers of images share: pairs, paddings, data formats."""

from ..checks import is_integer


def pair(layer, name, value, minimum=1):
    """(rows, columns) from an integer or a pair of integers."""
    values = (value, value) if is_integer(value) else value
    try:
        values = tuple(values)
    except TypeError:
        values = ()
    if len(values) != 2 or not all(is_integer(v) and v >= minimum for v in values):
        raise ValueError(f"{layer}: {name} must be an integer of at least {minimum} or a pair of them, got {value!r}")
    return int(values[0]), int(values[1])


def borders(layer, name, value):
    """((top, bottom), (left, right)) from an integer, a pair (rows, columns) or two pairs."""
    rule = (
        f"{layer}: {name} must be an integer, (rows, columns) or ((top, bottom), (left, right)), "
        f"none of them negative, got {value!r}"
    )
    if is_integer(value):
        value = (value, value)
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(rule)
    result = []
    for side in value:
        side = (side, side) if is_integer(side) else side
        if not isinstance(side, (list, tuple)) or len(side) != 2 or not all(is_integer(v) and v >= 0 for v in side):
            raise ValueError(rule)
        result.append((int(side[0]), int(side[1])))
    return tuple(result)


def padding(layer, value):
    """ "valid", "same", or explicit borders ((top, bottom), (left, right))."""
    if isinstance(value, str):
        if value.lower() not in ("valid", "same"):
            raise ValueError(
                f'{layer}: padding must be "valid", "same", an integer, (rows, columns) or ((top, bottom), '
                f"(left, right)), got {value!r}"
            )
        return value.lower()
    return borders(layer, "padding", value)


def pads(value, size, kernel, strides, dilation=(1, 1)):
    """The attributes pad_top ... pad_right for a padding and the height and width of an image.

    "same" gives ceil(size / stride) results: the total is max((results - 1) * stride + extent - size, 0) with the
    smaller half before.
    """
    if value == "valid":
        sides = ((0, 0), (0, 0))
    elif value == "same":
        sides = []
        for n, k, s, d in zip(size, kernel, strides, dilation):
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            sides.append((total // 2, total - total // 2))
    else:
        sides = value
    (top, bottom), (left, right) = sides
    return {"pad_top": top, "pad_bottom": bottom, "pad_left": left, "pad_right": right}


def channels_last(layer, data_format):
    """The one data format there is."""
    if data_format not in (None, "channels_last"):
        raise ValueError(
            f'{layer}: data_format must be "channels_last" (images are n, height, width, channels), got '
            f"{data_format!r}; "
            "transpose the data with numpy.transpose(x, (0, 2, 3, 1))"
        )


def image_shape(layer, shape):
    """(height, width, channels) of an input that must be images."""
    if len(shape) != 4:
        raise ValueError(
            f'layer "{layer}": the input must be images of shape (n, height, width, channels), got {shape}'
        )
    return shape[1:]
