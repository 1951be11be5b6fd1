"""Models in files: the graph and the weights in one `.cnn` file, which is a safetensors file.

The tensors are the weights by their paths ("conv2d/kernel") in Keras' layout, and with the optimizer its state
("optimizer/velocity/conv2d/kernel"). The metadata, a map of strings as safetensors has it, holds "format",
"cnncore_version", "model" (the graph as JSON), "weights" (their order), where the model has class names "classes" (a
list as JSON), and for a compiled model "training" (losses, metrics, optimizer, counters as JSON). Nothing in a file is
ever imported or run: layers, losses and optimizers are looked up in closed tables.
"""

import json
import os
import warnings
from math import prod

import numpy as np

from . import checks, layers, model_file
from ._core import VERSION
from .lazy import LazyModule
from .model import InputLayer, Model
from .sequential import Sequential
from .variables import at_most, store_of

losses, metrics, optimizers = LazyModule("losses"), LazyModule("metrics"), LazyModule("optimizers")

FORMAT = "cnncore-1"
_DAMAGE = (
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    ValueError,
    OverflowError,
    RecursionError,
)  # what making objects from a wrong description raises
_MODELS = {
    "Model": Model,
    "Functional": Model,
    "Sequential": Sequential,
    "InputLayer": InputLayer,
}


def layer_from_config(entry, custom_objects=None):
    """The layer or model that {"class_name", "config"} describes."""
    name, config = entry["class_name"], entry["config"]
    if name in _MODELS:
        return _MODELS[name].from_config(_tuples(config) if name == "InputLayer" else config)
    return layers._registry.deserialize({"class_name": name, "config": config}, custom_objects)


def _tuples(config):
    return {**config, "shape": tuple(config["shape"])} if "shape" in config else config


def named_variables(model, prefix=""):
    """path -> Variable, layer by layer; the paths of nested models begin with their names. Shared weights come once."""
    named, seen = {}, set()

    def walk(container, prefix):
        for layer in container.layers:
            if hasattr(layer, "layers"):
                walk(layer, f"{prefix}{layer.name}/")
                continue
            for variable in layer.variables:
                if variable not in seen:
                    seen.add(variable)
                    named[f"{prefix}{layer.name}/{variable.name}"] = variable

    walk(model, prefix)
    return named


def _check_path(filepath, overwrite, owner):
    path = os.fspath(filepath)
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f'{owner}: "{path}" exists; say overwrite=True or give another name')
    return path


def _json(value, what):
    def plain(thing):
        if isinstance(thing, np.generic):
            return thing.item()
        raise ValueError(f"{what}: cannot be saved, it holds {thing!r}; use names or the library's own objects")

    return json.dumps(value, default=plain, separators=(",", ":"))


def _serialized(value, kind):
    """Names stay; objects become configurations; lists and dicts are walked."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {key: _serialized(v, kind) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_serialized(v, kind) for v in value]
    return {"object": kind.serialize(value)}


def _deserialized(value, kind):
    if isinstance(value, dict):
        if set(value) == {"object"}:
            return kind.deserialize(value["object"])
        return {key: _deserialized(v, kind) for key, v in value.items()}
    return [_deserialized(v, kind) for v in value] if isinstance(value, list) else value


def save_model(model, filepath, overwrite=True, include_optimizer=True):
    """Write a model to a file; see Model.save."""
    owner = f'model "{model.name}"'
    path = _check_path(filepath, overwrite, owner)
    model._require_built()
    named = named_variables(model)
    tensors = {name: variable.data for name, variable in named.items()}
    metadata = {
        "format": FORMAT,
        "cnncore_version": VERSION,
        "weights": _json(list(named), owner),
        "model": _json(
            {
                "class_name": "Sequential" if isinstance(model, Sequential) else "Model",
                "config": model.get_config(),
            },
            owner,
        ),
    }
    if model.class_names is not None:
        metadata["classes"] = _json(model.class_names, owner)
    if include_optimizer and model.optimizer is not None:
        optimizer, arguments = model.optimizer, model._compile_arguments
        metadata["training"] = _json(
            {
                "optimizer": optimizers.serialize(optimizer),
                "iterations": optimizer.iterations,
                "seed": model._step_seed,
                "loss": _serialized(arguments["loss"], losses),
                "loss_weights": arguments["loss_weights"],
                "metrics": _serialized(arguments["metrics"], metrics),
                "weighted_metrics": _serialized(arguments["weighted_metrics"], metrics),
                "shuffle": model._shuffle_generator.bit_generator.state,
            },
            owner,
        )
        if optimizer._store is not None and optimizer.iterations:
            for slot in optimizer.slots:
                for name, variable in named.items():
                    buffer, offset = optimizer._store.layout.get(variable, (None, 0))
                    if buffer == "parameters":
                        tensors[f"optimizer/{slot}/{name}"] = optimizer._store.view(
                            optimizer.state[slot], variable, offset
                        )
    model_file.write(path, tensors, metadata)


def save_weights(model, filepath, overwrite=True):
    """Write the weights of a model to a file; see Model.save_weights."""
    path = _check_path(filepath, overwrite, f'model "{model.name}"')
    model._require_built()
    named = named_variables(model)
    model_file.write(
        path,
        {name: variable.data for name, variable in named.items()},
        {"format": FORMAT, "cnncore_version": VERSION, "weights": json.dumps(list(named))},
    )


def _check_format(path, metadata):
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f'"{path}": is not a model of this library: metadata "format" must be "{FORMAT}", got '
            f"{metadata.get('format')!r}"
        )


def _parse(path, metadata, key):
    try:
        return json.loads(metadata[key])
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f'"{path}": metadata "{key}" is missing or damaged: {type(error).__name__} {error}') from error


def load_model(filepath, custom_objects=None, compile=True):
    """Read a model that save wrote.

    Parameters
    ----------
    filepath : str or path
    custom_objects : dict, optional
        Your own Layer classes by name.
    compile : bool
        Compile it as it was, with the state of its optimizer, so that training goes on as if it had never stopped.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        For a file that is damaged, is of another kind, or does not hold together. Nothing in it is run.
    FileNotFoundError
    """
    path = os.fspath(filepath)
    file = model_file.begin(path)
    entries, metadata = file.entries(), file.metadata()
    _check_format(path, metadata)
    entry = _parse(path, metadata, "model")
    if not isinstance(entry, dict) or entry.get("class_name") not in ("Model", "Sequential"):
        raise ValueError(f'"{path}": metadata "model" must describe a Model, got {str(entry)[:80]}')
    try:
        with _custom(custom_objects or {}), at_most(sum(prod(shape) for _, shape in entries.values())):
            model = layer_from_config(entry)
    except _DAMAGE as error:
        raise ValueError(
            f'"{path}": the description of the model is damaged: {type(error).__name__} {error}'
        ) from error
    named = named_variables(model)
    _check_weights(path, named, {name: entries[name] for name in entries if not name.startswith("optimizer/")})
    if "classes" in metadata:
        try:
            model.class_names = _parse(path, metadata, "classes")
        except (TypeError, ValueError) as error:
            raise ValueError(f'"{path}": metadata "classes" is damaged: {error}') from error
    store = store_of(named.values(), copy=False)
    places = {name: variable.data for name, variable in named.items()}
    if compile and "training" in metadata:
        places |= _restore_training(path, model, _parse(path, metadata, "training"), named, entries)
    file.read_into(places)
    store.version += 1
    return model


class _custom:
    """Classes of the caller's that are found while a file is read."""

    def __init__(self, objects):
        self._objects = objects

    def __enter__(self):
        self._before = dict(layers._registry._table)
        layers._registry._table.update(self._objects)

    def __exit__(self, *exception):
        layers._registry._table.clear()
        layers._registry._table.update(self._before)


def _check_weights(path, named, weights):
    """Raise where `weights`, name to (dtype, shape), are not those of the variables."""
    missing, surplus = [n for n in named if n not in weights], [n for n in weights if n not in named]
    if missing or surplus:
        raise ValueError(
            f'"{path}": the weights must be those of the model; missing: {", ".join(missing[:3]) or "none"}, '
            f"not in the model: {', '.join(surplus[:3]) or 'none'}"
        )
    for name, variable in named.items():
        dtype, shape = weights[name]
        if shape != variable.shape or dtype != "float32":
            raise ValueError(
                f'"{path}": weight "{name}" must be float32 of shape {variable.shape}, got {dtype} of {shape}'
            )


def _restore_training(path, model, training, named, entries):
    """Compile the model as it was; returns where the optimizer's state must be read to, by its names in the file."""
    try:
        optimizer = optimizers.deserialize(training["optimizer"])
        model.compile(
            optimizer,
            _deserialized(training["loss"], losses),
            training["loss_weights"],
            _deserialized(training["metrics"], metrics),
            _deserialized(training["weighted_metrics"], metrics),
            seed=training["seed"],
        )
        optimizer.iterations = checks.integer("training", "iterations", training["iterations"])
        model._shuffle_generator.bit_generator.state = training["shuffle"]
    except _DAMAGE as error:
        raise ValueError(
            f'"{path}": the description of the training is damaged: {type(error).__name__} {error}'
        ) from error
    places = {}
    if optimizer.iterations:
        store = model._store()
        optimizer.build(store)
        for slot in optimizer.slots:
            for name, variable in named.items():
                buffer, offset = store.layout[variable]
                if buffer != "parameters":
                    continue
                state = f"optimizer/{slot}/{name}"
                dtype, shape = entries.get(state, (None, None))
                if shape != variable.shape or dtype != "float32":
                    raise ValueError(
                        f'"{path}": the optimizer\'s state "{state}" must be float32 of shape {variable.shape}, got '
                        f"{dtype} of {shape}"
                    )
                places[state] = store.view(optimizer.state[slot], variable, offset)
    return places


def load_weights(model, filepath, skip_mismatch=False):
    """Read the weights of a model from a file; see Model.load_weights."""
    path = os.fspath(filepath)
    tensors, metadata = model_file.read(path)
    _check_format(path, metadata)
    model._require_built()
    named = named_variables(model)
    weights = {name: array for name, array in tensors.items() if not name.startswith("optimizer/")}
    order = _parse(path, metadata, "weights")
    in_order = (
        isinstance(order, list)
        and len(order) == len(named)
        and not set(order) & set(named)
        and all(
            isinstance(name, str) and name in weights and weights[name].shape == variable.shape
            for name, variable in zip(order, named.values())
        )
    )
    if in_order:  # the same network under other names
        weights = {name: weights[there] for name, there in zip(named, order)}
    if skip_mismatch:
        fitting = {n for n, v in named.items() if n in weights and weights[n].shape == v.shape}
        skipped = [n for n in named if n not in fitting]
        if skipped:
            warnings.warn(
                f'model "{model.name}": "{path}" has no fitting weights for {", ".join(skipped)}; they are '
                "left as they are",
                stacklevel=3,
            )
        named = {n: v for n, v in named.items() if n in fitting}
    else:
        _check_weights(path, named, {name: (array.dtype.name, array.shape) for name, array in weights.items()})
    for name, variable in named.items():
        variable.assign(weights[name])
