"""Who may include whom: kernels stand on vec.h and the C library alone, operations on kernels and the runtime, Python's
compiler on the graph, and so on."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHON, C = ROOT / "cnncore", ROOT / "src_c"

pytestmark = pytest.mark.skipif(not C.is_dir(), reason="needs the source tree")


# ---- C ----

LIBC = {"stddef.h", "stdint.h", "string.h", "math.h"}
VECTORS = {"immintrin.h", "arm_neon.h"}
C_FILES = sorted([*C.glob("*/*.c"), *C.glob("*/*.h")]) if C.is_dir() else []


def _includes(path):
    """(included file, is it one of ours?)."""
    for mark, name in re.findall(r'^\s*#\s*include\s+([<"])([^>"]+)', path.read_text(), re.M):
        yield (name, False) if mark == "<" else (str((path.parent / name).resolve().relative_to(C)), True)


@pytest.mark.parametrize("path", [p for p in C_FILES if p.parent.name == "kernels"], ids=lambda p: p.name)
def test_kernels_include_only_their_own_headers_and_the_c_library(path):
    for name, own in _includes(path):
        if own:
            assert name.startswith("kernels/"), name
        else:
            assert name in LIBC or (name in VECTORS and path.name.startswith("vec")), name


@pytest.mark.parametrize("path", [p for p in C_FILES if p.parent.name == "ops"], ids=lambda p: p.name)
def test_operations_include_only_kernels_and_the_runtime(path):
    for name, own in _includes(path):
        assert not own or name.split("/")[0] in ("ops", "kernels", "runtime"), name
        assert name not in (
            "omp.h",
            "pthread.h",
            *VECTORS,
        ), f"{name}: threads belong to the runtime, vectors to the kernels"


@pytest.mark.parametrize("path", [p for p in C_FILES if p.parent.name == "runtime"], ids=lambda p: p.name)
def test_the_runtime_knows_no_operation_and_of_kernels_their_table_only(path):
    for name, own in _includes(path):
        assert not own or name.split("/")[0] in ("runtime", "include") or name == "kernels/kernels.h", name


def test_the_public_header_needs_the_c_library_only():
    assert set(_includes(C / "include" / "cnncore.h")) <= {(name, False) for name in LIBC}


def _code(path):
    """A C file without comments and strings."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(\\.|[^"\\\n])*"', " ", path.read_text(), flags=re.S)


def test_lines_of_c_are_no_longer_than_those_of_python():
    long = [f"{p.name}:{i}" for p in C_FILES for i, line in enumerate(p.read_text().splitlines(), 1) if len(line) > 120]
    assert not long


def test_openmp_is_behind_one_header():
    users = {p.name for p in C_FILES if re.search(r"#\s*pragma\s+omp|\bomp_\w+\s*\(|<omp\.h>", _code(p))}
    assert users <= {"threads.c", "threads.h"}, users


def test_kernels_and_operations_take_no_memory_and_never_print_or_exit():
    for path in C_FILES:
        if path.parent.name in ("kernels", "ops"):
            found = re.findall(
                r"\b(malloc|calloc|realloc|free|aligned_alloc|printf|fprintf|puts|exit|abort)\s*\(", _code(path)
            )
            assert not found, f"{path.name}: {found}"


def test_the_library_keeps_no_state_in_kernels_and_operations():
    """No static object that is not const; a static function is none."""
    for path in C_FILES:
        if path.parent.name in ("kernels", "ops"):
            for line in re.findall(r"^\s*static\s+[^;{(]*[;={]", _code(path), re.M):
                assert re.search(r"\b(const|inline)\b", line), f"{path.name}: {line.strip()}"


# ---- Python ----

# Folder or module -> what it may import from the package when it is imported itself, or by a LazyModule when it is
# used. What is imported within functions, when used, is free of this, but for the compiler's passes.
ALLOWED = {
    "checks": set(),
    "graph": set(),
    "random": {"checks"},
    "registry": {"checks"},
    "batches": set(),
    "progress": {"registry", "utils"},
    "initializers": {"checks", "registry", "random"},
    "regularizers": {"checks", "registry"},
    "metrics": {"checks", "registry"},
    "variables": {"_core"},
    "model_file": {"_core"},
    "config": {"_core"},
    "compiler": {"_core", "config", "graph", "layers", "lazy"},
    "activations": {"checks", "compiler"},
    "losses": {"checks", "compiler", "registry"},
    "layers": {
        "activations",
        "batches",
        "checks",
        "compiler",
        "graph",
        "initializers",
        "regularizers",
        "registry",
        "variables",
    },
    "optimizers": {"_core", "checks", "compiler", "registry"},
    "callbacks": {"checks", "metrics"},
    "training": {
        "_core",
        "batches",
        "callbacks",
        "checks",
        "compiler",
        "lazy",
        "losses",
        "metrics",
        "optimizers",
        "progress",
        "random",
        "variables",
    },
    "reports": {"compiler", "lazy"},
    "model": {"batches", "checks", "graph", "layers", "reports", "training", "variables"},
    "sequential": {"batches", "graph", "layers", "model", "training"},
    "serialization": {
        "_core",
        "checks",
        "layers",
        "lazy",
        "losses",
        "metrics",
        "model",
        "model_file",
        "optimizers",
        "sequential",
        "variables",
    },
    "models": {
        "_core",
        "checks",
        "initializers",
        "layers",
        "model",
        "models",
        "regularizers",
        "registry",
        "sequential",
        "serialization",
    },
}
EXPORTED = {
    "Input": "model",
    "Model": "model",
    "Sequential": "sequential",
    "load_model": "serialization",
}  # names of the package itself
REPORTS = {"batches", "losses"}  # compiler/report.py tells of whole models
PASSES = ("ir", "gradients", "differentiate", "fuse", "order", "executable")


def _modules(name):
    path = PYTHON / f"{name}.py"
    return [path] if path.exists() else sorted((PYTHON / name).rglob("*.py"))


def _imports(path, everywhere=False):
    """The top-level parts of the package, and the foreign packages, that a module imports: when imported itself, or
    anywhere."""
    tree = ast.parse(path.read_text())
    package = list(path.relative_to(PYTHON).with_suffix("").parts)[:-1]
    nodes = (
        ast.walk(tree)
        if everywhere
        else (
            node
            for statement in tree.body
            for node in (ast.walk(statement) if not isinstance(statement, (ast.FunctionDef, ast.ClassDef)) else [])
        )
    )
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module or "").split(".") * bool(node.module)
            yield from (
                [("own", base[0])] if base else [("own", EXPORTED.get(alias.name, alias.name)) for alias in node.names]
            )
        elif isinstance(node, ast.ImportFrom):
            yield "foreign", node.module.split(".")[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "LazyModule":
            yield "own", node.args[0].value.split(".")[0]
        elif isinstance(node, ast.Import):
            yield from (("foreign", alias.name.split(".")[0]) for alias in node.names)


@pytest.mark.parametrize("name", ALLOWED)
def test_python_modules_import_downwards(name):
    for path in _modules(name):
        allowed = ALLOWED[name] | {name} | (REPORTS if path.name == "report.py" else set())
        used = {what for kind, what in _imports(path) if kind == "own"}
        assert used <= allowed, f"{path.relative_to(ROOT)} imports {used - allowed}"


@pytest.mark.parametrize("name", PASSES)
def test_compiler_passes_know_the_engine_and_each_other_only(name):
    assert {what for kind, what in _imports(PYTHON / "compiler" / f"{name}.py", everywhere=True) if kind == "own"} <= {
        "_core",
        "compiler",
    }


@pytest.mark.parametrize("path", sorted(PYTHON.rglob("*.py")), ids=lambda p: str(p.relative_to(PYTHON)))
def test_only_numpy_is_imported_at_once(path):
    """Pillow and everything optional is imported only when used."""
    foreign = (
        {what for kind, what in _imports(path) if kind == "foreign"} - set(sys.stdlib_module_names) - {"__future__"}
    )
    assert foreign <= {"numpy"} | ({"PIL"} if "augment" in path.parts or "data" in path.parts else set()), foreign


def test_one_cython_module():
    modules = {p.name for suffix in ("pyx", "pxd", "pxi") for p in PYTHON.rglob(f"*.{suffix}")}
    parts = re.findall(r'^include "(_core_\w+\.pxi)"$', (PYTHON / "_core.pyx").read_text(), re.MULTILINE)
    assert modules == {"_core.pyx", "_core.pxd", *parts}


def test_importing_prints_nothing_starts_nothing_and_loads_little():
    script = """
import os, sys, threading
environment = dict(os.environ)
import cnncore
assert dict(os.environ) == environment and threading.active_count() == 1
assert len(os.listdir("/proc/self/task")) == 1 if os.path.isdir("/proc/self/task") else True
cnncore.Model, cnncore.layers, cnncore.optimizers, cnncore.callbacks
heavy = {"PIL", "torch", "keras", "scipy", "matplotlib", "onnx", "optuna", "mpi4py", "tensorboard"} & set(sys.modules)
assert not heavy, heavy
"""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin", "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", ""), result.stderr
