"""Losses, metrics, optimizers at their edges: labels that are no class, NaN, infinities, in place, refusals."""

import numpy as np
import pytest
from cnncore._core import run_op

from cnncore import _core

ISAS = _core.available_isas()
NAN, INF = np.nan, np.inf


def f32(values):
    return np.asarray(values, np.float32)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", ["softmax_cross_entropy", "categorical_cross_entropy"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_label_that_is_no_class_gives_nan_and_no_gradient(isa, op, smoothing):
    """Nothing outside the row is read or written: the rows around it are as they are on their own."""
    x, good = f32([[0.2, 0.3, 0.5]] * 6), np.int32([1, 1, 1, 1, 1, 1])
    labels = np.int32([1, -1, 3, 2**31 - 1, -(2**31), 1])
    attributes = {"label_smoothing": smoothing}
    (loss,) = run_op(op, [x, labels], attributes, isa=isa)
    (expected,) = run_op(op, [x, good], attributes, isa=isa)
    assert np.isnan(loss).tolist() == [False, True, True, True, True, False]
    assert loss[[0, 5]].tolist() == expected[[0, 5]].tolist()
    (grad,) = run_op(op + "_backward", [x, labels, np.ones(6, np.float32)], attributes, isa=isa)
    (expected,) = run_op(op + "_backward", [x, good, np.ones(6, np.float32)], attributes, isa=isa)
    assert not grad[1:5].any() and grad[[0, 5]].tolist() == expected[[0, 5]].tolist()
    (loss,) = run_op(op, [x, labels], {**attributes, "ignore_class": -1}, isa=isa)
    assert loss[1] == 0 and np.isnan(loss[2:5]).all()


@pytest.mark.parametrize("isa", ISAS)
def test_no_label_and_no_nan_is_ever_correct(isa):
    x = f32([[0.2, 0.3], [0.2, 0.3], [NAN, NAN], [0, NAN], [NAN, 0], [1, 1], [1, 1], [-INF, -INF]])
    assert run_op("correct", [x, np.int32([-1, 2, 0, 0, 1, 0, 1, 0])], isa=isa)[0].tolist() == [0, 0, 0, 0, 0, 1, 0, 1]
    long = np.zeros((1, 100), np.float32)
    for at in (0, 5, 99):
        long[:] = 0
        long[0, at] = 1
        assert run_op("correct", [long, np.int32([at])], isa=isa)[0][0] == 1
        long[0, 50] = NAN
        assert run_op("correct", [long, np.int32([at])], isa=isa)[0][0] == 0


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", ["sigmoid_cross_entropy", "binary_cross_entropy", "squared_error", "absolute_error"])
@pytest.mark.parametrize("k", [1, 2, 17])
def test_a_nan_is_seen_in_its_row_alone(isa, op, k):
    x, target = np.full((3, k), 0.5, np.float32), np.ones((3, k), np.float32)
    x[1, k // 2] = NAN
    (loss,) = run_op(op, [x, target], isa=isa)
    assert np.isnan(loss).tolist() == [False, True, False]
    (grad,) = run_op(op + "_backward", [x, target, np.ones(3, np.float32)], isa=isa)
    assert np.isnan(grad).sum() == 1 and np.isnan(grad[1, k // 2])


@pytest.mark.parametrize("isa", ISAS)
def test_a_class_that_is_masked_out_has_no_gradient(isa):
    """A logit of -inf: probability 0, and no NaN."""
    x, label, one = f32([[-INF, 0.5, 0.25]]), np.int32([1]), np.ones(1, np.float32)
    assert np.isfinite(run_op("softmax_cross_entropy", [x, label], isa=isa)[0]).all()
    (grad,) = run_op("softmax_cross_entropy_backward", [x, label, one], isa=isa)
    assert grad[0, 0] == 0 and np.isfinite(grad).all()


@pytest.mark.parametrize("sums, scale", [([4], 0.5), ([0], 1), ([1], 1), ([2, 2], 0.5), ([INF], NAN), ([NAN], NAN)])
def test_a_norm_that_is_not_finite_is_seen(sums, scale):
    (result,) = run_op("clip_scale", [f32([s]) for s in sums], {"clip": 1.0})
    np.testing.assert_array_equal(result, f32([scale]))


def test_sums_have_the_same_bits_on_every_instruction_set():
    rng = np.random.default_rng(0)
    x, weights = f32(rng.standard_normal(100_001)), f32(rng.random(100_001))
    for op, inputs, attributes in (
        ("sum_of_squares", [x], {}),
        ("weighted_mean", [x, weights], {}),
        ("l1_l2_penalty", [x], {"l1": 0.1, "l2": 0.2}),
    ):
        results = {
            run_op(op, inputs, attributes, isa=isa, threads=threads)[0].tobytes()
            for isa in ISAS
            for threads in (1, 2, 3)
        }
        assert len(results) == 1, op


def gradient_in_arena(op, inputs, position, attributes, reuse_memory):
    """The gradient where input `position` and the result lie in the arena, and whether they share memory."""
    program = _core.Program()
    ids = [program.tensor(_core.FIRST_FREE + i, array.dtype.name, array.shape) for i, array in enumerate(inputs)]
    program.bind(_core.FIRST_FREE, inputs)
    copy, operation = _core.OPERATIONS["affine"], _core.OPERATIONS[op]
    (ids[position],) = program.op(copy, _core.COMPUTE, [ids[position]], copy.values({}), [_core.ABSENT])
    (grad,) = program.op(operation, _core.COMPUTE, ids, operation.values(attributes), [_core.ABSENT])
    program.keep(grad)
    program.plan(reuse_memory=reuse_memory)
    arena = program.allocate(2)
    program.run(arena, 2)
    _, _, shape, offset = program.tensor_info(grad)
    shared = offset == program.tensor_info(ids[position])[3]
    return np.frombuffer(arena, np.float32, int(np.prod(shape)), offset).tobytes(), shared


@pytest.mark.parametrize("k", [1, 3, 16, 37])
def test_gradients_in_place(k):
    rng = np.random.default_rng(0)
    x, dense, g = f32(rng.random((50, k))), f32(rng.random((50, k))), f32(rng.random(50))
    labels, one = rng.integers(0, k, 50).astype(np.int32), np.ones(1, np.float32)
    cases = [
        (f"{op}_backward", [x, target, g], 0, {})
        for op in ("softmax_cross_entropy", "categorical_cross_entropy")
        for target in (labels, dense)
    ]
    cases += [
        (f"{op}_backward", [x, dense, g], position, {})
        for position in (0, 1)
        for op in ("sigmoid_cross_entropy", "binary_cross_entropy", "squared_error", "absolute_error")
    ]
    cases += [("l1_l2_backward", [x, one, dense], position, {"l1": 0.1, "l2": 0.2}) for position in (0, 2)]
    for op, inputs, position, attributes in cases:
        result, shared = gradient_in_arena(op, inputs, position, attributes, True)
        expected, apart = gradient_in_arena(op, inputs, position, attributes, False)
        assert shared and not apart, f"{op}, input {position}"
        assert result == expected, f"{op}, input {position}"


ONE = f32([1])


@pytest.mark.parametrize(
    "op, inputs, attributes, sentence",
    [
        ("softmax_cross_entropy", [f32([1, 2]), np.int32([1])], {}, "at least 2 dimensions"),
        ("softmax_cross_entropy", [f32([[1, 2]]), np.int32([1, 0])], {}, r"must have shape \(1,\)"),
        (
            "softmax_cross_entropy",
            [f32([[1, 2]]), f32([[1, 2]])],
            {"ignore_class": 3},
            "ignore_class must go with int32",
        ),
        (
            "softmax_cross_entropy",
            [f32([[1, 2]]), np.int32([1])],
            {"label_smoothing": 1.5},
            "must be in 0 to 1, got 1.5",
        ),
        (
            "softmax_cross_entropy_backward",
            [f32([[1, 2]]), np.int32([1]), f32([1, 2])],
            {},
            "grad_loss must have shape",
        ),
        ("squared_error", [f32([[1, 2]]), f32([[1]])], {}, r"shape of the prediction, \(1, 2\), got \(1, 1\)"),
        ("correct", [f32([[1, 2]]), f32([[1, 2]])], {}, "class numbers must be int32, got float32"),
        ("weighted_mean", [f32([1, 2]), ONE], {}, "weights must have the shape of loss"),
        ("clip_scale", [f32([1, 2])], {}, "every input must be float32 of shape"),
        ("sgd", [ONE, ONE, f32([1, 1, 0, 0])], {"momentum": 0.9}, "momentum 0.9 needs a velocity"),
        ("sgd", [ONE, f32([1, 2]), f32([1, 1, 0, 0])], {}, "grad must have the shape of param"),
        ("adam", [ONE] * 4 + [f32([1, 1])], {}, r"hyper must be float32 of shape \(4,\)"),
        ("adam", [ONE] * 4 + [f32([1, 1, 0, 0])], {"beta_1": 1}, "must be below 1"),
    ],
)
def test_refusals(op, inputs, attributes, sentence):
    with pytest.raises(ValueError, match=f"^{op}: .*{sentence}"):
        run_op(op, inputs, attributes)
