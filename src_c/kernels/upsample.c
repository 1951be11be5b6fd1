/* Leaves of upsampling; the contract is in upsample.h. */
#include "kernels.h"
#include "vec.h"

VINLINE void copy(ptrdiff_t n, const float *x, float *y) {
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) vstore(y + i, vload(x + i));
    if (i < n) vstore_n(y + i, vload_n(x + i, n - i), n - i);
}

static void repeat_pixels(ptrdiff_t w, ptrdiff_t c, ptrdiff_t factor, const float *x, float *y) {
    for (ptrdiff_t i = 0; i < w; i++, x += c)
        for (ptrdiff_t k = 0; k < factor; k++, y += c) copy(c, x, y);
}

/* As a sum of two products, not a + weight (b - a): that would lose digits where a is much larger than the result. */
VINLINE vf mix(vf a, vf b, vf weight) { return vfma(weight, b, (vset(1) - weight) * a); }

static void bilinear_row(ptrdiff_t w, ptrdiff_t c, ptrdiff_t factor, const float *low, const float *high, float weight,
                         float *y) {
    vf down = vset(weight);
    for (ptrdiff_t q = 0; q < w * factor; q++, y += c) {
        cnn_tap tap = cnn_upsample_tap(CNN_BILINEAR, q, w, factor);
        const float *a = low + tap.low * c, *b = low + tap.high * c, *d = high + tap.low * c, *f = high + tap.high * c;
        vf right = vset(tap.weight);
        ptrdiff_t j = 0;
        for (; j + VL <= c; j += VL)
            vstore(y + j, mix(mix(vload(a + j), vload(d + j), down), mix(vload(b + j), vload(f + j), down), right));
        if (j < c) {
            ptrdiff_t rest = c - j;
            vf left = mix(vload_n(a + j, rest), vload_n(d + j, rest), down);
            vstore_n(y + j, mix(left, mix(vload_n(b + j, rest), vload_n(f + j, rest), down), right), rest);
        }
    }
}

static void accumulate(ptrdiff_t n, float weight, const float *x, int add, float *y) {
    vf a = vset(weight);
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) vstore(y + i, add ? vfma(a, vload(x + i), vload(y + i)) : a * vload(x + i));
    if (i < n) vstore_n(y + i, add ? vfma(a, vload_n(x + i, n - i), vload_n(y + i, n - i)) : a * vload_n(x + i, n - i),
                        n - i);
}

static void gather_row(int mode, ptrdiff_t w, ptrdiff_t c, ptrdiff_t factor, const float *grad_y, float *grad_x) {
    for (ptrdiff_t i = 0; i < w; i++, grad_x += c) {
        ptrdiff_t begin, end;
        int add = 0;
        cnn_upsample_range(mode, i, w, factor, &begin, &end);
        for (ptrdiff_t q = begin; q < end; q++) {
            float weight = cnn_upsample_weight(mode, q, i, w, factor);
            if (weight == 0) continue;
            accumulate(c, weight, grad_y + q * c, add, grad_x);
            add = 1;
        }
    }
}

extern const cnn_upsample_kernels KERNEL(cnn_upsample);
const cnn_upsample_kernels KERNEL(cnn_upsample) = {
    .repeat_pixels = repeat_pixels, .bilinear_row = bilinear_row, .accumulate = accumulate, .gather_row = gather_row,
};
