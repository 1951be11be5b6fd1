"""Winograd's convolution of dilated kernels, in phases: against the reference, within the bound of its algorithm
(winograd_bounds.py) on each phase; the same bits for any number of threads.
"""

from typing import NamedTuple

import numpy as np
import pytest

import bounds
import reference
from cnncore import _core
from harness import kernel, on_winograd_paths
from winograd_bounds import EPS, FORMS, assert_within, forward_bound, weight_bound


class Case(NamedTuple):
    """Images, channels, dilation of rows and of columns, padding above, left, below and right, form, groups."""

    images: int
    h: int
    w: int
    inputs: int
    outputs: int
    dilation: tuple
    pads: tuple
    form: str = "4x4"
    groups: int = 1


CASES = [
    Case(4, 16, 16, 16, 16, (2, 2), (2, 2, 2, 2)),
    Case(2, 17, 33, 40, 70, (2, 2), (2, 2, 2, 2)),  # phases of two sizes, with tiles that have no results
    Case(1, 9, 80, 16, 32, (2, 1), (2, 1, 2, 1)),  # and blocks of such tiles alone
    Case(1, 80, 9, 32, 16, (1, 2), (1, 2, 1, 2)),
    Case(3, 20, 23, 33, 50, (2, 3), (2, 3, 2, 3)),
    Case(2, 24, 21, 64, 40, (3, 2), (0, 0, 0, 0)),
    Case(3, 19, 26, 12, 48, (2, 3), (3, 1, 0, 5)),  # padding that is no multiple of the dilation
    Case(9, 12, 12, 170, 190, (4, 4), (4, 4, 4, 4)),  # phases of one tile; transformed once for the weights' gradient
    Case(12, 14, 14, 128, 144, (2, 2), (2, 2, 2, 2)),
    Case(1, 16, 16, 32, 64, (4, 4), (4, 4, 4, 4), "4x4"),
    Case(1, 8, 8, 24, 40, (4, 4), (4, 4, 4, 4), "2x2"),
    Case(2, 17, 20, 32, 48, (2, 2), (4, 4, 4, 4), "2x2 of 5x5"),
    Case(3, 18, 22, 16, 20, (2, 3), (0, 6, 8, 1), "2x2 of 5x5"),
    Case(4, 18, 22, 64, 96, (2, 2), (2, 2, 2, 2), "4x4", 4),
    Case(3, 18, 20, 32, 32, (2, 2), (2, 2, 2, 2), "4x4", 8),  # some groups at once
]


class Problem:
    """The arrays and attributes of a case, and its bounds."""

    def __init__(self, case):
        self.case, self.taps = case, FORMS[case.form].g.shape[1]
        top, left, bottom, right = case.pads
        reach = [(self.taps - 1) * d for d in case.dilation]
        self.size = case.h + top + bottom - reach[0], case.w + left + right - reach[1]
        generator = np.random.default_rng(sum(case[:5]))
        draw = lambda *shape: generator.standard_normal(shape).astype(np.float32)
        self.x, self.bias = draw(case.images, case.h, case.w, case.inputs), draw(case.outputs)
        self.w = draw(self.taps, self.taps, case.inputs // case.groups, case.outputs)
        self.y = draw(case.images, *self.size, case.outputs)
        pads = dict(pad_top=top, pad_left=left, pad_bottom=bottom, pad_right=right)
        dilation = dict(dilation_h=case.dilation[0], dilation_w=case.dilation[1], groups=case.groups)
        self.attributes = dict(kernel_h=self.taps, kernel_w=self.taps, **pads, **dilation)
        self.backwards = {**self.attributes, "in_h": case.h, "in_w": case.w}
        self.dense = np.zeros((self.taps, self.taps, case.inputs, case.outputs), np.float32)
        for ins, outs in self.groups():
            self.dense[:, :, ins, outs] = self.w[..., outs]

    def groups(self):
        """Slices of the channels of x and of y of each group."""
        ins, outs = self.case.inputs // self.case.groups, self.case.outputs // self.case.groups
        return [(np.s_[g * ins : (g + 1) * ins], np.s_[g * outs : (g + 1) * outs]) for g in range(self.case.groups)]

    def bound(self, x, w, first, size):
        """Of the convolution that gives results of `size`, reading from `first` on, phase by phase."""
        results = [-(-n // d) for n, d in zip(size, self.case.dilation)]
        found = forward_bound(self.phases(x, first, results), w, (0, 0), *results, FORMS[self.case.form])
        down, across = self.case.dilation
        apart = found.reshape(down, across, len(x), *results, -1).transpose(2, 3, 0, 4, 1, 5)
        return apart.reshape(len(x), results[0] * down, results[1] * across, -1)[:, : size[0], : size[1]]

    def phases(self, x, first, results, reach=None):
        """The phases one behind the other as images, of what so many results of each read; zeros outside."""
        reach = self.taps - 1 if reach is None else reach
        sizes = [(n + reach) * d for n, d in zip(results, self.case.dilation)]
        whole = np.zeros((len(x), *sizes, x.shape[3]), np.float64)
        inside = x[:, max(0, first[0]) :, max(0, first[1]) :]
        at = [max(0, -f) for f in first]
        inside = inside[:, : sizes[0] - at[0], : sizes[1] - at[1]]
        whole[:, at[0] : at[0] + inside.shape[1], at[1] : at[1] + inside.shape[2]] = inside
        down, across = self.case.dilation
        return np.concatenate([whole[:, i::down, j::across] for i in range(down) for j in range(across)])

    def forward_bound(self, x):
        return self.bound(x, self.dense, (-self.case.pads[0], -self.case.pads[1]), self.size)

    def weight_bound(self, x):
        results = [-(-n // d) for n, d in zip(self.size, self.case.dilation)]
        read = self.phases(x, (-self.case.pads[0], -self.case.pads[1]), results)
        dense = weight_bound(read, self.phases(self.y, (0, 0), results, 0), (0, 0), FORMS[self.case.form])
        return np.concatenate([dense[:, :, ins, outs] for ins, outs in self.groups()], axis=3)


@pytest.mark.parametrize("case", CASES)
def test_forward(case):
    p = Problem(case)
    expected = np.asarray(reference.run("conv2d", [p.x, p.w, p.bias], p.attributes)[0])
    bound = p.forward_bound(p.x) + 4 * EPS * (np.abs(p.bias) + np.abs(expected))
    axes, roundings = (0, 1, 2), (expected[..., 0].size + 2) * EPS
    for isa, (y, mean, var) in on_winograd_paths("conv2d", [p.x, p.w, p.bias], p.attributes, name=case.form):
        assert_within(y, expected, bound, f"conv2d {case} {isa}")
        assert_within(mean, y.mean(axis=axes, dtype=np.float64), roundings * np.abs(y).mean(axis=axes), f"mean {isa}")
        assert_within(var, y.var(axis=axes, dtype=np.float64), roundings * (y**2).mean(axis=axes), f"var {isa}")
        assert ", in phases" in kernel("conv2d", [p.x, p.w], p.attributes, isa)
    for act in ({"activation": 1, "max_value": 2.0}, {"activation": 1, "alpha": 0.25}):
        linear = expected + p.y
        result = np.minimum(np.maximum(linear, act.get("alpha", 0) * linear), act.get("max_value", np.inf))
        inputs = [p.x, p.w, p.bias, p.y]
        for isa, (y,) in on_winograd_paths("conv2d", inputs, {**p.attributes, **act}, (True,), case.form):
            assert_within(y, result, bound + 4 * EPS * np.abs(p.y), f"conv2d {case} {act} {isa}")


@pytest.mark.parametrize("case", CASES)
def test_backward_input(case):
    p = Problem(case)
    expected = np.asarray(reference.run("conv2d_backward_input", [p.y, p.w, p.x], p.backwards)[0])
    turned = p.dense[::-1, ::-1].transpose(0, 1, 3, 2)
    first = [pad - (p.taps - 1) * d for pad, d in zip(case.pads, case.dilation)]
    bound = p.bound(p.y, turned, first, (case.h, case.w)) + 4 * EPS * (np.abs(p.x) + np.abs(expected))
    mean, relu = p.x.mean(axis=(0, 1, 2)), {"activation": 1}
    for isa, (grad_x,) in on_winograd_paths("conv2d_backward_input", [p.y, p.w, p.x], p.backwards, (True,), case.form):
        assert_within(grad_x, expected, bound, f"conv2d_backward_input {case} {isa}")
        inputs = [p.y, p.w, p.x, p.x, p.x, mean]
        g, sum_g, sum_gx = _core.run_op("conv2d_backward_input", inputs, {**p.backwards, **relu}, isa=isa)
        assert np.array_equal(g, np.where(p.x > 0, grad_x, 0)), f"mask {case} {isa}"
        products = g.astype(np.float64) * (p.x.astype(np.float64) - mean)
        for result, terms in ((sum_g, g.astype(np.float64)), (sum_gx, products)):
            limit = (g[..., 0].size + 4) * EPS * (np.abs(g) * (np.abs(p.x) + np.abs(mean) + 1)).sum(axis=(0, 1, 2))
            assert_within(result, terms.sum(axis=(0, 1, 2)), limit, f"sums {case} {isa}")


@pytest.mark.parametrize("case", [case for case in CASES if case.form != "2x2"])
def test_backward_weight(case):
    p = Problem(case)
    expected = [np.asarray(g) for g in reference.run("conv2d_backward_weight", [p.x, p.y], p.attributes)]
    bound, limit = p.weight_bound(p.x), (p.y[..., 0].size + 2) * EPS * np.abs(p.y).sum(axis=(0, 1, 2))
    for isa, (grad_w, grad_bias) in on_winograd_paths(
        "conv2d_backward_weight", [p.x, p.y], p.attributes, name=case.form
    ):
        assert_within(grad_w, expected[0], bound, f"conv2d_backward_weight {case} {isa}")
        assert_within(grad_bias, expected[1], limit, f"grad_bias {case} {isa}")


@pytest.mark.parametrize("case", [case for case in CASES if case.form != "2x2" and case.groups == 1])
def test_of_normalised_pixels(case):
    """Within the bound of what normalised pixels t, off by `error`, give; what lies outside stays zero."""
    p, act = Problem(case), {"activation": 1}
    scale, shift = np.linspace(-1, 2, case.inputs, dtype=np.float32), np.linspace(1, -1, case.inputs, dtype=np.float32)
    t, error, _ = bounds.normalised(p.x, scale, shift, act)
    attributes, magnitude = {**p.attributes, **act}, np.abs(t) + error
    forward = "batchnorm_conv2d", [p.x, p.w, scale, shift]
    backward = "batchnorm_conv2d_backward_weight", [p.x, p.y, scale, shift]
    y, grad_w = (np.asarray(reference.run(*run, attributes)[0]) for run in (forward, backward))
    carried = reference.run("conv2d", [error, np.abs(p.w)], p.attributes)[0]
    for isa, (result, *_) in on_winograd_paths(*forward, attributes, name=case.form):
        assert_within(result, y, p.forward_bound(magnitude) + carried, f"batchnorm_conv2d {case} {isa}")
    carried = reference.run("conv2d_backward_weight", [error, np.abs(p.y)], p.attributes)[0]
    for isa, (result,) in on_winograd_paths(*backward, attributes):
        assert_within(result, grad_w, p.weight_bound(magnitude) + carried, f"backward_weight {case} {isa}")


def test_transposed():
    """The layer of a transposed convolution, whose kernel may be dilated where its stride is 1."""
    p = Problem(CASES[4])
    attributes, bias = {**p.attributes, "out_h": p.case.h, "out_w": p.case.w}, np.linspace(-1, 1, 33, dtype=np.float32)
    expected = np.asarray(reference.run("conv2d_transpose", [p.y, p.w, bias], attributes)[0])
    turned = p.dense[::-1, ::-1].transpose(0, 1, 3, 2)
    first = [pad - 2 * d for pad, d in zip(p.case.pads, p.case.dilation)]
    bound = p.bound(p.y, turned, first, (p.case.h, p.case.w)) + 4 * EPS * (np.abs(bias) + np.abs(expected))
    for isa, (y,) in on_winograd_paths("conv2d_transpose", [p.y, p.w, bias], attributes, (True,), "4x4"):
        assert_within(y, expected, bound, f"conv2d_transpose {isa}")


def test_a_residual_of_every_other_pixel_keeps_to_direct_sums():
    """Its rows and columns are not those of the phases."""
    p = Problem(CASES[0])
    sparse = np.ascontiguousarray(p.x[:, ::2, ::2])
    expected = np.asarray(reference.run("conv2d_backward_input", [p.y, p.w, sparse], p.backwards)[0])
    limit = (
        (9 * 16 + 2) * EPS * reference.run("conv2d_backward_input", [abs(p.y), abs(p.w), abs(sparse)], p.backwards)[0]
    )
    assert kernel("conv2d_backward_input", [p.y, p.w, sparse], p.backwards, "generic").startswith("direct")
    for isa in _core.available_isas():
        result = _core.run_op("conv2d_backward_input", [p.y, p.w, sparse], p.backwards, isa=isa, outputs=(True,))[0]
        assert_within(result, expected, limit, isa)


@pytest.mark.parametrize(
    "size, dilation, stride, form",
    [
        (32, 2, 1, "Winograd 4x4, in phases"),
        (32, 2, 2, "direct"),  # strided and dilated
        (33, 24, 1, "direct"),  # phases of one or two results
        (4, 5, 1, "direct"),  # phases without any
    ],
)
def test_what_is_taken_apart(size, dilation, stride, form):
    x, w = np.ones((8, size, size, 32), np.float32), np.ones((3, 3, 32, 64), np.float32)
    pads = {f"pad_{side}": dilation for side in ("top", "left", "bottom", "right")}
    attributes = dict(kernel_h=3, kernel_w=3, stride_h=stride, stride_w=stride, **pads)
    attributes.update(dilation_h=dilation, dilation_w=dilation)
    assert kernel("conv2d", [x, w], attributes, "generic").startswith(form)
