"""Training with less memory: what a normalisation gives is computed again where the backward pass needs it.

Between the forward and the backward pass a network keeps what its gradients are made of. Of a batch normalisation with
its activation that is its input, for its own gradient, and its result, for the gradients of what reads it. The result
follows from the input in one pass over memory (Chen et al. 2016, arXiv:1604.06174), so it need not be kept. With a
residual it is: that pass moves half as much again, and needs what comes in by the shortcut as well.
"""

from .fuse import RESIDUAL
from .ir import Operation, Value

# Results from which another operation is worth the memory: what a last cache may hold is computed again at the price of
# a hundredth or two of a step, and there is memory for it.
SMALLEST_BYTES = 12 << 20


def _backward_reader(graph, readers, norm):
    """The one operation of the backward pass that reads a normalisation's result beside those before it, where the
    result may be computed again for it; or None."""
    y = norm.outputs[0]
    backward = [reader for reader in readers.get(y, ()) if "backward" in reader.name]
    if graph.keeps(y) or len(backward) != 1 or len(readers[y]) == 1 or y.bytes < SMALLEST_BYTES:
        return None
    if norm.input(RESIDUAL["batchnorm"]) is not None or not backward[0].name.endswith("_backward_weight"):
        return None
    return backward[0]


def recompute(graph):
    """Let the backward pass read results of its own: the same operations on the same inputs, with the same bits, each
    just before its reader there."""
    readers = graph.uses()
    copies = {}  # reader -> the operation before it
    for norm in graph.operations:
        reader = _backward_reader(graph, readers, norm) if norm.name == "batchnorm" else None
        if reader is not None:
            y = norm.outputs[0]
            copy = Operation(norm.definition, list(norm.inputs), [], dict(norm.attributes), norm.layer, norm.section)
            copy.outputs = [Value(y.dtype, y.shape, producer=copy, name=y.name)]
            reader.inputs = [copy.outputs[0] if value is y else value for value in reader.inputs]
            copies.setdefault(reader, []).append(copy)
    graph.operations = [each for operation in graph.operations for each in (*copies.get(operation, ()), operation)]
