"""Layers: names, arguments, defaults, shapes and values against Keras 3; shape rules; descriptions."""

import inspect

import numpy as np
import pytest

import cnncore as cc
from cnncore import layers

EPSILON = 2.0**-24

NAMES = [
    "Activation",
    "Add",
    "Average",
    "AveragePooling2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "ELU",
    "Flatten",
    "GaussianNoise",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "LeakyReLU",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Softmax",
    "Subtract",
    "UpSampling2D",
    "ZeroPadding2D",
]
ALIASES = {
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "DepthwiseConvolution2D": "DepthwiseConv2D",
    "MaxPool2D": "MaxPooling2D",
    "AvgPool2D": "AveragePooling2D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
}

# What Keras has and the engine has not; unknown arguments are refused by name.
NOT_THERE = {
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
    "depthwise_constraint",
    "beta_constraint",
    "gamma_constraint",
    "renorm",
    "renorm_clipping",
    "renorm_momentum",
    "synchronized",
    "lora_rank",
    "lora_alpha",
    "quantization_config",
    "kwargs",
}
# Deliberate differences: where MaxPooling2D has a default, AveragePooling2D has it too.
DEFAULTS = {("AveragePooling2D", "pool_size")}


def _arguments(cls):
    if "__init__" not in vars(cls) and cls.__init__ is layers.Layer.__init__:
        return {}
    return {
        name: p
        for name, p in inspect.signature(cls.__init__).parameters.items()
        if name not in ("self", "args", "kwargs")
    }


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_those_of_keras(keras, name):
    theirs, ours = _arguments(getattr(keras.layers, name)), _arguments(getattr(layers, name))
    common = [argument for argument in theirs if argument in ours]
    missing = set(theirs) - set(ours) - NOT_THERE - {"name", "dtype", "trainable"}
    assert not missing, f"{name} lacks {missing}"
    assert not set(ours) - set(theirs), f"{name} has arguments of its own"
    assert common == [argument for argument in ours if argument in theirs], f"{name}: order"
    for argument in common:
        if (name, argument) in DEFAULTS:
            continue
        a, b = theirs[argument].default, ours[argument].default
        assert a == b or (isinstance(a, (list, tuple)) and tuple(a) == tuple(b)) or (a == 1 and b == (1, 1)), (
            f"{name}: {argument}={b!r}, Keras has {a!r}"
        )
    for argument in set(theirs) & NOT_THERE - {"kwargs"}:
        with pytest.raises(TypeError, match=f"{name}: unknown argument .*{argument}"):
            getattr(layers, name)(*_required(name), **{argument: None})


def _required(name):
    return {
        "Activation": ["relu"],
        "Conv2D": [1, 1],
        "Conv2DTranspose": [1, 1],
        "Dense": [1],
        "DepthwiseConv2D": [1],
        "Dropout": [0.5],
        "GaussianNoise": [0.5],
        "Rescaling": [1.0],
        "Reshape": [(1,)],
    }.get(name, [])


def test_aliases():
    for alias, name in ALIASES.items():
        assert getattr(layers, alias) is getattr(layers, name)


# Keras on PyTorch counts the padding in means where it is not the same on both sides; see
# test_means_leave_the_padding_out.
UNEVEN = [(3, (7, 6)), ((2, 3), (7, 6)), ((2, 3), (5, 5)), (2, (7, 6)), (2, (5, 5))]

# (layer, arguments, input shape without the batch); several inputs: a list of shapes
CASES = [
    *[
        ("Conv2D", dict(filters=4, kernel_size=k, strides=s, padding=p), (h, w, 3))
        for k, s in ((1, 1), (3, 1), (2, 1), (3, 2), ((3, 2), (2, 1)), (1, 2), (5, 3))
        for p in ("valid", "same")
        for h, w in ((7, 6), (5, 9))
    ],
    *[
        ("Conv2D", dict(filters=4, kernel_size=3, dilation_rate=d, padding=p), (9, 8, 2))
        for d in (2, (1, 3))
        for p in ("valid", "same")
    ],
    *[
        ("Conv2D", dict(filters=6, kernel_size=3, groups=g, padding="same", strides=s), (6, 7, 6))
        for g in (2, 3, 6)
        for s in (1, 2)
    ],
    ("Conv2D", dict(filters=12, kernel_size=3, groups=4, activation="relu"), (6, 7, 4)),
    *[
        ("Conv2D", dict(filters=3, kernel_size=3, activation=a, use_bias=b), (6, 6, 2))
        for a in ("relu", "tanh", "softmax", "gelu")
        for b in (True, False)
    ],
    *[
        ("DepthwiseConv2D", dict(kernel_size=k, strides=s, padding=p, depth_multiplier=m), (7, 6, 3))
        for k, s in ((3, 1), (2, 1), (3, 2), (5, 2))
        for p in ("valid", "same")
        for m in (1, 2)
    ],
    (
        "DepthwiseConv2D",
        dict(kernel_size=3, dilation_rate=2, padding="same", activation="relu", use_bias=False),
        (7, 6, 3),
    ),
    *[
        ("Conv2DTranspose", dict(filters=3, kernel_size=k, strides=s, padding=p), (5, 4, 2))
        for k in (1, 2, 3, 4, 5)
        for s in (1, 2, 3)
        for p in ("valid", "same")
        if not (p == "same" and k < s)
    ],
    *[
        ("Conv2DTranspose", dict(filters=2, kernel_size=k, strides=2, padding=p, output_padding=o), (4, 5, 3))
        for k in (3, 5)
        for p in ("valid", "same")
        for o in (0, 1, (1, 0))
    ],
    ("Conv2DTranspose", dict(filters=2, kernel_size=3, dilation_rate=2, padding="valid", activation="relu"), (4, 5, 3)),
    ("Conv2DTranspose", dict(filters=2, kernel_size=3, dilation_rate=2, padding="same", use_bias=False), (4, 5, 3)),
    *[
        ("Dense", dict(units=4, activation=a, use_bias=b), shape)
        for a in (None, "relu", "softmax")
        for b in (True, False)
        for shape in ((5,), (2, 5), (2, 3, 5))
    ],
    *[
        (kind, dict(pool_size=k, strides=s, padding=p), (h, w, 3))
        for kind in ("MaxPooling2D", "AveragePooling2D")
        for k, s in ((2, None), (3, 2), (3, 1), ((2, 3), (1, 2)), (2, 3))
        for p in ("valid", "same")
        for h, w in ((7, 6), (5, 5))
        if not (kind[0] == "A" and p == "same" and (k, (h, w)) in UNEVEN)
    ],
    *[
        (kind, dict(keepdims=k), (4, 5, 3))
        for kind in ("GlobalAveragePooling2D", "GlobalMaxPooling2D")
        for k in (False, True)
    ],
    ("BatchNormalization", dict(), (4, 5, 3)),
    ("BatchNormalization", dict(), (6,)),
    ("BatchNormalization", dict(epsilon=0.1, center=False), (4, 5, 3)),
    ("BatchNormalization", dict(scale=False), (4, 5, 3)),
    ("BatchNormalization", dict(center=False, scale=False), (4, 3)),
    *[
        ("Activation", dict(activation=a), (4, 5, 3))
        for a in (
            "linear",
            "relu",
            "relu6",
            "leaky_relu",
            "sigmoid",
            "tanh",
            "elu",
            "selu",
            "gelu",
            "silu",
            "swish",
            "softplus",
            "softsign",
            "hard_sigmoid",
            "hard_silu",
            "hard_swish",
            "exponential",
            "mish",
            "softmax",
        )
    ],
    ("ReLU", dict(), (4, 5)),
    ("ReLU", dict(max_value=1.0, negative_slope=0.1, threshold=0.2), (4, 5)),
    ("ReLU", dict(max_value=6.0), (4, 5)),
    ("LeakyReLU", dict(), (4, 5)),
    ("LeakyReLU", dict(negative_slope=0.01), (4, 5)),
    ("ELU", dict(), (4, 5)),
    ("ELU", dict(alpha=0.3), (4, 5)),
    ("Softmax", dict(), (4, 5)),
    ("Flatten", dict(), (4, 5, 3)),
    ("Flatten", dict(), (4,)),
    ("Reshape", dict(target_shape=(10, 6)), (4, 5, 3)),
    ("Reshape", dict(target_shape=(3, -1, 2)), (4, 5, 3)),
    *[("ZeroPadding2D", dict(padding=p), (4, 5, 3)) for p in (1, (2, 1), ((1, 0), (2, 3)))],
    *[("Cropping2D", dict(cropping=c), (6, 7, 3)) for c in (1, (2, 1), ((1, 0), (2, 3)))],
    *[
        ("UpSampling2D", dict(size=s, interpolation=i), (4, 5, 3))
        for s in (2, (1, 3), (2, 3))
        for i in ("nearest", "bilinear")
    ],
    ("Rescaling", dict(scale=1 / 255, offset=-0.5), (4, 5, 3)),
    ("Dropout", dict(rate=0.5), (4, 5)),
    ("GaussianNoise", dict(stddev=0.5), (4, 5)),
    *[(kind, dict(), [(4, 5, 3)] * n) for kind in ("Add", "Multiply", "Average", "Maximum", "Minimum") for n in (2, 3)],
    *[(kind, dict(), [(4, 5, 3), (1, 1, 3)]) for kind in ("Add", "Multiply", "Maximum", "Minimum", "Subtract")],
    ("Subtract", dict(), [(4, 5), (4, 5)]),
    *[
        ("Concatenate", dict(axis=a), shapes)
        for a, shapes in (
            (-1, [(4, 5, 3), (4, 5, 1)]),
            (1, [(4, 5, 3), (2, 5, 3)]),
            (-2, [(4, 5, 3), (4, 1, 3), (4, 2, 3)]),
            (-1, [(4,), (3,), (2,)]),
        )
    ],
]


def _id(case):
    return f"{case[0]}-{'-'.join(f'{k}={v}' for k, v in case[1].items())}-{case[2]}".replace(" ", "")


def _build(package, case):
    name, arguments, shapes = case
    inputs = [package.Input(s) for s in (shapes if isinstance(shapes, list) else [shapes])]
    layer = getattr(package.layers, name)(**arguments)
    return layer, package.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))


def _data(case, n=3):
    draw = np.random.default_rng(5)
    shapes = case[2] if isinstance(case[2], list) else [case[2]]
    return [draw.normal(size=(n, *s)).astype(np.float32) for s in shapes]


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_values_and_shapes_are_those_of_keras(keras, case):
    """Both round sums of at most 5 * 5 * 6 products of numbers of order 1, in different orders; functions err by a few
    units."""
    theirs, their_model = _build(keras, case)
    ours, our_model = _build(cc, case)
    draw = np.random.default_rng(7)
    assert [v.shape for v in theirs.weights] == [v.shape for v in ours.weights]
    assert [v.name for v in theirs.weights] == [v.name for v in ours.weights]
    weights = [
        (
            np.abs(draw.normal(size=v.shape)).astype(np.float32) + 0.1
            if v.name == "moving_variance"
            else draw.normal(size=v.shape).astype(np.float32)
        )
        for v in ours.weights
    ]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    assert tuple(our_model.output_shape) == tuple(their_model.output_shape)
    x = _data(case)
    expected = their_model.predict(x if len(x) > 1 else x[0], verbose=0)
    result = our_model.predict(x if len(x) > 1 else x[0], verbose=0)
    terms = max([int(np.prod(v.shape[:-1])) for v in weights if v.ndim > 1] or [8])
    np.testing.assert_allclose(result, expected, rtol=64 * EPSILON, atol=4 * EPSILON * terms)
    np.testing.assert_array_equal(result, ours(x if len(x) > 1 else x[0]))  # a call on arrays is inference too


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_descriptions_make_the_same_layer(case):
    ours, model = _build(cc, case)
    config = ours.get_config()
    again = type(ours).from_config(config)
    assert again.get_config() == config and again.name == ours.name
    inputs = [cc.Input(s) for s in (case[2] if isinstance(case[2], list) else [case[2]])]
    copy = cc.Model(inputs, again(inputs if len(inputs) > 1 else inputs[0]))
    copy.set_weights(model.get_weights())
    x = _data(case)
    x = x if len(x) > 1 else x[0]
    np.testing.assert_array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize("name", NAMES)
def test_constructor_arguments_are_all_described(name):
    """get_config holds every argument of the constructor but those that can have one value only."""
    layer = getattr(layers, name)(*_required(name))
    assert set(_arguments(type(layer))) - {"data_format", "name", "dtype", "trainable"} <= set(layer.get_config())


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_compute_output_shape(case):
    layer, model = _build(cc, case)
    shapes = [(None, *s) for s in (case[2] if isinstance(case[2], list) else [case[2]])]
    before = layer.input, layer.output
    assert layer.compute_output_shape(shapes if len(shapes) > 1 else shapes[0]) == model.output_shape
    assert (layer.input, layer.output) == before


def test_explicit_padding_equals_zero_padding():
    x = np.random.default_rng(0).normal(size=(2, 6, 7, 3)).astype(np.float32)
    for borders in (1, (2, 1), ((1, 0), (2, 3))):
        convolution = layers.Conv2D(4, 3, strides=2, padding=borders)
        y = convolution(x)
        plain = layers.Conv2D(4, 3, strides=2)
        plain.build((None, 9, 9, 3))
        plain.built = True
        plain.set_weights(convolution.get_weights())
        padded = plain(layers.ZeroPadding2D(borders)(x))
        assert y.shape == padded.shape
        np.testing.assert_allclose(y, padded, rtol=0, atol=4 * EPSILON * 27)
        positive = np.abs(x)
        np.testing.assert_array_equal(
            layers.MaxPooling2D(3, 2, borders)(positive),
            layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(borders)(positive)),
        )


@pytest.mark.parametrize(
    "padding, size", [("same", (8, 10)), ("valid", (9, 11)), (1, (7, 9)), (((0, 1), (1, 1)), (8, 9))]
)
def test_shapes_of_transposed_convolutions(padding, size):
    assert layers.Conv2DTranspose(2, 3, 2, padding)(cc.Input((4, 5, 3))).shape == (None, *size, 2)


def test_a_transposed_convolution_is_the_adjoint_of_a_convolution():
    """<conv(x), y> = <x, conv_T(y)>, exactly, on integers."""
    draw = np.random.default_rng(1)
    for stride, padding, size in (
        (1, "valid", 10),
        (2, 1, 9),
        (3, ((1, 0), (0, 1)), 11),
    ):  # sizes at which the windows end with the image
        kernel = draw.integers(-3, 4, (3, 3, 2, 4)).astype(np.float32)
        x = draw.integers(-3, 4, (2, size, size, 2)).astype(np.float32)
        forward = layers.Conv2D(4, 3, stride, padding, use_bias=False, kernel_initializer=kernel)
        backward = layers.Conv2DTranspose(2, 3, stride, padding, use_bias=False, kernel_initializer=kernel)
        y = draw.integers(-3, 4, forward(x).shape).astype(np.float32)
        t = backward(y)
        assert t.shape == x.shape and t.any() and (forward(x) * y).sum() == (x * t).sum()


def test_means_leave_the_padding_out():
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 3)).astype(np.float32)
    for pool, strides in ((2, 2), (3, 2), ((2, 3), (1, 2)), (3, 1)):
        y = layers.AveragePooling2D(pool, strides, "same")(x)
        (k_h, k_w), (s_h, s_w) = (v if isinstance(v, tuple) else (v, v) for v in (pool, strides))
        top, left = (max((-(-n // s) - 1) * s + k - n, 0) // 2 for n, k, s in ((7, k_h, s_h), (6, k_w, s_w)))
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                rows, columns = (slice(max(a, 0), a + k) for a, k in ((i * s_h - top, k_h), (j * s_w - left, k_w)))
                np.testing.assert_allclose(
                    y[:, i, j], x[:, rows, columns].mean((1, 2), dtype=np.float64), rtol=8 * EPSILON, atol=8 * EPSILON
                )


def test_dropout_and_noise_in_training():
    """Dropout keeps each element with probability 1 - rate and scales it; the noise has the deviation asked for."""
    inputs = cc.Input((1000,))
    model = cc.Model(inputs, layers.Dropout(0.25)(inputs, training=True))
    x = np.ones((50, 1000), np.float32)
    y = model.predict_on_batch(x)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    kept = (y > 0).mean()
    assert abs(kept - 0.75) < 5 * np.sqrt(0.75 * 0.25 / x.size)  # five standard deviations
    assert (model.predict_on_batch(x) != y).any()  # each call draws anew
    noise = cc.Model(inputs, layers.GaussianNoise(0.5)(inputs, training=True)).predict_on_batch(0 * x)
    assert abs(noise.mean()) < 5 * 0.5 / np.sqrt(x.size) and abs(noise.std() - 0.5) < 5 * 0.5 / np.sqrt(2 * x.size)
    image = cc.Input((4, 4, 64))
    channels = cc.Model(
        image, layers.Dropout(0.5, noise_shape=(None, 1, 1, 64))(image, training=True)
    ).predict_on_batch(np.ones((8, 4, 4, 64), np.float32))
    assert (channels == channels[:, :1, :1]).all() and 0.3 < (channels > 0).mean() < 0.7


def test_dropout_streams():
    """Layers draw different masks; a seed gives a layer a stream of its own."""
    inputs = cc.Input((256,))
    drop = lambda **arguments: layers.Dropout(0.5, **arguments)(inputs, training=True)
    outputs = cc.Model(inputs, [drop(), drop(), drop(seed=3), drop(seed=3), drop(seed=4)]).predict_on_batch(
        np.ones((2, 256), np.float32)
    )
    a, b, c, d, e = outputs
    assert (a != b).any() and (c == d).all() and (c != e).any() and (a[0] != a[1]).any()


def test_batch_normalization_in_training_and_inference():
    layer = layers.BatchNormalization(momentum=0.9, epsilon=1e-3)
    model = cc.Sequential([cc.Input((2, 2, 3)), layer])
    model.compile(cc.optimizers.SGD(0.0), "mse")
    x = np.random.default_rng(0).normal(3.0, 2.0, (16, 2, 2, 3)).astype(np.float32)
    model.train_on_batch(x, x)
    mean, variance = x.astype(np.float64).mean((0, 1, 2)), x.astype(np.float64).var((0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * mean, rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * variance, rtol=1e-6)
    layer.trainable = False
    before = layer.moving_mean.numpy()
    model.train_on_batch(x, x)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), before)
    with pytest.warns(UserWarning, match="momentum=0.1 is the weight of the old statistic"):
        layers.BatchNormalization(momentum=0.1)


def test_bytes_and_integers_are_taken_as_numbers():
    x = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    for layer in (
        layers.Rescaling(0.5, 1.0),
        layers.Conv2D(2, 3),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.BatchNormalization(),
    ):
        expected = layer(x.astype(np.float32))
        for dtype in (np.uint8, np.int64, np.float64):
            np.testing.assert_array_equal(layer(x.astype(dtype)), expected)


def test_nan_and_infinity_pass():
    x = np.array([[np.nan, -np.inf, np.inf, -1.0, 2.0]], np.float32)
    np.testing.assert_array_equal(layers.ReLU()(x), [[np.nan, 0, np.inf, 0, 2]])
    image = np.zeros((1, 4, 4, 1), np.float32)
    image[0, 1, 1] = np.nan
    assert np.isnan(layers.MaxPooling2D()(image)).sum() == 1 and np.isnan(layers.GlobalMaxPooling2D()(image)).all()


def test_functions_of_merging():
    a, b = cc.Input((3,)), cc.Input((3,))
    x, y = np.array([[1, 5, 2]], np.float32), np.array([[4, 2, 2]], np.float32)
    for function, expected in (
        (layers.add, x + y),
        (layers.multiply, x * y),
        (layers.subtract, x - y),
        (layers.average, (x + y) / 2),
        (layers.maximum, np.maximum(x, y)),
        (layers.minimum, np.minimum(x, y)),
        (layers.concatenate, np.concatenate([x, y], -1)),
    ):
        np.testing.assert_array_equal(cc.Model([a, b], function([a, b])).predict([x, y], verbose=0), expected)


def test_weights_of_a_layer():
    layer = layers.Dense(2)
    assert layer.weights == [] and not layer.built
    layer(cc.Input((3,)))
    assert [v.path for v in layer.weights] == [
        f"{layer.name}/kernel",
        f"{layer.name}/bias",
    ] and layer.count_params() == 8
    layer.trainable = False
    assert (
        layer.trainable_weights == []
        and len(layer.non_trainable_weights) == 2
        and layer.get_config()["trainable"] is False
    )
    norm = layers.BatchNormalization()
    norm(cc.Input((4, 4, 5)))
    assert [v.name for v in norm.weights] == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [v.name for v in norm.non_trainable_weights] == ["moving_mean", "moving_variance"]


def test_a_layer_of_ones_own():
    class Square(layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight("scale", (shape[-1],), "ones")

        def lower(self, b, x):
            return b.op("multiply", [b.op("multiply", [x, x]), b.weight(self.scale)])

    inputs = cc.Input((3,))
    model = cc.Model(inputs, Square()(inputs))
    np.testing.assert_array_equal(model.predict(np.array([[1, 2, 3]]), verbose=0), [[1, 4, 9]])
    model.compile(cc.optimizers.SGD(1.0), "mse")
    model.train_on_batch(np.array([[1, 2, 3]]), np.zeros((1, 3)))
    np.testing.assert_allclose(model.get_weights()[0], 1 - np.array([2 / 3, 2 * 16 / 3, 2 * 81 / 3]), rtol=1e-6)
