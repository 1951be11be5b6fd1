"""The memory of programs: what shares it and what does not, and how much there is of it."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import _core, layers
from cnncore.compiler import programs
from cnncore.compiler.programs import passes
from conftest import TEST_SCALE
from random_graphs import compiled, one_step, operations, random_model

SEEDS = range(round(16 * TEST_SCALE))


def _lives(executable):
    """(first operation, last operation, offset, bytes) of each piece of the arena; views of the same memory count as
    one. What was prepared for packing lives until it is packed."""
    operations, pieces, alias, prepared = executable.operations, {}, {}, set()

    def root(tensor):
        while tensor in alias:
            tensor = alias[tensor]
        return tensor

    for i, operation in enumerate(operations):
        if operation["op"] == "reshape":
            alias[operation["outputs"][0]] = operation["inputs"][0]
        if operation["section"] == _core.PREPARE:
            prepared.update(operation["outputs"])
        for tensor in [*operation["outputs"], *operation["inputs"]]:
            if tensor < 0:
                continue
            storage, dtype, shape, offset = executable.tensor(tensor)
            if storage != _core.ARENA:
                continue
            nbytes = int(np.prod(shape)) * (1 if dtype == "uint8" else 4)
            first, _, _, _ = pieces.get(root(tensor), (i, None, None, None))
            packed = tensor in prepared and tensor in operation["inputs"]
            pieces[root(tensor)] = first, operation["packed_before"] - 1 if packed else i, offset, nbytes
    return list(pieces.values())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_two_values_that_live_together_share_memory(seed, training):
    model = compiled(random_model(seed, size=14))
    executable = model._program_for(4, training)
    lives = _lives(executable)
    for i, (first, last, offset, nbytes) in enumerate(lives):
        assert offset % _core.ALIGNMENT == 0 and 0 <= offset and offset + nbytes <= executable.arena_bytes(1)
        for other_first, other_last, other_offset, other_bytes in lives[:i]:
            if offset + nbytes <= other_offset or other_offset + other_bytes <= offset:
                continue
            if last < other_first or other_last < first:
                continue
            in_place = (last == other_first or other_last == first) and offset == other_offset and nbytes == other_bytes
            assert in_place, f"seed {seed}: {lives[i]} overlaps {(other_first, other_last, other_offset, other_bytes)}"


def test_large_values_that_an_operation_reads_side_by_side_begin_at_different_places_of_a_page():
    """Their rows, of 1024 channels a page apart, would all fall into the same sets of the first cache."""
    x = y = cc.Input((8, 8, 1024))
    for _ in range(3):
        z = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(1024, 1, use_bias=False)(y)))
        y = layers.Add()([y, z])
    model = cc.Model(x, layers.Dense(3)(layers.GlobalAveragePooling2D()(y)))
    model.compile(optimizer=cc.optimizers.SGD(0.1), loss="mean_squared_error")
    executable, pairs = model._program_for(4, True), 0
    for operation in executable.operations:
        tensors = {t: executable.tensor(t) for t in [*operation["inputs"], *operation["outputs"]] if t >= 0}
        images = [t for t in tensors.values() if t[0] == _core.ARENA and len(t[2]) == 4]
        places = {offset for _, _, _, offset in images}
        assert len({offset % 4096 for offset in places}) == len(places), f"{operation['op']}: {sorted(places)}"
        pairs += len(places) > 1
    assert pairs > 10


def test_memory_is_reused():
    model = compiled(random_model(3, size=14))
    used = model._program_for(8, False).arena_bytes(1)
    with passes(reuse_memory=False):
        assert model._program_for(8, False).arena_bytes(1) > 1.5 * used


CLIPPED = {
    "no clipping": cc.optimizers.SGD,
    "clipnorm": lambda *args, **kwargs: cc.optimizers.SGD(*args, clipnorm=0.1, **kwargs),
    "global_clipnorm": lambda *args, **kwargs: cc.optimizers.SGD(*args, global_clipnorm=0.1, **kwargs),
    "Adam, decay, clipvalue": lambda rate, momentum: cc.optimizers.Adam(rate, weight_decay=0.1, clipvalue=0.01),
}


@pytest.mark.parametrize("optimizer", CLIPPED)
def test_large_gradients_lie_in_the_arena(optimizer, monkeypatch):
    """The same bits as side by side; but the sum of squares for global_clipnorm is cut into other parts, of which each
    element's rounding is at most that of a float."""
    results = {}
    x, y = np.random.default_rng(3).normal(size=(6, 9, 9, 3)).astype(np.float32), np.arange(6) % 4
    for large in (0, 500, 1 << 60):  # all; the convolutions' kernels; none
        monkeypatch.setattr(programs, "LARGE_GRADIENT_BYTES", large)
        cc.utils.set_random_seed(2)
        inputs = cc.Input((9, 9, 3))
        h = cc.layers.Conv2D(16, 3, padding="same", use_bias=False)(inputs)
        h = cc.layers.ReLU()(cc.layers.BatchNormalization()(h))
        h = cc.layers.Add()([h, cc.layers.Conv2D(16, 3, padding="same")(h)])
        outputs = cc.layers.Dense(4, activation="softmax")(cc.layers.GlobalAveragePooling2D()(h))
        model = cc.Model(inputs, outputs)
        model.compile(CLIPPED[optimizer](0.1, momentum=0.9), "sparse_categorical_crossentropy")
        one_step(model, x, y)
        results[large] = one_step(model, x, y)
        updates = sum(name in ("sgd", "adam") for name, _ in operations(model))
        # Of seven variables: one update each; two kernels, and what lies between and after them; one for all.
        assert optimizer == "clipnorm" or updates == {0: 7, 500: 4, 1 << 60: 1}[large]
        # What is left beside the arena: an empty buffer's line; biases, gamma and beta, the dense kernel; all.
        told = model.memory(6, training=True)["gradients"]
        smallest, largest = {0: (0, 64), 500: (4 * 100, 4 * 200), 1 << 60: (4 * 2800, 4 * 3000)}[large]
        assert smallest <= told <= largest
    for other in (results[0], results[500]):
        for a, b in zip(other, results[1 << 60], strict=True):
            if optimizer == "global_clipnorm":
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
            else:
                assert a.tobytes() == b.tobytes()


def test_gradients_take_the_place_of_activations(monkeypatch):
    """At the end of the forward pass there are none yet, and where they are the activations are gone."""

    def memory(large):
        monkeypatch.setattr(programs, "LARGE_GRADIENT_BYTES", large)
        model = cc.models.ResNet20()
        model.compile("sgd", "sparse_categorical_crossentropy")
        told = model.memory(8, training=True)
        return told["gradients"], told["arena"] + told["gradients"]

    (some, less), (all_of_them, more) = memory(1 << 14), memory(1 << 60)
    assert some < all_of_them / 2 and less < more - all_of_them / 4


def test_memory_tells_what_running_takes():
    model = cc.models.ResNet20()
    model.compile(cc.optimizers.Adam(), "sparse_categorical_crossentropy")
    told = model.memory(16, training=True, threads=2)
    weights = sum(v.data.nbytes for v in model.trainable_variables)
    assert told["total"] == sum(value for key, value in told.items() if key != "total")
    assert weights <= told["parameters"] <= weights + len(model.trainable_variables) * _core.ALIGNMENT
    assert told["gradients"] == told["parameters"] and told["optimizer"] == 2 * told["parameters"]
    before = model._programs.arena.nbytes
    model.train_on_batch(np.zeros((16, 32, 32, 3), np.float32), np.zeros(16, np.int32), threads=2)
    assert before == 0 and model._programs.arena.nbytes == told["arena"]
    inference = model.memory(16, threads=2)
    assert inference["arena"] < told["arena"] / 3 and inference["gradients"] == inference["optimizer"] == 0
