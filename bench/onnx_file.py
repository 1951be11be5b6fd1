"""A cnncore network as an ONNX model, so that other engines run the same graph with the same weights.

Written from the operations that the model is lowered to, for images in NCHW. It has what the networks of this folder
need, and says so where a network needs more.
"""

import math

import numpy as np

from . import networks

OPSET = 17


def convert(model, batch):
    """An `onnx.ModelProto` for batches of this size: "images" (batch, channels, height, width) to "logits".

    Raises
    ------
    ValueError
        For an operation that is not translated here.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    operations, source, weights, result = networks.lowered(model, batch)
    height, width, channels = source.shape[1:]
    names, nodes, initializers = {source: "images"}, [], []
    flattened = {}  # Value of flattened images: (height, width, channels), as dense kernels have rows in this order

    def constant(array):
        name = f"weight{len(initializers)}"
        initializers.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def emit(kind, operation, inputs, **attributes):
        name = names[operation.outputs[0]] = f"{operation.layer}.{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))

    for operation in operations:
        name, x = operation.name, operation.inputs[0]
        arrays = [weights.get(value) for value in operation.inputs]
        inputs = [names.get(x)]
        if name in ("conv2d", "depthwise_conv2d"):
            if name == "conv2d":
                kernel, groups = arrays[1].transpose(3, 2, 0, 1), operation.attribute("groups")
            else:
                kernel, groups = arrays[1].transpose(2, 3, 0, 1), x.shape[3]
                kernel = kernel.reshape(-1, 1, *kernel.shape[2:])
            inputs += [constant(array) for array in (kernel, *arrays[2:])]
            emit(
                "Conv",
                operation,
                inputs,
                group=int(groups),
                **_window(operation, "kernel"),
                dilations=[int(operation.attribute(f"dilation_{side}")) for side in "hw"],
            )
        elif name == "batchnorm":
            mean, variance, gamma, beta = arrays[1:5]
            inputs += [constant(array) for array in (gamma, beta, mean, variance)]
            emit("BatchNormalization", operation, inputs, epsilon=float(operation.attribute("epsilon")))
        elif name == "activation" and _is_relu(operation):
            limit = float(operation.attribute("max_value"))
            if math.isinf(limit):
                emit("Relu", operation, inputs)
            else:
                emit("Clip", operation, inputs + [constant(np.array(0.0)), constant(np.array(limit))])
        elif name == "max_pool2d":
            emit("MaxPool", operation, inputs, **_window(operation, "pool"))
        elif name == "avg_pool2d" and operation.outputs[0].shape[1:3] == (1, 1):
            emit("GlobalAveragePool", operation, inputs)
        elif name == "reshape" and len(x.shape) == 4 and len(operation.outputs[0].shape) == 2:
            emit("Flatten", operation, inputs)
            flattened[operation.outputs[0]] = x.shape[1:]
        elif name == "dense":
            kernel = arrays[1]
            if x in flattened:  # rows from (height, width, channels) to (channels, height, width)
                kernel = kernel.reshape(*flattened[x], -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
            emit("Gemm", operation, inputs + [constant(array) for array in (kernel, *arrays[2:])])
        elif name == "add":
            emit("Add", operation, [names[value] for value in operation.inputs])
        elif name == "concat" and operation.attribute("axis") == 3:
            emit("Concat", operation, [names[value] for value in operation.inputs], axis=1)
        else:
            raise ValueError(
                f'onnx_file "{operation.layer}": the operation must be one that is translated here, got '
                f"{name} with {operation.attributes}"
            )
    nodes[-1].output[0] = "logits"
    graph = helper.make_graph(
        nodes,
        model.name,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (batch, channels, height, width))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, result.shape)],
        initializers,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(proto)
    return proto


def _window(operation, size):
    """Attributes that convolutions and pooling share."""
    return {
        "kernel_shape": [int(operation.attribute(f"{size}_{side}")) for side in "hw"],
        "strides": [int(operation.attribute(f"stride_{side}")) for side in "hw"],
        "pads": [int(operation.attribute(f"pad_{side}")) for side in ("top", "left", "bottom", "right")],
    }


def _is_relu(operation):
    from cnncore.compiler.kinds import RELU

    return (
        operation.attribute("activation") == RELU
        and operation.attribute("alpha") == operation.attribute("threshold") == 0
    )
