"""Callbacks, driven by a model that does nothing but remember; and the same sequences driven through Keras."""

import csv
import inspect
import math
import os
import types
import warnings

import numpy as np
import pytest

from cnncore import callbacks, metrics
from cnncore.callbacks import (
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from cnncore.callbacks.base import HOOKS

NAN = float("nan")


class Optimizer:
    def __init__(self, learning_rate=0.1):
        self.learning_rate = learning_rate


class Model:
    """What callbacks may use of a model. Its one weight is the number of the last epoch."""

    def __init__(self):
        self.stop_training = False
        self.optimizer = Optimizer()
        self.weight = np.array([-1.0])
        self.saved = []
        self.metrics = []

    def get_weights(self):
        return [self.weight]

    def set_weights(self, weights):
        self.weight = np.array(weights[0])

    def save(self, path):
        self.saved.append(path)
        with open(path, "w") as file:
            file.write(f"model {self.weight[0]:g}")

    def save_weights(self, path):
        self.saved.append(path)
        with open(path, "w") as file:
            file.write(f"weights {self.weight[0]:g}")


def fit(listeners, epochs, batches=(), model=None):
    """Run the hooks of a training with the given logs of each epoch; return the model."""
    model = model or Model()
    model.stop_training = False
    listed = CallbackList(listeners, add_history=True, model=model, epochs=len(epochs))
    listed.on_train_begin()
    logs = {}
    for epoch, logs in enumerate(epochs):
        listed.on_epoch_begin(epoch)
        for batch, batch_logs in enumerate(batches):
            listed.on_train_batch_begin(batch)
            listed.on_train_batch_end(batch, batch_logs)
            if model.stop_training:
                break
        model.weight[0] = epoch  # in place, as an engine updates its weights
        listed.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    listed.on_train_end(logs)
    return model


def losses(*values, name="val_loss"):
    return [{name: value} for value in values]


# the base, and the list


def test_every_hook_of_keras(keras):
    theirs = {name for name in vars(keras.callbacks.Callback) if name.startswith("on_")}
    assert set(HOOKS) == theirs
    for name in (
        "EarlyStopping",
        "ModelCheckpoint",
        "CSVLogger",
        "LearningRateScheduler",
        "TerminateOnNaN",
        "LambdaCallback",
        "ReduceLROnPlateau",
    ):
        ours = inspect.signature(getattr(callbacks, name)).parameters
        reference = inspect.signature(getattr(keras.callbacks, name)).parameters
        described = {key: p.default for key, p in reference.items() if not (key == "kwargs" and name[0] == "R")}
        assert {key: p.default for key, p in ours.items()} == described
        assert list(ours) == list(described)


def test_hooks_are_called_in_order():
    calls = []

    class Recorder(Callback):
        def __getattribute__(self, name):
            if name in HOOKS:

                def hook(*args, **kwargs):
                    calls.append(name)

                return hook
            return super().__getattribute__(name)

    recorder = Recorder()
    listed = CallbackList([recorder])
    listed.on_train_begin()
    listed.on_epoch_begin(0)
    listed.on_test_begin()
    listed.on_test_end()
    listed.on_epoch_end(0)
    listed.on_train_end()
    listed.on_predict_begin()
    listed.on_predict_end()
    assert calls == [
        "on_train_begin",
        "on_epoch_begin",
        "on_test_begin",
        "on_test_end",
        "on_epoch_end",
        "on_train_end",
        "on_predict_begin",
        "on_predict_end",
    ]


@pytest.mark.parametrize("hook", [h for h in HOOKS if "batch" in h])
def test_batch_hooks_and_their_aliases(hook):
    calls = []
    cls = type("Recorder", (Callback,), {hook: lambda self, batch, logs=None: calls.append((batch, logs))})
    listed = CallbackList([Callback(), cls()])
    full = {"on_batch_begin": "on_train_batch_begin", "on_batch_end": "on_train_batch_end"}.get(hook, hook)
    for name in HOOKS:
        if "batch" in name and name not in ("on_batch_begin", "on_batch_end"):
            getattr(listed, name)(4, {"loss": 1.0})
    assert calls == [(4, {"loss": 1.0})]
    assert listed.listens(full)
    others = {h for h in HOOKS if "batch" in h} - {full, hook, "on_batch_begin", "on_batch_end"}
    assert not any(listed.listens(other) for other in others)


def test_list_flattens_appends_and_passes_model_and_params():
    a, b, c = Callback(), Callback(), Callback()
    model = Model()
    listed = CallbackList([a, [b]], model=model, epochs=3)
    listed.append(c)
    assert listed.callbacks == [a, b, c]
    assert a.model is model and b.params == {"epochs": 3}
    assert CallbackList(None).callbacks == [] and CallbackList(a).callbacks == [a]


@pytest.mark.parametrize("wrong, message", [(3, "got 3"), ([EarlyStopping], "make an instance"), (["csv"], "'csv'")])
def test_list_refuses_what_is_no_callback(wrong, message):
    with pytest.raises(ValueError, match=message):
        CallbackList(wrong)


# History


def test_history():
    model = fit([], [{"loss": np.float32(0.5), "accuracy": np.array(0.25)}, {"loss": 0.25, "accuracy": 0.5}])
    history = model.history
    assert history.history == {"loss": [0.5, 0.25], "accuracy": [0.25, 0.5]} and history.epoch == [0, 1]
    assert all(type(v) is float for values in history.history.values() for v in values)
    assert history.params == {"epochs": 2}


def test_history_given_by_the_user_is_used():
    own = History()
    assert fit([own], losses(1.0)).history is own
    fit([own], losses(2.0))
    assert own.history == {"val_loss": [1.0, 2.0]} and own.epoch == [0]


# EarlyStopping


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


# ModelCheckpoint


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


# CSVLogger


def rows(path, separator=","):
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter=separator))


def test_csv_rows_are_there_at_once(tmp_path):
    path = tmp_path / "log.csv"
    seen = []
    watcher = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(len(rows(path))))
    fit([CSVLogger(path), watcher], [{"val_loss": 2.0, "loss": 1.0}, {"val_loss": 1.5, "loss": 0.5}])
    assert rows(path) == [["epoch", "loss", "val_loss"], ["0", "1.0", "2.0"], ["1", "0.5", "1.5"]]
    assert seen == [2, 3]


def test_csv_append_goes_on_under_the_same_header(tmp_path):
    path = tmp_path / "log.csv"
    fit([CSVLogger(path, separator=";")], [{"loss": 1.0, "val_loss": 0.5}])
    fit([CSVLogger(path, separator=";", append=True)], [{"val_loss": 0.4}])
    assert rows(path, ";") == [["epoch", "loss", "val_loss"], ["0", "1.0", "0.5"], ["0", "NA", "0.4"]]
    fit([CSVLogger(path)], [{"loss": 3.0, "val_loss": 3.0}])
    assert len(rows(path)) == 2  # replaced


def test_csv_columns(tmp_path):
    path = tmp_path / "log.csv"
    with pytest.warns(UserWarning, match="no column for f1"):
        fit([CSVLogger(path)], [{"loss": 1.0}, {"loss": 1.0, "val_loss": 2.0, "f1": 0.5}, {"loss": 1.0, "f1": 0.5}])
    assert rows(path) == [["epoch", "loss", "val_loss"], ["0", "1.0", "NA"], ["1", "1.0", "2.0"], ["2", "1.0", "NA"]]
    fit([CSVLogger(path)], [{"f1": np.array([0.25, 0.5]), "val_f1": 1.0}])
    assert rows(path)[1] == ["0", "[0.25, 0.5]", "1.0"]
    (tmp_path / "other.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match='must begin with the column "epoch"'):
        fit([CSVLogger(tmp_path / "other.csv", append=True)], losses(1))
    with pytest.raises(ValueError, match="one character"):
        CSVLogger(path, separator="::")


def test_csv_as_keras(keras, tmp_path):
    logs = [{"loss": 1.0, "accuracy": 0.5}, {"loss": 0.5, "accuracy": 0.75, "val_loss": 2.0, "val_accuracy": 0.25}]
    theirs = keras.callbacks.CSVLogger(str(tmp_path / "theirs.csv"))
    theirs.on_train_begin()
    for epoch, values in enumerate(logs):
        theirs.on_epoch_end(epoch, values)
    theirs.on_train_end()
    fit([CSVLogger(tmp_path / "ours.csv")], logs)
    assert rows(tmp_path / "ours.csv") == rows(tmp_path / "theirs.csv")


# learning rates


@pytest.mark.parametrize(
    "schedule, rates",
    [
        (lambda epoch: 1.0 / (epoch + 1), [1.0, 0.5, 1 / 3]),
        (lambda epoch, rate: rate * 0.5, [0.05, 0.025, 0.0125]),
        (lambda epoch, rate=None: 2, [2.0, 2.0, 2.0]),
    ],
)
def test_learning_rate_scheduler(schedule, rates):
    model = fit([LearningRateScheduler(schedule)], losses(1, 1, 1))
    assert model.history.history["learning_rate"] == pytest.approx(rates)


def test_learning_rate_scheduler_errors(capsys):
    with pytest.raises(ValueError, match="must be a function"):
        LearningRateScheduler(0.1)
    for wrong in ("0.1", None, NAN, -1.0):
        with pytest.raises(ValueError, match="what schedule returns must be a finite number >= 0"):
            fit([LearningRateScheduler(lambda epoch, value=wrong: value if epoch < 0 else wrong)], losses(1))

    def broken(epoch, rate):
        return rate + "1"

    with pytest.raises(TypeError, match="unsupported operand"):  # not taken for a function of the epoch alone
        fit([LearningRateScheduler(broken)], losses(1))
    assert capsys.readouterr().out == ""
    fit([LearningRateScheduler(lambda epoch: 0.5, verbose=1)], losses(1))
    assert capsys.readouterr().out == "Epoch 1: learning rate 0.5\n"


def test_a_schedule_of_steps_is_not_overwritten():
    class Scheduled:
        @property
        def learning_rate(self):
            return 0.1

        @learning_rate.setter
        def learning_rate(self, value):
            raise TypeError("the learning rate follows a schedule")

    model = Model()
    model.optimizer = Scheduled()
    with pytest.raises(TypeError, match="follows a schedule"):
        fit([LearningRateScheduler(lambda epoch: 0.5)], losses(1), model=model)


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


@pytest.mark.parametrize("make", [EarlyStopping, lambda mode: ModelCheckpoint("a.cnn", mode=mode), ReduceLROnPlateau])
def test_misspelt_mode_is_an_error(make):
    with pytest.raises(ValueError, match="mode"):
        make(**{"mode": "maximum"})


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


# TerminateOnNaN, LambdaCallback


@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf])
def test_terminate_on_nan(bad, capsys):
    batches = [{"loss": 1.0}, {"loss": bad}, {"loss": 1.0}]
    with pytest.warns(RuntimeWarning, match="at batch 1; training stops"):
        model = fit([TerminateOnNaN()], losses(1, 1), batches)
    assert model.stop_training and len(model.history.epoch) == 1 and capsys.readouterr().out == ""
    with pytest.raises(RuntimeError, match="at batch 1"):
        fit([TerminateOnNaN(raise_error=True)], losses(1, 1), batches)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not fit([TerminateOnNaN()], losses(1), [{"loss": np.float32(1.0)}, {}]).stop_training


def test_lambda_callback():
    calls = []
    made = LambdaCallback(
        on_epoch_end=lambda epoch, logs: calls.append(("epoch", epoch, logs["val_loss"])),
        on_train_batch_end=lambda batch, logs: calls.append(("batch", batch)),
        on_test_begin=lambda logs: calls.append("test"),
        on_batch_begin=None,
    )
    fit([made], losses(0.5), batches=[{}, {}])
    made.on_test_begin({})
    assert calls == [("batch", 0), ("batch", 1), ("epoch", 0, 0.5), "test"]
    with pytest.raises(ValueError, match="did you mean 'on_epoch_end'"):
        LambdaCallback(on_epoch_ends=print)
    with pytest.raises(ValueError, match="must be a function"):
        LambdaCallback(on_epoch_end=3)
