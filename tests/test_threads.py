"""How many threads there are, where those of a team begin, how many find a processor, and which programs take one:
runtime/threads.c and pace.c on a pretended system (pretended_system.c), as on a real one all that depends on what it is
and what else runs."""

import os
import pathlib
import shlex
import subprocess
import sys
import sysconfig

import numpy as np
import pytest

import cnncore as cc
from cnncore import _core
from harness import same_bits

ROOT = pathlib.Path(__file__).resolve().parents[1]
WRAPPED = ("sched_getcpu", "sched_getaffinity", "sched_setaffinity", "fopen", "sysconf", "clock_gettime")
ALL = 0b111  # three processors, as bits

pytestmark = pytest.mark.skipif(sys.platform != "linux" or not _core.has_openmp(), reason="needs Linux and OpenMP")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Runs the program with some arguments; the lines that it prints."""
    path = tmp_path_factory.mktemp("threads") / "pretended_system"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))
    sources = [ROOT / "tests/pretended_system.c", *(ROOT / "src_c/runtime" / name for name in ("threads.c", "pace.c"))]
    wraps = [f"-Wl,--wrap={name}" for name in WRAPPED]
    command = [*compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fopenmp", *sources, *wraps, "-o", path]
    try:
        built = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip(f"needs a C compiler: {compiler[0]} is not there")
    assert built.returncode == 0, built.stderr

    def run(*arguments):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_") and k != "CNNCORE_NUM_THREADS"}
        finished = subprocess.run([path, *arguments], env=environment, capture_output=True, text=True, timeout=60)
        assert (finished.returncode, finished.stderr) == (0, "")
        return finished.stdout.splitlines()

    return run


def test_a_thread_that_is_woken_up_finds_a_processor_of_its_own(program):
    """It lets the system choose from those that the threads before it are not on, and then from all as before."""
    assert program("begin", "2") == [f"0 on 0 of {ALL} after", f"1 on 1 of {ALL} after {0b110} {ALL}"]
    assert program("begin", "3")[2] == f"2 on 2 of {ALL} after {0b100} {ALL}"


def test_a_thread_for_which_no_processor_is_left_stays_where_it_is(program):
    assert program("begin", "4")[3] == f"3 on 0 of {ALL} after"


def test_programs_that_come_and_go(program):
    """Four threads on four processors. Where nobody else ran, it looks again only after a team has waited."""
    assert program("fitting") == [
        "at first, beside five: 1, looked 1",
        "beside three: 1, looked 1",
        "beside one: 3, looked 1",
        "alone: 4, looked 1",
        "beside five again, unnoticed: 4, looked 0",
        "after a team that did not wait: 4, looked 0",
        "after a team that waited: 1, looked 1",
        "its two threads alone: 4, looked 1",
        "asleep: 0, then 1",
    ]


@pytest.mark.parametrize(
    "processors, threads",
    [((0, 1, 2, 3, 4, 5), 3), ((0, 3), 1), ((3,), 1), ((3, 4), 2), ((4, 5), 1), ((1, 5), 1), ((2,), 1), ((2, 5, 3), 3)],
)
def test_one_thread_for_each_core_by_default(program, processors, threads):
    """Of which some logical processor may be used: a second one on it is not counted."""
    assert program("default", str(sum(1 << processor for processor in processors))) == [str(threads)]


def runs_alone(program, *phases):
    """Of each phase (threads, runs, microseconds on all threads, and on one), the runs on one."""
    return [int(line) for line in program("pace", *(",".join(map(str, phase)) for phase in phases))]


def test_a_program_that_is_faster_on_one_thread_runs_on_one(program):
    """After three runs on all and three on one; all are tried again in 1,024 runs, then in twice as many, and so on."""
    assert runs_alone(program, (2, 3, 10, 5), (2, 3, 10, 5), (2, 1024, 10, 5)) == [0, 3, 1021]
    assert runs_alone(program, (2, 6, 10, 5), (2, 1024 + 2048 + 4096 + 3 * 8192, 10, 5)) == [3, 31744 - 6 * 3]


def test_a_program_that_is_not_faster_on_one_thread_runs_on_all(program):
    """Also where one takes a little less, as times differ from run to run; long runs are not tried on one."""
    assert runs_alone(program, (2, 1024, 10, 12), (2, 2048, 100, 97)) == [3, 3]
    assert runs_alone(program, (2, 5000, 2000, 1000)) == [0]


def test_the_choice_follows_the_machine(program):
    phases = (2, 1024, 900, 1000), (2, 2048, 1900, 1000), (2, 1024, 2500, 2100), (2, 2048, 900, 2100)
    assert runs_alone(program, *phases) == [3, 2048 - 3 * 3, 1024, 6 + 3 * 3]
    phases = (2, 1024, 900, 1000), (2, 2048, 3000, 1000), (2, 2048, 1500, 1000)  # too long for a while
    assert runs_alone(program, *phases) == [3, 0, 2048 - 3 - 2 * 3]


def test_another_number_of_threads_begins_anew(program):
    assert runs_alone(program, (2, 6, 10, 5), (4, 6, 10, 5), (2, 3, 10, 5)) == [3, 3, 0]


def test_a_program_gives_the_same_bits_whichever_way_it_runs():
    """Of these runs three are on one thread at least."""
    x = np.random.default_rng(0).random((4, 8, 8, 1), dtype=np.float32)
    layers = [cc.layers.Conv2D(8, 3, activation="relu"), cc.layers.Flatten(), cc.layers.Dense(10)]
    model = cc.Sequential([cc.Input((8, 8, 1)), *layers])
    cc.set_threads(2)
    try:
        first = model.predict_on_batch(x)
        assert all(same_bits(model.predict_on_batch(x), first) for _ in range(20))
    finally:
        cc.set_threads(0)
