#!/usr/bin/env bash
# Runs the tests that reach C under AddressSanitizer and UndefinedBehaviorSanitizer: tools/sanitize.sh [PYTEST ARGUMENTS]
# Builds a copy of the working tree in a temporary folder with gcc (or $CC), so the tree's own build stays as it is. Ends with a line that says
# "sanitizers: clean", or with the first report. Needs pytest, numpy, pillow, cython in the Python that runs.
set -euo pipefail
tree=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
python=${PYTHON:-python3}
(cd "$tree" && tar -cf - --exclude=.git --exclude=build --exclude='*.so' --exclude=__pycache__ .) | tar -xf - -C "$copy"
cd "$copy"
export CC=${CC:-gcc}
# -fno-wrapv: Python asks for wrapping signed integers, which would keep overflows from being seen.
flags="-fno-wrapv -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g -O1"
CNNCORE_CFLAGS="$flags" LDFLAGS="-fsanitize=address,undefined" "$python" setup.py -q build_ext --inplace
runtimes=$("$CC" -print-file-name=libasan.so):$("$CC" -print-file-name=libubsan.so)
# Python itself does not free everything at exit, so leaks are not looked for here.
# detect_stack_use_after_return stays off: gcc's replacement stack is not aligned to the 64 bytes of an AVX-512 vector, and vectors
# kept on it end in a segmentation fault.
export ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:detect_stack_use_after_return=0:log_path=$copy/report
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:log_path=$copy/report     # pytest would swallow what goes to stderr
if [ $# = 0 ]; then
    set -- -q -x -p no:cacheprovider tests/test_ops_*.py tests/test_model_file.py tests/test_training*.py tests/test_graph.py
fi
if ! PYTHONPATH="$copy" LD_PRELOAD="$runtimes" "$python" -m pytest "$@"; then
    cat "$copy"/report* 2> /dev/null || true
    echo "sanitizers: FAILED"
    exit 1
fi
echo "sanitizers: clean"
