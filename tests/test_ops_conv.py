"""Convolutions on every instruction set: exact on whole numbers, within the derived bound on others."""

import ctypes
import mmap
import sys

import numpy as np
import pytest

import bounds
import op_cases
import reference
from cnncore import _core
from harness import check, check_exact, count, engine, kernel, on_every_path, same_bits
from op_cases import Case, convolution, depthwise, integers, pointwise_depthwise, pooled_convolution, pooled_gradient
from op_cases.pieces import sparse

OPS = (
    "conv2d",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_max_pool2d",
    "conv2d_max_pool2d_backward_weight",
    "conv2d_transpose",
    "depthwise_conv2d",
    "depthwise_conv2d_backward_input",
    "depthwise_conv2d_backward_weight",
    "pointwise_depthwise_conv2d",
    "batchnorm_depthwise_conv2d",
    "batchnorm_depthwise_conv2d_backward",
    "expansion_moments",
    "expanded_depthwise_conv2d",
    "expanded_depthwise_conv2d_backward",
    "batchnorm_conv2d",
    "batchnorm_conv2d_backward_weight",
    "pointwise_conv2d_backward",
    "dense",
    "dense_backward_input",
    "dense_backward_weight",
)
SMALL = 40_000  # multiply-adds; sums of |4 * 4| stay far below 2^24


@pytest.mark.parametrize("op", OPS)
def test_within_the_bound(op):
    for index in range(count(60)):
        check(op_cases.case(op, index))


def arrays(make, index):
    """The arrays of random geometry `index`: whole numbers in [-4, 4], whose float32 sums are exact in any order."""
    return make(np.random.default_rng([2024, index]), integers, SMALL)


def size(a):
    return {"in_h": a["in_h"], "in_w": a["in_w"]}


def convolution_cases(op, index):
    a = arrays(convolution, index)
    g, odd = a["attributes"], index % 2
    return {
        "conv2d": lambda: Case(
            op,
            index,
            [a["x"], a["w"], a["bias"] if odd else None, a["residual"] if index % 3 == 0 else None],
            {**g, "activation": index // 2 % 2},
            (True, False, False),
        ),
        "conv2d_backward_input": lambda: Case(
            op, index, [a["grad_y"], a["w"], (None, a["x"], sparse(a["x"], g))[index % 3]], {**g, **size(a)}
        ),
        "conv2d_backward_weight": lambda: Case(op, index, [a["x"], a["grad_y"]], g, (True, bool(odd))),
    }[op]()


@pytest.mark.parametrize("part", range(5))
@pytest.mark.parametrize("op", ["conv2d", "conv2d_backward_input", "conv2d_backward_weight"])
def test_convolution_is_exact_on_integers(op, part):
    for index in range(part, count(500), 5):
        check_exact(convolution_cases(op, index))


@pytest.mark.parametrize(
    "op", ["depthwise_conv2d", "depthwise_conv2d_backward_input", "depthwise_conv2d_backward_weight"]
)
def test_depthwise_convolution_is_exact_on_integers(op):
    for index in range(count(300)):
        a = arrays(depthwise, index)
        g, odd = a["attributes"], index % 2
        check_exact(
            {
                "depthwise_conv2d": lambda: Case(op, index, [a["x"], a["w"], a["bias"] if odd else None], g),
                "depthwise_conv2d_backward_input": lambda: Case(op, index, [a["grad_y"], a["w"]], {**g, **size(a)}),
                "depthwise_conv2d_backward_weight": lambda: Case(
                    op, index, [a["x"], a["grad_y"]], {**g, "multiplier": a["multiplier"]}, (True, bool(odd))
                ),
            }[op]()
        )


def test_pointwise_and_depthwise_convolution_is_exact_on_integers():
    for index in range(count(300)):
        rng = np.random.default_rng([2027, index])
        inputs, attributes = pointwise_depthwise(rng, integers)
        relu = {"inner_activation": index // 2 % 2, "activation": index // 4 % 2}
        check_exact(Case("pointwise_depthwise_conv2d", index, inputs[: 5 if index % 2 else 3], {**attributes, **relu}))


def test_pooled_convolution_is_exact_on_integers():
    for index in range(count(300)):
        inputs, attributes = pooled_convolution(np.random.default_rng([2030, index]), integers)
        check_exact(Case("conv2d_max_pool2d", index, inputs, {**attributes, "activation": index % 2}))


def test_weight_gradient_of_a_pooled_convolution_is_exact_on_integers():
    for index in range(count(300)):
        inputs, attributes = pooled_gradient(np.random.default_rng([2031, index]), integers)
        attributes["alpha"] = 0.0
        case = Case("conv2d_max_pool2d_backward_weight", index, inputs, attributes, (True, bool(index % 3)))
        check_exact(case)


@pytest.mark.parametrize("values", [(0.0, -0.0), (np.nan, 1.0), (np.inf, -np.inf, 1.0), (1.0, -1.0)])
def test_a_pooled_convolution_has_the_bits_of_its_parts(values):
    """Signs of zero, infinities, NaN and ties included; also after activations that no register applies."""
    for index in range(count(60)):
        rng = np.random.default_rng([2032, index])
        (x, w, bias), attributes = pooled_convolution(rng)
        x = np.where(rng.random(x.shape) < 0.1, rng.choice(values, x.shape), np.round(x)).astype(np.float32)
        w = np.round(2 * w) / np.float32(2)
        own, pooling = reference.conv.split_pooling({**attributes, **op_cases.activation_attributes(rng)})
        both = {**own, **{key: value for key, value in attributes.items() if key.startswith("pool_")}}
        for places in (True, False):
            for isa, results in on_every_path(Case("conv2d_max_pool2d", index, [x, w, bias], both, (True, places))):
                t = _core.run_op("conv2d", [x, w, bias], own, isa=isa, outputs=(True,))[0]
                parts = _core.run_op("max_pool2d", [t], pooling, isa=isa, outputs=(True, places))
                for y in (results[0], parts[0]):
                    y[np.isnan(y)] = np.nan  # whatever its payload
                assert all(same_bits(one, other) for one, other in zip(results, parts)), f"case {index}, {isa}"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_weight_gradient_of_a_pooled_convolution_is_nan_where_that_of_its_parts_is(value):
    """0 * inf is NaN, also of pixels that are no maximum."""
    for index in range(count(60)):
        rng = np.random.default_rng([2033, index])
        (x, y, grad_y, place), attributes = pooled_gradient(rng, integers)
        x[tuple(rng.integers(0, x.shape))] = value
        act, geometry = bounds.split_activation(attributes)
        own, pooling = reference.conv.split_pooling(geometry)
        size = dict(zip(("in_h", "in_w"), op_cases.out_size(*x.shape[1:3], own)))
        case = Case("conv2d_max_pool2d_backward_weight", index, [x, y, grad_y, place], attributes, (True, True))
        for isa, (grad_w, grad_bias) in on_every_path(case):
            backward = [None, y, grad_y, place], {**pooling, **act, **size}
            grad_t = _core.run_op("max_pool2d_backward", *backward, isa=isa)[0]
            parts = _core.run_op("conv2d_backward_weight", [x, grad_t], own, isa=isa, outputs=(True, True), exact=True)
            assert np.array_equal(grad_w, parts[0], equal_nan=True) and same_bits(grad_bias, parts[1]), f"{case} {isa}"


@pytest.mark.parametrize(
    "x, kernel, attributes, message",
    [
        ((1, 8, 8, 9), (3, 3, 5), {}, "x must have few channels.*got 9 channels; use conv2d and max_pool2d"),
        ((3, 18, 18, 8), (3, 3, 5), {}, "directly.*not by Winograd.*of 8 channels and a kernel of 3x3; use conv2d and"),
        (
            (2, 60, 60, 3),
            (7, 7, 16),
            {"stride_h": 2, "stride_w": 2},
            "of 3 channels and a kernel of 7x7; use conv2d and",
        ),
        ((1, 8, 8, 4), (3, 1, 5), {}, "the kernel more than one column"),
        ((1, 8, 8, 4), (3, 3, 5), {"dilation_w": 2}, "without dilation"),
        ((1, 8, 8, 4), (3, 3, 5), {"pool_h": 7}, "the window must not be larger than the padded input"),
    ],
)
def test_a_pooled_convolution_says_what_it_cannot_do(x, kernel, attributes, message):
    rows, columns, outputs = kernel
    inputs = [np.zeros(x, np.float32), np.zeros((rows, columns, x[3], outputs), np.float32)]
    geometry = {"kernel_h": rows, "kernel_w": columns, "pool_stride_h": 2, "pool_stride_w": 2, **attributes}
    with pytest.raises(ValueError, match=message):
        _core.run_op("conv2d_max_pool2d", inputs, geometry)


@pytest.mark.parametrize(
    "pool, stride, message", [(2, 3, "at least pool_stride_h rows"), (17, 17, "at most 256 pixels")]
)
def test_the_weight_gradient_of_a_pooled_convolution_says_what_it_cannot_do(pool, stride, message):
    x, y = np.zeros((1, 20, 20, 1), np.float32), np.zeros((1, (18 - pool) // stride + 1, (18 - pool) // stride + 1, 5))
    geometry = dict(kernel_h=3, kernel_w=3, pool_h=pool, pool_w=pool, pool_stride_h=stride, pool_stride_w=stride)
    inputs = [x, y.astype(np.float32), y.astype(np.float32), y.astype(np.uint8)]
    with pytest.raises(ValueError, match=message):
        _core.run_op("conv2d_max_pool2d_backward_weight", inputs, geometry)


@pytest.mark.parametrize("size", [7, 8, 57])
@pytest.mark.parametrize("stride", [1, 2])
def test_rows_of_depthwise_convolution_are_done_in_pairs(stride, size):
    """Maps that are large enough for the inner buffer to be moved; odd and even numbers of rows."""
    rng = np.random.default_rng([2028, stride, size])
    attributes = {"kernel_h": 3, "kernel_w": 3, "stride_h": stride, "stride_w": stride}
    attributes.update(pad_top=1, pad_left=2 - stride, pad_bottom=1, pad_right=1)
    inputs = [integers(rng, 2, size, size, 5), integers(rng, 1, 1, 5, 203), integers(rng, 3, 3, 203, 1)]
    check_exact(Case("pointwise_depthwise_conv2d", 0, inputs, attributes))
    x = integers(rng, 2, size, size, 203)
    check_exact(Case("depthwise_conv2d", 0, [x, inputs[2]], attributes))


@pytest.mark.parametrize(
    "kernel, stride, dilation, multiplier, channels, h, w",
    [
        (7, 1, 1, 1, 37, 19, 33),  # seven taps in registers
        (7, 1, 1, 1, 16, 3, 3),  # a kernel that reaches over both borders
        (3, 1, 2, 1, 37, 21, 22),  # taps that are not neighbours: every other column
        (3, 1, 5, 1, 20, 9, 7),  # columns that some taps alone reach
        (2, 1, 9, 1, 3, 12, 6),  # no second tap inside the image
        (5, 2, 3, 1, 18, 23, 24),
        (3, 1, 1, 2, 24, 57, 41),  # repeated rows in a window that moves
        (3, 2, 1, 4, 9, 40, 33),
        (3, 1, 2, 3, 7, 30, 19),
        (2, 5, 1, 2, 5, 31, 31),  # rows that no output reads
        (9, 1, 1, 1, 37, 19, 33),  # nine taps in registers
        (9, 2, 1, 1, 17, 12, 21),
        (15, 1, 1, 1, 21, 17, 30),  # seven taps at a time, and one
        (13, 1, 1, 1, 16, 9, 5),  # more taps than columns
        (11, 3, 1, 1, 19, 16, 40),
    ],
)
def test_named_geometries_of_depthwise_convolution_are_exact(kernel, stride, dilation, multiplier, channels, h, w):
    rng = np.random.default_rng(8)
    pad = (kernel - 1) * dilation // 2
    g = dict(kernel_h=kernel, kernel_w=kernel, stride_h=stride, stride_w=stride)
    g |= dict(dilation_h=dilation, dilation_w=dilation)
    g |= {f"pad_{side}": pad for side in ("top", "left", "bottom", "right")}
    p, q = op_cases.out_size(h, w, g)
    x, weights = integers(rng, 2, h, w, channels, bound=2), integers(rng, kernel, kernel, channels, multiplier, bound=2)
    grad_y = integers(rng, 2, p, q, channels * multiplier)
    check_exact(Case("depthwise_conv2d", 0, [x, weights, integers(rng, channels * multiplier)], {**g, "activation": 1}))
    check_exact(Case("depthwise_conv2d_backward_input", 0, [grad_y, weights], {**g, "in_h": h, "in_w": w}))
    check_exact(Case("depthwise_conv2d_backward_weight", 0, [x, grad_y], {**g, "multiplier": multiplier}, (True, True)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("op", ["depthwise_conv2d", "depthwise_conv2d_backward_weight"])
def test_what_is_outside_a_window_does_not_reach_its_result(op, stride, value):
    """In the row's first and last pixel, where the windows of some outputs, or some taps, do not reach."""
    rng = np.random.default_rng(2029)
    attributes = {"kernel_h": 3, "kernel_w": 3, "stride_h": stride, "stride_w": stride}
    attributes.update({f"pad_{side}": 1 for side in ("top", "left", "bottom", "right")})
    x, w = integers(rng, 1, 6, 9, 35), integers(rng, 3, 3, 35, 1)
    grad_y = integers(rng, *reference.depthwise_conv2d(x, w, **attributes)[0].shape)
    for column in (0, 8):
        spoilt = x.copy()
        spoilt[:, 3, column] = value
        if op == "depthwise_conv2d":
            case = Case(op, 0, [spoilt, w], attributes)
            changed = reference.depthwise_conv2d(~np.isfinite(spoilt), np.ones_like(w), **attributes)[0] > 0
        else:
            case = Case(op, 0, [spoilt, grad_y], {**attributes, "multiplier": 1})
            changed = (
                reference.depthwise_conv2d_backward_weight(
                    ~np.isfinite(spoilt), np.ones_like(grad_y), multiplier=1, **attributes
                )[0]
                > 0
            )
        assert changed.any() and not changed.all()
        for isa, results in on_every_path(case):
            assert np.isfinite(results[0][~changed]).all(), isa


def test_transposed_convolution_is_exact_on_integers():
    for index in range(count(200)):
        rng = np.random.default_rng([2025, index])
        a = convolution(rng, integers, SMALL, grouped=False)
        bias = integers(rng, a["x"].shape[3]) if index % 2 else None
        check_exact(
            Case(
                "conv2d_transpose",
                index,
                [a["grad_y"], a["w"], bias],
                {**a["attributes"], "out_h": a["in_h"], "out_w": a["in_w"], "activation": index // 2 % 2},
            )
        )


def test_dense_is_exact_on_integers():
    for index in range(count(150)):
        rng = np.random.default_rng([2026, index])
        rows, i, u = int(rng.integers(1, 40)), op_cases.channels(rng), op_cases.channels(rng)
        x, w, grad_y = integers(rng, rows, i), integers(rng, i, u), integers(rng, rows, u)
        check_exact(Case("dense", index, [x, w, integers(rng, u), integers(rng, rows, u)], {"activation": index % 2}))
        check_exact(Case("dense_backward_input", index, [grad_y, w, integers(rng, rows, i)]))
        check_exact(Case("dense_backward_weight", index, [x, grad_y], outputs=(True, True)))


@pytest.mark.parametrize("op", ("dense", "dense_backward_input"))
def test_dense_in_training_is_within_the_bound(op):
    for index in range(count(60)):
        check(op_cases.case(op, index), trains=True)


# Rows on both sides of what is few forward, 16, and backward, 8; matrices of one piece, and of several whose last one
# ends within a vector.
@pytest.mark.parametrize("rows", (1, 2, 3, 4, 5, 7, 8, 9, 16, 17))
@pytest.mark.parametrize("inner, columns", [(3, 1), (17, 130), (400, 67), (331, 257), (700, 64)])
def test_dense_of_few_rows_is_exact_on_integers(rows, inner, columns):
    rng = np.random.default_rng([2027, rows, inner])
    x, w, grad_y = integers(rng, rows, inner), integers(rng, inner, columns), integers(rng, rows, columns)
    above, below, relu = integers(rng, rows, columns), integers(rng, rows, inner), {"activation": 1}
    cases = [
        (16, Case("dense", 0, [x, w, integers(rng, columns), above], {"activation": rows % 2})),
        (16, Case("dense", 1, [x, w, None, None])),
        (8, Case("dense_backward_input", 0, [grad_y, w, below, x, x, integers(rng, inner)], relu, (True,) * 3)),
        (8, Case("dense_backward_input", 1, [grad_y, w, None])),
    ]
    for most, case in cases:
        check_exact(case, trains=True)
        for isa in _core.available_isas():
            assert ("few rows" in kernel(case.op, case.inputs, case.attributes, isa, trains=True)) == (rows <= most)
            assert "few rows" not in kernel(case.op, case.inputs, case.attributes, isa)


# Panels whose last one ends within a vector, several blocks of channels; all pixels are one chunk up to 144 of them.
@pytest.mark.parametrize("rows", (17, 128, 144, 145))
def test_weights_that_are_packed_on_the_way_give_the_same_bits(rows):
    rng = np.random.default_rng([2028, rows])
    draw = (lambda rng, *size: rng.standard_normal(size).astype(np.float32)), integers
    for index, numbers in enumerate(draw):
        x, w, residual = numbers(rng, rows, 1100), numbers(rng, 1100, 300), numbers(rng, rows, 300)
        turned, masked, relu = np.ascontiguousarray(w.T), [None, residual, residual], {"activation": 1}
        pixels, taps = x.reshape(rows, 1, 1, 1100), w.reshape(1, 1, 1100, 300)
        cases = [
            Case("dense", index, [x, w, numbers(rng, 300), residual], relu),
            Case("dense_backward_input", index, [x, turned, residual]),
            Case("dense_backward_input", index, [x, turned, *masked, numbers(rng, 300)], relu, (True,) * 3),
            Case("conv2d", index, [pixels, taps], {"kernel_h": 1, "kernel_w": 1}),
        ]
        for case in cases:
            if numbers is integers:
                check_exact(case, trains=True)
            for isa, results in on_every_path(case, trains=True):
                assert same_bits(results[0], engine(case, isa, 1)[0]), f"{case} {isa}"
                chosen = kernel(case.op, case.inputs, case.attributes, isa, trains=True)
                assert ("packed on the way" in chosen) == (rows <= 144), f"{case} {isa}: {chosen}"
                assert "packed on the way" not in kernel(case.op, case.inputs, case.attributes, isa)


@pytest.mark.parametrize(
    "kernel, stride, pad, dilation, groups, c, o, h, w",
    [
        (1, 1, 0, 1, 1, 16, 32, 1, 1),  # one pixel
        (7, 2, 3, 1, 1, 3, 64, 33, 31),  # first layer of a residual network
        (11, 4, 2, 1, 1, 3, 17, 35, 35),  # first layer of AlexNet
        (3, 1, 1, 1, 1, 64, 64, 14, 14),
        (3, 1, 1, 1, 1, 33, 65, 7, 9),
        (3, 2, 1, 1, 1, 32, 48, 15, 15),
        (1, 2, 0, 1, 1, 48, 96, 9, 9),
        (3, 1, 4, 4, 1, 8, 8, 9, 9),  # dilation beyond half the image
        (3, 1, 1, 1, 32, 32, 64, 8, 8),  # depthwise with multiplier 2 as groups
        (5, 1, 2, 1, 1, 5, 7, 5, 5),  # kernel as large as the input
        (3, 3, 0, 1, 1, 4, 4, 11, 10),  # the last pixels are never read
        (3, 1, 3, 1, 1, 4, 9, 3, 3),  # rows and columns of padding alone
    ],
)
def test_named_geometries_are_exact(kernel, stride, pad, dilation, groups, c, o, h, w):
    rng = np.random.default_rng(7)
    g = dict(
        kernel_h=kernel,
        kernel_w=kernel,
        stride_h=stride,
        stride_w=stride,
        dilation_h=dilation,
        dilation_w=dilation,
        groups=groups,
        **{f"pad_{side}": pad for side in ("top", "left", "bottom", "right")},
    )
    p, q = op_cases.out_size(h, w, g)
    x, weights, grad_y = (
        integers(rng, 2, h, w, c, bound=2),
        integers(rng, kernel, kernel, c // groups, o, bound=2),
        integers(rng, 2, p, q, o),
    )
    check_exact(Case("conv2d", 0, [x, weights, integers(rng, o), None], g, (True, False, False)))
    check_exact(Case("conv2d_backward_input", 0, [grad_y, weights, None], {**g, "in_h": h, "in_w": w}))
    check_exact(Case("conv2d_backward_weight", 0, [x, grad_y], g, (True, True)))


@pytest.mark.parametrize(
    "kernel_size, shape, rows",
    [
        (7, (18, 8, 8, 16), "8x16 across images"),  # an image is as large as the distance at which the first cache ...
        (7, (18, 8, 8, 20), "16x16 across images"),
        (1, (3, 7, 5, 1024), "8x16"),  # ... has but eight lines, or a pixel is
        (1, (3, 7, 5, 1000), "16x16"),
    ],
)
def test_rows_of_a_tile_do_not_drive_each_other_out_of_the_cache(kernel_size, shape, rows):
    rng = np.random.default_rng(12)
    x, w = integers(rng, *shape, bound=1), integers(rng, kernel_size, kernel_size, shape[3], 16, bound=1)
    g = dict(kernel_h=kernel_size, kernel_w=kernel_size)
    g |= {f"pad_{side}": kernel_size // 2 for side in ("top", "left", "bottom", "right")}
    check_exact(Case("conv2d", 0, [x, w, integers(rng, 16)], g))
    if "avx512" in _core.available_isas():
        assert kernel("conv2d", [x, w], g, "avx512").startswith(f"direct {rows},")


def first_layers():
    """First layers, few channels: images whose rows are short and long, chunks of several images, windows that reach
    over one border, both and beyond the padding.
    """
    rng = np.random.default_rng(11)
    for index in range(count(120)):
        kernel = int(rng.integers(1, 6)), int(rng.integers(2, 8))
        g = dict(
            kernel_h=kernel[0],
            kernel_w=kernel[1],
            stride_h=int(rng.integers(1, 4)),
            stride_w=int(rng.integers(1, 4)),
            dilation_h=int(rng.integers(1, 4)),
            **{f"pad_{side}": int(rng.integers(0, 9)) for side in ("top", "left", "bottom", "right")},
        )
        c, long = int(rng.integers(1, 9)), index % 3 > 0
        w = int(rng.integers(128 // c + 1, 128 // c + 30)) if long else int(rng.integers(1, 12))
        h = max(1, int(rng.integers(1, 12)), (kernel[0] - 1) * g["dilation_h"] + 1 - g["pad_top"] - g["pad_bottom"])
        w = max(w, kernel[1] - g["pad_left"] - g["pad_right"])
        x = integers(rng, int(rng.integers(1, 4)), h, w, c, bound=2)
        weights = integers(rng, *kernel, c, int(rng.choice([1, 8, 33])), bound=2)
        yield index, x, weights, integers(rng, x.shape[0], *op_cases.out_size(h, w, g), weights.shape[3], bound=2), g
    g = dict(kernel_h=2, kernel_w=24, pad_left=5, pad_right=3)  # a kernel wider than an image with long rows
    yield index + 1, *(integers(rng, *shape) for shape in ((2, 3, 20, 8), (2, 24, 8, 3), (2, 2, 5, 3))), g


def test_first_layers_are_exact():
    for index, x, weights, grad_y, g in first_layers():
        check_exact(Case("conv2d", index, [x, weights, None, None], g, (True, False, False)))
        check_exact(Case("conv2d_backward_weight", index, [x, grad_y], g, (True, False)))


def test_first_layers_of_bytes_are_exact():
    for index, x, weights, grad_y, g in first_layers():
        x, g = (2 * x + 8).astype(np.uint8), {**g, "x_scale": 0.5, "x_offset": -4.0}
        check_exact(Case("conv2d", index, [x, weights, None, None], g, (True, False, False)))
        check_exact(Case("conv2d_backward_weight", index, [x, grad_y], g, (True, False)))


def test_bytes_of_eight_channels_are_not_transformed():
    """Nor is a gradient that is normalised on load: floats of so many channels and pixels would be."""
    rng = np.random.default_rng(13)
    g = dict(kernel_h=3, kernel_w=3, **{f"pad_{side}": 1 for side in ("top", "left", "bottom", "right")})
    x, weights, grad_y = integers(rng, 2, 17, 23, 8, bound=2), integers(rng, 3, 3, 8, 12), integers(rng, 2, 17, 23, 12)
    assert kernel("conv2d", [x, weights], g, "generic").startswith("Winograd")
    scaled = {**g, "x_scale": 0.5, "x_offset": -4.0}
    for op, operand in (("conv2d", weights), ("conv2d_backward_weight", grad_y)):
        check_exact(Case(op, 0, [(2 * x + 8).astype(np.uint8), operand], scaled, (True,)))
    out, p, q, s = integers(rng, 2, 17, 23, 12), *(integers(rng, 12, bound=2) for _ in range(3))
    check_exact(Case("conv2d_backward_weight", 1, [x, grad_y, out, p, q, s], g, (True,)))


def test_bytes_are_rescaled_as_by_affine():
    rng = np.random.default_rng(12)
    for index, x, weights, grad_y, g in first_layers():
        x = rng.integers(0, 256, x.shape).astype(np.uint8)
        scale, offset = float(rng.choice([1 / 255, -0.3])), float(rng.choice([0.0, -0.7]))
        for name, operand in (("conv2d", weights), ("conv2d_backward_weight", grad_y)):
            case = Case(name, index, [x, operand], {**g, "x_scale": scale, "x_offset": offset})
            for isa, (result,) in on_every_path(case):
                (floats,) = engine(Case("affine", index, [x], {"scale": scale, "offset": offset}), isa, 1)
                (expected,) = engine(Case(name, index, [floats, operand], g), isa, 1)
                assert same_bits(result, expected), f"{case} {isa}"


@pytest.mark.parametrize("op", ["conv2d", "conv2d_backward_weight"])
@pytest.mark.parametrize(
    "dtype, channels, attributes, message",
    [
        (
            "float32",
            3,
            {"x_scale": 0.5},
            "x_scale and x_offset must be 1 and 0 for a float32 x, got 0.5 and 0; rescale",
        ),
        ("float32", 3, {"x_offset": 2.0}, "got 1 and 2; rescale it with affine"),
        ("uint8", 9, {}, "a uint8 x must have at most 8 channels .*, got 9 channels, groups 1, .*; rescale it to"),
        ("uint8", 4, {"groups": 2}, "a uint8 x must .*, groups 2, "),
        ("uint8", 3, {"kernel_w": 1}, "a uint8 x must .*, kernel_w 1 and dilation_w 1; "),
        ("uint8", 3, {"dilation_w": 2}, "a uint8 x must .* and dilation_w 2; "),
        ("int32", 3, {}, "x must be float32, got int32"),
    ],
)
def test_bytes_are_refused_where_they_have_no_windows(op, dtype, channels, attributes, message):
    attributes = {"kernel_h": 3, "kernel_w": 3, **attributes}
    x, groups = np.zeros((2, 9, 9, channels), dtype), attributes.get("groups", 1)
    out = op_cases.out_size(9, 9, {k: v for k, v in attributes.items() if not k.startswith("x_")})
    operand = (3, attributes["kernel_w"], channels // groups, 4) if op == "conv2d" else (2, *out, 4)
    with pytest.raises(ValueError, match=f"{op}: {'' if message.startswith(('a ', 'x')) else '.*'}{message}"):
        _core.run_op(op, [x, np.zeros(operand, np.float32)], attributes)


def test_the_residual_of_what_is_normalised_on_load_has_its_shape():
    x, w, constants = np.ones((2, 3, 4, 5), np.float32), np.ones((1, 1, 5, 6), np.float32), [np.ones(5, np.float32)] * 2
    with pytest.raises(ValueError, match=r"residual must have the shape of x, \(2, 3, 4, 5\), got \(2, 3, 1, 5\)"):
        _core.run_op("batchnorm_conv2d", [x, w, *constants, x[:, :, :1]], {"kernel_h": 1, "kernel_w": 1})


@pytest.mark.parametrize(
    "channels, attributes, outputs", [(9, {}, 1), (3, {"dilation_w": 2}, 1), (3, {"kernel_w": 1}, 1), (3, {}, 2)]
)
def test_a_gradient_is_normalised_on_load_where_pixels_have_windows(channels, attributes, outputs):
    attributes = {"kernel_h": 3, "kernel_w": 3, **attributes}
    grad_y, vector = np.zeros((2, *op_cases.out_size(9, 9, attributes), 4), np.float32), np.zeros(4, np.float32)
    inputs = [np.zeros((2, 9, 9, channels), np.float32), grad_y, grad_y, vector, vector, vector]
    with pytest.raises(ValueError, match="conv2d_backward_weight: out, p, q and s must be left out .* compute the gra"):
        _core.run_op("conv2d_backward_weight", inputs, attributes, outputs=(True,) * outputs)
    with pytest.raises(ValueError, match="conv2d_backward_weight: out, p, q and s must be given together"):
        _core.run_op("conv2d_backward_weight", [*inputs[:5], None], attributes, outputs=(True,) * outputs)


@pytest.fixture
def fenced():
    """A function that copies an array to between two pages that must not be touched, right behind the first or right
    before the second.
    """
    libc, kept = ctypes.CDLL(None, use_errno=True), []
    page = mmap.PAGESIZE

    def place(array, at_end):
        inner = -(-array.nbytes // page) * page
        memory = np.frombuffer(mmap.mmap(-1, inner + 2 * page), np.uint8)
        kept.append(memory)
        for fence in (0, page + inner):
            assert libc.mprotect(ctypes.c_void_p(memory.ctypes.data + fence), ctypes.c_size_t(page), 0) == 0
        begin = page + (inner - array.nbytes if at_end else 0)
        copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
        copy[...] = array
        return copy

    return place


def run_where_they_lie(name, arrays, attributes, isa):
    """The operation's first output, and the name of its kernel; unlike run_op, reads the arrays themselves."""
    op, program = _core.OPERATIONS[name], _core.Program()
    values, first = op.values(attributes), _core.FIRST_FREE
    ((_, shape),) = _core.infer(op, [(a.dtype.name, a.shape) for a in arrays], values, 1)
    arrays = [*arrays, np.zeros(shape, np.float32)]
    numbers = [program.tensor(first + i, a.dtype.name, a.shape) for i, a in enumerate(arrays)]
    program.op(op, _core.COMPUTE, numbers[:-1], values, numbers[-1:])
    program.plan(_core.isa_number(isa), exact=True)
    program.bind(first, arrays)
    program.run(program.allocate(1), 1, _core.PREPARE | _core.COMPUTE)
    return arrays[-1], program.operations()[0]["kernel"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_first_layers_read_nothing_beyond_their_images(fenced, dtype, at_end):
    for index, x, weights, grad_y, g in first_layers():
        x = (x + 2).astype(dtype)
        for name, operand in (("conv2d", weights), ("conv2d_backward_weight", grad_y)):
            for isa in _core.available_isas():
                result, _ = run_where_they_lie(name, [fenced(x, at_end), operand], g, isa)
                (expected,) = engine(Case(name, index, [x, operand], g, (True,)), isa, 1)
                assert same_bits(result, expected), f"{name} {index} {isa}"


def many_uses():
    """(x, grad_y, attributes) of convolutions of so many output channels that, where vectors are short, the gradient of
    their weights cuts x into tiles: blocks of several images and parts of one, whole rows of padding, pixels left out.
    """
    rng = np.random.default_rng(12)
    for index in range(count(40)):
        kernel, groups = int(rng.choice([1, 3, 3, 4])), int(rng.choice([1, 1, 1, 2]))
        g = dict(
            kernel_h=kernel,
            kernel_w=kernel,
            stride_h=int(rng.integers(1, 3)),
            stride_w=int(rng.integers(1, 3)),
            dilation_h=int(rng.integers(1, 3)),
            groups=groups,
            **{f"pad_{side}": int(rng.integers(0, 5)) for side in ("top", "left", "bottom", "right")},
        )
        h, w = int(rng.integers(1, 14)) + (kernel - 1) * g["dilation_h"], int(rng.integers(kernel, 20))
        x = integers(rng, int(rng.integers(1, 12)), h, w, groups * int(rng.integers(1, 28)))
        outputs = groups * int(rng.choice([96, 200]))
        yield index, x, integers(rng, x.shape[0], *op_cases.out_size(*x.shape[1:3], g), outputs), g


def test_weight_gradients_of_many_uses_are_exact():
    for index, x, grad_y, g in many_uses():
        check_exact(Case("conv2d_backward_weight", index, [x, grad_y], g, (True, bool(index % 2))))


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
@pytest.mark.parametrize("at_end", [False, True])
def test_what_is_cut_into_tiles_is_read_within_its_tensor(fenced, at_end):
    cut = dict.fromkeys(_core.available_isas(), 0)
    for index, x, grad_y, g in many_uses():
        for isa in cut:
            result, kernel = run_where_they_lie("conv2d_backward_weight", [fenced(x, at_end), grad_y], g, isa)
            (expected,) = engine(Case("conv2d_backward_weight", index, [x, grad_y], g, (True,)), isa, 1)
            assert same_bits(result, expected), f"{index} {isa}"
            cut[isa] += ", cut" in kernel
    assert all(cut[isa] >= count(40) // 4 for isa in cut if isa != "avx512"), cut


def test_convolution_passes_nan_and_infinity_to_the_pixels_that_read_them():
    """A NaN pixel reaches exactly its own windows; zero padding adds no NaN beside an infinite weight or pixel."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 6, 6, 8)).astype(np.float32), rng.standard_normal((3, 3, 8, 16)).astype(np.float32)
    x[0, 0, 0, 3] = np.nan
    g = {"kernel_h": 3, "kernel_w": 3, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}
    for isa, (y,) in on_every_path(Case("conv2d", 0, [x, w, None, None], {**g, "activation": 1}, (True, False, False))):
        reached = np.zeros((6, 6), dtype=bool)
        reached[:2, :2] = True
        assert np.array_equal(np.isnan(y[0]).all(axis=-1), reached) and np.array_equal(
            np.isnan(y[0]).any(axis=-1), reached
        ), isa


@pytest.mark.parametrize(
    "stride, message",
    [
        (1, r"shape \(1, 4, 4, 2\), or with that of every other row and column, \(1, 2, 2, 2\), got \(1, 3, 3, 2\)"),
        (
            2,
            r"shape \(1, 4, 4, 2\), or with that of every stride-th row and column, \(1, 2, 2, 2\), got \(1, 3, 3, 2\)",
        ),
    ],
)
def test_a_residual_of_another_shape_is_refused(stride, message):
    attributes = dict(kernel_h=1, kernel_w=1, stride_h=stride, stride_w=stride, in_h=4, in_w=4)
    inputs = [np.zeros(s, np.float32) for s in ((1, 4 // stride, 4 // stride, 3), (1, 1, 2, 3), (1, 3, 3, 2))]
    with pytest.raises(ValueError, match=message):
        _core.run_op("conv2d_backward_input", inputs, attributes)
