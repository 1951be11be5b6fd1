"""`python -m bench COMMAND`: run from the root of the repository; `python -m bench COMMAND --help` tells the
arguments."""

import argparse
import importlib
import os

from . import timing

# Command: (module, what it does). A module has add_arguments(parser) and run(args).
COMMANDS = {
    "layers": ("layers", "convolution and dense layers, each pass beside the multiply-add peak"),
    "models": ("models", "training steps and inference of known networks, beside PyTorch, ONNX Runtime and OpenVINO"),
    "fashion-mnist": ("fashion_mnist", "a small network to 0.91 test accuracy in five epochs, beside PyTorch"),
    "cifar10": ("cifar10", "ResNet-20 on CIFAR-10; its loss curve beside PyTorch's"),
    "pipeline": ("pipeline", "photos to batches beside PyTorch's DataLoader, and their share of a training step"),
    "scan": ("scan", "files per second and memory of scanning a folder of 100,000 images"),
    "startup": ("startup", "from the start of Python to the first prediction of MobileNetV2, beside the peers"),
    "pauses": ("pauses", "one prediction after a pause, when threads sleep and caches are cold, beside the peers"),
    "augmentation": ("augmentation", "ResNet-20 on CIFAR-10 without and with flips, shifts, cutout and mixup"),
    "memory": ("memory", "peak memory of a training step, beside PyTorch"),
    "keras-scripts": ("keras_scripts", "two Keras scripts under Keras, and again with the import replaced"),
}


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks of cnncore beside its peers.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--threads", type=int, default=timing.cpu_count(), help="of each side (default: %(default)s)"
        )
        # The modules import no engine at the top, so that --threads can be set before one is loaded.
        imported = importlib.import_module(f".{module}", __package__)
        imported.add_arguments(command)
        command.set_defaults(run=imported.run)
    args = parser.parse_args(argv)
    if args.threads < 1:
        parser.error(f"--threads must be at least 1, got {args.threads}")
    # Read by OpenMP when an engine is loaded. Pinning and waiting policies are left out: they halve PyTorch's speed.
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    for variable in ("OMP_PROC_BIND", "OMP_PLACES", "OMP_WAIT_POLICY", "GOMP_CPU_AFFINITY", "GOMP_SPINCOUNT"):
        os.environ.pop(variable, None)
    return args.run(args)


if __name__ == "__main__":
    raise SystemExit(main())
