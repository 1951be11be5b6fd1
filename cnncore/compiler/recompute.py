"""Training with less memory: what a normalisation gives is computed again where the backward pass needs it.

Between the forward and the backward pass a network keeps what its gradients are made of. Of a batch normalisation with
its activation that is its input, for its own gradient, and its result, for the gradient of the weights that read it.
The result follows from the input in one pass over memory (Chen et al. 2016, arXiv:1604.06174), so it need not be kept.
"""

from .ir import Operation, Value

SMALLEST_BYTES = 1 << 20  # smaller results are not worth another operation


def recompute(graph):
    """Give every weight gradient that reads a normalisation's result one of its own, made just before it: the same
    operation on the same inputs, with the same bits. Where others read the result in the backward pass as well, or a
    residual went into it, it is kept."""
    readers = graph.uses()
    again = {}
    for norm in graph.operations:
        if norm.name != "batchnorm" or norm.input(5) is not None:
            continue
        y = norm.outputs[0]
        backward = [reader for reader in readers.get(y, ()) if "backward" in reader.name]
        if (
            y.bytes < SMALLEST_BYTES
            or y.storage is not None
            or y in graph.results
            or len(backward) != 1
            or len(readers[y]) == 1
            or not backward[0].name.endswith("_backward_weight")
        ):
            continue
        copy = Operation(norm.definition, list(norm.inputs), [], dict(norm.attributes), norm.layer, norm.section)
        copy.outputs = [Value(y.dtype, y.shape, producer=copy, name=y.name)]
        backward[0].inputs = [copy.outputs[0] if value is y else value for value in backward[0].inputs]
        again.setdefault(backward[0], []).append(copy)
    graph.operations = [each for operation in graph.operations for each in (*again.get(operation, ()), operation)]
