"""Convolution and dense layers, pass by pass: GF/s and the share of the multiply-add peak measured in the same run.

The results of each layer are checked before they are timed: sampled outputs against NumPy in float64, and the two
gradients by the identities <y, g> = <x, backward_input(g)> = <w, backward_weight(x, g)>, y = conv(x, w).
"""

import json
import re

import numpy as np

from . import timing

# name, batch, input h = w, input channels, output channels, kernel, stride
LAYERS = (
    ("56x56, 64 to 64, 3x3", 1, 56, 64, 64, 3, 1),
    ("28x28, 128, 3x3", 1, 28, 128, 128, 3, 1),
    ("14x14, 256, 3x3, batch 16", 16, 14, 256, 256, 3, 1),
    ("7x7, 512, 3x3, batch 16", 16, 7, 512, 512, 3, 1),
    ("224x224, 64, 3x3", 1, 224, 64, 64, 3, 1),
    ("32x32, 64, 3x3, batch 64", 64, 32, 64, 64, 3, 1),
    ("16x16, 128, 3x3, batch 64", 64, 16, 128, 128, 3, 1),
    ("8x8, 256, 3x3, batch 64", 64, 8, 256, 256, 3, 1),
    ("4x4, 512, 3x3, batch 64", 64, 4, 512, 512, 3, 1),
    ("56x56, 64 to 256, 1x1", 1, 56, 64, 256, 1, 1),
    ("56x56, 256 to 64, 1x1", 1, 56, 256, 64, 1, 1),
    ("14x14, 1024 to 256, 1x1", 1, 14, 1024, 256, 1, 1),
    ("14x14, 1024 to 256, 1x1, batch 16", 16, 14, 1024, 256, 1, 1),
    ("7x7 stride 2, 3 to 64", 1, 224, 3, 64, 7, 2),
    ("32x32, 3 to 64, 3x3, batch 64", 64, 32, 3, 64, 3, 1),
    ("28x28, 1 to 32, 3x3, batch 64", 64, 28, 1, 32, 3, 1),
    ("3x3 stride 2, 128", 1, 56, 128, 128, 3, 2),
    ("32x32, 16, 3x3, batch 64", 64, 32, 16, 16, 3, 1),
    ("16x16, 32, 3x3, batch 64", 64, 16, 32, 32, 3, 1),
    ("7x7, 512, 3x3", 1, 7, 512, 512, 3, 1),
    ("dense 4096 to 1000, batch 64", 64, 1, 4096, 1000, 1, 1),
    ("dense 4096 to 1000", 1, 1, 4096, 1000, 1, 1),
)
PASSES = ("forward", "backward_input", "backward_weight")


def add_arguments(parser):
    parser.add_argument("--filter", default="", help="regular expression: only layers whose name has a match")
    parser.add_argument("--passes", nargs="+", choices=PASSES, default=PASSES, help="default: all")
    parser.add_argument("--isa", help="instruction set (default: the best of this processor)")
    parser.add_argument("--seconds", type=float, default=0.3, help="time for each figure (default 0.3)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file as well")


class Operation:
    """One operation of the engine as a program, on arrays of its own.

    Parameters
    ----------
    name : str
    inputs : list of ndarray
    attributes : dict
    isa : str
    """

    def __init__(self, name, inputs, attributes, isa):
        from cnncore import _core

        operation = _core.OPERATIONS[name]
        values = operation.values(attributes)
        dtype, shape = _core.infer(operation, [(x.dtype.name, x.shape) for x in inputs], values, 1)[0]
        self.result = _core.aligned_zeros(shape, dtype)
        self.program, self.bases = _core.Program(), np.zeros(_core.MAX_STORAGES, np.uint64)
        self.arrays = [*inputs, self.result]
        numbers = []
        for i, array in enumerate(self.arrays):
            numbers.append(self.program.tensor(_core.FIRST_FREE + i, array.dtype.name, array.shape))
            self.bases[_core.FIRST_FREE + i] = array.ctypes.data
        self.program.op(operation, _core.COMPUTE, numbers[:-1], values, numbers[-1:])
        self.program.plan(_core.isa_number(isa))
        self.info = self.program.operations()[0]
        self.seconds = np.zeros(2)

    def prepare(self, threads):
        """Take memory and pack the weights; returns the result of a first run."""
        from cnncore import _core

        self.threads = threads
        self.memory = [_core.Memory(max(64, n)) for n in (self.program.arena_bytes(threads), self.program.prepared_bytes)]
        self.bases[_core.ARENA], self.bases[_core.PREPARED] = (m.address for m in self.memory)
        self.program.run(self.bases, threads, _core.PREPARE | _core.COMPUTE)
        return self.result

    def time(self):
        """Seconds of one run, as the engine's own clock tells them."""
        from cnncore import _core

        self.seconds[:] = 0
        self.program.run(self.bases, self.threads, _core.COMPUTE, seconds=self.seconds)
        return self.seconds[0]


def geometry(size, kernel, stride):
    """Attributes of a convolution with Keras' "same" padding, and the output's height and width."""
    out = -(-size // stride)
    pad = max(0, (out - 1) * stride + kernel - size)
    names = {"kernel": kernel, "stride": stride}
    attributes = {f"{name}_{side}": value for name, value in names.items() for side in "hw"}
    attributes |= {"pad_top": pad // 2, "pad_left": pad // 2, "pad_bottom": pad - pad // 2, "pad_right": pad - pad // 2}
    return attributes, out


def operations(layer, isa):
    """{pass: Operation} of a layer, on random data."""
    from cnncore import _core

    _, batch, size, channels_in, channels_out, kernel, stride = layer
    rng = np.random.default_rng(0)

    def normal(*shape, scale=1.0):
        array = _core.aligned_zeros(shape)
        array[...] = scale * rng.standard_normal(shape, np.float32)
        return array

    scale = (kernel * kernel * channels_in) ** -0.5
    if size == 1:
        x, w, grad_y = normal(batch, channels_in), normal(channels_in, channels_out, scale=scale), normal(batch, channels_out)
        attributes, back, stem = {}, {}, "dense"
    else:
        attributes, out = geometry(size, kernel, stride)
        x, w = normal(batch, size, size, channels_in), normal(kernel, kernel, channels_in, channels_out, scale=scale)
        grad_y, back, stem = normal(batch, out, out, channels_out), {"in_h": size, "in_w": size}, "conv2d"
    return {
        "forward": Operation(stem, [x, w], attributes, isa),
        "backward_input": Operation(f"{stem}_backward_input", [grad_y, w], attributes | back, isa),
        "backward_weight": Operation(f"{stem}_backward_weight", [x, grad_y], attributes, isa),
    }


def check(layer, passes, threads):
    """Raise AssertionError unless all three results are right."""
    name, _, size, channels_in, _, kernel, stride = layer
    x, w, y = passes["forward"].arrays
    grad_y = passes["backward_input"].arrays[0]
    for operation in passes.values():
        operation.prepare(threads)
    rng = np.random.default_rng(1)
    terms = kernel * kernel * channels_in
    limit = 2.0**-24 * (terms + 8)  # of a sum of `terms` products, relative to the sum of their magnitudes
    pad = 0 if size == 1 else geometry(size, kernel, stride)[0]["pad_top"]
    x4, y4, w4 = (a.reshape(a.shape[0], 1, 1, -1) if size == 1 else a for a in (x, y, w))
    w4 = w.reshape(1, 1, *w.shape) if size == 1 else w
    for _ in range(50):
        n, p, q, o = (int(rng.integers(d)) for d in y4.shape)
        products = [x4[n, h, v].astype(np.float64) * w4[i, j, :, o]
                    for i in range(kernel) for j in range(kernel)
                    for h, v in [(p * stride - pad + i, q * stride - pad + j)] if 0 <= h < size and 0 <= v < size]
        expected, magnitude = np.sum(products), np.sum(np.abs(products))
        assert abs(y4[n, p, q, o] - expected) <= limit * magnitude, f"{name}: forward is wrong at {(n, p, q, o)}"
    whole = np.vdot(y.astype(np.float64), grad_y)
    scale = np.linalg.norm(y.astype(np.float64)) * np.linalg.norm(grad_y.astype(np.float64))
    for which, operand in (("backward_input", x), ("backward_weight", w)):
        other = np.vdot(passes[which].result.astype(np.float64), operand)
        assert abs(other - whole) <= 1e-5 * scale, f"{name}: {which} is not the adjoint of forward: {other} and {whole}"


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

    def peak():
        return _core.measure_peak(isa, 0.02) * args.threads

    print(timing.environment(args.threads, ("cnncore", "numpy")), f"\nisa       {isa}\n", sep="")
    print("| layer | pass | kernel | ms | GF/s | share of peak |\n| --- | --- | --- | ---: | ---: | ---: |")
    rows = []
    for layer in LAYERS:
        if not re.search(args.filter, layer[0]):
            continue
        passes = operations(layer, isa)
        check(layer, passes, args.threads)
        for which in args.passes:
            operation = passes[which]
            best, rate = measure(operation, args.threads, args.seconds, peak)
            flops = operation.info["flops"]
            rows.append({"layer": layer[0], "pass": which, "kernel": operation.info["kernel"], "seconds": best,
                         "flops_per_second": flops / best, "peak_flops_per_second": rate, "threads": args.threads, "isa": isa})
            print(f"| {layer[0]} | {which} | {operation.info['kernel']} | {1e3 * best:.3f} | {flops / best / 1e9:.1f} "
                  f"| {flops / best / rate:.0%} |", flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    return 0
