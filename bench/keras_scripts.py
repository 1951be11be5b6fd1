"""Two scripts written for Keras 3, run under Keras, and again with nothing but their import lines replaced by
cnncore's.

The scripts are in tests/keras_scripts. Random numbers differ between the two, so results agree as two seeds of one
library do; --seeds runs the scripts with more of them, and tells mean and standard deviation.
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

from . import timing

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "keras_scripts"
SCRIPTS = ("mnist_sequential", "cifar10_residual")
SIDES = ("keras", "cnncore")
RESULT = re.compile(r"^Test (loss|accuracy): ([-+.\w]+)$", re.MULTILINE)


def add_arguments(parser):
    parser.add_argument("names", nargs="*", default=list(SCRIPTS), metavar="NAME", help=f"of {', '.join(SCRIPTS)}")
    parser.add_argument("--side", choices=SIDES, action="append", help="only this side (default: both)")
    parser.add_argument("--epochs", type=int, help="default: the script's own")
    parser.add_argument("--images", type=int, help="training images, default: the script's own")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="run with seeds 1 to N (default: 1)")
    parser.add_argument("--verbose", action="store_true", help="show what the scripts print")


def for_cnncore(source):
    """A Keras script for cnncore: `import keras` and `from keras...` lines replaced, all else as it is.

    Raises
    ------
    ValueError
        If there is no such line.
    """
    source, plain = re.subn(r"^import keras$", "import cnncore as keras", source, flags=re.MULTILINE)
    source, named = re.subn(r"^from keras\b", "from cnncore", source, flags=re.MULTILINE)
    if plain + named == 0:
        raise ValueError('for_cnncore: the script must have a line "import keras" or "from keras ...", got none')
    return source


def run_script(name, side, epochs=None, images=None, threads=None, backend="torch", seed=1):
    """Run a script of tests/keras_scripts in a process of its own.

    Parameters
    ----------
    name : {"mnist_sequential", "cifar10_residual"}
    side : {"keras", "cnncore"}
    epochs, images : int, optional
        In place of the script's own.
    threads : int, optional
        Number of threads; default: the library's own.
    backend : str
        KERAS_BACKEND, for Keras.
    seed : int
        In place of the script's own, 1.

    Returns
    -------
    output : str
        All it printed.
    results : dict
        "loss" and "accuracy" on the test images.
    seconds : float
        Of the whole process.

    Raises
    ------
    RuntimeError
        If the script fails, with all it printed, or prints no result.
    """
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8").replace("random_seed(1)", f"random_seed({seed})")
    if side == "cnncore":
        source = for_cnncore(source)
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join([str(ROOT)] + [path for path in [os.environ.get("PYTHONPATH")] if path]),
    }
    for variable, value in (("SCRIPT_EPOCHS", epochs), ("SCRIPT_IMAGES", images), ("OMP_NUM_THREADS", threads)):
        if value is not None:
            environment[variable] = str(value)
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-"],
        input=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    seconds = time.perf_counter() - start
    results = {key: float(value) for key, value in RESULT.findall(process.stdout)}
    if process.returncode or results.keys() != {"loss", "accuracy"}:
        raise RuntimeError(
            f"{name} under {side} must end with its test results, got exit status "
            f"{process.returncode}:\n{process.stdout}"
        )
    return process.stdout, results, seconds


def run(args):
    for name in args.names:
        if name not in SCRIPTS:
            raise SystemExit(f"keras-scripts: NAME must be one of {', '.join(SCRIPTS)}, got {name!r}")
    print(timing.environment(args.threads, packages=("cnncore", "keras", "torch", "numpy")))
    failed = False
    for name in args.names:
        for side in args.side or SIDES:
            accuracies = []
            for seed in range(1, args.seeds + 1):
                try:
                    output, results, seconds = run_script(name, side, args.epochs, args.images, args.threads, seed=seed)
                except RuntimeError as error:
                    print(error)
                    failed = True
                    continue
                if args.verbose:
                    print(output)
                accuracies.append(results["accuracy"])
                print(
                    f"{name:<17} {side:<8} test loss {results['loss']:.4f}  test accuracy {results['accuracy']:.4f}  "
                    f"{seconds:.1f} s",
                    flush=True,
                )
            if len(accuracies) > 1:
                print(
                    f"{name:<17} {side:<8} {len(accuracies)} seeds: test accuracy {statistics.mean(accuracies):.4f} "
                    f"+- {statistics.stdev(accuracies):.4f}",
                    flush=True,
                )
    return 1 if failed else 0
