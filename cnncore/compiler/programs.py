"""From models to executables: what is lowered, which passes run, and which executables are kept."""

import contextlib
from collections import OrderedDict
from math import prod

import numpy as np

from .. import _core, config
from ..layers.base import Lowering
from ..lazy import LazyModule
from .executable import Arena, Executable
from .fuse import fuse_backward, fuse_forward
from .ir import Value
from .order import order, shorten_lives
from .pool_with_convolution import pool_with_convolution
from .rescale_on_load import rescale_on_load

differentiate, recompute = LazyModule("compiler.differentiate"), LazyModule("compiler.recompute")
normalise_on_load = LazyModule("compiler.normalise_on_load")
normalised_gradients = LazyModule("compiler.normalised_gradients")
concatenations, expansions = LazyModule("compiler.concatenations"), LazyModule("compiler.expansions")

PASSES = {"fuse": True, "expansions": True, "recompute": True, "shorten_lives": True, "reuse_memory": True}


@contextlib.contextmanager
def passes(**switches):
    """Turn compiler passes off (or on) for the programs that are compiled within a with block: ``passes(fuse=False)``.

    fuse: operations that can share a pass over memory become one. expansions: with it, the widest tensors of inverted
    bottlenecks are made when they are needed instead of kept, where that pays. recompute: what a normalisation without
    a residual gives is computed again for the backward pass instead of kept, where it is large. shorten_lives:
    operations are moved so that less memory is alive. reuse_memory: values that never live at the same time share
    memory. Without them programs are slower or larger, and compute the same.
    """
    unknown = set(switches) - set(PASSES)
    if unknown:
        raise ValueError(f"passes: there is no pass {', '.join(sorted(unknown))}; there are {', '.join(PASSES)}")
    before = dict(PASSES)
    PASSES.update(switches)
    try:
        yield
    finally:
        PASSES.update(before)


class ProgramCache:
    """The executables of a model, the most recently used ones: at most LIMIT, for as many combinations of purpose,
    batch size and input type.

    Their arena is shared; what each keeps of its own is the program, its packed weights
    (`Executable.prepared_bytes`), and the smaller gradients where it trains.
    """

    LIMIT = 8

    def __init__(self):
        self.arena = Arena()
        self._entries = OrderedDict()
        self._latest = None, None  # key, entry

    def get(self, key, build):
        """The entry for a key, built if it is not there; the least recently used one gives way."""
        latest, entry = self._latest
        if key == latest:  # as mostly: nothing is looked up or moved
            return entry
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = build()
            if len(self._entries) > self.LIMIT:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(key)
        self._latest = key, entry
        return entry

    def clear(self):
        self._entries.clear()
        self._latest = None, None

    def latest(self):
        """The entry that was used last."""
        return self._latest[1]

    def __len__(self):
        return len(self._entries)


def environment():
    """What every executable depends on besides its model."""
    return (config.get_isa(), config.get_exact(), *PASSES.values())


def _finish(graph, arena, samples):
    order(graph)
    if PASSES["shorten_lives"]:
        shorten_lives(graph)
    return Executable(graph, arena, samples, reuse_memory=PASSES["reuse_memory"])


def _of_its_own(graph, value, layer=None):
    """A value that may be given a place: a copy of one that has a place, is to be there after the run, or is a view."""
    if graph.keeps(value) or value.producer is None or value.producer.name == "reshape":
        return graph.add(
            "affine", [value], layer=layer or (value.producer.layer if value.producer else None), scale=1.0
        )
    return value


def _place(graph, value, storage, offset=0, name="", layer=None):
    """Let a value, or where need be a copy of it, be computed into a storage. Returns the placed Value."""
    value = _of_its_own(graph, value, layer)
    value.storage, value.offset, value.name = storage, offset, name
    return value


class Results:
    """Small values that a program hands to Python: places in the "results" storage."""

    def __init__(self):
        self._size = 0
        self._places = {}

    def add(self, graph, key, value):
        """Give a value a place under a key; the same value may have several keys."""
        if value.storage != "results":
            value = _place(graph, value, "results", self._size * 4, name=str(key))
            self._size += -(-int(np.prod(value.shape)) // 16) * 16
        self._places[key] = value.offset // 4, value.shape
        return value

    def bind(self, executable):
        """Take the memory; afterwards `arrays` maps keys to views of it."""
        buffer = _core.aligned_zeros(max(self._size, 16))
        executable.bind("results", buffer)
        self.arrays = {
            key: buffer[at : at + int(np.prod(shape))].reshape(shape) for key, (at, shape) in self._places.items()
        }


def _inputs(model, n, dtypes):
    return [
        Value(dtype, (n, *tensor.shape[1:]), storage=f"input{i}", name=tensor.name)
        for i, (tensor, dtype) in enumerate(zip(model.inputs, dtypes))
    ]


def _bind_weights(executable, store):
    executable.bind("parameters", store.parameters)
    executable.bind("state", store.state)
    return executable


# A prediction for many samples runs part after part through the whole network, so that what one operation writes is
# still in the caches when the next one reads it. The kernels are at their best from so many samples on, and while the
# largest result has no more bytes, what they read and write fits into the last level of the caches.
PART_SAMPLES = 8
PART_BYTES = 1 << 24


def samples_of_part(model, n):
    """How many of n samples are predicted at a time: the least divisor of n that makes good use of the caches, so that
    all parts are alike. All of them where a layer does as in training, for its statistics are those of the batch.
    """
    if n < 2 * PART_SAMPLES:
        return n
    calls = list(_all_calls(model))
    if any(call.training for call in calls):
        return n
    largest = max(4 * prod(tensor.shape[1:]) for call in calls for tensor in call.outputs)
    least = max(PART_SAMPLES, PART_BYTES // largest)
    return next((part for part in range(least, n // 2 + 1) if n % part == 0), n)


def _all_calls(model):
    for call in model.calls:
        yield call
        if hasattr(call.layer, "calls"):
            yield from _all_calls(call.layer)


def inference_program(model, store, arena, n, dtypes):
    """An executable that computes the outputs ("output0", ...) from the inputs ("input0", ...)."""
    b = Lowering()
    outputs = model.lower(b, *_inputs(model, n, dtypes))
    for i, value in enumerate(outputs):
        _place(b.graph, value, f"output{i}", name=model.output_names[i])
    if PASSES["fuse"]:
        fuse_forward(b.graph, differentiated=False)
        pool_with_convolution(b.graph)
        rescale_on_load(b.graph)
    return _bind_weights(_finish(b.graph, arena, n), store)


# Gradients of so many bytes and more lie in the arena, where what the forward pass has left has been read by the time
# that they are made; smaller ones side by side, so that an optimizer goes over all of them at once.
LARGE_GRADIENT_BYTES = 1 << 20


def _place_gradients(graph, store, gradients):
    """Give {variable: Value} their places, in the storage "gradients" in the order of the store, or for large ones as
    results of the graph. Returns the variables that have large ones, in the order of graph.results, and the bytes of
    the storage."""
    large, at = [], 0
    for variable in sorted(gradients, key=lambda variable: store.layout[variable][1]):
        value, layer = gradients[variable], variable.layer.name
        if value.bytes < LARGE_GRADIENT_BYTES:
            value = _place(graph, value, "gradients", at, layer=layer)
            at += -(-value.bytes // _core.ALIGNMENT) * _core.ALIGNMENT
        else:
            value = _of_its_own(graph, value, layer)
            graph.results.append(value)
            large.append(variable)
        value.name = f"gradient of {variable.path}"
        gradients[variable] = value
    return large, at


class LossProgram:
    """An executable with losses and metrics: for training where there is an optimizer, else for evaluation.

    Parameters
    ----------
    model : Model
        Compiled.
    store : Store
    arena : Arena
    n : int
        Batch size.
    dtypes : list of str
        Of the inputs.
    targets : list of (dtype, shape without batch)
        One for each output that has a loss.
    weighted : list of tuple or None
        Shape (without batch) of the sample weights of each such output; None where there are none.
    outputs : bool
        Hand out the predictions as well.
    optimizer : Optimizer or None

    Inputs are bound in this order: the model's, the targets, the weights that there are.
    """

    def __init__(self, model, store, arena, n, dtypes, targets, weighted, outputs, optimizer):
        b = Lowering(training=optimizer is not None)
        graph = b.graph
        inputs = _inputs(model, n, dtypes)
        predictions = model.lower(b, *inputs)
        count = len(inputs)
        self.results = Results()
        parts = []
        slots = []
        for dtype, shape in targets:
            slots.append(Value(dtype, (n, *shape), storage=f"input{count}", name="target"))
            count += 1
        for k, (plan, target, weight_shape) in enumerate(zip(model.compiled_losses, slots, weighted)):
            b._layer = plan.name
            prediction = predictions[plan.output]
            losses = plan.loss.lower(b, target, prediction)
            operands = [losses]
            if weight_shape is not None:
                operands.append(Value("float32", (n, *weight_shape), storage=f"input{count}", name="sample_weight"))
                count += 1
            scale = float(np.prod(losses.shape)) if plan.loss.reduction == "sum" else 1.0
            mean = b.op("weighted_mean", operands, scale=scale)
            self.results.add(graph, ("loss", k), mean)
            parts.append(mean if plan.weight == 1 else b.op("affine", [mean], scale=plan.weight))
            for metric in plan.fast_metrics:
                self.results.add(
                    graph,
                    ("matches", k, plan.names[metric]),
                    b.op("correct", [prediction, target], **metric.engine_attributes),
                )
        trainable = model.trainable_variables
        for variable in trainable:
            if variable.regularizer is not None and (variable.regularizer.l1 or variable.regularizer.l2):
                b._layer = variable.layer.name
                parts.append(
                    b.op("l1_l2_penalty", [b.weight(variable)], l1=variable.regularizer.l1, l2=variable.regularizer.l2)
                )
        b._layer = None
        total = parts[0]
        for part in parts[1:]:
            total = b.op("add", [total, part])
        total = self.results.add(graph, "total", total)
        self.outputs = []
        if outputs:
            for i, value in enumerate(predictions):
                self.outputs.append(_place(graph, value, f"output{i}", name=model.output_names[i]).shape)
        if PASSES["fuse"]:
            fuse_forward(graph, differentiated=optimizer is not None)
        if optimizer is not None:
            self._train(b, store, optimizer, total, trainable)
        elif PASSES["fuse"]:
            pool_with_convolution(graph)
            rescale_on_load(graph)
        self.executable = _bind_weights(_finish(graph, arena, n), store)
        self.results.bind(self.executable)
        if optimizer is not None:
            self.executable.bind("gradients", _core.aligned_zeros(max(self._gradient_bytes // 4, 16)))
            for i, slot in enumerate(optimizer.slots):
                self.executable.bind(f"slot{i}", optimizer.state[slot])
            self.hyper = np.zeros(4, np.float32)
            self.executable.bind("hyper", self.hyper)

    def _train(self, b, store, optimizer, total, trainable):
        graph = b.graph
        wanted = {b.weight(variable): variable for variable in trainable}
        found = differentiate.differentiate(graph, total, wanted)
        gradients = {variable: found[value] for value, variable in wanted.items() if value in found}
        kept = len(graph.results)
        large, self._gradient_bytes = _place_gradients(graph, store, gradients)
        if PASSES["fuse"]:
            concatenations.moments_of_concatenations(graph)
            fuse_backward(graph)
            normalise_on_load.normalise_on_load(graph)
            pool_with_convolution(graph)
            rescale_on_load(graph)
            if PASSES["expansions"]:
                expansions.expansions(graph)
            normalised_gradients.normalised_gradients(graph)
        if PASSES["recompute"]:
            recompute.recompute(graph)
        if PASSES["fuse"]:
            normalise_on_load.normalise_and_write(graph)
        gradients.update(zip(large, graph.results[kept:], strict=True))  # a pass may have replaced a result
        optimizer.lower(graph, store, gradients)
        self._gradients = gradients

    def gradient(self, variable):
        """A copy of a variable's gradient in the last step, as long as no other program of the model has run; zeros
        where the loss does not depend on it."""
        if variable not in self._gradients:
            return np.zeros(variable.shape, np.float32)
        return self.executable.array(self._gradients[variable]).reshape(variable.shape)
