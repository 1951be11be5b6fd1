"""Winograd's convolution, in all forms but the folded one (test_ops_winograd_folded.py), against the reference, within
the error bound of its algorithm (winograd_bounds.py); the same bits for any number of threads.
"""

import numpy as np
import pytest

import bounds
import reference
from cnncore import _core
from harness import kernel, on_winograd_paths
from winograd_bounds import BACK, EPS, FORMS, NARROW, assert_within, forward_bound, weight_bound

PAIRS = [(form, form) for form in FORMS.values()]
for whole, narrow in NARROW[:2]:
    for form in narrow.values():
        PAIRS += [(form, form), (form, whole), (whole, form)]


@pytest.mark.parametrize("down, across", PAIRS)
def test_the_matrices_make_a_convolution(down, across):
    generator = np.random.default_rng(0)
    out, size = (len(down.a), len(across.a)), (down.b.shape[1], across.b.shape[1])
    taps = down.g.shape[1]
    d, w, stride = (
        generator.standard_normal(size),
        generator.standard_normal((taps, taps)),
        (size[0] - taps) // (out[0] - 1),
    )
    y = down.a @ ((down.g @ w @ across.g.T) * (down.b @ d @ across.b.T)) @ across.a.T
    at = [[stride * i for i in range(n)] for n in out]
    expected = [[np.sum(d[i : i + taps, j : j + taps] * w) for j in at[1]] for i in at[0]]
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


def test_narrow_tiles_have_the_transformed_kernel_of_whole_ones():
    for whole, narrow in NARROW:
        transformed = 6 if whole is FORMS["4x4"] else 5
        for n, form in narrow.items():
            points = len(form.g) if transformed == 6 else n + 1
            rows = [*range(points - 1), transformed - 1, *range(transformed, transformed + len(form.g) - points)]
            np.testing.assert_allclose(form.g, whole.g[rows], rtol=1e-15, atol=0)


SHAPES = [
    (4, 16, 16, 16, 16, (1, 1, 1, 1)),
    (3, 13, 11, 33, 50, (1, 1, 1, 1)),
    (5, 9, 10, 64, 100, (0, 0, 0, 0)),
    (2, 14, 14, 40, 64, (2, 1, 0, 2)),
    (40, 7, 7, 70, 130, (1, 1, 1, 1)),
    (1, 40, 24, 17, 31, (1, 1, 1, 1)),
    (70, 4, 4, 128, 144, (1, 1, 1, 1)),
    (34, 7, 8, 170, 190, (1, 1, 1, 1)),  # tiles transformed once for all weight gradients, in two groups
    (3, 9, 9, 320, 400, (1, 1, 1, 1)),  # weight gradients written past the caches
]
SHAPES += [  # whole and narrow tiles: every remainder of rows and columns by 4
    (4, h, (5 * h) % 14 + 5, 16 + h, 32 - h, (1, 1, 1, 1)) for h in range(5, 17)
]
SHAPES += [
    (12, 14, 14, 40, 70, (1, 1, 1, 1)),
    (3, 13, 6, 33, 48, (0, 1, 2, 0)),
    (40, 6, 5, 180, 170, (1, 1, 1, 1)),  # transformed once for all weight gradients, in groups
    (8, 18, 17, 16, 130, (1, 1, 1, 1)),
    (12, 15, 11, 40, 70, (1, 1, 1, 1)),
    (3, 11, 12, 33, 48, (1, 0, 0, 2)),
    (40, 7, 7, 180, 170, (1, 1, 1, 1)),
    (20, 3, 3, 64, 96, (1, 1, 1, 1)),  # narrow tiles of three results alone
    (9, 2, 18, 20, 40, (1, 1, 1, 1)),  # low tiles alone
    (9, 17, 2, 170, 180, (1, 1, 1, 1)),
    (4, 12, 16, 8, 9, (1, 1, 1, 1)),  # fewer channels than a vector has
    (3, 17, 19, 12, 48, (1, 1, 1, 1)),
    (3, 17, 19, 48, 12, (1, 0, 0, 1)),
]
SMALL = [  # computed in tiles of 2x2
    (1, 8, 8, 32, 64, (1, 1, 1, 1)),
    (1, 12, 10, 50, 81, (0, 0, 0, 0)),
    (1, 9, 7, 24, 150, (1, 1, 1, 1)),
    (18, 2, 2, 24, 40, (1, 1, 1, 1)),
    (6, 4, 4, 64, 32, (2, 1, 0, 2)),
    (1, 7, 9, 130, 17, (1, 1, 1, 1)),
]
STRIDED = [  # with stride 2
    (4, 16, 16, 16, 16, (1, 1, 1, 1)),
    (3, 32, 16, 40, 70, (0, 0, 1, 1)),
    (2, 31, 47, 33, 50, (1, 1, 1, 1)),
    (9, 16, 8, 64, 100, (0, 0, 1, 1)),
    (34, 8, 8, 70, 130, (1, 1, 1, 1)),
    (18, 8, 8, 250, 270, (0, 0, 1, 1)),  # tiles transformed once for all weight gradients
]
STRIDED += [  # whole and narrow tiles: every remainder of rows and columns by 4, backwards by 8
    (9, h, (5 * h) % 18 + 13, 16 + h, 48 - h, (1, 1, 1, 1) if h % 3 else (0, 0, 1, 1)) for h in range(11, 31) if h != 18
]
STRIDED += [
    (16, 14, 14, 33, 70, (1, 1, 1, 1)),
    (20, 14, 13, 256, 260, (0, 0, 1, 1)),  # transformed once for all weight gradients
    (6, 28, 27, 64, 17, (1, 1, 1, 1)),
    (9, 6, 24, 20, 40, (1, 1, 1, 1)),  # low tiles alone
    (9, 27, 4, 20, 40, (1, 1, 1, 1)),  # narrow ones
]
OF_5X5 = [  # kernels of 5x5
    (4, 16, 16, 16, 16, (2, 2, 2, 2)),
    (3, 13, 11, 33, 50, (2, 2, 2, 2)),
    (5, 12, 10, 64, 100, (0, 0, 0, 0)),
    (2, 14, 18, 40, 64, (4, 1, 0, 3)),
    (1, 40, 24, 17, 31, (2, 2, 2, 2)),
    (12, 8, 7, 8, 20, (2, 2, 2, 2)),  # fewer channels than a vector has
    (6, 10, 9, 48, 9, (2, 2, 2, 2)),
    (20, 8, 8, 130, 144, (2, 2, 2, 2)),
    (5, 10, 9, 170, 180, (2, 2, 2, 2)),  # many channels of both sides
]
EVERY = (
    [(shape, "4x4") for shape in SHAPES]
    + [(shape, "2x2") for shape in SMALL]
    + [(shape, "2x2 of 5x5") for shape in OF_5X5]
    + [(shape, "4x4 strided") for shape in STRIDED]
)


def problem(shape, name="4x4"):
    """x, w, bias, grad_y, attributes and the padding above and on the left of a convolution in a form of FORMS."""
    n, h, w, ci, co, (top, left, bottom, right) = shape
    taps, stride = taps_of(name), stride_of(name)
    generator = np.random.default_rng(sum(shape[:5]))
    draw = lambda *size: generator.standard_normal(size).astype(np.float32)
    pads = dict(pad_top=top, pad_left=left, pad_bottom=bottom, pad_right=right)
    attributes = dict(kernel_h=taps, kernel_w=taps, stride_h=stride, stride_w=stride, **pads)
    out_h, out_w = (h + top + bottom - taps) // stride + 1, (w + left + right - taps) // stride + 1
    return draw(n, h, w, ci), draw(taps, taps, ci, co), draw(co), draw(n, out_h, out_w, co), attributes, (top, left)


def stride_of(name):
    return 2 if name.endswith("strided") else 1


def taps_of(name):
    return FORMS[name].g.shape[1]


@pytest.mark.parametrize("size, narrow", [(28, True), (27, True), (30, True), (32, False), (24, False), (23, False)])
@pytest.mark.parametrize("op", ["conv2d", "conv2d_backward_input", "conv2d_backward_weight"])
def test_strided_maps_have_narrow_tiles_where_up_to_three_results_are_left(op, size, narrow):
    """Of 14 results two, of 15 three, of 16 and 12 none; backwards, in twos, of 28 and 27 pixels two, of 30 three."""
    x, w, _, grad_y, attributes, _ = problem((8, size, size, 32, 32, (1, 1, 1, 1)), "4x4 strided")
    inputs = {"conv2d": [x, w], "conv2d_backward_weight": [x, grad_y]}.get(op, [grad_y, w])
    if op == "conv2d_backward_input":
        attributes.update(in_h=size, in_w=size)
    chosen = kernel(op, inputs, attributes, "generic")
    assert chosen.startswith("Winograd") and ("narrow edges" in chosen) == narrow, chosen


@pytest.mark.parametrize("shape, name", EVERY)
def test_forward(shape, name):
    x, w, bias, residual, attributes, pads = problem(shape, name)
    expected = [np.asarray(y) for y in reference.run("conv2d", [x, w, bias], attributes)]
    bound = forward_bound(x, w, pads, *expected[0].shape[1:3], FORMS[name])
    bound += 4 * EPS * (np.abs(bias) + np.abs(expected[0]))
    for isa, (y, mean, var) in on_winograd_paths("conv2d", [x, w, bias], attributes, name=name):
        assert_within(y, expected[0], bound, f"conv2d {shape} {isa}")
        roundings = (y[..., 0].size + 2) * EPS  # the moments are those of y
        axes = (0, 1, 2)
        assert_within(
            mean, y.mean(axis=axes, dtype=np.float64), roundings * np.abs(y).mean(axis=axes), f"mean {shape} {isa}"
        )
        assert_within(var, y.var(axis=axes, dtype=np.float64), roundings * (y**2).mean(axis=axes), f"var {shape} {isa}")
        relu = _core.run_op(
            "conv2d", [x, w, bias, residual], {**attributes, "activation": 1}, isa=isa, outputs=(True,)
        )[0]
        assert_within(
            relu,
            np.maximum(expected[0] + residual, 0),
            bound + 4 * EPS * np.abs(residual),
            f"conv2d + residual + relu {shape} {isa}",
        )


@pytest.mark.parametrize("shape, name", EVERY)
def test_backward_input(shape, name):
    x, w, _, grad_y, attributes, (top, left) = problem(shape, name)
    attributes = {**attributes, "in_h": x.shape[1], "in_w": x.shape[2]}
    residuals = [x, np.ascontiguousarray(x[:, ::2, ::2])]
    turned = w[::-1, ::-1].transpose(0, 1, 3, 2)
    if stride_of(name) == 1:
        form, pads = FORMS[name], (taps_of(name) - 1 - top, taps_of(name) - 1 - left)
    else:
        form, pads, name = BACK[top], (1 - top, 1 - left), "8x8 strided"
    for residual in residuals:
        expected = np.asarray(reference.run("conv2d_backward_input", [grad_y, w, residual], attributes)[0])
        bound = forward_bound(grad_y, turned, pads, *x.shape[1:3], form) + 4 * EPS * (np.abs(x) + np.abs(expected))
        for isa, (grad_x,) in on_winograd_paths(
            "conv2d_backward_input", [grad_y, w, residual], attributes, (True,), name
        ):
            assert_within(grad_x, expected, bound, f"conv2d_backward_input {shape} {residual.shape} {isa}")


GROUPED = [  # (images, h, w, groups, channels of each in, out, form, groups that are computed at once)
    (4, 14, 11, 32, 4, 4, "4x4", 4),
    (6, 13, 16, 3, 16, 20, "4x4", 1),
    (8, 7, 9, 4, 8, 24, "4x4", 2),
    (5, 12, 10, 6, 17, 33, "4x4", 1),
    (9, 12, 15, 24, 2, 3, "4x4", 8),
    (2, 9, 10, 2, 70, 140, "4x4", 1),
    (18, 2, 2, 4, 24, 16, "2x2", 1),
    (11, 32, 27, 2, 32, 40, "4x4 strided", 1),
    (24, 24, 20, 3, 33, 50, "4x4 strided", 1),
    (6, 13, 10, 3, 16, 32, "2x2 of 5x5", 1),
]


def grouped_problem(shape):
    """x, w, bias, grad_y, attributes, and w as that of all channels, with zeros between the groups."""
    n, h, w, groups, ci, co, form = shape[:7]
    whole = n, h, w, groups * ci, groups * co, (taps_of(form) // 2,) * 4
    x, weights, bias, grad_y, attributes, _ = problem(whole, form)
    weights, dense = np.ascontiguousarray(weights[:, :, :ci]), np.zeros_like(weights)
    for g in range(groups):
        own = np.s_[g * co : (g + 1) * co]
        dense[:, :, g * ci : (g + 1) * ci, own] = weights[..., own]
    return x, weights, bias, grad_y, {**attributes, "groups": groups}, dense


@pytest.mark.parametrize("shape", GROUPED)
def test_groups_forward(shape):
    form, at_once = shape[6:]
    pads = (taps_of(form) // 2,) * 2
    x, w, bias, residual, attributes, dense = grouped_problem(shape)
    expected = np.asarray(reference.run("conv2d", [x, w, bias], attributes)[0])
    bound = forward_bound(x, dense, pads, *expected.shape[1:3], FORMS[form])
    bound += 4 * EPS * (np.abs(bias) + np.abs(expected))
    for isa, (y, mean, var) in on_winograd_paths("conv2d", [x, w, bias], attributes, name=form):
        assert_within(y, expected, bound, f"conv2d {shape} {isa}")
        roundings, axes = (y[..., 0].size + 2) * EPS, (0, 1, 2)
        assert_within(mean, y.mean(axis=axes, dtype=np.float64), roundings * np.abs(y).mean(axis=axes), f"mean {isa}")
        assert_within(var, y.var(axis=axes, dtype=np.float64), roundings * (y**2).mean(axis=axes), f"var {isa}")
        assert ("groups at once" in kernel("conv2d", [x, w, bias], attributes, isa)) == (at_once > 1)
    for act in ({"activation": 1}, {"activation": 1, "alpha": 0.25}):
        result = np.maximum(expected + residual, act.get("alpha", 0) * (expected + residual))
        for isa, (y,) in on_winograd_paths("conv2d", [x, w, bias, residual], {**attributes, **act}, (True,)):
            assert_within(y, result, bound + 4 * EPS * np.abs(residual), f"conv2d {shape} {act} {isa}")


@pytest.mark.parametrize("shape", GROUPED)
def test_groups_backward_input(shape):
    form = shape[6]
    x, w, _, grad_y, attributes, dense = grouped_problem(shape)
    attributes = {**attributes, "in_h": x.shape[1], "in_w": x.shape[2]}
    expected = np.asarray(reference.run("conv2d_backward_input", [grad_y, w, x], attributes)[0])
    turned = dense[::-1, ::-1].transpose(0, 1, 3, 2)
    backwards, pad = (FORMS[form], taps_of(form) // 2) if stride_of(form) == 1 else (BACK[1], 0)
    bound = forward_bound(grad_y, turned, (pad, pad), *x.shape[1:3], backwards)
    bound += 4 * EPS * (np.abs(x) + np.abs(expected))
    mean, relu = x.mean(axis=(0, 1, 2)), {"activation": 1}
    name = form if stride_of(form) == 1 else "8x8 strided"
    for isa, (grad_x,) in on_winograd_paths("conv2d_backward_input", [grad_y, w, x], attributes, (True,), name):
        assert_within(grad_x, expected, bound, f"conv2d_backward_input {shape} {isa}")
        inputs = [grad_y, w, x, x, x, mean]
        g, sum_g, _ = _core.run_op("conv2d_backward_input", inputs, {**attributes, **relu}, isa=isa)
        assert np.array_equal(g, np.where(x > 0, grad_x, 0)), f"mask {shape} {isa}"
        limit = (g[..., 0].size + 2) * EPS * np.abs(g).sum(axis=(0, 1, 2))
        assert_within(sum_g, g.sum(axis=(0, 1, 2), dtype=np.float64), limit, f"sum_g {shape} {isa}")


@pytest.mark.parametrize("shape", [shape for shape in GROUPED if shape[6] != "2x2"])
def test_groups_backward_weight(shape):
    groups, ci, co, form = shape[3:7]
    x, _, _, grad_y, attributes, _ = grouped_problem(shape)
    expected = [np.asarray(g) for g in reference.run("conv2d_backward_weight", [x, grad_y], attributes)]
    dense = weight_bound(x, grad_y, (taps_of(form) // 2,) * 2, FORMS[form])
    blocks = [dense[:, :, g * ci : (g + 1) * ci, g * co : (g + 1) * co] for g in range(groups)]
    bound = np.concatenate(blocks, axis=3) + 4 * EPS * np.abs(expected[0])
    limit = grad_y[..., 0].size * EPS * np.abs(grad_y).sum(axis=(0, 1, 2))
    for isa, (grad_w, grad_bias) in on_winograd_paths("conv2d_backward_weight", [x, grad_y], attributes):
        assert_within(grad_w, expected[0], bound, f"conv2d_backward_weight {shape} {isa}")
        assert_within(grad_bias, expected[1], limit, f"bias {shape} {isa}")


@pytest.mark.parametrize("images, channels", [(4, 16), (1, 32)])
def test_few_channels_or_tiles_of_groups_with_stride_keep_to_direct_sums(images, channels):
    x, w = np.ones((images, 32, 32, 2 * channels), np.float32), np.ones((3, 3, channels, 64), np.float32)
    attributes = dict(kernel_h=3, kernel_w=3, stride_h=2, stride_w=2, groups=2)
    assert kernel("conv2d", [x, w], attributes, "generic").startswith("direct")


@pytest.mark.parametrize(
    "images, size, channels, filters, form",
    [
        (16, 28, 8, 16, "direct"),  # few products for each transform
        (16, 28, 12, 12, "Winograd 2x2 of 5x5"),
        (1, 7, 256, 256, "direct"),  # few tiles, whose kernels lie in the padding for a good part
        (16, 7, 32, 64, "Winograd 2x2 of 5x5"),
        (16, 5, 32, 64, "direct"),  # a row of tiles of which half is left over
    ],
)
def test_kernels_of_5x5_are_transformed_where_that_pays(images, size, channels, filters, form):
    x, w, _, _, attributes, _ = problem((images, size, size, channels, filters, (2, 2, 2, 2)), "2x2 of 5x5")
    assert kernel("conv2d", [x, w], attributes, "generic").startswith(form)


@pytest.mark.parametrize("channels, filters", [(8, 1), (64, 3), (7, 64), (1, 1)])
def test_channels_that_are_read_decide(channels, filters):
    """With few of them the transforms cost more than they save; few results cost no more than many."""
    x, w, _, grad_y, attributes, pads = problem((3, 16, 21, channels, filters, (1, 1, 1, 1)))
    expected, grad_w = (
        np.asarray(reference.run(op, inputs, attributes)[0])
        for op, inputs in (("conv2d", [x, w]), ("conv2d_backward_weight", [x, grad_y]))
    )
    if channels < 8:
        for inputs, op in (([x, w], "conv2d"), ([x, grad_y], "conv2d_backward_weight")):
            assert kernel(op, inputs, attributes, "generic").startswith("direct")
        return
    bound = forward_bound(x, w, pads, *expected.shape[1:3], FORMS["4x4"]) + 4 * EPS * np.abs(expected)
    for isa, (y,) in on_winograd_paths("conv2d", [x, w], attributes, (True,), "4x4"):
        assert_within(y, expected, bound, f"conv2d {isa}")
    for isa, (result,) in on_winograd_paths("conv2d_backward_weight", [x, grad_y], attributes, (True,), "4x4"):
        assert_within(result, grad_w, weight_bound(x, grad_y, pads, FORMS["4x4"]), f"conv2d_backward_weight {isa}")
    gradient = {**attributes, "in_h": x.shape[1], "in_w": x.shape[2]}
    assert kernel("conv2d_backward_input", [grad_y, w], gradient, "generic").startswith("direct")


@pytest.mark.parametrize("act", [{}, {"activation": 1, "max_value": 2.0}, {"activation": 1, "alpha": 0.25}])
@pytest.mark.parametrize("shape", STRIDED)
def test_transposed(shape, act):
    """The layer, with a bias, and an activation that can be a clamp and one that cannot; their slopes are at most 1."""
    x, w, _, y, attributes, (top, left) = problem(shape, "4x4 strided")
    bias = np.linspace(-1, 1, x.shape[3], dtype=np.float32)
    attributes = {**attributes, "out_h": x.shape[1], "out_w": x.shape[2]}
    linear = np.asarray(reference.run("conv2d_transpose", [y, w, bias], attributes)[0])
    expected = np.asarray(reference.run("conv2d_transpose", [y, w, bias], {**attributes, **act})[0])
    turned = w[::-1, ::-1].transpose(0, 1, 3, 2)
    bound = forward_bound(y, turned, (1 - top, 1 - left), *x.shape[1:3], BACK[top])
    bound += 4 * EPS * (np.abs(bias) + np.abs(linear))
    for isa, (result,) in on_winograd_paths(
        "conv2d_transpose", [y, w, bias], {**attributes, **act}, (True,), "8x8 strided"
    ):
        assert_within(result, expected, bound, f"conv2d_transpose {shape} {act} {isa}")


@pytest.mark.parametrize("shape, name", EVERY)
def test_epilogue_of_the_gradient(shape, name):
    """The mask of y or of x scale + shift on what comes without it, bit for bit, and its sums."""
    x, w, _, grad_y, attributes, _ = problem(shape, name)
    attributes = {**attributes, "in_h": x.shape[1], "in_w": x.shape[2]}
    c = x.shape[3]
    mean, scale, shift = x.mean(axis=(0, 1, 2)), np.full(c, -2, np.float32), np.full(c, 0.25, np.float32)
    relu6 = {**attributes, "activation": 1, "max_value": 1.0}
    inputs = {
        "y": [grad_y, w, None, x, x, mean],
        "x": [grad_y, w, None, None, x, mean, scale, shift],
    }
    for source, y in (("y", x), ("x", x * scale + shift)):
        plain = {isa: g for isa, (g,) in on_winograd_paths("conv2d_backward_input", [grad_y, w], attributes, (True,))}
        for isa, (g, sum_g, sum_gx) in on_winograd_paths("conv2d_backward_input", inputs[source], relu6):
            what = f"{source} {shape} {isa}"
            assert np.array_equal(g, np.where((y > 0) & (y < 1), plain[isa], 0)), what
            products = g.astype(np.float64) * (x.astype(np.float64) - mean)
            count = g.size // c
            for result, terms in ((sum_g, g.astype(np.float64)), (sum_gx, products)):
                bound = (count + 4) * EPS * (np.abs(g) * (np.abs(x) + np.abs(mean) + 1)).sum(axis=(0, 1, 2))
                assert_within(result, terms.sum(axis=(0, 1, 2)), bound, what)


# More transforms than a cache holds: multiplied element by element.
BY_ELEMENT = [((90, 7, 8, 256, 250, (1, 1, 1, 1)), "4x4"), ((40, 15, 16, 256, 260, (1, 1, 1, 1)), "4x4 strided")]
# Fewer, but too many to stay near until they are used: half of x's channels after the other where threads are few.
BY_HALVES = [((40, 10, 9, 170, 190, (1, 1, 1, 1)), "4x4"), (STRIDED[-4], "4x4 strided")]


@pytest.mark.parametrize(
    "shape, name", [(shape, name) for shape, name in EVERY if name != "2x2"] + BY_ELEMENT + BY_HALVES[:1]
)
def test_backward_weight(shape, name):
    x, _, _, grad_y, attributes, pads = problem(shape, name)
    expected = [np.asarray(g) for g in reference.run("conv2d_backward_weight", [x, grad_y], attributes)]
    count = grad_y[..., 0].size
    chosen = kernel("conv2d_backward_weight", [x, grad_y], attributes, "generic")
    assert ("element by element" in chosen) == ((shape, name) in BY_ELEMENT)
    assert ("x by halves" in chosen) == ((shape, name) in BY_HALVES)
    for isa, (grad_w, grad_bias) in on_winograd_paths("conv2d_backward_weight", [x, grad_y], attributes):
        assert_within(
            grad_w, expected[0], weight_bound(x, grad_y, pads, FORMS[name]), f"conv2d_backward_weight {shape} {isa}"
        )
        assert_within(
            grad_bias, expected[1], (count + 2) * EPS * np.abs(grad_y).sum(axis=(0, 1, 2)), f"grad_bias {shape} {isa}"
        )


ACTIVATIONS = ({"activation": 1}, {"activation": 1, "alpha": 0.25, "max_value": 1.5}, {})


@pytest.mark.parametrize("shape, name", [(shape, name) for shape, name in EVERY if name != "2x2"])
def test_of_normalised_pixels(shape, name):
    """Within the bound of what normalised pixels t, off by `error`, give; and the same bits as of t in memory. Some of
    the pixels are NaN and infinite.
    """
    x, w, _, grad_y, attributes, pads = problem(shape, name)
    constants = problem((4, 3, 3, x.shape[3], 1, (0, 0, 0, 0)))[0][:, 0, 0]
    mean, var, gamma, beta = constants[0], constants[1] ** 2, *constants[2:]
    act = ACTIVATIONS[sum(shape[:5]) % 3]
    scale, shift = _core.run_op("batchnorm_constants", [mean, var, gamma, beta])
    t, error, _ = bounds.normalised(x, scale, shift, act)
    magnitude, attributes = np.abs(t) + error, {**attributes, **act}
    forward = "batchnorm_conv2d", [x, w, scale, shift]
    backward = "batchnorm_conv2d_backward_weight", [x, grad_y, scale, shift]
    y, grad_w = (np.asarray(reference.run(*case, attributes)[0]) for case in (forward, backward))
    geometry = {key: value for key, value in attributes.items() if key not in act}
    carried = reference.run("conv2d", [error, np.abs(w)], geometry)[0]
    bound = forward_bound(magnitude, w, pads, *y.shape[1:3], FORMS[name]) + carried
    for isa, (result, *_) in on_winograd_paths(*forward, attributes, name=name):
        assert_within(result, y, bound, f"batchnorm_conv2d {shape} {isa}")
    carried = reference.run("conv2d_backward_weight", [error, np.abs(grad_y)], geometry)[0]
    bound = weight_bound(magnitude, grad_y, pads, FORMS[name]) + carried
    for isa, (result,) in on_winograd_paths(*backward, attributes):
        assert_within(result, grad_w, bound, f"batchnorm_conv2d_backward_weight {shape} {isa}")
    x[0, 0, 0, :2], x[-1, -1, -1, -2:] = np.nan, (np.inf, -np.inf)
    for isa in _core.available_isas():
        kept = _core.run_op("batchnorm", [x, mean, var, gamma, beta], act, isa=isa)[0]
        for op, inputs in (forward, backward):
            fused = _core.run_op(op, inputs, attributes, isa=isa)
            apart = _core.run_op(op.removeprefix("batchnorm_"), [kept, inputs[1]], geometry, isa=isa)
            for a, b in zip(fused, apart):
                assert np.isnan(a).any() and np.array_equal(a, b, equal_nan=True), f"{op} {shape} {isa}"


@pytest.mark.parametrize("shape", SMALL)
def test_tiles_of_2x2_are_not_normalised(shape):
    x, w, _, grad_y, attributes, _ = problem(shape)
    constants = [np.ones(x.shape[3], np.float32)] * 2
    for op, other in (("batchnorm_conv2d", w), ("batchnorm_conv2d_backward_weight", grad_y)):
        with pytest.raises(ValueError, match="enough for Winograd's algorithm.*use batchnorm and conv2d"):
            _core.run_op(op, [x, other, *constants], attributes)


def test_tiles_take_no_residual_and_write_nothing_normalised():
    x, w, _, _, attributes, _ = problem(SHAPES[0])
    constants = [np.ones(x.shape[3], np.float32)] * 2
    with pytest.raises(ValueError, match="must be 1x1 .* got 3x3; use batchnorm and conv2d"):
        _core.run_op("batchnorm_conv2d", [x, w, *constants, x], attributes)
    assert len(_core.run_op("batchnorm_conv2d", [x, w, *constants], attributes)) == 3


def test_normalised_pixels_are_not_taken_for_direct_sums():
    x, w, _, _, attributes, _ = problem(SHAPES[0])
    constants = [np.ones(x.shape[3], np.float32)] * 2
    with pytest.raises(ValueError, match="1x1 convolution with stride 1 can be normalised for direct sums"):
        _core.run_op("batchnorm_conv2d", [x, w, *constants], attributes, exact=True)


@pytest.mark.parametrize("size", [14, 15])
def test_narrow_tiles_err_no_more_than_whole_ones(size):
    """Root mean square errors of the results in each kind of tile, and of weight gradients that come from one kind
    alone, in relation to their size; those of three results are as large as whole ones', two per cent more measured.
    """
    x, w, _, grad_y, attributes, _ = problem((16, size, size, 64, 64, (1, 1, 1, 1)))
    rms = lambda e: np.sqrt(np.mean(e**2))
    errors = _core.run_op("conv2d", [x, w], attributes)[0] - reference.run("conv2d", [x, w], attributes)[0]
    kinds = {
        "4x4": np.s_[:, :12, :12],
        "narrow": np.s_[:, :12, 12:],
        "low": np.s_[:, 12:, :12],
        "small": np.s_[:, 12:, 12:],
    }
    forward, backward = {}, {}
    for kind, part in kinds.items():
        forward[kind] = rms(errors[part])
        only = np.zeros_like(grad_y)
        only[part] = grad_y[part]
        expected = np.asarray(reference.run("conv2d_backward_weight", [x, only], attributes)[0])
        result = _core.run_op("conv2d_backward_weight", [x, only], attributes)[0]
        backward[kind] = rms(result - expected) / rms(expected)
    assert max(forward.values()) <= 1.1 * forward["4x4"], forward
    assert max(backward.values()) <= 1.1 * backward["4x4"], backward


@pytest.mark.parametrize("h, w", [(14, 14), (13, 6), (16, 9), (7, 7), (15, 8)])
def test_an_image_has_the_same_results_anywhere_in_a_batch(h, w):
    x, weights, bias, _, attributes, _ = problem((11, h, w, 40, 72, (1, 1, 1, 1)))
    for isa in _core.available_isas():
        y, shifted = (
            _core.run_op("conv2d", [np.roll(x, by, 0), weights, bias], attributes, isa=isa, outputs=(True,))[0]
            for by in (0, 4)
        )
        assert np.roll(y, 4, 0).tobytes() == shifted.tobytes()


def test_error_is_a_small_multiple_of_the_direct_algorithms():
    """Root mean square errors on normally distributed data: about 2.2 times direct's in the result, 4.1 times in the
    weight gradient; direct's own with tiles of 2x2; with kernels of 5x5 1.3 times and 5.3 times.
    """
    x, w, _, grad_y, attributes, _ = problem((8, 28, 28, 64, 64, (1, 1, 1, 1)))
    small = problem((1, 8, 8, 512, 64, (1, 1, 1, 1)))
    larger = problem((8, 28, 28, 64, 64, (2, 2, 2, 2)), "2x2 of 5x5")
    for op, inputs, factor in (
        ("conv2d", [x, w], 4),
        ("conv2d_backward_weight", [x, grad_y], 8),
        ("conv2d", list(small[:2]), 1.5),
        ("conv2d", list(larger[:2]), 4),
        ("conv2d_backward_weight", [larger[0], larger[3]], 8),
    ):
        attributes = (larger if any(a is larger[0] for a in inputs) else small)[4]
        expected = np.asarray(reference.run(op, inputs, attributes)[0])
        rms = [
            np.sqrt(np.mean((_core.run_op(op, inputs, attributes, exact=exact)[0] - expected) ** 2))
            for exact in (False, True)
        ]
        assert rms[0] <= factor * rms[1], f"{op}: {rms[0]:.3g} and {rms[1]:.3g}, {rms[0] / rms[1]:.1f} times"
