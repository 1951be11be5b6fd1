"""Builds cnncore/_core: the C library in src_c/, with its kernels compiled once per instruction set, behind one Cython
module.

Metadata is in pyproject.toml. CNNCORE_NO_OPENMP=1 builds the serial library; CC chooses the compiler; CNNCORE_CFLAGS
adds flags, and keeps the names of functions in the library, for debuggers and profilers.
"""

import os
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

COMMON = [
    "-std=gnu11",
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-g0",  # Python's own flags ask for debugging information, which would make the library several times larger
    *os.environ.get("CNNCORE_CFLAGS", "").split(),  # for sanitizers and debuggers; see tools/sanitize.sh
]

# Instruction sets by target: name -> flags for the files in src_c/kernels. The rest of the library is compiled for the
# baseline.
ISAS = {
    "x86_64": {
        "generic": ["-O2"],  # small; what is fast comes from the others
        "avx2": ["-mavx2", "-mfma"],
        "avx512": [
            "-mavx512f",
            "-mavx512bw",
            "-mavx512dq",
            "-mavx512vl",
            "-mavx2",
            "-mfma",
            "-mprfchw",
            "-mprefer-vector-width=512",
        ],
    },
    "aarch64": {"generic": [], "neon": []},
}
TARGET_MACROS = {"x86_64": [("CNN_BUILD_X86", "1")], "aarch64": [("CNN_BUILD_NEON", "1")]}


def target_machine():
    """The processor family that the extension is built for."""
    machine = os.environ.get("CNNCORE_TARGET", platform.machine()).lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


def compiles(compiler, flags):
    """Can the compiler make a program out of an OpenMP loop with these flags?"""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "probe.c")
        with open(source, "w") as file:
            file.write("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        command = [*compiler.compiler_so, source, *flags, "-o", os.path.join(folder, "probe")]
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def up_to_date(target, dependencies):
    """Is the object newer than every file that its compiler read (its -MMD file)? Flags are not looked at: after a
    change of flags build with --force."""
    if not os.path.exists(target) or not os.path.exists(dependencies):
        return False
    with open(dependencies) as file:
        read = file.read().replace("\\\n", " ").split(":", 1)[1].split()
    built = os.path.getmtime(target)
    return all(os.path.exists(path) and os.path.getmtime(path) <= built for path in read)


def in_parallel(compiler, force):
    """The compiler's `compile` method, running one compiler per processor, each on one file, and none on a file whose
    object is up to date."""
    compile = compiler.compile

    def compile_one(source, output_dir, extra_postargs, **arguments):
        (target,) = compiler.object_filenames([source], output_dir=output_dir)
        dependencies = target + ".d"
        if not force and up_to_date(target, dependencies):
            return [target]
        return compile(
            [source],
            output_dir=output_dir,
            extra_postargs=[*extra_postargs, "-MMD", "-MF", dependencies],
            **arguments,
        )

    def parallel(sources, **arguments):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return sum(pool.map(lambda source: compile_one(source, **arguments), sources), [])

    return parallel


class BuildKernels(build_ext):
    """build_ext that compiles src_c/kernels once per instruction set and links the objects into the extension."""

    def build_extension(self, extension):
        machine = target_machine()
        self.compiler.compile = in_parallel(self.compiler, self.force)
        openmp = []
        if os.environ.get("CNNCORE_NO_OPENMP", "0") in ("", "0"):
            openmp = ["-fopenmp"] if compiles(self.compiler, ["-fopenmp"]) else []
            if not openmp:
                print(
                    "cnncore: the C compiler has no OpenMP, so the library is built for ONE thread. Install "
                    "it (with gcc: libgomp; with "
                    "clang: libomp-dev) and build again to use all cores.",
                    file=sys.stderr,
                )
        for isa, flags in ISAS.get(machine, {"generic": []}).items():
            extension.extra_objects += self.compiler.compile(
                sorted(glob("src_c/kernels/*.c")),
                output_dir=os.path.join(self.build_temp, isa),
                macros=[(f"CNN_ISA_{isa.upper()}", "1")],
                include_dirs=extension.include_dirs,
                extra_postargs=COMMON + flags,
                depends=extension.depends,
            )
        extension.define_macros += TARGET_MACROS.get(machine, [])
        extension.extra_compile_args += openmp
        extension.extra_link_args += openmp
        if sys.platform == "linux" and not os.environ.get("CNNCORE_CFLAGS"):
            extension.extra_link_args.append("-Wl,-s")  # without those names: 0.1 MB
        super().build_extension(extension)


extension = Extension(
    "cnncore._core",
    sources=["cnncore/_core.pyx", *sorted(glob("src_c/runtime/*.c")), *sorted(glob("src_c/ops/*.c"))],
    depends=glob("src_c/*/*.h") + glob("src_c/kernels/*.c"),  # the kernels are compiled by build_extension
    include_dirs=["src_c/include"],
    extra_compile_args=COMMON + ["-Wno-unused-parameter"],
    extra_link_args=["-lm"],
)

setup(
    ext_modules=cythonize([extension], build_dir="build", compiler_directives={"language_level": "3"}),
    cmdclass={"build_ext": BuildKernels},
)
