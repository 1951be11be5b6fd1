/* Pooling leaves, on one NHWC image: x (h, w, c), y (out_h, out_w, c). Vectors run along the channels, of which a call
 * treats c_begin..c_end. */
#ifndef CNN_KERNELS_POOL_H
#define CNN_KERNELS_POOL_H

#include <stddef.h>
#include <stdint.h>
#include "batchnorm.h"

/* Window (p, q) covers the rows p * stride_h - pad_top onwards, pool_h of them, and columns alike; every window holds a
 * pixel of the image. */
typedef struct cnn_pool {
    ptrdiff_t h, w, c, out_h, out_w, pool_h, pool_w, stride_h, stride_w, pad_top, pad_left;
    ptrdiff_t count_include_pad;      /* averages: divide by the window's size, not by its pixels inside the image */
} cnn_pool;

/* The place of a window's maximum is the number of its first pixel, in row-major order among the pixels of the window
 * that lie inside the image, that equals the maximum (that is NaN, where that is). */
#define CNN_POOL_PLACES 256           /* a byte each: no window with more pixels has places */

/* Products of the gradients of pooling windows with what a convolution read for the one pixel of each, that of its
 * maximum: of the four pixels that a dense product takes three are zeros. Windows are 2x2, two apart.
 *
 *     w[k][c] += sum over windows m of grad[m][c] * (at[m][c] < VL ? top : bottom)[m * step + at[m][c] % VL + k]
 */
typedef struct cnn_pool_products {
    ptrdiff_t rows, windows, channels;        /* windows: of a row */
    ptrdiff_t taps;                           /* 1 to CNN_POOL_TAPS */
    const float *x;                           /* top: what the first window's upper pixels read; VL floats are read */
    ptrdiff_t below, step, row_step;          /* from there to bottom, the next window, the next row of windows */
    /* [rows][windows][channels]; up to VL - 1 elements more are read, `at` of any value */
    const float *grad;
    const int32_t *at;
    float *w;                                 /* [taps][channels] */
} cnn_pool_products;
enum { CNN_POOL_TAPS = 8 };

typedef struct cnn_pool_kernels {
    /* Row p of y: the maximum of each window, NaN where it holds a NaN; and its place, unless place is NULL. */
    void (*max_row)(const cnn_pool *g, ptrdiff_t p, ptrdiff_t c_begin, ptrdiff_t c_end, const float *x,
                    cnn_normalising norm, float *y, uint8_t *place);

    /* Row p of y: the mean of each window. */
    void (*average_row)(const cnn_pool *g, ptrdiff_t p, ptrdiff_t c_begin, ptrdiff_t c_end, const float *x, float *y);

    /* Rows h_begin..h_end of grad_x: each grad_y, masked by y, goes to the place of the window's maximum; where
     * place is NULL it is found by comparing x with y, else x is not read. */
    void (*max_backward_rows)(const cnn_pool *g, ptrdiff_t h_begin, ptrdiff_t h_end, ptrdiff_t c_begin, ptrdiff_t c_end,
                              const float *x, const uint8_t *place, const float *y, const float *grad_y,
                              cnn_relu_mask mask, float *grad_x);

    /* This and the next one: NULL where an instruction set has no fast look-up in two vectors. */
    void (*products)(const cnn_pool_products *p);
    /* What it needs of n elements: grad_y masked by y, and where the pixel at the place is found, pixels of a row
     * being `step` floats apart, at most VL - CNN_POOL_TAPS. */
    void (*look_up)(ptrdiff_t n, ptrdiff_t step, const uint8_t *place, const float *y, const float *grad_y,
                    cnn_relu_mask mask, float *grad, int32_t *at);

    /* Row h of grad_x: the sum over the windows that hold the pixel of grad_y / count. */
    void (*average_backward_row)(const cnn_pool *g, ptrdiff_t h, ptrdiff_t c_begin, ptrdiff_t c_end,
                                 const float *grad_y, float *grad_x);
} cnn_pool_kernels;

#endif
