"""Operations that move pixels, on every instruction set."""

import numpy as np
import pytest

import op_cases
from harness import check, count, on_every_path
from op_cases import Case


@pytest.mark.parametrize("op", ["concat", "slice", "pad2d", "crop2d", "upsample2d", "upsample2d_backward", "reshape"])
def test_within_the_bound(op):
    for index in range(count(100)):
        check(op_cases.case(op, index))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("axis, sizes", [(0, (3, 1, 2)), (1, (90, 7, 161)), (3, (1, 5, 12, 40))])
def test_rows_of_any_length_are_put_together_and_cut(axis, sizes, dtype):
    """Rows that threads share out, and some so long that they share out each."""
    shape, rng = [3, 90, 31, 13], np.random.default_rng(axis)
    parts = [rng.integers(0, 256, (*shape[:axis], n, *shape[axis + 1 :])).astype(dtype) for n in sizes]
    whole = np.concatenate(parts, axis)
    tail = {"axis": axis, "begin": sizes[0], "length": sum(sizes[1:])}
    for case, expected in (
        (Case("concat", axis, parts, {"axis": axis}), whole),
        (Case("slice", axis, [whole], tail), np.concatenate(parts[1:], axis)),
    ):
        for isa, (result,) in on_every_path(case):
            assert result.dtype == dtype and np.array_equal(result, expected), f"{case} {isa}"
