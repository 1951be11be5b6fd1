"""Training: batch normalisation and its activation into the depthwise convolution that reads them.

The widest tensors of networks such as MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) are those between an
expanding convolution and the depthwise one. What the normalisation makes of them is read by the depthwise convolution
alone, so it need not be written: the convolution normalises rows as it needs them, and both of its gradients are
computed in one reading of what the normalisation read.
"""

from .. import _core
from .gradients import LINEAR
from .ir import Operation

# Inputs of depthwise_conv2d_backward_input: grad_y w [y] [x] [mean] [scale] [shift].
GRAD_Y, W, Y, X, MEAN, SCALE, SHIFT = range(7)
ACTIVATION = ("activation", "alpha", "max_value")


def fuse_depthwise(graph):
    """Fuse all that can be, after `fuse_backward` has put the normalisation's mask and sums into the gradients."""
    readers = graph.uses()
    for backward in list(graph.operations):
        if backward.name == "depthwise_conv2d_backward_input":
            _fuse(graph, backward, readers)


def _suits(backward):
    """Is it a gradient through the mask of a normalisation, computed again from its input, of a geometry there are
    kernels for?"""
    kernel, stride, dilation = (
        (backward.attribute(f"{name}_h"), backward.attribute(f"{name}_w")) for name in ("kernel", "stride", "dilation")
    )
    return (
        backward.input(SCALE) is not None
        and backward.input(MEAN) is not None
        and len(backward.outputs) == 3
        and backward.inputs[W].shape[3] == 1
        and kernel == (3, 3)
        and stride in ((1, 1), (2, 2))
        and dilation == (1, 1)
    )


def _fuse(graph, backward, readers):
    if not _suits(backward):
        return
    norm = backward.inputs[SCALE].producer
    if norm is None or norm.name != "batchnorm" or norm.input(5) is not None:  # a residual is added after it
        return
    y = norm.outputs[0]
    found = {reader.name: reader for reader in readers.get(y, ())}
    forward, weight = found.get("depthwise_conv2d"), found.get("depthwise_conv2d_backward_weight")
    if (
        forward is None
        or weight is None
        or len(readers[y]) != 2
        or y.storage is not None
        or y in graph.results
        or forward.inputs[0] is not y
        or forward.input(2) is not None  # a bias, which normalisation makes useless
        or forward.attribute("activation") != LINEAR
        or weight.inputs[1] is not backward.inputs[GRAD_Y]
        or any(value is not None for value in weight.outputs[1:])
    ):
        return
    x, mean, var, gamma, beta = (norm.input(i) for i in range(5))
    scale, shift = norm.outputs[1:]
    activation = {name: norm.attributes[name] for name in ACTIVATION if name in norm.attributes}
    geometry = {name: value for name, value in forward.attributes.items() if name not in ACTIVATION}

    constants = Operation(
        _core.OPERATIONS["batchnorm_constants"],
        [mean, var, gamma, beta],
        [scale, shift],
        {"epsilon": norm.attribute("epsilon")},
        norm.layer,
        norm.section,
    )
    scale.producer = shift.producer = constants
    graph.operations[graph.operations.index(norm)] = constants

    forward.definition = _core.OPERATIONS["batchnorm_depthwise_conv2d"]
    forward.inputs = [x, forward.inputs[W], scale, shift]
    forward.attributes = {**geometry, **activation}
    forward.layer = f"{norm.layer} + {forward.layer}"

    grad_w = weight.outputs[0]
    backward.definition = _core.OPERATIONS["batchnorm_depthwise_conv2d_backward"]
    backward.inputs = [backward.inputs[i] for i in (GRAD_Y, X, W, MEAN, SCALE, SHIFT)]
    backward.outputs = [backward.outputs[0], grad_w, *backward.outputs[1:]]
    backward.attributes = {**geometry, **activation}
    grad_w.producer = backward
    graph.operations.remove(weight)
