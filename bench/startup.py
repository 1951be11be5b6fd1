"""Cold start with MobileNetV2, in a fresh process each time: start of Python, import, loading the network with its
weights from files, and the first prediction; of these what comes after Python and NumPy, which is what the package
itself costs; the import alone; and what each package takes on the disk.

The processes of all sides take turns, after one of each that fills the file cache. What they predict is compared.
"""

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

from . import engines, networks, onnx_file, timing

# What a program does that loads the network and predicts; "threads", "folder" and the images x are there.
PREDICT = {
    "cnncore": """
import cnncore
logits = cnncore.load_model(folder + "/model.cnn").predict_on_batch(x, threads=threads)
""",
    "onnxruntime": """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(folder + "/model.onnx", options, providers=["CPUExecutionProvider"])
logits = session.run(None, {"images": x.transpose(0, 3, 1, 2)})[0]
""",
    "openvino": """
import openvino
settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
logits = openvino.Core().compile_model(folder + "/model.onnx", "CPU", settings)(x.transpose(0, 3, 1, 2))[0]
""",
    "torch": """
import torch
from bench import torch_networks
torch.set_num_threads(threads)
with torch.device("meta"):
    net = torch_networks.MobileNetV2(dropout=0.0).eval()
net.load_state_dict(torch.load(folder + "/model.pt", mmap=True), assign=True)
with torch.inference_mode():
    logits = net(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
""",
}
FRAME = """
import sys, time
import numpy as np
folder, threads = sys.argv[1], int(sys.argv[2])
x = np.load(folder + "/images.npy")
start = time.perf_counter()
{predict}
print(time.perf_counter() - start, *logits[0, :10].tolist())
"""
IMPORTS = {"nothing": "", "numpy": "import numpy"} | {package: f"import {package}" for package in PREDICT}
TOLERANCE = 1e-3  # of the largest logit, as in bench/models.py
ROOT = pathlib.Path(__file__).resolve().parents[1]


def add_arguments(parser):
    parser.set_defaults(threads=2)
    parser.add_argument("--rounds", type=int, default=9, help="processes of each kind (default: 9)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file as well")


def write_files(folder, packages):
    """The network, with the same weights, in the format that each package loads, and an image."""
    network = networks.NETWORKS["mobilenet_v2"]
    model = networks.build(network)
    np.save(folder / "images.npy", network.batch(1, 1000)[0])
    model.save(folder / "model.cnn")
    if "onnxruntime" in packages or "openvino" in packages:
        (folder / "model.onnx").write_bytes(onnx_file.convert(model, 1).SerializeToString())
    if "torch" in packages:
        import torch

        torch.save(engines.load("pytorch").load(network, "PyTorch", model).state_dict(), folder / "model.pt")


def process(code, *arguments):
    """A function that runs code in a new interpreter, and returns what it printed."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # Compiled modules are kept, as those of installed packages are.
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""}

    def call():
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=environment,
        ).stdout

    return call


class FirstPrediction:
    """Processes that load the network with a package and predict: what each printed of the logits, and of the seconds
    from before the import to the logits in a process that had NumPy."""

    def __init__(self, package, folder, threads):
        self._call = process(FRAME.format(predict=PREDICT[package]), folder, str(threads))
        self.logits, self.seconds = None, []

    def __call__(self):
        seconds, *logits = map(float, self._call().split())
        self.logits = np.array(logits)
        self.seconds.append(seconds)


def installed_bytes(package):
    """Bytes of a package's files, without compiled bytecode; those of the whole distribution where it was installed
    as one."""
    distribution = None if package == "cnncore" else importlib.metadata.distribution(package)
    if distribution is not None and distribution.files:
        paths = [pathlib.Path(distribution.locate_file(file)) for file in distribution.files]
    else:
        folder = pathlib.Path(importlib.util.find_spec(package).origin).parent
        paths = [path for path in folder.rglob("*") if path.suffix not in (".pyx", ".pxd", ".pxi")]
    return sum(path.stat().st_size for path in paths if path.is_file() and path.suffix != ".pyc")


def run(args):
    packages = [package for package in PREDICT if importlib.util.find_spec(package)]
    if importlib.util.find_spec("onnx") is None:
        packages = [package for package in packages if package not in ("onnxruntime", "openvino")]
        print("onnxruntime, openvino: left out, as onnx is not installed, which writes their network")
    for package in PREDICT:
        if importlib.util.find_spec(package) is None:
            print(f"{package}: left out, as it is not installed")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_files(folder, packages)
        print(timing.environment(args.threads, (*packages, "numpy")), flush=True)
        starts = {package: FirstPrediction(package, name, args.threads) for package in packages}
        for start in starts.values():
            start()
        wanted = starts["cnncore"].logits
        for package in packages[1:]:
            difference = np.abs(starts[package].logits - wanted).max() / np.abs(wanted).max()
            if not difference < TOLERANCE:
                raise SystemExit(
                    f"startup: logits of cnncore and {package} must agree to {TOLERANCE}, they differ by "
                    f"{difference:.1e}; nothing is timed"
                )
        imports = {key: process(code) for key, code in IMPORTS.items() if key in ("nothing", "numpy", *packages)}
        tasks = {("start", key): call for key, call in starts.items()}
        tasks |= {("import", key): call for key, call in imports.items()}
        seconds = {key: t.median_s for key, t in timing.alternate(tasks, args.rounds, warmup=1).items()}
    rows = [
        {
            "package": key,
            "import_s": seconds["import", key],
            "first_prediction_s": seconds.get(("start", key)),
            "after_numpy_s": statistics.median(starts[key].seconds[-args.rounds :]) if key in starts else None,
            "installed_bytes": None if key == "nothing" else installed_bytes(key),
        }
        for key in imports
    ]
    print(
        "\n| package | start and import, s | start to first prediction, s | cnncore's share of it | after NumPy, s | "
        "cnncore's share of it | installed, MB |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    own = next(row for row in rows if row["package"] == "cnncore")
    for row in rows:
        cells = [row["package"], f"{row['import_s']:.3f}"]
        for name in ("first_prediction_s", "after_numpy_s"):
            value = row[name]
            cells += ["", ""] if value is None else [f"{value:.3f}", f"{own[name] / value:.2f}"]
        cells.append("" if row["installed_bytes"] is None else f"{row['installed_bytes'] / 1e6:.1f}")
        print(f"| {' | '.join(cells)} |")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"threads": args.threads, "rounds": args.rounds, "rows": rows}, file, indent=1)
    return 0
