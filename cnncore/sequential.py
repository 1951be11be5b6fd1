"""Sequential: a model of layers one after another."""

import numpy as np

from . import batches
from .graph import Tensor, flatten
from .layers.base import Layer
from .model import InputLayer, Model
from .training import Trainer


class Sequential(Model):
    """Layers one after another.

    Parameters
    ----------
    layers : list of Layer, optional
        The first may be an Input(...), or have input_shape=; without either the model is built when it first sees data.
    name : str, optional
    """

    _grows = True

    def __init__(self, layers=None, trainable=True, name=None):
        Layer.__init__(self, name=name)
        Trainer.__init__(self)
        self._structure = None, None
        self.layers, self.inputs, self.outputs, self.calls = [], [], [], []
        self._input_layer = None
        for layer in layers or []:
            self.add(layer)
        if not trainable:
            self.trainable = False

    def add(self, layer):
        """Append a layer, or begin with Input(...)."""
        if isinstance(layer, Tensor) and isinstance(layer.call.layer, InputLayer):
            layer = layer.call.layer
        if not isinstance(layer, Layer):
            raise ValueError(f'Sequential "{self.name}": needs layers, got {layer!r}')
        if any(layer.name == other.name for other in self.layers):
            raise ValueError(
                f'Sequential "{self.name}": layer names must be unique, got "{layer.name}" twice; give the '
                "layer a name= argument"
            )
        if isinstance(layer, InputLayer):
            if self.layers or self._input_layer:
                raise ValueError(f'Sequential "{self.name}": Input must come first')
            self._input_layer = layer
            return
        if not self.layers and self._input_layer is None and layer.input_shape_argument:
            self._input_layer = InputLayer(layer.input_shape_argument)
        if not self.layers and self._input_layer is None and isinstance(layer, Model) and layer.inputs:
            self._input_layer = InputLayer(layer.inputs[0].shape[1:], dtype=layer.inputs[0].dtype)
        self.layers.append(layer)
        if self._input_layer is not None:
            try:
                self._build_graph()
            except ValueError:
                self.layers.remove(layer)
                raise

    def pop(self):
        """Remove the last layer and return it."""
        if not self.layers:
            raise ValueError(f'Sequential "{self.name}": has no layer to remove')
        layer = self.layers.pop()
        self.built = False
        if self.layers and self._input_layer is not None:
            self._build_graph()
        return layer

    def build(self, *shapes):
        """Build the weights for inputs of a shape (None, ...)."""
        if self._input_layer is None:
            self._input_layer = InputLayer(tuple(shapes[0])[1:])
        self._build_graph()

    def _require_built(self, x=None):
        """A Sequential model without an input shape is built by its first data."""
        if self.built:
            return
        owner = f'model "{self.name}"'
        if x is None:
            raise ValueError(
                f"{owner}: has no shape yet; begin it with Input(shape), or call fit or predict with data first"
            )
        if isinstance(x, dict):
            raise ValueError(
                f"{owner}: has no named inputs yet, got a dict of {', '.join(map(str, x))}; begin it with "
                "Input(shape, name=...)"
            )
        array = batches.to_array(
            x[0] if isinstance(x, (list, tuple)) and len(x) == 1 and np.ndim(x[0]) > 1 else x, f"{owner}: x"
        )
        shape = array.shape
        self.build((None, *(shape[1:] if len(shape) != 3 or self._takes_vectors() else (*shape[1:], 1))))

    def _takes_vectors(self):
        return type(self.layers[0]).__name__ in ("Dense", "Flatten", "Reshape") if self.layers else True

    def _build_graph(self):
        if not self.layers:
            raise ValueError(f'Sequential "{self.name}": has no layers; add() some')
        x = self._input_layer.output
        if self.calls and self.inputs and len(self.calls) == len(self.layers) - 1:
            x = self.layers[-1](self.outputs[0])  # one more layer
        else:
            for layer in self.layers:
                x = layer(x)
        layers = self.layers
        self._set_graph(self._input_layer.output, x)
        self.layers = layers
        self._forget_programs()
        if self.optimizer is not None:  # losses and metrics depend on the outputs
            self.compile(self.optimizer, **self._compile_arguments, seed=self._step_seed)

    def __call__(self, inputs, training=None):
        leaves = flatten(inputs)
        if not self.built and leaves:
            shape = leaves[0].shape if isinstance(leaves[0], Tensor) else (None, *np.shape(leaves[0])[1:])
            self.build(shape)
        return super().__call__(inputs, training)

    def get_config(self):
        entries = [{"class_name": type(layer).__name__, "config": layer.get_config()} for layer in self.layers]
        shape = (
            None
            if self._input_layer is None
            else {"shape": self._input_layer.shape, "dtype": self._input_layer.dtype, "name": self._input_layer.name}
        )
        return {"name": self.name, "input": shape, "sequence": entries}

    @classmethod
    def from_config(cls, config):
        from .serialization import layer_from_config

        try:
            first = [] if config["input"] is None else [InputLayer(**config["input"])]
            return cls(first + [layer_from_config(entry) for entry in config["sequence"]], name=config["name"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"Sequential: the description is damaged: {type(error).__name__} {error}") from error
