"""Gradients in the weights of 1x1 convolutions and dense layers with many channels on both sides: what is packed,
streamed and copied first (src_c/ops/pointwise_weight_gradient.h) changes no bit.
"""

import numpy as np
import pytest

import op_cases
from cnncore import _core
from harness import check_exact, count, engine, kernel, on_every_path, same_bits
from op_cases import Case, integers

POINTWISE = {"kernel_h": 1, "kernel_w": 1}
RELU = {"activation": 1}

# Images, height, width, channels of x and of grad_y, stride; what is done with x as it is, and normalised.
NAMED = {
    "streamed": ((2, 11, 13, 256, 80, 1), ("grad_y packed", "grad_y packed, normalised, copied")),
    "packed": ((5, 16, 21, 64, 200, 1), ("x packed", "x packed, normalised")),
    "of bad pitch": ((1, 12, 12, 384, 128, 1), ("grad_y packed", "grad_y packed, normalised, copied")),
    "in groups": ((3, 23, 24, 72, 65, 1), ("grad_y packed", "grad_y packed, normalised, copied")),
    "of one set of the cache": ((3, 14, 14, 1024, 256, 1), ("x packed", "x packed, normalised")),
    "in ranges of rows": ((1, 10, 12, 64, 1100, 1), ("grad_y packed", "grad_y packed, normalised, copied")),
    "large": ((1, 61, 72, 512, 64, 1), ("grad_y packed", "x packed, normalised")),
    "copied with a stride": ((3, 15, 14, 256, 96, 2), ("grad_y packed, copied", None)),
    "packed with a stride": ((4, 30, 31, 70, 300, 2), ("x packed", None)),
    "large with a stride": ((1, 121, 150, 512, 64, 2), ("x packed", None)),
}


def operands(rng, images, h, w, c, o, stride):
    """Whole numbers, of which grad_w is a sum that float32 holds."""
    x = integers(rng, images, h, w, c)
    return x, integers(rng, images, -(-h // stride), -(-w // stride), o)


def strided(stride):
    return {**POINTWISE, "stride_h": stride, "stride_w": stride}


def powers_and_shifts(rng, channels):
    """scale and shift that leave whole numbers whole."""
    return rng.choice([-1, 1, 2], channels).astype(np.float32), integers(rng, channels)


@pytest.mark.parametrize("shape, kernels", NAMED.values(), ids=NAMED)
def test_what_is_packed_is_chosen_by_shapes_and_is_exact(shape, kernels):
    rng = np.random.default_rng(2026)
    (x, grad_y), attributes = operands(rng, *shape), strided(shape[-1])
    norm = powers_and_shifts(rng, x.shape[3])
    cases = [
        ("conv2d_backward_weight", [x, grad_y], attributes, (True, True), kernels[0]),
        ("batchnorm_conv2d_backward_weight", [x, grad_y, *norm], {**attributes, **RELU}, (True,), kernels[1]),
    ]
    for op, inputs, attributes, outputs, name in cases:
        if name is None:
            continue
        check_exact(Case(op, 0, inputs, attributes, outputs))
        for isa in _core.available_isas():
            text = kernel(op, inputs, attributes, isa)
            assert f", {name}, " in text, f"{op} {shape} {isa}: {text}"


def test_random_shapes_are_exact():
    for index in range(count(40)):
        rng = np.random.default_rng([2026, index])
        c, o = (int(rng.integers(64, 150)) if rng.random() < 0.7 else int(rng.integers(150, 600)) for _ in range(2))
        stride, images = int(rng.integers(1, 4)), int(rng.integers(1, 7))
        h, w = (int(rng.integers(1, 24)) * stride for _ in range(2))
        x, grad_y = operands(rng, images, h, w, c, o, stride)
        check_exact(Case("conv2d_backward_weight", index, [x, grad_y], strided(stride), (True, bool(index % 2))))
        if stride > 1:
            continue
        norm = powers_and_shifts(rng, c)
        check_exact(Case("batchnorm_conv2d_backward_weight", index, [x, grad_y, *norm], {**POINTWISE, **RELU}))
        rows, gradients = x.reshape(-1, c), grad_y.reshape(-1, o)
        check_exact(Case("dense_backward_weight", index, [rows, gradients], outputs=(True, bool(index % 2))))


@pytest.mark.parametrize("shape", [shape for shape, kernels in NAMED.values() if kernels[1]])
def test_normalised_pixels_have_the_bits_of_those_in_memory(shape):
    """Whatever is packed and copied, and for more threads than there are panels."""
    rng = np.random.default_rng(2026)
    x, grad_y = (op_cases.normal(rng, *a.shape) for a in operands(rng, *shape))
    mean, var, gamma, beta = (rng.uniform(0.5, 1.5, x.shape[3]).astype(np.float32) for _ in range(4))
    norm = _core.run_op("batchnorm_constants", [mean, var, gamma, beta])
    for isa in _core.available_isas():
        kept = _core.run_op("batchnorm", [x, mean, var, gamma, beta], RELU, isa=isa)[0]
        fused = Case("batchnorm_conv2d_backward_weight", 0, [x, grad_y, *norm], {**POINTWISE, **RELU})
        apart = Case("conv2d_backward_weight", 0, [kept, grad_y], POINTWISE, (True, True))
        first = engine(apart, isa, 1)
        for threads in (1, 2, 7, 16):
            assert same_bits(engine(fused, isa, threads)[0], first[0]), f"{shape} {isa} {threads} threads, normalised"
            for a, b in zip(engine(apart, isa, threads), first):
                assert same_bits(a, b), f"{shape} {isa} {threads} threads"


@pytest.mark.parametrize("shape", [NAMED["streamed"][0], NAMED["packed"][0]])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_reaches_its_own_channel_alone(shape, value):
    rng = np.random.default_rng(2026)
    x, grad_y = (np.abs(a) + 1 for a in operands(rng, *shape))
    for which, axis in ((x, 0), (grad_y, 1)):
        before = which[-1, 3, 5, 7]
        which[-1, 3, 5, 7] = value
        expected = np.zeros((x.shape[3], grad_y.shape[3]), bool)
        np.moveaxis(expected, axis, 0)[7] = True
        for isa, (grad_w,) in on_every_path(Case("conv2d_backward_weight", 0, [x, grad_y], POINTWISE, (True, False))):
            assert np.array_equal(~np.isfinite(grad_w[0, 0]), expected), f"{shape} {isa}"
        which[-1, 3, 5, 7] = before


@pytest.mark.parametrize(
    "shape, attributes",
    [
        ((1, 12, 12, 63, 256, 1), {}),  # few channels
        ((1, 10, 11, 64, 64, 1), {}),  # one block of pixels
        ((1, 12, 12, 64, 64, 1), {"pad_top": 1, "pad_bottom": 1}),  # pixels outside of the image
        ((1, 12, 12, 128, 128, 1), {"groups": 2}),
    ],
)
def test_other_shapes_keep_the_general_form_and_are_exact(shape, attributes):
    rng = np.random.default_rng(2026)
    x, grad_y = operands(rng, *shape)
    if attributes.get("pad_top"):
        grad_y = integers(rng, 1, x.shape[1] + 2, *grad_y.shape[2:])
    case = Case("conv2d_backward_weight", 0, [x, grad_y], {**POINTWISE, **attributes}, (True, True))
    check_exact(case)
    for isa in _core.available_isas():
        assert "packed" not in kernel(case.op, case.inputs, case.attributes, isa), isa


def test_short_vectors_do_not_stream_pixels_of_one_set_of_the_cache():
    """avx512's tiles do, whose many products hide it."""
    rng = np.random.default_rng(2026)
    for channels in ((1024, 64), (64, 1024), (1024, 1024)):
        x, grad_y = operands(rng, 4, 8, 8, *channels, 1)
        check_exact(Case("conv2d_backward_weight", 0, [x, grad_y], POINTWISE, (True, True)))
        for isa in _core.available_isas():
            text = kernel("conv2d_backward_weight", [x, grad_y], POINTWISE, isa)
            streamed = [c for c, packed in zip(channels, ("grad_y packed", "x packed")) if packed in text]
            assert len(streamed) == 1 if isa == "avx512" else 1024 not in streamed, f"{channels} {isa}: {text}"
