"""Winograd's convolution of folded pixels, the first layer of networks for large images (kernels of 7x7 with stride 2
and their like), against the reference, within the error bound of the algorithm (winograd_bounds.py).
"""

import numpy as np
import pytest

import bounds
import reference
from cnncore import _core
from harness import kernel, on_winograd_paths
from winograd_bounds import EPS, FORMS, assert_within, forward_bound, weight_bound

FORM = FORMS["3x3 folded"]

SHAPES = [  # (images, h, w, channels, outputs, kernel, pads): results of every remainder by 3, both parities of padding
    (2, 40, 36, 3, 64, (7, 7), (3, 3, 3, 3)),
    (1, 224, 224, 3, 64, (7, 7), (3, 3, 3, 3)),
    (3, 31, 47, 3, 17, (7, 7), (3, 2, 2, 3)),
    (5, 24, 23, 4, 96, (7, 7), (2, 2, 3, 3)),
    (2, 50, 29, 4, 40, (8, 8), (0, 2, 1, 2)),
    (4, 27, 30, 3, 130, (7, 8), (2, 0, 0, 0)),
    (3, 33, 61, 3, 16, (6, 7), (1, 3, 0, 3)),
    (2, 21, 80, 3, 33, (6, 6), (5, 3, 5, 2)),
    (2, 80, 20, 3, 24, (7, 7), (6, 7, 6, 7)),
]


def problem(shape):
    n, h, w, ci, co, (rows, columns), (top, left, bottom, right) = shape
    generator = np.random.default_rng(sum(shape[:5]))
    draw = lambda *size: generator.standard_normal(size).astype(np.float32)
    pads = dict(pad_top=top, pad_left=left, pad_bottom=bottom, pad_right=right)
    attributes = dict(kernel_h=rows, kernel_w=columns, stride_h=2, stride_w=2, **pads)
    out = draw(n, (h + top + bottom - rows) // 2 + 1, (w + left + right - columns) // 2 + 1, co)
    return draw(n, h, w, ci), draw(rows, columns, ci, co), draw(co), out, attributes


def fold(x, attributes, top, left):
    """Pixels (2 i + dy, 2 j + dx) of a padded image as pixel (i, j), side by side; an even number of each before it."""
    _, h, w, _ = x.shape
    even = lambda pad, size: (pad, (pad + size) % 2)
    padded = np.pad(x, ((0, 0), even(top, h), even(left, w), (0, 0)))
    return np.concatenate([padded[:, dy::2, dx::2] for dy in (0, 1) for dx in (0, 1)], axis=3)


def folded_problem(x, attributes):
    """The images, folded, and where their first results' pixels begin."""
    parity = attributes["pad_top"] % 2, attributes["pad_left"] % 2
    before = [attributes[f"pad_{side}"] + odd for side, odd in zip(("top", "left"), parity)]
    return fold(x, attributes, *(b % 2 for b in before)), [b // 2 for b in before], parity


def fold_kernel(w, parity):
    rows, columns, ci, co = w.shape
    taps = np.zeros((8, 8, ci, co))
    taps[parity[0] : parity[0] + rows, parity[1] : parity[1] + columns] = w
    return taps.reshape(4, 2, 4, 2, ci, co).transpose(0, 2, 1, 3, 4, 5).reshape(4, 4, 4 * ci, co)


def unfold_kernel(w, parity, rows, columns):
    _, _, ci, co = w.shape
    taps = w.reshape(4, 4, 2, 2, ci // 4, co).transpose(0, 2, 1, 3, 4, 5).reshape(8, 8, ci // 4, co)
    return taps[parity[0] : parity[0] + rows, parity[1] : parity[1] + columns]


def bound_of_forward(x, w, y, attributes):
    pixels, pads, parity = folded_problem(x, attributes)
    return forward_bound(pixels, fold_kernel(w, parity), pads, *y.shape[1:3], FORM)


def bound_of_weights(x, grad_y, attributes):
    pixels, pads, parity = folded_problem(x, attributes)
    bound = weight_bound(pixels, grad_y, pads, FORM)
    return unfold_kernel(bound, parity, attributes["kernel_h"], attributes["kernel_w"])


def test_the_bound_is_for_the_same_convolution():
    """What is folded has the results of the reference."""
    x, w, _, _, attributes = problem(SHAPES[3])
    pixels, (top, left), parity = folded_problem(x, attributes)
    whole = dict(kernel_h=4, kernel_w=4, pad_top=top, pad_left=left, pad_bottom=8, pad_right=8)
    expected = np.asarray(reference.run("conv2d", [x, w], attributes)[0])
    y = np.asarray(reference.run("conv2d", [pixels, fold_kernel(w, parity)], whole)[0])
    np.testing.assert_allclose(y[:, : expected.shape[1], : expected.shape[2]], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(unfold_kernel(fold_kernel(w, parity), parity, 7, 7), w)


@pytest.mark.parametrize("shape", SHAPES)
def test_forward(shape):
    x, w, bias, residual, attributes = problem(shape)
    expected = [np.asarray(y) for y in reference.run("conv2d", [x, w, bias], attributes)]
    bound = bound_of_forward(x, w, residual, attributes) + 4 * EPS * (np.abs(bias) + np.abs(expected[0]))
    for isa, (y, mean, var) in on_winograd_paths("conv2d", [x, w, bias], attributes, name="3x3 folded"):
        assert_within(y, expected[0], bound, f"conv2d {shape} {isa}")
        roundings, axes = (y[..., 0].size + 2) * EPS, (0, 1, 2)  # the moments are those of y
        exactly = y.mean(axis=axes, dtype=np.float64), y.var(axis=axes, dtype=np.float64)
        assert_within(mean, exactly[0], roundings * np.abs(y).mean(axis=axes), f"mean {shape} {isa}")
        assert_within(var, exactly[1], roundings * (y**2).mean(axis=axes), f"var {shape} {isa}")
        for act in ({"activation": 1}, {"activation": 1, "alpha": 0.25}):
            (result,) = _core.run_op("conv2d", [x, w, bias, residual], {**attributes, **act}, isa=isa, outputs=(True,))
            (rectified,) = reference.run("conv2d", [x, w, bias, residual], {**attributes, **act})[:1]
            assert_within(result, rectified, bound + 4 * EPS * np.abs(residual), f"{act} {shape} {isa}")


@pytest.mark.parametrize("shape", SHAPES)
def test_backward_weight(shape):
    x, _, _, grad_y, attributes = problem(shape)
    expected = [np.asarray(g) for g in reference.run("conv2d_backward_weight", [x, grad_y], attributes)]
    bound, count = bound_of_weights(x, grad_y, attributes), grad_y[..., 0].size
    for isa, (grad_w, grad_bias) in on_winograd_paths(
        "conv2d_backward_weight", [x, grad_y], attributes, name="3x3 folded"
    ):
        assert_within(grad_w, expected[0], bound, f"conv2d_backward_weight {shape} {isa}")
        limit = (count + 2) * EPS * np.abs(grad_y).sum(axis=(0, 1, 2))
        assert_within(grad_bias, expected[1], limit, f"grad_bias {shape} {isa}")


@pytest.mark.parametrize("shape", SHAPES)
def test_backward_weight_of_a_normalised_gradient(shape):
    """Within the bound of what d, off by `error`, gives."""
    x, _, _, grad_y, attributes = problem(shape)
    out = np.flip(grad_y, (0, 1, 2)).copy()
    p, q, s = problem((4, 20, 20, 3, grad_y.shape[3], (7, 7), (3, 3, 3, 3)))[3][:3, 0, 0]
    d, error = bounds.normalised_gradient(grad_y, out, p, q, s)
    expected = np.asarray(reference.run("conv2d_backward_weight", [x, d], attributes)[0])
    carried = reference.run("conv2d_backward_weight", [np.abs(x), error], attributes)[0]
    bound = bound_of_weights(x, np.abs(d) + error, attributes) + carried
    inputs = [x, grad_y, out, p, q, s]
    for isa, (grad_w,) in on_winograd_paths("conv2d_backward_weight", inputs, attributes, (True,), "3x3 folded"):
        assert_within(grad_w, expected, bound, f"{shape} {isa}")


@pytest.mark.parametrize("shape", SHAPES)
def test_bytes_are_rescaled_as_by_affine(shape):
    x, w, _, grad_y, attributes = problem(shape)
    x = np.random.default_rng(3).integers(0, 256, x.shape).astype(np.uint8)
    by = {"scale": -0.3, "offset": 0.7}
    scaled = {**attributes, **{f"x_{key}": value for key, value in by.items()}}
    for op, operand in (("conv2d", w), ("conv2d_backward_weight", grad_y)):
        for isa, results in on_winograd_paths(op, [x, operand], scaled, name="3x3 folded"):
            (floats,) = _core.run_op("affine", [x], by, isa=isa)
            for a, b in zip(results, _core.run_op(op, [floats, operand], attributes, isa=isa)):
                assert a.tobytes() == b.tobytes(), f"{op} {shape} {isa}"


@pytest.mark.parametrize(
    "channels, outputs, changes",
    [
        (2, 64, {}),
        (5, 64, {}),
        (3, 8, {}),
        (3, 64, {"stride_h": 1}),
        (3, 64, {"stride_h": 3, "stride_w": 3}),
        (3, 64, {"dilation_w": 2}),
        (3, 64, {"kernel_h": 5}),
        (3, 64, {"kernel_w": 9}),
        (3, 64, {"kernel_w": 8, "pad_left": 3}),
    ],
)
def test_others_are_computed_directly(channels, outputs, changes):
    x, _, _, _, attributes = problem((2, 60, 60, channels, outputs, (7, 7), (2, 2, 2, 2)))
    attributes.update(changes)
    w = np.zeros((attributes["kernel_h"], attributes["kernel_w"], channels, outputs), np.float32)
    assert kernel("conv2d", [x, w], attributes, "generic").startswith("direct")


def test_exactly_and_normalised_pixels_are_computed_directly():
    x, w, _, grad_y, attributes = problem(SHAPES[0])
    whole = [np.round(4 * array) for array in (x, w, grad_y)]
    for op, inputs in (("conv2d", whole[:2]), ("conv2d_backward_weight", whole[::2])):
        expected = np.asarray(reference.run(op, inputs, attributes)[0])
        np.testing.assert_array_equal(_core.run_op(op, inputs, attributes, exact=True)[0], expected)
    with pytest.raises(ValueError, match="use batchnorm and conv2d"):
        _core.run_op("batchnorm_conv2d", [x, w, *[np.ones(3, np.float32)] * 2], attributes)


def test_error_is_a_small_multiple_of_the_direct_algorithms():
    """Root mean square errors on normally distributed data: about 1.8 times direct's in the result, 4.1 times in the
    weight gradient.
    """
    x, w, _, grad_y, attributes = problem((4, 112, 112, 3, 64, (7, 7), (3, 3, 3, 3)))
    for op, inputs, factor in (("conv2d", [x, w], 3), ("conv2d_backward_weight", [x, grad_y], 8)):
        expected = np.asarray(reference.run(op, inputs, attributes)[0])
        rms = [
            np.sqrt(np.mean((_core.run_op(op, inputs, attributes, exact=exact)[0] - expected) ** 2))
            for exact in (False, True)
        ]
        assert rms[0] <= factor * rms[1], f"{op}: {rms[0]:.3g} and {rms[1]:.3g}, {rms[0] / rms[1]:.1f} times"
