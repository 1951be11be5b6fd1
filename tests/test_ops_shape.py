"""Operations that move pixels, on every instruction set."""

import pytest

import op_cases
from harness import check, count


@pytest.mark.parametrize("op", ["concat", "slice", "pad2d", "crop2d", "upsample2d", "upsample2d_backward", "reshape"])
def test_within_the_bound(op):
    for index in range(count(100)):
        check(op_cases.case(op, index))
