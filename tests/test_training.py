"""fit, evaluate, predict and their kin: sources of data, single batches, callbacks."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import layers
from training_models import LABELS, ONE_HOT, N, X, compiled, net

# ---- sources of data ----


def _batches():
    return [(X[i : i + 16], LABELS[i : i + 16]) for i in range(0, N, 16)]


class Indexed:
    """As Keras' PyDataset: a length and items."""

    ended = 0

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return _batches()[i]

    def on_epoch_end(self):
        self.ended += 1


class Iterable:
    def __iter__(self):
        return iter(_batches())


def _forever():
    while True:
        yield from _batches()


SOURCES = {
    "arrays": lambda: dict(x=X, y=LABELS, batch_size=16, shuffle=False),
    "lists": lambda: dict(x=X.tolist(), y=LABELS.tolist(), batch_size=16, shuffle=False),
    "iterable": lambda: dict(x=Iterable()),
    "indexed": lambda: dict(x=Indexed()),
    "generator": lambda: dict(x=_forever(), steps_per_epoch=4),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_training(source):
    expected = compiled()
    history = expected.fit(X, LABELS, batch_size=16, epochs=3, shuffle=False, verbose=0).history
    model = compiled()
    assert model.fit(**SOURCES[source](), epochs=3, verbose=0).history == history
    for a, b in zip(model.get_weights(), expected.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_an_indexed_source_hears_of_the_ends_of_epochs():
    source = Indexed()
    compiled().fit(source, epochs=3, verbose=0)
    assert source.ended == 3


def test_evaluate_and_predict_take_iterables():
    model = compiled()
    model.fit(X, LABELS, verbose=0)
    expected = model.evaluate(X, LABELS, batch_size=16, verbose=0)
    for source, steps in ((Iterable(), None), (Indexed(), None), (_forever(), 4)):
        assert model.evaluate(source, steps=steps, verbose=0) == expected
        np.testing.assert_array_equal(
            model.predict(source if steps is None else _forever(), steps=steps, verbose=0),
            model.predict(X, batch_size=16, verbose=0),
        )
    history = model.fit(Iterable(), validation_data=Iterable(), verbose=0).history
    assert model.evaluate(X, LABELS, batch_size=16, verbose=0) == [history["val_loss"][0], history["val_accuracy"][0]]


def test_steps_per_epoch_cut_a_source_and_begin_it_anew():
    seen = []

    class Watched(Iterable):
        def __iter__(self):
            for i, batch in enumerate(_batches()):
                seen.append(i)
                yield batch

    compiled().fit(Watched(), epochs=3, steps_per_epoch=3, verbose=0)
    assert seen == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    model = compiled()
    model.fit(X, LABELS, batch_size=16, epochs=3, steps_per_epoch=2, verbose=0)
    assert model.optimizer.iterations == 6


def test_a_generator_that_ends_is_told_of():
    with pytest.raises(ValueError, match="gave none in epoch 2; a generator can be walked only once"):
        compiled().fit((batch for batch in _batches()), epochs=2, verbose=0)


def test_one_epoch_sees_every_sample_once_in_a_new_order():
    inputs = cc.Input((1,))
    model = cc.Model(inputs, layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs))
    model.compile(cc.optimizers.SGD(0.0), "mse", seed=2)
    values = np.arange(10, dtype=np.float32)
    orders = []

    class Watch(cc.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            orders.append(logs["loss"] * (batch + 1) - sum(orders_of_epoch))
            orders_of_epoch.append(orders[-1])

        def on_epoch_begin(self, epoch, logs=None):
            orders_of_epoch.clear()

    orders_of_epoch = []
    model.fit(np.ones((10, 1)), np.sqrt(values)[:, None], batch_size=1, epochs=2, verbose=0, callbacks=[Watch()])
    first, second = np.rint(orders[:10]), np.rint(orders[10:])
    assert sorted(first) == sorted(second) == list(values) and (first != second).any() and (first != values).any()


def test_a_refused_fit_changes_nothing():
    refused, other = compiled(), compiled()
    with pytest.raises(ValueError, match="labels must be 0 to 2"):
        refused.fit(X, LABELS + 3, seed=7)
    histories = [model.fit(X, LABELS, batch_size=16, epochs=2, verbose=0).history for model in (refused, other)]
    assert histories[0] == histories[1]


# ---- single batches ----


def test_train_on_batch_and_test_on_batch():
    model = compiled()
    before = model.test_on_batch(X, LABELS, return_dict=True)
    assert (
        before
        == dict(zip(["loss", "accuracy"], model.test_on_batch(X, LABELS)))
        == dict(zip(model.metrics_names, model.evaluate(X, LABELS, batch_size=N, verbose=0)))
    )
    losses = [model.train_on_batch(X, LABELS)[0] for _ in range(10)]
    assert losses[-1] < losses[0] and model.optimizer.iterations == 10
    weighted = model.test_on_batch(X, LABELS, sample_weight=np.r_[np.ones(10), np.zeros(40)])[0]
    assert weighted * N / 10 == pytest.approx(model.test_on_batch(X[:10], LABELS[:10])[0], rel=1e-5)
    np.testing.assert_array_equal(model.predict_on_batch(X), model.predict(X, batch_size=N, verbose=0))


def test_predictions_do_not_depend_on_the_batch_size():
    """Each image is computed by itself. Another number of pixels may be cut otherwise: bits may differ, by rounding
    only."""
    model = compiled()
    model.fit(X, LABELS, verbose=0)
    expected = model.predict(X, batch_size=N, verbose=0)
    for n in (1, 7, 32):
        np.testing.assert_allclose(model.predict(X, batch_size=n, verbose=0), expected, rtol=2e-5, atol=1e-6)


def test_compiling_again():
    model = compiled()
    model.fit(X, LABELS, verbose=0)
    optimizer = model.optimizer
    model.compile(optimizer, "sparse_categorical_crossentropy")  # keeps what the optimizer knows
    assert model.optimizer.iterations == 2
    model.train_on_batch(X, LABELS)
    model.compile(cc.optimizers.Adam(0.01), "categorical_crossentropy", metrics=["mae"])
    assert set(model.fit(X, ONE_HOT, verbose=0).history) == {"loss", "mae"}
    model.compile(cc.optimizers.SGD(0.1, momentum=0.9), "categorical_crossentropy")
    model.train_on_batch(X, ONE_HOT)


def test_the_learning_rate_can_be_set_between_steps():
    model = compiled()
    model.train_on_batch(X, LABELS)
    model.optimizer.learning_rate = 0.0
    model.optimizer.state["velocity"][:] = 0
    before = [v.numpy() for v in model.trainable_weights]
    model.train_on_batch(X, LABELS)
    for a, v in zip(before, model.trainable_weights):
        np.testing.assert_array_equal(a, v.numpy())
    model.optimizer.learning_rate = 0.1
    model.train_on_batch(X, LABELS)
    assert any((a != v.numpy()).any() for a, v in zip(before, model.trainable_weights))


# ---- callbacks ----


def test_the_order_of_hooks_is_that_of_keras(keras):
    orders = []
    for package in (keras, cc):
        calls = []
        hooks = [hook for hook in cc.callbacks.base.HOOKS if hook not in ("on_batch_begin", "on_batch_end")]

        def recorder(hook):
            return lambda self, *arguments, logs=None: calls.append(
                (hook, *[a for a in arguments if isinstance(a, int)])
            )

        callback = type("Recorder", (package.callbacks.Callback,), {hook: recorder(hook) for hook in hooks})()
        model = net(package)
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(
            X, LABELS, batch_size=32, epochs=2, validation_data=(X[:10], LABELS[:10]), verbose=0, callbacks=[callback]
        )
        model.evaluate(X[:10], LABELS[:10], verbose=0, callbacks=[callback])
        model.predict(X[:10], verbose=0, callbacks=[callback])
        orders.append(calls)
    assert orders[1] == orders[0]


def test_early_stopping_checkpoints_and_schedules(tmp_path):
    model = compiled()
    path = tmp_path / "best.cnn"
    rates = []

    class Watch(cc.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(logs["learning_rate"])

    history = model.fit(
        X[:40],
        LABELS[:40],
        batch_size=8,
        epochs=50,
        validation_data=(X[40:], LABELS[40:]),
        verbose=0,
        callbacks=[
            cc.callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 * 0.9**epoch),
            cc.callbacks.ModelCheckpoint(path, save_best_only=True),
            cc.callbacks.EarlyStopping(patience=3, restore_best_weights=True),
            Watch(),
        ],
    ).history
    losses = history["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 50  # stopped 3 epochs after the best
    np.testing.assert_allclose(rates, [0.1 * 0.9**i for i in range(len(losses))], rtol=1e-6)
    # the batch size of the validation in fit: a mean over other batches differs in the last digit
    assert model.evaluate(X[40:], LABELS[40:], batch_size=8, verbose=0)[0] == losses[best]
    assert cc.load_model(path).evaluate(X[40:], LABELS[40:], batch_size=8, verbose=0)[0] == losses[best]


def test_training_stops_where_a_callback_says():
    class Stop(cc.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                self.model.stop_training = True

    model = compiled()
    history = model.fit(X, LABELS, batch_size=8, epochs=3, verbose=0, callbacks=[Stop()])
    assert model.optimizer.iterations == 2 and len(history.history["loss"]) == 1 and model.history is history


def test_initial_epoch():
    model = compiled()
    history = model.fit(X, LABELS, epochs=5, initial_epoch=3, verbose=0)
    assert history.epoch == [3, 4] and model.fit(X, LABELS, epochs=2, initial_epoch=2, verbose=0).epoch == []
