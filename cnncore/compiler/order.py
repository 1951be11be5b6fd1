"""The order of operations: only what is needed, every value before its readers, and values that are large made as late
as possible.
"""

from .ir import UPDATE


def order(graph):
    """Drop operations whose results nobody needs and sort the rest: section by section, producers first, otherwise as
    they were.
    """
    needed, stack = set(), [value.producer for value in graph.results]
    stack += [
        operation
        for operation in graph.operations
        if operation.section == UPDATE
        or any(value is not None and value.storage is not None for value in operation.outputs)
    ]
    while stack:
        operation = stack.pop()
        if operation is None or operation in needed:
            continue
        needed.add(operation)
        stack += [value.producer for value in operation.inputs if value is not None]

    result, done = [], set()
    for root in sorted(
        (op for op in graph.operations if op in needed), key=lambda op: op.section
    ):  # the sort is stable
        stack = [root]
        while stack:
            operation = stack[-1]
            if operation in done:
                stack.pop()
                continue
            waiting = (
                []
                if operation.section == UPDATE
                else [
                    value.producer
                    for value in operation.inputs
                    if value is not None and value.producer is not None and value.producer not in done
                ]
            )
            if waiting:
                stack += reversed(waiting)
            else:
                done.add(operation)
                result.append(stack.pop())
    graph.operations = result


def shorten_lives(graph):
    """Move an operation down to its first reader where that keeps less memory alive: its results are larger than what
    its inputs hold until then.
    """
    operations = graph.operations
    position = {operation: i for i, operation in enumerate(operations)}
    first_reader, last_reader = {}, {}
    for i, operation in enumerate(operations):
        for value in operation.inputs:
            if value is not None:
                first_reader.setdefault(value, i)
                last_reader[value] = i
    target = {}
    for operation in operations:
        if operation.section == UPDATE or any(
            value is None or value.storage is not None for value in operation.outputs
        ):
            continue
        here = position[operation]
        later = min((first_reader.get(value, here) for value in operation.outputs), default=here)
        if later <= here + 1 or operations[later].section != operation.section:
            continue
        made = sum(value.bytes for value in operation.outputs)
        held = sum(
            value.bytes
            for value in operation.inputs
            if value is not None and value.storage is None and last_reader[value] < later
        )
        if held < made:
            target.setdefault(operations[later], []).append(operation)
    if not target:
        return
    moved = {operation for group in target.values() for operation in group}
    result = []

    def place(operation):
        for earlier in target.get(operation, ()):
            place(earlier)
        result.append(operation)

    for operation in operations:
        if operation not in moved:
            place(operation)
    graph.operations = result
