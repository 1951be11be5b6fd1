"""The package as it is installed: what the source distribution holds, what importing costs and does, and the settings
from outside."""

import fnmatch
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import cnncore as cc
from cnncore import _core

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = {".c", ".h", ".py", ".pyx", ".pxd", ".pxi", ".npz", ".png", ".jpg", ".md", ".sh"}
IMPORT_S = 0.06  # beyond NumPy's own import


def python(code, check=True, **variables):
    """Run Python code in a process of its own; None as a variable's value unsets it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    for name in ("CNNCORE_ISA", "CNNCORE_NUM_THREADS", "OMP_NUM_THREADS"):
        if name not in variables:
            environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=check
    )


# ---- what is in the source distribution ----


def manifest():
    """The patterns of MANIFEST.in as (folder, pattern); what setuptools adds by itself too."""
    rules = [("cnncore", "*.py"), ("", "setup.py"), ("", "pyproject.toml")]
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        command, *words = line.split()
        assert command in ("include", "recursive-include"), line
        rules += [("", word) for word in words] if command == "include" else [(words[0], word) for word in words[1:]]
    return rules


def test_every_source_is_distributed():
    rules = manifest()
    folders = ["src_c", "cnncore", "tests", "bench", "tools", "examples", "docs"]
    files = [p.relative_to(ROOT) for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in SOURCES]
    files += [pathlib.Path(name) for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")]
    assert len(files) > 150
    for file in files:
        assert (ROOT / file).exists(), file
        inside = [
            pattern
            for folder, pattern in rules
            if fnmatch.fnmatch(file.name, pattern) and (file.parts[0] == folder if folder else len(file.parts) == 1)
        ]
        assert inside, f"{file} is not in MANIFEST.in"


def test_every_rule_finds_files():
    for folder, pattern in manifest():
        found = (ROOT / folder).rglob(pattern) if folder else ROOT.glob(pattern)
        assert any(found), f"MANIFEST.in: {folder} {pattern}"


def test_versions_agree():
    text = (ROOT / "pyproject.toml").read_text()
    header = (ROOT / "src_c" / "include" / "cnncore.h").read_text()
    assert f'version = "{cc.__version__}"' in text
    assert f'#define CNN_VERSION "{cc.__version__}"' in header
    assert f"## {cc.__version__}" in (ROOT / "CHANGELOG.md").read_text()


# ---- importing ----


def test_import_is_quick():
    """The least of several runs, each in a new process with NumPy imported before."""
    code = "import time, numpy; t = time.perf_counter(); import cnncore; print(time.perf_counter() - t)"
    times = []
    for _ in range(12):
        times.append(float(python(code).stdout))
        if times[-1] <= IMPORT_S:
            return
    raise AssertionError(f"import cnncore took {min(times):.3f} s at least, more than {IMPORT_S} s")


def test_import_is_quiet_and_leaves_the_process_as_it_was():
    code = """
import os, sys, numpy
def state():
    return dict(os.environ), len(os.listdir("/proc/self/task")), sys.stdout, sys.getswitchinterval()
before, modules = state(), set(sys.modules)
import cnncore
assert state() == before, (before, state())
loaded = {name.split(".")[0] for name in set(sys.modules) - modules}
assert not loaded & {"PIL", "torch", "keras", "scipy", "matplotlib", "argparse", "concurrent"}, loaded
"""
    child = python(code)
    assert child.stdout == "" and child.stderr == ""


def test_a_program_that_predicts_imports_no_training(tmp_path):
    """What only training needs is there as soon as it is used, also where a file names it."""
    model = cc.Sequential([cc.Input((4, 4, 1)), cc.layers.Flatten(), cc.layers.Dense(2)])
    model.save(tmp_path / "bare.cnn")
    model.compile(cc.optimizers.Adam(cc.optimizers.schedules.CosineDecay(0.1, 10)), "mse", metrics=["mae"])
    x = np.zeros((8, 4, 4, 1), np.float32)
    model.fit(x, np.ones((8, 2)), epochs=1, verbose=0)
    model.save(tmp_path / "trained.cnn")
    code = f"""
import sys, numpy as np
modules = set(sys.modules)
import cnncore
x = np.zeros((8, 4, 4, 1), np.float32)
cnncore.load_model({str(tmp_path / "bare.cnn")!r}).predict_on_batch(x)
names = "callbacks losses metrics optimizers progress datasets data augment compiler.report compiler.gradients"
loaded = {{f"cnncore.{{name}}" for name in names.split()}} | {{"difflib", "csv", "argparse", "threading"}}
loaded &= set(sys.modules) - modules
assert not loaded, loaded
model = cnncore.load_model({str(tmp_path / "trained.cnn")!r})
print(model.optimizer.iterations, model.fit(x, np.ones((8, 2)), verbose=0).history["mae"], repr(model.optimizer))
"""
    again = model.fit(x, np.ones((8, 2)), verbose=0).history["mae"]
    assert python(code).stdout == f"1 {again} {model.optimizer!r}\n"


def test_everything_named_can_be_reached():
    for name in cc.__all__:
        assert getattr(cc, name) is not None
        assert name in dir(cc)
    with pytest.raises(AttributeError, match="no_such_thing"):
        cc.no_such_thing


def test_module_runs_as_a_command():
    child = subprocess.run(
        [sys.executable, "-m", "cnncore", "--version"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert child.stdout == f"cnncore {cc.__version__}\n"


# ---- settings ----


def test_show_config(capsys):
    config = cc.show_config()
    out = capsys.readouterr().out
    assert config["version"] == cc.__version__
    assert config["instruction set in use"] == cc.get_isa() and config["threads"] == cc.get_threads()
    assert ("serial" in config["OpenMP"]) == (not _core.has_openmp())
    for key, value in config.items():
        assert f"{key}:" in out and str(value) in out
    lines = []
    assert cc.show_config(print_fn=lines.append) == config and len(lines) == len(config)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("isa", _core.available_isas())
def test_instruction_set_from_outside(isa):
    assert python("import cnncore; print(cnncore.get_isa())", CNNCORE_ISA=isa).stdout.strip() == isa


@pytest.mark.parametrize("threads", [1, 3, 256])
def test_threads_from_outside(threads):
    code = "import cnncore; print(cnncore.get_threads())"
    assert int(python(code, CNNCORE_NUM_THREADS=str(threads)).stdout) == (threads if _core.has_openmp() else 1)


def test_defaults_without_variables():
    code = "import cnncore, json; print(json.dumps([cnncore.get_isa(), cnncore.get_threads()]))"
    isa, threads = json.loads(python(code).stdout)
    assert isa == _core.available_isas()[-1]
    assert 1 <= threads <= (os.cpu_count() or 1)
    assert json.loads(python(code, CNNCORE_ISA="", CNNCORE_NUM_THREADS="").stdout) == [isa, threads]


@pytest.mark.parametrize("variable, value, part", [
    ("CNNCORE_ISA", "sse9", "generic"), ("CNNCORE_ISA", "AVX2", "generic"), ("CNNCORE_NUM_THREADS", "0", "1 to 256"),
    ("CNNCORE_NUM_THREADS", "257", "1 to 256"), ("CNNCORE_NUM_THREADS", "two", "1 to 256"),
    ("CNNCORE_NUM_THREADS", "-1", "1 to 256"), ("CNNCORE_NUM_THREADS", "1.5", "1 to 256")])  # fmt: skip
def test_wrong_variables_are_refused(variable, value, part):
    child = python("import cnncore; cnncore.Input((8, 8, 1))", check=False, **{variable: value})
    last = child.stderr.strip().splitlines()[-1]
    assert child.returncode == 1
    assert last.startswith("ImportError:") and variable in last and repr(value) in last and part in last


@pytest.mark.parametrize("threads", [-1, 257])
def test_wrong_threads_are_refused(threads):
    before = cc.get_threads()
    with pytest.raises(ValueError, match=f"threads must be 1 to 256.*got {threads}"):
        cc.set_threads(threads)
    assert cc.get_threads() == before


def test_wrong_instruction_set_is_refused():
    before = cc.get_isa()
    with pytest.raises(ValueError, match="'sse9' is not available.*generic"):
        cc.set_isa("sse9")
    assert cc.get_isa() == before
