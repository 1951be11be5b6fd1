"""Callbacks that watch a quantity: EarlyStopping, ReduceLROnPlateau, ModelCheckpoint; also driven through Keras."""

import os
import types

import numpy as np
import pytest

from callback_driver import NAN, Model, Optimizer, fit, losses
from cnncore import metrics
from cnncore.callbacks import (
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
)

# ---- EarlyStopping ----


@pytest.mark.parametrize(
    "values, arguments, stopped_epoch",
    [
        ([5, 4, 3, 2], {}, None),
        ([5, 4, 4.1, 3], {}, 2),
        ([5, 4, 4.1, 3, 2], {"patience": 2}, None),
        ([5, 4, 4.1, 4.2, 3], {"patience": 2}, 3),
        ([5, 6], {}, 1),
        ([5, 5], {}, 1),
        ([5, 4.95, 4.9, 4.85], {"min_delta": 0.1, "patience": 2}, 2),
        ([5, 4.95, 4.8, 4.75], {"min_delta": -0.1, "patience": 2}, None),
        ([1, 2, 3, 2.5], {"mode": "max"}, 3),
        ([9, 9, 9, 5, 5], {"start_from_epoch": 3}, 4),
        ([NAN, NAN, NAN], {"patience": 2}, 1),
        ([NAN, 3, 2], {"patience": 2}, None),
        ([3, NAN, 2], {}, 1),
        ([3, 2.5, 2.4], {"baseline": 2.0, "patience": 3}, 2),
        ([3, 1.9, 1.8], {"baseline": 2.0, "patience": 3}, None),
        ([3, 1.9, 2.0, 2.1, 2.2], {"baseline": 2.0, "patience": 3}, 4),
    ],
)
def test_early_stopping(values, arguments, stopped_epoch):
    stopper = EarlyStopping(**arguments)
    model = fit([stopper], losses(*values))
    assert model.stop_training == (stopped_epoch is not None)
    assert stopper.stopped_epoch == (stopped_epoch or 0)
    assert len(model.history.epoch) == (len(values) if stopped_epoch is None else stopped_epoch + 1)


def test_one_noisy_epoch_ends_training_only_without_patience():
    curve = losses(1.0, 0.8, 0.85, 0.6, 0.5, 0.55, 0.4)
    assert len(fit([EarlyStopping()], curve).history.epoch) == 3
    assert len(fit([EarlyStopping(patience=3)], curve).history.epoch) == 7


@pytest.mark.parametrize(
    "values, arguments, best_epoch",
    [
        ([5, 3, 4, 4.5], {"patience": 2}, 1),  # stopped
        ([5, 3, 4], {"patience": 9}, 1),  # ended without stopping
        ([5, 4, 3], {}, 2),  # the last is the best
        ([NAN, 3, NAN], {"patience": 9}, 1),  # NaN is never the best
        ([3, 2.5, 2.7], {"baseline": 1.0, "patience": 9}, 1),  # the best, though it never beat the baseline
        ([1, 2, 3, 2.9], {"start_from_epoch": 1, "patience": 9}, 1),
        ([1, 3, 2], {"mode": "max", "patience": 9}, 1),
    ],
)
def test_restore_best_weights(values, arguments, best_epoch):
    stopper = EarlyStopping(restore_best_weights=True, **arguments)
    model = fit([stopper], losses(*values))
    assert stopper.best_epoch == best_epoch and model.weight[0] == best_epoch
    kept = fit([EarlyStopping(**arguments)], losses(*values))
    assert kept.weight[0] == len(kept.history.epoch) - 1


def test_restore_with_nothing_but_nan_warns_and_keeps_the_weights():
    with pytest.warns(UserWarning, match="no best weights"):
        model = fit([EarlyStopping(restore_best_weights=True, patience=9)], losses(NAN, NAN))
    assert model.weight[0] == 1


def test_early_stopping_starts_afresh_in_each_fit():
    stopper = EarlyStopping(patience=1)
    fit([stopper], losses(1.0, 2.0))
    assert stopper.stopped_epoch == 1
    model = fit([stopper], losses(9.0, 8.0, 7.0))
    assert not model.stop_training and stopper.best == 7.0 and stopper.stopped_epoch == 0


def test_missing_quantity_warns_with_what_there_is():
    with pytest.warns(UserWarning, match="'val_los' is not available; available are loss, val_loss; did you mean"):
        fit([EarlyStopping(monitor="val_los", mode="min")], [{"loss": 1.0, "val_loss": 2.0}])


@pytest.mark.parametrize(
    "monitor, values, stops",
    [
        ("accuracy", [0.1, 0.2, 0.3], False),
        ("val_acc", [0.3, 0.2], True),
        ("mse", [0.3, 0.2], False),
        ("val_auc_1", [0.3, 0.4], False),
        ("head_loss", [0.4, 0.5], True),
    ],
)
def test_auto_mode_knows_the_direction(monitor, values, stops):
    assert fit([EarlyStopping(monitor=monitor)], losses(*values, name=monitor)).stop_training == stops


def test_auto_mode_asks_the_models_metric_and_else_refuses():
    model = Model()
    quality = metrics.Mean(name="quality")
    quality.direction = "up"
    model.metrics = [quality]
    assert not fit([EarlyStopping("val_quality")], losses(1, 2, 3, name="val_quality"), model=model).stop_training
    with pytest.raises(ValueError, match='mode must be "min" or "max" for monitor=\'speed\''):
        fit([EarlyStopping("speed")], losses(1, 2, name="speed"))


def test_early_stopping_prints_only_when_asked(capsys):
    fit([EarlyStopping(restore_best_weights=True)], losses(1, 2))
    assert capsys.readouterr().out == ""
    fit([EarlyStopping(restore_best_weights=True, verbose=1)], losses(1, 2))
    assert capsys.readouterr().out == "Epoch 2: early stopping\nRestoring the weights of the best epoch: 1\n"


def run_theirs(callback, values, name):
    """Drive a Keras callback with the same logs; return how many epochs ran and the rates."""
    model = types.SimpleNamespace(stop_training=False, optimizer=Optimizer(), metrics=[])
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {name: value})
        rates.append(model.optimizer.learning_rate)
        if model.stop_training:
            break
    callback.on_train_end()
    return len(rates), rates


@pytest.mark.parametrize("seed", range(12))
def test_monitoring_as_keras(keras, seed):
    """Random curves without NaN or baseline, where we differ on purpose."""
    rng = np.random.default_rng(seed)
    values = np.round(np.cumsum(rng.standard_normal(40)) * 0.3 + np.linspace(5, 0, 40), 2)
    mode = ("min", "max", "auto")[seed % 3]
    stopping = {
        "monitor": "val_loss",
        "mode": mode,
        "patience": int(rng.integers(0, 6)),
        "min_delta": float(rng.choice([0, 0.1, -0.1])),
        "start_from_epoch": int(rng.integers(0, 4)),
    }
    epochs, _ = run_theirs(keras.callbacks.EarlyStopping(**stopping), values, "val_loss")
    assert len(fit([EarlyStopping(**stopping)], losses(*values)).history.epoch) == epochs
    plateau = {
        "monitor": "val_loss",
        "mode": mode,
        "patience": int(rng.integers(0, 4)),
        "factor": 0.5,
        "cooldown": int(rng.integers(0, 4)),
        "min_lr": 0.004,
        "min_delta": 0.05,
    }
    _, rates = run_theirs(keras.callbacks.ReduceLROnPlateau(**plateau), values, "val_loss")
    after = []
    watcher = LambdaCallback(on_epoch_end=lambda epoch, logs: after.append(watcher.model.optimizer.learning_rate))
    fit([ReduceLROnPlateau(**plateau), watcher], losses(*values))
    assert after == pytest.approx(rates)


@pytest.mark.parametrize(
    "arguments",
    [
        {"monitor": 3},
        {"patience": 1.5},
        {"min_delta": "a"},
        {"baseline": NAN},
        {"restore_best_weights": 1},
        {"start_from_epoch": -1},
    ],
)
def test_early_stopping_errors(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        EarlyStopping(**arguments)


# ---- ReduceLROnPlateau ----


def test_reduce_on_plateau(capsys):
    plateau = ReduceLROnPlateau(factor=0.5, patience=2, cooldown=1, min_lr=0.03, verbose=1)
    model = fit([plateau], losses(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    # The logs hold the rate that the epoch was trained with: it is lowered after epoch 2, and to the floor after 4.
    assert model.history.history["learning_rate"] == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.03, 0.03, 0.03])
    assert model.optimizer.learning_rate == 0.03
    assert capsys.readouterr().out.splitlines()[0] == "Epoch 3: learning rate reduced from 0.1 to 0.05"


def test_reduce_on_plateau_counts_nan_as_no_improvement():
    assert fit([ReduceLROnPlateau(patience=2)], losses(NAN, NAN, 1.0)).optimizer.learning_rate == pytest.approx(0.01)
    assert fit([ReduceLROnPlateau(patience=2)], losses(NAN, 1.0, 0.5)).optimizer.learning_rate == 0.1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"factor": 1.0}, r"factor must be in \(0, 1\)"),
        ({"factor": 0}, "factor"),
        ({"patience": -1}, "patience"),
        ({"cooldown": 1.5}, "cooldown"),
        ({"min_lr": -1}, "min_lr"),
        ({"mode": "mim"}, "did you mean 'min'"),
    ],
)
def test_reduce_on_plateau_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        ReduceLROnPlateau(**arguments)


# ---- ModelCheckpoint ----


def test_checkpoint_of_each_epoch(tmp_path):
    path = tmp_path / "new" / "folder" / "model-{epoch:02d}-{val_loss:.2f}.cnn"
    model = fit([ModelCheckpoint(path)], losses(0.5, 0.25))
    assert [os.path.basename(p) for p in model.saved] == ["model-01-0.50.cnn", "model-02-0.25.cnn"]
    assert (path.parent / "model-02-0.25.cnn").read_text() == "model 1"


@pytest.mark.parametrize(
    "values, arguments, saved",
    [
        ([3, 2, 2.5, 1], {}, [0, 1, 3]),
        ([1, 3, 2], {"mode": "max"}, [0, 1]),
        ([NAN, 2, NAN, 1], {}, [1, 3]),
        ([3, 2, 1], {"initial_value_threshold": 2.5}, [1, 2]),
    ],
)
def test_checkpoint_of_the_best(tmp_path, values, arguments, saved):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.cnn", save_best_only=True, **arguments)
    model = fit([checkpoint], losses(*values))
    assert [os.path.basename(p) for p in model.saved] == [f"{epoch + 1}.cnn" for epoch in saved]


def test_checkpoint_without_the_quantity_saves_and_warns(tmp_path):
    with pytest.warns(UserWarning, match="not available"):
        model = fit([ModelCheckpoint(tmp_path / "a.cnn", save_best_only=True)], [{"loss": 1.0}])
    assert len(model.saved) == 1


def test_checkpoint_of_weights_by_batches(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{batch}-{loss}.cnn", save_weights_only=True, save_freq=2)
    model = fit([checkpoint], losses(1, 1), batches=[{"loss": 0.1}, {"loss": 0.2}, {"loss": 0.3}])
    assert [os.path.basename(p) for p in model.saved] == ["1-2-0.2.cnn", "2-1-0.1.cnn", "2-3-0.3.cnn"]
    assert open(model.saved[0]).read().startswith("weights")


def test_checkpoint_errors(tmp_path):
    with pytest.raises(ValueError, match="save_freq must be \"epoch\" or a number of batches >= 1, got 'batch'"):
        ModelCheckpoint("a.cnn", save_freq="batch")
    for wrong in (0, True, 2.5):
        with pytest.raises(ValueError, match="save_freq"):
            ModelCheckpoint("a.cnn", save_freq=wrong)
    with pytest.raises(ValueError, match="filepath must be a path"):
        ModelCheckpoint(3)
    with pytest.raises(ValueError, match="only the fields epoch, val_loss"):
        fit([ModelCheckpoint(str(tmp_path / "{val_acc}.cnn"))], losses(1))
    with pytest.raises(IsADirectoryError, match="must name a file"):
        fit([ModelCheckpoint(tmp_path)], losses(1))


def test_checkpoint_prints_only_when_asked(tmp_path, capsys):
    fit([ModelCheckpoint(tmp_path / "a.cnn", save_best_only=True)], losses(2, 1, 3))
    assert capsys.readouterr().out == ""
    fit([ModelCheckpoint("a.cnn", save_best_only=True, verbose=1)], losses(2, 3), model=Silent())
    assert capsys.readouterr().out == (
        "Epoch 1: val_loss improved from none to 2.00000\n"
        "Epoch 1: saving model to a.cnn\n"
        "Epoch 2: val_loss did not improve from 2.00000\n"
    )


class Silent(Model):
    def save(self, path):
        self.saved.append(path)


# ---- all of them ----


@pytest.mark.parametrize("make", [EarlyStopping, lambda mode: ModelCheckpoint("a.cnn", mode=mode), ReduceLROnPlateau])
def test_misspelt_mode_is_an_error(make):
    with pytest.raises(ValueError, match="mode"):
        make(**{"mode": "maximum"})
