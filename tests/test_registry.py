"""Checks of arguments, and the closed tables of names."""

import sys

import numpy as np
import pytest

from cnncore import checks
from cnncore.registry import Configurable, Registry, to_snake_case


class Shade(Configurable):
    def __init__(self, level, name="shade"):
        self.level, self.name = level, name

    def get_config(self):
        return {"level": self.level, "name": self.name}

    def __call__(self):
        return self.level


class Plain(Configurable):
    def __call__(self):
        return 0


TABLE = Registry("colour", [Shade, Plain], {"grey": Plain})


@pytest.mark.parametrize(
    "name, snake",
    [
        ("HeNormal", "he_normal"),
        ("AUC", "auc"),
        ("F1Score", "f1_score"),
        ("Conv2D", "conv2d"),
        ("SparseTopKCategoricalAccuracy", "sparse_top_k_categorical_accuracy"),
        ("ReLU", "re_lu"),
    ],
)
def test_snake_case_is_that_of_keras(name, snake):
    assert to_snake_case(name) == snake


def test_round_trip():
    again = TABLE.deserialize(TABLE.serialize(Shade(0.5)))
    assert type(again) is Shade and again.get_config() == {"level": 0.5, "name": "shade"}
    assert repr(again) == "Shade(level=0.5, name='shade')"
    for identifier in (
        "Plain",
        "plain",
        "grey",
        Plain,
        {"class_name": "Plain", "config": {}},
        {"class_name": "Plain"},
        {"module": "os", "class_name": "Plain", "config": {}, "registered_name": None},
    ):
        assert type(TABLE.get(identifier)) is Plain
    assert TABLE.get(None) is None and TABLE.get(len) is len


@pytest.mark.parametrize(
    "identifier, message",
    [
        ("grae", "colour 'grae' is unknown; the valid names are Plain, Shade; did you mean 'grey'?"),
        ("shade", "Shade: config must match the arguments .*missing 1 required .*'level'"),
        (Shade, "missing 1 required"),
        ({"class_name": "Shade", "config": {"level": 1, "colour": 2}}, "unexpected keyword argument 'colour'"),
        ({"class_name": "Shade", "config": None}, "config must be a dict of arguments"),
        ({"class_name": "Shade", "config": {1: 2}}, "config must be a dict of arguments"),
        ({"class_name": None}, "None is unknown"),
        ({}, '"class_name"'),
        ({"class_name": "Plain", "build": 1}, "got also 'build'"),
        (3, "must be a name, a config dict, a class, an object or a callable, got 3"),
    ],
)
def test_wrong_identifiers(identifier, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?") if message.endswith("?") else message):
        TABLE.get(identifier)


def test_type_error_of_a_constructor_is_a_value_error_of_the_config():
    class Strict(Plain):
        @classmethod
        def from_config(cls, config):
            return cls(**config)

    table = Registry("colour", [Strict])
    with pytest.raises(ValueError, match="colour 'Strict': config must hold the arguments of its constructor, got"):
        table.deserialize({"class_name": "Strict", "config": {"level": 1}})


def test_names_are_never_imported():
    assert "antigravity" not in sys.modules
    for name in ("antigravity", "antigravity.geohash", "os.system", "builtins.eval", "__import__"):
        for config in ({"class_name": name}, {"class_name": name, "module": "antigravity", "config": {}}):
            with pytest.raises(ValueError, match="is unknown"):
                TABLE.get(config)
    assert "antigravity" not in sys.modules


def test_custom_objects_are_the_callers_own():
    class Tint(Shade):
        pass

    config = TABLE.serialize(Tint(1))
    with pytest.raises(ValueError, match="'Tint' is unknown"):
        TABLE.deserialize(config)
    assert type(TABLE.deserialize(config, {"Tint": Tint})) is Tint


@pytest.mark.parametrize(
    "check, good, bad",
    [
        (
            lambda v: checks.number("x", "a", v),
            [0, -1.5, np.float32(2), np.int8(3)],
            [True, "1", None, 1j, np.nan, np.inf],
        ),
        (lambda v: checks.positive("x", "a", v), [1, 1e-30], [0, -1, np.inf]),
        (lambda v: checks.non_negative("x", "a", v), [0, 1], [-1e-9, np.nan]),
        (lambda v: checks.integer("x", "a", v, 2), [2, np.int64(5)], [1, 2.0, True, "2", None]),
        (lambda v: checks.boolean("x", "a", v), [True, False], [1, 0, None, "True"]),
        (lambda v: checks.choice("x", "a", v, ("same", None, 2)), ["same", None, 2], ["valid", True, 2.0, ["same"]]),
    ],
)
def test_checks(check, good, bad):
    for value in good:
        assert check(value) == value
    for value in bad:
        with pytest.raises(ValueError, match="x: a must .*, got "):
            check(value)


def test_suggestion():
    assert checks.suggestion("vaild", ["same", "valid"]) == "; did you mean 'valid'?"
    assert checks.suggestion("zzz", ["same"]) == "" and checks.suggestion(3, ["same"]) == ""
