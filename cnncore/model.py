"""Models: graphs of layers that train, evaluate, predict, and are layers themselves."""

import numpy as np

from . import checks
from .batches import structure_to_list
from .graph import Call, Tensor, calls_between, flatten
from .layers.base import Layer, unique_name
from .reports import Reports
from .training import Trainer
from .variables import Changes


class InputLayer(Layer):
    """The place where data enters a model.

    Parameters
    ----------
    shape : tuple of int
        Of one image or sample: (height, width, channels).
    batch_size : None
        Models take batches of any size.
    dtype : "float32" or "uint8"
    """

    accepts_bytes = True

    def __init__(self, shape, batch_size=None, dtype="float32", name=None):
        super().__init__(name=name)
        owner = f'Input "{self.name}"'
        if batch_size is not None:
            raise ValueError(
                f"{owner}: batch_size must be None, a model takes batches of any size, got {batch_size!r}; leave it out"
            )
        try:
            shape = tuple(checks.integer(owner, "every dimension of shape", d, 1) for d in shape)
        except TypeError:
            raise ValueError(
                f"{owner}: shape must be a tuple of integers without the batch dimension, got {shape!r}"
            ) from None
        if not 1 <= len(shape) <= 3:
            raise ValueError(f"{owner}: shape must have 1 to 3 dimensions without the batch dimension, got {shape}")
        self.dtype = checks.choice(owner, "dtype", dtype or "float32", ("float32", "uint8"))
        self.shape = shape
        self.built = True
        call = Call(self, [], None)
        call.outputs.append(Tensor((None, *shape), self.dtype, self.name, call))
        self._input = self._output = call.outputs[0]

    def get_config(self):
        return {"name": self.name, "shape": self.shape, "dtype": self.dtype}


def Input(shape, batch_size=None, dtype="float32", name=None):
    """The symbolic tensor with which a model begins.

    Parameters
    ----------
    shape : tuple of int
        Of one sample, without the batch: (height, width, channels).
    batch_size : None
        Models take batches of any size.
    dtype : "float32" or "uint8"
        "uint8" for images as bytes; the first layer, often Rescaling(1/255), converts them.
    name : str, optional

    Returns
    -------
    Tensor
        Of shape (None, *shape).
    """
    return InputLayer(shape, batch_size, dtype, name or unique_name("input")).output


class Model(Trainer, Reports, Layer):
    """A graph of layers from inputs to outputs.

    Parameters
    ----------
    inputs, outputs : Tensor, list of Tensor, or dict of Tensor
        Symbolic tensors: what `Input` gave, and what calling layers on it led to.
    name : str, optional
    trainable : bool

    A model can be called like a layer: on symbolic tensors it becomes part of another model (sharing its weights), on
    arrays it predicts.

    Attributes
    ----------
    class_names : list of str or None
        What the numbers along the last axis of a classifier's output mean; saved with the model. None unless set.
    """

    accepts_bytes = True  # the inputs' own layers convert where they must
    _class_names = None
    _grows = False  # may layers be added and removed after building?

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, inputs, outputs, name=None, trainable=True):
        Layer.__init__(self, name=name)
        self._set_graph(inputs, outputs)
        Trainer.__init__(self)
        if not trainable:
            self.trainable = False

    def _set_graph(self, inputs, outputs):
        owner = f'{type(self).__name__} "{self.name}"'
        self.inputs, self.outputs = _leaves(inputs), _leaves(outputs)
        for kind, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            if not tensors:
                raise ValueError(f"{owner}: {kind} must not be empty")
            for tensor in tensors:
                if not isinstance(tensor, Tensor):
                    raise ValueError(
                        f"{owner}: {kind} must be symbolic tensors, from Input() and from calling layers on "
                        f"it, got {type(tensor).__name__}"
                    )
        for tensor in self.inputs:
            if tensor.call is None or tensor.call.inputs:
                raise ValueError(
                    f'{owner}: inputs must come from Input(), but "{tensor.name}" is the result of a layer'
                )
        if len(set(map(id, self.inputs))) < len(self.inputs):
            raise ValueError(f"{owner}: each input must be given once")
        self._structure = inputs, outputs
        Changes.count += 1
        self.calls = calls_between(self.inputs, self.outputs, owner)
        self.layers = list(dict.fromkeys([t.call.layer for t in self.inputs] + [call.layer for call in self.calls]))
        names = {}
        for layer in self.layers:
            if names.setdefault(layer.name, layer) is not layer:
                raise ValueError(
                    f'{owner}: layer names must be unique, got "{layer.name}" twice; give the layers name= arguments'
                )
        self.input_names = list(inputs) if isinstance(inputs, dict) else [t.call.layer.name for t in self.inputs]
        self.output_names = self._names_of_outputs()
        self.built = True

    def _names_of_outputs(self):
        if isinstance(self._structure[1], dict):
            return list(self._structure[1])
        names = []
        for tensor in self.outputs:
            name = tensor.call.layer.name
            names.append(name if name not in names else f"{name}_{names.count(name)}")
        return names

    # -- as a layer --

    def __call__(self, inputs, training=None):
        """Apply the model: to symbolic tensors as part of another model, to arrays at once, as inference. A dict is
        matched by the inputs' names.
        """
        if isinstance(inputs, dict):
            inputs = structure_to_list(inputs, self.input_names, f'model "{self.name}": inputs')
        outputs = super().__call__(inputs, training)
        return self._as_built(flatten(outputs)) if isinstance(flatten(outputs)[0], Tensor) else outputs

    def _call_on_arrays(self, inputs, arrays, training):
        if any(isinstance(a, Tensor) for a in arrays) or training:
            return super()._call_on_arrays(inputs, arrays, training)  # which tells what is wrong
        return self.predict_on_batch(inputs)

    def lower(self, b, *values):
        if len(values) != len(self.inputs):
            raise ValueError(
                f'model "{self.name}": has {len(self.inputs)} inputs ({", ".join(self.input_names)}), got {len(values)}'
            )
        known = {}
        for tensor, value in zip(self.inputs, values):
            if value.shape[1:] != tensor.shape[1:]:
                raise ValueError(
                    f'model "{self.name}": input "{tensor.name}" must have shape {tensor.shape}, got '
                    f"{(None, *value.shape[1:])}"
                )
            known[id(tensor)] = value
        for call in self.calls:
            results = b.run(call.layer, [known[id(t)] for t in call.inputs], call.training)
            known.update((id(t), value) for t, value in zip(call.outputs, results))
        return [known[id(t)] for t in self.outputs]

    @property
    def trainable(self):
        """Setting it freezes (False) or unfreezes all layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        Layer.trainable.fset(self, value)
        for layer in self.layers:
            layer.trainable = value

    def _gather(self, attribute):
        return list(dict.fromkeys(v for layer in self.layers for v in getattr(layer, attribute)))

    @property
    def variables(self):
        """All weights, layer by layer."""
        return self._gather("variables")

    @property
    def trainable_variables(self):
        return self._gather("trainable_variables")

    def get_layer(self, name=None, index=None):
        """The layer of that name, or at that index."""
        if index is not None:
            if not isinstance(index, (int, np.integer)) or not -len(self.layers) <= index < len(self.layers):
                raise ValueError(
                    f'model "{self.name}": index must be one of its {len(self.layers)} layers, got {index!r}'
                )
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f'model "{self.name}": there is no layer '
            f"{name!r}{checks.suggestion(name, [layer.name for layer in self.layers])}; "
            f"it has {', '.join(layer.name for layer in self.layers)}"
        )

    @property
    def input(self):
        """The symbolic inputs, as the model was built."""
        return self._structure[0]

    @property
    def output(self):
        """The symbolic outputs, as the model was built."""
        return self._structure[1]

    @property
    def input_shape(self):
        """The shape of the input with None for the batch, or a list of shapes."""
        return self.inputs[0].shape if len(self.inputs) == 1 else [t.shape for t in self.inputs]

    @property
    def output_shape(self):
        """The shape of the output with None for the batch, or a list of shapes."""
        return self.outputs[0].shape if len(self.outputs) == 1 else [t.shape for t in self.outputs]

    @property
    def class_names(self):
        """What the numbers along the last axis of a classifier's output mean, or None."""
        return self._class_names

    @class_names.setter
    def class_names(self, names):
        if names is not None:
            if (
                isinstance(names, str)
                or not all(isinstance(name, str) and name for name in names)
                or len(set(names)) < len(names)
            ):
                raise ValueError(
                    f'model "{self.name}": class_names must be a list of different non-empty strings, got {names!r}'
                )
            names = [str(name) for name in names]
            classes = self.outputs[0].shape[-1] if len(self.outputs) == 1 else None
            if self.built and len(names) != classes:
                wanted = f"{classes} names, one per class" if classes else "None for a model with several outputs"
                raise ValueError(f'model "{self.name}": class_names must be {wanted}, got {len(names)}')
        self._class_names = names

    def _kind(self):
        return "model"

    # -- as a description --

    def get_config(self):
        """The graph: layers with their configurations and their calls, in the order of the graph."""
        where = {}  # id of a tensor -> [layer name, call of that layer, result]
        for tensor in self.inputs:
            where[id(tensor)] = [tensor.call.layer.name, 0, 0]
        calls = {layer: [] for layer in self.layers}
        for call in self.calls:
            entry = {"inputs": [where[id(t)] for t in call.inputs]}
            if call.training is not None:
                entry["training"] = bool(call.training)
            for tensor in call.outputs:
                where[id(tensor)] = [call.layer.name, len(calls[call.layer]), tensor.index]
            calls[call.layer].append(entry)
        return {
            "name": self.name,
            "layers": [
                {"class_name": type(layer).__name__, "config": layer.get_config(), "calls": calls[layer]}
                for layer in self.layers
            ],
            "order": [call.layer.name for call in self.calls],
            "inputs": _encode(self._structure[0], lambda t: where[id(t)]),
            "outputs": _encode(self._structure[1], lambda t: where[id(t)]),
        }

    @classmethod
    def from_config(cls, config):
        """The model that get_config described in `config`. Raises ValueError where the description does not hold
        together.
        """
        from .serialization import layer_from_config

        name = config.get("name")
        try:
            layers = {entry["config"]["name"]: (layer_from_config(entry), entry["calls"]) for entry in config["layers"]}
            tensors = {}
            for layer, _ in layers.values():
                if isinstance(layer, InputLayer):
                    tensors[layer.name, 0, 0] = layer.output
            made = dict.fromkeys(layers, 0)
            for layer_name in config["order"]:
                layer, calls = layers[layer_name]
                call = calls[made[layer_name]]
                inputs = [tensors[tuple(reference)] for reference in call["inputs"]]
                outputs = flatten(layer(inputs if len(inputs) > 1 else inputs[0], training=call.get("training")))
                tensors.update(((layer_name, made[layer_name], tensor.index), tensor) for tensor in outputs)
                made[layer_name] += 1
            inputs = _decode(config["inputs"], lambda reference: tensors[tuple(reference)])
            outputs = _decode(config["outputs"], lambda reference: tensors[tuple(reference)])
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError(
                f'model "{name}": the description of the graph is damaged: {type(error).__name__} {error}'
            ) from error
        return Model(inputs, outputs, name=name)

    # -- as a file --

    def save(self, filepath, overwrite=True, include_optimizer=True):
        """Write the model to one file, atomically: graph, weights and, where compiled, losses, metrics and the
        optimizer with its state.

        Parameters
        ----------
        filepath : str or path
            By custom ending in ".cnn"; the content is the same under any name.
        overwrite : bool
            False: an existing file is an error.
        include_optimizer : bool
            False leaves out what only continued training needs.
        """
        from . import serialization

        serialization.save_model(self, filepath, overwrite, include_optimizer)

    def save_weights(self, filepath, overwrite=True):
        """Write the weights alone, atomically, to the file `filepath`, in the layout of save; overwrite=False: an
        existing file is an error.
        """
        from . import serialization

        serialization.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath, skip_mismatch=False):
        """Read weights from a file of save or save_weights: by name, or in order where all names differ.

        Parameters
        ----------
        filepath : str or path
        skip_mismatch : bool
            Leave weights alone whose name or shape is not in the file, with a warning; otherwise that is an error and
            nothing is changed.
        """
        from . import serialization

        serialization.load_weights(self, filepath, skip_mismatch)

    def __setattr__(self, name, value):
        if name == "layers" and not self._grows and "layers" in self.__dict__ and self.__dict__.get("built"):
            raise AttributeError(f'model "{self.name}": layers cannot be replaced; build a new Model')
        super().__setattr__(name, value)


def _leaves(structure):
    """The members of a list or dict; a single one as a list."""
    return list(
        structure.values()
        if isinstance(structure, dict)
        else structure
        if isinstance(structure, (list, tuple))
        else [structure]
    )


def _encode(structure, leaf):
    """Inputs or outputs as JSON: a reference, a list of them, or a dict of them by name."""
    if isinstance(structure, dict):
        return {"dict": {key: leaf(value) for key, value in structure.items()}}
    if isinstance(structure, (list, tuple)):
        return {"list": [leaf(value) for value in structure]}
    return {"one": leaf(structure)}


def _decode(encoded, leaf):
    if "dict" in encoded:
        return {key: leaf(value) for key, value in encoded["dict"].items()}
    return [leaf(value) for value in encoded["list"]] if "list" in encoded else leaf(encoded["one"])
