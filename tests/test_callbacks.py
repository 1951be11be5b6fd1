"""Callbacks: the base, the list, and those that watch nothing; the hooks and the files are Keras'."""

import csv
import inspect
import math
import warnings

import numpy as np
import pytest

from callback_driver import NAN, Model, fit, losses
from cnncore import callbacks
from cnncore.callbacks import (
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    TerminateOnNaN,
)
from cnncore.callbacks.base import HOOKS

# ---- the base, and the list ----


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


# ---- History ----


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


# ---- CSVLogger ----


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


# ---- LearningRateScheduler ----


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


# ---- TerminateOnNaN, LambdaCallback ----


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
