"""Where the batches of fit and evaluate come from: arrays, or an iterable of batches. A source has `steps`, the number
of batches or None where it is not known, and `batches()`, a walk over them.
"""

import math

from .. import batches
from .conversion import Batch, checked_batch, engine_batch

DEFAULT_BATCH_SIZE = 32


class ArraySource:
    """The batches of checked arrays.

    Parameters
    ----------
    data : Batch
        All samples.
    batch_size : int or None
    generator : numpy.random.Generator or None
        Of a new order in each epoch; None keeps theirs.
    """

    def __init__(self, data, batch_size, generator=None):
        self._lengths = len(data.inputs), len(data.targets), len(data.raw_targets)
        self._weighted = [weight is not None for weight in data.weights]
        arrays = [array for group in data for array in group if array is not None]
        size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
        self._batches = batches.ArrayBatches(arrays, len(data.inputs), size, generator is not None, generator)
        self.steps = len(self._batches)

    def batches(self):
        """Yield each Batch of one epoch."""
        for arrays in self._batches:
            rest = iter(arrays)
            groups = [[next(rest) for _ in range(length)] for length in self._lengths]
            yield Batch(*groups, [next(rest) if weighted else None for weighted in self._weighted])


class IterableSource:
    """An iterable of batches; each is checked as it comes."""

    def __init__(self, model, iterable, class_weight=None):
        self._model, self._iterable, self._class_weight = model, iterable, class_weight
        self.steps = len(iterable) if hasattr(iterable, "__len__") else None

    def batches(self):
        """Yield a Batch for each item, then tell the iterable, where it wants to know, that an epoch has ended."""
        for item in batches.iterate(self._iterable):
            x, y, weight = batches.split_batch(item, True)
            yield engine_batch(checked_batch(self._model, x, y, weight, self._class_weight))
        if hasattr(self._iterable, "on_epoch_end"):
            self._iterable.on_epoch_end()


class Epochs:
    """Cuts a source into epochs: each walk over it is one; or, where a number of steps is given, that many batches,
    beginning anew where the source ends.
    """

    def __init__(self, source, steps=None):
        self._source, self._steps, self._running = source, steps, None

    def epoch(self):
        """Yield the batches of the next epoch."""
        if self._steps is None:
            yield from self._source.batches()
            return
        for _ in range(self._steps):
            batch = None if self._running is None else next(self._running, None)
            if batch is None:
                self._running = self._source.batches()
                batch = next(self._running, None)
                if batch is None:
                    return
            yield batch


def training_source(model, x, y, batch_size, generator, class_weight, sample_weight, validation_split):
    """(source of training batches, source of the held-out part or None) of what fit() was given; `generator` is that of
    the order, or None.
    """
    if batches.is_iterable_of_batches(x, y):
        refuse_with_iterable(
            model, batch_size=batch_size, sample_weight=sample_weight, validation_split=validation_split or None
        )
        return IterableSource(model, x, class_weight), None
    data = _checked_arrays(model, x, y, sample_weight, class_weight)
    if not validation_split:
        return ArraySource(data, batch_size, generator), None
    n = len(data.inputs[0])
    cut = math.floor(n * (1 - validation_split))
    if not 0 < cut < n:
        raise ValueError(
            f'model "{model.name}": validation_split={validation_split} of {n} samples leaves one part empty'
        )
    training, held_out = _samples(data, slice(cut)), _samples(data, slice(cut, None))
    return ArraySource(training, batch_size, generator), ArraySource(held_out, batch_size)


def validation_source(model, data, batch_size):
    """The source of what fit() was given as validation_data."""
    if not isinstance(data, (tuple, list)):
        return evaluation_source(model, data)
    if len(data) not in (2, 3):
        raise ValueError(
            f'model "{model.name}": validation_data must be (x, y) or (x, y, sample_weight), got {len(data)} parts'
        )
    x, y, weight = (*data, None)[:3]
    return evaluation_source(model, x, y, batch_size, weight)


def evaluation_source(model, x, y=None, batch_size=None, sample_weight=None):
    """The source of what evaluate() was given."""
    if batches.is_iterable_of_batches(x, y):
        refuse_with_iterable(model, batch_size=batch_size, sample_weight=sample_weight)
        return IterableSource(model, x)
    return ArraySource(_checked_arrays(model, x, y, sample_weight), batch_size)


def input_batches(model, iterable):
    """Yield the input arrays of each item of an iterable of batches, as the engine takes them."""
    for item in batches.iterate(iterable):
        x = batches.split_batch(item, False)[0]
        model._require_built(x)
        yield [batches.engine_array(a) for a in batches.check_inputs(model, x)]


def refuse_with_iterable(model, **arguments):
    """Raise ValueError for an argument, not None, that has no meaning where batches come ready-made."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(
                f'model "{model.name}": {name} must be left out where x is an iterable of batches, got {value!r}'
            )


def _checked_arrays(model, x, y, sample_weight, class_weight=None):
    if x is None or y is None:
        raise ValueError(f'model "{model.name}": x and y must be given, or x an iterable of batches (x, y)')
    return checked_batch(model, x, y, sample_weight, class_weight)


def _samples(data, part):
    """The Batch of the samples of a slice."""
    return Batch(*([None if array is None else array[part] for array in group] for group in data))
