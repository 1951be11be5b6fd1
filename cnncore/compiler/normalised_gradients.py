"""Training: the gradient of a batch normalisation into the gradients of the convolution before it.

The gradient in a normalisation's input, p g + q x + s, is read by the gradients in the input and in the weight of the
convolution before, and by nobody else. Where tensors are too large for the caches, reading and writing is most of what
these operations do. What stands in their place computes it from g and x a few pixels at a time; it is never written:

* of a 1x1 convolution one operation makes both gradients of it;
* of a depthwise convolution that reads a normalised tensor, the operation that makes both already;
* of a network's first convolution, which needs no gradient in its input, the gradient in its weight.

The sums of g that p, q and s are made of come with it from where it is made (`fuse.fuse_backward`), or take a pass.
"""

import math

from .. import _core
from .ir import Operation, Value, accepts, is_pointwise
from .kinds import LINEAR

# Inputs and outputs of batchnorm_backward: grad_y x [y] mean var [gamma] ... [sum_g] [sum_gx] [added].
GRAD_Y, X, MEAN, VAR, GAMMA, SUM_G, SUM_GX, ADDED = 0, 1, 3, 4, 5, 8, 9, 10
RESIDUAL, EPILOGUE = 2, 3  # of conv2d_backward_input: grad_y w [residual] [y] [x] [mean] [scale] [shift]
EPILOGUE_INPUTS = 5
ACTIVATION = ("activation", "alpha", "max_value")

# What the convolution reads and gives: below it passes run from the last cache. Its weight: above it a block of pixels
# is too few for all of it to pass by.
SMALLEST_BYTES, LARGEST_WEIGHT = 16 << 20, 256 << 10


def normalised_gradients(graph):
    """Fuse all that can be, after `normalise_on_load`."""
    readers = graph.uses()
    for norm in list(graph.operations):
        if norm.name == "batchnorm_backward":
            _fuse(graph, norm, readers)


def _fuse(graph, norm, readers):
    gradient = norm.outputs[0]
    if (
        gradient is None
        or graph.keeps(gradient)
        or norm.attribute("activation") != LINEAR  # a mask of its own
        or norm.attribute("max_value") != math.inf
        or not norm.attribute("training")
        or norm.input(ADDED) is not None
        or any(value is not None for value in norm.outputs[3:])
    ):
        return
    if len(readers.get(gradient, ())) == 1:
        _into_one(graph, norm, readers[gradient][0])
    elif len(readers.get(gradient, ())) == 2:
        _together(graph, norm, readers[gradient])


def _into_one(graph, norm, reader):
    if reader.name == "batchnorm_depthwise_conv2d_backward":
        _into_depthwise(graph, norm, reader)
    elif reader.name == "conv2d_backward_weight":
        _into_weight(graph, norm, reader)


def _into_depthwise(graph, norm, both):
    if (
        both.inputs[0] is not norm.outputs[0]
        or norm.outputs[0] in both.inputs[1:]
        or norm.outputs[0].bytes < SMALLEST_BYTES
    ):
        return
    constants = _constants_of(graph, norm)
    both.inputs = [norm.inputs[GRAD_Y], *both.inputs[1:], norm.inputs[X], *constants.outputs[:3]]
    both.layer = f"{both.layer} + {norm.layer}"


def _into_weight(graph, norm, weight):
    operands = [norm.inputs[X], *[norm.inputs[MEAN]] * 3]  # of the shapes of x, p, q and s
    if (
        weight.inputs[1] is not norm.outputs[0]
        or weight.inputs[0] is norm.outputs[0]
        or any(value is not None for value in weight.outputs[1:])
        or norm.outputs[0].bytes < SMALLEST_BYTES
        or not accepts(weight.name, [*weight.inputs, *operands], weight.attributes)
    ):
        return
    constants = _constants_of(graph, norm)
    weight.inputs = [weight.inputs[0], norm.inputs[GRAD_Y], norm.inputs[X], *constants.outputs[:3]]
    weight.layer = f"{weight.layer} + {norm.layer}"


def _together(graph, norm, readers):
    gradient = norm.outputs[0]
    found = {reader.name.removeprefix("batchnorm_"): reader for reader in readers}
    below, weight = found.get("conv2d_backward_input"), found.get("conv2d_backward_weight")
    if below is None or weight is None or not _suits(below, weight, gradient):
        return
    constants = _constants_of(graph, norm)
    own = {f"in_{name}": weight.attributes[name] for name in ACTIVATION if name in weight.attributes}
    both = Operation(
        _core.OPERATIONS["pointwise_conv2d_backward"],
        [norm.inputs[GRAD_Y], below.inputs[1], weight.inputs[0], norm.inputs[X], *constants.outputs[:3]]
        + [weight.input(2), weight.input(3), below.input(RESIDUAL)]
        + [below.input(EPILOGUE + i) for i in range(EPILOGUE_INPUTS)],
        [below.outputs[0], *(below.outputs[i] if i < len(below.outputs) else None for i in (1, 2)), weight.outputs[0]],
        {**{name: below.attributes[name] for name in ACTIVATION if name in below.attributes}, **own},
        f"{below.layer} + {norm.layer}",
        below.section,
    )
    for value in both.outputs:
        if value is not None:
            value.producer = both
    graph.operations[graph.operations.index(below)] = both
    graph.operations.remove(weight)


def _suits(below, weight, gradient):
    return (
        below.inputs[0] is gradient
        and weight.inputs[1] is gradient
        and gradient not in below.inputs[1:]
        and not any(value is not None for value in weight.outputs[1:])
        and is_pointwise(below)
        and is_pointwise(weight)  # a strided shortcut's other gradient may be of the pixels it reaches alone
        and weight.inputs[0].bytes + gradient.bytes >= SMALLEST_BYTES
        and below.inputs[1].bytes <= LARGEST_WEIGHT
    )


def _constants_of(graph, norm):
    """What is left of the normalisation's gradient, in its place."""
    mean, x, sums = norm.inputs[MEAN], norm.inputs[X], [norm.input(SUM_G), norm.input(SUM_GX)]
    read = [None, None] if sums[0] is not None else [norm.inputs[GRAD_Y], x]
    vectors = [Value("float32", mean.shape) for _ in range(3)]
    constants = Operation(
        _core.OPERATIONS["batchnorm_backward_constants"],
        [mean, norm.inputs[VAR], *sums, norm.input(GAMMA), *read],
        [*vectors, *norm.outputs[1:3]],
        {"epsilon": norm.attribute("epsilon"), "rows": x.bytes // mean.bytes},
        norm.layer,
        norm.section,
    )
    for value in constants.outputs:
        if value is not None:
            value.producer = constants
    graph.operations[graph.operations.index(norm)] = constants
    return constants
