"""The gradient rule of every operation: one function each, by the operation's name.

A rule gets the graph to append to, the operation, the gradients of its outputs (None where nothing arrived) and which
inputs need one; it returns the gradients of the inputs, None where there is none. An operation without a rule cannot be
differentiated.
"""

from .ir import Value, is_batch_statistic
from .kinds import LINEAR, gradient_follows_from_output

RULES = {}


def rule(*names):
    def register(function):
        for name in names:
            RULES[name] = function
        return function

    return register


def _activation_attributes(operation):
    names = ("activation", "alpha", "max_value", "threshold")
    return {name: operation.attributes[name] for name in names if name in operation.attributes}


def _through_activation(graph, operation, grad):
    """The gradient before the activation that an operation applies to its result."""
    if operation.attribute("activation") == LINEAR:
        return grad
    return graph.add(
        "activation_backward", [grad, operation.outputs[0]], layer=operation.layer, **_activation_attributes(operation)
    )


GEOMETRY = (
    "kernel_h",
    "kernel_w",
    "stride_h",
    "stride_w",
    "pad_top",
    "pad_left",
    "pad_bottom",
    "pad_right",
    "dilation_h",
    "dilation_w",
    "groups",
)
RESCALING = ("x_scale", "x_offset")
POOLING = ("pool_h", "pool_w", "stride_h", "stride_w", "pad_top", "pad_left", "pad_bottom", "pad_right")


def _some(operation, names):
    return {name: operation.attributes[name] for name in names if name in operation.attributes}


def _image_size(value):
    return {"in_h": value.shape[1], "in_w": value.shape[2]}


def _weight_and_bias(graph, operation, kind, inputs, needed, bias, **attributes):
    """The gradients of a weight and of the optional bias at input 2, from one operation."""
    wants_bias = bias and len(needed) > 2 and needed[2]
    if not needed[1] and not wants_bias:
        return None, None
    grads = graph.add(kind, inputs, (True, True) if wants_bias else (True,), layer=operation.layer, **attributes)
    return (grads + [None])[:2]


@rule("conv2d")
def conv2d(graph, op, grads, needed):
    x, w = op.inputs[:2]
    g = _through_activation(graph, op, grads[0])
    geometry = _some(op, GEOMETRY)
    dw, db = _weight_and_bias(
        graph, op, "conv2d_backward_weight", [x, g], needed, True, **geometry, **_some(op, RESCALING)
    )
    dx = graph.add("conv2d_backward_input", [g, w], layer=op.layer, **geometry, **_image_size(x)) if needed[0] else None
    return [dx, dw, db, g][: len(op.inputs)]


@rule("conv2d_transpose")
def conv2d_transpose(graph, op, grads, needed):
    x, w = op.inputs[:2]
    g = _through_activation(graph, op, grads[0])
    geometry = _some(op, GEOMETRY)
    dw = graph.add("conv2d_backward_weight", [g, x], (True,), layer=op.layer, **geometry)[0] if needed[1] else None
    db = _sum_to(graph, g, op.inputs[2].shape, op.layer) if len(needed) > 2 and needed[2] else None
    dx = graph.add("conv2d", [g, w], layer=op.layer, **geometry) if needed[0] else None
    return [dx, dw, db][: len(op.inputs)]


@rule("depthwise_conv2d")
def depthwise_conv2d(graph, op, grads, needed):
    x, w = op.inputs[:2]
    g = _through_activation(graph, op, grads[0])
    geometry = _some(op, GEOMETRY)
    dw, db = _weight_and_bias(
        graph, op, "depthwise_conv2d_backward_weight", [x, g], needed, True, multiplier=w.shape[3], **geometry
    )
    dx = (
        graph.add("depthwise_conv2d_backward_input", [g, w], layer=op.layer, **geometry, **_image_size(x))
        if needed[0]
        else None
    )
    return [dx, dw, db][: len(op.inputs)]


@rule("dense")
def dense(graph, op, grads, needed):
    x, w = op.inputs[:2]
    g = _through_activation(graph, op, grads[0])
    dw, db = _weight_and_bias(graph, op, "dense_backward_weight", [x, g], needed, True)
    dx = graph.add("dense_backward_input", [g, w], layer=op.layer) if needed[0] else None
    return [dx, dw, db, g][: len(op.inputs)]


PLACES = 256  # the most pixels of a window whose maximum's place fits into a byte


@rule("max_pool2d")
def max_pool2d(graph, op, grads, needed):
    """The forward operation writes down where the maxima were, so that what was pooled need not be kept."""
    x, y = op.inputs[0], op.outputs[0]
    if op.attribute("pool_h") * op.attribute("pool_w") > PLACES:
        return [graph.add("max_pool2d_backward", [x, y, grads[0]], layer=op.layer, **_some(op, POOLING))]
    op.outputs = [y, Value("uint8", y.shape, producer=op)]
    return [
        graph.add(
            "max_pool2d_backward",
            [None, y, grads[0], op.outputs[1]],
            layer=op.layer,
            **_some(op, POOLING),
            **_image_size(x),
        )
    ]


@rule("avg_pool2d")
def avg_pool2d(graph, op, grads, needed):
    return [
        graph.add(
            "avg_pool2d_backward",
            [grads[0]],
            layer=op.layer,
            **_some(op, POOLING + ("count_include_pad",)),
            **_image_size(op.inputs[0]),
        )
    ]


@rule("batchnorm")
def batchnorm(graph, op, grads, needed):
    x, mean, var = op.inputs[:3]
    gamma, beta, residual = op.input(3), op.input(4), op.input(5)
    needed = list(needed) + [False] * (6 - len(needed))
    linear = op.attribute("activation") == LINEAR
    training = is_batch_statistic(x, mean)
    outputs = graph.add(
        "batchnorm_backward",
        [grads[0], x, None if linear else op.outputs[0], mean, var, gamma],
        (needed[0], needed[3], needed[4], needed[5] and not linear),
        layer=op.layer,
        training=int(training),
        epsilon=op.attribute("epsilon"),
        **_activation_attributes(op),
    )
    dx, dgamma, dbeta, dresidual = outputs
    return [
        dx,
        None,
        None,
        dgamma if gamma else None,
        dbeta if beta else None,
        (grads[0] if linear else dresidual) if residual else None,
    ][: len(op.inputs)]


@rule("batchnorm_moments")
def batchnorm_moments(graph, op, grads, needed):
    return [None]  # contained in the gradient of the batchnorm that uses the moments


@rule("activation")
def activation(graph, op, grads, needed):
    from_output = gradient_follows_from_output(op)
    reference = op.outputs[0] if from_output else op.inputs[0]
    return [
        graph.add(
            "activation_backward",
            [grads[0], reference],
            layer=op.layer,
            reference_is_input=int(not from_output),
            **_activation_attributes(op),
        )
    ]


@rule("softmax")
def softmax(graph, op, grads, needed):
    return [graph.add("softmax_backward", [grads[0], op.outputs[0]], layer=op.layer)]


def _sum_to(graph, value, shape, layer):
    """The value summed over the axes along which an operand of this shape was broadcast."""
    if value is None or value.shape == shape:
        return value
    return graph.add(
        "reduce_sum_to", [value], layer=layer, rank=len(shape), **{f"d{i}": d for i, d in enumerate(shape)}
    )


def _summed(graph, op, grads, needed):
    return [_sum_to(graph, g, v.shape, op.layer) if need else None for g, v, need in zip(grads, op.inputs, needed)]


@rule("add")
def add(graph, op, grads, needed):
    return _summed(graph, op, [grads[0], grads[0]], needed)


@rule("subtract")
def subtract(graph, op, grads, needed):
    negative = graph.add("affine", [grads[0]], layer=op.layer, scale=-1.0) if needed[1] else None
    return _summed(graph, op, [grads[0], negative], needed)


@rule("multiply")
def multiply(graph, op, grads, needed):
    a, b = op.inputs
    return _summed(
        graph,
        op,
        [
            graph.add("multiply", [grads[0], other], layer=op.layer) if need else None
            for other, need in zip((b, a), needed)
        ],
        needed,
    )


@rule("maximum", "minimum")
def maximum_minimum(graph, op, grads, needed):
    return _summed(
        graph, op, graph.add(f"{op.name}_backward", [grads[0], *op.inputs], tuple(needed), layer=op.layer), needed
    )


@rule("reduce_sum_to")
def reduce_sum_to(graph, op, grads, needed):
    x = op.inputs[0]
    zeros = graph.add(
        "fill", [], layer=op.layer, value=0.0, rank=len(x.shape), **{f"d{i}": d for i, d in enumerate(x.shape)}
    )
    return [graph.add("add", [zeros, grads[0]], layer=op.layer)]


@rule("affine")
def affine(graph, op, grads, needed):
    return [graph.add("affine", [grads[0]], layer=op.layer, scale=op.attribute("scale"))]


@rule("log", "arctan", "standardize")
def of_the_input(graph, op, grads, needed):
    return [graph.add(f"{op.name}_backward", [grads[0], op.inputs[0]], layer=op.layer, **op.attributes)]


@rule("replace_nan")
def replace_nan(graph, op, grads, needed):
    """What was there gets the gradient, what was missing gives it to the fallback."""
    x, fallback, value = op.inputs[0], op.inputs[1], op.input(2)
    zero = graph.add("fill", [], layer=op.layer, value=0.0, rank=1, d0=1)
    present = graph.add("replace_nan", [x, zero, grads[0]], layer=op.layer)
    missing = (
        _sum_to(graph, graph.add("subtract", [grads[0], present], layer=op.layer), fallback.shape, op.layer)
        if needed[1]
        else None
    )
    return [present if value is None else None, missing, present][: len(op.inputs)]


@rule("concat")
def concat(graph, op, grads, needed):
    axis, begin, parts = int(op.attribute("axis")), 0, []
    for value, need in zip(op.inputs, needed):
        length = value.shape[axis]
        parts.append(
            graph.add("slice", [grads[0]], layer=op.layer, axis=axis, begin=begin, length=length) if need else None
        )
        begin += length
    return parts


@rule("slice")
def slice_(graph, op, grads, needed):
    x, axis, begin = op.inputs[0], int(op.attribute("axis")), int(op.attribute("begin"))
    after = x.shape[axis] - begin - int(op.attribute("length"))

    def zeros(length):
        shape = list(x.shape)
        shape[axis] = length
        return graph.add(
            "fill", [], layer=op.layer, value=0.0, rank=len(shape), **{f"d{i}": d for i, d in enumerate(shape)}
        )

    parts = [zeros(begin)] * (begin > 0) + [grads[0]] + [zeros(after)] * (after > 0)
    return [graph.add("concat", parts, layer=op.layer, axis=axis) if len(parts) > 1 else grads[0]]


@rule("pad2d")
def pad2d(graph, op, grads, needed):
    return [
        graph.add(
            "crop2d", [grads[0]], layer=op.layer, **{f"crop_{side}": op.attribute(f"pad_{side}") for side in SIDES}
        )
    ]


@rule("crop2d")
def crop2d(graph, op, grads, needed):
    return [
        graph.add(
            "pad2d", [grads[0]], layer=op.layer, **{f"pad_{side}": op.attribute(f"crop_{side}") for side in SIDES}
        )
    ]


SIDES = ("top", "left", "bottom", "right")


@rule("upsample2d")
def upsample2d(graph, op, grads, needed):
    return [graph.add("upsample2d_backward", [grads[0]], layer=op.layer, **op.attributes)]


@rule("reshape")
def reshape(graph, op, grads, needed):
    return [graph.reshape(grads[0], op.inputs[0].shape, layer=op.layer)]


@rule("dropout")
def dropout(graph, op, grads, needed):
    return [graph.add("dropout", [grads[0]], layer=op.layer, **op.attributes)]  # the same stream draws the same mask


@rule("gaussian_noise")
def gaussian_noise(graph, op, grads, needed):
    return [grads[0]]


@rule(
    "softmax_cross_entropy",
    "categorical_cross_entropy",
    "sigmoid_cross_entropy",
    "binary_cross_entropy",
    "squared_error",
    "absolute_error",
)
def loss(graph, op, grads, needed):
    return [graph.add(f"{op.name}_backward", [*op.inputs, grads[0]], layer=op.layer, **op.attributes), None]


@rule("weighted_mean")
def weighted_mean(graph, op, grads, needed):
    shape = op.inputs[0].shape
    return [
        graph.add(
            "weighted_mean_backward",
            [grads[0], *op.inputs[1:]],
            layer=op.layer,
            scale=op.attribute("scale"),
            rank=len(shape),
            **{f"d{i}": d for i, d in enumerate(shape)},
        ),
        None,
    ][: len(op.inputs)]


@rule("l1_l2_penalty")
def l1_l2_penalty(graph, op, grads, needed):
    return [graph.add("l1_l2_backward", [op.inputs[0], grads[0]], layer=op.layer, **op.attributes)]
