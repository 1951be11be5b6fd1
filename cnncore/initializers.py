"""Initial values of weights: objects that are called with a shape and return an array.

``initializer(shape, dtype=None)`` returns a C-contiguous array, float32 unless `dtype` says otherwise.
With ``seed=`` every call with the same shape gives the same values; without it, every call takes a new
seed from `cnncore.random`, so that one object may serve many layers.

Scales are by variance. With n inputs of variance v to a neuron, ``Var(y) = n * Var(w) * v``; a layer keeps the
variance for ``Var(w) = 1 / fan_in`` (LeCun), its gradient for ``1 / fan_out``, the compromise is
``2 / (fan_in + fan_out)`` (Glorot), and a ReLU, which halves the mean square, asks for ``2 / fan_in`` (He):
a standard deviation of ``sqrt(2 / fan_in)``.
"""

import math
import types

import numpy as np

from . import checks
from .registry import Configurable, Registry

# Standard deviation of the unit normal distribution cut at +-2: sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)).
_TRUNCATED_STDDEV = 0.87962566103423978


def compute_fans(shape, input_axes=None, output_axes=None):
    """Return ``(fan_in, fan_out)``: how many inputs feed one output of a weight, and the reverse.

    Parameters
    ----------
    shape : tuple of int
        ``(inputs, outputs)`` for a dense layer; ``(height, width, inputs, outputs)`` (HWIO) for a convolution, where
        both fans count the whole receptive field ``height * width``. A vector's one axis is both.
    input_axes, output_axes : sequence of int, optional
        Axes whose product is each fan, for weights laid out otherwise; give both or neither.
    """
    if (input_axes is None) != (output_axes is None):
        raise ValueError(
            f"compute_fans: input_axes and output_axes must be given together, got {input_axes!r} and {output_axes!r}"
        )
    if input_axes is not None:
        for name, axes in (("input_axes", input_axes), ("output_axes", output_axes)):
            if not all(-len(shape) <= axis < len(shape) for axis in axes):
                raise ValueError(f"compute_fans: {name} must be axes of the shape {tuple(shape)}, got {axes!r}")
        return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
    if len(shape) == 0:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    receptive_field = math.prod(shape[:-2])
    return receptive_field * shape[-2], receptive_field * shape[-1]


class Initializer(Configurable):
    """Base of initializers. A subclass defines ``__call__(shape, dtype=None)`` and `get_config` if it has arguments."""

    def __call__(self, shape, dtype=None):
        raise NotImplementedError(f"{type(self).__name__}: __call__(shape, dtype=None) must be defined")

    def clone(self):
        """Return a new initializer with the same arguments."""
        return self.from_config(self.get_config())

    def _shape(self, shape):
        if isinstance(shape, str) or not hasattr(shape, "__iter__"):
            raise ValueError(f"{type(self).__name__}: shape must be a tuple of integers, got {shape!r}")
        return tuple(checks.integer(type(self).__name__, "each dimension of shape", n) for n in shape)

    def _dtype(self, dtype):
        try:
            dtype = np.dtype(np.float32 if dtype is None else dtype)
        except TypeError:
            raise ValueError(f"{type(self).__name__}: dtype must name a number type, got {dtype!r}") from None
        if dtype.kind not in "fiu":
            raise ValueError(f"{type(self).__name__}: dtype must be a real number type, got {dtype}")
        return dtype


class Zeros(Initializer):
    """All 0. Right for biases; weights that start equal stay equal and never learn different features."""

    def __call__(self, shape, dtype=None):
        return np.zeros(self._shape(shape), self._dtype(dtype))


class Ones(Initializer):
    """All 1: the gain of a normalisation."""

    def __call__(self, shape, dtype=None):
        return np.ones(self._shape(shape), self._dtype(dtype))


class Constant(Initializer):
    """All `value`.

    Parameters
    ----------
    value : float or array_like
        Default 0. An array is broadcast to the shape asked for.
    """

    def __init__(self, value=0.0):
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"Constant: value must be a number or an array of numbers, got {value!r}")
        self.value = array.item() if array.ndim == 0 else array.copy()

    def __call__(self, shape, dtype=None):
        shape = self._shape(shape)
        try:
            values = np.broadcast_to(self.value, shape)
        except ValueError:
            raise ValueError(
                f"Constant: value of shape {np.shape(self.value)} must broadcast to the shape asked for, got {shape}"
            ) from None
        return np.array(values, dtype=self._dtype(dtype), order="C")

    def get_config(self):
        return {"value": self.value.tolist() if isinstance(self.value, np.ndarray) else self.value}


class Identity(Initializer):
    """`gain` times the identity matrix; for 2-D shapes only, ones on the main diagonal of a rectangle.

    Parameters
    ----------
    gain : float
        Default 1.
    """

    def __init__(self, gain=1.0):
        self.gain = checks.number("Identity", "gain", gain)

    def __call__(self, shape, dtype=None):
        shape = self._shape(shape)
        if len(shape) != 2:
            raise ValueError(f"Identity: shape must have 2 dimensions, got {shape}")
        dtype = self._dtype(dtype)
        return (self.gain * np.eye(*shape)).astype(dtype)

    def get_config(self):
        return {"gain": self.gain}


class _RandomInitializer(Initializer):
    """Base of the random initializers: the seed, and the three distributions."""

    def __init__(self, seed=None):
        self.seed = None if seed is None else checks.integer(type(self).__name__, "seed", seed)

    def _generator(self):
        if self.seed is not None:
            return np.random.default_rng(self.seed)
        from . import random

        return random.generator()

    def _dtype(self, dtype):
        dtype = super()._dtype(dtype)
        if dtype.kind != "f":
            raise ValueError(f"{type(self).__name__}: dtype must be a floating-point type, got {dtype}")
        return dtype

    def _normal(self, shape, mean, stddev, dtype):
        values = _draw(self._generator().standard_normal, shape, dtype)
        return _scale(values, stddev, mean, dtype)

    def _truncated_normal(self, shape, mean, stddev, dtype):
        generator = self._generator()
        values = _draw(generator.standard_normal, shape, dtype)
        flat = values.reshape(-1)
        outside = np.flatnonzero(np.abs(flat) > 2)
        while outside.size:
            flat[outside] = _draw(generator.standard_normal, outside.shape, dtype)
            outside = outside[np.abs(flat[outside]) > 2]
        return _scale(values, stddev, mean, dtype)

    def _uniform(self, shape, low, high, dtype):
        values = _scale(_draw(self._generator().random, shape, dtype), high - low, low, dtype)
        if high > low:  # rounding may have carried a value to the excluded end
            top = dtype.type(high)
            np.minimum(values, np.nextafter(top, dtype.type(low)), out=values)
        return values

    def get_config(self):
        return {"seed": self.seed}


def _draw(sampler, shape, dtype):
    return np.asarray(sampler(shape, dtype=np.float64 if dtype == np.float64 else np.float32))


def _scale(values, factor, offset, dtype):
    values *= values.dtype.type(factor)
    values += values.dtype.type(offset)
    return values.astype(dtype, copy=False)


class RandomNormal(_RandomInitializer):
    """Normal distribution.

    Parameters
    ----------
    mean, stddev : float
        Defaults 0 and 0.05.
    seed : int, optional
    """

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        self.mean = checks.number(type(self).__name__, "mean", mean)
        self.stddev = checks.non_negative(type(self).__name__, "stddev", stddev)
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        return self._normal(self._shape(shape), self.mean, self.stddev, self._dtype(dtype))

    def get_config(self):
        return {"mean": self.mean, "stddev": self.stddev, "seed": self.seed}


class TruncatedNormal(RandomNormal):
    """Normal distribution whose values beyond two standard deviations are drawn again.

    The standard deviation of what is left is ``0.8796 * stddev``.

    Parameters
    ----------
    mean, stddev : float
        Of the distribution before it is cut. Defaults 0 and 0.05.
    seed : int, optional
    """

    def __call__(self, shape, dtype=None):
        return self._truncated_normal(self._shape(shape), self.mean, self.stddev, self._dtype(dtype))


class RandomUniform(_RandomInitializer):
    """Uniform distribution on ``[minval, maxval)``.

    Parameters
    ----------
    minval, maxval : float
        Defaults -0.05 and 0.05.
    seed : int, optional
    """

    def __init__(self, minval=-0.05, maxval=0.05, seed=None):
        self.minval = checks.number("RandomUniform", "minval", minval)
        self.maxval = checks.number("RandomUniform", "maxval", maxval)
        if self.minval > self.maxval:
            raise ValueError(f"RandomUniform: minval must not exceed maxval, got {minval!r} and {maxval!r}")
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        return self._uniform(self._shape(shape), self.minval, self.maxval, self._dtype(dtype))

    def get_config(self):
        return {"minval": self.minval, "maxval": self.maxval, "seed": self.seed}


class VarianceScaling(_RandomInitializer):
    """Mean 0 and variance ``scale / n``, n by `mode` from the shape; the family of LeCun, Glorot and He.

    Parameters
    ----------
    scale : float
        Default 1.
    mode : {"fan_in", "fan_out", "fan_avg"}
        n is fan_in (default), fan_out, or their mean.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        Default "truncated_normal" ("normal" is the same): cut at two standard deviations and widened by 1/0.8796 so
        that the variance is as stated. "uniform" has the limits ``+-sqrt(3 * scale / n)``.
    seed : int, optional
    input_axes, output_axes : sequence of int, optional
        See `compute_fans`.
    """

    def __init__(
        self, scale=1.0, mode="fan_in", distribution="truncated_normal", seed=None, input_axes=None, output_axes=None
    ):
        owner = type(self).__name__
        self.scale = checks.positive(owner, "scale", scale)
        self.mode = checks.choice(owner, "mode", mode, ("fan_in", "fan_out", "fan_avg"))
        distribution = distribution.lower() if isinstance(distribution, str) else distribution
        self.distribution = checks.choice(
            owner,
            "distribution",
            "truncated_normal" if distribution == "normal" else distribution,
            ("truncated_normal", "untruncated_normal", "uniform"),
        )
        if (input_axes is None) != (output_axes is None):
            raise ValueError(
                f"{owner}: input_axes and output_axes must be given together, got {input_axes!r} and {output_axes!r}"
            )
        self.input_axes = self._axes("input_axes", input_axes)
        self.output_axes = self._axes("output_axes", output_axes)
        super().__init__(seed)

    def _axes(self, name, axes):
        if axes is None:
            return None
        axes = [axes] if isinstance(axes, int) else axes
        if not isinstance(axes, (list, tuple)):
            raise ValueError(f"{type(self).__name__}: {name} must be a sequence of integers, got {axes!r}")
        return [checks.integer(type(self).__name__, name, axis, minimum=-32) for axis in axes]

    def __call__(self, shape, dtype=None):
        shape, dtype = self._shape(shape), self._dtype(dtype)
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "truncated_normal":
            return self._truncated_normal(shape, 0.0, math.sqrt(variance) / _TRUNCATED_STDDEV, dtype)
        if self.distribution == "untruncated_normal":
            return self._normal(shape, 0.0, math.sqrt(variance), dtype)
        limit = math.sqrt(3 * variance)
        return self._uniform(shape, -limit, limit, dtype)

    def get_config(self):
        return {"scale": self.scale, "mode": self.mode, "distribution": self.distribution, **self._seed_and_axes()}

    def _seed_and_axes(self):
        return {"seed": self.seed, "input_axes": self.input_axes, "output_axes": self.output_axes}


class _NamedScaling(VarianceScaling):
    """VarianceScaling whose scale, mode and distribution are fixed by the class."""

    _scaling = None

    def __init__(self, seed=None, input_axes=None, output_axes=None):
        super().__init__(*self._scaling, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def get_config(self):
        return self._seed_and_axes()


class LecunNormal(_NamedScaling):
    """Truncated normal of variance ``1 / fan_in``, for SELU. LeCun et al. 1998, "Efficient BackProp"."""

    _scaling = (1.0, "fan_in", "truncated_normal")


class LecunUniform(_NamedScaling):
    """Uniform on ``+-sqrt(3 / fan_in)``: variance ``1 / fan_in``. LeCun et al. 1998, "Efficient BackProp"."""

    _scaling = (1.0, "fan_in", "uniform")


class GlorotNormal(_NamedScaling):
    """Truncated normal of variance ``2 / (fan_in + fan_out)``. Glorot and Bengio 2010 (also called Xavier)."""

    _scaling = (1.0, "fan_avg", "truncated_normal")


class GlorotUniform(_NamedScaling):
    """Uniform on ``+-sqrt(6 / (fan_in + fan_out))``. Glorot and Bengio 2010; the default of kernels, as in Keras."""

    _scaling = (1.0, "fan_avg", "uniform")


class HeNormal(_NamedScaling):
    """Truncated normal of standard deviation ``sqrt(2 / fan_in)``, for ReLU. He et al. 2015, arXiv:1502.01852."""

    _scaling = (2.0, "fan_in", "truncated_normal")


class HeUniform(_NamedScaling):
    """Uniform on ``+-sqrt(6 / fan_in)``: variance ``2 / fan_in``, for ReLU. He et al. 2015, arXiv:1502.01852."""

    _scaling = (2.0, "fan_in", "uniform")


class Orthogonal(_RandomInitializer):
    """A random orthogonal matrix times `gain`. Saxe et al. 2014, arXiv:1312.6120.

    The shape is read as a matrix with the last axis as columns; its columns are orthonormal if there are at least as
    many rows, else its rows are. It is the Q of a normal matrix's QR decomposition with the signs of R's diagonal made
    positive, which makes it uniform over all orthogonal matrices.

    Parameters
    ----------
    gain : float
        Default 1.
    seed : int, optional
    """

    def __init__(self, gain=1.0, seed=None):
        self.gain = checks.number("Orthogonal", "gain", gain)
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        shape, dtype = self._shape(shape), self._dtype(dtype)
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: shape must have at least 2 dimensions, got {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = self._generator().standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        if rows < columns:
            q = q.T
        return np.ascontiguousarray(self.gain * q.reshape(shape), dtype=dtype)

    def get_config(self):
        return {"gain": self.gain, "seed": self.seed}


_registry = Registry(
    "initializer",
    [
        Zeros,
        Ones,
        Constant,
        Identity,
        RandomNormal,
        TruncatedNormal,
        RandomUniform,
        VarianceScaling,
        LecunNormal,
        LecunUniform,
        GlorotNormal,
        GlorotUniform,
        HeNormal,
        HeUniform,
        Orthogonal,
    ],
    {
        "zero": Zeros,
        "one": Ones,
        "normal": RandomNormal,
        "uniform": RandomUniform,
        "IdentityInitializer": Identity,
        "OrthogonalInitializer": Orthogonal,
    },
)
serialize = _registry.serialize
deserialize = _registry.deserialize


def get(identifier):
    """Return an initializer for an instance, a class, a name, a config dict, an array or a function; None for None.

    Parameters
    ----------
    identifier : Initializer, type, str, dict, ndarray, callable or None
        Names are class names or their snake_case form: "HeNormal", "he_normal". An array becomes `Constant`.
        A function is called as ``function(shape, dtype=None)``.

    Raises
    ------
    ValueError
        If the name or an argument in the config is unknown.
    """
    if isinstance(identifier, Initializer):
        return identifier
    if isinstance(identifier, (np.ndarray, np.generic)):
        return Constant(identifier)
    initializer = _registry.get(identifier)
    if isinstance(initializer, (types.FunctionType, types.MethodType, types.BuiltinFunctionType)):
        _require_shape_argument(initializer)
    return initializer


def _require_shape_argument(function):
    import inspect

    try:
        inspect.signature(function).bind((), dtype=None)
    except TypeError:
        raise ValueError(
            f"initializer: a function must be callable as function(shape, dtype=None), got {function!r}"
        ) from None
    except ValueError:
        return  # a builtin that does not tell its signature
