"""Convolution and dense layers, pass by pass: the share of the multiply-add peak measured in the same run, by the
direct kernel and by the one that the engine chooses.

The layers are the convolutions of the compared networks, each shape once, at the networks' batch sizes for training
(for inference where they are not trained), and a list of shapes that are known to be hard. The results of each layer
are checked before they are timed: sampled outputs against NumPy in float64, and the two gradients by the identities
<y, g> = <x, backward_input(g)> = <w, backward_weight(x, g)>, y = conv(x, w). Operations are counted as those of direct
convolution, so Winograd's algorithm can pass the peak.
"""

import json
import re
from dataclasses import dataclass

import numpy as np

from . import networks, timing

PASSES = ("forward", "backward_input", "backward_weight")
LIST = "list"  # what --network calls the layers of LISTED


@dataclass(frozen=True)
class Layer:
    """A layer without its weights.

    Attributes
    ----------
    kind : {"conv2d", "depthwise_conv2d", "dense"}
    x, kernel : tuple of int
        Shapes: (batch, height, width, channels) and (rows, columns, inputs, outputs) or, depthwise, (rows, columns,
        channels, multiplier); (batch, inputs) and (inputs, outputs) of a dense layer.
    stride : int
    pads : tuple of int
        Top, left, bottom and right.
    groups, dilation : int
    first : bool
        It reads the images of the network, whose gradient nobody needs.
    """

    kind: str
    x: tuple
    kernel: tuple
    stride: int = 1
    pads: tuple = (0, 0, 0, 0)
    groups: int = 1
    first: bool = False
    dilation: int = 1

    @property
    def name(self):
        channels = f"{self.x[-1]} to {self.outputs}"
        batch = f", batch {self.x[0]}"
        if self.kind == "dense":
            return f"dense {channels}{batch}"
        size, window = (f"{a}x{b}" for a, b in (self.x[1:3], self.kernel[:2]))
        stride = f" stride {self.stride}" if self.stride > 1 else ""
        dilation = f" dilation {self.dilation}" if self.dilation > 1 else ""
        groups = f", {self.groups} groups" if self.groups > 1 else ""
        kind = "depthwise " if self.kind == "depthwise_conv2d" else ""
        return f"{size}, {channels}, {kind}{window}{stride}{dilation}{groups}{batch}"

    @property
    def outputs(self):
        """Number of output channels."""
        return self.kernel[-1] * (self.x[-1] if self.kind == "depthwise_conv2d" else 1)

    @property
    def y(self):
        """Shape of the result."""
        if self.kind == "dense":
            return self.x[0], self.outputs
        reach = [(taps - 1) * self.dilation for taps in self.kernel]
        size = ((self.x[1 + i] + self.pads[i] + self.pads[2 + i] - reach[i] - 1) // self.stride + 1 for i in (0, 1))
        return self.x[0], *size, self.outputs

    @property
    def attributes(self):
        """Of the engine's operation, forward."""
        if self.kind == "dense":
            return {}
        found = {f"pad_{side}": pad for side, pad in zip(("top", "left", "bottom", "right"), self.pads)}
        for i, side in enumerate("hw"):
            found |= {f"kernel_{side}": self.kernel[i], f"stride_{side}": self.stride}
            found[f"dilation_{side}"] = self.dilation
        return found | ({"groups": self.groups} if self.kind == "conv2d" else {})

    @property
    def passes(self):
        return tuple(which for which in PASSES if which != "backward_input" or not self.first)

    @property
    def flops(self):
        """Of each pass, by the direct algorithm."""
        return networks.products(self.kind, self.kernel, self.y)


def convolution(batch, size, channels, filters, kernel, stride=1, dilation=1):
    """A layer with Keras' "same" padding; fewer than four channels are those of images."""
    pad = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return Layer(
        "conv2d",
        (batch, size, size, channels),
        (kernel, kernel, channels, filters),
        stride,
        (pad // 2, pad // 2, pad - pad // 2, pad - pad // 2),
        first=channels < 4,
        dilation=dilation,
    )


LISTED = (
    convolution(1, 56, 64, 64, 3),
    convolution(1, 28, 128, 128, 3),
    convolution(16, 14, 256, 256, 3),
    convolution(16, 7, 512, 512, 3),
    convolution(1, 224, 64, 64, 3),
    convolution(64, 32, 64, 64, 3),
    convolution(64, 16, 128, 128, 3),
    convolution(64, 8, 256, 256, 3),
    convolution(64, 4, 512, 512, 3),
    convolution(1, 56, 64, 256, 1),
    convolution(1, 56, 256, 64, 1),
    convolution(1, 14, 1024, 256, 1),
    convolution(16, 14, 1024, 256, 1),
    convolution(1, 224, 3, 64, 7, 2),
    convolution(64, 32, 3, 64, 3),
    convolution(64, 28, 1, 32, 3),
    convolution(1, 56, 128, 128, 3, 2),
    convolution(64, 32, 16, 16, 3),
    convolution(64, 16, 32, 32, 3),
    convolution(1, 7, 512, 512, 3),
    convolution(16, 28, 32, 96, 5),
    convolution(16, 14, 64, 128, 5),
    convolution(16, 64, 64, 64, 3, dilation=2),
    convolution(4, 33, 256, 256, 3, dilation=6),
    Layer("dense", (64, 4096), (4096, 1000)),
    Layer("dense", (1, 4096), (4096, 1000)),
)


def of_network(network, batch):
    """The convolutions of a network, each shape once."""
    operations, images, _, _ = networks.lowered(networks.build(network), batch)
    found = []
    for operation in operations:
        if operation.name in ("conv2d", "depthwise_conv2d"):
            groups = operation.attribute("groups") if operation.name == "conv2d" else 1
            x, kernel = operation.inputs[:2]
            pads = tuple(int(operation.attribute(f"pad_{side}")) for side in ("top", "left", "bottom", "right"))
            found.append(
                Layer(
                    operation.name,
                    x.shape,
                    kernel.shape,
                    int(operation.attribute("stride_h")),
                    pads,
                    int(groups),
                    first=x is images,
                    dilation=int(operation.attribute("dilation_h")),
                )
            )
    return list(dict.fromkeys(found))


def chosen(args):
    """The layers that are asked for, each once."""
    names = args.network or [LIST, *networks.NETWORKS]
    known = [LIST, *networks.NETWORKS]
    found = []
    for name in names:
        if name not in known:
            raise SystemExit(f"layers: --network must be one of {', '.join(known)}, got {name!r}")
        if name == LIST:
            found += LISTED
        else:
            network = networks.NETWORKS[name]
            found += of_network(network, args.batch or (network.training or network.inference)[-1])
    return [layer for layer in dict.fromkeys(found) if re.search(args.filter, layer.name)]


def add_arguments(parser):
    parser.add_argument(
        "--network",
        nargs="+",
        metavar="NAME",
        default=[],
        help=f"layers of these: {LIST}, {', '.join(networks.NETWORKS)} (default: all)",
    )
    parser.add_argument("--batch", type=int, help="of the networks' layers (default: that of their training)")
    parser.add_argument("--filter", default="", help="regular expression: only layers whose name has a match")
    parser.add_argument("--passes", nargs="+", choices=PASSES, default=PASSES, help="default: all")
    parser.add_argument("--isa", help="instruction set (default: the best of this processor)")
    parser.add_argument("--seconds", type=float, default=0.2, help="time for each figure (default 0.2)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file as well")


class Operation:
    """One operation of the engine as a program, on arrays of its own.

    Parameters
    ----------
    name : str
    inputs : list of ndarray
    attributes : dict
    isa : str
    exact : bool
        By the direct kernel, whatever is faster.
    """

    def __init__(self, name, inputs, attributes, isa, exact):
        from cnncore import _core

        operation = _core.OPERATIONS[name]
        values = operation.values(attributes)
        dtype, shape = _core.infer(operation, [(x.dtype.name, x.shape) for x in inputs], values, 1)[0]
        self.result = _core.aligned_zeros(shape, dtype)
        self.program, self.arrays = _core.Program(), [*inputs, self.result]
        numbers = [self.program.tensor(_core.FIRST_FREE + i, a.dtype.name, a.shape) for i, a in enumerate(self.arrays)]
        self.program.bind(_core.FIRST_FREE, self.arrays)
        self.program.op(operation, _core.COMPUTE, numbers[:-1], values, numbers[-1:])
        self.program.plan(_core.isa_number(isa), exact=exact)
        self.kernel = self.program.operations()[0]["kernel"]
        self.seconds = np.zeros(2)

    def prepare(self, threads):
        """Take memory and pack the weights; returns the result of a first run."""
        from cnncore import _core

        self.threads, self.arena = threads, self.program.allocate(threads)
        self.program.run(self.arena, threads, _core.PREPARE | _core.COMPUTE)
        return self.result

    def time(self):
        """Seconds of one run, as the engine's own clock tells them."""
        from cnncore import _core

        self.seconds[:] = 0
        self.program.run(self.arena, self.threads, _core.COMPUTE, seconds=self.seconds)
        return self.seconds[0]


def operands(layer):
    """(x, w, gradient of y) of a layer, at random."""
    from cnncore import _core

    rng = np.random.default_rng(0)

    def normal(shape, scale=1.0):
        array = _core.aligned_zeros(shape)
        array[...] = scale * rng.standard_normal(shape, np.float32)
        return array

    return normal(layer.x), normal(layer.kernel, (layer.flops / 2 / np.prod(layer.y)) ** -0.5), normal(layer.y)


def operations(layer, x, w, grad_y, isa, exact):
    """{pass: Operation} of a layer."""
    back = {} if layer.kind == "dense" else {"in_h": layer.x[1], "in_w": layer.x[2]}
    multiplier = {"multiplier": layer.kernel[3]} if layer.kind == "depthwise_conv2d" else {}
    made = {
        "forward": ("", [x, w], {}),
        "backward_input": ("_backward_input", [grad_y, w], back),
        "backward_weight": ("_backward_weight", [x, grad_y], multiplier),
    }
    return {
        which: Operation(layer.kind + suffix, inputs, layer.attributes | more, isa, exact)
        for which, (suffix, inputs, more) in made.items()
        if which in layer.passes
    }


def check(layer, passes, threads):
    """Raise AssertionError unless all results are right."""
    x, w, y = passes["forward"].arrays
    grad_y = passes["backward_weight"].arrays[1]
    for operation in passes.values():
        operation.prepare(threads)
    rng = np.random.default_rng(1)
    for _ in range(50):
        at = tuple(int(rng.integers(size)) for size in layer.y)
        products = terms(layer, x, w, at)
        limit = 2.0**-24 * (len(products) + 8) * np.abs(products).sum()
        assert abs(y[at] - products.sum()) <= limit, f"{layer.name}: forward is wrong at {at}"
    whole = np.vdot(y.astype(np.float64), grad_y)
    scale = np.linalg.norm(y.astype(np.float64)) * np.linalg.norm(grad_y.astype(np.float64))
    for which, operand in (("backward_input", x), ("backward_weight", w)):
        if which in passes:
            other = np.vdot(passes[which].result.astype(np.float64), operand)
            assert abs(other - whole) <= 1e-5 * scale, (
                f"{layer.name}: {which} is not the adjoint of forward: {other} and {whole}"
            )


def terms(layer, x, w, at):
    """The products whose sum is one element of the result, in float64."""
    if layer.kind == "dense":
        return x[at[0]].astype(np.float64) * w[:, at[1]]
    n, p, q, o = at
    if layer.kind == "depthwise_conv2d":
        inputs, column = slice(o // w.shape[3], o // w.shape[3] + 1), w[:, :, o // w.shape[3], o % w.shape[3], None]
    else:
        group = o // (w.shape[3] // layer.groups)
        inputs, column = slice(group * w.shape[2], (group + 1) * w.shape[2]), w[..., o]
    found = [
        x[n, h, v, inputs].astype(np.float64) * column[i, j]
        for i in range(w.shape[0])
        for j in range(w.shape[1])
        for h in [p * layer.stride - layer.pads[0] + i * layer.dilation]
        for v in [q * layer.stride - layer.pads[1] + j * layer.dilation]
        if 0 <= h < x.shape[1] and 0 <= v < x.shape[2]
    ]
    return np.concatenate(found)


def measure(operation, threads, seconds, peak):
    """The least time of many runs, and the best peak measured around them."""
    best, spent, rates = operation.time(), 0.0, [peak()]
    while spent < seconds:
        elapsed = operation.time()
        best, spent = min(best, elapsed), spent + elapsed
    return best, max([*rates, peak()])


def run(args):
    from cnncore import _core

    isa = args.isa or _core.get_isa()
    _core.isa_number(isa)
    print(timing.environment(args.threads, ("cnncore", "numpy")), f"\nisa       {isa}\n", sep="")
    print(
        "| layer | pass | direct, ms | of the peak | chosen | ms | GF/s | of the peak |\n"
        "| --- | --- | ---: | ---: | --- | ---: | ---: | ---: |"
    )
    rows = []
    for layer in chosen(args):
        arrays = operands(layer)
        direct, best = (operations(layer, *arrays, isa, exact) for exact in (True, False))
        for passes in (direct, best):
            check(layer, passes, args.threads)
        for which in layer.passes:
            if which not in args.passes:
                continue
            row = {"layer": layer.name, "pass": which, "isa": isa, "threads": args.threads, "flops": layer.flops}
            same = direct[which].kernel == best[which].kernel
            for name, passes in (("direct", direct),) if same else (("direct", direct), ("chosen", best)):
                seconds, peak = measure(
                    passes[which], args.threads, args.seconds, lambda: timing.peak(isa, args.threads)
                )
                row[name] = {
                    "kernel": passes[which].kernel,
                    "seconds": seconds,
                    "peak_flops_per_second": peak,
                    "share_of_peak": layer.flops / seconds / peak,
                }
            row.setdefault("chosen", row["direct"])
            rows.append(row)
            one, two = row["direct"], row["chosen"]
            cells = (
                layer.name,
                which,
                f"{1e3 * one['seconds']:.3f}",
                f"{one['share_of_peak']:.0%}",
                two["kernel"],
                f"{1e3 * two['seconds']:.3f}",
                f"{layer.flops / two['seconds'] / 1e9:.0f}",
                f"{two['share_of_peak']:.0%}",
            )
            print(f"| {' | '.join(cells)} |", flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    return 0
