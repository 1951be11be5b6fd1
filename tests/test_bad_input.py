"""Wrong uses: each is refused with a sentence that names the culprit, the values and the remedy, and changes
nothing."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import layers, losses, optimizers

X = np.random.default_rng(0).normal(size=(12, 8, 8, 3)).astype(np.float32)
Y = np.arange(12) % 4
ONE_HOT = np.eye(4, dtype=np.float32)[Y]
NAN = np.where(np.arange(12) == 5, np.nan, 1.0)


@pytest.fixture
def model():
    inputs = cc.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, name="stem")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.ReLU(name="relu")(x))
    model = cc.Model(inputs, layers.Dense(4, activation="softmax", name="head")(x), name="net")
    model.compile(cc.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.train_on_batch(X, Y)
    return model


def _state(model):
    optimizer = model.optimizer
    return (
        [w.tobytes() for w in model.get_weights()],
        optimizer.iterations,
        optimizer.learning_rate,
        {k: v.tobytes() for k, v in optimizer.state.items()},
    )


class Broken:
    def __len__(self):
        return 1

    def __getitem__(self, i):
        return X[:4]


class Callback(cc.callbacks.Callback):
    pass


# (what is done, exception, parts of the message)
USES = {
    # -- data that do not fit --
    "channels_first": (
        lambda m: m.predict(X.transpose(0, 3, 1, 2)),
        ValueError,
        ['model "net"', '"image"', "(None, 8, 8, 3)", "(12, 3, 8, 8)", "transpose(x, (0, 2, 3, 1))"],
    ),
    "no_batch_axis": (lambda m: m.predict(X[0]), ValueError, ['model "net"', '"image"', "(8, 8, 3)", "x[None]"]),
    "wrong_size": (
        lambda m: m.fit(X[:, :7], Y),
        ValueError,
        ['model "net"', '"image"', "(None, 8, 8, 3)", "(12, 7, 8, 3)"],
    ),
    "empty": (
        lambda m: m.fit(X[:0], Y[:0]),
        ValueError,
        ['model "net"', '"image"', "at least one sample", "(0, 8, 8, 3)"],
    ),
    "strings": (
        lambda m: m.predict(np.array(["cat", "dog"])),
        ValueError,
        ['model "net"', '"image"', "array of numbers", "<U3"],
    ),
    "ragged": (lambda m: m.predict([[1, 2], [3]]), ValueError, ['model "net"', "NumPy array"]),
    "objects": (
        lambda m: m.predict(np.array([X[0], None], dtype=object)),
        ValueError,
        ['model "net"', "array of numbers", "same shape"],
    ),
    "scalar": (lambda m: m.predict(3.0), ValueError, ['model "net"', '"image"', "(None, 8, 8, 3)", "()"]),
    "nothing": (lambda m: m.predict(None), ValueError, ['model "net"', '"image"']),
    "lengths": (lambda m: m.fit(X, Y[:7]), ValueError, ['model "net"', "same number of samples", "12", "7"]),
    "lengths_of_evaluate": (lambda m: m.evaluate(X[:3], Y), ValueError, ['model "net"', "3", "12"]),
    "too_many_inputs": (lambda m: m.predict([X, X]), ValueError, ['model "net"', '"image"', "(2, 12, 8, 8, 3)"]),
    "unknown_input": (lambda m: m.predict({"picture": X}), ValueError, ['model "net"', "image", "picture"]),
    "empty_dict": (lambda m: m.predict({}), ValueError, ['model "net"', "image"]),
    "no_targets": (lambda m: m.fit(X), ValueError, ['model "net"', "x and y must be given"]),
    "no_data": (lambda m: m.fit(), ValueError, ['model "net"', "x and y must be given"]),
    "no_targets_in_batch": (lambda m: m.train_on_batch(X), ValueError, ['model "net"', "y must be given"]),
    # -- targets --
    "label_too_large": (
        lambda m: m.fit(X, Y + 1),
        ValueError,
        ['output "head"', "0 to 3", "4 classes", "got 4 in sample 3", "widen the last layer"],
    ),
    "label_negative": (
        lambda m: m.train_on_batch(X, Y - 1),
        ValueError,
        ['output "head"', "0 to 3", "got -1 in sample 0"],
    ),
    "label_nan": (lambda m: m.fit(X, NAN), ValueError, ['output "head"', "integers", "nan", "sample 5", "repair"]),
    "label_fraction": (
        lambda m: m.fit(X, Y + 0.5),
        ValueError,
        ['output "head"', "integers 0 to 3", "0.5 in sample 0"],
    ),
    "one_hot_for_sparse": (
        lambda m: m.fit(X, ONE_HOT),
        ValueError,
        ['output "head"', "(12,)", "(12, 4)", '"categorical_crossentropy"'],
    ),
    "labels_as_strings": (lambda m: m.fit(X, np.array(["a"] * 12)), ValueError, ['output "head"', "array of numbers"]),
    "targets_scalar": (lambda m: m.fit(X, 3), ValueError, ['output "head"', "at least one sample"]),
    "targets_of_unknown_output": (lambda m: m.fit(X, {"tail": Y}), ValueError, ['model "net"', "head", "tail"]),
    "validation_labels": (
        lambda m: m.fit(X, Y, validation_data=(X, Y + 9)),
        ValueError,
        ['output "head"', "0 to 3", "got 9"],
    ),
    "validation_tuple": (
        lambda m: m.fit(X, Y, validation_data=(X,)),
        ValueError,
        ['model "net"', "validation_data must be (x, y)", "1 parts"],
    ),
    "validation_shape": (
        lambda m: m.fit(X, Y, validation_data=(X[:, :5], Y)),
        ValueError,
        ['"image"', "(12, 5, 8, 3)"],
    ),
    # -- arguments of fit --
    "epochs": (lambda m: m.fit(X, Y, epochs=-1), ValueError, ['model "net"', "epochs", ">= 0", "-1"]),
    "epochs_type": (lambda m: m.fit(X, Y, epochs=2.5), ValueError, ['model "net"', "epochs", "2.5"]),
    "batch_size": (lambda m: m.fit(X, Y, batch_size=0), ValueError, ["batch_size", "at least 1", "0"]),
    "batch_size_type": (lambda m: m.predict(X, batch_size="all"), ValueError, ["batch_size", "'all'"]),
    "batch_size_of_iterable": (
        lambda m: m.fit(iter([(X, Y)]), batch_size=4),
        ValueError,
        ['model "net"', "batch_size must be left out", "4"],
    ),
    "evaluate_batch_size_of_iterable": (
        lambda m: m.evaluate(iter([(X, Y)]), batch_size=4),
        ValueError,
        ['model "net"', "batch_size must be left out", "4"],
    ),
    "evaluate_sample_weight_of_iterable": (
        lambda m: m.evaluate(iter([(X, Y)]), sample_weight=np.ones(12)),
        ValueError,
        ['model "net"', "sample_weight must be left out"],
    ),
    "split": (
        lambda m: m.fit(X, Y, validation_split=1.0),
        ValueError,
        ['model "net"', "validation_split", "0 to 1", "1.0"],
    ),
    "split_too_small": (
        lambda m: m.fit(X[:1], Y[:1], validation_split=0.5),
        ValueError,
        ['model "net"', "validation_split=0.5", "1 samples", "empty"],
    ),
    "split_of_iterable": (
        lambda m: m.fit(iter([(X, Y)]), validation_split=0.5),
        ValueError,
        ['model "net"', "validation_split must be left out", "0.5"],
    ),
    "steps": (lambda m: m.fit(X, Y, steps_per_epoch=0), ValueError, ['model "net"', "steps_per_epoch", ">= 1", "0"]),
    "validation_steps": (
        lambda m: m.fit(X, Y, validation_data=(X, Y), validation_steps=0),
        ValueError,
        ['model "net"', "validation_steps", ">= 1", "0"],
    ),
    "validation_freq": (
        lambda m: m.fit(X, Y, validation_data=(X, Y), validation_freq=0),
        ValueError,
        ['model "net"', "validation_freq", "0"],
    ),
    "verbose": (lambda m: m.fit(X, Y, verbose=7), ValueError, ["verbose", "7"]),
    "seed": (lambda m: m.fit(X, Y, seed=-3), ValueError, ["seed", "-3"]),
    "threads": (lambda m: m.fit(X, Y, threads=-2), ValueError, ["threads must be 1 to", "-2"]),
    "threads_of_predict": (lambda m: m.predict(X, threads=10**6), ValueError, ["threads must be 1 to", "1000000"]),
    "shuffle": (lambda m: m.fit(X, Y, shuffle="batch"), ValueError, ['model "net"', "shuffle", "'batch'"]),
    "callback_class": (
        lambda m: m.fit(X, Y, callbacks=[Callback]),
        ValueError,
        ["callbacks must be instances of Callback", "make an instance"],
    ),
    "callback_function": (
        lambda m: m.fit(X, Y, callbacks=print),
        ValueError,
        ["callbacks must be instances of Callback", "print"],
    ),
    "early_stopping_mode": (
        lambda m: m.fit(X, Y, callbacks=[cc.callbacks.EarlyStopping(mode="best")]),
        ValueError,
        ["mode", "'best'"],
    ),
    "generator_exhausted": (lambda m: m.evaluate(iter(())), ValueError, ['model "net"', "gave none"]),
    "batches_without_targets": (lambda m: m.fit(Broken()), ValueError, ["(x, y)", "no targets"]),
    "batch_of_four": (lambda m: m.fit(iter([(X, Y, Y, Y)])), ValueError, ["(x, y, sample_weight)", "tuple of 4"]),
    # -- weights of samples and classes --
    "sample_weight_length": (
        lambda m: m.fit(X, Y, sample_weight=np.ones(5)),
        ValueError,
        ['output "head"', "sample_weight", "(12,)", "(5,)"],
    ),
    "sample_weight_negative": (
        lambda m: m.fit(X, Y, sample_weight=-np.ones(12)),
        ValueError,
        ['output "head"', "sample_weight", "not negative", "-1"],
    ),
    "sample_weight_nan": (
        lambda m: m.fit(X, Y, sample_weight=NAN),
        ValueError,
        ['output "head"', "sample_weight", "finite", "nan"],
    ),
    "sample_weight_of_iterable": (
        lambda m: m.fit(iter([(X, Y)]), sample_weight=np.ones(12)),
        ValueError,
        ['model "net"', "sample_weight must be left out"],
    ),
    "class_weight_list": (
        lambda m: m.fit(X, Y, class_weight=[1, 2]),
        ValueError,
        ['model "net"', "class_weight", "dict", "list"],
    ),
    "class_weight_key": (
        lambda m: m.fit(X, Y, class_weight={"cat": 1.0}),
        ValueError,
        ['model "net"', "class_weight", "'cat'"],
    ),
    "class_weight_value": (
        lambda m: m.fit(X, Y, class_weight={0: -1.0}),
        ValueError,
        ['model "net"', "class_weight", "-1.0 for class 0"],
    ),
    "class_weight_class": (
        lambda m: m.fit(X, Y, class_weight={0: 1.0, 7: 2.0}),
        ValueError,
        ['model "net"', "class_weight", "7", "4 classes"],
    ),
    # -- compile --
    "optimizer": (
        lambda m: m.compile("sgdd", "mse"),
        ValueError,
        ["optimizer 'sgdd' is unknown", "SGD", "did you mean"],
    ),
    "optimizer_type": (lambda m: m.compile(3, "mse"), ValueError, ["optimizer", "3"]),
    "no_optimizer": (lambda m: m.compile(None, "mse"), ValueError, ['model "net"', "optimizer"]),
    "loss": (
        lambda m: m.compile("sgd", "crossentropy"),
        ValueError,
        ["loss 'crossentropy' is unknown", "CategoricalCrossentropy"],
    ),
    "loss_function": (lambda m: m.compile("sgd", lambda a, b: 0), ValueError, ["loss", "Python function"]),
    "no_loss": (
        lambda m: m.compile("sgd"),
        ValueError,
        ['model "net"', "loss must be given", "sparse_categorical_crossentropy"],
    ),
    "losses": (lambda m: m.compile("sgd", ["mse", "mse"]), ValueError, ['model "net"', "loss", "head", "2"]),
    "loss_output": (
        lambda m: m.compile("sgd", {"tail": "mse"}),
        ValueError,
        ['model "net"', "'tail'", "the outputs are head"],
    ),
    "loss_weight": (
        lambda m: m.compile("sgd", "mse", loss_weights=["much"]),
        ValueError,
        ['model "net"', "loss weight of head", "'much'"],
    ),
    "metric": (lambda m: m.compile("sgd", "mse", metrics=["acuracy"]), ValueError, ["metric 'acuracy' is unknown"]),
    "metric_output": (
        lambda m: m.compile("sgd", "mse", metrics={"tail": ["mae"]}),
        ValueError,
        ['model "net"', "'tail'", "head"],
    ),
    "seed_of_compile": (lambda m: m.compile("sgd", "mse", seed="x"), ValueError, ["seed", "'x'"]),
    "learning_rate": (lambda m: optimizers.SGD(-0.1), ValueError, ["SGD", "learning_rate", ">= 0", "-0.1"]),
    "learning_rate_set": (
        lambda m: setattr(m.optimizer, "learning_rate", "fast"),
        ValueError,
        ["SGD", "learning_rate", "'fast'"],
    ),
    "momentum": (lambda m: optimizers.SGD(momentum=2), ValueError, ["SGD", "momentum", "0 to 1", "2"]),
    "nesterov": (lambda m: optimizers.SGD(nesterov=1), ValueError, ["SGD", "nesterov", "True or False", "1"]),
    "betas": (lambda m: optimizers.Adam(beta_1=1.0), ValueError, ["Adam", "beta_1", "1.0"]),
    "clippings": (
        lambda m: optimizers.Adam(clipnorm=1.0, clipvalue=1.0),
        ValueError,
        ["Adam", "only one of clipnorm, clipvalue and global_clipnorm"],
    ),
    "clipnorm": (lambda m: optimizers.SGD(clipnorm=0), ValueError, ["SGD", "clipnorm", "> 0", "0"]),
    "weight_decay_of_adamw": (
        lambda m: optimizers.AdamW(weight_decay=None),
        ValueError,
        ["AdamW", "weight_decay", "use Adam"],
    ),
    "smoothing": (
        lambda m: losses.CategoricalCrossentropy(label_smoothing=1.5),
        ValueError,
        ["label_smoothing", "0 to 1", "1.5"],
    ),
    "reduction": (
        lambda m: losses.MeanSquaredError(reduction="average"),
        ValueError,
        ["reduction", "'average'", "sum_over_batch_size"],
    ),
    # -- layers --
    "kernel_too_large": (lambda m: layers.Conv2D(4, 9, name="big")(m.input), ValueError, ['"big"', "9x9", "8x8"]),
    "pool_too_large": (
        lambda m: layers.MaxPooling2D(9, name="big")(m.input),
        ValueError,
        ['"big"', "9", "8", 'padding "same" or a smaller pool_size'],
    ),
    "depthwise_too_large": (
        lambda m: layers.DepthwiseConv2D(9, name="big")(m.input),
        ValueError,
        ['"big"', "9", "8", 'padding "same" or a smaller kernel_size'],
    ),
    "crop_too_large": (lambda m: layers.Cropping2D(4, name="crop")(m.input), ValueError, ['"crop"', "8"]),
    "filters": (lambda m: layers.Conv2D(0, 3, name="c"), ValueError, ['Conv2D "c"', "filters", ">= 1", "0"]),
    "kernel_size": (
        lambda m: layers.Conv2D(4, (3, 3, 3), name="c"),
        ValueError,
        ['Conv2D "c"', "kernel_size", "(3, 3, 3)"],
    ),
    "strides": (
        lambda m: layers.Conv2D(4, 3, strides=0, name="c"),
        ValueError,
        ['Conv2D "c"', "strides", "at least 1", "0"],
    ),
    "padding": (
        lambda m: layers.Conv2D(4, 3, padding="full", name="c"),
        ValueError,
        ['Conv2D "c"', "padding", '"same"', "'full'"],
    ),
    "data_format": (
        lambda m: layers.Conv2D(4, 3, data_format="channels_first", name="c"),
        ValueError,
        ['Conv2D "c"', "channels_last", "transpose"],
    ),
    "groups": (
        lambda m: layers.Conv2D(4, 3, groups=2, name="c")(m.input),
        ValueError,
        ['"c"', "groups must divide the channels", "2", "3"],
    ),
    "groups_of_filters": (
        lambda m: layers.Conv2D(4, 3, groups=3, name="c"),
        ValueError,
        ['Conv2D "c"', "groups must divide filters", "3", "4"],
    ),
    "activation": (
        lambda m: layers.Dense(3, activation="relo"),
        ValueError,
        ["activation", "'relo'", "did you mean 'relu'"],
    ),
    "activation_function": (lambda m: layers.Dense(3, activation=np.tanh), ValueError, ["activation", "ufunc"]),
    "initializer": (
        lambda m: layers.Dense(3, kernel_initializer="glorot"),
        ValueError,
        ["initializer 'glorot' is unknown"],
    ),
    "regularizer": (lambda m: layers.Dense(3, kernel_regularizer="l3"), ValueError, ["regularizer 'l3' is unknown"]),
    "unknown_argument": (lambda m: layers.Dense(3, unit=4), TypeError, ["Dense", "unknown argument unit"]),
    "units": (lambda m: layers.Dense(2.5, name="d"), ValueError, ['Dense "d"', "units", "2.5"]),
    "rate": (lambda m: layers.Dropout(1.5, name="d"), ValueError, ['Dropout "d"', "rate", "0 to 1", "1.5"]),
    "noise_shape": (
        lambda m: layers.Dropout(0.5, noise_shape=(1, 2), name="d")(m.input),
        ValueError,
        ['"d"', "noise_shape", "(1, 2)"],
    ),
    "not_images": (
        lambda m: layers.Conv2D(4, 3, name="c")(cc.Input((5,))),
        ValueError,
        ['"c"', "(n, height, width, channels)", "(None, 5)"],
    ),
    "other_channels": (lambda m: m.get_layer("stem")(cc.Input((8, 8, 5))), ValueError, ['"stem"', "3", "5"]),
    "add_shapes": (
        lambda m: layers.Add(name="sum")([cc.Input((4,)), cc.Input((5,))]),
        ValueError,
        ['"sum"', "equal shapes", "(None, 4)", "(None, 5)"],
    ),
    "add_one": (lambda m: layers.Add(name="sum")([cc.Input((4,))]), ValueError, ['"sum"', "at least 2 inputs", "1"]),
    "concatenate_shapes": (
        lambda m: layers.Concatenate(name="cat")([m.input, cc.Input((7, 8, 3))]),
        ValueError,
        ['"cat"', "axis -1", "(None, 7, 8, 3)"],
    ),
    "concatenate_axis": (lambda m: layers.Concatenate(axis=0, name="cat"), ValueError, ['"cat"', "axis", "the batch"]),
    "reshape": (lambda m: layers.Reshape((5, 5), name="r")(m.input), ValueError, ['"r"', "(5, 5)", "192"]),
    "reshape_rule": (lambda m: layers.Reshape((-1, -1), name="r"), ValueError, ['"r"', "-1"]),
    "dtype": (lambda m: layers.Dense(3, dtype="float64"), ValueError, ["Dense", "float32", "'float64'"]),
    "layer_name": (lambda m: layers.Dense(3, name="a/b"), ValueError, ["Dense", "name", "'a/b'"]),
    "input_shape": (lambda m: cc.Input((None, None, 3)), ValueError, ["Input", "shape", "None"]),
    "input_scalar": (lambda m: cc.Input(28), ValueError, ["Input", "tuple", "28"]),
    "input_dtype": (lambda m: cc.Input((3,), dtype="int32"), ValueError, ["Input", "dtype", "'int32'"]),
    "no_layers_result": (lambda m: layers.Dense(3, name="d")([]), ValueError, ['"d"', "inputs must not be empty"]),
    "bytes_as_image": (lambda m: layers.Conv2D(4, 3, name="c")("image.png"), ValueError, ['"c"', "numbers"]),
    "no_batch_for_a_layer": (lambda m: layers.Dense(3, name="d")(3.0), ValueError, ['"d"', "batch dimension", "()"]),
    # -- models and files --
    "weights": (lambda m: m.set_weights([np.zeros(3)]), ValueError, ['model "net"', "8 arrays", "1"]),
    "weight_shape": (
        lambda m: m.get_layer("head").set_weights([np.zeros((4, 4)), np.zeros(5)]),
        ValueError,
        ['layer "head"', "head/bias", "(4,)", "(5,)"],
    ),
    "assign": (lambda m: m.weights[0].assign(np.zeros(3)), ValueError, ["stem/kernel", "(3, 3, 3, 4)", "(3,)"]),
    "trainable": (lambda m: setattr(m, "trainable", "no"), ValueError, ['model "net"', "trainable", "'no'"]),
    "get_layer": (lambda m: m.get_layer("steam"), ValueError, ['model "net"', "'steam'", "did you mean 'stem'"]),
    "get_layer_index": (lambda m: m.get_layer(index=9), ValueError, ['model "net"', "6 layers", "9"]),
    "missing_file": (lambda m: m.load_weights("/nowhere/weights.cnn"), FileNotFoundError, ["/nowhere/weights.cnn"]),
    "missing_model": (lambda m: cc.load_model("/nowhere/model.cnn"), FileNotFoundError, ["/nowhere/model.cnn"]),
    "describe": (lambda m: m.describe(batch_size=0), ValueError, ['model "net"', "batch_size", ">= 1", "0"]),
    "set_threads": (lambda m: cc.set_threads(-1), ValueError, ["threads must be 1 to", "-1"]),
    "set_isa": (lambda m: cc.set_isa("mmx"), ValueError, ["'mmx' is not available", "generic"]),
    "set_random_seed": (lambda m: cc.utils.set_random_seed("x"), ValueError, ["seed", "'x'"]),
}


@pytest.mark.parametrize("name", USES)
def test_wrong_use_is_refused_and_changes_nothing(model, name, capsys):
    use, exception, parts = USES[name]
    before = _state(model)
    with pytest.raises(exception) as caught:
        use(model)
    message = str(caught.value)
    for part in parts:
        assert part in message, message
    assert _state(model) == before
    assert model.predict(X, verbose=0).shape == (12, 4)  # and it still works
    losses = model.fit(X, Y, verbose=0).history["loss"]
    assert np.isfinite(losses).all()


@pytest.mark.parametrize(
    "name, use, parts",
    [
        ("fit", lambda m: m.fit(X, Y), ["must be compiled first", "model.compile("]),
        ("evaluate", lambda m: m.evaluate(X, Y), ["must be compiled first"]),
        ("train_on_batch", lambda m: m.train_on_batch(X, Y), ["must be compiled first"]),
        ("describe", lambda m: m.describe(training=True), ["must be compiled first"]),
    ],
)
def test_training_needs_compile(name, use, parts):
    model = cc.Sequential([cc.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4)], name="raw")
    with pytest.raises(RuntimeError) as caught:
        use(model)
    for part in ['model "raw"', *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "use",
    [
        lambda m: m.summary(),
        lambda m: m.describe(),
        lambda m: m.memory(),
        lambda m: m.save("/nowhere/m.cnn"),
        lambda m: m.fit(),
    ],
)
def test_a_model_without_a_shape_says_how_to_give_one(use):
    model = cc.Sequential([layers.Dense(4)], name="raw")
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match='model "raw": .*(Input\\(shape\\)|must be given)'):
        use(model)
    with pytest.raises(ValueError, match="has no named inputs yet, got a dict of a; begin it with Input"):
        model.predict({"a": X})


def test_the_sentences_of_one_hot_and_binary_targets():
    model = cc.Sequential([cc.Input((4,)), layers.Dense(3, activation="softmax", name="head")], name="net")
    x = np.zeros((5, 4))
    for loss, y, parts in (
        ("categorical_crossentropy", np.zeros(5, int), ["(5, 3)", "(5,)", "sparse_categorical_crossentropy"]),
        ("binary_crossentropy", np.full((5, 3), 2.0), ["0 to 1", "2.0", "sample 0"]),
        ("mse", np.full((5, 3), np.inf), ["finite", "inf", "sample 0"]),
        ("mse", np.zeros((5, 2)), ["(5, 3)", "(5, 2)"]),
    ):
        model.compile("sgd", loss)
        with pytest.raises(ValueError) as caught:
            model.fit(x, y)
        for part in ['output "head"', *parts]:
            assert part in str(caught.value)


def test_class_weight_needs_one_output():
    inputs = cc.Input((4,))
    model = cc.Model(inputs, [layers.Dense(3)(inputs), layers.Dense(2)(inputs)], name="two")
    model.compile("sgd", "mse")
    x = np.zeros((5, 4))
    with pytest.raises(
        ValueError, match='model "two": class_weight must be used with one output, this model has 2; use sample_weight'
    ):
        model.fit(x, [np.zeros((5, 3)), np.zeros((5, 2))], class_weight={0: 1.0})
    with pytest.raises(ValueError, match='model "two": y must be a list of 2 arrays'):
        model.fit(x, np.zeros((5, 3)))
    with pytest.raises(ValueError, match="loss_weights must be a list or a dict with a weight per output"):
        model.compile("sgd", "mse", loss_weights=2.0)


@pytest.mark.parametrize("damage", ["empty", "short", "length", "json", "text", "metadata"])
def test_damaged_files_are_refused(tmp_path, damage, model):
    path = tmp_path / "model.cnn"
    model.save(path)
    data = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "short": data[:-5],
            "length": b"\xff" * 8 + data[8:],
            "json": data[:8] + b"x" + data[9:],
            "text": b"not a model at all",
            "metadata": data.replace(b"cnncore-1", b"keras---1"),
        }[damage]
    )
    before = _state(model)
    with pytest.raises(ValueError, match="model.cnn"):
        cc.load_model(path)
    with pytest.raises(ValueError, match="model.cnn"):
        model.load_weights(path)
    assert _state(model) == before
