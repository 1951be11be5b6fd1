"""What cases are made of, and how their generators are found."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np

from reference.activations import NAMES, RELU

# Equal to, a divisor of, below and above the tiles.
CHANNELS = (1, 3, 5, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100)
STRIDES = (1, 1, 2, 2, 3, 3, 5, 8)
MAX_PRODUCTS = 1_000_000  # multiply-adds of a convolution case


@dataclass
class Case:
    """One call of an operation; `outputs` says which of its outputs are asked for.

    `index` is the number from which the test's generator (`case`, where no other is named) makes the same inputs again.
    """

    op: str
    index: int
    inputs: list
    attributes: dict = field(default_factory=dict)
    outputs: tuple = (True,)

    def __str__(self):
        shapes = ", ".join("None" if x is None else f"{x.dtype}{list(x.shape)}" for x in self.inputs)
        return f"{self.op} case {self.index}: inputs [{shapes}] attributes {self.attributes} outputs {self.outputs}"


GENERATORS = {}


def generator(*ops):
    """Register a function (rng, op) -> (inputs, attributes) or (inputs, attributes, outputs) for these operations."""

    def register(function):
        GENERATORS.update(dict.fromkeys(ops, function))
        return function

    return register


def case(op, index):
    """The random case of that number."""
    rng = np.random.default_rng([zlib.crc32(op.encode()), index])
    return Case(op, index, *GENERATORS[op](rng, op))


def normal(rng, *shape, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def integers(rng, *shape, bound=4):
    """float32 whole numbers in [-bound, bound]."""
    return rng.integers(-bound, bound + 1, shape).astype(np.float32)


def weights(rng, values, fan_in, *shape):
    """Weights that keep the variance of what they are applied to, where `values` is `normal`.

    Whole numbers stay whole.
    """
    return normal(rng, *shape, scale=fan_in**-0.5) if values is normal else values(rng, *shape)


def sparse(residual, attributes):
    """Of a residual of all pixels, those that a convolution may have in their place: every stride-th row and column, or
    every other one with stride 1.
    """
    strides = attributes.get("stride_h", 1), attributes.get("stride_w", 1)
    every_h, every_w = (2, 2) if strides == (1, 1) else strides
    return np.ascontiguousarray(residual[:, ::every_h, ::every_w])


def normalised_residual(rng, shape):
    """A residual, its scale and its shift: all, the first alone, or none."""
    operands = [normal(rng, *shape), normal(rng, shape[-1]), normal(rng, shape[-1])]
    present = int(rng.choice([0, 0, 1, 3]))
    return operands[:present] + [None] * (3 - present)


def maybe(rng, value, p=0.5):
    return value if rng.random() < p else None


def channels(rng):
    return int(rng.choice(CHANNELS))


def feature_shape(rng):
    """A shape (..., c) of rank 1 to 4."""
    rank = int(rng.integers(1, 5))
    return (*(int(d) for d in rng.integers(1, 8, rank - 1)), channels(rng))


def activation_attributes(rng, kinds=range(len(NAMES))):
    """activation, alpha, max_value; constants that float32 holds exactly, so that both sides see the same kink."""
    kind = int(rng.choice(list(kinds)))
    attributes = {"activation": kind, "alpha": float(rng.choice([0.0, 0.125, 0.25])) if kind == RELU else 1.0}
    if rng.random() < 0.3:
        attributes["max_value"] = float(rng.choice([0.75, 6.0]))
    return attributes


def relu_family(rng):
    return activation_attributes(rng, (0, RELU))
