"""Seeds and array helpers."""

import os
import random as python_random
import threading

import numpy as np
import pytest

from cnncore import random, utils


@pytest.fixture(autouse=True)
def generators_left_as_they_were():
    state, numpy_state = python_random.getstate(), np.random.get_state()
    yield
    python_random.setstate(state)
    np.random.set_state(numpy_state)
    random.set_seed(None)


# ------------------------------------------------------------------------------------------------- to_categorical


CATEGORICAL = [
    ([0, 2, 1], None),
    ([0, 2, 1], 5),
    (np.array([3], np.uint8), None),
    (np.array([[0], [4], [2]], np.uint8), 10),
    (np.arange(6).reshape(2, 3), None),
    (np.arange(6).reshape(2, 3, 1), 7),
    (np.array([1.0, 0.0]), 2),
    (2, 3),
    ([], 4),
    ([[1]], None),
    ([True, False], 2),
]


@pytest.mark.parametrize("x, num_classes", CATEGORICAL)
def test_to_categorical_equals_keras(keras, x, num_classes):
    expected = keras.utils.to_categorical(x, num_classes)
    result = utils.to_categorical(x, num_classes)
    np.testing.assert_array_equal(result, expected, strict=True)


@pytest.mark.parametrize("x, num_classes", CATEGORICAL)
def test_to_categorical_by_definition(x, num_classes):
    result = utils.to_categorical(x, num_classes)
    labels = np.asarray(x)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    classes = num_classes or int(labels.max()) + 1
    assert result.shape == labels.shape + (classes,) and result.dtype == np.float64
    for index in np.ndindex(labels.shape):
        assert result[index].tolist() == [float(k == labels[index]) for k in range(classes)]


@pytest.mark.parametrize(
    "x, num_classes, message",
    [
        ([0, 3], 3, "below num_classes=3, got a label 3; pass num_classes=4"),
        ([-1, 0], 3, "not be negative, got -1"),
        ([0.5], 3, "whole numbers below 2\\*\\*53, got 0.5"),
        ([float("nan")], 3, "got nan"),
        ([float("inf")], None, "got inf"),
        (np.array([2**64 - 1], np.uint64), 3, "got 18446744073709551615"),
        (["cat"], 3, "integer labels, got dtype <U3"),
        ([None], 3, "got dtype object"),
        ([], None, "pass num_classes"),
        ([0], 0, "num_classes must be an integer >= 1, got 0"),
        ([0], 2.0, "num_classes must be an integer >= 1, got 2.0"),
        ([0], True, "num_classes must be an integer >= 1, got True"),
    ],
)
def test_to_categorical_refusals(x, num_classes, message):
    with pytest.raises(ValueError, match=message):
        utils.to_categorical(x, num_classes)


# ------------------------------------------------------------------------------------------------------ normalize


@pytest.mark.parametrize("order", [1, 2, 3, np.inf])
@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_normalize_equals_keras(keras, axis, order):
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    x[1] = 0
    np.testing.assert_array_equal(utils.normalize(x, axis, order), keras.utils.normalize(x, axis, order))


def test_normalize_by_definition():
    x = np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32)
    x[:, 2, 3] = 0
    for axis in (0, 1, 2, -1):
        result = utils.normalize(x, axis)
        assert result.dtype == np.float32
        norms = np.sqrt((x.astype(np.float64) ** 2).sum(axis, keepdims=True))
        expected = np.divide(x, norms, where=norms > 0, out=np.zeros(x.shape))
        # relative error: 5 or fewer squares and sums, root, quotient, each half an ulp of float32
        np.testing.assert_allclose(result, expected, rtol=12 * 2.0**-24, atol=0)
    np.testing.assert_array_equal(utils.normalize([3, 4]), [0.6, 0.8])
    np.testing.assert_array_equal(utils.normalize([[0, 0]]), [[0, 0]])


def test_normalize_leaves_its_input_alone():
    x = np.array([3.0, 4.0])
    utils.normalize(x)
    np.testing.assert_array_equal(x, [3, 4])


def test_normalize_refuses_an_axis_that_is_not_there():
    with pytest.raises(ValueError, match="axis 2"):
        utils.normalize(np.ones((2, 2)), axis=2)


# --------------------------------------------------------------------------------------------- x, y, sample_weight


def test_pack_and_unpack():
    x, y, w = np.ones(2), np.zeros(2), np.full(2, 0.5)
    assert utils.pack_x_y_sample_weight(x) is x
    assert utils.pack_x_y_sample_weight([x, x]) == ([x, x],)
    assert utils.pack_x_y_sample_weight(x, y) == (x, y)
    assert utils.pack_x_y_sample_weight(x, y, w) == (x, y, w)
    for packed, expected in [
        (x, (x, None, None)),
        ((x,), (x, None, None)),
        ([x, y], (x, y, None)),
        ((x, y, w), (x, y, w)),
    ]:
        unpacked = utils.unpack_x_y_sample_weight(packed)
        assert isinstance(unpacked, tuple) and len(unpacked) == 3
        assert all(a is b for a, b in zip(unpacked, expected))


def test_pack_and_unpack_refusals():
    with pytest.raises(ValueError, match="sample_weight must come with targets"):
        utils.pack_x_y_sample_weight(np.ones(2), sample_weight=np.ones(2))
    for data in ((), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match=f"got {len(data)} entries"):
            utils.unpack_x_y_sample_weight(data)


# ---------------------------------------------------------------------------------------------------------- seeds


def test_next_seed_is_splitmix64():
    random.set_seed(1234567)
    # the first outputs of the generator's C reference for this seed
    assert [random.next_seed() for _ in range(5)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_set_seed_starts_again():
    random.set_seed(np.int64(5))
    first = [random.next_seed() for _ in range(100)]
    random.set_seed(5)
    assert [random.next_seed() for _ in range(100)] == first
    random.set_seed(6)
    assert not set(first) & {random.next_seed() for _ in range(100)}


def test_seeds_from_entropy_differ():
    seeds = set()
    for _ in range(10):
        random.set_seed(None)
        seeds.update(random.next_seed() for _ in range(10))
    assert len(seeds) == 100 and all(type(seed) is int and 0 <= seed < 2**64 for seed in seeds)


def test_generator_follows_the_seed_and_touches_no_global_state():
    before, python_before = np.random.get_state()[1].copy(), python_random.getstate()
    random.set_seed(3)
    first, second = random.generator().random(4), random.generator().random(4)
    random.set_seed(3)
    np.testing.assert_array_equal(random.generator().random(4), first)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert python_random.getstate() == python_before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("seed", [None, 9])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_child_repeats_its_parent_only_if_seeded(seed):
    random.set_seed(seed)
    random.next_seed()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, random.next_seed().to_bytes(8, "little"))
        os._exit(0)
    os.waitpid(child, 0)
    drawn = int.from_bytes(os.read(reader, 8), "little")
    os.close(reader)
    os.close(writer)
    assert (drawn == random.next_seed()) == (seed is not None)


def test_threads_draw_different_seeds():
    random.set_seed(11)
    drawn = [[] for _ in range(4)]

    def draw(own):
        own.extend(random.next_seed() for _ in range(2000))

    threads = [threading.Thread(target=draw, args=(own,)) for own in drawn]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    random.set_seed(11)
    assert sorted(sum(drawn, [])) == sorted(random.next_seed() for _ in range(8000))


def test_set_random_seed_sets_all_three():
    def draw():
        return python_random.random(), np.random.random(), random.next_seed()

    utils.set_random_seed(42)
    first = draw()
    assert draw() != first
    utils.set_random_seed(42)
    assert draw() == first
    assert first[:2] == (python_random.Random(42).random(), np.random.RandomState(42).random())


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "7", None, True])
def test_set_random_seed_refuses_before_it_changes_anything(seed):
    utils.set_random_seed(1)
    expected = python_random.random(), np.random.random(), random.next_seed()
    utils.set_random_seed(1)
    with pytest.raises(ValueError, match="random: seed must be"):
        utils.set_random_seed(seed)
    assert (python_random.random(), np.random.random(), random.next_seed()) == expected


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "7", False])
def test_set_seed_refusals(seed):
    with pytest.raises(ValueError, match="random: seed must be"):
        random.set_seed(seed)
