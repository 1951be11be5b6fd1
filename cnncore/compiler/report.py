"""What models tell about themselves: summary(), describe(), profile(), memory()."""

import numpy as np

from .. import _core
from ..batches import check_inputs, engine_array
from ..graph import flatten
from ..losses import SparseCategoricalCrossentropy

_SECTIONS = {
    _core.PREPARE: "prepare (once after the weights have changed)",
    _core.COMPUTE: "compute",
    _core.UPDATE: "update",
}


# Passes over memory that do little to each element; normalisation takes part of its gradient with it where it can.
_ELEMENTWISE = {"activation", "activation_backward", "add", "affine", "batchnorm", "batchnorm_backward"}


def si(value, unit=""):
    """1234567 -> "1.23 M"."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def _table(rows, header, right):
    """Lines of a table; `right` are the columns that are aligned to the right."""
    cells = [header, *rows]
    widths = [max(len(str(row[i])) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        lines.append(
            "  ".join(
                str(c).rjust(w) if i in right else str(c).ljust(w) for i, (c, w) in enumerate(zip(row, widths))
            ).rstrip()
        )
    lines.insert(1, "  ".join("-" * w for w in widths))
    return lines


def _shape(shape):
    return "x".join(map(str, shape))


def _operation_name(operation):
    """The operation with what was fused into it: "conv2d + bias + residual + relu"."""
    parts = [operation["op"]]
    inputs, outputs = _core.OPERATIONS[operation["op"]].inputs, _core.OPERATIONS[operation["op"]].outputs
    for name, tensor in zip(inputs, operation["inputs"]):
        if name in ("[bias]", "[residual]") and tensor >= 0:
            parts.append(name.strip("[]"))
    more = any(tensor >= 0 for tensor in operation["outputs"][1:])
    backward = operation["op"].endswith(("_backward", "_backward_input", "pool2d_backward_weight"))
    if operation["op"].endswith("conv2d") and more:
        parts.append("moments")
    if "activation" in operation["attributes"] and operation["op"] not in ("activation", "activation_backward"):
        kind = int(operation["attributes"]["activation"])
        if kind:
            from .. import activations

            name = next(a.name for a in (activations.relu, *activations._by_name.values()) if a.kind == kind)
            parts.append(f"{name} mask" if backward else name)
    if any(name == "[sum_g]" and tensor >= 0 for name, tensor in zip(outputs, operation["outputs"])):
        parts.append("sums")
    return " + ".join(parts)


def describe(model, executable, n):
    """The text of Model.describe for n samples."""
    rows, totals = [], {"flops": 0, "bytes": 0, "workspace": 0, "packed": 0}
    section = None
    for operation, layer in zip(executable.operations, executable.layers):
        if operation["section"] != section:
            section = operation["section"]
            rows.append(("", f"[{_SECTIONS[section]}]", "", "", "", "", "", ""))
        outputs = [executable.tensor(t) for t in operation["outputs"] if t >= 0]
        inputs = [executable.tensor(t) for t in operation["inputs"] if t >= 0]
        shapes = (_shape(inputs[0][2]) if inputs else "") + " -> " + ", ".join(_shape(o[2]) for o in outputs[:1])
        rows.append(
            (
                len(rows),
                _operation_name(operation),
                layer,
                shapes,
                si(operation["flops"]),
                si(operation["bytes"], "B"),
                operation["kernel"],
                si(operation["packed_bytes"], "B") if operation["packed_bytes"] else "",
            )
        )
        for key, name in (
            ("flops", "flops"),
            ("bytes", "bytes"),
            ("workspace", "workspace_bytes"),
            ("packed", "packed_bytes"),
        ):
            totals[key] += operation[name]
    numbered, count = [], 0
    for row in rows:
        if row[0] != "":
            row = (count, *row[1:])
            count += 1
        numbered.append(row)
    lines = _table(
        numbered, ("#", "operation", "layer", "shapes", "FLOP", "moves", "kernel", "packed"), right={0, 4, 5, 7}
    )
    unfused = sum(operation["op"] in _ELEMENTWISE for operation in executable.operations)
    lines += [
        "",
        f"{count} operations, {si(totals['flops'], 'FLOP')}, {si(totals['bytes'], 'B')} moved; {unfused} "
        "elementwise passes left over",
        f"memory planned: {si(executable.arena_bytes(), 'B')} arena ({_core.get_threads()} threads), "
        f"{si(executable.prepared_bytes, 'B')} packed and folded weights; instruction set {_core.get_isa()}",
    ]
    if executable.samples < n:
        lines.append(f"runs {n // executable.samples} times for {n} samples, {executable.samples} at a time")
    return "\n".join([f'model "{model.name}"', *lines])


def _random_targets(model, n, generator):
    """Targets of each loss, as the engine takes them: labels, or one-hot."""
    targets = []
    for plan in model.compiled_losses:
        shape = model.outputs[plan.output].shape[1:]
        labels = generator.integers(0, shape[-1], (n, *shape[:-1]))
        sparse = isinstance(plan.loss, SparseCategoricalCrossentropy)
        targets.append(labels.astype(np.int32) if sparse else np.eye(shape[-1], dtype=np.float32)[labels])
    return targets


def profile(model, x, y, batch_size, training, repeats, threads):
    """The text of Model.profile."""
    generator = np.random.default_rng(0)
    if x is None:
        arrays = [
            (generator.random((batch_size, *t.shape[1:])) * (255 if t.dtype == "uint8" else 1)).astype(t.dtype)
            for t in model.inputs
        ]
    else:
        arrays = [engine_array(a) for a in check_inputs(model, x)]
    executable = model._program_for(len(arrays[0]), training, [a.dtype.name for a in arrays])
    n = executable.samples
    if training:
        arrays += (
            [t.converted for t in model._convert_targets(y)] if y is not None else _random_targets(model, n, generator)
        )
    executable.bind_arrays(arrays, [np.empty((n, *tensor.shape[1:]), np.float32) for tensor in model.outputs])
    sections = _core.PREPARE | _core.COMPUTE  # without the update: the weights stay as they are
    executable.run(threads, sections)
    best = None
    for _ in range(repeats):
        seconds = np.zeros(len(executable.operations) + 1)
        executable.run(threads, sections, seconds=seconds)
        best = seconds if best is None else np.minimum(best, seconds)
    peak = _core.measure_peak() * (threads or _core.get_threads())
    rows = []
    for operation, layer, s in zip(executable.operations, executable.layers, best):
        if s > 0:
            rows.append(
                (
                    s,
                    (
                        _operation_name(operation),
                        layer,
                        f"{s * 1e3:.3f}",
                        f"{100 * s / best.sum():.1f} %",
                        si(operation["flops"] / s, "FLOP/s"),
                        f"{100 * operation['flops'] / s / peak:.0f} %",
                        si(operation["bytes"] / s, "B/s"),
                        operation["kernel"],
                    ),
                )
            )
    if best[-1] > 0:
        rows.append(
            (
                best[-1],
                (
                    "packing of weights",
                    "",
                    f"{best[-1] * 1e3:.3f}",
                    f"{100 * best[-1] / best.sum():.1f} %",
                    "",
                    "",
                    "",
                    "",
                ),
            )
        )
    rows.sort(key=lambda row: -row[0])
    lines = _table(
        [row for _, row in rows],
        ("operation", "layer", "ms", "share", "rate", "of peak", "moves", "kernel"),
        right={2, 3, 4, 5, 6},
    )
    flops = sum(o["flops"] for o in executable.operations)
    lines += [
        "",
        f"total {best.sum() * 1e3:.3f} ms for {n} samples with {threads or _core.get_threads()} threads: "
        f"{si(flops / best.sum(), 'FLOP/s')}, "
        f"{100 * flops / best.sum() / peak:.0f} % of the measured peak {si(peak, 'FLOP/s')}",
    ]
    return "\n".join([f'model "{model.name}"', *lines])


def memory(model, executable, training, threads):
    """The dictionary of Model.memory."""
    store = model._store()
    result = {
        "parameters": store.parameters.nbytes,
        "state": store.state.nbytes,
        "gradients": executable.bound_bytes("gradients"),
        "optimizer": store.parameters.nbytes * len(model.optimizer.slots) if training else 0,
        "arena": executable.arena_bytes(threads),
        "packed_weights": executable.prepared_bytes,
    }
    result["total"] = sum(result.values())
    return result


def summary(model, line_length, print_fn, expand_nested, show_trainable):
    """The table of Model.summary."""
    model._require_built()
    rows = []

    def add(container, depth):
        connections = {}
        for call in container.calls:
            connections.setdefault(call.layer, []).extend(t.name for t in call.inputs)
        layers = container.layers
        if container.inputs and container.inputs[0].call.layer not in layers:  # Sequential hides its input layer
            layers = [container.inputs[0].call.layer, *layers]
        for layer in layers:
            shapes = ", ".join(str(t.shape) for t in flatten(layer.output))
            row = [
                "  " * depth + f"{layer.name} ({type(layer).__name__})",
                shapes,
                f"{layer.count_params():,}",
                ", ".join(connections.get(layer, ())),
            ]
            rows.append(tuple(row + (["yes" if layer.trainable else "no"] if show_trainable else [])))
            if expand_nested and hasattr(layer, "layers"):
                add(layer, depth + 1)

    add(model, 0)
    header = ("layer (type)", "output shape", "weights", "connected to") + (("trainable",) if show_trainable else ())
    lines = _table(rows, header, right={2})
    count = lambda variables: sum(v.data.size for v in variables)
    total, trainable = count(model.variables), count(model.trainable_variables)
    lines = [
        f'Model: "{model.name}"',
        *lines,
        "",
        f"Weights: {total:,} ({si(total * 4, 'B')})",
        f"Trainable: {trainable:,}",
        f"Not trainable: {total - trainable:,}",
    ]
    for line in lines:
        print_fn(line if line_length is None else line[:line_length])
