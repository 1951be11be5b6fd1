"""The data structure that all compiler passes work on: a list of operations over values.

A `Value` is a tensor with a static shape. Values that live outside a run (weights, gradients, inputs) carry the storage
and the byte offset where they live; the others are placed by the memory planner. An `Operation` names a row of the
engine's table of operations (`cnncore._core.OPERATIONS`), so its shape rule, its attributes and its cost are those of
the engine.
"""

from .. import _core

PREPARE, COMPUTE, UPDATE = _core.PREPARE, _core.COMPUTE, _core.UPDATE


class Value:
    """A tensor of the graph.

    Attributes
    ----------
    dtype : str
    shape : tuple of int
    producer : Operation or None
        None for what comes from outside.
    storage : str or None
        Where it lives outside the run ("parameters", "gradients", "input0", ...); None for what lives within the run
        only.
    offset : int
        Bytes from the start of the storage.
    name : str
        For printing.
    """

    __slots__ = ("dtype", "shape", "producer", "storage", "offset", "name")

    def __init__(self, dtype, shape, producer=None, storage=None, offset=0, name=""):
        self.dtype, self.shape, self.producer, self.storage, self.offset, self.name = (
            dtype,
            shape,
            producer,
            storage,
            offset,
            name,
        )

    @property
    def bytes(self):
        count = 1
        for dim in self.shape:
            count *= dim
        return count * (1 if self.dtype == "uint8" else 4)

    def __repr__(self):
        return f"<Value {self.name or '?'} {self.dtype} {self.shape}{' in ' + self.storage if self.storage else ''}>"


class Operation:
    """An operation with its operands. `inputs` and `outputs` hold None where an optional operand is absent or not
    wanted.
    """

    __slots__ = ("definition", "inputs", "outputs", "attributes", "layer", "section")

    def __init__(self, definition, inputs, outputs, attributes, layer, section):
        self.definition, self.inputs, self.outputs = definition, inputs, outputs
        self.attributes, self.layer, self.section = attributes, layer, section

    @property
    def name(self):
        return self.definition.name

    def attribute(self, name):
        """The attribute's value, or its default."""
        return self.attributes[name] if name in self.attributes else self.definition.attributes[name][1]

    def input(self, i):
        """Input i, or None where it is absent."""
        return self.inputs[i] if i < len(self.inputs) else None

    def set_input(self, i, value):
        self.inputs.extend([None] * (i + 1 - len(self.inputs)))
        self.inputs[i] = value

    def __repr__(self):
        return f"<{self.name} of {self.layer}>" if self.layer else f"<{self.name}>"


def accepts(name, inputs, attributes):
    """Does the engine's own rule let an operation have these inputs (Value or None) and attributes?"""
    definition = _core.OPERATIONS[name]
    tensors = [None if value is None else (value.dtype, value.shape) for value in inputs]
    try:
        _core.infer(definition, tensors, definition.values(attributes), 1)
    except ValueError:
        return False
    return True


def is_pointwise(convolution):
    """Is it a 1x1 convolution that reads every pixel once, or one of its gradients?"""
    ones = ("kernel_h", "kernel_w", "stride_h", "stride_w", "groups")
    return all(convolution.attribute(name) == 1 for name in ones) and not any(
        convolution.attribute(f"pad_{side}") for side in ("top", "left", "bottom", "right")
    )


def is_batch_statistic(x, mean):
    """Was `mean` computed from x itself (training), so that it is no constant in the gradient?"""
    producer = mean.producer
    if producer is None:
        return False
    return (producer.name == "batchnorm_moments" and producer.inputs[0] is x) or (
        producer.name in ("conv2d", "depthwise_conv2d") and producer.outputs[0] is x
    )


class Graph:
    """Operations in an order in which they can run, and the values that must be there at the end.

    Attributes
    ----------
    operations : list of Operation
    results : list of Value
        Temporary values that the caller reads after a run; everything in a storage is a result as well.
    """

    def __init__(self):
        self.operations = []
        self.results = []

    def add(self, name, inputs, outputs=1, layer=None, section=COMPUTE, **attributes):
        """Append an operation; returns its output Value, or a list of them when `outputs` is a tuple of bools.

        Parameters
        ----------
        name : str
            Of a row in the table of operations.
        inputs : list of Value or None
        outputs : int or tuple of bool
            How many outputs there are, all wanted; or which of them are wanted.
        layer : str
            Name of the layer it belongs to, for errors and for describe().

        Raises
        ------
        ValueError
            With the layer's name, where shapes or attributes break the operation's rules.
        """
        definition = _core.OPERATIONS[name]
        wanted = (True,) * outputs if isinstance(outputs, int) else outputs
        try:
            inferred = _core.infer(
                definition,
                [None if v is None else (v.dtype, v.shape) for v in inputs],
                definition.values(attributes),
                len(wanted),
            )
        except (ValueError, OverflowError) as error:
            raise ValueError(f'layer "{layer}": {error}' if layer else str(error)) from None
        operation = Operation(definition, list(inputs), [], attributes, layer, section)
        for want, tensor in zip(wanted, inferred):
            operation.outputs.append(Value(*tensor, producer=operation) if want and tensor else None)
        self.operations.append(operation)
        return operation.outputs[0] if isinstance(outputs, int) and outputs == 1 else operation.outputs

    def reshape(self, value, shape, layer=None):
        """Append what gives the value's memory another shape; returns its output Value."""
        return self.add("reshape", [value], layer=layer, rank=len(shape), **{f"d{i}": d for i, d in enumerate(shape)})

    def update(self, name, inputs, layer=None, **attributes):
        """Append an operation that changes some of its inputs, at the end of the step. They become its outputs as
        well.
        """
        definition = _core.OPERATIONS[name]
        names = [n.strip("[]") for n in definition.inputs]
        outputs = []
        for output in definition.outputs:
            position = names.index(output.strip("[]"))
            outputs.append(inputs[position] if position < len(inputs) else None)
        while outputs and outputs[-1] is None:
            outputs.pop()
        self.operations.append(Operation(definition, list(inputs), outputs, attributes, layer, UPDATE))

    def uses(self):
        """Value -> list of the operations that read it."""
        table = {}
        for operation in self.operations:
            for value in operation.inputs:
                if value is not None:
                    table.setdefault(value, []).append(operation)
        return table

    def keeps(self, value):
        """Must the value be there after the run, whoever reads it within?"""
        return value.storage is not None or value in self.results

    def replace(self, old, new):
        """Let everybody who read `old` read `new`."""
        for operation in self.operations:
            if old in operation.inputs:
                operation.inputs = [new if value is old else value for value in operation.inputs]
        self.results = [new if value is old else value for value in self.results]
