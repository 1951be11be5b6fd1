"""Predictions of large batches run in parts through the whole network."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import layers
from cnncore.compiler import programs


@pytest.fixture
def small_parts(monkeypatch):
    """The largest result of three samples of `_two_heads` fills a part, and no part is smaller than four."""
    monkeypatch.setattr(programs, "PART_SAMPLES", 4)
    monkeypatch.setattr(programs, "PART_BYTES", 3 * 4 * 6 * 6 * 4)


def _two_heads(**call):
    """A network of bytes and numbers with two outputs; `call` is how a dropout and a normalisation are called."""
    images, numbers = cc.Input((8, 8, 3), dtype="uint8", name="images"), cc.Input((5,), name="numbers")
    x = layers.Rescaling(1 / 255)(images)
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(x), **call)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    x = layers.Concatenate()([x, layers.Dropout(0.5)(numbers, **call)])
    return cc.Model([images, numbers], {"a": layers.Dense(3, activation="softmax")(x), "b": layers.Dense(2)(x)})


def _samples_of_two_heads(n):
    draw = np.random.default_rng(n)
    return [draw.integers(0, 256, (n, 8, 8, 3), np.uint8), draw.normal(size=(n, 5)).astype(np.float32)]


@pytest.mark.parametrize("n, part", [(7, 7), (8, 4), (10, 5), (11, 11), (12, 4), (25, 5), (33, 11)])
def test_a_prediction_in_parts_is_that_of_the_parts(small_parts, n, part):
    """Bit for bit, and in the memory of a part. n without a divisor of a useful size is not cut."""
    model, x = _two_heads(), _samples_of_two_heads(n)
    assert programs.samples_of_part(model, n) == part
    whole = model.predict_on_batch(x)
    for begin in range(0, n, part):
        alone = model.predict_on_batch([array[begin : begin + part] for array in x])
        for name in ("a", "b"):
            np.testing.assert_array_equal(whole[name][begin : begin + part], alone[name])
    assert model.memory(n) == model.memory(part)
    assert model._program_for(n, False) is model._program_for(part, False)


def test_parts_are_as_large_as_the_largest_result_of_nested_models_allows(small_parts):
    """It is that of the convolution, 6x6x4, whose three samples fill a part; of a result of 4 numbers, 108 do."""
    inputs, nested = [cc.Input((8, 8, 3), dtype="uint8"), cc.Input((5,))], _two_heads()
    assert programs.samples_of_part(cc.Model(inputs, list(nested(inputs).values())), 216) == 4
    small = cc.Input((4,))
    assert programs.samples_of_part(cc.Model(small, layers.ReLU()(small)), 216) == 108


def test_what_depends_on_the_batch_is_not_cut(small_parts):
    model, x = _two_heads(training=True), _samples_of_two_heads(16)
    assert programs.samples_of_part(model, 16) == 16
    part = model.predict_on_batch([array[:8] for array in x])["b"]
    assert (model.predict_on_batch(x)["b"][:8] != part).any()
    outer = cc.Model(model.inputs, _two_heads()(model.inputs, training=True)["a"])
    assert programs.samples_of_part(outer, 16) == 16


def test_reports_tell_of_parts(small_parts):
    model = _two_heads()
    assert "runs 3 times for 12 samples, 4 at a time" in model.describe(12)
    assert "at a time" not in model.describe(4)
    for arguments in (dict(batch_size=12), dict(x=_samples_of_two_heads(12))):
        assert "for 4 samples" in model.profile(repeats=1, **arguments)
