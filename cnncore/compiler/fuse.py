"""Fusion: operations that share a pass over memory become one.

`fuse_forward` runs before differentiation, on what the layers said:

* batchnorm + add + activation become one pass, and so do convolution or dense + activation (where the gradient, if one
is wanted, follows from the output)
* the batch moments of a convolution's result are taken in its epilogue
* in inference, batch normalisation is folded into the weights before it (an operation of the prepare section), and the
residual added in the epilogue

`fuse_backward` runs after it: a gradient that is added to what a backward convolution or a penalty gives is added
there.

Every fusion needs the value between the two operations to have no other reader.
"""

from .gradients import LINEAR, gradient_follows_from_output, is_batch_statistic
from .ir import PREPARE, Operation, Value
from .. import _core

ACTIVATED = (
    "conv2d",
    "conv2d_transpose",
    "depthwise_conv2d",
    "dense",
    "batchnorm",
)  # operations with an activation of their own
FOLDABLE = ("conv2d", "depthwise_conv2d", "dense")
RESIDUAL = {"conv2d": 3, "dense": 3, "batchnorm": 5}  # the position of the residual input
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
    """Fuse what the layers emitted. `differentiated`: gradients will be asked for, so values that they need must stay."""
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
    fuser.finish()


def _moments_into_convolution(fuser, moments):
    x = moments.inputs[0]
    convolution = x.producer
    if (
        convolution is None
        or convolution.name != "conv2d"
        or convolution.attribute("activation") != LINEAR
        or len(convolution.outputs) > 1
        or convolution.input(3) is not None
    ):
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
        or is_batch_statistic(x, mean)
    ):
        return
    if (
        before.inputs[1].storage is None or before.input(3) is not None
    ):  # computed weights cannot be prepared; a residual would be scaled
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


def fuse_backward(graph):
    """Sums of gradients into the operation that gives one of the summands."""
    fuser = _Fuser(graph)
    for add in list(graph.operations):
        if add.name != "add" or add.inputs[0].shape != add.inputs[1].shape or add.inputs[0] is add.inputs[1]:
            continue
        for value, other in (add.inputs[::-1], add.inputs):
            producer = value.producer
            position = BACKWARD_RESIDUAL.get(producer.name) if producer is not None else None
            if position is None or fuser.only_reader(value) is not add or producer.input(position) is not None:
                continue
            fuser.attach(producer, position, other, instead_of=add)
            fuser.take_over(producer, add)
            break
    fuser.finish()
