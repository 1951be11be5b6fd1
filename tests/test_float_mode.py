"""Subnormal numbers are flushed to zero while the library computes, and only then."""

import numpy as np
import pytest

from cnncore import _core

SUBNORMAL = np.float32(2.0**-130)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_subnormals_are_zero_within_the_library_alone(isa, threads):
    x = np.full(100_000, SUBNORMAL)
    before = np.float32(2.0**-120) * np.float32(2.0**-10)
    (y,) = _core.run_op("affine", [x], {"scale": 2.0**10}, threads=threads, isa=isa)
    assert not y.any(), "an operand below 2^-126 must count as zero on every thread"
    assert before == SUBNORMAL
    assert np.float32(2.0**-120) * np.float32(2.0**-10) == SUBNORMAL, "the caller's mode must be back"
