"""Tensors large enough to be cut into many pieces: the same bits for 1, 2, 3, 4 and 7 threads, and the bounds over long
sums.
"""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

import harness
import op_cases
import reference
from cnncore import _core
from harness import check, engine, same_bits
from op_cases import Case, normal, shape_attributes

SHAPE = (3, 61, 67, 33)  # 405,000 elements, no dimension a multiple of a tile
ROWS, CHANNELS = SHAPE[:-1], SHAPE[-1]
THREADS = (1, 2, 3, 4, 7)
CONV = dict(kernel_h=3, kernel_w=3, pad_top=1, pad_left=1, pad_bottom=1, pad_right=1)
POOL = dict(pool_h=3, pool_w=3, stride_h=2, stride_w=2, pad_top=1, pad_left=1)
POOLED = (3, 31, 33, 33)
RNG = np.random.default_rng(0)


def large():
    return normal(RNG, *SHAPE)


def vector(size=CHANNELS):
    return normal(RNG, size)


def positive(size=CHANNELS):
    return RNG.uniform(0.5, 2.0, size).astype(np.float32)


def labels():
    return RNG.integers(0, CHANNELS, ROWS).astype(np.int32)


def conv_inputs(channels=17):
    return normal(RNG, *SHAPE), normal(RNG, 3, 3, CHANNELS, channels, scale=0.06), normal(RNG, *ROWS, channels)


def quarters(x):
    return np.round(4 * x) / np.float32(4)


def signs(channels=CHANNELS):
    """scale and shift with which quarters give a result that is exact and never 0: every sum has the same sign."""
    shift = np.round(normal(RNG, channels)) + np.float32(1 / 16)
    return [np.float32(RNG.choice([-2, -1, 0.5, 1], channels)), shift]


def conv_cases():
    x, w, grad_y = conv_inputs()
    size = {"in_h": SHAPE[1], "in_w": SHAPE[2]}
    out = {"out_h": SHAPE[1], "out_w": SHAPE[2]}
    depthwise = normal(RNG, 3, 3, CHANNELS, 1, scale=0.3)
    yield Case("conv2d", 0, [x, w, vector(17), None], CONV, (True, True, True))
    yield Case("conv2d_backward_input", 0, [grad_y, w, None], {**CONV, **size})
    yield Case("conv2d_backward_weight", 0, [x, grad_y], CONV, (True, True))
    image, rescaling = RNG.integers(0, 256, (*ROWS, 3)).astype(np.uint8), {"x_scale": 1 / 255, "x_offset": -0.5}
    first = normal(RNG, 3, 3, 3, 17, scale=0.2)
    yield Case("conv2d", 0, [image, first, vector(17)], {**CONV, **rescaling}, (True, True, True))
    yield Case("conv2d_backward_weight", 0, [image, grad_y], {**CONV, **rescaling}, (True, True))
    for outputs in (17, 32):
        after = [normal(RNG, *ROWS, outputs), normal(RNG, *ROWS, outputs), *(vector(outputs) for _ in range(3))]
        yield Case("conv2d_backward_weight", 0, [image, *after], {**CONV, **rescaling})
    yield Case("conv2d_transpose", 0, [grad_y, w, vector()], {**CONV, **out})
    yield Case("depthwise_conv2d", 0, [x, depthwise, vector()], CONV)
    yield Case("depthwise_conv2d_backward_input", 0, [x, depthwise], {**CONV, **size})
    inner = normal(RNG, 1, 1, CHANNELS, CHANNELS, scale=0.1)
    yield Case("pointwise_depthwise_conv2d", 0, [x, inner, depthwise, vector()], {**CONV, "inner_activation": 1})
    norm = [positive(), vector()]
    yield Case("batchnorm_depthwise_conv2d", 0, [x, depthwise, *norm], {**CONV, "activation": 1}, (True, True, True))
    own, pointwise = {"kernel_h": 1, "kernel_w": 1}, [x, normal(RNG, 1, 1, CHANNELS, 17, scale=0.2), *norm]
    yield Case("batchnorm_conv2d", 0, pointwise, {**own, "activation": 1}, (True, True, True))
    small, wide = large()[:1, :9], normal(RNG, 1, 1, CHANNELS, 400, scale=0.2)  # few pixels: panels are shared out
    for pixels, weight in ((x, pointwise[1]), (small, wide)):
        inputs = [pixels, weight, *norm, normal(RNG, *pixels.shape), positive(), vector()]
        yield Case("batchnorm_conv2d", 0, inputs, {**own, "activation": 1}, (True,) * 4)
    yield Case("batchnorm_conv2d_backward_weight", 0, [x, grad_y, *norm], {**own, "activation": 1})
    after = [normal(RNG, *grad_y.shape), *(vector(17) for _ in range(3))]
    below = [None, quarters(large()), vector(), *signs()]
    both = [grad_y, pointwise[1], x, *after, *norm, large(), *below]
    relu = {"activation": 1, "in_activation": 1}
    yield Case("pointwise_conv2d_backward", 0, both, relu, (True,) * 4)
    backward = [large(), x, depthwise, vector(), *norm]
    after = [large(), *(vector() for _ in range(3))]
    for inputs in (backward, [*backward, *after]):
        yield Case("batchnorm_depthwise_conv2d_backward", 0, inputs, {**CONV, "activation": 1}, (True,) * 4)
    yield from expansion_cases(2, 41, 37, 9, 48)
    few, weight = normal(RNG, 3, 61, 67, 3), normal(RNG, 3, 3, 3, CHANNELS, scale=0.2)
    for pooling in (POOL, {**POOL, "pool_h": 2, "pool_w": 2, "pad_top": 0, "pad_left": 0}):
        t = reference.conv2d(few, weight, **CONV, activation=1)[0]
        y, place = reference.max_pool2d(t, **pooling), reference.max_pool2d_places(t, **pooling)
        attributes = {key if key.startswith("pool_") else f"pool_{key}": value for key, value in pooling.items()}
        attributes |= {**CONV, "activation": 1}
        yield Case("conv2d_max_pool2d", 0, [few, weight, vector()], attributes)
        y = y.astype(np.float32)
        gradient = [few, y, normal(RNG, *y.shape), place.astype(np.uint8)]
        yield Case("conv2d_max_pool2d_backward_weight", 0, gradient, attributes, (True, True))
    yield Case("depthwise_conv2d_backward_weight", 0, [x, large()], {**CONV, "multiplier": 1}, (True, True))
    yield Case("dense", 0, [normal(RNG, 301, 1000), normal(RNG, 1000, 129, scale=0.03), vector(129), None])
    yield Case("dense_backward_input", 0, [normal(RNG, 301, 129), normal(RNG, 1000, 129, scale=0.03), None])
    yield Case("dense_backward_weight", 0, [normal(RNG, 301, 1000), normal(RNG, 301, 129)], {}, (True, True))


def other_cases():
    x, y = large(), large()
    yield Case("max_pool2d", 0, [x], POOL, (True, True))
    pooled = reference.max_pool2d(x, **POOL).astype(np.float32)
    place = reference.max_pool2d_places(x, **POOL).astype(np.uint8)
    size = {"in_h": SHAPE[1], "in_w": SHAPE[2]}
    yield Case("max_pool2d_backward", 0, [x, pooled, normal(RNG, *pooled.shape)], POOL)
    yield Case("max_pool2d_backward", 0, [None, pooled, normal(RNG, *pooled.shape), place], {**POOL, **size})
    yield Case("avg_pool2d", 0, [x], POOL)
    yield Case("avg_pool2d_backward", 0, [normal(RNG, *pooled.shape)], {**POOL, **size})
    yield Case("batchnorm_moments", 0, [x], {}, (True, True))
    for residual in ([y], [y, positive(), vector()]):
        inputs = [x, vector(), positive(), vector(), vector(), *residual]
        yield Case("batchnorm", 0, inputs, {"epsilon": 1e-3, "activation": 1})
    attributes = {"epsilon": 1e-3, "activation": 1, "training": 1}
    yield Case("batchnorm_backward", 0, [y, x, x, vector(), positive(), vector()], attributes, (True,) * 4)
    rows = {"epsilon": 1e-3, "rows": float(x.size // x.shape[-1])}
    inputs = [vector(), positive(), None, None, vector(), y, x]
    yield Case("batchnorm_backward_constants", 0, inputs, rows, (True,) * 5)
    yield Case("activation", 0, [x], {"activation": 6})
    yield Case("activation_backward", 0, [y, x], {"activation": 8, "reference_is_input": 1})
    probabilities = reference.softmax(x).astype(np.float32)
    for op in ("log", "arctan"):
        yield Case(op, 0, [np.abs(x)])
        yield Case(op + "_backward", 0, [y, np.abs(x) + 1])
    missing = np.where(y > 1, np.float32(np.nan), x)
    yield Case("replace_nan", 0, [missing, vector(), y])
    for per_channel in (0, 1):
        yield Case("standardize", 0, [x], {"epsilon": 1e-3, "per_channel": per_channel})
        yield Case("standardize_backward", 0, [y, x], {"epsilon": 1e-3, "per_channel": per_channel})
    yield Case("softmax", 0, [x])
    yield Case("softmax_backward", 0, [y, probabilities])
    for op in ("add", "subtract", "multiply", "maximum", "minimum"):
        yield Case(op, 0, [x, vector()])
    for op in ("maximum_backward", "minimum_backward"):
        yield Case(op, 0, [large(), x, y], {}, (True, True))
    for target in ((1,), (CHANNELS,), (3, 1, 67, 1)):
        yield Case("reduce_sum_to", 0, [x], shape_attributes(target))
    yield Case("affine", 0, [RNG.integers(0, 256, SHAPE).astype(np.uint8)], {"scale": 1 / 255, "offset": -0.5})
    yield Case("concat", 0, [x, y, x], {"axis": 3})
    yield Case("slice", 0, [x], {"axis": 3, "begin": 1, "length": 31})
    yield Case("pad2d", 0, [x], {"pad_top": 1, "pad_left": 2, "pad_bottom": 3, "pad_right": 4})
    yield Case("crop2d", 0, [x], {"crop_top": 1, "crop_left": 2, "crop_bottom": 3, "crop_right": 4})
    yield Case("upsample2d", 0, [x], {"factor_h": 2, "factor_w": 2, "mode": 1})
    yield Case("upsample2d_backward", 0, [x[:, :60, :66]], {"factor_h": 2, "factor_w": 2, "mode": 1})
    yield Case("fill", 0, [], {**shape_attributes(SHAPE), "value": 2.5})
    for op, target in (("softmax_cross_entropy", labels()), ("categorical_cross_entropy", probabilities)):
        values = x if op.startswith("softmax") else np.minimum(probabilities, np.float32(0.99))
        yield Case(op, 0, [values, target], {"label_smoothing": 0.125})
        yield Case(op + "_backward", 0, [values, target, normal(RNG, *ROWS)], {"label_smoothing": 0.125})
    inside, target = RNG.uniform(0.01, 0.99, SHAPE).astype(np.float32), RNG.integers(0, 2, SHAPE).astype(np.float32)
    for op, values in (("sigmoid_cross_entropy", x), ("binary_cross_entropy", inside)):
        yield Case(op, 0, [values, target], {"label_smoothing": 0.0})
        yield Case(op + "_backward", 0, [values, target, normal(RNG, *ROWS)], {"label_smoothing": 0.0})
    for op in ("squared_error", "absolute_error"):
        yield Case(op, 0, [x, y])
        yield Case(op + "_backward", 0, [x, y, normal(RNG, *ROWS)])
    yield Case("weighted_mean", 0, [x, y])
    yield Case("weighted_mean_backward", 0, [vector(1), x], shape_attributes(SHAPE))
    yield Case("l1_l2_penalty", 0, [x], {"l1": 0.125, "l2": 0.25})
    yield Case("l1_l2_backward", 0, [x, vector(1), y], {"l1": 0.125, "l2": 0.25})
    yield Case("correct", 0, [x, labels()], {"mode": 0})
    yield Case("sum_of_squares", 0, [x])
    hyper = np.float32([0.01, 3, 0, 0])
    attributes = {"momentum": 0.9, "nesterov": 1, "weight_decay": 0.01, "clip_value": 0.0}
    yield Case("sgd", 0, [x, y, hyper, large(), None], attributes, (True, True))
    attributes = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": 0.01, "clip_value": 0.0}
    yield Case("adam", 0, [x, y, large(), np.abs(large()), hyper, None, None], attributes, (True, True, True, False))


PADS = ("pad_top", "pad_left", "pad_bottom", "pad_right")


def expansion_cases(n, h, w, narrow, wide):
    """Of a tensor that is expanded, exactly, to many channels and a depthwise convolution reads."""
    whole = lambda most, *shape: RNG.integers(-most, most + 1, shape).astype(np.float32)
    x, inner, depthwise = whole(3, n, h, w, narrow), whole(2, 1, 1, narrow, wide), normal(RNG, 3, 3, wide, 1, scale=0.3)
    own, relu6 = [whole(2, narrow), whole(1, narrow)], {**CONV, "activation": 1, "max_value": 6.0}
    inputs = [x, inner, depthwise, *signs(wide), *own]
    yield Case("expansion_moments", 0, [x, inner, *own], {}, (True,) * 4)
    yield Case("expanded_depthwise_conv2d", 0, inputs, relu6, (True,) * 3)
    first = op_cases.expansion_gradient(inputs, normal(RNG, n, h, w, wide))
    below = [None, quarters(normal(RNG, *x.shape)), vector(narrow), *signs(narrow)]
    attributes = {**CONV, "inner_activation": 1, "inner_max_value": 6.0, "activation": 1, "epsilon": 1e-3}
    yield Case(
        "expanded_depthwise_conv2d_backward", 0, [*first, *own, normal(RNG, *x.shape), *below], attributes, (True,) * 7
    )


def streamed_cases():
    """Results beyond the caches, more than 16 MiB, which are written past them; whole vectors of channels."""
    n, h, w, c = shape = (5, 97, 91, 96)
    x, weight, grad_y = normal(RNG, n, h, w, 5), normal(RNG, 1, 1, 5, c), normal(RNG, n, h, w, 5)
    yield Case("conv2d", 0, [x, weight], dict(kernel_h=1, kernel_w=1), (True, True, True))
    size, backward = dict(kernel_h=1, kernel_w=1, in_h=h, in_w=w), normal(RNG, 1, 1, c, 5)
    y, x, residual = normal(RNG, *shape), quarters(normal(RNG, *shape)), normal(RNG, *shape)
    masked, mean = {**size, "activation": 1}, vector(c)
    yield Case("conv2d_backward_input", 0, [grad_y, backward, residual, y, x, mean], masked, (True, True, True))
    inputs = [grad_y, backward, None, None, x, mean, *signs(c)]
    yield Case("conv2d_backward_input", 0, inputs, masked, (True, True, True))
    yield Case("conv2d_backward_input", 0, [grad_y, backward, residual, y], masked)
    norm = signs(c)
    after = [normal(RNG, *grad_y.shape), *(vector(5) for _ in range(3))]
    inputs = [grad_y, backward, x, *after, *norm, residual, None, x, mean, *norm]
    yield Case("pointwise_conv2d_backward", 0, inputs, {"activation": 1, "in_activation": 1}, (True,) * 4)
    depthwise = normal(RNG, 3, 3, c, 1, scale=0.3)
    relu6 = {**CONV, "activation": 1, "max_value": 6.0}
    yield Case("batchnorm_depthwise_conv2d", 0, [x, depthwise, *norm], relu6, (True, True, True))
    yield Case("batchnorm_depthwise_conv2d_backward", 0, [y, x, depthwise, mean, *norm], relu6, (True,) * 4)
    halved = {**relu6, "stride_h": 2, "stride_w": 2}
    backward = [normal(RNG, n, 49, 46, c), x, depthwise, mean, *norm]
    after = [normal(RNG, n, 49, 46, c), *(vector(c) for _ in range(3))]
    for inputs in (backward, [*backward, *after]):
        yield Case("batchnorm_depthwise_conv2d_backward", 0, inputs, halved, (True,) * 4)
    strided = dict(
        kernel_h=3, kernel_w=3, stride_h=2, stride_w=2, **dict.fromkeys(PADS, 1), in_h=h, in_w=w, activation=1
    )
    grad_y, weight, residual = normal(RNG, n, 49, 46, 5), normal(RNG, 3, 3, c, 5), normal(RNG, n, 49, 46, c)
    yield Case("conv2d_backward_input", 0, [grad_y, weight, residual, y, x, mean], strided, (True, True, True))


CASES = [*conv_cases(), *other_cases(), *streamed_cases()]
SMALL_ONLY = {
    "reshape",
    "batchnorm_fold",
    "batchnorm_constants",
    "moving_average",
    "clip_scale",
    "dropout",
    "gaussian_noise",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_large_tensors_on_any_number_of_threads(case, monkeypatch):
    monkeypatch.setattr(harness, "THREADS", THREADS)
    check(case)


def test_every_operation_that_can_be_large_is_here():
    """The draws have their own test; the others of SMALL_ONLY work on parameters or on nothing at all."""
    assert {case.op for case in CASES} | SMALL_ONLY == set(reference.OPS)


@pytest.mark.parametrize("op", ["dropout", "gaussian_noise"])
@pytest.mark.parametrize("threads", THREADS[1:])
def test_draws_do_not_depend_on_threads(op, threads):
    attributes = {"stream": 3, ("rate" if op == "dropout" else "stddev"): 0.5}
    case = Case(op, 0, [np.ones(SHAPE, np.float32)], attributes)
    (one,), (many,) = (engine(case, None, k, seed=5, step=9) for k in (1, threads))
    assert same_bits(one, many)


@pytest.mark.parametrize(
    "op", ["conv2d", "conv2d_backward_weight", "depthwise_conv2d", "max_pool2d", "batchnorm_backward"]
)
def test_every_piece_of_work_is_done_once_however_threads_get_along(op):
    """More threads than processors are held up at random: the others take their work, and must not take it twice."""
    case = next(case for case in CASES if case.op == op)
    expected = engine(case, None, 1)
    for _ in range(25):
        for one, many in zip(expected, engine(case, None, 9)):
            assert one is None or same_bits(one, many)


def test_repeated_runs_give_the_same_bits():
    case = op_cases.case("conv2d_backward_weight", 3)
    first = engine(case, None, 3)
    for _ in range(20):
        assert all(same_bits(a, b) for a, b in zip(first, engine(case, None, 3)))


SHORT_RUNS = """
import os, sys, time, numpy as np
from cnncore import _core
def threads_after(runs):
    for _ in range(runs):
        _core.run_op("softmax", [np.ones((100, 64), np.float32)], threads=2)
        time.sleep(0.005)
        if len(os.listdir("/proc/self/task")) > 1:
            return "threads"
    with open("/proc/loadavg") as file:
        return "crowded" if int(file.read().split()[3].split("/")[0]) > 1 else "no threads"
print(threads_after(1), threads_after(9), flush=True)
sys.stdin.readline()
print(threads_after(4000))
"""


@pytest.mark.skipif(not os.path.exists("/proc/loadavg") or not _core.has_openmp(), reason="needs Linux and OpenMP")
def test_a_short_run_makes_no_threads_that_would_find_no_processor():
    """Not while other programs run on all of them; it does when they have ended, and others that happen to run rest:
    where these do not rest in 20 s, that half cannot be told."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
    try:
        time.sleep(0.2)
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        process = subprocess.Popen([sys.executable, "-c", SHORT_RUNS], **pipes)
        crowded = process.stdout.readline()
    finally:
        for other in others:
            other.kill()
            other.wait()
    alone, errors = process.communicate("\n")
    assert (crowded, errors) == ("crowded crowded\n", "")
    if alone == "crowded\n":
        pytest.skip("other programs run on all processors")
    assert alone == "threads\n"
