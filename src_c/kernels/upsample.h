/* Leaves of upsampling by whole factors, over one row of pixels (w pixels of c channels). */
#ifndef CNN_KERNELS_UPSAMPLE_H
#define CNN_KERNELS_UPSAMPLE_H

#include <stddef.h>

enum { CNN_NEAREST, CNN_BILINEAR };

/* Where output position p of one axis comes from: (1 - weight) x[low] + weight x[high]. */
typedef struct cnn_tap { ptrdiff_t low, high; float weight; } cnn_tap;

/* Nearest: p / factor. Bilinear: the centre (p + 1/2) / factor - 1/2, clamped to 0 .. size - 1; in units of 1 / (2
 * factor) it is the integer 2 p + 1 - factor, so no rounding decides where a position falls. */
static inline cnn_tap cnn_upsample_tap(int mode, ptrdiff_t p, ptrdiff_t size, ptrdiff_t factor) {
    if (mode == CNN_NEAREST) return (cnn_tap){p / factor, p / factor, 0};
    ptrdiff_t centre = 2 * p + 1 - factor < 0 ? 0 : 2 * p + 1 - factor, low = centre / (2 * factor);
    return (cnn_tap){low, low + 1 < size ? low + 1 : low, (float)(centre % (2 * factor)) / (float)(2 * factor)};
}
/* The share of input position i in output position p. */
static inline float cnn_upsample_weight(int mode, ptrdiff_t p, ptrdiff_t i, ptrdiff_t size, ptrdiff_t factor) {
    cnn_tap tap = cnn_upsample_tap(mode, p, size, factor);
    return (tap.low == i ? 1 - tap.weight : 0) + (tap.high == i ? tap.weight : 0);
}
/* The output positions [*begin, *end) in which input position i can have a share. */
static inline void cnn_upsample_range(int mode, ptrdiff_t i, ptrdiff_t size, ptrdiff_t factor, ptrdiff_t *begin,
                                      ptrdiff_t *end) {
    ptrdiff_t reach = mode == CNN_NEAREST ? 0 : 1;
    *begin = i < reach ? 0 : (i - reach) * factor;
    *end = i + 1 + reach > size ? size * factor : (i + 1 + reach) * factor;
}

typedef struct cnn_upsample_kernels {
    /* y: each of the w pixels `factor` times. */
    void (*repeat_pixels)(ptrdiff_t w, ptrdiff_t c, ptrdiff_t factor, const float *x, float *y);
    /* y (w * factor pixels) between the rows low and high: (1 - weight) low + weight high, interpolated along the
     * row. */
    void (*bilinear_row)(ptrdiff_t w, ptrdiff_t c, ptrdiff_t factor, const float *low, const float *high, float weight,
                         float *y);
    /* y[i] = weight x[i], or with add: y[i] += weight x[i]. */
    void (*accumulate)(ptrdiff_t n, float weight, const float *x, int add, float *y);
    /* The adjoint along a row: grad_x (w pixels) = the sum over the output pixels q of weight(q, i) grad_y (w *
     * factor pixels). */
    void (*gather_row)(int mode, ptrdiff_t w, ptrdiff_t c, ptrdiff_t factor, const float *grad_y, float *grad_x);
} cnn_upsample_kernels;

#endif
