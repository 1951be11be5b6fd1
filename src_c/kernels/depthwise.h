/* Depthwise convolution leaves: every channel has its own filter, vectors run along the channels. Forward and backward
 * in the input, with any stride and dilation, are the same row with other steps. */
#ifndef CNN_KERNELS_DEPTHWISE_H
#define CNN_KERNELS_DEPTHWISE_H

#include <stddef.h>
#include "elementwise.h"

/* One row of outputs, or two neighbours. Output q reads with tap j the column q * stride + offset + j * step of every
 * tap row; columns outside 0..in_w count as 0. Tap rows outside the image are left out by the caller. Distances are
 * elements and may be negative. */
typedef struct cnn_depthwise_row {
    ptrdiff_t channels;                        /* treated by this call */
    ptrdiff_t taps_h, taps_w;                  /* 0 or more */
    ptrdiff_t in_w, out_w, stride, offset, step;
    ptrdiff_t x_row, x_pixel;                  /* from a tap row to the next, from a column to the next */
    ptrdiff_t w_row, w_tap;                    /* from a tap row's weights to the next, from a tap's to the next */
    ptrdiff_t y_pixel;
    /* 1, or 2 rows of outputs, the second `stride` tap rows below the first and at y + y_row: where the kernels have
     * two_rows, both have 3 x 3 taps with step 1, and the stride is 1 or 2 */
    ptrdiff_t outputs, y_row;
    int in_memory;                             /* x is not in a cache: the rows below are fetched ahead */
} cnn_depthwise_row;

typedef struct cnn_depthwise_kernels {
    int two_rows;                              /* enough registers for two rows of outputs at once? */

    /* y[q] = act(sum_{i,j} x[i, column(q, j)] w[i, j] + bias); bias may be NULL. */
    void (*row)(const cnn_depthwise_row *g, const float *x, const float *w, const float *bias, cnn_act act, float *y);

    /* grad_w[i, j] += sum_q x[i, column(q, j)] grad_y[q] */
    void (*weight_row)(const cnn_depthwise_row *g, const float *x, const float *grad_y, float *grad_w);

    /* sum[c] += sum_p x[p * x_pixel + c], p in 0..pixels */
    void (*add_pixels)(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t x_pixel, const float *x, float *sum);

    /* y[i] = sum_b slots[b * stride + i], in double, in the order of b */
    void (*combine)(ptrdiff_t n, ptrdiff_t blocks, const float *slots, ptrdiff_t stride, float *y);

    /* Channel multiplier m: y[c * m + j] = x[c] of every pixel, and the sums back, y[c] = sum_j x[c * m + j]. */
    void (*repeat)(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t m, const float *x, float *y);
    void (*contract)(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t m, const float *x, float *y);
} cnn_depthwise_kernels;

#endif
