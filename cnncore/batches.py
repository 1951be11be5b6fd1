"""Where batches come from: arrays, or an iterable of batches."""

import math
import numbers

import numpy as np

FLOAT32 = np.dtype(np.float32)  # a dtype compares with a dtype faster than with a type


def to_array(value, what):
    """An array of numbers from an array, a list or a CPU tensor of another framework. Raises ValueError for anything
    else.
    """
    try:
        array = np.asarray(value)
    except Exception as error:  # whatever a foreign type's conversion raises
        raise ValueError(f"{what} must be convertible to a NumPy array, got {type(value).__name__}: {error}") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"{what} must be an array of numbers, got {type(value).__name__} with elements of type {array.dtype}"
            + ("; all samples must have the same shape" if array.dtype == object else "")
        )
    return array


def structure_to_list(value, names, what):
    """A value, a list of values or a dict of values by name, as a list in the order of `names`."""
    if isinstance(value, dict):
        unknown, missing = [k for k in value if k not in names], [n for n in names if n not in value]
        if unknown or missing:
            raise ValueError(f"{what} must have the keys {', '.join(names)}, got {', '.join(map(str, value))}")
        return [value[name] for name in names]
    if len(names) == 1 and not (
        isinstance(value, (list, tuple))
        and len(value) == 1
        and (hasattr(value[0], "__array__") or np.ndim(value[0]) > 1)
    ):
        return [value]
    if not isinstance(value, (list, tuple)) or len(value) != len(names):
        got = f"{len(value)}" if isinstance(value, (list, tuple)) else type(value).__name__
        raise ValueError(f"{what} must be a list of {len(names)} arrays ({', '.join(names)}), got {got}")
    return list(value)


def check_inputs(model, x):
    """The input arrays of a model, checked against its inputs. Images without a channel axis get one where the model
    has one channel.
    """
    if type(x) is np.ndarray and x.dtype == FLOAT32 and len(model.inputs) == 1 and x.ndim and len(x):
        if x.shape[1:] == model.inputs[0].shape[1:]:  # as mostly: without the words that only an error needs
            return [x]
    arrays = []
    for tensor, value in zip(model.inputs, structure_to_list(x, model.input_names, f'model "{model.name}": x')):
        array = to_array(value, f'model "{model.name}": input "{tensor.name}"')
        wanted = tensor.shape[1:]
        if array.ndim >= 1 and array.shape[1:] + (1,) == wanted:
            array = array[..., None]
        if array.ndim < 1 or array.shape[1:] != wanted:
            hint = ""
            if array.shape == wanted:
                hint = "; add the batch dimension: x[None]"
            elif array.ndim == 4 and (array.shape[2], array.shape[3], array.shape[1]) == wanted:
                hint = "; images are channels-last here: numpy.transpose(x, (0, 2, 3, 1))"
            raise ValueError(
                f'model "{model.name}": input "{tensor.name}" must have shape {tensor.shape}, got {array.shape}{hint}'
            )
        if len(array) == 0:
            raise ValueError(
                f'model "{model.name}": input "{tensor.name}" must have at least one sample, got shape {array.shape}'
            )
        arrays.append(array)
    if len(arrays) > 1 and len({len(a) for a in arrays}) > 1:
        raise ValueError(
            f'model "{model.name}": all inputs must have the same number of samples, got '
            f"{', '.join(str(len(a)) for a in arrays)}"
        )
    return arrays


def engine_array(array):
    """The array as the engine takes it: contiguous float32 or uint8."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    return np.ascontiguousarray(array, np.float32)


class ArrayBatches:
    """Batches of arrays of equal length, in order or shuffled anew in each epoch. The last batch may be smaller.

    Arrays that need no shuffling and no conversion are handed out as views. A shuffled batch is gathered into a buffer
    that the next one reuses.

    Parameters
    ----------
    arrays : list of ndarray
        The first `n_inputs` are converted to float32 (uint8 stays); the rest are handed out in their type.
    batch_size : int
    shuffle : bool
    generator : numpy.random.Generator
    """

    def __init__(self, arrays, n_inputs, batch_size, shuffle=False, generator=None):
        if isinstance(batch_size, bool) or not isinstance(batch_size, numbers.Integral) or batch_size < 1:
            raise ValueError(f"batch_size must be an integer of at least 1, got {batch_size!r}")
        self.arrays, self.batch_size, self.shuffle, self.generator = arrays, int(batch_size), shuffle, generator
        self.samples = len(arrays[0])
        self.types = [
            np.dtype(np.uint8 if a.dtype == np.uint8 else np.float32) if i < n_inputs else a.dtype
            for i, a in enumerate(arrays)
        ]

    def __len__(self):
        return math.ceil(self.samples / self.batch_size)

    def __iter__(self):
        indices = self.generator.permutation(self.samples) if self.shuffle else None
        buffers = [None] * len(self.arrays)
        for begin in range(0, self.samples, self.batch_size):
            end = min(begin + self.batch_size, self.samples)
            batch = []
            for i, (array, dtype) in enumerate(zip(self.arrays, self.types)):
                if indices is None:
                    batch.append(np.ascontiguousarray(array[begin:end], dtype))
                    continue
                chosen = indices[begin:end]
                if array.dtype == dtype:
                    if buffers[i] is None or len(buffers[i]) != end - begin:
                        buffers[i] = np.empty((end - begin, *array.shape[1:]), dtype)
                    batch.append(np.take(array, chosen, axis=0, out=buffers[i], mode="clip"))
                else:
                    batch.append(array[chosen].astype(dtype))
            yield batch


def is_iterable_of_batches(x, y):
    """Is x a source of batches (x, y), rather than arrays?"""
    if y is not None or x is None or isinstance(x, (np.ndarray, list, tuple, dict)) or hasattr(x, "__array__"):
        return False
    return hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


def iterate(source):
    """Walk once over an iterable of batches, or over an object with len() and [i] such as Keras' PyDataset."""
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        for i in range(len(source)):
            yield source[i]
    else:
        yield from source


def split_batch(item, need_targets):
    """(x, y, sample_weight) of what an iterable gives: x, (x,), (x, y) or (x, y, sample_weight)."""
    if isinstance(item, tuple):
        if not 1 <= len(item) <= 3:
            raise ValueError(f"a batch must be x, (x, y) or (x, y, sample_weight), got a tuple of {len(item)}")
        x, y, weight = (*item, None, None)[:3]
    else:
        x, y, weight = item, None, None
    if need_targets and y is None:
        raise ValueError("a batch must be a tuple (x, y) or (x, y, sample_weight), got no targets")
    return x, y, weight


def expand_weights(weight, n, shape, owner):
    """Sample weights, one per sample or one per loss value, as float32 of shape (n, *shape)."""
    weight = to_array(weight, f"{owner}: sample_weight")
    if weight.shape == (n, 1) and shape != (1,):
        weight = weight[:, 0]
    if weight.shape not in ((n,), (n, *shape)):
        raise ValueError(
            f"{owner}: sample_weight must have shape {(n,)}"
            + (f" or {(n, *shape)}" if shape else "")
            + f", got {weight.shape}"
        )
    if not np.isfinite(weight).all() or (weight < 0).any():
        bad = np.argwhere(~np.isfinite(weight) | (weight < 0))[0]
        raise ValueError(
            f"{owner}: sample_weight must be finite and not negative, got {weight[tuple(bad)]} for sample {bad[0]}"
        )
    weight = weight.reshape(weight.shape + (1,) * (1 + len(shape) - weight.ndim))
    return np.ascontiguousarray(np.broadcast_to(weight, (n, *shape)), np.float32)


def class_weights(class_weight, labels, classes, owner):
    """The weight of each sample from {class: weight}; those of the `classes` that are not named weigh 1."""
    if not isinstance(class_weight, dict):
        raise ValueError(
            f"{owner}: class_weight must be a dict from class numbers to weights, got {type(class_weight).__name__}"
        )
    table = np.ones(classes, np.float32)
    for label, weight in class_weight.items():
        if not isinstance(label, numbers.Integral) or not 0 <= label < classes:
            raise ValueError(
                f"{owner}: class_weight must have class numbers 0 to {classes - 1} as keys, the output has "
                f"{classes} classes, got {label!r}"
            )
        if not (isinstance(weight, numbers.Real) and math.isfinite(weight) and weight >= 0):
            raise ValueError(f"{owner}: class_weight must be finite and not negative, got {weight!r} for class {label}")
        table[label] = weight
    return table[labels]
