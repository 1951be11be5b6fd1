"""Reverse-mode differentiation: a pass that appends the gradient operations of a scalar to the graph.

Every operation has one rule in `gradients.RULES`. The pass walks the operations backwards and calls the rules of those
that lie between the wanted values and the scalar; nothing is computed for the rest, so a frozen layer, or the first
layer's input, costs nothing.
"""

from .gradients import RULES


def differentiate(graph, scalar, wanted):
    """Append the operations that compute d scalar / d value for every value in `wanted`.

    Parameters
    ----------
    graph : Graph
    scalar : Value
        Of shape (1,).
    wanted : iterable of Value

    Returns
    -------
    dict
        wanted value -> Value of its gradient; a value on which the scalar does not depend is missing.
    """
    wanted = set(wanted)
    active = set(wanted)  # values that depend on a wanted one
    forward = list(graph.operations)
    for operation in forward:
        if any(value in active for value in operation.inputs):
            active.update(value for value in operation.outputs if value is not None)
    if scalar not in active:
        return {}
    partial = {scalar: [graph.add("fill", [], rank=1, d0=1, value=1.0)]}  # value -> the summands of its gradient

    def gradient(value):
        """The sum of what has arrived for a value, or None."""
        summands = partial.get(value)
        if not summands:
            return None
        while len(summands) > 1:
            first, second = summands.pop(0), summands.pop(0)
            layer = second.producer.layer if second.producer else None
            summands.insert(0, graph.add("add", [first, second], layer=layer))
        return summands[0]

    for operation in reversed(forward):
        needed = [value in active for value in operation.inputs]
        if not any(needed) or not any(value in partial for value in operation.outputs if value is not None):
            continue
        rule = RULES.get(operation.name)
        if rule is None:
            raise NotImplementedError(
                f'layer "{operation.layer}": {operation.name} has no gradient rule; add one to compiler/gradients.py'
            )
        grads = [gradient(value) if value is not None else None for value in operation.outputs]
        for value, need, grad in zip(operation.inputs, needed, rule(graph, operation, grads, needed)):
            if need and grad is not None:
                partial.setdefault(value, []).append(grad)
    return {value: gradient(value) for value in wanted if value in partial}
