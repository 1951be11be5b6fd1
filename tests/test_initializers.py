"""Initializers: moments and limits from their equations, names and configurations as Keras has them."""

import math

import numpy as np
import pytest

from cnncore import initializers, regularizers
from cnncore.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
    compute_fans,
)
from cnncore.registry import to_snake_case

RANDOM = [
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    LecunNormal,
    LecunUniform,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Orthogonal,
]
ALL = RANDOM + [Zeros, Ones, Constant, Identity]
SHAPE = (3, 3, 64, 256)  # 147456 values; fan_in 576, fan_out 2304


def assert_moments(values, variance):
    """The mean and variance of n values lie within 6 standard errors (the kurtosis of all our laws is at most 3)."""
    n = values.size
    values = values.astype(np.float64)
    assert abs(values.mean()) < 6 * math.sqrt(variance / n)
    assert abs(values.var() / variance - 1) < 6 * math.sqrt(2 / n)


@pytest.mark.parametrize(
    "cls, variance, limit",
    [
        (LecunNormal, 1 / 576, None),
        (LecunUniform, 1 / 576, math.sqrt(3 / 576)),
        (GlorotNormal, 2 / (576 + 2304), None),
        (GlorotUniform, 2 / (576 + 2304), math.sqrt(6 / (576 + 2304))),
        (HeNormal, 2 / 576, None),
        (HeUniform, 2 / 576, math.sqrt(6 / 576)),
    ],
)
def test_variance_of_named_scalings(cls, variance, limit):
    values = cls(seed=1)(SHAPE)
    assert_moments(values, variance)
    if limit is None:  # a normal cut at two of its standard deviations, whose variance is then 0.8796**2 of it
        limit = 2 * math.sqrt(variance) / 0.87962566103423978
    assert np.abs(values).max() <= limit * (1 + 1e-6)
    assert np.abs(values).max() > 0.99 * limit


def test_he_is_root_of_two_over_n_and_not_two_over_root_n():
    n = 576
    stddev = HeNormal(seed=0)(SHAPE).std(dtype=np.float64)
    assert stddev == pytest.approx(math.sqrt(2 / n), rel=0.02)
    assert abs(stddev - 2 / math.sqrt(n)) > 0.3 * stddev


@pytest.mark.parametrize("cls, kept", [(HeNormal, True), (HeUniform, True), (LecunNormal, False)])
def test_activations_of_twenty_relu_layers(cls, kept):
    """With He's variance the root mean square stays; with 1/n it falls by the root of 2 a layer."""
    x = np.random.default_rng(0).standard_normal((64, 512))
    for layer in range(20):
        x = np.maximum(x @ cls(seed=layer)((512, 512)), 0)
    rms = math.sqrt(np.mean(x**2))
    assert (0.5 < rms < 2) == kept


def test_variance_1_over_n_is_lecun_and_glorot_averages_the_fans():
    shape = (100, 300)
    assert_moments(LecunNormal(seed=3)(shape), 1 / 100)
    assert_moments(GlorotNormal(seed=3)(shape), 2 / (100 + 300))
    assert np.array_equal(LecunNormal(seed=3)(shape), VarianceScaling(1.0, "fan_in", "truncated_normal", seed=3)(shape))


@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform"])
@pytest.mark.parametrize("mode, n", [("fan_in", 576), ("fan_out", 2304), ("fan_avg", 1440)])
def test_variance_scaling(mode, n, distribution):
    assert_moments(VarianceScaling(3.0, mode, distribution, seed=5)(SHAPE), 3 / n)


def test_simple_distributions():
    normal = RandomNormal(mean=0.0, stddev=0.3, seed=0)(SHAPE)
    assert_moments(normal, 0.09)
    assert np.abs(normal).max() > 0.9  # not cut
    shifted = RandomNormal(mean=5.0, stddev=0.3, seed=0)(SHAPE)
    np.testing.assert_allclose(shifted - 5, normal, atol=5 * 2.0**-23)
    cut = TruncatedNormal(mean=1.0, stddev=0.5, seed=0)(SHAPE)
    assert np.abs(cut - 1).max() <= 1.0 + 1e-6
    assert_moments(cut - np.float32(1), (0.5 * 0.87962566103423978) ** 2)
    uniform = RandomUniform(2.0, 3.0, seed=0)(SHAPE)
    assert uniform.min() >= 2 and uniform.max() < 3
    assert_moments(uniform.astype(np.float64) - 2.5, 1 / 12)
    assert np.array_equal(RandomUniform(0.25, 0.25, seed=0)((3,)), np.full(3, 0.25, np.float32))


def test_truncated_normal_draws_the_cut_distribution():
    """The share of values within one standard deviation is (2 Phi(1) - 1) / (2 Phi(2) - 1)."""
    values = TruncatedNormal(stddev=1.0, seed=9)((400_000,))
    share = math.erf(1 / math.sqrt(2)) / math.erf(2 / math.sqrt(2))
    assert abs(np.mean(np.abs(values) < 1) - share) < 6 * math.sqrt(share * (1 - share) / values.size)


@pytest.mark.parametrize("shape", [(8, 8), (3, 3, 4, 20), (1, 2, 3, 40), (50, 7)])
def test_orthogonal(shape):
    matrix = Orthogonal(gain=2.0, seed=4)(shape, "float64").reshape(-1, shape[-1])
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-13)


def test_constants():
    assert np.array_equal(Zeros()((2, 3)), np.zeros((2, 3))) and np.array_equal(Ones()((2,)), np.ones(2))
    assert np.array_equal(Constant(0.1)((2,)), np.full(2, 0.1, np.float32))
    assert np.array_equal(Constant([1, 2, 3])((2, 3)), [[1, 2, 3]] * 2)
    assert np.array_equal(Identity(2.0)((2, 3)), [[2, 0, 0], [0, 2, 0]])
    array = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(initializers.get(array)((2, 3)), array)


@pytest.mark.parametrize("cls", ALL)
def test_type_shape_layout_and_seed(cls):
    make = (lambda seed: cls(seed=seed)) if cls in RANDOM else (lambda seed: cls())
    for dtype in (None, "float32", np.float64, "float16"):
        values = make(7)((12, 5), dtype)
        assert values.dtype == np.dtype(dtype or np.float32) and values.shape == (12, 5)
        assert values.flags.c_contiguous and values.flags.writeable and values.flags.owndata
    initializer = make(7)
    assert np.array_equal(initializer((12, 5)), initializer((12, 5)))
    assert np.array_equal(initializer((12, 5)), make(np.int64(7))((12, 5)))
    if cls in RANDOM:
        assert not np.array_equal(initializer((12, 5)), make(8)((12, 5)))
        unseeded = cls()
        assert not np.array_equal(unseeded((12, 5)), unseeded((12, 5)))


def test_unseeded_initializers_follow_the_global_seed():
    random = pytest.importorskip("cnncore.random")
    draws = []
    for _ in range(2):
        random.set_seed(123)
        draws.append([HeNormal()((4, 4)), GlorotUniform()((4, 4))])
    random.set_seed(None)
    assert np.array_equal(draws[0][0], draws[1][0]) and np.array_equal(draws[0][1], draws[1][1])


@pytest.mark.parametrize(
    "shape, axes, fans",
    [
        ((), {}, (1, 1)),
        ((7,), {}, (7, 7)),
        ((4, 9), {}, (4, 9)),
        ((3, 5, 4, 9), {}, (60, 135)),
        ((3, 5, 4, 9), {"input_axes": (0, 1), "output_axes": (0, 1, 3)}, (15, 135)),
    ],
)
def test_fans(shape, axes, fans):
    assert compute_fans(shape, **axes) == fans


@pytest.mark.parametrize("cls", ALL)
def test_config_round_trip_and_names(cls):
    initializer = cls(seed=3) if cls in RANDOM else cls()
    again = initializers.deserialize(initializers.serialize(initializer))
    assert type(again) is cls and again.get_config() == initializer.get_config()
    assert np.array_equal(again((4, 4)), initializer((4, 4)))
    assert np.array_equal(initializer.clone()((4, 4)), initializer((4, 4)))
    for identifier in (cls, cls.__name__, to_snake_case(cls.__name__)):
        assert type(initializers.get(identifier)) is cls
    assert initializers.get(initializer) is initializer
    assert repr(initializer).startswith(cls.__name__ + "(")


def test_get():
    assert initializers.get(None) is None
    assert type(initializers.get("he_normal")) is HeNormal and type(initializers.get("zero")) is Zeros
    assert type(initializers.get("uniform")) is RandomUniform and type(initializers.get("normal")) is RandomNormal
    made = initializers.get({"class_name": "RandomUniform", "config": {"minval": -1, "maxval": 1, "seed": 2}})
    assert made.get_config() == {"minval": -1, "maxval": 1, "seed": 2}

    def function(shape, dtype=None):
        return np.ones(shape, dtype)

    assert initializers.get(function) is function


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: initializers.get("he_norml"),
            r"'he_norml' is unknown; the valid names are .*did you mean 'he_normal'",
        ),
        (lambda: initializers.get("os.system"), "is unknown"),
        (lambda: initializers.get(3), "identifier must be"),
        (lambda: initializers.get(lambda: 0), r"function\(shape, dtype=None\)"),
        (lambda: initializers.get({"class_name": "HeNormal", "config": {"sed": 1}}), "must match the arguments"),
        (lambda: initializers.get({"class_name": "HeNormal", "config": [1]}), "must be a dict"),
        (lambda: initializers.get({"class_name": ["HeNormal"], "config": {}}), "is unknown"),
        (lambda: initializers.get({"class_name": "Zeros", "config": {}, "import": "os"}), "got also 'import'"),
        (lambda: initializers.get({"config": {}}), '"class_name"'),
        (lambda: HeNormal(seed=1.5), "seed must be an integer >= 0, got 1.5"),
        (lambda: HeNormal(seed=-1), "seed"),
        (lambda: HeNormal(seed=True), "seed"),
        (lambda: RandomNormal(stddev=-1), "stddev must be a finite number >= 0"),
        (lambda: RandomNormal(mean=float("nan")), "mean"),
        (lambda: RandomUniform(1, 0), "minval must not exceed maxval"),
        (lambda: VarianceScaling(0), "scale must be a finite number > 0"),
        (lambda: VarianceScaling(mode="fanin"), "mode must be one of .*did you mean 'fan_in'"),
        (lambda: VarianceScaling(distribution="gauss"), "distribution must be one of"),
        (lambda: VarianceScaling(distribution=3), "distribution must be one of"),
        (lambda: HeNormal(input_axes=(0,)), "given together"),
        (lambda: HeNormal(input_axes=(5,), output_axes=(0,))((2, 2)), "axes of the shape"),
        (lambda: Constant("a"), "value must be a number"),
        (lambda: Constant([1, 2])((3,)), "broadcast"),
        (lambda: Identity()((2, 2, 2)), "2 dimensions"),
        (lambda: Orthogonal()((3,)), "at least 2"),
        (lambda: Zeros()((2, -1)), "dimension"),
        (lambda: Zeros()(3), "tuple of integers"),
        (lambda: Zeros()((2.0,)), "dimension"),
        (lambda: Zeros()((2,), "text"), "dtype"),
        (lambda: HeNormal()((2, 2), "int32"), "floating-point"),
        (lambda: initializers.serialize(len), "get_config"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_custom_class_needs_custom_objects():
    class Ramp(initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return np.linspace(0, 1, math.prod(shape), dtype=dtype or np.float32).reshape(shape)

    config = initializers.serialize(Ramp())
    with pytest.raises(ValueError, match="'Ramp' is unknown"):
        initializers.deserialize(config)
    assert type(initializers.deserialize(config, custom_objects={"Ramp": Ramp})) is Ramp


@pytest.mark.parametrize("cls", ALL)
def test_arguments_and_moments_as_keras(keras, cls):
    theirs = getattr(keras.initializers, cls.__name__)
    ours = cls(seed=11) if cls in RANDOM else cls()
    config = {key: value for key, value in ours.get_config().items()}
    reference = theirs(**config)
    assert set(reference.get_config()) == (set() if cls is Identity else set(config))  # Keras forgets the gain
    for key, value in theirs().get_config().items():
        assert cls().get_config()[key] == value or key == "seed"
    assert type(initializers.deserialize(keras.initializers.serialize(theirs()))) is cls
    shape = (60, 60) if cls is Identity else (3, 3, 16, 64)
    a, b = ours(shape), reference(shape).cpu().numpy()
    if cls in RANDOM:  # two samples of the same law: equal variance and range
        assert a.std() == pytest.approx(b.std(), rel=6 * 2 / math.sqrt(a.size))
        assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.4)
    else:
        np.testing.assert_array_equal(a, b)


# regularizers


def test_penalties():
    w = np.array([[-1.0, 2.0], [0.5, 0.0]], np.float32)
    assert regularizers.L1(0.1)(w) == pytest.approx(0.35)
    assert regularizers.L2(0.1)(w) == pytest.approx(0.525)
    assert regularizers.L1L2(0.1, 0.2)(w) == pytest.approx(0.35 + 1.05)


def test_l2_has_no_half():
    """The gradient of l2 * sum(w**2) is 2 * l2 * w."""
    w, step = 0.1, 1e-4
    penalty = regularizers.L2(0.3)
    slope = (penalty([w + step]) - penalty([w - step])) / (2 * step)
    assert slope == pytest.approx(2 * 0.3 * w, rel=1e-9)


def test_regularizer_get_and_config():
    assert regularizers.get(None) is None
    for name, cls in (
        ("l1", regularizers.L1),
        ("L2", regularizers.L2),
        ("l1l2", regularizers.L1L2),
        ("l1_l2", regularizers.L1L2),
    ):
        made = regularizers.get(name)
        assert type(made) is cls
        again = regularizers.deserialize(regularizers.serialize(made))
        assert (again.l1, again.l2) == (made.l1, made.l2)
    assert (regularizers.L1(0.5).l1, regularizers.L1(0.5).l2) == (0.5, 0.0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: regularizers.L2(-1), "l2 must be a finite number >= 0, got -1"),
        (lambda: regularizers.L1(float("inf")), "l1"),
        (lambda: regularizers.L1("0.1"), "l1"),
        (lambda: regularizers.get("l3"), "valid names are L1, L1L2, L2"),
        (lambda: regularizers.get(abs), "no gradient in the engine"),
    ],
)
def test_wrong_regularizers(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_regularizers_as_keras(keras):
    w = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    for name, config in (("L1", {}), ("L2", {}), ("L1L2", {"l1": 0.3, "l2": 0.2}), ("L1", {"l1": 0.7})):
        ours = getattr(regularizers, name)(**config)
        theirs = getattr(keras.regularizers, name)(**config)
        assert ours(w) == pytest.approx(float(theirs(w)), rel=1e-5)
        assert ours.get_config() == pytest.approx(theirs.get_config())
