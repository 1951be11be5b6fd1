"""The graph API: functional models, Sequential, several inputs and outputs, shared layers, nested models."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import layers
from cnncore.layers.base import clear_names

DRAW = np.random.default_rng(0)
IMAGES = DRAW.normal(size=(8, 6, 6, 2)).astype(np.float32)
LABELS = DRAW.integers(0, 3, 8)


def _net(**arguments):
    inputs = cc.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, name="first")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return cc.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x), **arguments)


def _compiled(model, loss="sparse_categorical_crossentropy", **arguments):
    model.compile(cc.optimizers.SGD(0.1), loss, seed=1, **arguments)
    return model


# ---- tensors and calls ----


def test_symbolic_tensors_have_shapes_types_and_names_but_no_values():
    inputs = cc.Input((6, 6, 2), name="image", dtype="uint8")
    assert inputs.shape == (None, 6, 6, 2) and inputs.dtype == "uint8" and inputs.name == "image" and inputs.ndim == 4
    y = layers.Conv2D(4, 3, strides=2, name="stem")(inputs)
    assert y.shape == (None, 2, 2, 4) and y.dtype == "float32" and y.name == "stem" and "stem" in repr(y)
    for use in (np.asarray, bool, float, len, list):
        with pytest.raises(TypeError, match='tensor "stem" is symbolic and has no value; build a Model'):
            use(y)


def test_names_count_up():
    clear_names()
    assert [layers.Dense(1).name for _ in range(3)] == ["dense", "dense_1", "dense_2"]
    assert (
        layers.Conv2DTranspose(1, 1).name == "conv2d_transpose"
        and layers.ReLU().name == "re_lu"
        and layers.ELU().name == "elu"
    )
    assert layers.Conv2D(1, 1, name="mine").name == "mine" and layers.MaxPooling2D().name == "max_pooling2d"


def test_names_in_a_model_are_unique():
    inputs = cc.Input((4,))
    x = layers.Dense(3, name="twin")(inputs)
    with pytest.raises(
        ValueError, match='layer names must be unique, got "twin" twice; give the layers name= arguments'
    ):
        cc.Model(inputs, layers.Dense(3, name="twin")(x))


def test_models_are_found_by_their_layers_names():
    model = _net()
    assert model.get_layer("first") is model.layers[1] and model.get_layer(index=2).name == "norm"
    with pytest.raises(ValueError, match="there is no layer 'frist'; did you mean 'first'.*it has"):
        model.get_layer("frist")


def test_outputs_must_follow_from_the_inputs():
    a, b = cc.Input((4,), name="a"), cc.Input((4,), name="b")
    y = layers.Add()([a, b])
    with pytest.raises(
        ValueError, match='depends on the input "b", which is not among the inputs \\(a\\); add it to inputs'
    ):
        cc.Model(a, y)
    with pytest.raises(ValueError, match="inputs must come from Input"):
        cc.Model(y, layers.Dense(1)(y))
    with pytest.raises(ValueError, match="each input must be given once"):
        cc.Model([a, a], y)
    with pytest.raises(ValueError, match="outputs must be symbolic tensors.*got ndarray"):
        cc.Model(a, np.zeros(3))
    with pytest.raises(ValueError, match="outputs must not be empty"):
        cc.Model(a, [])


def test_layers_and_models_compute_on_arrays():
    model = _net()
    x = IMAGES
    for layer in model.layers[1:]:
        x = layer(x)
        assert isinstance(x, np.ndarray)
    np.testing.assert_allclose(x, model.predict(IMAGES, verbose=0), rtol=1e-5)
    np.testing.assert_array_equal(model(IMAGES), model.predict(IMAGES, verbose=0))
    programs = len(model._programs)
    model(IMAGES)
    assert len(model._programs) == programs  # nothing is compiled anew
    with pytest.raises(ValueError, match="a call on arrays computes inference; use fit"):
        layers.Dropout(0.5)(IMAGES, training=True)
    with pytest.raises(TypeError, match="all symbolic tensors or all arrays"):
        layers.Add()([IMAGES, cc.Input((6, 6, 2))])


# ---- several inputs and outputs ----


def _two_by_two(structure):
    a, b = cc.Input((4,), name="a"), cc.Input((3,), name="b")
    x = layers.Dense(2, name="x")(a)
    y = layers.Dense(2, name="y")(layers.Concatenate()([a, b]))
    return cc.Model({"a": a, "b": b}, {"left": x, "right": y}) if structure is dict else cc.Model([a, b], [x, y])


A, B = DRAW.normal(size=(8, 4)).astype(np.float32), DRAW.normal(size=(8, 3)).astype(np.float32)


@pytest.mark.parametrize("structure", [list, dict])
def test_several_inputs_and_outputs(structure):
    model = _compiled(_two_by_two(structure), "mse", metrics=["mae"])
    names = ["left", "right"] if structure is dict else ["x", "y"]
    assert model.output_names == names and model.input_names == ["a", "b"]
    assert model.input_shape == [(None, 4), (None, 3)] and model.output_shape == [(None, 2), (None, 2)]
    results = [model.predict(x, verbose=0) for x in ([A, B], {"a": A, "b": B}, {"b": B, "a": A})] + [
        model.predict_on_batch([A, B]),
        model([A, B]),
    ]
    for result in results:
        values = list(result.values()) if structure is dict else result
        assert type(result) is structure and (structure is list or list(result) == names)
        for value, first in zip(values, results[0].values() if structure is dict else results[0]):
            np.testing.assert_array_equal(value, first)
    y = [np.ones((8, 2)), np.zeros((8, 2))]
    logs = model.evaluate([A, B], y, verbose=0, return_dict=True)
    assert model.evaluate([A, B], dict(zip(names[::-1], y[::-1])), verbose=0, return_dict=True) == logs
    assert logs["loss"] == pytest.approx(logs[f"{names[0]}_loss"] + logs[f"{names[1]}_loss"])
    history = model.fit({"a": A, "b": B}, y, batch_size=4, verbose=0, epochs=2).history
    assert history["loss"][1] < history["loss"][0]
    again = cc.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    result, expected = again.predict({"b": B, "a": A}, verbose=0), model.predict([A, B], verbose=0)
    for key in names if structure is dict else range(2):
        np.testing.assert_array_equal(result[key], expected[key])


def test_a_tensor_may_be_an_output_twice_and_an_input_an_output():
    inputs = cc.Input((4,))
    y = layers.Dense(2, activation="relu")(inputs)
    model = cc.Model(inputs, [y, y, inputs, layers.Flatten()(y)])
    a, b, c, d = model.predict(A, verbose=0)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(c, A)
    np.testing.assert_array_equal(d, a)
    assert len(set(model.output_names)) == 4


def test_a_loss_for_some_outputs():
    model = _two_by_two(list)
    model.compile("sgd", ["mse", None])
    before = model.get_layer("y").get_weights()
    model.train_on_batch([A, B], [np.ones((8, 2))])
    np.testing.assert_array_equal(model.get_layer("y").get_weights()[0], before[0])
    model.compile("sgd", {"y": "mse"})
    model.train_on_batch([A, B], {"y": np.ones((8, 2))})
    assert (model.get_layer("y").get_weights()[0] != before[0]).any()


# ---- shared layers, nested models ----


def test_a_shared_layer_gets_the_sum_of_its_gradients():
    """d/dw of (w a)^2 + (w b)^2, by hand."""
    a, b = cc.Input((1,)), cc.Input((1,))
    shared = layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = cc.Model([a, b], [shared(a), shared(b)])
    assert len(model.weights) == 1 and len(set(model.output_names)) == 2
    model.compile(cc.optimizers.SGD(0.1), "mse")
    model.train_on_batch([np.array([[2.0]]), np.array([[3.0]])], [np.zeros((1, 1))] * 2)
    np.testing.assert_allclose(model.get_weights()[0], [[1 - 0.1 * (2 * 4 + 2 * 9)]], rtol=1e-6)


def test_a_layer_twice_in_a_chain():
    """The same weights before and after: y = w (w x); d/dw (w^2 x)^2 = 4 w^3 x^2."""
    inputs = cc.Input((1,))
    shared = layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = cc.Model(inputs, shared(shared(inputs)))
    model.compile(cc.optimizers.SGD(0.01), "mse")
    model.train_on_batch(np.array([[2.0]]), np.zeros((1, 1)))
    np.testing.assert_allclose(model.get_weights()[0], [[1 - 0.01 * 4 * 4]], rtol=1e-6)
    again = cc.Model.from_config(model.get_config())
    assert len(again.weights) == 1


def test_nested_models_share_weights_and_train():
    inner = _net(name="inner")
    inputs = cc.Input((6, 6, 2))
    outer = _compiled(cc.Model(inputs, layers.Dense(3, activation="softmax", name="top")(inner(inputs))))
    assert outer.layers[1] is inner and outer.count_params() == inner.count_params() + 12
    before = inner.get_weights()
    outer.fit(IMAGES, LABELS, verbose=0)
    assert all((a != b).any() for a, b in zip(inner.get_weights(), before))
    top = outer.get_layer("top")
    np.testing.assert_allclose(outer.predict(IMAGES, verbose=0), top(inner.predict(IMAGES, verbose=0)), rtol=1e-5)
    again = cc.Model.from_config(outer.get_config())
    again.set_weights(outer.get_weights())
    np.testing.assert_array_equal(again.predict(IMAGES, verbose=0), outer.predict(IMAGES, verbose=0))


def test_nested_models_that_are_frozen_stay_as_they_are():
    inner = _net(name="inner")
    inner.trainable = False
    assert inner.trainable_weights == [] and all(not layer.trainable for layer in inner.layers)
    inputs = cc.Input((6, 6, 2))
    outer = _compiled(cc.Model(inputs, layers.Dense(3, activation="softmax")(inner(inputs))))
    assert len(outer.trainable_weights) == 2
    before = inner.get_weights()
    outer.fit(IMAGES, LABELS, verbose=0, epochs=2)
    for a, b in zip(inner.get_weights(), before):
        np.testing.assert_array_equal(a, b)  # moving averages too
    inner.trainable = True
    outer.fit(IMAGES, LABELS, verbose=0)
    assert all((a != b).any() for a, b in zip(inner.get_weights(), before))


def test_a_model_called_with_training_false_keeps_its_statistics_but_learns():
    inner = _net(name="inner")
    inputs = cc.Input((6, 6, 2))
    outer = _compiled(cc.Model(inputs, layers.Dense(3, activation="softmax")(inner(inputs, training=False))))
    norm = inner.get_layer("norm")
    before, kernel = norm.get_weights(), inner.get_layer("first").get_weights()[0]
    outer.fit(IMAGES, LABELS, verbose=0)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), before[2])
    np.testing.assert_array_equal(norm.moving_variance.numpy(), before[3])
    assert (norm.gamma.numpy() != before[0]).any() and (inner.get_layer("first").get_weights()[0] != kernel).any()
    assert '"training": false' in __import__("json").dumps(outer.get_config())


def test_training_may_be_fixed_for_a_call():
    inputs = cc.Input((64,))
    dropout = layers.Dropout(0.5)
    model = cc.Model(inputs, [dropout(inputs), dropout(inputs, training=True)])
    off, on = model.predict(np.ones((4, 64)), verbose=0)
    assert (off == 1).all() and set(np.unique(on)) == {0.0, 2.0}
    trained = cc.Model(inputs, [dropout(inputs), dropout(inputs, training=False)])
    trained.compile("sgd", "mse")
    logs = trained.train_on_batch(np.ones((4, 64)), [np.ones((4, 64))] * 2, return_dict=True)
    losses = [value for key, value in logs.items() if key != "loss"]
    assert losses[0] == pytest.approx(1) and losses[1] == 0


def test_models_that_share_layers_train_in_turns():
    """A backbone with two heads, each its own model and optimizer: both see the other's steps, optimizer state stays
    with its model."""
    inputs = cc.Input((6, 6, 2))
    body = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu", name="body")(inputs))
    classes = cc.Model(inputs, layers.Dense(3, activation="softmax", name="classes")(body))
    number = cc.Model(inputs, layers.Dense(1, name="number")(body))
    classes.compile(cc.optimizers.Adam(0.01), "sparse_categorical_crossentropy", seed=1)
    number.compile(cc.optimizers.SGD(0.01, momentum=0.9), "mse", seed=1)
    values = LABELS[:, None].astype(np.float32)
    kernels = [classes.get_layer("body").kernel.numpy()]
    losses = []
    for _ in range(30):
        losses.append((classes.train_on_batch(IMAGES, LABELS), number.train_on_batch(IMAGES, values)))
        kernels.append(classes.get_layer("body").kernel.numpy())
    assert all((a != b).any() for a, b in zip(kernels, kernels[1:]))
    assert losses[-1][0] < losses[0][0] and losses[-1][1] < losses[0][1]
    assert number.get_layer("body").kernel is classes.get_layer("body").kernel
    assert classes.optimizer.iterations == number.optimizer.iterations == 30
    np.testing.assert_array_equal(
        cc.Model(inputs, body).predict(IMAGES, verbose=0),
        cc.Model(classes.input, classes.layers[2].output).predict(IMAGES, verbose=0),
    )


def test_a_model_of_a_models_tensors():
    base = _net()
    features = cc.Model(base.input, base.get_layer("pool").output)
    np.testing.assert_allclose(
        base.get_layer("head")(features.predict(IMAGES, verbose=0)), base.predict(IMAGES, verbose=0), rtol=1e-5
    )
    assert base.output.shape == (None, 3) and base.input is base.inputs[0]


def test_one_optimizer_serves_one_model():
    optimizer = cc.optimizers.SGD(0.1, momentum=0.9)
    a, b = _net(), _net()
    for model in (a, b):
        model.compile(optimizer, "sparse_categorical_crossentropy")
    a.train_on_batch(IMAGES, LABELS)
    before = b.get_weights()
    with pytest.raises(
        ValueError,
        match="must serve one model, got the weights of a second one; compile each model with an optimizer of its own",
    ):
        b.train_on_batch(IMAGES, LABELS)
    for x, y in zip(b.get_weights(), before):
        np.testing.assert_array_equal(x, y)


# ---- Sequential ----


def _layers():
    return [layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3, activation="softmax")]


@pytest.mark.parametrize("begin", ["Input", "InputLayer", "input_shape", "build", "data", "call"])
def test_sequential_is_built_in_each_way(begin):
    parts = _layers()
    if begin == "Input":
        parts = [cc.Input((6, 6, 2)), *parts]
    elif begin == "InputLayer":
        parts = [layers.InputLayer(shape=(6, 6, 2)), *parts]
    elif begin == "input_shape":
        parts = [layers.Conv2D(4, 3, activation="relu", input_shape=(6, 6, 2)), *parts[1:]]
    model = cc.Sequential(parts)
    assert model.built == (begin in ("Input", "InputLayer", "input_shape"))
    if begin == "build":
        model.build((None, 6, 6, 2))
    elif begin == "call":
        assert model(cc.Input((6, 6, 2))).shape == (None, 3)
    _compiled(model, metrics=["accuracy"])
    history = model.fit(IMAGES, LABELS, verbose=0, epochs=3).history
    assert history["loss"][-1] < history["loss"][0] and len(history["accuracy"]) == 3
    assert model.output_shape == (None, 3) and len(model.layers) == 3 and model.count_params() == 76 + 195
    again = cc.Sequential.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0))


def test_sequential_compiled_before_it_is_built_equals_one_built_before():
    results = []
    for early in (True, False):
        cc.utils.set_random_seed(3)
        model = cc.Sequential(_layers())
        if early:
            model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], seed=5)
        model.build((None, 6, 6, 2))
        if not early:
            model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], seed=5)
        results.append((model.fit(IMAGES, LABELS, batch_size=3, epochs=2, verbose=0).history, model.get_weights()))
    assert results[0][0] == results[1][0]
    for a, b in zip(results[0][1], results[1][1]):
        np.testing.assert_array_equal(a, b)


def test_add_and_pop():
    model = cc.Sequential([cc.Input((6, 6, 2))])
    assert not model.built
    for layer in _layers():
        model.add(layer)
    assert model.output_shape == (None, 3)
    kernel = model.layers[0].kernel
    assert model.pop().units == 3 and model.output_shape == (None, 64) and len(model.layers) == 2
    model.add(layers.Dense(5))
    assert model.predict(IMAGES, verbose=0).shape == (8, 5) and model.layers[0].kernel is kernel
    for _ in range(3):
        model.pop()
    assert model.layers == [] and not model.built
    with pytest.raises(ValueError, match="has no layer to remove"):
        model.pop()
    with pytest.raises(ValueError, match="has no layers; add"):
        model.predict(IMAGES, verbose=0)
    model.add(layers.Flatten())
    assert model.predict(IMAGES, verbose=0).shape == (8, 72)


def test_a_nested_model_that_grows_takes_its_new_weights_along():
    """A layer that was built elsewhere makes no new variable, yet the outer model must find it."""
    inputs = cc.Input((6, 6, 2))
    inner = cc.Sequential([cc.Input((6, 6, 2)), layers.Flatten()])
    outer = cc.Model(inputs, inner(inputs))
    known = layers.Dense(72, kernel_initializer="ones")
    known(cc.Input((72,)))
    assert outer.predict(IMAGES, verbose=0).shape == (8, 72)
    inner.add(known)
    np.testing.assert_allclose(
        outer.predict(IMAGES, verbose=0)[:, 0], IMAGES.reshape(8, -1).sum(1), rtol=1e-4, atol=1e-4
    )


def test_a_list_of_one_array_is_that_array():
    model = _compiled(_net())
    assert model.evaluate([IMAGES], [LABELS], verbose=0) == model.evaluate(IMAGES, LABELS, verbose=0)
    np.testing.assert_array_equal(model.predict((IMAGES,), verbose=0), model.predict(IMAGES, verbose=0))


def test_adding_to_a_compiled_model():
    model = _compiled(cc.Sequential([cc.Input((6, 6, 2)), *_layers()[:2]]), "mse", metrics=["mae"])
    model.fit(IMAGES, np.zeros((8, 64)), verbose=0)
    model.add(layers.Dense(2))
    assert set(model.fit(IMAGES, np.zeros((8, 2)), verbose=0).history) == {"loss", "mae"}


def test_a_layer_without_weights_added_after_a_prediction_is_in_the_next_one():
    model = cc.Sequential([cc.Input((6, 6, 2)), layers.Flatten(), layers.Dense(4)])
    before = model.predict_on_batch(IMAGES)
    model.add(layers.ReLU())
    assert before.min() < 0
    np.testing.assert_array_equal(model.predict_on_batch(IMAGES), np.maximum(before, 0))
    model.pop()
    model.add(layers.Rescaling(2.0))
    np.testing.assert_array_equal(model.predict_on_batch(IMAGES), 2 * before)


def test_sequential_in_sequential_and_in_a_model():
    body = cc.Sequential([layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D()], name="body")
    model = _compiled(cc.Sequential([cc.Input((6, 6, 2)), body, layers.Dense(3, activation="softmax")]))
    history = model.fit(IMAGES, LABELS, verbose=0, epochs=3).history["loss"]
    assert history[-1] < history[0] and model.layers[0] is body and len(model.weights) == 4
    begun_by_a_model = cc.Sequential([_net(), layers.Dense(2)])
    assert begun_by_a_model.predict(IMAGES, verbose=0).shape == (8, 2)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda m: m.add("dense"), "needs layers, got 'dense'"),
        (lambda m: m.add(cc.Input((3,))), "Input must come first"),
        (lambda m: m.add(m.layers[0]), "layer names must be unique"),
        (lambda m: m.add(layers.Conv2D(4, 3)), "must be images"),
    ],
)
def test_what_sequential_refuses(wrong, message):
    model = cc.Sequential([cc.Input((4,)), layers.Dense(3)])
    before = list(model.layers), model.output_shape
    with pytest.raises(ValueError, match=message):
        wrong(model)
    assert (list(model.layers), model.output_shape) == before
    assert model.predict(A, verbose=0).shape == (8, 3)


def test_images_without_a_channel_axis_get_one():
    gray = DRAW.normal(size=(5, 6, 6)).astype(np.float32)
    model = cc.Sequential([layers.Conv2D(4, 3), layers.GlobalMaxPooling2D()])
    y = model.predict(gray, verbose=0)
    assert model.input_shape == (None, 6, 6, 1)
    np.testing.assert_array_equal(y, model.predict(gray[..., None], verbose=0))
    assert cc.Sequential([layers.Flatten(), layers.Dense(2)]).predict(gray, verbose=0).shape == (5, 2)


def test_the_first_thing_a_model_does_may_be_a_view():
    """Flatten of the input itself."""
    model = cc.Sequential([cc.Input((6, 6, 2)), layers.Flatten(), layers.Dense(3, use_bias=False)])
    np.testing.assert_allclose(
        model.predict(IMAGES, verbose=0), IMAGES.reshape(8, -1) @ model.get_weights()[0], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(
        cc.Sequential([cc.Input((6, 6, 2)), layers.Flatten()]).predict(IMAGES, verbose=0), IMAGES.reshape(8, -1)
    )
    np.testing.assert_array_equal(
        cc.Sequential([cc.Input((72,)), layers.Reshape((6, 6, 2))]).predict(IMAGES.reshape(8, -1), verbose=0), IMAGES
    )


# ---- weights ----


def test_weights_are_set_all_or_none():
    model = _net()
    before = model.get_weights()
    wrong = [w + 1 for w in before[:-1]] + [np.zeros(7)]
    with pytest.raises(ValueError, match=r"the weight for head/bias must have shape \(3,\), got \(7,\)"):
        model.set_weights(wrong)
    for a, b in zip(model.get_weights(), before):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="weights must be a list of 8 arrays, got 1"):
        model.set_weights(before[:1])


def test_assigned_weights_are_used_at_once():
    model = _net()
    before = model.predict(IMAGES, verbose=0)
    model.get_layer("norm").gamma.assign(np.full(4, 3.0))  # folded into the convolution in inference
    after = model.predict(IMAGES, verbose=0)
    assert (before != after).any()
    model.get_layer("norm").gamma.assign(np.ones(4))
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), before)


def test_the_order_of_weights_is_that_of_the_layers():
    model = _net()
    assert [v.path for v in model.weights] == [
        "first/kernel",
        "first/bias",
        "norm/gamma",
        "norm/beta",
        "norm/moving_mean",
        "norm/moving_variance",
        "head/kernel",
        "head/bias",
    ]
    assert len(model.trainable_weights) == 6 and model.count_params() == 76 + 16 + 15
    with pytest.raises(AttributeError, match="layers cannot be replaced"):
        model.layers = []
