"""What is derived from the weights once, and when the weights are packed: src_c/runtime/prepare.c."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import _core, layers
from cnncore.compiler.programs import passes

EPSILON = 2.0**-24
WIDTHS = (8, 32, 64, 16, 48, 32)


def _convolutions(normalised):
    x = inputs = cc.Input((4, 4, WIDTHS[0]))
    for width in WIDTHS[1:]:
        x = layers.Conv2D(width, 5, padding="same", use_bias=not normalised)(x)
        x = layers.BatchNormalization()(x) if normalised else x
    return cc.Model(inputs, x)


def test_folded_weights_are_packed_and_not_kept():
    folded, plain = (_convolutions(normalised)._program_for(1, False) for normalised in (True, False))
    biases = sum(-(-4 * width // _core.ALIGNMENT) * _core.ALIGNMENT for width in WIDTHS[1:])
    assert folded.prepared_bytes == plain.prepared_bytes + biases


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_folded_weights_are_packed_in_turns_where_the_arena_has_no_room_for_all(threads):
    model, rng = _convolutions(normalised=True), np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape) * (-1 if variable.name == "moving_mean" else 1))
    x = rng.uniform(size=(1, 4, 4, WIDTHS[0])).astype(np.float32)
    turns = {row["packed_before"] for row in model._program_for(1, False).operations if row["packed_bytes"]}
    assert len(turns) > 1
    result = model.predict_on_batch(x, threads=threads)
    with passes(fuse=False):
        plain = model.predict_on_batch(x)
    # No term is negative, so that a sum is as accurate as its terms: 25 c products, and 8 roundings of constants.
    roundings = sum(25 * channels + 8 for channels in WIDTHS)
    np.testing.assert_allclose(result, plain, rtol=2 * roundings * EPSILON)
    model.variables[0].assign(2 * model.variables[0].numpy())
    again = model.predict_on_batch(x, threads=threads)
    model._forget_programs()
    assert again.tobytes() == model.predict_on_batch(x, threads=1).tobytes() != result.tobytes()


def test_an_operation_that_prepares_in_the_arena_overwrites_nothing():
    """The batch moments of 4096 rows need a workspace, after the weights were made and before they are packed."""
    rng, program, first = np.random.default_rng(0), _core.Program(), _core.FIRST_FREE
    arrays = [_core.aligned_zeros(shape) for shape in ((1, 4, 4, 32), (1, 1, 32, 64), (64,), (4096, 64))]
    for array in arrays:
        array[...] = rng.integers(-3, 4, array.shape)
    arrays += [_core.aligned_zeros(shape) for shape in ((64,), (64,), (1, 4, 4, 64))]
    x, w, scale, rows, mean, var, y = (program.tensor(first + i, "float32", a.shape) for i, a in enumerate(arrays))

    def append(name, section, inputs, outputs, **attributes):
        definition = _core.OPERATIONS[name]
        return program.op(definition, section, inputs, definition.values(attributes), outputs)

    (scaled,) = append("multiply", _core.PREPARE, [w, scale], [_core.ABSENT])
    append("batchnorm_moments", _core.PREPARE, [rows], [mean, var])
    append("conv2d", _core.COMPUTE, [x, scaled], [y], kernel_h=1, kernel_w=1)
    program.plan()
    program.bind(first, arrays)
    program.run(program.allocate(2), 2, _core.PREPARE | _core.COMPUTE)
    np.testing.assert_array_equal(arrays[-1], arrays[0] @ (arrays[1] * arrays[2])[0, 0])


def test_a_program_refuses_memory_that_does_not_do():
    program, first = _core.Program(), _core.FIRST_FREE
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    numbers = [program.tensor(first + i, "float32", x.shape) for i in range(2)]
    definition = _core.OPERATIONS["affine"]
    (made,) = program.op(definition, _core.COMPUTE, numbers[:1], definition.values({"scale": 2.0}), [_core.ABSENT])
    program.op(definition, _core.COMPUTE, [made], definition.values({"scale": 3.0}), numbers[1:])
    program.plan()
    arena, result = program.allocate(1), np.zeros_like(x)
    with pytest.raises(ValueError, match="affine: storage .* has no memory"):
        program.run(arena, 1)
    with pytest.raises(ValueError, match="contiguous"):
        program.bind(first, [x.T])
    with pytest.raises(ValueError, match="and not the arena, got 0"):
        program.bind(_core.ARENA, [x])
    program.bind(first, [x, result])
    assert program.bound(first + 1) is result
    with pytest.raises(ValueError, match=r"the arena must have [\d,]+ bytes for 1 threads, got 1"):
        program.run(_core.Memory(1), 1)
    with pytest.raises(ValueError, match="one slot per operation"):
        program.run(arena, 1, seconds=np.zeros(2))
    program.run(arena, 1)
    np.testing.assert_array_equal(result, 6 * x)
