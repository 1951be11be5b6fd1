"""The engine's table of operations: every one has a reference and cases, and refuses what it does not know."""

import numpy as np
import pytest

import op_cases
import reference
from cnncore import _core

TABLE = _core.op_table()


def test_table_and_reference_hold_the_same_operations():
    assert sorted(TABLE) == sorted(reference.OPS)


def refuse(op, inputs, attributes, outputs=None, match=None):
    """The operation exists and raises ValueError, with its own name in the message."""
    assert op in TABLE
    with pytest.raises(ValueError, match=op if match is None else match):
        _core.run_op(op, inputs, attributes, outputs=outputs)


@pytest.mark.parametrize("op", reference.OPS)
def test_attributes_of_the_cases_are_declared(op):
    for index in range(20):
        case = op_cases.case(op, index)
        assert set(case.attributes) <= set(TABLE[op]["attributes"]), str(case)


@pytest.mark.parametrize("op", reference.OPS)
def test_summary_is_given(op):
    assert TABLE[op]["summary"].strip()


@pytest.mark.parametrize("op", reference.OPS)
def test_unknown_attribute_is_refused(op):
    case = op_cases.case(op, 0)
    refuse(op, case.inputs, {**case.attributes, "no_such_attribute": 1}, case.outputs, "no_such_attribute")


def test_unknown_operation_is_refused():
    with pytest.raises(ValueError, match="no_such_operation"):
        _core.run_op("no_such_operation", [], {})


def with_first_input(op):
    """A case of the operation whose first input is there."""
    return next(case for case in (op_cases.case(op, i) for i in range(20)) if case.inputs[0] is not None)


@pytest.mark.parametrize("op", [op for op in reference.OPS if op != "fill"])
def test_missing_first_input_is_refused(op):
    case = with_first_input(op)
    refuse(op, [None, *case.inputs[1:]], case.attributes, case.outputs)


@pytest.mark.parametrize("op", [op for op in reference.OPS if op != "fill"])
def test_float64_is_refused(op):
    case = with_first_input(op)
    refuse(op, [case.inputs[0].astype(np.float64), *case.inputs[1:]], case.attributes, case.outputs, "float64")


MOVES_ANY_TYPE = ("reshape", "concat", "slice", "pad2d", "crop2d")


@pytest.mark.parametrize("op", [op for op in reference.OPS if op not in ("fill", "affine", *MOVES_ANY_TYPE)])
def test_integers_where_floats_belong_are_refused(op):
    case = with_first_input(op)
    refuse(op, [np.ones(case.inputs[0].shape, np.int32), *case.inputs[1:]], case.attributes, case.outputs)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("op", MOVES_ANY_TYPE)
def test_moves_keep_the_type(op, dtype):
    for index in range(20):
        case = op_cases.case(op, index)
        inputs = [(100 * np.abs(x)).astype(dtype) for x in case.inputs]
        (y,) = _core.run_op(op, inputs, case.attributes)
        assert y.dtype == dtype and np.array_equal(y, reference.run(op, inputs, case.attributes)[0]), str(case)


def conv_case():
    x, w = np.zeros((1, 5, 5, 4), np.float32), np.zeros((3, 3, 4, 6), np.float32)
    return [x, w, None, None], {"kernel_h": 3, "kernel_w": 3}


@pytest.mark.parametrize(
    "what, inputs, attributes",
    [
        ("channels of the weights", {1: (3, 3, 3, 6)}, {}),
        ("kernel that is not the weights'", {}, {"kernel_h": 2}),
        ("groups that do not divide the channels", {}, {"groups": 3}),
        ("rank of x", {0: (5, 5, 4)}, {}),
        ("length of the bias", {2: (5,)}, {}),
        ("shape of the residual", {3: (1, 5, 5, 6)}, {}),
        ("kernel larger than the input", {0: (1, 2, 5, 4)}, {}),
        ("stride 0", {}, {"stride_h": 0}),
        ("dilation 0", {}, {"dilation_w": 0}),
        ("negative padding", {}, {"pad_top": -1}),
        ("unknown activation", {}, {"activation": 99}),
    ],
)
def test_conv2d_refuses(what, inputs, attributes):
    arrays, own = conv_case()
    for slot, shape in inputs.items():
        arrays[slot] = np.zeros(shape, np.float32)
    refuse("conv2d", arrays, {**own, **attributes}, (True, False, False))


@pytest.mark.parametrize(
    "op, shapes, attributes",
    [
        ("add", [(2, 3), (2, 4)], {}),
        ("dense", [(2, 3), (4, 5), None, None], {}),
        ("concat", [(2, 3), (3, 3)], {"axis": 1}),
        ("concat", [(2, 3), (2, 3)], {"axis": 2}),
        ("slice", [(2, 3)], {"axis": 1, "begin": 2, "length": 2}),
        ("reshape", [(2, 3)], {"rank": 1, "d0": 5}),
        ("crop2d", [(1, 3, 3, 1)], {"crop_top": 2, "crop_bottom": 1}),
        ("max_pool2d", [(1, 3, 3, 1)], {"pool_h": 4, "pool_w": 2}),
        ("batchnorm", [(2, 3), (4,), (3,), None, None, None], {"epsilon": 1e-3}),
        ("reduce_sum_to", [(2, 3)], {"rank": 1, "d0": 2}),
        ("squared_error", [(2, 3), (2, 4)], {}),
        ("sgd", [(3,), (4,), (4,), None, None], {}),
    ],
)
def test_mismatched_shapes_are_refused(op, shapes, attributes):
    arrays = [None if shape is None else np.zeros(shape, np.float32) for shape in shapes]
    refuse(op, arrays, attributes)
