"""Learning rates that depend on the step: pure functions of it, in float64.

``schedule(step)`` takes the number of updates made before this one, so the first update uses ``schedule(0)``,
and returns a Python float. Nothing is remembered between calls: resuming at step s needs no more than s.

The end of a decay is inclusive: the last value is reached at ``step == decay_steps`` and kept from there on.
"""

import bisect
import math

from .. import checks
from ..registry import Configurable, Registry


class LearningRateSchedule(Configurable):
    """Base of schedules. A subclass defines ``__call__(step)`` and `get_config`."""

    def __call__(self, step):
        raise NotImplementedError(f"{type(self).__name__}: __call__(step) must be defined")

    def get_config(self):
        raise NotImplementedError(f"{type(self).__name__}: get_config() must be defined for the schedule to be saved")

    def _step(self, step):
        return checks.non_negative(type(self).__name__, "step", step)


class _RateDecay(LearningRateSchedule):
    """Base of ExponentialDecay and InverseTimeDecay: the rate falls by a measure in every period of `decay_steps`."""

    _check_rate = staticmethod(checks.non_negative)

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase, name):
        owner = type(self).__name__
        self.initial_learning_rate = checks.non_negative(owner, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps(owner, "decay_steps", decay_steps)
        self.decay_rate = self._check_rate(owner, "decay_rate", decay_rate)
        self.staircase = checks.boolean(owner, "staircase", staircase)
        self.name = name

    def _periods(self, step):
        periods = self._step(step) / self.decay_steps
        return math.floor(periods) if self.staircase else periods

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class ExponentialDecay(_RateDecay):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Steps in which the rate falls by the factor `decay_rate`.
    decay_rate : float
        Greater than 0.
    staircase : bool
        True rounds the exponent down: the rate falls at once every `decay_steps` ("step decay").
    name : str
    """

    _check_rate = staticmethod(checks.positive)

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="ExponentialDecay"):
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step):
        return self.initial_learning_rate * self.decay_rate ** self._periods(step)


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[i]`` where i is the number of boundaries below `step`: ``values[0]`` for ``step <= boundaries[0]``.

    Parameters
    ----------
    boundaries : sequence of int
        Strictly increasing. A boundary belongs to the interval that it ends.
    values : sequence of float
        One more than there are boundaries.
    name : str
    """

    def __init__(self, boundaries, values, name="PiecewiseConstant"):
        owner = type(self).__name__
        self.boundaries = [_steps(owner, "each boundary", b, checks.non_negative) for b in boundaries]
        self.values = [checks.non_negative(owner, "each value", v) for v in values]
        self.name = name
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{owner}: values must be one more than boundaries, "
                f"got {len(self.values)} values and {len(self.boundaries)} boundaries"
            )
        if any(a >= b for a, b in zip(self.boundaries, self.boundaries[1:])):
            raise ValueError(f"{owner}: boundaries must increase strictly, got {list(boundaries)!r}")

    def __call__(self, step):
        return self.values[bisect.bisect_left(self.boundaries, self._step(step))]

    def get_config(self):
        return {"boundaries": list(self.boundaries), "values": list(self.values), "name": self.name}


class PolynomialDecay(LearningRateSchedule):
    """``(initial - end) * (1 - step / decay_steps) ** power + end``; linear decay for ``power=1``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    end_learning_rate : float
        Default 0.0001; kept after `decay_steps`.
    power : float
        Default 1.
    cycle : bool
        True stretches the decay instead of keeping the end: `decay_steps` is multiplied by
        ``ceil(step / decay_steps)``, so the rate rises again after each multiple of `decay_steps`.
    name : str
    """

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        end_learning_rate=0.0001,
        power=1.0,
        cycle=False,
        name="PolynomialDecay",
    ):
        owner = type(self).__name__
        self.initial_learning_rate = checks.non_negative(owner, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps(owner, "decay_steps", decay_steps)
        self.end_learning_rate = checks.non_negative(owner, "end_learning_rate", end_learning_rate)
        self.power = checks.positive(owner, "power", power)
        self.cycle = checks.boolean(owner, "cycle", cycle)
        self.name = name

    def __call__(self, step):
        step, decay_steps = self._step(step), self.decay_steps
        if self.cycle:
            decay_steps *= max(1, math.ceil(step / decay_steps))
        remaining = 1 - min(step / decay_steps, 1.0)
        return (self.initial_learning_rate - self.end_learning_rate) * remaining**self.power + self.end_learning_rate

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
            "name": self.name,
        }


class InverseTimeDecay(_RateDecay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    decay_rate : float
        Not negative.
    staircase : bool
        True rounds ``step / decay_steps`` down.
    name : str
    """

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="InverseTimeDecay"):
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step):
        return self.initial_learning_rate / (1 + self.decay_rate * self._periods(step))


class InverseSquareRootDecay(LearningRateSchedule):
    """``initial_learning_rate / sqrt(step + 1)``: time starts at 1, so the first step has the whole rate.

    Not in Keras.

    Parameters
    ----------
    initial_learning_rate : float
    name : str
    """

    def __init__(self, initial_learning_rate, name="InverseSquareRootDecay"):
        owner = type(self).__name__
        self.initial_learning_rate = checks.non_negative(owner, "initial_learning_rate", initial_learning_rate)
        self.name = name

    def __call__(self, step):
        return self.initial_learning_rate / math.sqrt(self._step(step) + 1)

    def get_config(self):
        return {"initial_learning_rate": self.initial_learning_rate, "name": self.name}


class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial rate down to `alpha` times it, after an optional linear warm-up.

    Without warm-up: ``initial * ((1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 + alpha)``.
    With it, the rate goes linearly from `initial_learning_rate` at step 0 to `warmup_target` at step `warmup_steps`,
    and from there down the same curve with `warmup_target` in place of the initial rate, for `decay_steps` more.

    Parameters
    ----------
    initial_learning_rate : float
        With warm-up, the rate of step 0; 0 makes the first update change nothing.
    decay_steps : int
        Steps of the decay, not counting the warm-up.
    alpha : float
        In [0, 1]; the end of the decay as a fraction of its start. Default 0.
    name : str
    warmup_target : float, optional
        The rate at the end of the warm-up; None for no warm-up.
    warmup_steps : int
        Default 0.

    Notes
    -----
    Loshchilov and Hutter 2017, arXiv:1608.03983; warm-up: Goyal et al. 2017, arXiv:1706.02677.
    """

    def __init__(
        self, initial_learning_rate, decay_steps, alpha=0.0, name="CosineDecay", warmup_target=None, warmup_steps=0
    ):
        owner = type(self).__name__
        self.initial_learning_rate = checks.non_negative(owner, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps(owner, "decay_steps", decay_steps)
        self.alpha = _fraction(owner, "alpha", alpha)
        self.name = name
        self.warmup_target = (
            None if warmup_target is None else checks.non_negative(owner, "warmup_target", warmup_target)
        )
        self.warmup_steps = _steps(owner, "warmup_steps", warmup_steps, checks.non_negative)
        if self.warmup_steps and self.warmup_target is None:
            raise ValueError(f"{owner}: warmup_target must be given with warmup_steps={warmup_steps!r}, got None")

    def __call__(self, step):
        step, start = self._step(step), self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return start + (self.warmup_target - start) * (step / self.warmup_steps)
            step, start = step - self.warmup_steps, self.warmup_target
        return start * ((1 - self.alpha) * _half_cosine(step / self.decay_steps) + self.alpha)

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine decay that starts again: stochastic gradient descent with warm restarts (SGDR).

    Period i is ``first_decay_steps * t_mul**i`` steps long and follows
    ``initial * ((1 - alpha) * m_mul**i * (1 + cos(pi * fraction of the period)) / 2 + alpha)``.

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : int
        Steps in the first period.
    t_mul : float
        At least 1; how much longer each period is than the one before. Default 2.
    m_mul : float
        Greater than 0; how much higher each period starts than the one before. Default 1.
    alpha : float
        In [0, 1]; the lowest rate as a fraction of the initial one. Default 0.
    name : str

    Notes
    -----
    Loshchilov and Hutter 2017, arXiv:1608.03983. A restart step has the restarted, high rate: the lowest rate
    is approached and never reached.
    """

    def __init__(self, initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0, name="SGDRDecay"):
        owner = type(self).__name__
        self.initial_learning_rate = checks.non_negative(owner, "initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = _steps(owner, "first_decay_steps", first_decay_steps)
        self.t_mul = checks.number(
            owner, "t_mul", t_mul, "be a finite number >= 1", lambda v: math.isfinite(v) and v >= 1
        )
        self.m_mul = checks.positive(owner, "m_mul", m_mul)
        self.alpha = _fraction(owner, "alpha", alpha)
        self.name = name

    def __call__(self, step):
        period, fraction = self._position(self._step(step) / self.first_decay_steps)
        cosine = self.m_mul**period * _half_cosine(fraction)
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)

    def _position(self, time):
        """Return the period in which `time` (in first periods) lies, and the fraction of it that has passed."""
        if self.t_mul == 1:
            period = math.floor(time)
            return period, time - period
        ratio = self.t_mul

        def start(period):
            return (ratio**period - 1) / (ratio - 1)

        # Rounding, of the logarithm or of a ratio such as 1.1, must not move a restart that falls on a whole step.
        time *= 1 + 1e-12
        period = max(0, math.floor(math.log(time * (ratio - 1) + 1) / math.log(ratio)))
        while start(period + 1) <= time:
            period += 1
        while start(period) > time:
            period -= 1
        return period, (time - start(period)) / ratio**period

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self.t_mul,
            "m_mul": self.m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }


def _half_cosine(fraction):
    """Return the curve from 1 at 0 to exactly 0 at 1 and beyond."""
    return 0.0 if fraction >= 1 else 0.5 * (1 + math.cos(math.pi * fraction))


def _steps(owner, name, value, check=checks.positive):
    """Return a number of steps, which may be a fraction; a whole one as an int."""
    value = check(owner, name, value)
    return int(value) if value.is_integer() else value


def _fraction(owner, name, value):
    return checks.number(owner, name, value, "be in [0, 1]", lambda v: 0 <= v <= 1)


_registry = Registry(
    "learning-rate schedule",
    [
        ExponentialDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
        InverseTimeDecay,
        InverseSquareRootDecay,
        CosineDecay,
        CosineDecayRestarts,
    ],
)
serialize = _registry.serialize
deserialize = _registry.deserialize


def get(identifier):
    """Return a schedule for an identifier: an instance, a config dict or a function of the step; None for None."""
    if isinstance(identifier, str):
        raise ValueError(
            f"learning-rate schedule: the identifier must be a schedule, a config dict or a function of "
            f"the step, got {identifier!r}; a schedule has arguments that a name cannot give"
        )
    return _registry.get(identifier)
