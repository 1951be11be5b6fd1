"""Weights: variables, and the flat buffers that hold the variables of a model."""

import contextlib
import contextvars
from math import prod

import numpy as np

from . import _core

_ZERO = bytes(4)
LARGE_BYTES = 16 << 20  # of weights: that much memory is not to be held twice
_floats_left = contextvars.ContextVar(
    "floats_left", default=None
)  # [how many floats new variables may still have], or None: any number


@contextlib.contextmanager
def at_most(floats):
    """Within the block new variables have so many floats together; one more is a ValueError. They are read-only zeros
    that take no memory, until a `Store` gives them some.

    For reading files: the weights come from the file, and a description can claim no more of them than it holds.
    """
    token = _floats_left.set([floats])
    try:
        yield
    finally:
        _floats_left.reset(token)


class Changes:
    """Counts what may change which variables a model has: new variables, and new graphs."""

    count = 0


class Variable:
    """A weight of a layer: a float32 array with a name, an initializer and perhaps a regularizer.

    Attributes
    ----------
    name : str
        Within the layer: "kernel".
    path : str
        "layer/kernel".
    shape : tuple of int
    trainable : bool
        False for state such as moving averages, which no gradient reaches.
    regularizer : Regularizer or None
    """

    def __init__(self, name, shape, initializer, trainable=True, regularizer=None, layer=None):
        self.name, self.shape, self.trainable, self.regularizer, self.layer = (
            name,
            tuple(shape),
            trainable,
            regularizer,
            layer,
        )
        left = _floats_left.get()
        if left is None:
            value = np.asarray(initializer(self.shape), np.float32)
            if value.shape != self.shape:
                raise ValueError(
                    f'variable "{name}": the initializer must return shape {self.shape}, got {value.shape}'
                )
            value = np.ascontiguousarray(value)
        else:
            left[0] -= prod(self.shape)
            if left[0] < 0:
                raise ValueError(f'variable "{name}": shape {self.shape} must fit into the weights that the file holds')
            value = np.ndarray(self.shape, np.float32, _ZERO, strides=(0,) * len(self.shape))
        self.data = value  # a view into the store once there is one
        self.store, self.offset = None, 0  # offset in bytes
        Changes.count += 1

    @property
    def path(self):
        return f"{self.layer.name}/{self.name}" if self.layer is not None else self.name

    @property
    def dtype(self):
        return "float32"

    def numpy(self):
        """A copy of the value."""
        return self.data.copy()

    def assign(self, value):
        """Set the value; an array of another shape is refused."""
        value = np.asarray(value)
        if value.shape != self.shape:
            raise ValueError(f'variable "{self.path}": value must have shape {self.shape}, got {value.shape}')
        if value.dtype.kind not in "fiub":
            raise ValueError(f'variable "{self.path}": value must be an array of numbers, got {value.dtype}')
        if self.store is None:
            self.data = np.array(value, np.float32, order="C")  # the one before may be without memory, see at_most
        else:
            self.data[...] = value
            self.store.version += 1

    def __array__(self, dtype=None, copy=None):
        return self.data.astype(dtype or np.float32)

    def __repr__(self):
        return f"<Variable {self.path} {self.shape}>"


class Store:
    """The weights of a model in two flat, aligned buffers: `parameters`, which gradients reach, and `state`.

    A store takes over the variables that it is made of: their arrays become views into its buffers. The parameters
    stand in the order in which the backward pass finishes their gradients, the last layer first, so that what is ready
    together lies together. A store whose variables were taken over by another one (a model that became part of a larger
    model) is `retired`.

    Parameters
    ----------
    variables : iterable of Variable
    copy : bool
        False: the variables' values are left behind, and the caller writes others.
    """

    def __init__(self, variables, copy=True):
        self.variables = list(variables)
        self.retired = False
        self.version = 0  # counts changes of the weights, so that what is derived from them can be renewed
        self.layout = {}
        buffers = {}
        for name, members in (
            ("parameters", [v for v in self.variables if v.trainable][::-1]),
            ("state", [v for v in self.variables if not v.trainable]),
        ):
            offset = 0
            for variable in members:
                self.layout[variable] = (name, offset)
                offset += -(-4 * prod(variable.shape) // _core.ALIGNMENT) * _core.ALIGNMENT
            buffers[name] = _core.aligned_zeros(max(offset // 4, 1))
        self.parameters, self.state = buffers["parameters"], buffers["state"]
        for variable, (name, offset) in self.layout.items():
            view = self.view(buffers[name], variable, offset)
            if copy:
                view[...] = variable.data
            if variable.store is not None:
                variable.store.retired = True
            variable.data, variable.store, variable.offset = view, self, offset
        if copy and self.parameters.nbytes > LARGE_BYTES:
            _core.trim()  # arrays of all sizes were freed, and so much is worth some milliseconds

    @staticmethod
    def view(buffer, variable, offset):
        """The part of a flat buffer that belongs to a variable, in its shape."""
        begin = offset // 4
        return buffer[begin : begin + prod(variable.shape)].reshape(variable.shape)

    def ranges(self, variables):
        """The contiguous ranges (offset in bytes, number of floats) of `parameters` that these variables fill, padding
        between them included.
        """
        chosen = sorted((self.layout[v][1], v.data.size) for v in variables)
        result = []
        for offset, count in chosen:
            if result and result[-1][0] + -(-result[-1][1] * 4 // _core.ALIGNMENT) * _core.ALIGNMENT == offset:
                result[-1] = (result[-1][0], (offset - result[-1][0]) // 4 + count)
            else:
                result.append((offset, count))
        return result


def store_of(variables, copy=True):
    """The store that holds all these variables. Where there is none, a new one takes over them and all that lies in
    stores with them, so that models which share some of their layers come to share one store. copy: see Store."""
    variables = list(dict.fromkeys(variables))
    stores = list(dict.fromkeys(v.store for v in variables if v.store is not None))
    if len(stores) == 1 and not stores[0].retired and all(v.store is stores[0] for v in variables):
        return stores[0]
    together = dict.fromkeys(variables)
    for store in stores:
        together.update(dict.fromkeys(v for v in store.variables if v.store is store))
    return Store(together, copy)


def count_parameters(variables):
    """Number of floats in variables."""
    return sum(v.data.size for v in variables)
