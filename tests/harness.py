"""Runs one case on the engine and on the reference, for every instruction set and for 1, 2 and 3 threads."""

import numpy as np

import reference
from bounds import bounds
from cnncore import _core
from conftest import TEST_SCALE

THREADS = (1, 2, 3)
FLOAT_MAX = float(np.finfo(np.float32).max)


def count(cases):
    """The number of random cases: `cases` at CNNCORE_TEST_SCALE=1."""
    return max(1, int(cases * TEST_SCALE))


def engine(case, isa, threads, **counters):
    """The wanted outputs of the case as the engine computes them, with direct convolutions; the inputs stay as they
    were.
    """
    before = [None if x is None else x.copy() for x in case.inputs]
    results = _core.run_op(
        case.op,
        case.inputs,
        case.attributes,
        threads=threads,
        isa=isa,
        outputs=case.outputs,
        **{"exact": True, **counters},
    )
    assert len(results) == sum(case.outputs), f"{case}: {len(results)} outputs"
    for slot, (old, new) in enumerate(zip(before, case.inputs)):
        assert old is None or np.array_equal(old, new, equal_nan=True), f"{case}: input {slot} was changed ({isa})"
    return results


def same_bits(a, b):
    """Equal shape, type and bytes, so that -0 differs from 0 and a NaN equals itself."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def on_every_path(case, **counters):
    """Yield (isa, outputs) for every available instruction set, after asserting the same bits for all of THREADS."""
    for isa in _core.available_isas():
        first = engine(case, isa, THREADS[0], **counters)
        for threads in THREADS[1:]:
            for slot, (a, b) in enumerate(zip(first, engine(case, isa, threads, **counters))):
                assert same_bits(a, b), f"{case}: output {slot} differs between 1 and {threads} threads ({isa})"
        yield isa, first


def check(case, **counters):
    """The case within its derived bounds on every path."""
    expected = [np.asarray(y) for y in reference.run(case.op, case.inputs, case.attributes) if y is not None]
    limits = bounds(case, expected)
    wanted = [k for k, want in enumerate(case.outputs[: len(expected)]) if want]
    for isa, results in on_every_path(case, **counters):
        for slot, result in zip(wanted, results):
            compare(result, expected[slot], limits[slot], f"{case}: output {slot} ({isa}, threads {THREADS})")


def compare(result, expected, limit, what):
    """|result - expected| <= limit everywhere; float32; the same shape; NaN and infinities in the same places."""
    assert result.shape == expected.shape, f"{what}: shape {result.shape}, must be {expected.shape}"
    assert result.dtype == np.float32, f"{what}: {result.dtype}"
    expected = np.where(np.abs(expected) > FLOAT_MAX, np.copysign(np.inf, expected), expected)
    with np.errstate(invalid="ignore"):
        error = np.abs(result - expected)
    error = np.where((result == expected) | (np.isnan(result) & np.isnan(expected)), 0.0, error)
    excess = np.where(np.isnan(error), np.inf, error - limit)
    if excess.size and excess.max() > 0:
        worst = np.unravel_index(excess.argmax(), excess.shape)
        at = tuple(int(k) for k in worst)
        raise AssertionError(
            f"{what}: at {at} got {result[worst]!r}, must be {expected[worst]!r}, error {error[worst]:.3g} exceeds "
            f"{np.broadcast_to(limit, error.shape)[worst]:.3g}; {int((excess > 0).sum())} of {excess.size} are wrong"
        )


def check_exact(case, **counters):
    """The case equal to the reference bit for bit on every path; for inputs whose sums float32 holds exactly."""
    expected = [np.asarray(y) for y in reference.run(case.op, case.inputs, case.attributes, case.outputs)]
    for isa, results in on_every_path(case, **counters):
        for slot, (result, value) in enumerate(zip(results, expected)):
            compare(result, value, 0.0, f"{case}: output {slot} ({isa}, threads {THREADS})")


def kernel(op, inputs, attributes, isa, trains=False):
    """What the engine says it would run."""
    program, operation = _core.Program(), _core.OPERATIONS[op]
    values = operation.values(attributes)
    tensors = [None if x is None else (x.dtype.name, x.shape) for x in inputs]
    results = _core.infer(operation, tensors, values, 1)
    numbers = [-1 if t is None else program.tensor(_core.FIRST_FREE, *t) for t in [*tensors, *results]]
    program.op(operation, _core.COMPUTE, numbers[: len(inputs)], values, numbers[len(inputs) :])
    program.plan(_core.isa_number(isa), trains=trains)
    return program.operations()[0]["kernel"]


def on_winograd_paths(op, inputs, attributes, outputs=None, name=""):
    """Results on every instruction set, after checking that threads do not matter, nor whether all weights are
    transformed beforehand or, as in training, each thread may transform those that it needs, and that it is Winograd
    that runs, the form `name` where it is given.
    """
    for isa in _core.available_isas():
        first = _core.run_op(op, inputs, attributes, isa=isa, outputs=outputs)
        for threads, trains in ((2, False), (3, False), (2, True)):
            again = _core.run_op(op, inputs, attributes, isa=isa, threads=threads, outputs=outputs, trains=trains)
            for a, b in zip(first, again):
                assert a.tobytes() == b.tobytes(), f"{op} {isa}: {threads} threads differ, in training: {trains}"
        chosen = kernel(op, inputs, attributes, isa)
        assert chosen.startswith(f"Winograd {name}"), f"{op} {isa} {inputs[0].shape}: {chosen}"
        yield isa, first
