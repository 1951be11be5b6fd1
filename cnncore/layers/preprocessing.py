"""Preparing the input inside the model."""

import numpy as np

from .. import checks
from .base import Layer


class Rescaling(Layer):
    """``y = x * scale + offset``; takes uint8 images as they are.

    Parameters
    ----------
    scale : float
        1/255 for bytes to 0..1.
    offset : float
        Default 0.
    """

    accepts_bytes = True

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = checks.number(f'Rescaling "{self.name}"', "scale", scale)
        self.offset = checks.number(f'Rescaling "{self.name}"', "offset", offset)

    def lower(self, b, x):
        return b.op("affine", [x], scale=self.scale, offset=self.offset)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


def _holding(array):
    """An initializer that gives a copy of this array."""
    return lambda shape, dtype=None: array.copy()


class Preprocessing(Layer):
    """A fitted `cnncore.preprocessing` object as a layer: what was fitted are weights that no gradient reaches, stored
    in the model's file.

    Parameters
    ----------
    preprocessing : Preprocessor or dict
        Fitted; it is copied, so fitting it again changes nothing here. A dict is what `get_config` returned.

    Raises
    ------
    RuntimeError
        If it is not fitted.
    """

    def __init__(self, preprocessing, **kwargs):
        super().__init__(**kwargs)
        from .. import preprocessing as module

        if isinstance(preprocessing, dict):
            self._preprocessing = module.deserialize({key: preprocessing[key] for key in ("class_name", "config")})
            shapes, sample = preprocessing["arrays"], preprocessing["sample_shape"]
            for shape in (*shapes.values(), [] if sample is None else sample):
                if not isinstance(shape, (list, tuple)) or not all(type(d) is int and d > 0 for d in shape):
                    raise ValueError(f'layer "{self.name}": shapes must be lists of positive integers, got {shape!r}')
            self._arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
            self._sample_shape = None if sample is None else tuple(sample)
            self._preprocessing.restore(self._sample_shape, self._arrays)
        elif isinstance(preprocessing, module.Preprocessor):
            self._preprocessing = module.deserialize(module.serialize(preprocessing))
            self._arrays = {name: array.copy() for name, array in preprocessing.arrays.items()}
            self._sample_shape = preprocessing.sample_shape
            self._preprocessing.restore(self._sample_shape, self._arrays)
        else:
            raise ValueError(
                f'layer "{self.name}": preprocessing must be an object of cnncore.preprocessing, got {preprocessing!r}'
            )
        self.accepts_bytes = self._preprocessing.accepts_bytes

    @property
    def preprocessing(self):
        """The fitted object, with the layer's present weights; for `inverse_transform` and the like."""
        from .. import preprocessing as module

        arrays = {v.name: v.numpy() for v in self._variables} if self.built else self._arrays
        return module.deserialize(module.serialize(self._preprocessing)).restore(self._sample_shape, arrays)

    def build(self, shape):
        if self._arrays and not self._preprocessing._fits(tuple(shape[1:])):
            raise ValueError(
                f'layer "{self.name}": samples must have shape {self._sample_shape} as those the preprocessing was '
                f"fitted on, got {tuple(shape[1:])}"
            )
        for name, array in self._arrays.items():
            self.add_weight(name, array.shape, _holding(array), trainable=False)

    def lower(self, b, x):
        return self._preprocessing.lower(b, x, {v.name: b.weight(v) for v in self._variables})

    def get_config(self):
        from .. import preprocessing as module

        sample = None if self._sample_shape is None else list(self._sample_shape)
        arrays = {name: list(array.shape) for name, array in self._arrays.items()}
        described = {**module.serialize(self._preprocessing), "sample_shape": sample, "arrays": arrays}
        return {**super().get_config(), "preprocessing": described}


class Normalization(Layer):
    """``y = (x - mean) / sqrt(variance)``, with a mean and variance that are given or that `adapt` takes from data.

    Parameters
    ----------
    axis : int, tuple of int or None
        Axes that have statistics of their own: -1 (default), each channel; all axes but the first, each element; None:
        one mean and variance.
    mean, variance : float or array, optional
        Both or neither. Without them call `adapt` before the model is used.
    invert : bool
        ``y = x sqrt(variance) + mean`` instead.

    A deviation counts as at least 1e-7, as in Keras; what equals the mean becomes exactly 0, so constant features do.
    """

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis if axis is None else tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
        owner = f'Normalization "{self.name}"'
        self.invert = checks.boolean(owner, "invert", invert)
        if (mean is None) != (variance is None):
            raise ValueError(
                f"{owner}: mean and variance must be given together, got mean={mean!r} and variance={variance!r}"
            )
        self._given = None
        if mean is not None:
            self._given = np.asarray(mean, np.float32), np.asarray(variance, np.float32)
            if not all(np.isfinite(a).all() for a in self._given) or (self._given[1] < 0).any():
                raise ValueError(
                    f"{owner}: mean and variance must be finite and variance must not be negative, got {mean!r} and "
                    f"{variance!r}"
                )
        self.mean = self.variance = None

    def _statistics_shape(self, shape):
        """Of mean and variance, for inputs of `shape`."""
        rank = len(shape)
        axes = tuple(sorted(a + rank if isinstance(a, int) and a < 0 else a for a in self.axis or ()))
        for form, valid in (((1,), ()), (tuple(shape[-1:]), (rank - 1,)), (tuple(shape[1:]), tuple(range(1, rank)))):
            if axes == valid:
                return form
        raise ValueError(
            f'layer "{self.name}": axis must be -1, None or all axes but the first, {tuple(range(1, rank))}, got '
            f"{self.axis} for {tuple(shape)}"
        )

    def build(self, shape):
        form = self._statistics_shape(shape)
        values = self._given if self._given is not None else (np.zeros(1, np.float32), np.ones(1, np.float32))
        try:
            values = [np.broadcast_to(v.reshape(v.shape[-len(form) :] if v.size > 1 else (1,)), form) for v in values]
        except ValueError:
            raise ValueError(
                f'layer "{self.name}": mean and variance must have shape {form}, got {self._given[0].shape} and '
                f"{self._given[1].shape}"
            ) from None
        self.mean, self.variance = (
            self.add_weight(name, form, _holding(v), trainable=False) for name, v in zip(("mean", "variance"), values)
        )

    def adapt(self, data):
        """Set mean and variance to those of the data: an array, or an iterable of batches. The training split only."""
        from ..preprocessing import Standardize

        if self._given is not None:
            raise ValueError(f'layer "{self.name}": adapt must not be called where mean and variance were given')
        scaler = Standardize("all" if self.axis is None else "channel" if len(self.axis) == 1 else "feature").fit(data)
        form = self._statistics_shape((None, *scaler.sample_shape))
        moments = scaler._statistics
        if not self.built:
            self.build((None, *scaler.sample_shape))
            self.built = True
        if self.mean.shape != form:
            raise ValueError(f'layer "{self.name}": data must have statistics of shape {self.mean.shape}, got {form}')
        self.mean.assign(moments.mean.reshape(form))
        self.variance.assign(moments.variance.reshape(form))

    def lower(self, b, x):
        """A batchnorm of mean 0 divides, over rows of as many elements as there are variances; with gamma = variance it
        multiplies."""
        mean, variance, size = b.weight(self.mean), b.weight(self.variance), self.mean.data.size
        zero = b.op("fill", [], value=0.0, rank=1, d0=size)
        if len(self.mean.shape) > 1:
            variance = b.reshape(variance, (size,))
        centred = x if self.invert else b.op("subtract", [x, mean])
        rows = b.reshape(centred, (int(np.prod(x.shape)) // size, size))
        y = b.op("batchnorm", [rows, zero, variance, variance if self.invert else None], epsilon=1e-14)
        y = b.reshape(y, x.shape)
        return b.op("add", [y, mean]) if self.invert else y

    def get_config(self):
        mean, variance = (None, None) if self._given is None else (a.tolist() for a in self._given)
        axis = None if self.axis is None else list(self.axis)
        return {**super().get_config(), "axis": axis, "mean": mean, "variance": variance, "invert": self.invert}
