"""How figures are taken: candidates in turn, median and minimum, and everything needed to take them again."""

import importlib.metadata
import os
import platform
import shlex
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor


class Timing:
    """The times of one candidate, in seconds."""

    def __init__(self):
        self.seconds = []

    @property
    def median_s(self):
        return statistics.median(self.seconds)

    @property
    def min_s(self):
        return min(self.seconds)


def alternate(candidates, rounds=7, warmup=2, clock=time.perf_counter):
    """Time functions in turn, A B C A B C ..., so that a drift of the machine meets them all alike.

    Parameters
    ----------
    candidates : dict of str to callable
        Functions without arguments; each call should take much longer than the clock's resolution, and, where
        candidates have thread pools of their own, much longer than an idle thread spins (milliseconds).
    rounds : int
        Timed calls of each candidate, at least 1.
    warmup : int
        Calls of each candidate before that.
    clock : callable
        Returns seconds.

    Returns
    -------
    dict of str to Timing
        In the order of the candidates.
    """
    if rounds < 1:
        raise ValueError(f"alternate: rounds must be at least 1, got {rounds}")
    timings = {name: Timing() for name in candidates}
    for turn in range(-warmup, rounds):
        for name, function in candidates.items():
            start = clock()
            function()
            elapsed = clock() - start
            if turn >= 0:
                timings[name].seconds.append(elapsed)
    return timings


def race(candidates, rounds=7, block_s=0.3, settle_s=0.02, each_round=None, clock=time.perf_counter):
    """Time functions in turn, in blocks of calls: for candidates in one process, each with a thread pool of its own.

    Before a block there is a pause, in which the threads of the one before stop spinning, and a call that is not
    timed, which wakes this one's threads and fills the caches; calls longer than a block do not need that.

    Parameters
    ----------
    candidates : dict of str to callable
        Functions without arguments.
    rounds : int
        Timed blocks of each candidate, at least 1, after a block that warms up.
    block_s : float
        Least duration of a block; at least one call is made.
    settle_s : float
        Of the pause.
    each_round : callable, optional
        Called before each round, outside all blocks.
    clock : callable
        Returns seconds.

    Returns
    -------
    dict of str to Timing
        The medians of the blocks, in seconds a call.
    """
    if rounds < 1:
        raise ValueError(f"race: rounds must be at least 1, got {rounds}")
    timings = {name: Timing() for name in candidates}
    longest = dict.fromkeys(candidates, 0.0)
    for turn in range(-1, rounds):
        if each_round is not None:
            each_round()
        for name, function in candidates.items():
            time.sleep(settle_s)
            if longest[name] < block_s:
                function()
            seconds = []
            while not seconds or sum(seconds) < block_s:
                start = clock()
                function()
                seconds.append(clock() - start)
            longest[name] = max(seconds)
            if turn >= 0:
                timings[name].seconds.append(statistics.median(seconds))
    return timings


def peak(isa, threads, seconds=0.02):
    """Floating-point operations per second that all threads together reach in loops of multiply-adds, at one time."""
    from cnncore import _core

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda _: _core.measure_peak(isa, seconds), range(threads)))


def report(timings, images=None, reference=None):
    """A table of timings as text.

    Parameters
    ----------
    timings : dict of str to Timing
    images : int, optional
        Images a call handles; adds images per second, from the median.
    reference : str, optional
        The candidate that the others are compared with, default the fastest of those behind the first.
    """
    names = list(timings)
    if reference is None and len(names) > 1:
        reference = min(names[1:], key=lambda name: timings[name].median_s)
    width = max(map(len, names))
    lines = []
    for name, timing in timings.items():
        line = f"{name:<{width}}  median {1e3 * timing.median_s:10.3f} ms  min {1e3 * timing.min_s:10.3f} ms"
        if images:
            line += f"  {images / timing.median_s:10.1f} images/s"
        if reference and name != reference:
            line += f"  {timings[reference].median_s / timing.median_s:6.2f} x the speed of {reference}"
        lines.append(line)
    return "\n".join(lines)


def cpu_name():
    """The processor's name, as the operating system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.lower().startswith(("model name", "cpu model")):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: fall through to what Python knows
    return platform.processor() or platform.machine()


def cpu_count():
    """Logical processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def version(package):
    """The version of an imported package, or of an installed one, or "not installed"."""
    found = getattr(sys.modules.get(package), "__version__", None)
    if found:
        return str(found)
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def environment(threads, packages=("cnncore", "torch", "numpy")):
    """CPU, threads, versions and the command, as text: the head of every report."""
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    load = f", load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    return "\n".join(
        [
            f"cpu       {cpu_name()}, {cpu_count()} logical{load}",
            f"threads   {threads}",
            f"versions  Python {platform.python_version()}, {versions}; {platform.platform()}",
            f"command   {shlex.join(['python', *sys.orig_argv[1:]])}",
        ]
    )
