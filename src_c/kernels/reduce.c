/* Leaves of sums over axes; the contract is in reduce.h. */
#include "kernels.h"
#include "vec.h"

#define VD (VL / 2)                           /* doubles in a vector */
typedef double vd __attribute__((vector_size(VL * 4)));
typedef double vd_unaligned __attribute__((vector_size(VL * 4), aligned(8), may_alias));
typedef float vf_half __attribute__((vector_size(VL * 2), aligned(4), may_alias));

VINLINE vd widen(const float *p) { return __builtin_convertvector(*(const vf_half *)p, vd); }
VINLINE void add_to(double *p, vd v) { *(vd_unaligned *)p += (vd_unaligned)v; }

static double sum(ptrdiff_t n, const float *x) {
    vd a = {0}, b = {0}, c = {0}, d = {0};    /* four chains hide the latency of the addition */
    ptrdiff_t i = 0;
    for (; i + 4 * VD <= n; i += 4 * VD) {
        a += widen(x + i);
        b += widen(x + i + VD);
        c += widen(x + i + 2 * VD);
        d += widen(x + i + 3 * VD);
    }
    a = (a + b) + (c + d);
    double total = 0;
    for (; i < n; i++) total += x[i];
    for (int lane = 0; lane < VD; lane++) total += a[lane];
    return total;
}

static void sum_rows(ptrdiff_t rows, ptrdiff_t n, const float *x, ptrdiff_t stride, double *sums) {
    enum { WIDE = 64 };
    /* short rows: several of them are one long row, folded at the end */
    if (stride == n && n < 4 * VD && rows >= 2 * (WIDE / n)) {
        double wide[WIDE] = {0};
        ptrdiff_t times = WIDE / n, groups = rows / times;
        sum_rows(groups, times * n, x, times * n, wide);
        for (ptrdiff_t t = 0; t < times; t++)
            for (ptrdiff_t j = 0; j < n; j++) sums[j] += wide[t * n + j];
        x += groups * times * n;
        rows -= groups * times;
    }
    ptrdiff_t j = 0;
    for (; j + 4 * VD <= n; j += 4 * VD) {
        vd a = {0}, b = {0}, c = {0}, d = {0};
        for (ptrdiff_t i = 0; i < rows; i++) {
            const float *p = x + i * stride + j;
            a += widen(p);
            b += widen(p + VD);
            c += widen(p + 2 * VD);
            d += widen(p + 3 * VD);
        }
        add_to(sums + j, a);
        add_to(sums + j + VD, b);
        add_to(sums + j + 2 * VD, c);
        add_to(sums + j + 3 * VD, d);
    }
    for (; j + VD <= n; j += VD) {
        vd a = {0};
        for (ptrdiff_t i = 0; i < rows; i++) a += widen(x + i * stride + j);
        add_to(sums + j, a);
    }
    for (; j < n; j++) {
        double a = 0;
        for (ptrdiff_t i = 0; i < rows; i++) a += x[i * stride + j];
        sums[j] += a;
    }
}

static void add_slots(ptrdiff_t slots, ptrdiff_t n, const double *partial, ptrdiff_t stride, float *y) {
    for (ptrdiff_t j = 0; j < n; j++) {
        double total = partial[j];
        for (ptrdiff_t s = 1; s < slots; s++) total += partial[s * stride + j];
        y[j] = (float)total;
    }
}

extern const cnn_reduce_kernels KERNEL(cnn_reduce);
const cnn_reduce_kernels KERNEL(cnn_reduce) = { .sum = sum, .sum_rows = sum_rows, .add_slots = add_slots };
