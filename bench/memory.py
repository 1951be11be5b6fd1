"""Peak resident memory of training steps, above the loaded model, beside PyTorch: each side in a process of its own.

The child imports its library, builds the network, notes its resident memory, resets the kernel's high-water mark,
trains a few steps and reads the mark. Linux only, as the mark is read from /proc.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from . import timing
from .networks import SHAPES

SIDES = ("cnncore", "PyTorch", "PyTorch channels_last")


def add_arguments(parser):
    parser.add_argument("names", nargs="*", default=["lenet", "vgg_cifar", "resnet20"], metavar="NAME",
                        help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--child", choices=SIDES, help="measure this side in this process and print JSON")


def status_bytes(field):
    """A memory field of /proc/self/status: VmRSS is resident now, VmHWM its high-water mark."""
    for line in pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"memory: /proc/self/status must have {field}; this system does not report it")


def step_of_cnncore(name, x, y):
    """A function that does one training step."""
    import cnncore as cc
    from cnncore import models

    model = models.build(name, input_shape=SHAPES[name], classifier_activation=None)

    def prepare():
        model.compile(optimizer=cc.optimizers.SGD(1e-3, momentum=0.9, nesterov=True),
                      loss=cc.losses.SparseCategoricalCrossentropy(from_logits=True))
        return lambda: model.train_on_batch(x, y)
    return prepare


def step_of_pytorch(name, x, y, channels_last, threads):
    """The same in PyTorch."""
    from . import peers_torch

    net = peers_torch.NETWORKS[name]()

    def prepare():
        trainer = peers_torch.Trainer(net, 1e-3, 0.9, channels_last=channels_last, threads=threads)
        images, labels = trainer.images(x), trainer.labels(y)
        return lambda: trainer.step(images, labels)
    return prepare


def measure(side, name, args):
    """In this process: bytes resident with the model loaded, and at the peak of the training steps."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(args.batch, *SHAPES[name])).astype(np.float32)
    y = rng.integers(0, 10, args.batch).astype(np.int32)
    if side == "cnncore":
        prepare = step_of_cnncore(name, x, y)
    else:
        prepare = step_of_pytorch(name, x, y, side.endswith("channels_last"), args.threads)
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # high-water mark := resident now
    loaded_bytes = status_bytes("VmRSS")
    step = prepare()
    for _ in range(args.steps):
        step()
    return {"loaded_bytes": loaded_bytes, "peak_bytes": status_bytes("VmHWM")}


def run(args):
    if not sys.platform.startswith("linux"):
        raise SystemExit(f"memory: the system must be Linux, got {sys.platform}; its /proc is what is read")
    for name in args.names:
        if name not in SHAPES:
            raise SystemExit(f"memory: NAME must be one of {', '.join(SHAPES)}, got {name!r}")
    if args.child:
        print(json.dumps(measure(args.child, args.names[0], args)))
        return 0
    print(timing.environment(args.threads))
    for name in args.names:
        above = {}
        for side in SIDES:
            command = [sys.executable, "-m", __package__, "memory", "--child", side, "--batch", str(args.batch),
                       "--steps", str(args.steps), "--threads", str(args.threads), name]
            child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ)
            found = json.loads(child.stdout.splitlines()[-1])
            above[side] = found["peak_bytes"] - found["loaded_bytes"]
            print(f"{name}, batch {args.batch}, {side}: loaded {found['loaded_bytes'] / 2 ** 20:.1f} MiB, peak of "
                  f"{args.steps} training steps {found['peak_bytes'] / 2 ** 20:.1f} MiB, above the loaded model "
                  f"{above[side] / 2 ** 20:.1f} MiB")
        peer = min(above[side] for side in SIDES[1:])
        print(f"{name}: cnncore takes {above['cnncore'] / peer:.2f} of the better PyTorch")
    return 0
