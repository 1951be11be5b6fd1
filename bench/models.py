"""Training steps and inference of known networks: cnncore beside PyTorch, ONNX Runtime and OpenVINO.

All have the same weights, images and number of threads, and compute in float32. Their results are compared before
anything is timed: logits, and for training the loss and the gradients of the first step. Then they run in turn, in
blocks; figures are medians, and the ratio is to the best peer, whichever that is in each row. Without --batch the
networks run at their own batch sizes (bench/networks.py).
"""

import gc
import json

import numpy as np

from . import engines, memory, networks, table, timing

# Checks that all compute the same network; float32 rounding is below, an error in a network far above.
LOGITS_TOLERANCE = 1e-3  # of the largest logit
LOSS_TOLERANCE = 1e-4  # of the loss
# Norm of the difference, of the norm. Where rounding changes the sign of what a ReLU reads, or the place of a maximum,
# a gradient jumps. From those in float64, at batch 16: MobileNetV2 PyTorch in channels_last 2.9e-2, ours 6e-3;
# ResNet-50 PyTorch 1.9e-2, in channels_last 4.8e-2, ours 2.3e-2.
GRADIENT_TOLERANCE = 6e-2


def add_arguments(parser):
    parser.set_defaults(threads=2)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(networks.NETWORKS)} (default: all)")
    parser.add_argument("--what", choices=("training", "inference", "both"), default="both")
    parser.add_argument("--batch", type=int, nargs="+", help="batch sizes (default: each network's own)")
    parser.add_argument(
        "--peers", nargs="*", choices=engines.PEERS, default=engines.PEERS, help="default: all that are installed"
    )
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave out torch.compile")
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="leave out peak memory")
    parser.add_argument("--rounds", type=int, default=7, help="timed blocks of each candidate (default: 7)")
    parser.add_argument("--block-s", type=float, default=0.3, help="least duration of a block, in seconds")
    parser.add_argument("--quick", action="store_true", help="2 rounds of short blocks, without torch.compile")
    parser.add_argument("--json", metavar="FILE", help="write all that was measured")
    parser.add_argument("--plot", metavar="FILE", help="draw it; needs matplotlib")
    parser.add_argument("--read", nargs="+", metavar="FILE", help="tables and plot of what --json wrote before")


def distance(found, expected):
    """Norm of the difference of two {layer: arrays} by the norm of the second."""
    if found.keys() != expected.keys():
        raise ValueError(
            f"models: the layers with gradients must be the same, these differ: "
            f"{sorted(found.keys() ^ expected.keys())}"
        )
    pairs = [(a.astype(np.float64), b) for name in found for a, b in zip(found[name], expected[name], strict=True)]
    return float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in pairs) / sum((a**2).sum() for a, _ in pairs)))


def accept(what, name, difference, tolerance):
    """Stop unless a peer's result agrees with ours."""
    if not difference <= tolerance:
        raise SystemExit(
            f"models: {what} of cnncore and {name} must agree to {tolerance:g}, they differ by "
            f"{difference:.1e}; nothing is timed"
        )


def contestants(network, what, batch, peers, args):
    """Candidates with the same weights, compared with ours.

    Returns
    -------
    candidates : dict of str to callable
    differences : dict
        {peer: {"logits", "loss" or "gradients": relative difference}}.
    flops : int
    """
    model = networks.build(network)
    flops = networks.flops(model, batch, what == "training")
    x, y = network.batch(batch, model.outputs[0].shape[-1])
    modules = [peer for peer in peers if hasattr(peer, what)]
    differences = {}
    if what == "inference":
        candidates = {}
        for module in [engines.load("cnncore"), *modules]:
            candidates |= module.inference(network, model, x, args)
        ours = np.array(candidates[table.OWN]())
        for name, candidate in list(candidates.items())[1:]:
            difference = float(np.abs(np.asarray(candidate()) - ours).max() / np.abs(ours).max())
            accept(f"{network.name}: logits", name, difference, LOGITS_TOLERANCE)
            differences[name] = {"logits": difference}
        return candidates, differences, flops
    # The peers copy the weights before our first step changes them.
    trainers = {}
    for module in [*modules, engines.load("cnncore")]:
        trainers |= module.training(network, model, x, y, args)
    own = trainers[table.OWN]
    loss, gradients = float(own.step()), own.gradients()
    for name, trainer in trainers.items():
        if trainer is own:
            continue
        found = {"loss": abs(trainer.step() - loss) / abs(loss), "gradients": distance(trainer.gradients(), gradients)}
        accept(f"{network.name}: losses", name, found["loss"], LOSS_TOLERANCE)
        accept(f"{network.name}: gradients", name, found["gradients"], GRADIENT_TOLERANCE)
        differences[name] = found
    return {table.OWN: own.step} | {name: trainer.step for name, trainer in trainers.items()}, differences, flops


def measure(network, what, batch, peers, args):
    """A row of the table."""
    import cnncore as cc

    isa, peaks = cc.get_isa(), []
    candidates, differences, flops = contestants(network, what, batch, peers, args)
    timings = timing.race(
        candidates, args.rounds, args.block_s, each_round=lambda: peaks.append(timing.peak(isa, args.threads))
    )
    row = {
        "network": network.name,
        "what": what,
        "batch": batch,
        "threads": args.threads,
        "isa": isa,
        "flops": flops,
        "peak_flops_per_second": max(peaks),
        "seconds": {name: t.seconds for name, t in timings.items()},
        "differences": differences,
    }
    del candidates
    gc.collect()
    if what == "training" and args.memory:
        row["memory_bytes"] = memory.above_loaded(network, batch, peers, args.threads)
    return row


def installed_peers(names):
    """Modules of the peers that can run; a line for each that cannot."""
    modules = []
    for name in names:
        module = engines.load(name)
        absent = engines.missing(module)
        if absent:
            print(f"{name}: left out, as {', '.join(absent)} is not installed")
        else:
            modules.append(module)
    return modules


def run(args):
    if args.read:
        reports = []
        for path in args.read:
            with open(path, encoding="utf-8") as file:
                reports.append(json.load(file))
        for head in dict.fromkeys(report["environment"] for report in reports):
            print(head)
        rows = [row for report in reports for row in report["rows"]]
        finish(rows, args, "\n".join(report["environment"] for report in reports))
        return 0
    chosen = networks.checked("models", args.names)
    if args.quick:
        args.rounds, args.block_s, args.compile = 2, 0.05, False
    peers = installed_peers(args.peers)
    packages = ("cnncore", "numpy", *dict.fromkeys(package for peer in peers for package in peer.PACKAGES))
    environment = timing.environment(args.threads, packages)
    print(environment, flush=True)
    rows = []
    for network in chosen:
        for what in ("training", "inference") if args.what == "both" else (args.what,):
            for batch in args.batch or getattr(network, what):
                row = measure(network, what, batch, peers, args)
                rows.append(row)
                print(f"{network.name}, {batch}, {table.TITLES[what]}: {table.summary(row)}", flush=True)
    finish(rows, args, environment)
    return 0


def finish(rows, args, environment):
    """Print the tables and write the files that are asked for."""
    print(f"\n{table.markdown(rows)}")
    worst = {}
    for row in rows:
        for found in row["differences"].values():
            for quantity, difference in found.items():
                worst[quantity] = max(worst.get(quantity, 0.0), difference)
    if worst:
        print(
            "\nlargest differences from the peers: "
            + ", ".join(f"{quantity} {difference:.1e}" for quantity, difference in worst.items())
        )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"environment": environment, "rows": rows}, file, indent=1)
    if args.plot:
        table.plot(rows, args.plot)
