"""Peak resident memory of training steps, above the loaded model, beside PyTorch: each side in a process of its own.

The child imports its library, builds the network, notes its resident memory, resets the kernel's high-water mark,
trains a few steps and reads the mark. Linux only, as the mark is read from /proc. PyTorch runs in both memory formats;
compiled it is left out, as its compiler's own memory would be counted.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

from . import engines, networks, timing

STEPS = 3


def add_arguments(parser):
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(networks.NETWORKS)} (default: all that are trained)"
    )
    parser.add_argument("--batch", type=int, help="default: each network's own")
    parser.add_argument("--child", metavar="ENGINE:VARIANT", help=argparse.SUPPRESS)


def status_bytes(field):
    """A memory field of /proc/self/status: VmRSS is resident now, VmHWM its high-water mark."""
    for line in pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"memory: /proc/self/status must have {field}; this system does not report it")


def measure(engine, variant, network, batch, threads):
    """In this process: bytes resident with the model loaded, and at the peak of the training steps."""
    module = engines.load(engine)
    loaded = module.load(network, variant)
    x, y = network.batch(batch, 10)
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # high-water mark := resident now
    loaded_bytes = status_bytes("VmRSS")
    trainer = module.Trainer(loaded, x, y, threads, variant)
    for _ in range(STEPS):
        trainer.step()
    return {"loaded_bytes": loaded_bytes, "peak_bytes": status_bytes("VmHWM")}


def above_loaded(network, batch, peers, threads):
    """{candidate: bytes at the peak of training steps, above the loaded model}, of cnncore and the peers that train."""
    found = {}
    for module in [engines.load("cnncore"), *peers]:
        for variant in getattr(module, "MEMORY_VARIANTS", ()):
            engine = module.__name__.rpartition(".")[2]
            command = [
                sys.executable,
                "-m",
                __package__,
                "memory",
                "--child",
                f"{engine}:{variant}",
                "--batch",
                str(batch),
                "--threads",
                str(threads),
                network.name,
            ]
            child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ)
            bytes_of = json.loads(child.stdout.splitlines()[-1])
            found[variant] = bytes_of["peak_bytes"] - bytes_of["loaded_bytes"]
    return found


def run(args):
    if not sys.platform.startswith("linux"):
        raise SystemExit(f"memory: the system must be Linux, got {sys.platform}; its /proc is what is read")
    chosen = networks.checked("memory", args.names)
    if args.child:
        engine, variant = args.child.split(":")
        print(json.dumps(measure(engine, variant, chosen[0], args.batch, args.threads)))
        return 0
    peer = engines.load("pytorch")
    absent = engines.missing(peer)
    if absent:
        print(f"pytorch: left out, as {', '.join(absent)} is not installed")
    print(timing.environment(args.threads))
    for network in chosen:
        for batch in [args.batch] if args.batch else network.training:
            found = above_loaded(network, batch, [] if absent else [peer], args.threads)
            for name, value in found.items():
                print(
                    f"{network.name}, batch {batch}, {name}: peak of {STEPS} training steps {value / 2**20:.1f} "
                    "MiB above the loaded model",
                    flush=True,
                )
            if not absent:
                least = min(found[name] for name in peer.MEMORY_VARIANTS)
                print(f"{network.name}: cnncore takes {found['cnncore'] / least:.2f} of the better PyTorch")
    return 0
