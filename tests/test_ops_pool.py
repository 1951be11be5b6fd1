"""Pooling on every instruction set."""

import numpy as np
import pytest

import op_cases
import reference
from cnncore import _core
from harness import check, count, on_every_path
from op_cases import Case


@pytest.mark.parametrize("op", ["max_pool2d", "max_pool2d_backward", "avg_pool2d", "avg_pool2d_backward"])
def test_within_the_bound(op):
    for index in range(count(100)):
        check(op_cases.case(op, index))


def image(*values):
    """A row of pixels, the same in each of 19 channels."""
    return np.tile(np.float32(values)[None, None, :, None], (1, 1, 1, 19))


@pytest.mark.parametrize(
    "values, expected",
    [
        ([1, np.nan, 3, 4], [np.nan, np.nan, 4]),
        ([np.nan, 1, 2, 3], [np.nan, 2, 3]),
        ([1, 2, 3, np.nan], [2, 3, np.nan]),
        ([-np.inf, -np.inf, 1, np.inf], [-np.inf, 1, np.inf]),
        ([-3, -2, -1, -4], [-2, -1, -1]),
    ],
)
def test_special_values(values, expected):
    for isa, (y,) in on_every_path(Case("max_pool2d", 0, [image(*values)], {"pool_h": 1, "pool_w": 2})):
        assert np.array_equal(y, image(*expected), equal_nan=True), f"{isa}: {y[0, 0, :, 0]}"


@pytest.mark.parametrize("shape", [(1, 23, 9, 20), (3, 13, 13, 33), (20, 8, 7, 5)])
@pytest.mark.parametrize("pool, stride, pad", [(5, 1, 2), (4, 2, 1), (7, 3, 0), (3, 1, 1)])
def test_overlapping_windows_give_the_same_to_places_as_to_pixels(shape, pool, stride, pad):
    """Bit for bit, where windows cross the bands that a few images are cut into; to no pixel for a place that a window
    does not have."""
    generator = np.random.default_rng(pool)
    x = np.round(4 * generator.standard_normal(shape)).astype(np.float32)  # many ties
    attributes = dict(pool_h=pool, pool_w=pool, stride_h=stride, stride_w=stride)
    attributes |= {f"pad_{side}": pad for side in ("top", "left", "bottom", "right")}
    y, place = _core.run_op("max_pool2d", [x], attributes)
    grad_y = generator.standard_normal(y.shape).astype(np.float32)
    size = dict(in_h=shape[1], in_w=shape[2])
    for isa in _core.available_isas():
        (expected,) = _core.run_op("max_pool2d_backward", [x, y, grad_y], attributes, isa=isa)
        for threads in (1, 3):
            run = dict(attributes=attributes | size, isa=isa, threads=threads)
            (grad_x,) = _core.run_op("max_pool2d_backward", [None, y, grad_y, place], **run)
            assert grad_x.tobytes() == expected.tobytes(), f"{isa} {threads}"
            (grad_x,) = _core.run_op("max_pool2d_backward", [None, y, grad_y, np.full_like(place, 255)], **run)
            assert not grad_x.any(), f"{isa} {threads}"


def test_places_of_the_maxima():
    for index in range(count(100)):
        case = op_cases.case("max_pool2d", index)
        case.inputs = [np.round(value) for value in case.inputs]  # many ties: the first maximum counts
        case.attributes.update(
            (name, np.round(case.attributes[name])) for name in ("alpha", "max_value") if name in case.attributes
        )
        case.inputs[0][case.inputs[0] == 2] = np.nan if index % 2 else -np.inf
        case.outputs = (True, True)
        with np.errstate(invalid="ignore"):  # 0 times infinity, NaN on either side
            y = reference.max_pool2d(*case.inputs, **case.attributes)
            place = reference.max_pool2d_places(*case.inputs, **case.attributes)
        for isa, results in on_every_path(case):
            assert results[1].dtype == np.uint8, isa
            assert np.array_equal(results[0], y, equal_nan=True) and np.array_equal(results[1], place), f"{case} {isa}"


@pytest.mark.parametrize(
    "inputs, attributes, message",
    [
        ("yg", {}, "either x or place must be given, got neither"),
        ("xygp", {}, "either x or place must be given, got both"),
        ("ygp", {"in_h": 4}, "in_h and in_w must be given where x is not"),
        ("ygp", {"in_h": 6, "in_w": 4}, "must have the shape of the pooled image"),
        ("ygp", {"in_h": 4, "in_w": 4, "pool_h": 300, "pad_top": 299}, "at most 256 pixels, got 600; give x instead"),
    ],
)
def test_the_gradient_needs_either_pixels_or_places(inputs, attributes, message):
    x, y = np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 2, 2, 3), np.float32)
    given = {"x": x, "y": y, "g": y, "p": y.astype(np.uint8)}
    operands = [given[key] if key in inputs else None for key in "xygp"]
    geometry = {"pool_h": 2, "pool_w": 2, "stride_h": 2, "stride_w": 2, **attributes}
    with pytest.raises(ValueError, match=message):
        _core.run_op("max_pool2d_backward", operands, geometry)


@pytest.mark.parametrize(
    "inputs, attributes, message",
    [
        ("xs", {}, "scale and shift must be given together"),
        ("xb", {}, "scale and shift must be given together"),
        ("xwb", {}, r"scale must be float32 of shape \(3,\), got float32 \(4,\)"),
        ("x", {"activation": 1}, "an activation is of what is normalised, and there is no scale; use activation"),
        ("x", {"max_value": 6}, "an activation is of what is normalised"),
        ("xsb", {"activation": 3}, "activation must be linear"),
        ("xsb", {"activation": 1, "alpha": -0.5}, "alpha must not be negative"),
    ],
)
def test_what_is_normalised_needs_both_constants(inputs, attributes, message):
    given = {"x": np.zeros((1, 4, 4, 3), np.float32), "w": np.zeros(4, np.float32)}
    given["s"] = given["b"] = np.zeros(3, np.float32)
    operands = [next((given[key] for key in keys if key in inputs), None) for keys in ("x", "sw", "b")]
    with pytest.raises(ValueError, match=message):
        _core.run_op("max_pool2d", operands, {"pool_h": 2, "pool_w": 2, **attributes})


def test_padding_counts_as_minus_infinity():
    x = image(-5, -7)
    for isa, (y,) in on_every_path(
        Case("max_pool2d", 0, [x], {"pool_h": 1, "pool_w": 2, "pad_left": 1, "pad_right": 1})
    ):
        assert np.array_equal(y, image(-5, -5, -7)), isa


def test_ties_give_the_gradient_to_the_first():
    x = np.zeros((1, 2, 2, 19), np.float32)
    y, grad_y = np.zeros((1, 1, 1, 19), np.float32), np.ones((1, 1, 1, 19), np.float32)
    for isa, (grad_x,) in on_every_path(Case("max_pool2d_backward", 0, [x, y, grad_y], {"pool_h": 2, "pool_w": 2})):
        assert grad_x[0, :, :, 0].tolist() == [[1, 0], [0, 0]] and grad_x.sum() == 19, isa


@pytest.mark.parametrize("op, pool", [("max_pool2d", 3), ("avg_pool2d", 2)])
def test_large_tensors_are_pooled_as_small_ones(op, pool):
    """Those that come from memory are read in order first: each image has the same bits as alone."""
    x = np.random.default_rng(4).standard_normal((3, 150, 160, 64)).astype(np.float32)
    assert x.nbytes > 16 << 20 > x[0].nbytes
    attributes = dict(pool_h=pool, pool_w=pool, stride_h=2, stride_w=2, pad_top=pool - 2, pad_left=pool - 2)
    for isa in _core.available_isas():
        for threads in (1, 2):
            y = _core.run_op(op, [x], attributes, isa=isa, threads=threads)[0]
            for image, pooled in zip(x, y):
                assert np.array_equal(pooled, _core.run_op(op, [image[None]], attributes, isa=isa)[0][0]), isa
