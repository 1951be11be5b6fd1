"""Metrics: hand-computed values, streams equal to the whole, NaN and wrong shapes, Keras as a second opinion."""

import json
import math

import numpy as np
import pytest

from cnncore import metrics
from cnncore.metrics import AUC, F1Score, Mean, Precision, Recall, Sum, resolve, resolve_accuracy

N, K = 48, 7


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


def data(kind, seed=0):
    """Targets and predictions of the kind that a metric takes."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((N, K)).astype(np.float32) * 2
    labels = rng.integers(0, K, N)
    one_hot = np.eye(K, dtype=np.float32)[labels]
    return {
        "sparse": (labels, softmax(logits)),
        "sparse_column": (labels[:, None], softmax(logits)),
        "sparse_logits": (labels, logits),
        "one_hot": (one_hot, softmax(logits)),
        "one_hot_logits": (one_hot, logits),
        "multi_hot": ((rng.random((N, K)) < 0.4).astype(np.float32), rng.random((N, K)).astype(np.float32)),
        "binary": (rng.integers(0, 2, (N, 1)), rng.random((N, 1)).astype(np.float32)),
        "binary_flat": (rng.integers(0, 2, N), rng.random((N, 1)).astype(np.float32)),
        "binary_logits": (rng.integers(0, 2, (N, 1)), (rng.standard_normal((N, 1)) * 3).astype(np.float32)),
        "regression": (rng.standard_normal((N, 3)).astype(np.float32), rng.standard_normal((N, 3)).astype(np.float32)),
        "regression_flat": (rng.standard_normal(N).astype(np.float32), rng.standard_normal((N, 1)).astype(np.float32)),
        "integers": (rng.integers(0, 3, (N, 2)), rng.integers(0, 3, (N, 2)).astype(np.float32)),
        "images": (rng.integers(0, K, (N, 4, 3)), softmax(rng.standard_normal((N, 4, 3, K)))),
    }[kind]


CASES = [
    ("Accuracy", {}, "integers"),
    ("BinaryAccuracy", {}, "binary"),
    ("BinaryAccuracy", {}, "binary_flat"),
    ("BinaryAccuracy", {"threshold": 0.3}, "multi_hot"),
    ("CategoricalAccuracy", {}, "one_hot"),
    ("SparseCategoricalAccuracy", {}, "sparse"),
    ("SparseCategoricalAccuracy", {}, "sparse_column"),
    ("SparseCategoricalAccuracy", {}, "images"),
    ("TopKCategoricalAccuracy", {"k": 3}, "one_hot"),
    ("TopKCategoricalAccuracy", {}, "one_hot"),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "sparse"),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "sparse_column"),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "images"),
    ("SparseTopKCategoricalAccuracy", {}, "sparse"),
    ("MeanSquaredError", {}, "regression"),
    ("MeanSquaredError", {}, "regression_flat"),
    ("MeanAbsoluteError", {}, "regression"),
    ("RootMeanSquaredError", {}, "regression"),
    ("RootMeanSquaredError", {}, "regression_flat"),
    ("CategoricalCrossentropy", {}, "one_hot"),
    ("CategoricalCrossentropy", {"from_logits": True}, "one_hot_logits"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, "one_hot"),
    ("SparseCategoricalCrossentropy", {}, "sparse"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "sparse_logits"),
    ("SparseCategoricalCrossentropy", {"ignore_class": 2}, "sparse"),
    ("SparseCategoricalCrossentropy", {}, "images"),
    ("BinaryCrossentropy", {}, "binary"),
    ("BinaryCrossentropy", {"from_logits": True}, "binary_logits"),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, "multi_hot"),
    ("Precision", {}, "binary"),
    ("Precision", {}, "binary_flat"),
    ("Precision", {"thresholds": 0.3}, "multi_hot"),
    ("Precision", {"thresholds": [0.7, 0.2]}, "multi_hot"),
    ("Precision", {"class_id": 2}, "one_hot"),
    ("Precision", {"top_k": 2}, "one_hot"),
    ("Precision", {"top_k": 2, "class_id": 1}, "one_hot"),
    ("Recall", {}, "binary"),
    ("Recall", {"thresholds": [0.0, 0.5, 1.0]}, "multi_hot"),
    ("Recall", {"class_id": 2, "thresholds": 0.2}, "one_hot"),
    ("Recall", {"top_k": 3}, "one_hot"),
    ("F1Score", {}, "one_hot"),
    ("F1Score", {"average": "micro"}, "one_hot"),
    ("F1Score", {"average": "macro", "threshold": 0.4}, "multi_hot"),
    ("F1Score", {"average": "weighted"}, "one_hot"),
    ("F1Score", {"threshold": 0.5}, "binary"),
    ("FBetaScore", {"beta": 2.0, "average": "macro"}, "one_hot"),
    ("AUC", {}, "binary"),
    ("AUC", {"curve": "PR"}, "binary"),
    ("AUC", {"num_thresholds": 5}, "multi_hot"),
    ("AUC", {"summation_method": "minoring"}, "binary"),
    ("AUC", {"summation_method": "majoring"}, "multi_hot"),
    ("AUC", {"curve": "PR", "summation_method": "minoring"}, "multi_hot"),
    ("AUC", {"thresholds": [0.1, 0.35, 0.8]}, "multi_hot"),
    ("AUC", {"from_logits": True}, "binary_logits"),
    ("AUC", {"multi_label": True}, "multi_hot"),
    ("AUC", {"multi_label": True, "curve": "PR"}, "multi_hot"),
    ("AUC", {"multi_label": True, "num_labels": K, "label_weights": [1.0, 2.0, 0.0, 1.0, 1.0, 3.0, 1.0]}, "multi_hot"),
    ("AUC", {"label_weights": [1.0, 2.0, 0.0, 1.0, 1.0, 3.0, 1.0]}, "multi_hot"),
]


def value_of(metric):
    return np.asarray(metric.result(), dtype=np.float64)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name, config, kind", CASES)
def test_as_keras(keras, name, config, kind, weighted):
    y_true, y_pred = data(kind)
    weight = np.random.default_rng(5).random(N).astype(np.float32) if weighted else None
    if weighted and kind == "images":
        weight = np.random.default_rng(5).random((N, 4, 3)).astype(np.float32)
    ours, theirs = getattr(metrics, name)(**config), getattr(keras.metrics, name)(**config)
    if "ignore_class" in config and not weighted:  # Keras counts ignored samples when there are no weights
        weight = np.ones(N, np.float32)
    for rows in (slice(0, 20), slice(20, N)):
        w = None if weight is None else weight[rows]
        ours.update_state(y_true[rows], y_pred[rows], w)
        theirs.update_state(y_true[rows], y_pred[rows], w)
    expected = np.asarray(keras.ops.convert_to_numpy(theirs.result()), dtype=np.float64)
    assert value_of(ours).shape == expected.shape
    np.testing.assert_allclose(value_of(ours), expected, rtol=2e-5, atol=2e-6)
    if name not in ("AUC", "Precision", "Recall"):  # named with a global counter by Keras
        assert ours.name == theirs.name
    assert ours.direction == theirs._direction
    again = metrics.deserialize(
        {
            "class_name": name,
            "config": {
                **theirs.get_config(),
                "dtype": None,
                **({"label_weights": config["label_weights"]} if "label_weights" in config else {}),
            },
        }
    )
    assert {**again.get_config(), "name": ""} == {**ours.get_config(), "name": ""}


@pytest.mark.parametrize("name, config, kind", CASES)
def test_batches_reset_config_and_types(name, config, kind):
    y_true, y_pred = data(kind, seed=1)
    make = getattr(metrics, name)
    whole = make(**config)
    before = copy_of(whole.result())
    assert make(**config)(y_true, y_pred) == pytest.approx(whole(y_true, y_pred), rel=1e-12)
    parts = make(**config)
    for start in range(0, N, 5):  # the last batch is shorter than the others
        parts.update_state(y_true[start : start + 5], y_pred[start : start + 5])
    np.testing.assert_allclose(value_of(parts), value_of(whole), rtol=1e-12)
    assert isinstance(whole.result(), (float, np.ndarray))
    assert make(**config, dtype="float32")(y_true, y_pred).dtype == np.float32
    config_again = json.loads(json.dumps(metrics.serialize(parts)))
    again = metrics.deserialize(config_again)
    assert again.get_config() == parts.get_config()
    np.testing.assert_allclose(again(y_true, y_pred), value_of(whole), rtol=1e-12)
    parts.reset_state()
    np.testing.assert_array_equal(parts.result(), before)


def copy_of(value):
    return np.array(value)


@pytest.mark.parametrize("name, config, kind", [c for c in CASES if c[2] not in ("integers",)])
def test_weight_two_counts_twice_and_zero_not_at_all(name, config, kind):
    y_true, y_pred = data(kind, seed=2)
    weights = np.random.default_rng(3).integers(0, 3, N).astype(np.float64)
    weighted = getattr(metrics, name)(**config)
    weighted.update_state(y_true, y_pred, weights)
    repeated = getattr(metrics, name)(**config)
    rows = np.repeat(np.arange(N), weights.astype(int))
    repeated.update_state(y_true[rows], y_pred[rows])
    np.testing.assert_allclose(value_of(weighted), value_of(repeated), rtol=1e-9)


@pytest.mark.parametrize("name, config, kind", [c for c in CASES if "ignore_class" not in c[1]])
def test_nan_prediction_makes_the_result_nan_until_reset(name, config, kind):
    y_true, y_pred = data(kind, seed=3)
    metric = getattr(metrics, name)(**config)
    clean = copy_of(metric(y_true, y_pred))
    bad = y_pred.copy()
    bad[(3,) + (0,) * (bad.ndim - 1)] = np.nan
    metric.reset_state()
    metric.update_state(y_true, bad)
    metric.update_state(y_true, y_pred)  # good batches do not heal it
    if "class_id" in config and "top_k" not in config:
        assert metric.result() == clean  # the NaN is in a column that does not count
    else:
        assert np.isnan(value_of(metric)).all()
    metric.reset_state()
    np.testing.assert_array_equal(metric(y_true, y_pred), clean)


def test_ignored_class_is_left_out_of_the_mean():
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75], [0.1, 0.9]])
    metric = metrics.SparseCategoricalCrossentropy(ignore_class=-1)
    assert metric([0, -1, -1], probabilities) == pytest.approx(math.log(2))
    metric.reset_state()
    assert metric([0, 0, -1], probabilities, [3.0, 1.0, 5.0]) == pytest.approx((3 * math.log(2) + math.log(4)) / 4)
    images = metrics.SparseCategoricalCrossentropy(ignore_class=255)
    assert images([[[255, 0]], [[1, 255]]], np.full((2, 1, 2, 4), 0.25), [1.0, 3.0]) == pytest.approx(math.log(4))


@pytest.mark.filterwarnings("error")
def test_infinite_predictions_warn_of_nothing():
    infinite = np.array([[np.inf, np.inf]], np.float32)
    assert math.isnan(metrics.CategoricalCrossentropy(from_logits=True)([[1, 0]], infinite))
    assert math.isnan(metrics.CategoricalCrossentropy()([[1, 0]], infinite))
    assert math.isnan(metrics.BinaryCrossentropy(from_logits=True)([[1, 0]], infinite))
    assert metrics.MeanSquaredError()([[1, 0]], infinite) == math.inf
    assert math.isnan(metrics.MeanAbsoluteError()([[np.inf, 0]], infinite))


def test_sums_are_kept_in_float64():
    metric = Mean()
    for _ in range(3):
        metric.update_state(np.full(2**20, 0.1, np.float32))
    assert metric.result() == pytest.approx(float(np.float32(0.1)), rel=1e-13)
    total = Sum()
    total.update_state([2.0**24])
    total.update_state([1.0])
    assert total.result() == 2**24 + 1


def test_mean_and_sum_by_hand():
    mean, total = Mean(), Sum()
    for metric, plain, weighted in ((mean, 4.0, 2.0), (total, 16.0, 4.0)):
        assert metric.result() == 0.0
        assert metric([1, 3, 5, 7]) == plain
        metric.reset_state()
        assert metric([1, 3, 5, 7], sample_weight=[1, 1, 0, 0]) == weighted
    mean.reset_state()
    assert mean(5.0) == 5.0 and mean(7.0) == 6.0  # scalars: one sample each
    mean.reset_state()
    assert mean([1.0, 2.0], sample_weight=[0, 0]) == 0.0


def test_cross_entropy_in_nats():
    """-log(0.01) = 4.60517 and -log(0.9) = 0.105361."""
    metric = metrics.SparseCategoricalCrossentropy()
    assert metric([0], np.array([[0.01, 0.99]])) == pytest.approx(4.605170186)
    metric.reset_state()
    assert metric([0], np.array([[0.9, 0.1]])) == pytest.approx(0.1053605157)
    binary = metrics.BinaryCrossentropy()
    assert binary([1], np.array([[0.9]])) == pytest.approx(0.1053605157)
    assert metrics.BinaryCrossentropy(from_logits=True)([1], np.array([[1000.0]])) == 0.0
    assert metrics.BinaryCrossentropy(from_logits=True)([0], np.array([[1000.0]])) == 1000.0
    assert metrics.CategoricalCrossentropy(from_logits=True)([[1, 0]], [[-1e4, 1e4]]) == 2e4


def test_accuracies_by_hand():
    assert metrics.BinaryAccuracy()([1, 1, 0, 0], [0.98, 1, 0, 0.6]) == 0.75
    assert metrics.BinaryAccuracy()([0], [0.5]) == 1.0  # above, not at, the threshold
    assert metrics.SparseCategoricalAccuracy()([2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]]) == 0.5
    assert metrics.CategoricalAccuracy()([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]) == 0.5
    assert metrics.SparseTopKCategoricalAccuracy(k=2)([2, 0], [[0.1, 0.6, 0.3], [0.05, 0.9, 0.1]]) == 0.5
    assert metrics.SparseTopKCategoricalAccuracy(k=2, from_sorted_ids=True)([2, 1], [[2, 0, 1], [0, 2, 1]]) == 0.5
    ties = np.array([[0.5, 0.5, 0.5]])
    assert metrics.SparseTopKCategoricalAccuracy(k=1)([2], ties) == 1.0
    assert metrics.SparseCategoricalAccuracy()([-1, 1], [[0, 1.0], [0, 1.0]]) == 0.5


def test_a_float32_score_at_the_threshold_is_not_above_it():
    score = np.array([0.3, 0.9], np.float32)
    assert metrics.BinaryAccuracy(threshold=0.3)([0, 1], score) == 1.0
    assert Recall(thresholds=0.3)([1, 1], score) == 0.5


def test_confusion_by_hand():
    y_true, y_pred = [0, 1, 1, 1], [0.9, 0.2, 0.7, 0.8]
    assert Precision()(y_true, y_pred) == pytest.approx(2 / 3)
    assert Recall()(y_true, y_pred) == pytest.approx(2 / 3)
    assert Precision()([1], [0.1]) == 0.0 and Recall()([0], [0.1]) == 0.0
    assert F1Score(average="macro", threshold=0.5)(
        np.array(y_true)[:, None], np.array(y_pred)[:, None]
    ) == pytest.approx(2 / 3, abs=1e-6)


def test_auc_by_rank():
    """With enough thresholds ROC AUC is the share of (positive, negative) pairs in the right order."""
    rng = np.random.default_rng(8)
    truth = rng.random(300) < 0.3
    score = np.clip(rng.random(300) * 0.6 + 0.4 * truth * rng.random(300), 0, 1)
    pairs = score[truth][:, None] - score[~truth][None]
    expected = np.mean(pairs > 0) + 0.5 * np.mean(pairs == 0)
    assert AUC(num_thresholds=20_001)(truth, score) == pytest.approx(expected, abs=1e-3)
    assert AUC()([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]) == pytest.approx(1.0)
    assert AUC()([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]) == pytest.approx(0.0, abs=1e-12)
    assert AUC(curve="PR")([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]) == pytest.approx(1.0)


def test_auc_and_pr_as_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    truth, score = data("binary", seed=11)
    truth, score = np.tile(truth[:, 0], 4), np.random.default_rng(1).random(4 * N)
    assert AUC(num_thresholds=50_001)(truth, score) == pytest.approx(sklearn.roc_auc_score(truth, score), abs=1e-4)
    assert Precision()(truth, score) == pytest.approx(sklearn.precision_score(truth, score > 0.5))
    y_true, y_pred = data("sparse", seed=11)
    assert F1Score(average="macro")(np.eye(K)[y_true], y_pred) == pytest.approx(
        sklearn.f1_score(y_true, y_pred.argmax(1), average="macro"), abs=1e-6
    )


@pytest.mark.parametrize(
    "y_true, y_pred, expected",
    [
        ((None,), (None, 1), metrics.BinaryAccuracy),
        ((None, 1), (None, 1), metrics.BinaryAccuracy),
        ((None,), (None, 10), metrics.SparseCategoricalAccuracy),
        ((8, 1), (8, 10), metrics.SparseCategoricalAccuracy),
        ((8, 10), (8, 10), metrics.CategoricalAccuracy),
        ((8, 4, 4), (8, 4, 4, 3), metrics.SparseCategoricalAccuracy),
        ((8, 4, 4, 1), (8, 4, 4, 3), metrics.SparseCategoricalAccuracy),
        ((8, 4, 4, 1), (8, 4, 4, 1), metrics.BinaryAccuracy),
        ((8, 4, 4, 3), (8, 4, 4, 3), metrics.CategoricalAccuracy),
    ],
)
def test_accuracy_means_what_the_shapes_say(y_true, y_pred, expected):
    assert resolve_accuracy(y_true, y_pred) is expected
    made = resolve(["acc"], y_true, y_pred)[0]
    assert type(made) is expected and made.name == "acc"


def test_get():
    for name, cls in (
        ("accuracy", "Accuracy"),
        ("acc", "Accuracy"),
        ("mse", "MeanSquaredError"),
        ("MAE", "MeanAbsoluteError"),
        ("f1_score", "F1Score"),
        ("AUC", "AUC"),
        ("auc", "AUC"),
        ("sparse_categorical_accuracy", "SparseCategoricalAccuracy"),
        ("precision", "Precision"),
    ):
        assert type(metrics.get(name)).__name__ == cls
    assert metrics.get(None) is None
    recall = Recall()
    assert metrics.get(recall) is recall and type(metrics.get(Recall)) is Recall

    def largest_error(y_true, y_pred):
        return np.max(np.abs(y_true - y_pred), axis=-1)

    custom = metrics.get(largest_error)
    assert custom.name == "largest_error"
    assert custom(np.array([[0.0, 0], [0, 0]]), np.array([[1.0, 2], [3, 0]])) == 2.5
    with pytest.raises(ValueError, match="subclass of Metric"):
        metrics.serialize(custom)


def test_resolve_names():
    made = resolve(["accuracy", "mse", Precision(), Precision(class_id=1), AUC(name="roc")], (None,), (None, 10))
    assert [m.name for m in made] == ["accuracy", "mse", "precision", "precision_1", "roc"]
    again = Recall()
    with pytest.raises(ValueError, match="same object twice"):
        resolve([again, again], (None,), (None, 10))
    with pytest.raises(ValueError, match="must not be None"):
        resolve([None], (None,), (None, 10))


@pytest.mark.parametrize(
    "name, direction",
    [
        ("loss", "down"),
        ("val_loss", "down"),
        ("val_accuracy", "up"),
        ("acc", "up"),
        ("auc_1", "up"),
        ("mse", "down"),
        ("head_loss", "down"),
        ("val_head_precision_2", "up"),
        ("mean", None),
        ("learning_rate", None),
        ("speed", None),
    ],
)
def test_directions(name, direction):
    assert metrics.direction_of(name) == direction


@pytest.mark.parametrize(
    "run, message",
    [
        (lambda: metrics.get("acuracy"), "did you mean 'accuracy'"),
        (lambda: metrics.get(3), "identifier must be"),
        (lambda: metrics.MeanSquaredError()(np.zeros((4, 2)), np.zeros((4, 3))), r"\(4, 2\) and \(4, 3\)"),
        (lambda: metrics.MeanSquaredError()(np.zeros(4), np.zeros((4, 3))), "must have the shape of y_pred"),
        (lambda: metrics.CategoricalAccuracy()(np.zeros(4), np.zeros((4, 3))), "must have the shape of y_pred"),
        (lambda: metrics.SparseCategoricalAccuracy()(np.zeros((4, 3)), np.zeros((4, 3))), "one-hot targets belong"),
        (lambda: metrics.SparseCategoricalAccuracy()(np.zeros(5), np.zeros((4, 3))), "one class number for each"),
        (lambda: metrics.SparseCategoricalAccuracy()([0.5], np.zeros((1, 3))), "whole class numbers"),
        (lambda: metrics.SparseCategoricalAccuracy()([np.nan], np.zeros((1, 3))), "whole class numbers"),
        (lambda: metrics.SparseCategoricalCrossentropy()([3], np.ones((1, 3))), r"in 0..2, got 3"),
        (lambda: metrics.SparseTopKCategoricalAccuracy()([1], np.ones((1, 3))), "k must not exceed the 3 classes"),
        (lambda: metrics.MeanSquaredError()([np.nan], [1.0]), r"y_true must not contain NaN, got nan at index \(0,\)"),
        (lambda: metrics.MeanSquaredError()([0.0, 0.0], [1.0, 1.0], [1.0, np.nan]), "sample_weight must be finite"),
        (lambda: metrics.MeanSquaredError()([0.0, 0.0], [1.0, 1.0], [1.0, 1.0, 1.0]), "one weight for each"),
        (lambda: Recall()([0.0, 0.0], [1.0, 1.0], [1.0, 1.0, 1.0]), "one weight for each sample"),
        (
            lambda: metrics.SparseCategoricalCrossentropy(ignore_class=0)([0, 1], np.eye(2), [1.0, 1.0, 1.0]),
            "one weight",
        ),
        (lambda: F1Score()(np.eye(3), np.eye(3), [1.0, 1.0]), "one weight for each of the 3 samples"),
        (lambda: F1Score()([0, 1], np.zeros((2, 3))), "must have the shape of y_pred"),
        (lambda: F1Score(average="mean"), "average must be one of"),
        (lambda: metrics.FBetaScore(beta=0), "beta"),
        (lambda: F1Score(threshold=0), r"in \(0, 1\]"),
        (lambda: AUC()([0, 1], [-3.0, 3.0]), "for logits use from_logits=True"),
        (lambda: AUC(curve="RCO"), "did you mean 'ROC'"),
        (lambda: AUC(num_thresholds=1), "num_thresholds"),
        (lambda: AUC(num_labels=3), "multi_label=True only"),
        (lambda: AUC(summation_method="x"), "summation_method"),
        (lambda: AUC(multi_label=True)([0, 1], [0.0, 1.0]), "shape"),
        (lambda: AUC(multi_label=True, num_labels=2)(np.eye(3), np.eye(3)), "must have 2 labels, got 3"),
        (lambda: AUC(label_weights=[1, 2])(np.eye(3), np.eye(3)), "one for each of the 3 labels"),
        (lambda: Precision(thresholds=1.5), "threshold"),
        (lambda: Precision(thresholds=[]), "empty"),
        (lambda: Precision(class_id=3)(np.eye(3), np.eye(3)), "class_id"),
        (lambda: Precision(top_k=4)(np.eye(3), np.eye(3)), "top_k must not exceed"),
        (lambda: metrics.TopKCategoricalAccuracy(k=0), "k must be an integer >= 1"),
        (lambda: metrics.BinaryCrossentropy(label_smoothing=2), "label_smoothing"),
        (lambda: Mean(dtype="int8"), "dtype must be one of"),
        (lambda: Mean(name=3), "name must be a string"),
        (lambda: metrics.MeanMetricWrapper(3), "fn must be callable"),
    ],
)
def test_wrong_arguments(run, message):
    with pytest.raises(ValueError, match=message):
        run()


def test_a_refused_batch_changes_nothing():
    for metric, good, bad in (
        (metrics.MeanSquaredError(), ([1.0], [0.0]), ([1.0], [[0.0, 0.0]])),
        (Recall(), ([1, 1], [0.1, 0.9]), ([1.0, np.nan], [0.5, 0.5])),
        (F1Score(threshold=0.5), ([1, 1], [0.1, 0.9]), (np.eye(3), np.eye(3))),
        (AUC(), ([1, 0], [0.1, 0.9]), ([1, 0], [3.0, 0.9])),
    ):
        before = copy_of(metric(*good))
        with pytest.raises(ValueError):
            metric.update_state(*bad)
        np.testing.assert_array_equal(metric.result(), before)


def test_base_class_says_what_to_define():
    metric = metrics.Metric()
    for call in (lambda: metric.update_state(0, 0), metric.result, metric.reset_state):
        with pytest.raises(NotImplementedError, match="must be defined"):
            call()
    assert not math.isnan(Mean().result())
