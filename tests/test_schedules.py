"""Learning-rate schedules: values from their equations, end points, and Keras as a second opinion."""

import math

import numpy as np
import pytest

from cnncore.optimizers import schedules
from cnncore.optimizers.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseSquareRootDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

CASES = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.9}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [3, 10], "values": [1.0, 0.5, 0.1]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.5, "decay_steps": 20}),
    ("PolynomialDecay", {"initial_learning_rate": 0.5, "decay_steps": 20, "end_learning_rate": 0.0, "power": 2.0}),
    ("PolynomialDecay", {"initial_learning_rate": 0.5, "decay_steps": 20, "power": 0.5, "cycle": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.3, "decay_steps": 5, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.3, "decay_steps": 5, "decay_rate": 0.5, "staircase": True}),
    ("CosineDecay", {"initial_learning_rate": 0.2, "decay_steps": 30}),
    ("CosineDecay", {"initial_learning_rate": 0.2, "decay_steps": 30, "alpha": 0.1}),
    ("CosineDecay", {"initial_learning_rate": 0.0, "decay_steps": 30, "warmup_target": 0.4, "warmup_steps": 6}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 30, "warmup_target": 0.4}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.2, "first_decay_steps": 6}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.2, "first_decay_steps": 6, "t_mul": 1.0, "m_mul": 0.5}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.2, "first_decay_steps": 5, "t_mul": 1.5, "alpha": 0.05}),
]


@pytest.mark.parametrize("name, config", CASES)
def test_values_as_keras(keras, name, config):
    """Keras computes in float32; a step of a staircase may fall on either side there, so steps next to one are left."""
    ours = getattr(schedules, name)(**config)
    theirs = getattr(keras.optimizers.schedules, name)(**config)
    restarts = {6, 18, 42, 90, 5, 12, 13, 24, 25} if name == "CosineDecayRestarts" else set()
    for step in range(64):
        if step in restarts:
            continue
        expected = float(theirs(np.int64(step)))
        assert ours(step) == pytest.approx(expected, rel=2e-5, abs=1e-6), step
    theirs_config, ours_config = theirs.get_config(), ours.get_config()
    assert set(theirs_config) == set(ours_config)
    assert all(theirs_config[key] == ours_config[key] for key in ours_config)
    assert schedules.deserialize(keras.optimizers.schedules.serialize(theirs)).get_config() == ours_config


@pytest.mark.parametrize("name, config", CASES + [("InverseSquareRootDecay", {"initial_learning_rate": 0.1})])
def test_pure_and_serializable(name, config):
    schedule = getattr(schedules, name)(**config)
    forwards = [schedule(step) for step in range(70)]
    assert [schedule(step) for step in reversed(range(70))] == forwards[::-1]
    assert all(type(rate) is float and math.isfinite(rate) and rate >= 0 for rate in forwards)
    again = schedules.deserialize(schedules.serialize(schedule))
    assert [again(step) for step in range(70)] == forwards
    assert schedules.get(schedule) is schedule
    assert schedules.get(schedules.serialize(schedule)).get_config() == schedule.get_config()
    assert schedule(np.int64(3)) == forwards[3] and schedule(3.0) == forwards[3]


def test_exponential_is_step_decay_with_staircase():
    """Halve every 5 steps, multiply by 0.1 every 20."""
    half = ExponentialDecay(0.8, 5, 0.5, staircase=True)
    assert [half(s) for s in (0, 4, 5, 9, 10)] == [0.8, 0.8, 0.4, 0.4, 0.2]
    tenth = ExponentialDecay(1.0, 20, 0.1, staircase=True)
    assert [tenth(s) for s in (19, 20, 40)] == pytest.approx([1, 0.1, 0.01])


def test_a_boundary_belongs_to_the_interval_it_ends():
    schedule = PiecewiseConstantDecay([100, 110], [1.0, 0.5, 0.1])
    assert [schedule(s) for s in (0, 100, 101, 110, 111)] == [1.0, 1.0, 0.5, 0.5, 0.1]


def test_linear_reaches_its_end_at_decay_steps_and_stays():
    schedule = PolynomialDecay(1.0, 10, end_learning_rate=0.0)
    assert [schedule(s) for s in range(11)] == pytest.approx([1 - s / 10 for s in range(11)])
    assert schedule(10) == schedule(11) == schedule(10**9) == 0.0
    assert PolynomialDecay(1.0, 10, end_learning_rate=0.25)(10) == 0.25


def test_polynomial_cycle_ends_at_each_multiple():
    schedule = PolynomialDecay(1.0, 10, end_learning_rate=0.0, cycle=True)
    assert schedule(0) == 1 and schedule(10) == 0 and schedule(20) == 0
    assert schedule(15) == pytest.approx(1 - 15 / 20)


def test_cosine_end_points():
    schedule = CosineDecay(1.0, 100)
    assert schedule(0) == 1.0 and schedule(50) == pytest.approx(0.5) and schedule(100) == 0.0 == schedule(10**9)
    assert schedule(25) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert CosineDecay(2.0, 100, alpha=0.1)(100) == pytest.approx(0.2)


def test_warmup_is_linear_and_joins_the_decay():
    schedule = CosineDecay(0.0, 10, warmup_target=1.0, warmup_steps=4)
    assert [schedule(s) for s in range(5)] == [0, 0.25, 0.5, 0.75, 1.0]
    assert schedule(14) == 0.0 and schedule(13) > 0


def test_inverse_square_root_starts_at_one():
    schedule = InverseSquareRootDecay(0.3)
    assert schedule(0) == 0.3
    assert [schedule(t - 1) for t in (4, 9, 100)] == pytest.approx([0.15, 0.1, 0.03])


def test_inverse_time():
    assert [InverseTimeDecay(1.0, 10, 1.0)(s) for s in (0, 10, 30)] == pytest.approx([1, 1 / 2, 1 / 4])
    assert InverseTimeDecay(1.0, 10, 1.0, staircase=True)(9) == 1.0


@pytest.mark.parametrize("t_mul", [1.0, 1.1, 1.5, 2.0, 3.0])
def test_restarts_are_exact(t_mul):
    """At the first step of each period the rate is the highest, at the last one the lowest of it."""
    schedule = CosineDecayRestarts(1.0, 1000, t_mul=t_mul, m_mul=0.5)
    start, length = 0.0, 1000.0
    for period in range(12):
        assert schedule(math.ceil(start)) == pytest.approx(0.5**period, rel=1e-4)
        assert schedule(math.ceil(start + length) - 1) < 1e-5
        start, length = start + length, length * t_mul


def test_restarts_with_doubling_fall_on_whole_steps():
    schedule = CosineDecayRestarts(1.0, 10)
    assert [schedule(s) for s in (0, 10, 30, 70, 150)] == [1.0] * 5
    assert schedule(20) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ExponentialDecay(0.1, 0, 0.5), "ExponentialDecay: decay_steps must be a finite number > 0, got 0"),
        (lambda: ExponentialDecay(0.1, 10, -0.5), "decay_rate"),
        (lambda: ExponentialDecay(-0.1, 10, 0.5), "initial_learning_rate"),
        (lambda: ExponentialDecay(0.1, 10, 0.5, staircase=1), "staircase must be True or False"),
        (lambda: PiecewiseConstantDecay([1, 2], [1.0, 2.0]), "one more than boundaries"),
        (lambda: PiecewiseConstantDecay([2, 2], [1.0, 2.0, 3.0]), "increase strictly"),
        (lambda: PolynomialDecay(0.1, 10, power=0), "power"),
        (lambda: CosineDecay(0.1, 10, alpha=2), r"alpha must be in \[0, 1\]"),
        (lambda: CosineDecay(0.1, 10, warmup_steps=5), "warmup_target must be given"),
        (lambda: CosineDecayRestarts(0.1, 10, t_mul=0.5), "t_mul must be a finite number >= 1"),
        (lambda: CosineDecay(0.1, 10)(-1), "step"),
        (lambda: CosineDecay(0.1, 10)(float("nan")), "step"),
        (lambda: schedules.get("CosineDecay"), "arguments that a name cannot give"),
        (lambda: schedules.deserialize({"class_name": "CosineDecy", "config": {}}), "did you mean 'CosineDecay'"),
        (lambda: schedules.deserialize({"class_name": "CosineDecay", "config": {}}), "must match the arguments"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_base_class_says_what_to_define():
    with pytest.raises(NotImplementedError, match="__call__"):
        schedules.LearningRateSchedule()(0)
    with pytest.raises(NotImplementedError, match="get_config"):
        schedules.serialize(schedules.LearningRateSchedule())
