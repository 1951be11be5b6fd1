"""Fusion: operations that share a pass over memory become one.

`fuse_forward` runs before differentiation, on what the layers said:

* batchnorm + add + activation become one pass, and so do convolution or dense + activation (where the gradient, if one
is wanted, follows from the output)
* the batch moments of a convolution's result are taken in its epilogue
* in inference, batch normalisation is folded into the weights before it (an operation of the prepare section), and the
residual added in the epilogue; a 1x1 convolution with a large result is done within the depthwise convolution that
reads it

`fuse_backward` runs after it:

* a gradient that is added to what a backward convolution or a penalty gives is added there, and so is one to what is
left of a batch normalisation's gradient, also where it is a part of a concatenation's
* the derivative of a rectifier is applied by the operation that gives the gradient, and so are the sums of the batch
normalisation below taken there, so that one pass is left of its gradient
* the sign of what a batch normalisation gave is computed again from what it read, instead of being read

Every fusion needs the value between the two operations to have no other reader.
"""

import math

from .. import _core
from .ir import PREPARE, Operation, Value, is_batch_statistic
from .kinds import LINEAR, RELU, gradient_follows_from_output

ACTIVATED = (
    "conv2d",
    "conv2d_transpose",
    "depthwise_conv2d",
    "dense",
    "batchnorm",
)  # operations with an activation of their own
FOLDABLE = ("conv2d", "depthwise_conv2d", "dense")
RESIDUAL = {"conv2d": 3, "dense": 3, "batchnorm": 5}  # the position of the residual input
# The first input of the gradient's epilogue: [y] [x] [mean] [scale] [shift]; None where only the activation is known.
GRADIENT_EPILOGUE = {
    "conv2d_backward_input": 3,
    "dense_backward_input": 3,
    "depthwise_conv2d_backward_input": 2,
    "max_pool2d_backward": None,
}
Y, MEAN, SCALE, SHIFT, SUM_G, ADDED = 2, 3, 6, 7, 8, 10  # inputs of batchnorm_backward
LARGE_INNER_BYTES = 500_000  # of an image, from which a 1x1 convolution is done within the depthwise one after it
BACKWARD_RESIDUAL = {"conv2d_backward_input": 2, "dense_backward_input": 2, "l1_l2_backward": 2}


class _Fuser:
    """A graph with the table of readers that the patterns need; operations that were fused away are collected and
    dropped at the end.
    """

    def __init__(self, graph):
        self.graph = graph
        self.readers = graph.uses()
        self.position = {operation: i for i, operation in enumerate(graph.operations)}
        for value in graph.results:
            self.readers.setdefault(value, []).append(None)
        self.gone = set()
        self.moved = {}  # operation that is gone -> the one that stands in its place

    def only_reader(self, value):
        """The one operation that reads the value, or None."""
        readers = self.readers.get(value, ())
        return readers[0] if len(readers) == 1 and value.storage is None else None

    def take_over(self, operation, successor):
        """`operation` now computes what `successor` did, in its place: what `successor` read from others is there by
        then.
        """
        output = successor.outputs[0]
        operation.outputs[0], output.producer = output, operation
        self.gone.add(successor)
        self.moved[successor] = operation

    def attach(self, operation, position, value, instead_of):
        """Make `value` an input of `operation`, which reads it instead of another one."""
        operation.set_input(position, value)
        self.readers[value] = [operation if reader is instead_of else reader for reader in self.readers[value]]

    def finish(self):
        """Drop what is gone, so that the operations stand in an order in which they can run."""
        place = {
            operation: place for place, operation in self.moved.items()
        }  # the last place that an operation took over
        operations = []
        for operation in self.graph.operations:
            heir = self.moved.get(operation)
            if heir is not None and place[heir] is operation and heir not in self.gone:
                operations.append(heir)
            elif operation not in self.gone and operation not in place:
                operations.append(operation)
        self.graph.operations = operations


def fuse_forward(graph, differentiated):
    """Fuse what the layers emitted. `differentiated`: gradients will be asked for, so values they need must stay."""
    fuser = _Fuser(graph)
    for operation in list(graph.operations):
        if operation in fuser.gone:
            continue
        if operation.name == "batchnorm_moments":
            _moments_into_convolution(fuser, operation)
        elif operation.name == "batchnorm" and not differentiated:
            _fold(fuser, operation)
    for operation in list(graph.operations):
        if operation.name == "add" and operation not in fuser.gone:
            _add_into_producer(fuser, operation, inference=not differentiated)
    for operation in list(graph.operations):
        if operation.name == "activation" and operation not in fuser.gone:
            _activation_into_producer(fuser, operation, differentiated)
    if not differentiated:
        for operation in graph.operations:
            if operation.name == "depthwise_conv2d" and operation not in fuser.gone:
                _pointwise_into_depthwise(fuser, operation)
    fuser.finish()


def may_take_moments(convolution):
    """Can an operation (or None) give the batch moments of its result, which it does not give yet?"""
    return (
        convolution is not None
        and convolution.name in ("conv2d", "depthwise_conv2d")
        and convolution.attribute("activation") == LINEAR
        and len(convolution.outputs) == 1
        and convolution.input(3) is None
    )


def _moments_into_convolution(fuser, moments):
    convolution = moments.inputs[0].producer
    if not may_take_moments(convolution):
        return
    convolution.outputs += moments.outputs
    for value in moments.outputs:
        if value is not None:
            value.producer = convolution
    fuser.gone.add(moments)


def _fold(fuser, norm):
    """A batchnorm with constant statistics into the weights of the operation before it."""
    x, mean, var = norm.inputs[:3]
    before = x.producer
    if (
        before is None
        or before.name not in FOLDABLE
        or fuser.only_reader(x) is not norm
        or before.attribute("activation") != LINEAR
        or before.input(3) is not None  # a residual would be scaled
        or is_batch_statistic(x, mean)
    ):
        return
    view = before.inputs[1].producer  # the weights under another shape?
    if view and view.name == "reshape" and view.inputs[0].storage is not None:
        view.section = PREPARE
    elif before.inputs[1].storage is None:  # computed weights cannot be prepared
        return
    bias = before.input(2)
    definition = _core.OPERATIONS["batchnorm_fold"]
    fold = Operation(
        definition,
        [before.inputs[1], bias, mean, var, norm.input(3), norm.input(4)],
        [],
        {"epsilon": norm.attribute("epsilon"), "depthwise": int(before.name == "depthwise_conv2d")},
        norm.layer,
        PREPARE,
    )
    weight, new_bias = before.inputs[1], mean
    fold.outputs = [Value("float32", weight.shape, producer=fold), Value("float32", new_bias.shape, producer=fold)]
    fuser.graph.operations.insert(0, fold)
    before.set_input(1, fold.outputs[0])
    before.set_input(2, fold.outputs[1])
    before.layer = f"{before.layer} + {norm.layer}"
    fuser.take_over(before, norm)


def _add_into_producer(fuser, add, inference):
    """add(a, b) into the operation that gives a or b, as its residual. In training only into a batchnorm, in inference
    into convolutions too.
    """
    a, b = add.inputs
    if a.shape != b.shape or a is b:
        return
    candidates = [v for v in (a, b) if v.producer is not None]
    candidates.sort(
        key=lambda v: -fuser.position.get(v.producer, -1)
    )  # the later one: what it reads stays alive the shortest
    for value in candidates:
        producer = value.producer
        position = RESIDUAL.get(producer.name)
        if (
            position is None
            or (producer.name != "batchnorm" and not inference)
            or fuser.only_reader(value) is not add
            or producer.attribute("activation") != LINEAR
            or producer.input(position) is not None
            or producer.outputs[1:]
        ):
            continue
        other = b if value is a else a
        fuser.attach(producer, position, other, instead_of=add)
        producer.layer = f"{producer.layer} + {add.layer}"
        fuser.take_over(producer, add)
        return


def _activation_into_producer(fuser, activation, differentiated):
    x = activation.inputs[0]
    producer = x.producer
    if (
        producer is None
        or producer.name not in ACTIVATED
        or fuser.only_reader(x) is not activation
        or producer.attribute("activation") != LINEAR
        or any(value is not None for value in producer.outputs[1:])
        or activation.attribute("threshold") != 0
    ):
        return
    if differentiated and not gradient_follows_from_output(activation):
        return
    if (
        differentiated and producer.name == "batchnorm" and activation.attribute("activation") != 1
    ):  # its backward knows the relu family
        return
    producer.attributes = {
        **producer.attributes,
        **{k: v for k, v in activation.attributes.items() if k != "threshold"},
    }
    producer.layer = f"{producer.layer} + {activation.layer}" if activation.layer != producer.layer else producer.layer
    fuser.take_over(producer, activation)


def _pointwise_into_depthwise(fuser, depthwise):
    """A 1x1 convolution into the depthwise convolution that reads its result, where an image's result is too large for
    the second cache.
    """
    inner = depthwise.inputs[0]
    pointwise = inner.producer
    if (
        pointwise is None
        or pointwise.name != "conv2d"
        or fuser.only_reader(inner) is not depthwise
        or inner.bytes // inner.shape[0] < LARGE_INNER_BYTES
        or depthwise.inputs[1].shape[3] != 1
        or pointwise.input(3) is not None
        or any(value is not None for value in pointwise.outputs[1:])
        or any(pointwise.attribute(name) != 1 for name in ("kernel_h", "kernel_w", "stride_h", "stride_w", "groups"))
        or any(pointwise.attribute(f"pad_{side}") for side in ("top", "left", "bottom", "right"))
    ):
        return
    x, w_inner, bias_inner = pointwise.inputs[0], pointwise.inputs[1], pointwise.input(2)
    inner_activation = {f"inner_{name}": pointwise.attribute(name) for name in ("activation", "alpha", "max_value")}
    depthwise.inputs = [x, w_inner, depthwise.inputs[1], bias_inner, depthwise.input(2)]
    depthwise.definition = _core.OPERATIONS["pointwise_depthwise_conv2d"]
    depthwise.attributes = {**depthwise.attributes, **inner_activation}
    depthwise.layer = f"{pointwise.layer} + {depthwise.layer}"
    fuser.gone.add(pointwise)


def fuse_backward(graph):
    """Sums of gradients, derivatives of activations and the sums of batch normalisation into the operations that give
    the gradients.
    """
    fuser = _Fuser(graph)
    for add in list(graph.operations):
        if add.name == "add":
            _add_into_gradient(fuser, add)
    for operation in list(graph.operations):
        if operation.name == "activation_backward":
            _activation_into_gradient(fuser, operation)
        elif operation.name == "batchnorm_backward":
            _normalisation_into_gradient(fuser, operation)
    for add in list(graph.operations):
        if add.name == "add" and add not in fuser.gone:
            _add_into_normalisation(fuser, add)
    fuser.finish()


def _add_into_gradient(fuser, add):
    """add(a, b) into the backward operation that gives a or b, as its residual."""
    if add.inputs[0].shape != add.inputs[1].shape or add.inputs[0] is add.inputs[1]:
        return
    for value, other in (add.inputs[::-1], add.inputs):
        producer = value.producer
        position = BACKWARD_RESIDUAL.get(producer.name) if producer is not None else None
        if position is None or fuser.only_reader(value) is not add or producer.input(position) is not None:
            continue
        fuser.attach(producer, position, other, instead_of=add)
        fuser.take_over(producer, add)
        _without_zeros(fuser, producer, other)
        return


def _without_zeros(fuser, reader, residual):
    """The gradient of a 1x1 convolution with stride, a shortcut's, is zero but at every stride-th pixel; where it is
    the residual of a convolution's with the same stride, or of one's without beside a stride of 2, it is computed for
    those pixels alone.
    """
    shortcut = residual.producer
    steps = [reader.attributes.get(name, 1) for name in ("stride_h", "stride_w")]
    steps = [2, 2] if steps == [1, 1] else steps
    if (
        reader.name != "conv2d_backward_input"
        or shortcut is None
        or shortcut.name != reader.name
        or fuser.only_reader(residual) is not reader
        or [shortcut.attribute(name) for name in ("kernel_h", "kernel_w", "stride_h", "stride_w")] != [1, 1, *steps]
        or any(shortcut.attribute(f"pad_{side}") for side in ("top", "left", "bottom", "right"))
        or len(shortcut.inputs) > 2
    ):
        return
    n, h, w, _ = shortcut.inputs[0].shape
    residual.shape = (n, h, w, residual.shape[3])
    shortcut.attributes = {**shortcut.attributes, "stride_h": 1, "stride_w": 1, "in_h": h, "in_w": w}


def _add_into_normalisation(fuser, add):
    """add(a, b) into the gradient of a batch normalisation that gives a or b, where one pass is left of that. The other
    may be channels of a concatenation's gradient, which are read where they lie.
    """
    if add.inputs[0].shape != add.inputs[1].shape or add.inputs[0] is add.inputs[1]:
        return
    for value, other in (add.inputs[::-1], add.inputs):
        backward = value.producer
        if (
            backward is None
            or backward.name != "batchnorm_backward"
            or backward.input(SUM_G) is None
            or backward.input(ADDED) is not None
            or any(result is not None for result in backward.outputs[3:])
            or fuser.only_reader(value) is not add
        ):
            continue
        part = other.producer
        if (
            part is not None
            and part.name == "slice"
            and part.attribute("axis") == len(other.shape) - 1
            and fuser.only_reader(other) is add
        ):
            fuser.attach(backward, ADDED, part.inputs[0], instead_of=part)
            backward.attributes = {**backward.attributes, "added_begin": part.attribute("begin")}
            fuser.gone.add(part)
        else:
            fuser.attach(backward, ADDED, other, instead_of=add)
        fuser.take_over(backward, add)
        return


def _mask_from_input(backward):
    """Where y = act(x scale + shift), its sign is computed again from x, so that y need not be read."""
    y = backward.input(Y)
    if y is None or y.producer.input(RESIDUAL["batchnorm"]) is not None:
        return
    forward = y.producer
    if len(forward.outputs) == 1:
        forward.outputs += [Value("float32", backward.inputs[MEAN].shape, producer=forward) for _ in range(2)]
    backward.set_input(Y, None)
    backward.set_input(SCALE, forward.outputs[1])
    backward.set_input(SHIFT, forward.outputs[2])


def _gradient_producer(fuser, reader):
    """The operation that gives the gradient which `reader` reads first, if it has an epilogue that is still free."""
    gradient = reader.inputs[0]
    producer = gradient.producer
    if producer is None or producer.name not in GRADIENT_EPILOGUE or gradient.storage is not None:
        return None
    first = GRADIENT_EPILOGUE[producer.name]
    if producer.attribute("activation") != LINEAR or producer.attribute("max_value") != math.inf:
        return None
    if first is not None and any(producer.input(first + i) is not None for i in range(5)):
        return None
    return producer


def _mask(producer, reader):
    """Give the producer the activation of `reader`, which loses it."""
    for name in ("activation", "alpha", "max_value"):
        if name in reader.attributes:
            producer.attributes = {**producer.attributes, name: reader.attributes[name]}
    reader.attributes = {k: v for k, v in reader.attributes.items() if k not in ("activation", "alpha", "max_value")}


def _pooled(backward):
    """What the forward operation of a max_pool2d_backward pooled."""
    return backward.inputs[1].producer.inputs[0]


def _activation_into_gradient(fuser, backward):
    producer = _gradient_producer(fuser, backward)
    reference = backward.inputs[1]
    if (
        producer is None
        or fuser.only_reader(backward.inputs[0]) is not backward
        or backward.attribute("activation") not in (LINEAR, RELU)
        or backward.attribute("reference_is_input")
    ):
        return
    first = GRADIENT_EPILOGUE[producer.name]
    if first is not None:
        fuser.attach(producer, first, reference, instead_of=backward)
    elif _pooled(producer) is not reference:  # a pooling: what it pooled must be the activation's result
        return
    _mask(producer, backward)
    fuser.take_over(producer, backward)


def _normalisation_into_gradient(fuser, backward):
    """The mask and the sums of a batch normalisation's gradient; what is left of it is one pass over memory."""
    gradient, x, y, mean = backward.inputs[:4]
    producer = _gradient_producer(fuser, backward)
    if y is not None and fuser.only_reader(gradient) is not backward:
        producer = None
    first = GRADIENT_EPILOGUE[producer.name] if producer is not None else None
    if producer is not None and first is None and (y is None or _pooled(producer) is not y):
        producer = None  # a pooling knows the mask of what it pooled, and no sums
    if first is not None or producer is None:
        _mask_from_input(backward)
    if producer is None:
        return
    if first is not None:
        operands = backward.inputs[Y], x, mean, backward.input(SCALE), backward.input(SHIFT)
        for i, value in enumerate(operands):
            if value is not None:
                producer.set_input(first + i, value)
                fuser.readers.setdefault(value, []).append(producer)
        if backward.attribute("training"):
            sums = [Value("float32", mean.shape, producer=producer) for _ in range(2)]
            producer.outputs += sums
            for i, value in enumerate(sums):
                backward.set_input(SUM_G + i, value)
                fuser.readers[value] = [backward]
    for position in (Y, SCALE, SHIFT):
        if backward.input(position) is not None:
            backward.set_input(position, None)
    _mask(producer, backward)
    residual = backward.outputs[3] if len(backward.outputs) > 3 else None
    if residual is not None:  # the masked gradient itself
        fuser.graph.replace(residual, gradient)
        fuser.readers[gradient] += fuser.readers.pop(residual, [])
        backward.outputs[3] = None
