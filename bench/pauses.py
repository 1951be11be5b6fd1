"""One prediction after a pause, as a program makes it that waits for a request or for the next picture of a camera:
threads sleep, their processors rest and the caches are cold. cnncore beside PyTorch, ONNX Runtime and OpenVINO, with
the same weights, image and number of threads, after their logits were compared; in turn, medians.
"""

import json
import time

from . import engines, models, networks, table, timing


def add_arguments(parser):
    parser.set_defaults(threads=2, compile=False)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks (default: lenet, resnet20, mobilenet_v2)")
    parser.add_argument("--pauses", type=float, nargs="+", default=[0.03, 0.1, 0.3], help="in seconds")
    parser.add_argument("--rounds", type=int, default=15, help="predictions of each candidate after each pause")
    parser.add_argument("--json", metavar="FILE", help="write all that was measured")


def after_pauses(candidates, pause, rounds):
    """{candidate: seconds of a call, after a pause in which nothing ran}, as often as there are rounds."""
    seconds = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, function in candidates.items():
            time.sleep(pause)
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def run(args):
    if args.rounds < 1 or min(args.pauses) < 0:
        raise SystemExit(
            f"pauses: --rounds must be at least 1 and --pauses at least 0, got {args.rounds} and "
            f"{', '.join(f'{pause:g}' for pause in args.pauses)}"
        )
    chosen = networks.checked("pauses", args.names or ["lenet", "resnet20", "mobilenet_v2"])
    peers = models.installed_peers(engines.PEERS)
    packages = ("cnncore", "numpy", *dict.fromkeys(package for peer in peers for package in peer.PACKAGES))
    environment = timing.environment(args.threads, packages)
    print(environment, flush=True)
    rows = []
    for network in chosen:
        candidates, differences, _ = models.contestants(network, "inference", 1, peers, args)
        for function in candidates.values():  # what the first calls do once
            for _ in range(3):
                function()
        for pause in args.pauses:
            seconds = after_pauses(candidates, pause, args.rounds)
            row = {"network": network.name, "pause_s": pause, "seconds": seconds, "differences": differences}
            rows.append(row)
            print(f"{network.name}, after {1e3 * pause:g} ms: {table.summary(row)}", flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"environment": environment, "rows": rows}, file, indent=1)
    return 0
