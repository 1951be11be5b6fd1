"""Training: batch moments of a concatenation, which are those of its parts.

Where each layer reads what all layers before it have given, as in dense blocks (Huang et al. 2017, arXiv:1608.06993),
the same channels are normalised again and again, each time with moments of their own pass over memory. But the moments
of a channel do not depend on what lies beside it: those of a part that is normalised elsewhere are known, and those of
a convolution's result are taken in its epilogue.
"""

from .. import _core
from .fuse import may_take_moments
from .ir import Operation, Value

MOMENTS = ("conv2d", "depthwise_conv2d")  # operations that can give them after y


def moments_of_concatenations(graph):
    """Replace them where some part's are known or taken on the way, after differentiation."""
    known = {}  # value -> its mean and variance
    for operation in graph.operations:
        if operation.name == "batchnorm_moments":
            known[operation.inputs[0]] = tuple(operation.outputs)
        elif operation.name in MOMENTS and len(operation.outputs) == 3:
            known[operation.outputs[0]] = tuple(operation.outputs[1:])
    for moments in list(graph.operations):
        if moments.name == "batchnorm_moments":
            _replace(graph, moments, known)


def _replace(graph, moments, known):
    x = moments.inputs[0]
    parts = _parts(x)
    if len(parts) == 1 or not any(_is_known(part, known) for part in parts):
        return
    at = graph.operations.index(moments)
    new = []
    for part in parts:
        if part in known:
            continue
        known[part] = tuple(Value("float32", part.shape[-1:]) for _ in range(2))
        if may_take_moments(part.producer):
            part.producer.outputs += known[part]
            _set_producer(part.producer, known[part])
        else:
            new.append(_operation("batchnorm_moments", [part], known[part], moments))
    for k, value in enumerate(moments.outputs):
        if value is not None:
            new.append(_operation("concat", [known[part][k] for part in parts], [value], moments))
    graph.operations[at : at + 1] = new


def _parts(x):
    """What x is a concatenation of along its channels, and what those are, down to what is none; x itself if it is
    none."""
    concat = x.producer
    if concat is None or concat.name != "concat" or concat.attribute("axis") != len(x.shape) - 1:
        return [x]
    return [part for value in concat.inputs for part in _parts(value)]


def _is_known(part, known):
    return part in known or may_take_moments(part.producer)


def _operation(name, inputs, outputs, instead_of):
    made = Operation(_core.OPERATIONS[name], list(inputs), list(outputs), {}, instead_of.layer, instead_of.section)
    _set_producer(made, outputs)
    return made


def _set_producer(operation, values):
    for value in values:
        value.producer = operation
