"""cnncore bench: what this machine can do at most, and how much of it a network reaches."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from . import arguments, networks

HELP = "measure this machine's peak, and a network's speed"
DESCRIPTION = """\
Measure the multiply-add peak of this machine for each instruction set, with one thread and with all; with --model also
the images per second of a network and its share of that peak, counting the FLOP of the operations' definitions.

Each figure is the best of many runs. Other work on the machine lowers it."""
EXAMPLES = """\
  cnncore bench
  cnncore bench --model resnet20 --threads 1
  cnncore bench --model model.cnn
"""
PEAK_SECONDS = 0.2  # each measurement of the peak
LEAST_RUNS = 3


def add_arguments(parser):
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="a saved model, a name of cnncore.models.names(), or FILE.py as for cnncore train",
    )
    parser.add_argument(
        "--image-size",
        type=arguments.image_shape,
        metavar="HxWxC",
        help="of a network by name (default: what it was made for) or of FILE.py (28x28x1)",
    )
    parser.add_argument(
        "--seconds",
        type=arguments.positive_number,
        default=2.0,
        metavar="S",
        help="to spend on each figure of a network (default: 2)",
    )


def run(args):
    from .. import _core, get_isa, get_threads

    if args.image_size and args.model is None:
        raise ValueError("--image-size needs a --model; give one")
    threads = get_threads()
    model = _model(args) if args.model else None
    print(f"peak in GFLOP/s of float32 multiply-adds   1 thread   {threads} thread{'s' * (threads > 1)}")
    for isa in _core.available_isas():
        one, peak = measure_peak(isa, 1), measure_peak(isa, threads)
        print(f"  {isa + (' (in use)' if isa == get_isa() else ''):39s} {one / 1e9:9.1f} {peak / 1e9:11.1f}")
        if isa == get_isa():
            reachable = peak
    if model is not None:
        _bench_model(model, reachable, args.seconds)


def measure_peak(isa, threads):
    """FLOP/s of all threads together, each in its own loop of multiply-adds at the same time."""
    from .. import _core

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda _: _core.measure_peak(isa, PEAK_SECONDS), range(threads)))


def _model(args):
    from .. import load_model, models

    if args.model.endswith(".cnn"):
        if args.image_size:
            raise ValueError("--image-size must be left out for a saved model, which has a size")
        model = load_model(args.model)
        if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.output_shape) != 2:
            raise ValueError(f'"{args.model}": must have one input and one output of class scores to be measured here')
    elif networks.is_file(args.model):
        model = networks.builder(args.model)(args.image_size or (28, 28, 1), 10)
    else:
        networks.builder(args.model)  # refuses unknown names
        model = models.build(args.model, **({"input_shape": args.image_size} if args.image_size else {}))
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    return model


def _bench_model(model, peak, seconds):
    generator = np.random.default_rng(0)
    classes = model.output_shape[-1]
    print(f"\n{model.name}: images of {'x'.join(map(str, model.input_shape[1:]))}, {model.count_params():,} weights")
    for what, batch, training in (("inference", 1, False), ("inference", 32, False), ("training step", 32, True)):
        if model.inputs[0].dtype == "uint8":
            x = generator.integers(0, 256, (batch, *model.input_shape[1:]), dtype=np.uint8)
        else:
            x = generator.random((batch, *model.input_shape[1:]), dtype=np.float32)
        y = generator.integers(0, classes, batch)
        call = partial(model.train_on_batch, x, y) if training else partial(model.predict_on_batch, x)
        best = _best_seconds(call, seconds)
        executable = model._program_for(batch, training)
        flops = sum(operation["flops"] for operation in executable.operations) * batch / executable.samples
        print(
            f"  {what + f', batch {batch}':24s} {batch / best:10,.1f} images/s {1e3 * best:10.3f} ms "
            f"{flops / best / 1e9:8.1f} GFLOP/s "
            f"{100 * flops / best / peak:5.1f} % of the peak"
        )


def _best_seconds(call, seconds):
    """The shortest of the calls that fit into some seconds, after one that plans and warms up."""
    call()
    best, runs, end = float("inf"), 0, time.perf_counter() + seconds
    while runs < LEAST_RUNS or time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
        runs += 1
    return best
