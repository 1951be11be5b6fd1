"""Several steps one after another."""

import math

import numpy as np

from .. import batches
from .base import CHUNK, Preprocessor


class _Batches:
    """An array, or an iterable of batches that can be walked again, seen through the first steps of a pipeline."""

    def __init__(self, x, y, steps):
        self._x, self._y, self._steps, self.sample_shape = x, y, steps, None

    def __iter__(self):
        for x, y in self._pieces():
            self.sample_shape = np.shape(x)[1:]
            for step in self._steps:
                x = step.transform(x)
            yield (x, y) if y is not None else x

    def _pieces(self):
        if batches.is_iterable_of_batches(self._x, self._y):
            for item in batches.iterate(self._x):
                yield batches.split_batch(item, False)[:2]
            return
        size = max(1, CHUNK // max(1, math.prod(self._x.shape[1:])))
        for begin in range(0, len(self._x), size):
            yield self._x[begin : begin + size], None if self._y is None else self._y[begin : begin + size]


class Pipeline(Preprocessor):
    """Steps one after another; each is fitted on what the steps before it make of the training data.

    Parameters
    ----------
    steps : list of Preprocessor

    Examples
    --------
    >>> preparing = Pipeline([Impute("median"), ZScore(), PCA(0.99)])
    """

    def __init__(self, steps):
        super().__init__()
        steps = list(steps) if isinstance(steps, (list, tuple)) else []
        if not steps or not all(isinstance(step, Preprocessor) for step in steps):
            raise ValueError(f"Pipeline: steps must be a list of preprocessing objects, got {steps!r}")
        self.steps = steps
        self.array_names = tuple(f"{i}.{name}" for i, step in enumerate(steps) for name in step.array_names)
        self.needs_labels = any(step.needs_labels for step in steps)
        self.accepts_bytes = steps[0].accepts_bytes

    def get_config(self):
        from . import serialize

        return {"steps": [serialize(step) for step in self.steps]}

    @classmethod
    def from_config(cls, config):
        from . import deserialize

        return cls([deserialize(step) for step in config["steps"]])

    @property
    def fitted(self):
        return all(step.fitted for step in self.steps)

    def fit(self, x, y=None):
        """Fit each step in turn. An iterable of batches is walked once per step that is fitted, so it must begin anew
        each time."""
        own = self._sample_shape
        before = [(step, step.sample_shape, step._arrays, step._statistics) for step in self.steps]
        iterable = batches.is_iterable_of_batches(x, y)
        to_fit = [i for i, step in enumerate(self.steps) if step.array_names]
        if iterable and iter(x) is x and len(to_fit) > 1:
            raise ValueError(
                f"Pipeline: x must be an array or an iterable that can be walked {len(to_fit)} times, once per fitted "
                "step, got a generator"
            )
        if not iterable:
            x = self.steps[0]._checked(x)
            y = self._checked_labels(y, len(x)) if self.needs_labels else y
        try:
            for i in to_fit or [0]:
                source = _Batches(x, y, self.steps[:i])
                self.steps[i].fit(source)
                self._sample_shape = source.sample_shape
        except BaseException:
            for step, *state in before:
                step.sample_shape, step._arrays, step._statistics = state
            self._sample_shape = own
            raise
        return self

    def partial_fit(self, x, y=None):
        """Add one batch, where a single step is fitted; with several, each needs the ones before it done, and its own
        pass: see `fit`."""
        to_fit = [i for i, step in enumerate(self.steps) if step.array_names]
        if len(to_fit) > 1:
            raise ValueError(
                f"Pipeline: partial_fit must be used with one fitted step, this one has {len(to_fit)}; give fit an "
                "iterable of batches"
            )
        for i in to_fit:
            for step in self.steps[:i]:
                x = step.transform(x)
            self.steps[i].partial_fit(x, y)
        return self

    @property
    def sample_shape(self):
        """The shape of the samples that the first step was fitted on; None before."""
        return self._sample_shape or self.steps[0].sample_shape

    @sample_shape.setter
    def sample_shape(self, shape):
        self._sample_shape = shape

    @property
    def arrays(self):
        return {f"{i}.{name}": array for i, step in enumerate(self.steps) for name, array in step.arrays.items()}

    def restore(self, sample_shape, arrays):
        if set(arrays) != set(self.array_names):
            raise ValueError(
                f"Pipeline: arrays must have the names {', '.join(self.array_names) or 'none'}, got "
                f"{', '.join(arrays) or 'none'}"
            )
        shape = sample_shape
        for i, step in enumerate(self.steps):
            step.restore(shape, {name: arrays[f"{i}.{name}"] for name in step.array_names})
            shape = None if shape is None else step.output_shape(shape)
        self._sample_shape = None if sample_shape is None else tuple(sample_shape)
        return self

    def lower(self, b, x, weights):
        for i, step in enumerate(self.steps):
            x = step.lower(b, x, {name: weights[f"{i}.{name}"] for name in step.array_names})
        return x

    def transform(self, x):
        for step in self.steps:
            x = step.transform(x)
        return x

    def inverse_transform(self, y):
        for step in reversed(self.steps):
            y = step.inverse_transform(y)
        return y

    def output_shape(self, shape):
        for step in self.steps:
            shape = step.output_shape(shape)
        return shape

    def _fits(self, shape):
        for step in self.steps:
            if step.array_names and not step._fits(shape):
                return False
            shape = step.output_shape(shape)
        return True
