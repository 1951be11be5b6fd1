"""Training with less memory: what a normalisation gives is computed again where the backward pass needs it.

Between the forward and the backward pass a network keeps what its gradients are made of. Of a batch normalisation with
its activation that is its input, for its own gradient, and its result, for the gradients of what reads it. The result
follows from the input in one pass over memory (Chen et al. 2016, arXiv:1604.06174), so it need not be kept.
"""

from .fuse import RESIDUAL
from .ir import Operation, Value

# Results from which another operation is worth the memory: what a last cache may hold is computed again at the price of
# a hundredth or two of a step, and there is memory for it. With a residual the operation moves half as much again, and
# what comes in by the shortcut has to be there as well: the large ones are those of a network's first stages.
SMALLEST_BYTES = 12 << 20
SMALLEST_RESIDUAL_BYTES = 24 << 20
# So large a part of those with a residual is kept all the same, the smallest first: training then takes less memory
# than peers need, not the least that it could.
KEPT_SHARE = 0.8


def _residual(norm):
    return norm.input(RESIDUAL["batchnorm"])


def _backward_readers(readers, y):
    return [reader for reader in readers.get(y, ()) if "backward" in reader.name]


def _may_be_computed_again(graph, readers, norm):
    """Is a normalisation's result large, and read by the backward pass as well as before it?"""
    y, residual = norm.outputs[0], _residual(norm)
    backward = _backward_readers(readers, y)
    if graph.keeps(y) or not backward or len(backward) == len(readers[y]):
        return False
    if residual is None:
        return y.bytes >= SMALLEST_BYTES and len(backward) == 1 and backward[0].name.endswith("_backward_weight")
    return y.bytes >= SMALLEST_RESIDUAL_BYTES


def _kept(candidates):
    """Of these normalisations those that memory is spent on."""
    candidates = [norm for norm in candidates if _residual(norm) is not None]
    left = KEPT_SHARE * sum(norm.outputs[0].bytes for norm in candidates)
    kept = set()
    for norm in sorted(candidates, key=lambda norm: norm.outputs[0].bytes):
        left -= norm.outputs[0].bytes
        if left < 0:
            break
        kept.add(norm)
    return kept


def _choose(graph, readers):
    """The normalisations that are computed again, in order: those of large results that gradients are made of, but for
    those that are kept, and those that give the residual of one of them and would not be there any more."""
    candidates = [
        norm for norm in graph.operations if norm.name == "batchnorm" and _may_be_computed_again(graph, readers, norm)
    ]
    kept = _kept(candidates)
    chosen = {}
    for norm in candidates:
        residual = _residual(norm)
        if norm in kept:
            continue
        if residual is not None and residual.producer not in chosen and not _backward_readers(readers, residual):
            before = residual.producer
            if before is None or before.name != "batchnorm" or _residual(before) is not None:
                continue
            chosen[before] = None
        chosen[norm] = None
    return list(chosen)


def recompute(graph):
    """Let the backward pass read results of its own: the same operations on the same inputs, with the same bits, each
    just before its first reader there."""
    readers = graph.uses()
    position = {operation: i for i, operation in enumerate(graph.operations)}
    copies, at = {}, {}  # result -> the one that is computed again; where that is done
    for norm in reversed(_choose(graph, readers)):
        y = norm.outputs[0]
        backward = _backward_readers(readers, y)
        copy = Operation(norm.definition, list(norm.inputs), [], dict(norm.attributes), norm.layer, norm.section)
        copy.outputs = [Value(y.dtype, y.shape, producer=copy, name=y.name)]
        later = [at[other] for other in copies if _residual(other.producer) is y]
        copies[y], at[y] = copy.outputs[0], min([position[reader] for reader in backward] + later)
        for reader in backward + [copies[other].producer for other in copies if _residual(other.producer) is y]:
            reader.inputs = [copies[y] if value is y else value for value in reader.inputs]
    before = {}
    for y in reversed(copies):  # residuals before what reads them
        before.setdefault(at[y], []).append(copies[y].producer)
    graph.operations = [
        each for i, operation in enumerate(graph.operations) for each in (*before.get(i, ()), operation)
    ]
