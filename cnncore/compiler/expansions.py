"""Training: the expanded tensors of inverted bottlenecks, which need not exist.

In networks such as MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) a 1x1 convolution makes six channels of one, a
normalisation and a depthwise convolution follow. The tensor between them is the widest of the network; a training step
writes it, reads it three times, and writes and reads its gradient. Its batch moments follow from the covariance of the
few channels that it is made of (`expansion_moments`), so that the depthwise convolution can make its rows in a cache
when it needs them, and so can the gradients, which need no sum to be complete before they go back to the few channels
(`expanded_depthwise_conv2d_backward`). The price is that the 1x1 convolution is computed twice.
"""

import math

from .. import _core, config
from .ir import Operation, Value, accepts, is_pointwise
from .kinds import LINEAR
from .normalised_gradients import ACTIVATION, EPILOGUE, EPILOGUE_INPUTS, GAMMA, GRAD_Y, MEAN, RESIDUAL, SUM_G, VAR, X

# The expanded tensor's: what the last cache holds is not waited for. Channels that it is made of: to compute it twice
# costs the more the more there are, and what is spared does not depend on them.
SMALLEST_BYTES, MOST_CHANNELS = 16 << 20, 16

BIAS, CONV_RESIDUAL = 2, 3  # of conv2d: x w [bias] [residual]
SCALE, SHIFT = 2, 3  # of batchnorm_conv2d: x w scale shift [residual]; of batchnorm_depthwise_conv2d
MOMENTS = 3  # outputs of a convolution: y mean var [normalised]


def expansions(graph):
    """Fuse all that can be, after `normalise_on_load` and before `normalised_gradients`."""
    readers = graph.uses()
    for norm in list(graph.operations):
        if norm.name == "batchnorm_backward":
            found = _around(graph, norm, readers)
            if found is not None:
                _replace(graph, norm, *found)


def _around(graph, norm, readers):
    """The operations around a normalisation's gradient: the convolution before it, the depthwise one behind it, that
    one's gradients, and the gradients of the first in its input and in its weights; None where they are others."""
    z, d = norm.inputs[X], norm.outputs[0]
    expand, backward = z.producer, norm.inputs[GRAD_Y].producer
    reading = {reader.name: reader for reader in readers.get(z, ())}
    forward = reading.get("batchnorm_depthwise_conv2d")
    found = {reader.name.removeprefix("batchnorm_"): reader for reader in readers.get(d, ())}
    below, weight = found.get("conv2d_backward_input"), found.get("conv2d_backward_weight")
    if (
        backward is None
        or forward is None
        or below is None
        or weight is None
        or backward.name != "batchnorm_depthwise_conv2d_backward"
        or backward.outputs[0] is not norm.inputs[GRAD_Y]
        or len(readers[z]) != 3  # the two and the normalisation's gradient
        or len(readers[d]) != 2
        or len(readers[norm.inputs[GRAD_Y]]) != 1
        or any(graph.keeps(value) for value in (z, d, norm.inputs[GRAD_Y]))
        or any(value is not None for value in norm.outputs[3:])
        or list(backward.outputs[2:4]) != [norm.input(SUM_G), norm.input(SUM_G + 1)]
        or not _is_plain(expand, z)
        or not _suits(expand, forward, below, weight, d)
    ):
        return None
    return expand, forward, backward, below, weight


def _is_plain(expand, z):
    if expand is None or z is not expand.outputs[0] or not is_pointwise(expand) or len(expand.outputs) != MOMENTS:
        return False
    if expand.attribute("activation") != LINEAR or expand.attribute("max_value") != math.inf:
        return False
    if expand.name == "batchnorm_conv2d":
        return len(expand.inputs) == SHIFT + 1
    return expand.name == "conv2d" and expand.input(BIAS) is None and expand.input(CONV_RESIDUAL) is None


def _suits(expand, forward, below, weight, d):
    residual, x = below.input(RESIDUAL), expand.inputs[0]
    return (
        not config.get_exact()
        and expand.outputs[0].bytes >= SMALLEST_BYTES
        and x.shape[-1] <= MOST_CHANNELS
        and x.bytes < expand.outputs[0].bytes / 2
        and below.inputs[0] is d
        and weight.inputs[:2] == [x, d]
        and below.inputs[1] is expand.inputs[1]
        and (residual is None or residual.shape == x.shape)
        and not any(value is not None for value in weight.outputs[1:])
        and accepts("expanded_depthwise_conv2d", _forward_inputs(expand, forward), forward.attributes)
    )


def _narrow(expand):
    """What the first convolution normalises its input with, or nothing."""
    return expand.inputs[SCALE : SHIFT + 1] if expand.name == "batchnorm_conv2d" else [None, None]


def _forward_inputs(expand, forward):
    return [*expand.inputs[:2], *forward.inputs[1:], *_narrow(expand)]


def _replace(graph, norm, expand, forward, backward, below, weight):
    x, w_inner = expand.inputs[:2]
    mean, var = norm.inputs[MEAN], norm.inputs[VAR]
    channels = x.shape[-1]
    x_mean, x_covariance = Value("float32", (channels,)), Value("float32", (channels, channels))
    moments = Operation(
        _core.OPERATIONS["expansion_moments"],
        [x, w_inner, *_narrow(expand)],
        [*expand.outputs[1:], x_mean, x_covariance],
        {},
        expand.layer,
        expand.section,
    )
    _put(graph, expand, moments)

    forward.definition = _core.OPERATIONS["expanded_depthwise_conv2d"]
    forward.inputs = _forward_inputs(expand, forward)
    forward.layer = f"{expand.layer} + {forward.layer}"

    scale, shift = backward.inputs[4:6]
    inner = {f"inner_{name}": backward.attributes[name] for name in ACTIVATION if name in backward.attributes}
    geometry = {name: value for name, value in backward.attributes.items() if name not in ACTIVATION}
    act = {name: below.attributes[name] for name in ACTIVATION if name in below.attributes}
    gradients = Operation(
        _core.OPERATIONS["expanded_depthwise_conv2d_backward"],
        [backward.inputs[0], x, w_inner, backward.inputs[2], mean, var, scale, shift, x_mean, x_covariance]
        + [norm.input(GAMMA), *_narrow(expand), below.input(RESIDUAL)]
        + [below.input(EPILOGUE + i) for i in range(EPILOGUE_INPUTS)],
        [below.outputs[0], *(below.outputs[i] if i < len(below.outputs) else None for i in (1, 2))]
        + [
            weight.outputs[0],
            backward.outputs[1],
            *(norm.outputs[i] if i < len(norm.outputs) else None for i in (1, 2)),
        ],
        {**geometry, **inner, **act, "epsilon": norm.attribute("epsilon")},
        f"{below.layer} + {norm.layer} + {backward.layer}",
        below.section,
    )
    _put(graph, below, gradients)
    for operation in (norm, backward, weight):
        graph.operations.remove(operation)


def _put(graph, old, new):
    """Let an operation stand where another stood, and produce what it gives."""
    graph.operations[graph.operations.index(old)] = new
    for value in new.outputs:
        if value is not None:
            value.producer = new
