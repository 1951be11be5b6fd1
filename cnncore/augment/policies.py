"""RandAugment and TrivialAugment: which operations, and how strong, as tables.

An operation is (class, argument, weakest, strongest): strength t in [0, 1] stands for weakest + t (strongest -
weakest). "signed" draws the sign, "factor" draws the sign of the distance from 1, "pixels" is a shift in pixels.
"""

import math
from typing import NamedTuple

from .. import checks
from .base import Transform
from .color import AutoContrast, Brightness, Contrast, Equalize, Posterize, Saturation, Sharpness, Solarize
from .compose import Identity
from .geometry import Filled, Rotation, Shear, Translation


class Operation(NamedTuple):
    """One line of a policy's table."""

    transform: type
    argument: str = ""
    weakest: float = 0.0
    strongest: float = 0.0
    kind: str = "plain"


def _slant(shear):
    return math.degrees(math.atan(shear))


# Cubuk et al., "RandAugment", CVPR workshops 2020, with the ranges of AutoAugment; shifts as parts of 331 pixels.
RAND_AUGMENT = {
    "Identity": Operation(Identity),
    "ShearX": Operation(Shear, "x", 0, _slant(0.3), "signed"),
    "ShearY": Operation(Shear, "y", 0, _slant(0.3), "signed"),
    "TranslateX": Operation(Translation, "x", 0, 150 / 331, "signed"),
    "TranslateY": Operation(Translation, "y", 0, 150 / 331, "signed"),
    "Rotate": Operation(Rotation, "degrees", 0, 30, "signed"),
    "Brightness": Operation(Brightness, "factor", 0, 0.9, "factor"),
    "Color": Operation(Saturation, "factor", 0, 0.9, "factor"),
    "Contrast": Operation(Contrast, "factor", 0, 0.9, "factor"),
    "Sharpness": Operation(Sharpness, "factor", 0, 0.9, "factor"),
    "Posterize": Operation(Posterize, "bits", 8, 4),
    "Solarize": Operation(Solarize, "threshold", 256, 0),
    "AutoContrast": Operation(AutoContrast),
    "Equalize": Operation(Equalize),
}

# Müller and Hutter, "TrivialAugment: tuning-free yet state-of-the-art data augmentation", ICCV 2021: the wide space.
TRIVIAL_AUGMENT = {
    **RAND_AUGMENT,
    "ShearX": Operation(Shear, "x", 0, _slant(0.99), "signed"),
    "ShearY": Operation(Shear, "y", 0, _slant(0.99), "signed"),
    "TranslateX": Operation(Translation, "x", 0, 32, "pixels"),
    "TranslateY": Operation(Translation, "y", 0, 32, "pixels"),
    "Rotate": Operation(Rotation, "degrees", 0, 135, "signed"),
    "Brightness": Operation(Brightness, "factor", 0, 0.99, "factor"),
    "Color": Operation(Saturation, "factor", 0, 0.99, "factor"),
    "Contrast": Operation(Contrast, "factor", 0, 0.99, "factor"),
    "Sharpness": Operation(Sharpness, "factor", 0, 0.99, "factor"),
    "Posterize": Operation(Posterize, "bits", 8, 2),
}


class _Policy(Transform):
    """Base: a table, the operations of it that are used, and what lies beyond the border."""

    table = {}

    def __init__(self, operations, fill_mode, fill_value, mask_value, interpolation, p):
        super().__init__(p)
        name = type(self).__name__
        fill = Filled(fill_mode, fill_value, mask_value, interpolation)
        self.fill_mode, self.fill_value, self.mask_value = fill.fill_mode, fill.fill_value, fill.mask_value
        self.interpolation = fill.interpolation
        self.operations = (
            None
            if operations is None
            else [checks.choice(name, "each of operations", operation, tuple(self.table)) for operation in operations]
        )
        self._names = list(self.table) if operations is None else self.operations
        if not self._names:
            raise ValueError(f"{name}: operations must name at least one, got none")

    def operation(self, name, strength, sign, size):
        """Return the transform called `name` with `strength` in 0..1 and `sign` 1 or -1, for `size` (width, height)."""
        cls, argument, weakest, strongest, kind = self.table[name]
        arguments = {}
        if issubclass(cls, Filled):
            arguments = {
                "fill_mode": self.fill_mode,
                "fill_value": self.fill_value,
                "mask_value": self.mask_value,
                "interpolation": self.interpolation,
            }
        if argument:
            value = weakest + strength * (strongest - weakest)
            if kind == "factor":
                value = 1 + sign * value
            elif kind != "plain":
                value *= sign
            if kind == "pixels":
                value /= size["xy".index(argument)]
            value = round(value) if cls is Posterize else value
            if cls in (Shear, Translation):
                arguments["y" if argument == "x" else "x"] = 0
            arguments[argument] = (value, value)
        return cls(**arguments)

    def _draw_and_apply(self, sample, generator, strength):
        name = self._names[int(generator.integers(len(self._names)))]
        sign = 1 if generator.random() < 0.5 else -1
        self.operation(name, strength, sign, sample.size).apply(sample, generator)

    def changes_digits(self):
        """The strongest turn of the table decides."""
        if "Rotate" in self._names:
            return self.operation("Rotate", self._strongest(), 1, (1, 1)).changes_digits()
        return None

    def _strongest(self):
        return 1.0


class RandAugment(_Policy):
    """Do `num_ops` operations drawn from a table of fourteen, all at the same strength (Cubuk et al., 2020).

    Parameters
    ----------
    num_ops : int
        Default 2.
    magnitude : int
        Strength, 0 to `levels` - 1; default 9.
    levels : int
        Default 31.
    operations : sequence of str, optional
        Which of `policies.RAND_AUGMENT`; default all.
    fill_mode, fill_value, mask_value, interpolation, p
        See `geometry.Filled`.

    Images of bytes only, unless Posterize and Equalize are left out of `operations`.
    """

    table = RAND_AUGMENT

    def __init__(
        self,
        num_ops=2,
        magnitude=9,
        levels=31,
        operations=None,
        fill_mode="constant",
        fill_value=0,
        mask_value=0,
        interpolation="bilinear",
        p=1.0,
    ):
        super().__init__(operations, fill_mode, fill_value, mask_value, interpolation, p)
        self.num_ops = checks.integer("RandAugment", "num_ops", num_ops)
        self.levels = checks.integer("RandAugment", "levels", levels, 2)
        self.magnitude = checks.integer("RandAugment", "magnitude", magnitude)
        if self.magnitude >= self.levels:
            raise ValueError(f"RandAugment: magnitude must be below levels, {levels}, got {magnitude}")

    def transform(self, sample, generator):
        for _ in range(self.num_ops):
            self._draw_and_apply(sample, generator, self._strongest())

    def _strongest(self):
        return self.magnitude / (self.levels - 1)


class TrivialAugment(_Policy):
    """Do one operation of a table of fourteen at a strength drawn uniformly (Müller and Hutter, 2021).

    Parameters
    ----------
    levels : int
        How many strengths there are, default 31.
    operations : sequence of str, optional
        Which of `policies.TRIVIAL_AUGMENT`; default all.
    fill_mode, fill_value, mask_value, interpolation, p
        See `geometry.Filled`.

    Images of bytes only, unless Posterize and Equalize are left out of `operations`.
    """

    table = TRIVIAL_AUGMENT

    def __init__(
        self,
        levels=31,
        operations=None,
        fill_mode="constant",
        fill_value=0,
        mask_value=0,
        interpolation="bilinear",
        p=1.0,
    ):
        super().__init__(operations, fill_mode, fill_value, mask_value, interpolation, p)
        self.levels = checks.integer("TrivialAugment", "levels", levels, 2)

    def transform(self, sample, generator):
        self._draw_and_apply(sample, generator, int(generator.integers(self.levels)) / (self.levels - 1))
