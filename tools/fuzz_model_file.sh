#!/bin/sh
# Fuzzes the reader of model files under AddressSanitizer and UndefinedBehaviorSanitizer; needs clang.
#
#     tools/fuzz_model_file.sh [seconds] [corpus folder]
#
# Runs 60 s by default. With a corpus folder (made if missing) what is found is kept for the next run; a crash leaves
# its input there and fails the script.
set -eu
seconds=${1:-60}
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
corpus=${2:-$work/corpus}
mkdir -p "$corpus"

# seed NAME HEADER DATA: a file with that header; DATA is given as printf's format.
seed() {
    length=${#2}
    { printf "\\$(printf %03o $((length % 256)))\\$(printf %03o $((length / 256)))\0\0\0\0\0\0"
      printf %s "$2"; printf "$3"; } > "$corpus/seed_$1"
}
seed empty '{}' ''
seed tensors \
    '{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}}' \
    12345678abc
seed metadata \
    '{"__metadata__":{"k":"v","\u00e9\ud83d\ude00":"\"\\\n"},"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}   ' \
    1234
cat > "$work/words" <<'WORDS'
"\"__metadata__\":{"
"\"dtype\":\"F32\""
"\"dtype\":\"U8\""
"\"dtype\":\"I32\""
"\"dtype\":\"BF16\""
"\"shape\":["
"\"data_offsets\":[0,"
"\\u0000"
"\\ud83d\\ude00"
"9223372036854775807"
"18446744073709551615"
"2147483647"
",\"b\":{"
"\xf4\x8f\xbf\xbf"
WORDS

"${CC:-clang}" -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Wall -Wextra \
    -Wl,--wrap=aligned_alloc -Wl,--wrap=realloc \
    -o "$work/fuzz" "$root/tools/fuzz_model_file.c" "$root/src_c/runtime/model_file.c" "$root/src_c/runtime/memory.c" \
    "$root/src_c/runtime/error.c"
"$work/fuzz" -max_total_time="$seconds" -max_len=4096 -dict="$work/words" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="$corpus/" -print_final_stats=1 "$corpus"
