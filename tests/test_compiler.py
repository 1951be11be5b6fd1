"""The compiler: gradients of random networks, passes that must not change results, what is in a program, reports, the
cache, and its own speed."""

import time

import numpy as np
import pytest

import cnncore as cc
from cnncore import _core, layers
from cnncore.compiler import fuse, programs, recompute
from cnncore.compiler.programs import ProgramCache, passes
from conftest import TEST_SCALE
from random_graphs import (
    Reference,
    assert_equal_but_for_rounding,
    compiled,
    gradients,
    one_step,
    operations,
    random_data,
    random_model,
)

SEEDS = range(round(16 * TEST_SCALE))
EPSILON = 2.0**-24


def _train_step(seed, **switches):
    """(loss, gradients, weights afterwards) of one step of a random network, with compiler passes as said."""
    with passes(**switches):
        model = compiled(random_model(seed), cc.optimizers.SGD(0.1, momentum=0.9))
        loss = model.train_on_batch(*random_data(model, seed), return_dict=True)
        return loss, list(gradients(model).values()), model.get_weights()


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_and_gradients_of_random_networks_against_float64(seed):
    """Central differences of the float64 reference along a random direction for every weight.

    The step of 1e-6 makes the differences exact to about 1e-9. The engine's gradient g may differ along direction d
    by its roundings: about 2**12 operations lie behind an element of these networks, whose errors add up like a
    random walk to 2**6 units of 2**-24 times the magnitude of what is summed; normalisation of three images
    multiplies that by at most about 2**5. A wrong rule errs by order 1. Where the terms cancel, as they do wholly for
    a bias before a normalisation, the roundings of terms as large as other gradients remain.
    """
    model = compiled(random_model(seed, size=10))
    x, y = random_data(model, seed)
    loss = model.train_on_batch(x, y, return_dict=True)["loss"]
    reference = Reference(model, x, y)
    assert loss == pytest.approx(reference({}), rel=2**11 * EPSILON)
    draw = np.random.default_rng(seed)
    largest = max(np.abs(gradient).max() for gradient in gradients(model).values())
    for variable, gradient in gradients(model).items():
        direction, h = draw.normal(size=variable.shape), 1e-6
        w = variable.data.astype(np.float64)
        expected = (reference({variable: w + h * direction}) - reference({variable: w - h * direction})) / (2 * h)
        magnitude = np.abs(gradient * direction).sum()
        assert np.isfinite(gradient).all()
        assert abs((gradient * direction).sum() - expected) <= EPSILON * (
            2**11 * magnitude + 2**6 * largest * np.abs(direction).sum()
        ), f"{variable.path}, seed {seed}"


@pytest.mark.parametrize("seed", SEEDS)
def test_fusion_changes_training_by_rounding_only(seed):
    """Fused and unfused sums differ in their roundings only: the bound is that of the gradient check."""
    fused, plain = _train_step(seed), _train_step(seed, fuse=False)
    for name, value in plain[0].items():
        assert fused[0][name] == pytest.approx(value, rel=2**11 * EPSILON)
    largest = max(np.abs(b).max() for b in plain[1])
    for a, b in zip(fused[1], plain[1]):
        assert np.abs(a - b).max() <= EPSILON * (2**11 * np.abs(b).sum() + 2**6 * largest), f"seed {seed}"


@pytest.mark.parametrize("seed", SEEDS)
def test_fusion_changes_inference_by_rounding_only(seed):
    model = random_model(seed)
    x = random_data(model, seed, 5)[0]
    fused = model.predict_on_batch(x)
    with passes(fuse=False):
        plain = model.predict_on_batch(x)
    for a, b in zip(fused, plain):
        np.testing.assert_allclose(a, b, rtol=2**11 * EPSILON, atol=2**6 * EPSILON)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_large_expansion_is_done_within_the_depthwise_convolution(stride, monkeypatch):
    inputs = x = cc.Input((40, 36, 8))
    x = cc.layers.ReLU(6)(cc.layers.BatchNormalization()(cc.layers.Conv2D(100, 1)(x)))
    x = cc.layers.DepthwiseConv2D(3, stride, padding="same", activation="relu")(x)
    model = cc.Model(inputs, cc.layers.Conv2D(8, 1)(x))
    x = np.random.default_rng(7).normal(size=(2, 40, 36, 8)).astype(np.float32)
    fused = model.predict_on_batch(x)
    assert "pointwise_depthwise_conv2d" in str(model.describe(batch_size=2))
    monkeypatch.setattr(fuse, "LARGE_INNER_BYTES", 1 << 40)
    plain = cc.Model(inputs, model.outputs[0])
    assert "pointwise_depthwise_conv2d" not in str(plain.describe(batch_size=2))
    assert fused.tobytes() == plain.predict_on_batch(x).tobytes()


@pytest.mark.parametrize("multiplier", [1, 2])
def test_a_convolution_with_a_group_for_every_channel_is_a_depthwise_one(multiplier):
    """The same programs, the same bits: normalisation folded in inference, fused in training."""

    def network(depthwise):
        inputs = cc.Input((9, 8, 6))
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(20, 1)(inputs)))
        x = depthwise(3, padding="same", use_bias=False)(x)
        x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
        model = cc.Model(inputs, layers.Dense(3)(x))
        model.compile(cc.optimizers.SGD(0.1, momentum=0.9), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    grouped = network(lambda *a, **k: layers.Conv2D(20 * multiplier, *a, groups=20, **k))
    depthwise = network(lambda *a, **k: layers.DepthwiseConv2D(*a, depth_multiplier=multiplier, **k))
    depthwise.set_weights([w.reshape(like.shape) for w, like in zip(grouped.get_weights(), depthwise.get_weights())])
    x = np.random.default_rng(9).normal(size=(4, 9, 8, 6)).astype(np.float32)
    for training in (False, True):
        names = [[op for op, _ in operations(model, training) if op != "reshape"] for model in (grouped, depthwise)]
        assert [op for op in names[0] if op != "affine"] == names[1]
    for _ in range(3):
        losses = {model.train_on_batch(x, np.arange(4) % 3) for model in (grouped, depthwise)}
        assert len(losses) == 1
    assert grouped.predict_on_batch(x).tobytes() == depthwise.predict_on_batch(x).tobytes()
    for a, b in zip(grouped.get_weights(), depthwise.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()


POOLED = [
    ((28, 28, 1), dict(padding="same"), dict()),
    ((27, 21, 1), dict(padding="valid"), dict()),
    ((31, 30, 3), dict(padding="valid", strides=2), dict(pool_size=3, strides=2)),
    ((19, 23, 3), dict(padding="same"), dict(pool_size=3, strides=2, padding="same")),
]


@pytest.mark.parametrize("shape, convolution, pooling", POOLED)
def test_the_first_convolution_is_done_with_its_pooling(shape, convolution, pooling):
    """The same bits forward; in the gradients sums are cut differently, see the gradient check for the bound."""

    def network():
        cc.utils.set_random_seed(3)
        inputs = x = cc.Input(shape)
        x = cc.layers.MaxPooling2D(**pooling)(cc.layers.Conv2D(20, 3, activation="relu", **convolution)(x))
        model = cc.Model(inputs, cc.layers.Dense(5)(cc.layers.Flatten()(x)))
        model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(7, *shape)).astype(np.float32), rng.integers(0, 5, 7)

    def run(**switches):
        with passes(**switches):
            model = network()
            prediction, names = model.predict_on_batch(x), str(model.describe(batch_size=7))
            loss = model.train_on_batch(x, y, return_dict=True)["loss"]
            training = [operation["op"] for operation in model._program_for(7, True).operations]
            return prediction, names, training, loss, list(gradients(model).values())

    fused, plain = run(), run(fuse=False)
    assert "conv2d_max_pool2d + bias + relu" in fused[1] and "conv2d_max_pool2d" not in plain[1]
    assert {"conv2d_max_pool2d", "conv2d_max_pool2d_backward_weight"} <= set(fused[2])
    assert not {"conv2d", "max_pool2d", "max_pool2d_backward", "conv2d_backward_weight"} & set(fused[2])
    assert fused[0].tobytes() == plain[0].tobytes() and fused[3] == plain[3]
    for a, b in zip(fused[4], plain[4]):
        assert np.abs(a - b).max() <= 2**11 * EPSILON * np.abs(b).sum()


def test_what_others_read_is_not_pooled_within_its_convolution():
    """A result with another reader stays; the gradient in an input that is wanted keeps the gradient of the result."""
    inputs = x = cc.Input((12, 12, 2))
    x = t = cc.layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    x = cc.layers.Conv2D(4, 3, activation="relu")(cc.layers.MaxPooling2D()(x))
    out = [cc.layers.Flatten()(value) for value in (t, cc.layers.MaxPooling2D()(x))]
    model = cc.Model(inputs, cc.layers.Dense(3)(cc.layers.Concatenate()(out)))
    assert "conv2d_max_pool2d" not in str(model.describe(batch_size=2))
    inputs = x = cc.Input((12, 12, 2))
    x = cc.layers.MaxPooling2D()(cc.layers.Conv2D(6, 3)(cc.layers.Conv2D(4, 3)(x)))
    model = cc.Model(inputs, cc.layers.Dense(3)(cc.layers.Flatten()(x)))
    model.compile("sgd", cc.losses.MeanSquaredError())
    names = [operation["op"] for operation in model._program_for(2, True).operations]
    assert "conv2d_max_pool2d" in names and "conv2d_max_pool2d_backward_weight" not in names


@pytest.mark.parametrize("switch", ["shorten_lives", "reuse_memory"])
@pytest.mark.parametrize("seed", SEEDS)
def test_order_and_memory_do_not_change_a_bit(seed, switch):
    changed, plain = _train_step(seed, **{switch: False}), _train_step(seed)
    assert changed[0] == plain[0]
    for a, b in zip(changed[1] + changed[2], plain[1] + plain[2]):
        assert a.tobytes() == b.tobytes(), f"seed {seed}"
    model = random_model(seed)
    x = random_data(model, seed, 5)[0]
    outputs = model.predict_on_batch(x)
    with passes(**{switch: False}):
        for a, b in zip(outputs, model.predict_on_batch(x)):
            assert a.tobytes() == b.tobytes(), f"seed {seed}"


@pytest.mark.parametrize("exact", [True, False])
def test_what_is_computed_again_has_the_same_bits(exact, monkeypatch):
    """In ResNet-20: ten times where convolutions are direct, as those of 3x3 then do not normalise what they read."""
    monkeypatch.setattr(recompute, "SMALLEST_BYTES", 0)
    monkeypatch.setattr(_core, "get_exact", lambda: exact)
    x, y = np.random.default_rng(1).random((4, 32, 32, 3), np.float32), np.arange(4)

    def step(**switches):
        cc.utils.set_random_seed(1)
        with passes(**switches):
            model = cc.models.ResNet20()
            model.compile(cc.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
            loss = model.train_on_batch(x, y)
            operations = model._program_for(4, True).operations
            return loss, model.get_weights(), sum(o["op"] == "batchnorm" for o in operations)

    again, kept = step(), step(recompute=False)
    assert again[2] == kept[2] + (10 if exact else 1)
    assert again[0] == kept[0]
    for a, b in zip(again[1], kept[1]):
        assert a.tobytes() == b.tobytes()


def test_training_keeps_less_where_normalisations_are_computed_again(monkeypatch):
    """Those before direct 3x3 convolutions, which do not normalise what they read."""
    monkeypatch.setattr(recompute, "SMALLEST_BYTES", 1 << 20)
    monkeypatch.setattr(_core, "get_exact", lambda: True)

    def arena(**switches):
        with passes(**switches):
            model = cc.models.ResNet20()
            model.compile("sgd", "sparse_categorical_crossentropy")
            operations = model._program_for(128, True).operations
            return model.memory(128, training=True)["arena"], sum(o["op"] == "batchnorm" for o in operations)

    (less, passes_again), (more, passes_kept) = arena(), arena(recompute=False)
    assert less < 0.8 * more and passes_again > passes_kept


def test_unknown_pass_is_refused():
    with pytest.raises(ValueError, match="there is no pass inline; there are fuse"):
        with passes(inline=False):
            pass


# ---- what is in a program ----


def _small():
    inputs = cc.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, use_bias=False, name="first")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Conv2D(4, 3, name="second")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = cc.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def test_the_first_layer_gets_no_input_gradient():
    assert ("conv2d_backward_input", "first") not in operations(_small())
    assert ("conv2d_backward_input", "second") in operations(_small())


def test_frozen_layers_have_no_gradient_operations():
    model = _small()
    everything = operations(model)
    assert ("conv2d_backward_weight", "first") in everything and any(name == "moving_average" for name, _ in everything)
    for layer in model.layers[:4]:
        layer.trainable = False
    frozen = operations(model)
    backward = [(name, layer) for name, layer in frozen if "backward" in name]
    assert not any("first" in layer or "norm" in layer for _, layer in backward)
    assert not any(name == "moving_average" for name, _ in frozen)
    assert ("conv2d_backward_weight", "second") in backward and ("conv2d_backward_input", "second") not in backward
    before = model.get_weights()
    model.train_on_batch(np.random.default_rng(0).random((4, 8, 8, 3), np.float32), np.arange(4) % 3)
    changed = [v.path for v, value in zip(model.variables, before) if (v.numpy() != value).any()]
    assert changed == ["second/kernel", "second/bias", "head/kernel", "head/bias"]
    model.layers[1].trainable = True
    assert ("conv2d_backward_weight", "first") in operations(model)


def test_fusion_leaves_no_elementwise_pass_in_a_residual_network():
    model = cc.models.ResNet20()
    names = [name for name, _ in operations(model, training=False)]
    assert not {"activation", "add", "batchnorm"} & set(names)
    model.compile("sgd", "sparse_categorical_crossentropy")
    names = [name for name, _ in operations(model)]
    assert not {"activation", "activation_backward", "add", "batchnorm_moments"} & set(names)


def _first_layer(channels=3, kernel=3, rescaling=(1 / 255, -0.4), **convolution):
    """A first convolution of images of bytes, by a Rescaling or, where there is none, as they are."""
    cc.utils.set_random_seed(1)
    inputs = x = cc.Input((20, 45, channels), dtype="uint8")
    if rescaling:
        x = layers.Rescaling(*rescaling, name="rescaling")(inputs)
    x = layers.Conv2D(8, kernel, 2, "same", activation="relu", name="first", **convolution)(x)
    x = layers.Conv2D(6, 3, activation="relu")(x)
    model = cc.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("rescaling", [(1 / 255, -0.4), (-0.3,), None])
def test_bytes_are_rescaled_by_the_convolution_that_reads_them(rescaling, monkeypatch):
    draw = np.random.default_rng(3)
    x, y = draw.integers(0, 256, (4, 20, 45, 3)).astype(np.uint8), np.arange(4) % 3
    results = {}
    for fused in (True, False):
        if not fused:
            monkeypatch.setattr(programs, "rescale_on_load", lambda graph: None)
        model = _first_layer(rescaling=rescaling)
        results[fused] = [model.predict(x), *model.train_on_batch(x, y, return_dict=True).values()]
        results[fused] += [*gradients(model).values(), *model.get_weights(), model.evaluate(x, y)]
        for training in (False, True):
            names = operations(model, training)
            assert any(name == "affine" for name, _ in names) != fused
            assert ("conv2d", "rescaling + first" if fused and rescaling else "first") in names
            moved = model._program_for(2, training).operations
            first = next(operation for operation in moved if operation["op"] == "conv2d")
            floats = 2 * 20 * 45 * 3 * 4
            assert (first["bytes"] < floats) == fused
    for a, b in zip(results[True], results[False], strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("other", [dict(channels=9), dict(kernel=1), dict(channels=4, groups=2)])
def test_bytes_without_windows_are_rescaled_before(other):
    model = _first_layer(**other)
    assert all(("affine", "rescaling") in operations(model, training) for training in (False, True))


def test_a_pooled_first_convolution_reads_the_rescaled_image():
    """Pooling within the convolution is worth more than rescaling there, and does not go with it."""
    inputs = cc.Input((8, 8, 1), dtype="uint8")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(inputs))
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    model = cc.Model(inputs, layers.Dense(3)(x))
    model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
    for training in (False, True):
        names = [name for name, _ in operations(model, training)]
        assert "conv2d_max_pool2d" in names and "affine" in names
    assert np.isfinite(model.train_on_batch(np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 2])))


def test_a_rescaling_that_others_read_is_written():
    inputs = cc.Input((8, 8, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    y = layers.Conv2D(3, 3, padding="same")(x)
    for outputs in ([y, x], layers.Add()([y, x]), layers.Concatenate()([y, x])):
        assert "affine" in [name for name, _ in operations(cc.Model(inputs, outputs), training=False)]


def test_a_frozen_first_layer_rescales_bytes_too():
    model = _first_layer()
    model.get_layer("first").trainable = False
    names = [name for name, _ in operations(model)]
    assert "affine" not in names and names.count("conv2d_backward_weight") == 1


def _strided_block(kernel, bottleneck):
    inputs = layers.Input((9, 10, 5))
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(inputs)
    shortcut = layers.Conv2D(8, kernel, strides=2, padding="same")(x)
    if bottleneck:
        x = layers.Conv2D(4, 1)(x)
    x = layers.Add()([layers.Conv2D(8, 3, strides=2, padding="same")(x), shortcut])
    model = cc.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    model.compile(cc.optimizers.SGD(0.1), cc.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def _residuals(model):
    """The shapes of the residuals that gradients of convolutions have."""
    executable = model._program_for(4, True)
    return [
        executable.tensor(operation["inputs"][2])[2]
        for operation in executable.operations
        if operation["op"] == "conv2d_backward_input" and len(operation["inputs"]) > 2 and operation["inputs"][2] >= 0
    ]


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("kernel, shape", [(1, (4, 5, 5, 6)), (2, (4, 9, 10, 6))])
def test_the_gradient_of_a_strided_shortcut_is_computed_without_its_zeros(kernel, shape, bottleneck):
    x, y = np.random.default_rng(3).normal(size=(4, 9, 10, 5)).astype(np.float32), np.arange(4) % 3
    results = {}
    for fused in (True, False):
        with passes(fuse=fused):
            cc.utils.set_random_seed(1)
            model = _strided_block(kernel, bottleneck)
            results[fused] = one_step(model, x, y)
            assert _residuals(model) == ([shape] if fused else [])
    assert_equal_but_for_rounding(results[True], results[False])


def test_softmax_and_cross_entropy_are_computed_from_the_logits():
    assert ("softmax_cross_entropy", "head") in operations(_small())
    model = _small()
    model.layers[-1].kernel.assign(model.layers[-1].kernel.numpy() * 1e6)  # probabilities saturate, the loss does not
    x = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    assert max(model.test_on_batch(x, [k] * 4) for k in range(3)) > 100


def test_describe_tells_every_operation():
    model = _small()
    text = model.describe(batch_size=2)
    assert text.splitlines()[0] == f'model "{model.name}"'
    for part in (
        "conv2d + bias + relu",
        "first + norm + relu",
        "2x8x8x3 -> 2x6x6x4",
        "prepare",
        "compute",
        "memory planned",
        "instruction set",
        "FLOP",
    ):
        assert part in text, text
    training = model.describe(batch_size=2, training=True)
    for part in (
        "update",
        "sgd",
        "moving_average",
        "conv2d_backward_weight",
        "conv2d_backward_input + relu mask + sums",
        "batchnorm_backward",
        "conv2d + moments",
    ):
        assert part in training, training
    flops = 2 * 2 * (6 * 6 * 4 * 3 * 9 + 4 * 4 * 4 * 4 * 9 + 4 * 3)  # two images, a multiply and an add each
    told = sum(o["flops"] for o in model._program_for(2, False).operations if o["op"] in ("conv2d", "dense"))
    assert told == pytest.approx(flops, rel=0.1)  # biases and activations come on top


def test_profile_leaves_the_model_as_it_was():
    model = _small()
    x, y = np.random.default_rng(0).random((8, 8, 8, 3), np.float32), np.arange(8) % 3
    model.train_on_batch(x, y)
    before = model.get_weights(), model.optimizer.iterations
    for text in (
        model.profile(x, y, training=True, repeats=2),
        model.profile(repeats=1),
        model.profile(x, repeats=1),
        model.profile(training=True, repeats=1),
    ):
        for part in ("conv2d", "ms", "of peak", "FLOP/s", "total", "measured peak"):
            assert part in text, text
    assert model.optimizer.iterations == before[1]
    for a, b in zip(model.get_weights(), before[0]):
        np.testing.assert_array_equal(a, b)
    model.train_on_batch(x, y)
    assert any((a != b).any() for a, b in zip(model.get_weights(), before[0]))  # and it trains on


def test_summary_lists_layers_shapes_weights_and_connections():
    lines = []
    _small().summary(print_fn=lines.append)
    text = "\n".join(lines)
    for part in ("first (Conv2D)", "(None, 6, 6, 4)", "108", "Weights: 287", "Trainable: 279", "Not trainable: 8"):
        assert part in text, text


# ---- the cache and the compiler's speed ----


def test_the_number_of_programs_is_bounded():
    model = _small()
    for n in range(1, 3 * ProgramCache.LIMIT):
        model.predict_on_batch(np.zeros((n, 8, 8, 3), np.float32))
        assert len(model._programs) <= ProgramCache.LIMIT
    model.predict_on_batch(np.zeros((1, 8, 8, 3), np.float32))


def test_a_program_is_compiled_once():
    model = _small()
    first = model._program_for(4, True)
    assert model._program_for(4, True) is first and model._program_for(4, False) is not first
    model.train_on_batch(np.zeros((4, 8, 8, 3), np.float32), np.zeros(4, np.int32))
    assert model._program_for(4, True) is first
    _core_isa = cc.get_isa()
    try:
        cc.set_isa("generic")
        assert (model._program_for(4, True) is first) == (_core_isa == "generic")
    finally:
        cc.set_isa(_core_isa)


def test_a_training_program_is_compiled_within_a_tenth_of_a_second():
    model = cc.models.ResNet20()
    model.compile(cc.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    seconds = []
    for _ in range(5):
        model._programs.clear()
        begin = time.perf_counter()
        model._program_for(128, True)
        seconds.append(time.perf_counter() - begin)
    print(f"\nResNet-20, batch 128: training program compiled in {min(seconds) * 1e3:.1f} ms")
    assert min(seconds) < 0.1
