"""Training: batch normalisation and its activation into the convolution or the pooling that reads them.

What a normalisation gives need not be written to memory where one convolution alone reads it: the convolution
normalises what it needs when it needs it, in a cache, and so does the gradient of its weights. There are kernels for

* depthwise convolutions of 3x3, whose gradients are both computed in one reading of what the normalisation read: the
  widest tensors of networks such as MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) are those between an expanding
  convolution and the depthwise one;
* 1x1 convolutions and those of 3x3 and 5x5 that Winograd's algorithm computes, whose gradient in the input needs
  nothing of it but the mask, which follows from what the normalisation read;
* maximum pooling, whose gradient needs nothing of it but the places of the maxima and the mask of what it gave.

Where others read it too, as at the end of a residual block, the first 1x1 convolution that reads it normalises, adds
the residual, and writes the result on the way: the same bytes but for its own reading, and while it computes. That pays
where a pass of its own would wait for memory.

A residual that is a normalisation's result, as that of a shortcut with a convolution, is normalised where it is added.
"""

import math

from .. import _core, config
from .fuse import RESIDUAL
from .ir import Operation, Value, accepts, is_pointwise
from .kinds import LINEAR

BIAS, CONV_RESIDUAL = 2, RESIDUAL["conv2d"]  # inputs of conv2d: x w [bias] [residual]
NORM_RESIDUAL = RESIDUAL["batchnorm"]  # of batchnorm: ... [residual] [residual_scale] [residual_shift]
SMALLEST_WRITTEN_BYTES = 8 << 20  # what a pass of its own finds in the caches is as fast there
MOMENTS = 2  # outputs of a convolution after y: its mean and variance
# Inputs of depthwise_conv2d_backward_input: grad_y w [y] [x] [mean] [scale] [shift].
GRAD_Y, W, Y, X, MEAN, SCALE, SHIFT = range(7)
ACTIVATION = ("activation", "alpha", "max_value")


def normalise_on_load(graph):
    """Fuse all that can be, after `fuse_backward` has put the normalisations' masks and sums into the gradients."""
    _normalise_residuals(graph)
    readers = graph.uses()
    for norm in list(graph.operations):
        if norm.name == "batchnorm":
            _fuse(graph, norm, readers)


def _normalise_residuals(graph):
    readers = graph.uses()
    for norm in list(graph.operations):
        residual = norm.input(NORM_RESIDUAL) if norm.name == "batchnorm" else None
        before = residual.producer if residual is not None else None
        if (
            before is not None
            and before.name == "batchnorm"
            and before.input(NORM_RESIDUAL) is None
            and _is_linear(before)
            and len(readers[residual]) == 1
            and not graph.keeps(residual)
        ):
            _constants_for(graph, before)
            for i, value in enumerate([before.inputs[0], *before.outputs[1:]]):
                norm.set_input(NORM_RESIDUAL + i, value)
            norm.layer = f"{before.layer} + {norm.layer}"


def _fuse(graph, norm, readers):
    y = norm.outputs[0]
    reading = readers.get(y, ())
    found = {reader.name: reader for reader in reading}
    if norm.input(NORM_RESIDUAL) is not None or graph.keeps(y):
        return
    if len(reading) == 1 and "max_pool2d" in found:
        _fuse_pooling(graph, norm, found["max_pool2d"])
    if len(reading) != 2:
        return
    for kind, suits, replace in (
        ("depthwise_conv2d", _suits_depthwise, _replace_depthwise),
        ("conv2d", _suits_dense, _replace_dense),
    ):
        forward, weight = found.get(kind), found.get(f"{kind}_backward_weight")
        if (
            forward is not None
            and weight is not None
            and forward.inputs[0] is y
            and _is_plain(forward)
            and not any(value is not None for value in weight.outputs[1:])
            and suits(norm, forward, weight, readers)
        ):
            _constants_for(graph, norm)
            replace(graph, norm, forward, weight, readers)
            forward.layer = f"{norm.layer} + {forward.layer}"


def _is_plain(forward):
    return (
        forward.input(BIAS) is None  # which the normalisation after it makes useless
        and forward.input(CONV_RESIDUAL) is None
        and _is_linear(forward)
    )


def _is_linear(operation):
    return operation.attribute("activation") == LINEAR and operation.attribute("max_value") == math.inf


def _constants_for(graph, norm):
    """What the normalisation multiplies and adds, instead of its result."""
    if len(norm.outputs) == 1:
        norm.outputs += [Value("float32", norm.inputs[1].shape, producer=norm) for _ in range(2)]
    constants = Operation(
        _core.OPERATIONS["batchnorm_constants"],
        [norm.input(i) for i in range(1, 5)],
        norm.outputs[1:],
        {"epsilon": norm.attribute("epsilon")},
        norm.layer,
        norm.section,
    )
    for value in constants.outputs:
        value.producer = constants
    graph.operations[graph.operations.index(norm)] = constants


def _activation(norm):
    return {name: norm.attributes[name] for name in ACTIVATION if name in norm.attributes}


def _pairs(operation, *names):
    return tuple((operation.attribute(f"{name}_h"), operation.attribute(f"{name}_w")) for name in names)


# ---- pooling ----


def _fuse_pooling(graph, norm, pool):
    mean = norm.inputs[1]  # of the shape of scale and shift
    attributes = {**pool.attributes, **_activation(norm)}
    if not accepts("max_pool2d", [norm.inputs[0], mean, mean], attributes):
        return
    _constants_for(graph, norm)
    pool.inputs, pool.attributes = [norm.inputs[0], *norm.outputs[1:]], attributes
    pool.layer = f"{norm.layer} + {pool.layer}"


# ---- depthwise ----


def _input_gradient(weight, readers):
    """The gradient in the input that goes with one in the weights, through the mask of a normalisation that is computed
    again from its input; None where it is another."""
    for backward in readers.get(weight.inputs[1], ()):
        if (
            backward.name == "depthwise_conv2d_backward_input"
            and backward.inputs[GRAD_Y] is weight.inputs[1]
            and backward.input(SCALE) is not None
            and backward.input(MEAN) is not None
            and len(backward.outputs) == 3
        ):
            return backward
    return None


def _suits_depthwise(norm, forward, weight, readers):
    kernel, stride, dilation = _pairs(forward, "kernel", "stride", "dilation")
    backward = _input_gradient(weight, readers)
    return (
        backward is not None
        and backward.inputs[SCALE].producer.outputs[0] is forward.inputs[0]
        and forward.inputs[W].shape[3] == 1
        and kernel == (3, 3)
        and stride in ((1, 1), (2, 2))
        and dilation == (1, 1)
    )


def _replace_depthwise(graph, norm, forward, weight, readers):
    backward = _input_gradient(weight, readers)
    geometry = {name: value for name, value in forward.attributes.items() if name not in ACTIVATION}

    forward.definition = _core.OPERATIONS["batchnorm_depthwise_conv2d"]
    forward.inputs = [norm.inputs[0], forward.inputs[W], *norm.outputs[1:]]
    forward.attributes = {**geometry, **_activation(norm)}

    grad_w = weight.outputs[0]
    backward.definition = _core.OPERATIONS["batchnorm_depthwise_conv2d_backward"]
    backward.inputs = [backward.inputs[i] for i in (GRAD_Y, X, W, MEAN, SCALE, SHIFT)]
    backward.outputs = [backward.outputs[0], grad_w, *backward.outputs[1:]]
    backward.attributes = {**geometry, **_activation(norm)}
    grad_w.producer = backward
    graph.operations.remove(weight)


# ---- all channels with all ----


def _dense_attributes(norm, forward):
    names = _core.OPERATIONS["batchnorm_conv2d"].attributes
    geometry = {name: value for name, value in forward.attributes.items() if name in names and name not in ACTIVATION}
    return {**geometry, **_activation(norm)}


def _suits_dense(norm, forward, weight, readers):
    if config.get_exact() and _pairs(forward, "kernel") != ((1, 1),):
        return False
    mean = norm.inputs[1]  # of the shape of scale and shift
    inputs = [norm.inputs[0], forward.inputs[W], mean, mean]
    return accepts("batchnorm_conv2d", inputs, _dense_attributes(norm, forward))


def _replace_dense(graph, norm, forward, weight, readers):
    attributes = _dense_attributes(norm, forward)
    for operation, name in ((forward, ""), (weight, "_backward_weight")):
        operation.definition = _core.OPERATIONS["batchnorm_conv2d" + name]
        operation.inputs = [norm.inputs[0], operation.inputs[1], *norm.outputs[1:]]
        operation.attributes = attributes


# ---- results that others read as well ----


def normalise_and_write(graph):
    """What is left after `normalise_on_load` and `recompute`, by the first 1x1 convolution that reads it."""
    readers = graph.uses()
    for norm in list(graph.operations):
        if norm.name == "batchnorm":
            forward = next((r for r in readers.get(norm.outputs[0], ()) if _suits_writing(norm, r)), None)
            if forward is not None:
                _replace_writing(graph, norm, forward)


def _writing_inputs(norm, forward, scale, shift):
    return [norm.inputs[0], forward.inputs[W], scale, shift, *(norm.input(NORM_RESIDUAL + i) for i in range(3))]


def _suits_writing(norm, forward):
    mean = norm.inputs[1]
    return (
        norm.outputs[0].bytes >= SMALLEST_WRITTEN_BYTES
        and forward.name == "conv2d"
        and forward.inputs[0] is norm.outputs[0]
        and norm.outputs[0] not in forward.inputs[1:]
        and _is_plain(forward)
        and is_pointwise(forward)
        and accepts("batchnorm_conv2d", _writing_inputs(norm, forward, mean, mean), _dense_attributes(norm, forward))
    )


def _replace_writing(graph, norm, forward):
    y = norm.outputs[0]
    _constants_for(graph, norm)
    forward.definition = _core.OPERATIONS["batchnorm_conv2d"]
    forward.attributes = _dense_attributes(norm, forward)
    forward.inputs = _writing_inputs(norm, forward, *norm.outputs[1:])
    forward.outputs = [*forward.outputs, *[None] * (1 + MOMENTS - len(forward.outputs)), y]
    forward.layer = f"{norm.layer} + {forward.layer}"
    y.producer = forward
