"""The layer: what every layer has, and how one is called.

A layer says three things: which weights it has (`build`), which operations of the engine it stands for (`lower`), and
how it is described in a file (`get_config`). Shapes follow from the operations; gradients follow from the operations
too.
"""

import numpy as np

from .. import initializers, regularizers
from ..batches import to_array
from ..compiler.ir import Graph, Value
from ..graph import Call, Tensor, flatten
from ..registry import to_snake_case
from ..variables import Variable, count_parameters

_counters = {}


def unique_name(prefix):
    """The prefix the first time, then prefix_1, prefix_2, ..."""
    count = _counters.get(prefix, 0)
    _counters[prefix] = count + 1
    return f"{prefix}_{count}" if count else prefix


def clear_names():
    """Start counting names anew."""
    _counters.clear()


class Lowering:
    """What a layer's `lower` writes to: operations are appended through `op`, weights become values through `weight`.

    Attributes
    ----------
    graph : Graph
    training : bool
        Lower what the layer does in training (dropout, batch statistics) rather than in inference.
    """

    def __init__(self, graph=None, training=False):
        self.graph = graph if graph is not None else Graph()
        self.training = training
        self.weights = {}
        self._layer = None
        self._streams = 0

    def stream(self, seed=None):
        """The number of a random stream for one operation: the next one, or the one that belongs to a layer's own
        seed.
        """
        if seed is not None:
            return 2**30 + seed % 2**30
        self._streams += 1
        return self._streams

    def op(self, name, inputs, outputs=1, **attributes):
        """Append an operation of the engine for the layer that is being lowered; see Graph.add."""
        return self.graph.add(name, inputs, outputs, layer=self._layer, **attributes)

    def reshape(self, value, shape):
        """The value under another shape, batch dimension included."""
        return self.graph.reshape(value, shape, layer=self._layer)

    def update(self, name, inputs, **attributes):
        """Append an operation that changes weights at the end of the step; see Graph.update."""
        self.graph.update(name, inputs, layer=self._layer, **attributes)

    def weight(self, variable):
        """The value of a weight; None for None."""
        if variable is None:
            return None
        if variable not in self.weights:
            storage = "parameters" if variable.trainable else "state"
            self.weights[variable] = Value(
                "float32", variable.shape, storage=storage, offset=variable.offset, name=variable.path
            )
        return self.weights[variable]

    def run(self, layer, inputs, training=None):
        """Lower a layer on values; returns the list of its results. training: None, or the caller's wish for this
        call.
        """
        outer = self.training, self._layer
        self.training = outer[0] if training is None else bool(training)
        self._layer = layer.name
        try:
            if not layer.accepts_bytes:
                inputs = [self.op("affine", [v], scale=1.0) if v.dtype == "uint8" else v for v in inputs]
            return flatten(layer.lower(self, *inputs))
        finally:
            self.training, self._layer = outer


class Layer:
    """Base of all layers.

    Parameters
    ----------
    name : str, optional
        Unique within a model; by default the class's name with a number.
    trainable : bool
        False freezes the layer: its weights get no gradient, and its backward pass is left out of the program where
        nothing before it needs one. May be changed at any time.
    dtype : "float32" or None
        The type of weights and results; there is no other.
    input_shape : tuple of int, optional
        Of one sample; with it a layer can be the first of a Sequential model.

    Subclasses override `build`, `lower` and `get_config`. Any further keyword argument is an error.
    """

    accepts_bytes = False  # does `lower` take uint8 values as they are?

    def __init__(self, *, name=None, trainable=True, dtype="float32", input_shape=None, **unknown):
        if unknown:
            raise TypeError(
                f"{type(self).__name__}: unknown argument {', '.join(unknown)}; see "
                f"help({type(self).__name__}) for what there is"
            )
        if dtype not in (None, "float32"):
            raise ValueError(
                f'{type(self).__name__}: dtype must be "float32", the engine\'s type for weights and results, '
                f"got {dtype!r}"
            )
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(f'{type(self).__name__}: name must be a non-empty string without "/", got {name!r}')
        self.name = name if name is not None else unique_name(to_snake_case(type(self).__name__))
        self._trainable = bool(trainable)
        self.input_shape_argument = tuple(input_shape) if input_shape is not None else None
        self.built = False
        self._variables = []
        self._input = self._output = None  # of the first call

    # -- what subclasses say --

    def build(self, *input_shapes):
        """Create the weights for inputs of these shapes (the batch dimension is None)."""

    def lower(self, b, *inputs):
        """Append the layer's operations to the Lowering `b`; returns the result's Value, or a list of them. In
        inference no sample's result may depend on others of the batch, which may run in parts.
        """
        raise NotImplementedError(f"{type(self).__name__} must override lower()")

    def get_config(self):
        """The constructor's arguments, as JSON can hold them."""
        return {"name": self.name, **({} if self._trainable else {"trainable": False})}

    @classmethod
    def from_config(cls, config):
        """A new layer, without the weights, of what get_config returned."""
        return cls(**config)

    @property
    def input(self):
        """The symbolic tensor, or list of them, that the layer was first called on; None before."""
        return self._input

    @property
    def output(self):
        """The symbolic result of the first call; None before."""
        return self._output

    # -- weights --

    @property
    def trainable(self):
        """Does training change the layer's weights? Setting it freezes (False) or unfreezes them."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f'{self._kind()} "{self.name}": trainable must be True or False, got {value!r}')
        self._trainable = bool(value)

    def add_weight(self, name, shape, initializer="glorot_uniform", trainable=True, regularizer=None):
        """Create a float32 weight. trainable=False: state that no gradient reaches, such as a moving average."""
        variable = Variable(name, shape, initializers.get(initializer), trainable, regularizers.get(regularizer), self)
        self._variables.append(variable)
        return variable

    @property
    def variables(self):
        """All variables: trainable ones first, as Keras orders them."""
        return [v for v in self._variables if v.trainable] + [v for v in self._variables if not v.trainable]

    @property
    def weights(self):
        """Keras' other name for `variables`."""
        return self.variables

    @property
    def trainable_variables(self):
        """The variables that training changes: none where the layer is frozen."""
        return [v for v in self._variables if v.trainable] if self.trainable else []

    @property
    def trainable_weights(self):
        """Keras' other name for `trainable_variables`."""
        return self.trainable_variables

    @property
    def non_trainable_variables(self):
        """The other variables: state, and whatever is frozen."""
        trainable = set(self.trainable_variables)
        return [v for v in self.variables if v not in trainable]

    @property
    def non_trainable_weights(self):
        """Keras' other name for `non_trainable_variables`."""
        return self.non_trainable_variables

    def count_params(self):
        """Number of weights, trainable or not."""
        return count_parameters(self.variables)

    def get_weights(self):
        """Copies of all weights, in the order of `variables`."""
        return [v.numpy() for v in self.variables]

    def set_weights(self, weights):
        """Set all weights from arrays in the order of `variables`. Nothing is changed unless all of them fit."""
        weights = [np.asarray(w) for w in weights]
        variables = self.variables
        if len(weights) != len(variables):
            raise ValueError(
                f'{self._kind()} "{self.name}": weights must be a list of {len(variables)} arrays, got {len(weights)}'
            )
        for variable, weight in zip(variables, weights):
            if weight.shape != variable.shape:
                raise ValueError(
                    f'{self._kind()} "{self.name}": the weight for {variable.path} must have shape '
                    f"{variable.shape}, got {weight.shape}"
                )
            if weight.dtype.kind not in "fiub":
                raise ValueError(
                    f'{self._kind()} "{self.name}": the weight for {variable.path} must be an array of '
                    f"numbers, got {weight.dtype}"
                )
        for variable, weight in zip(variables, weights):
            variable.assign(weight)

    def _kind(self):
        return "layer"

    # -- calls --

    def __call__(self, inputs, training=None):
        """Apply the layer.

        Parameters
        ----------
        inputs : Tensor, list of Tensor, or array(s)
            Symbolic tensors extend the graph. Arrays are computed at once, as inference.
        training : bool, optional
            For this call: False keeps the layer in inference mode while its model trains (moving statistics, no
            dropout).
        """
        tensors = flatten(inputs)
        if not tensors:
            raise ValueError(f'layer "{self.name}": inputs must not be empty')
        if not all(isinstance(t, Tensor) for t in tensors):
            return self._call_on_arrays(inputs, tensors, training)
        if not self.built:
            self.build(*[t.shape for t in tensors])
            self.built = True
        values = [Value(t.dtype, (1,) + t.shape[1:], name=t.name) for t in tensors]
        results = Lowering(training=bool(training)).run(self, values, training)
        call = Call(self, tensors, training)
        for i, value in enumerate(results):
            call.outputs.append(
                Tensor((None,) + value.shape[1:], value.dtype, f"{self.name}:{i}" if i else self.name, call, i)
            )
        if self._input is None:
            self._input = inputs
            self._output = call.outputs[0] if len(call.outputs) == 1 else list(call.outputs)
        return call.outputs[0] if len(call.outputs) == 1 else list(call.outputs)

    def _call_on_arrays(self, inputs, arrays, training):
        if any(isinstance(a, Tensor) for a in arrays):
            raise TypeError(f'layer "{self.name}": inputs must be all symbolic tensors or all arrays, not a mixture')
        if training:
            raise ValueError(
                f'layer "{self.name}": a call on arrays computes inference; use fit() or train_on_batch() to train'
            )
        from ..model import Input, Model

        arrays = [to_array(a, f'layer "{self.name}": inputs') for a in arrays]
        if any(a.ndim < 2 for a in arrays):
            raise ValueError(
                f'layer "{self.name}": inputs must have a batch dimension and others, got '
                f"{', '.join(str(a.shape) for a in arrays)}"
            )
        symbolic = [Input(a.shape[1:], dtype="uint8" if a.dtype == np.uint8 else "float32") for a in arrays]
        outputs = self(symbolic if isinstance(inputs, (list, tuple)) else symbolic[0])
        return Model(symbolic, outputs).predict_on_batch(arrays if len(arrays) > 1 else arrays[0])

    def compute_output_shape(self, input_shape):
        """The shape of the result for an input shape (with None for the batch), or a list of shapes for several
        inputs.
        """
        from ..model import Input

        shapes = input_shape if isinstance(input_shape[0], (list, tuple)) else [input_shape]
        symbolic = [Input(shape[1:]) for shape in shapes]
        before = self._input, self._output
        outputs = flatten(self(symbolic if len(symbolic) > 1 else symbolic[0]))
        self._input, self._output = before
        return outputs[0].shape if len(outputs) == 1 else [t.shape for t in outputs]

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"
