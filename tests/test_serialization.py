"""Models in files: exact round trips, training that goes on as if never stopped, damaged descriptions, weights by
name."""

import json

import numpy as np
import pytest

import cnncore as cc
from cnncore import layers, model_file
from conftest import TEST_SCALE
from random_graphs import compiled, random_data, random_model

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(20, 8, 8, 3)).astype(np.float32)
Y = DRAW.integers(0, 4, 20)

EVERY_LAYER = [
    layers.Activation("gelu"),
    layers.AveragePooling2D(3, 1, "same"),
    layers.BatchNormalization(
        momentum=0.8, epsilon=0.01, gamma_initializer="he_normal", beta_regularizer=cc.regularizers.L2(0.1)
    ),
    layers.Conv2D(
        4,
        (3, 2),
        (2, 1),
        "same",
        groups=1,
        activation="relu",
        kernel_regularizer="l1",
        kernel_initializer=cc.initializers.HeNormal(seed=3),
    ),
    layers.Conv2D(2, 3, padding=((1, 0), (0, 1)), dilation_rate=2, use_bias=False),
    layers.Conv2DTranspose(2, 3, 2, "same", output_padding=1),
    layers.Cropping2D(((1, 0), (0, 2))),
    layers.Dense(5, activation="tanh", bias_initializer="ones"),
    layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
    layers.Dropout(0.3, noise_shape=(None, 1, 1, None), seed=5),
    layers.ELU(0.5),
    layers.Flatten(),
    layers.GaussianNoise(0.2, seed=7),
    layers.GlobalAveragePooling2D(keepdims=True),
    layers.GlobalMaxPooling2D(),
    layers.LeakyReLU(0.1),
    layers.MaxPooling2D((2, 1), padding="valid"),
    layers.Normalization(mean=[1.0, 2.0, 3.0], variance=4.0, invert=True),
    cc.preprocessing.Pipeline([cc.preprocessing.ZScore(), cc.preprocessing.PCA(5)]).fit(X).layer(),
    layers.ReLU(6.0, 0.1, 0.5),
    layers.Rescaling(1 / 255, -1.0),
    layers.Reshape((4, -1)),
    layers.Softmax(),
    layers.UpSampling2D((2, 1), interpolation="bilinear"),
    layers.ZeroPadding2D(((1, 2), (3, 0))),
]
MERGING = [
    layers.Add(),
    layers.Average(),
    layers.Concatenate(axis=1),
    layers.Maximum(),
    layers.Minimum(),
    layers.Multiply(),
    layers.Subtract(),
]


def _same(model, again, x):
    assert again.name == model.name and json.dumps(again.get_config()) == json.dumps(model.get_config())
    assert [v.path for v in again.variables] == [v.path for v in model.variables]
    for a, b in zip(again.get_weights(), model.get_weights()):
        assert a.tobytes() == b.tobytes()
    for a, b in zip(_list(again.predict(x, verbose=0)), _list(model.predict(x, verbose=0))):
        assert a.tobytes() == b.tobytes()


def _list(outputs):
    return list(outputs.values()) if isinstance(outputs, dict) else outputs if isinstance(outputs, list) else [outputs]


def _round_trip(model, x, path):
    model.save(path)
    again = cc.load_model(path)
    assert type(again) is type(model)
    _same(model, again, x)
    return again


@pytest.mark.parametrize("layer", EVERY_LAYER + MERGING, ids=lambda layer: type(layer).__name__)
def test_every_layer(tmp_path, layer):
    inputs = cc.Input((8, 8, 3))
    model = cc.Model(inputs, layer([inputs, layers.Conv2D(3, 1)(inputs)] if layer in MERGING else inputs))
    model.set_weights([DRAW.normal(size=v.shape) ** 2 for v in model.variables])
    _round_trip(model, X, tmp_path / "model.cnn")


def test_every_layer_is_tested():
    assert {type(layer).__name__ for layer in EVERY_LAYER + MERGING} == set(layers._registry._names)


@pytest.mark.parametrize(
    "make",
    [
        cc.models.LeNet5,
        cc.models.LeNet,
        lambda: cc.models.ResNet20(classes=4),
        lambda: cc.models.SmallCNN(classes=4),
        lambda: cc.models.MobileNetV2(input_shape=(32, 32, 3), classes=4),
        lambda: cc.models.SqueezeNet((32, 32, 3), classes=4),
    ],
    ids=["LeNet5", "LeNet", "ResNet20", "SmallCNN", "MobileNetV2", "SqueezeNet"],
)
def test_networks_of_the_zoo(tmp_path, make):
    model = make()
    _round_trip(model, DRAW.random((2, *model.input_shape[1:])).astype(np.float32), tmp_path / "model.cnn")


@pytest.mark.parametrize("seed", range(8))
def test_random_networks(tmp_path, seed):
    model = random_model(seed, size=12)
    _round_trip(model, random_data(model, 1)[0], tmp_path / "model.cnn")


def test_structures(tmp_path):
    """Dicts of inputs and outputs, nested and shared models, fixed training, frozen layers, Sequential, bytes."""
    a, b = cc.Input((4,), name="left"), cc.Input((4,), name="right")
    shared = cc.Sequential([layers.Dense(3, activation="relu"), layers.BatchNormalization()], name="shared")
    x, y = shared(a), shared(b, training=False)
    frozen = layers.Dense(2, name="frozen", trainable=False)
    model = cc.Model({"a": a, "b": b}, {"sum": frozen(layers.Add()([x, y])), "x": x}, name="twins")
    data = {"b": DRAW.normal(size=(5, 4)), "a": DRAW.normal(size=(5, 4))}
    again = _round_trip(model, data, tmp_path / "twins.cnn")
    assert (
        len(again.variables) == 8
        and not again.get_layer("frozen").trainable
        and again.get_layer("shared").layers[0].kernel is again.variables[0]
    )
    sequential = cc.Sequential(
        [
            cc.Input((8, 8, 3), dtype="uint8", name="bytes"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(2),
        ],
        name="bytes_in",
    )
    again = _round_trip(sequential, DRAW.integers(0, 256, (3, 8, 8, 3)).astype(np.uint8), tmp_path / "bytes.cnn")
    assert again.inputs[0].dtype == "uint8" and again.input_names == ["bytes"]


def test_the_same_model_gives_the_same_bytes(tmp_path):
    model = _noisy()
    model.save(tmp_path / "a.cnn")
    cc.load_model(tmp_path / "a.cnn").save(tmp_path / "b.cnn")
    assert (tmp_path / "a.cnn").read_bytes() == (tmp_path / "b.cnn").read_bytes()


# ---- training goes on ----


def _noisy(optimizer=None, **arguments):
    cc.utils.set_random_seed(2)
    inputs = cc.Input((8, 8, 3))
    x = layers.ReLU()(
        layers.BatchNormalization()(
            layers.Conv2D(6, 3, use_bias=False, kernel_regularizer=cc.regularizers.L2(1e-3))(
                layers.GaussianNoise(0.1)(inputs)
            )
        )
    )
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
    model = cc.Model(inputs, layers.Dense(4, activation="softmax", name="head")(x))
    model.compile(
        optimizer or cc.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        seed=4,
        **arguments,
    )
    return model


OPTIMIZERS = {
    "sgd": lambda: cc.optimizers.SGD(0.1),
    "momentum": lambda: cc.optimizers.SGD(0.1, momentum=0.9, nesterov=True, global_clipnorm=1.0),
    "schedule": lambda: cc.optimizers.SGD(cc.optimizers.schedules.CosineDecay(0.1, 20), momentum=0.9),
    "adam": lambda: cc.optimizers.Adam(0.01),
    "amsgrad": lambda: cc.optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: cc.optimizers.AdamW(0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_as_if_never_stopped(tmp_path, name):
    """5 steps of shuffled batches with dropout and noise, saved, loaded, 5 more: bit for bit 10 steps."""
    whole, part = _noisy(OPTIMIZERS[name]()), _noisy(OPTIMIZERS[name]())
    expected = [whole.fit(X, Y, batch_size=4, verbose=0).history for _ in range(2)]
    assert part.fit(X, Y, batch_size=4, verbose=0).history == expected[0]
    part.save(tmp_path / "checkpoint.cnn")
    again = cc.load_model(tmp_path / "checkpoint.cnn")
    assert again.optimizer.iterations == 5 and type(again.optimizer) is type(part.optimizer)
    assert again.fit(X, Y, batch_size=4, verbose=0).history == expected[1]
    for a, b in zip(again.get_weights(), whole.get_weights()):
        assert a.tobytes() == b.tobytes()
    for slot in whole.optimizer.slots:
        assert again.optimizer.state[slot].tobytes() == whole.optimizer.state[slot].tobytes()


def test_what_compile_was_told_is_kept(tmp_path):
    model = compiled(
        random_model(1),
        cc.optimizers.SGD(0.1),
        metrics=[["accuracy"], ["mae", cc.metrics.BinaryAccuracy(threshold=0.7)]],
    )
    x, y = random_data(model, 1)
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.cnn")
    again = cc.load_model(tmp_path / "model.cnn")
    assert again.evaluate(x, y, verbose=0, return_dict=True) == model.evaluate(x, y, verbose=0, return_dict=True)
    assert again.train_on_batch(x, y) == model.train_on_batch(x, y)
    smooth = _noisy()
    smooth.compile("adam", cc.losses.SparseCategoricalCrossentropy(ignore_class=3, reduction="sum"))
    smooth.save(tmp_path / "smooth.cnn")
    loss = cc.load_model(tmp_path / "smooth.cnn").compiled_losses[0].loss
    assert (loss.ignore_class, loss.reduction) == (3, "sum")


def test_without_training(tmp_path):
    model = _noisy()
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "bare.cnn", include_optimizer=False)
    bare = cc.load_model(tmp_path / "bare.cnn")
    assert bare.optimizer is None and (tmp_path / "bare.cnn").stat().st_size < 6000
    with pytest.raises(RuntimeError, match="must be compiled first"):
        bare.fit(X, Y)
    model.save(tmp_path / "full.cnn")
    assert cc.load_model(tmp_path / "full.cnn", compile=False).optimizer is None


def test_overwriting(tmp_path):
    model, path = _noisy(), tmp_path / "model.cnn"
    model.save(path)
    before = path.read_bytes()
    for save in (model.save, model.save_weights):
        with pytest.raises(FileExistsError, match="exists; say overwrite=True"):
            save(path, overwrite=False)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["model.cnn"]


def test_other_readers_of_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    model = _noisy()
    model.save(tmp_path / "model.cnn")
    tensors = safetensors.load_file(tmp_path / "model.cnn")
    assert set(tensors) == {v.path for v in model.variables}
    for variable in model.variables:
        np.testing.assert_array_equal(tensors[variable.path], variable.numpy())


# ---- layers of one's own ----


class Scale(layers.Layer):
    def __init__(self, start=1.0, **arguments):
        super().__init__(**arguments)
        self.start = start

    def build(self, shape):
        self.scale = self.add_weight("scale", (shape[-1],), cc.initializers.Constant(self.start))

    def lower(self, b, x):
        return b.op("multiply", [x, b.weight(self.scale)])

    def get_config(self):
        return {**super().get_config(), "start": self.start}


def test_a_layer_of_ones_own(tmp_path):
    path = tmp_path / "scale.cnn"
    model = cc.Sequential([cc.Input((3,)), Scale(2.0), layers.Dense(2)], name="own")
    model.save(path)
    _same(model, cc.load_model(path, custom_objects={"Scale": Scale}), DRAW.normal(size=(4, 3)))
    with pytest.raises(ValueError, match="layer 'Scale' is unknown"):
        cc.load_model(path)  # nor was it remembered
    nested = cc.Sequential([cc.Input((3,)), model], name="outer")
    nested.save(path)
    _same(nested, cc.load_model(path, custom_objects={"Scale": Scale}), DRAW.normal(size=(4, 3)))


# ---- weights alone ----


def _net(prefix="", units=4):
    inputs = cc.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D(name=f"{prefix}pool")(layers.Conv2D(5, 3, name=f"{prefix}conv")(inputs))
    return cc.Model(inputs, layers.Dense(units, name=f"{prefix}head")(x), name=f"{prefix}net")


def test_weights_by_name_and_in_order(tmp_path):
    path = tmp_path / "weights.cnn"
    model = _net()
    model.save_weights(path)
    for other in (_net(), _net("new_")):
        other.load_weights(path)
        for a, b in zip(other.get_weights(), model.get_weights()):
            np.testing.assert_array_equal(a, b)
    model.compile("adam", "mse")
    model.train_on_batch(X, np.zeros((20, 4)))
    model.save(path)
    other = _net()
    other.load_weights(path)  # a whole model will do, its optimizer is left aside
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def test_weights_that_do_not_fit(tmp_path):
    path = tmp_path / "weights.cnn"
    _net().save_weights(path)
    for other, message in (
        (_net(units=7), r'weight "head/kernel" must be float32 of shape \(5, 7\), got float32 of \(5, 4\)'),
        (cc.Sequential([cc.Input((3,)), layers.Dense(2, name="conv")]), "missing: none, not in the model: head"),
        (
            cc.Sequential([cc.Input((5,)), layers.Dense(4, name="head"), layers.Dense(2, name="more")]),
            "missing: more/kernel",
        ),
    ):
        before = other.get_weights()
        with pytest.raises(ValueError, match=message):
            other.load_weights(path)
        for a, b in zip(other.get_weights(), before):
            np.testing.assert_array_equal(a, b)
    other = _net(units=7)
    head = other.get_layer("head").get_weights()
    with pytest.warns(UserWarning, match="no fitting weights for head/kernel, head/bias; they are left as they are"):
        other.load_weights(path, skip_mismatch=True)
    np.testing.assert_array_equal(other.get_layer("head").get_weights()[0], head[0])
    assert other.get_layer("conv").kernel.numpy().any()


# ---- damaged descriptions ----


def _parts(tmp_path):
    path = tmp_path / "model.cnn"
    model = _noisy(cc.optimizers.SGD(0.1, momentum=0.9))
    model.train_on_batch(X, Y)
    model.save(path)
    tensors, metadata = model_file.read(path)
    return path, {name: array.copy() for name, array in tensors.items()}, metadata


DAMAGE = {
    "format": (lambda t, m: m.update(format="keras"), 'metadata "format" must be "cnncore-1"'),
    "no_model": (lambda t, m: m.pop("model"), '"model" is missing or damaged'),
    "not_json": (lambda t, m: m.update(model="{"), '"model" is missing or damaged'),
    "deep": (lambda t, m: m.update(model="[" * 100000), '"model" is missing or damaged'),
    "not_a_model": (
        lambda t, m: m.update(model='{"class_name":"Dense","config":{"units":3}}'),
        "must describe a Model",
    ),
    "unknown_layer": (
        lambda t, m: m.update(model=m["model"].replace('"Conv2D"', '"os.system"')),
        "layer 'os.system' is unknown",
    ),
    "keys": (lambda t, m: m.update(model=m["model"].replace('"order"', '"orders"')), "damaged"),
    "huge": (
        lambda t, m: m.update(model=m["model"].replace('"filters":6', '"filters":600000000')),
        "fit into the weights that the file holds",
    ),
    "more": (lambda t, m: m.update(model=m["model"].replace('"filters":6', '"filters":7')), "damaged|must"),
    "shape": (
        lambda t, m: m.update(model=m["model"].replace('"shape":[8,8,3]', '"shape":[-8,8,3]')),
        "shape must be an integer >= 1",
    ),
    "calls": (lambda t, m: m.update(model=m["model"].replace('["dropout', '["drop')), "damaged"),
    "missing_weight": (lambda t, m: t.pop("head/bias"), "fit into the weights|missing: head/bias"),
    "extra_weight": (lambda t, m: t.update(extra=np.zeros(3, np.float32)), "not in the model: extra"),
    "weight_shape": (
        lambda t, m: t.update({"head/bias": np.zeros((2, 2), np.float32)}),
        'weight "head/bias" must be float32 of shape',
    ),
    "weight_type": (lambda t, m: t.update({"head/bias": np.zeros(4, np.int32)}), 'weight "head/bias" must be float32'),
    "optimizer": (
        lambda t, m: m.update(training=m["training"].replace('"SGD"', '"eval"')),
        "optimizer 'eval' is unknown",
    ),
    "iterations": (
        lambda t, m: m.update(training=m["training"].replace('"iterations":1', '"iterations":-1')),
        "iterations",
    ),
    "state": (lambda t, m: t.pop("optimizer/velocity/head/bias"), 'optimizer\'s state "optimizer/velocity/head/bias"'),
    "shuffle": (lambda t, m: m.update(training=m["training"].replace('"PCG64"', '"MT19937"')), "training is damaged"),
    "loss": (
        lambda t, m: m.update(training=m["training"].replace('"sparse_categorical_crossentropy"', '"exec"', 1)),
        "'exec' is unknown",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_descriptions_are_refused(tmp_path, name):
    damage, message = DAMAGE[name]
    path, tensors, metadata = _parts(tmp_path)
    damage(tensors, metadata)
    model_file.write(path, tensors, metadata)
    with pytest.raises(ValueError, match=message) as caught:
        cc.load_model(path)
    assert "model.cnn" in str(caught.value)


def test_random_damage_of_descriptions_is_an_error_or_a_model(tmp_path):
    """A changed, missing or doubled piece of the JSON: ValueError, or a model that holds together; nothing else."""
    path, tensors, metadata = _parts(tmp_path)
    draw = np.random.default_rng(6)
    pieces = ["0", "-1", "1e999", "null", "true", "[]", "{}", '""', '"x"', "99999999999999999999", ",", "3.5"]
    outcomes = {"refused": 0, "read": 0}
    for case in range(round(300 * TEST_SCALE)):
        key = "model" if case % 3 else "training"
        text = metadata[key]
        ends = [i for i, c in enumerate(text) if c in ",:[]{}"]
        at = draw.integers(len(ends) - 1)
        begin, end = ends[at] + 1, ends[at + 1]
        piece = pieces[draw.integers(len(pieces))] if draw.integers(3) else text[begin:end] * 2
        model_file.write(path, tensors, {**metadata, key: text[:begin] + piece + text[end:]})
        try:
            model = cc.load_model(path)
            model.predict(X[:2], verbose=0)
            outcomes["read"] += 1
        except ValueError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 4 * outcomes["read"] > 0, outcomes


def test_a_loaded_weight_can_be_changed_before_its_first_use(tmp_path):
    """Another model of the same file keeps its own."""
    model = cc.Sequential([cc.Input((4,)), layers.Dense(3, name="head")])
    model.save(tmp_path / "m.cnn")
    loaded = cc.load_model(tmp_path / "m.cnn")
    before, other = loaded.get_weights(), cc.load_model(tmp_path / "m.cnn")
    loaded.layers[-1].kernel.assign(np.ones((4, 3)))
    assert (loaded.get_weights()[0] == 1).all() and (loaded.predict(np.ones((1, 4), np.float32)) == 4).all()
    for a, b in zip(other.get_weights(), before, strict=True):
        assert a.tobytes() == b.tobytes()
