#!/usr/bin/env bash
# Compiles all of src_c with warnings as errors: with gcc and clang for this machine, and for aarch64 (NEON) with a cross compiler.
# tools/compile_everywhere.sh ; compilers that are not installed are named and left out. On Debian: apt-get install clang gcc-aarch64-linux-gnu
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
common="-std=gnu11 -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -Wall -Wextra -Werror -c -o $out/object.o"

compile() {    # compile COMPILER TARGET-MACRO "ISA flags" ...
    local compiler=$1 target=$2
    shift 2
    if ! command -v "$compiler" > /dev/null; then echo "$compiler: not installed, left out"; return; fi
    for file in src_c/runtime/*.c src_c/ops/*.c; do "$compiler" $common "$target" "$file"; done
    if [ "$compiler" != clang ] || clang -fopenmp -x c -E - < /dev/null > /dev/null 2>&1; then
        "$compiler" $common "$target" -fopenmp src_c/runtime/threads.c || echo "$compiler: has no OpenMP header, threads.c compiled serial only"
    fi
    for isa in "$@"; do
        for file in src_c/kernels/*.c; do "$compiler" $common -DCNN_ISA_$isa "$file"; done
    done
    echo "$compiler: $(ls src_c/runtime/*.c src_c/ops/*.c | wc -l) files and $(ls src_c/kernels/*.c | wc -l) kernel files for each of: $*"
}

x86=(GENERIC "AVX2 -mavx2 -mfma" "AVX512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mprfchw -mprefer-vector-width=512")
for compiler in gcc clang; do compile "$compiler" -DCNN_BUILD_X86 "${x86[@]}"; done
compile aarch64-linux-gnu-gcc -DCNN_BUILD_NEON GENERIC NEON
