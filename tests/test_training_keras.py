"""fit, evaluate and predict give the numbers of Keras 3: losses, metrics, optimizers, weights, penalties."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import layers
from training_models import LABELS, ONE_HOT, WEIGHTS, N, X, net, two_heads


def _pair(keras, make=net, **arguments):
    """(Keras' model, ours) with the same weights."""
    keras.utils.set_random_seed(3)
    theirs, ours = make(keras, **arguments), make(cc, **arguments)
    ours.set_weights(theirs.get_weights())
    return theirs, ours


def _same(ours, theirs, rtol=2e-4):
    """Equal keys and values. Both engines round to 2**-24; some 20 steps of training with batch normalisation multiply
    that by a few thousand."""
    assert set(ours) == set(theirs)
    for key, value in sorted(theirs.items(), key=lambda item: "loss" not in item[0]):
        np.testing.assert_allclose(ours[key], value, rtol=rtol, atol=1e-5, err_msg=key)


OPTIMIZERS = {
    "sgd": lambda K: K.optimizers.SGD(0.05),
    "momentum": lambda K: K.optimizers.SGD(0.02, momentum=0.9),
    "nesterov": lambda K: K.optimizers.SGD(0.02, momentum=0.9, nesterov=True),
    "decay": lambda K: K.optimizers.SGD(0.05, momentum=0.5, weight_decay=0.1),
    "clipnorm": lambda K: K.optimizers.SGD(0.1, clipnorm=0.1),
    "clipvalue": lambda K: K.optimizers.SGD(0.1, clipvalue=0.02),
    "global_clipnorm": lambda K: K.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.2),
    "adam": lambda K: K.optimizers.Adam(0.01, epsilon=1e-3),
    "amsgrad": lambda K: K.optimizers.Adam(0.01, amsgrad=True, epsilon=1e-3),
    "adamw": lambda K: K.optimizers.AdamW(0.01, weight_decay=0.1, epsilon=1e-3),
    "adam_clipped": lambda K: K.optimizers.Adam(0.01, global_clipnorm=0.5, epsilon=1e-3),
    "schedule": lambda K: K.optimizers.SGD(K.optimizers.schedules.ExponentialDecay(0.02, 4, 0.5), momentum=0.9),
    "cosine": lambda K: K.optimizers.SGD(
        K.optimizers.schedules.CosineDecay(0.0, 8, warmup_target=0.02, warmup_steps=3)
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_losses_of_each_epoch_are_those_of_keras(keras, name):
    theirs, ours = _pair(keras)
    histories = []
    for model, package in ((theirs, keras), (ours, cc)):
        model.compile(OPTIMIZERS[name](package), "sparse_categorical_crossentropy", metrics=["accuracy"])
        histories.append(
            model.fit(X, LABELS, batch_size=16, epochs=4, shuffle=False, verbose=0).history
        )  # the last batch has 2 samples
    _same(histories[1], histories[0])
    for a, b, variable in zip(theirs.get_weights(), ours.get_weights(), ours.weights):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4, err_msg=variable.path)
    assert ours.optimizer.iterations == int(theirs.optimizer.iterations) == 16
    np.testing.assert_allclose(ours.optimizer.learning_rate, float(theirs.optimizer.learning_rate), rtol=1e-6)


LOSSES = {
    "sparse": ("sparse_categorical_crossentropy", "softmax", LABELS, {}),
    "categorical": ("categorical_crossentropy", "softmax", ONE_HOT, {}),
    "smooth": (lambda K: K.losses.CategoricalCrossentropy(label_smoothing=0.1), "softmax", ONE_HOT, {}),
    "logits": (lambda K: K.losses.SparseCategoricalCrossentropy(from_logits=True), "linear", LABELS, {}),
    "ignored": (lambda K: K.losses.SparseCategoricalCrossentropy(ignore_class=1), "softmax", LABELS, {}),
    "binary": ("binary_crossentropy", "sigmoid", ONE_HOT, {}),
    "binary_logits": (
        lambda K: K.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2),
        "linear",
        ONE_HOT,
        {},
    ),
    "mse": ("mse", "linear", ONE_HOT, {}),
    "mae": ("mean_absolute_error", "tanh", ONE_HOT, {}),
    "sum": (lambda K: K.losses.MeanSquaredError(reduction="sum"), "linear", ONE_HOT, {}),
    "class_weight": ("sparse_categorical_crossentropy", "softmax", LABELS, {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}}),
    "class_weight_one_hot": (
        "categorical_crossentropy",
        "softmax",
        ONE_HOT,
        {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}},
    ),
    "sample_weight": ("sparse_categorical_crossentropy", "softmax", LABELS, {"sample_weight": WEIGHTS}),
    "split": ("sparse_categorical_crossentropy", "softmax", LABELS, {"validation_split": 0.3}),
    "split_weighted": (
        "sparse_categorical_crossentropy",
        "softmax",
        LABELS,
        {"validation_split": 0.3, "sample_weight": WEIGHTS},
    ),
    "validation": (
        "sparse_categorical_crossentropy",
        "softmax",
        LABELS,
        {"validation_data": (X[:9], LABELS[:9]), "validation_batch_size": 4},
    ),
    "validation_instead_of_split": (
        "sparse_categorical_crossentropy",
        "softmax",
        LABELS,
        {"validation_data": (X[:9], LABELS[:9]), "validation_split": 0.3},
    ),
    "validation_weighted": (
        "sparse_categorical_crossentropy",
        "softmax",
        LABELS,
        {"validation_data": (X[:9], LABELS[:9], WEIGHTS[:9]), "validation_freq": 2},
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_weights_and_validation_are_those_of_keras(keras, name):
    loss, activation, targets, arguments = LOSSES[name]
    theirs, ours = _pair(keras, activation=activation)
    results = []
    for model, package in ((theirs, keras), (ours, cc)):
        model.compile(
            package.optimizers.SGD(0.0005 if name == "sum" else 0.02),
            loss(package) if callable(loss) else loss,
            metrics=["accuracy"],
            weighted_metrics=["mae"] if targets is ONE_HOT else ["accuracy"],
        )
        history = model.fit(X, targets, batch_size=16, epochs=3, shuffle=False, verbose=0, **arguments).history
        weights = arguments.get("sample_weight")
        results.append(
            (
                history,
                model.evaluate(X, targets, batch_size=16, verbose=0, sample_weight=weights, return_dict=True),
                model.evaluate(X, targets, batch_size=7, verbose=0),
                model.predict(X, verbose=0),
            )
        )
    _same(results[1][0], results[0][0])
    _same(results[1][1], results[0][1])
    assert results[1][2][0] == pytest.approx(results[0][2][0], rel=2e-4) and len(results[1][2]) == len(results[1][1])
    np.testing.assert_allclose(results[1][3], results[0][3], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("regularizer", ["l1", "l2", "l1_l2"])
def test_penalties_are_those_of_keras(keras, regularizer):
    make = {
        "l1": lambda K: K.regularizers.L1(0.01),
        "l2": lambda K: K.regularizers.L2(0.02),
        "l1_l2": lambda K: K.regularizers.L1L2(0.01, 0.02),
    }[regularizer]
    keras.utils.set_random_seed(3)
    theirs, ours = net(keras, make(keras)), net(cc, make(cc))
    ours.set_weights(theirs.get_weights())
    histories = []
    for model, package in ((theirs, keras), (ours, cc)):
        model.compile(package.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
        histories.append(
            model.fit(X, LABELS, batch_size=16, epochs=3, shuffle=False, verbose=0, validation_split=0.2).history
        )
    _same(histories[1], histories[0])


@pytest.mark.parametrize("form", ["list", "dict"])
def test_several_losses_are_those_of_keras(keras, form):
    theirs, ours = _pair(keras, two_heads)
    sizes = np.random.default_rng(1).normal(size=(N, 2)).astype(np.float32)
    as_asked = (
        (lambda kind, size: {"kind": kind, "size": size}) if form == "dict" else (lambda kind, size: [kind, size])
    )
    results = []
    for model, package in ((theirs, keras), (ours, cc)):
        model.compile(
            package.optimizers.SGD(0.05),
            as_asked("sparse_categorical_crossentropy", "mse"),
            loss_weights=as_asked(1.0, 0.3),
            metrics=as_asked(["accuracy"], ["mae"]),
        )
        targets = as_asked(LABELS, sizes)
        history = model.fit(
            X, targets, batch_size=16, epochs=3, shuffle=False, verbose=0, validation_data=(X, targets)
        ).history
        results.append(
            (history, model.evaluate(X, targets, verbose=0, return_dict=True), model.evaluate(X, targets, verbose=0))
        )
    _same(results[1][0], results[0][0])
    _same(results[1][1], results[0][1])
    np.testing.assert_allclose(results[1][2], results[0][2], rtol=2e-4)


def test_sample_weights_of_several_outputs_are_those_of_keras(keras):
    theirs, ours = _pair(keras, two_heads)
    sizes = np.random.default_rng(1).normal(size=(N, 2)).astype(np.float32)
    histories = []
    for model, package in ((theirs, keras), (ours, cc)):
        model.compile(package.optimizers.SGD(0.05), ["sparse_categorical_crossentropy", "mse"])
        histories.append(
            model.fit(
                X,
                [LABELS, sizes],
                sample_weight=[WEIGHTS, WEIGHTS[::-1].copy()],
                batch_size=16,
                epochs=2,
                shuffle=False,
                verbose=0,
            ).history
        )
    _same(histories[1], histories[0])


def test_maps_of_classes():
    """A class for each pixel, and a weight for each pixel: the formulas written out."""
    inputs = cc.Input((8, 8, 2))
    model = cc.Model(
        inputs,
        layers.Conv2D(3, 1, activation="softmax")(layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)),
    )
    rng = np.random.default_rng(1)
    maps, weights = rng.integers(0, 3, (N, 8, 8)), rng.random((N, 8, 8)).astype(np.float32)
    model.compile(
        cc.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["accuracy"]
    )
    probabilities = model.predict(X, verbose=0).astype(np.float64)
    loss = -np.log(np.take_along_axis(probabilities, maps[..., None], -1))[..., 0]
    matches = probabilities.argmax(-1) == maps
    result = model.evaluate(X, maps, batch_size=16, sample_weight=weights, verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx((weights * loss).mean(), rel=1e-5)
    assert result["accuracy"] == pytest.approx(matches.mean(), rel=1e-6)
    assert result["weighted_accuracy"] == pytest.approx((weights * matches).sum() / weights.sum(), rel=1e-5)
    history = model.fit(X, X.argmax(-1), batch_size=16, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_metrics_computed_outside_the_program_agree_with_keras(keras):
    theirs, ours = _pair(keras)
    results = []
    for model, package in ((theirs, keras), (ours, cc)):
        model.compile(
            "sgd",
            "categorical_crossentropy",
            metrics=[
                package.metrics.TopKCategoricalAccuracy(2, name="top2"),
                "categorical_accuracy",
                package.metrics.MeanSquaredError(),
            ],
        )
        results.append(model.evaluate(X, ONE_HOT, batch_size=16, verbose=0, return_dict=True))
    _same(results[1], results[0])
