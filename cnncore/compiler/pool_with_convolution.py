"""The first convolution of a network and the maximum pooling of its result in one pass over memory, and so the
gradients of its weight and bias.

Where pixels have few channels the result of a convolution is many times as large as what it reads, and often the
largest tensor of the network; a pooling alone reads it. The operations that stand in their place make it, and its
gradient, a few rows at a time in the caches. Forward the bits stay the same.
"""

from .. import _core
from .gradients import LINEAR, RELU
from .ir import Operation

FEW_CHANNELS = 8  # up to which a convolution copies all that lies under its kernel, see src_c/ops/conv2d_source.h
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
    return found[0] if len(found) == 1 and value.storage is None and value not in graph.results else None


def _gathers(convolution):
    return (
        convolution.inputs[0].shape[3] <= FEW_CHANNELS
        and convolution.attribute("kernel_w") > 1
        and convolution.attribute("dilation_w") == 1
        and convolution.attribute("groups") == 1
    )


def _pooling(pool):
    """The pooling's attributes, by their names in the fused operations."""
    given = {name: pool.attribute(name) for name in POOLING}
    return {name if name.startswith("pool_") else f"pool_{name}": value for name, value in given.items()}


def _replace(graph, old, name, inputs, outputs, attributes, layer):
    new = Operation(_core.OPERATIONS[name], inputs, outputs, attributes, layer, old.section)
    for value in outputs:
        value.producer = new
    graph.operations[graph.operations.index(old)] = new


def _fuse_forward(graph, pool, readers):
    convolution = pool.inputs[0].producer
    if (
        convolution is None
        or convolution.name != "conv2d"
        or not _gathers(convolution)
        or _only_reader(graph, pool.inputs[0], readers) is not pool
        or convolution.input(3) is not None
        or any(value is not None for value in convolution.outputs[1:])
    ):
        return
    layer = f"{convolution.layer} + {pool.layer}"
    attributes = {**convolution.attributes, **_pooling(pool)}
    _replace(graph, pool, "conv2d_max_pool2d", convolution.inputs[:3], pool.outputs, attributes, layer)
    graph.operations.remove(convolution)


def _fuse_backward(graph, pool, readers):
    place = pool.input(3)
    weight = _only_reader(graph, pool.outputs[0], readers)
    if (
        place is None
        or weight is None
        or weight.name != "conv2d_backward_weight"
        or weight.inputs[1] is not pool.outputs[0]
        or not _gathers(weight)
        or pool.attribute("activation") not in (LINEAR, RELU)
        or pool.attribute("stride_h") > pool.attribute("pool_h")
    ):
        return
    mask = {name: pool.attribute(name) for name in ACTIVATION}
    layer = weight.layer if pool.layer == weight.layer else f"{weight.layer} + {pool.layer}"
    inputs = [weight.inputs[0], *pool.inputs[1:]]
    attributes = {**weight.attributes, **mask, **_pooling(pool)}
    _replace(graph, weight, "conv2d_max_pool2d_backward_weight", inputs, weight.outputs, attributes, layer)
    graph.operations.remove(pool)
