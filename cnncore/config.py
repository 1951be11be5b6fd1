"""The library's settings: instruction set, threads, and what it was built with."""

import os

from . import _core


def _check_environment():
    """Wrong values of the environment variables are refused with a sentence before anything is computed: by whatever
    imports the settings, as the compiler does."""
    isa = os.environ.get("CNNCORE_ISA")
    if isa and isa not in _core.available_isas():
        raise ImportError(
            f"CNNCORE_ISA must be one of {', '.join(_core.available_isas())} on this processor, got {isa!r}"
        )
    exact = os.environ.get("CNNCORE_EXACT")
    if exact not in (None, "", "0", "1"):
        raise ImportError(f"CNNCORE_EXACT must be 0 or 1, got {exact!r}")
    threads = os.environ.get("CNNCORE_NUM_THREADS")
    if threads and not (threads.isdigit() and 1 <= int(threads) <= _core.MAX_THREADS):
        raise ImportError(f"CNNCORE_NUM_THREADS must be 1 to {_core.MAX_THREADS}, got {threads!r}")


_check_environment()


def get_exact():
    """Are programs compiled with direct convolutions only? False unless CNNCORE_EXACT=1 or set_exact said so."""
    return _core.get_exact()


def set_exact(exact):
    """Choose how programs that are compiled from now on convolve.

    Parameters
    ----------
    exact : bool
        True keeps to direct convolutions. False, the default, lets 3x3 convolutions with stride 1 or 2, 5x5 ones with
        stride 1, either with any dilation where the stride is 1, and first layers of 7x7 with stride 2 use Winograd's
        algorithm where it is faster. Its results differ in the last digits: errors are about twice those of a direct
        sum in the results, four to five times in the weight gradients, and a NaN or infinity spreads to the tiles that
        it touches, of up to 4x4 results (a dilation apart), or 8x8 gradients with stride 2.
    """
    _core.set_exact(exact)


def get_threads():
    """The number of threads that models use: CNNCORE_NUM_THREADS or OMP_NUM_THREADS, else one for each core, as far as
    affinity and the container's quota allow.
    """
    return _core.get_threads()


def set_threads(threads):
    """Set the number of threads, 1 to 256; 0 returns to the default. Results do not depend on it. A model whose runs
    are short takes only one of them where the clock tells that this is faster.
    """
    _core.set_threads(threads)


def get_isa():
    """The instruction set in use: "generic", "avx2", "avx512" or "neon". CNNCORE_ISA sets it from outside."""
    return _core.get_isa()


def set_isa(name):
    """Use the instruction set `name` for programs that are compiled from now on. ValueError names those that are
    available.
    """
    _core.set_isa(name)


def show_config(print_fn=print):
    """Print version, compiler, instruction sets built, available and in use, threads and OpenMP, line by line through
    `print_fn`; returns them as a dict.
    """
    config = {
        "version": _core.VERSION,
        "compiler": _core.compiler(),
        "instruction sets built": ", ".join(_core.built_isas()),
        "instruction sets available": ", ".join(_core.available_isas()),
        "instruction set in use": _core.get_isa(),
        "threads": _core.get_threads(),
        "convolutions": "direct only" if _core.get_exact() else "direct and Winograd",
        "OpenMP": "yes" if _core.has_openmp() else "no (the library is serial)",
    }
    for key, value in config.items():
        print_fn(f"{key + ':':28s}{value}")
    return config
