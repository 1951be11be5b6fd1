/* Instruction sets: what was built in, what the processor has, what is used. */
#include "isa.h"
#include "../include/cnncore.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

extern const cnn_kernels cnn_kernels_generic;
#if defined(CNN_BUILD_X86)
extern const cnn_kernels cnn_kernels_avx2, cnn_kernels_avx512;
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#elif defined(CNN_BUILD_NEON)
extern const cnn_kernels cnn_kernels_neon;
#endif

static int always(void) { return 1; }

static const struct { const cnn_kernels *kernels; int (*available)(void); } built[] = {    /* ascending */
    {&cnn_kernels_generic, always},
#if defined(CNN_BUILD_X86)
    {&cnn_kernels_avx2, has_avx2},
    {&cnn_kernels_avx512, has_avx512},
#elif defined(CNN_BUILD_NEON)
    {&cnn_kernels_neon, always},       /* every aarch64 processor has it */
#endif
};

static int in_use = -1;                /* -1: not chosen yet */

int cnn_isa_count(void) { return (int)(sizeof built / sizeof *built); }
const cnn_kernels *cnn_isa_kernels(int isa) { return built[isa].kernels; }
const char *cnn_isa_name(int isa) { return isa >= 0 && isa < cnn_isa_count() ? built[isa].kernels->isa : NULL; }
int cnn_isa_available(int isa) { return isa >= 0 && isa < cnn_isa_count() && built[isa].available(); }

int cnn_isa_in_use(void) {
    if (in_use >= 0) return in_use;
    /* An unknown or unavailable name is reported by the Python layer; here it is as if unset. */
    const char *wanted = getenv("CNNCORE_ISA");
    int best = 0;
    for (int isa = 0; isa < cnn_isa_count(); isa++) {
        if (!cnn_isa_available(isa)) continue;
        best = isa;
        if (wanted && strcmp(wanted, cnn_isa_name(isa)) == 0) break;
    }
    return in_use = best;
}

int cnn_set_isa(int isa) {
    if (!cnn_isa_available(isa)) return -1;
    in_use = isa;
    return 0;
}

const char *cnn_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#else
    return "unknown";
#endif
}

double cnn_measure_peak(int isa, double seconds) {
    if (!cnn_isa_available(isa)) return 0;
    double best = 0, spent = 0;
    while (spent < seconds) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        double flops = built[isa].kernels->peak(200000);
        clock_gettime(CLOCK_MONOTONIC, &b);
        double s = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
        if (flops / s > best) best = flops / s;
        spent += s;
    }
    return best;
}
