"""The first convolution of a network and the maximum pooling of its result in one pass over memory, and so the
gradients of its weight and bias.

Where pixels have few channels the result of a convolution is many times as large as what it reads, and often the
largest tensor of the network; a pooling alone reads it. The operations that stand in their place make it, and its
gradient, a few rows at a time in the caches. Forward the bits stay the same.
"""

from .. import _core
from .ir import Operation, accepts

ACTIVATION = ("activation", "alpha", "max_value")
POOLING = ("pool_h", "pool_w", "stride_h", "stride_w", "pad_top", "pad_left", "pad_bottom", "pad_right")


def pool_with_convolution(graph):
    """Fuse all that can be, after `fuse_forward` and, in training, `fuse_backward`, which has put the activation's
    derivative into the pooling's gradient, so that nobody but the pooling reads the convolution's result."""
    readers = graph.uses()
    for pool in list(graph.operations):
        if pool.name == "max_pool2d":
            _fuse_forward(graph, pool, readers)
        elif pool.name == "max_pool2d_backward":
            _fuse_backward(graph, pool, readers)


def _only_reader(graph, value, readers):
    found = readers.get(value, ())
    return found[0] if len(found) == 1 and not graph.keeps(value) else None


def _pooling(pool):
    """The pooling's attributes, by their names in the fused operations."""
    given = {name: pool.attribute(name) for name in POOLING}
    return {name if name.startswith("pool_") else f"pool_{name}": value for name, value in given.items()}


def _replace(graph, old, gone, name, inputs, outputs, attributes, layer):
    """An operation in the place of `old` and of the one that is `gone` then, where the engine takes it."""
    if not accepts(name, inputs, attributes):
        return
    new = Operation(_core.OPERATIONS[name], inputs, outputs, attributes, layer, old.section)
    for value in outputs:
        value.producer = new
    graph.operations[graph.operations.index(old)] = new
    graph.operations.remove(gone)


def _fuse_forward(graph, pool, readers):
    convolution = pool.inputs[0].producer
    if (
        convolution is None
        or convolution.name != "conv2d"
        or len(pool.inputs) > 1  # normalised on the way
        or _only_reader(graph, pool.inputs[0], readers) is not pool
        or convolution.input(3) is not None
        or any(value is not None for value in convolution.outputs[1:])
    ):
        return
    layer = f"{convolution.layer} + {pool.layer}"
    attributes = {**convolution.attributes, **_pooling(pool)}
    _replace(graph, pool, convolution, "conv2d_max_pool2d", convolution.inputs[:3], pool.outputs, attributes, layer)


def _fuse_backward(graph, pool, readers):
    place = pool.input(3)
    weight = _only_reader(graph, pool.outputs[0], readers)
    if (
        place is None
        or weight is None
        or weight.name != "conv2d_backward_weight"
        or weight.inputs[1] is not pool.outputs[0]
    ):
        return
    mask = {name: pool.attribute(name) for name in ACTIVATION}
    layer = weight.layer if pool.layer == weight.layer else f"{weight.layer} + {pool.layer}"
    inputs = [weight.inputs[0], *pool.inputs[1:]]
    attributes = {**weight.attributes, **mask, **_pooling(pool)}
    _replace(graph, weight, pool, "conv2d_max_pool2d_backward_weight", inputs, weight.outputs, attributes, layer)
