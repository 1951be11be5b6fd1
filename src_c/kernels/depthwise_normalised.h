/* A depthwise 3x3 convolution that reads a normalised tensor, act(x scale + shift), which need not exist: it is made
 * from x in registers, and so are the moments of the result. Vectors run along the channels. Its gradients are in
 * depthwise_backward.h. */
#ifndef CNN_KERNELS_DEPTHWISE_NORMALISED_H
#define CNN_KERNELS_DEPTHWISE_NORMALISED_H

#include <stddef.h>
#include "batchnorm.h"

/* One row of outputs, or two neighbours. Output q reads with tap j the column q * stride - pad + j of every tap row;
 * columns outside 0..in_w, and the tap rows that the caller leaves out, count as 0. */
typedef struct cnn_depthwise_normalised {
    ptrdiff_t channels;                        /* treated by this call */
    ptrdiff_t pixel;                           /* floats from a pixel to the next, and from a tap of w to the next */
    ptrdiff_t in_w, out_w, pad;
    int stride, taps;                          /* 1 or 2; tap rows, 0 to 3 */
    int outputs;                               /* 1, or 2 where the kernels have two_rows and there are 3 tap rows */
    const float *x, *w;                        /* column 0 of the first tap row; its tap 0 */
    const float *scale, *shift;
    cnn_act act;                               /* of the relu family */
    float *y;                                  /* output 0; rows are dense */
    const cnn_moment_sums *moments;            /* NULL, or added to */
    int start;                                 /* set `moments` up: the first result becomes the shift, sums are zero */
    int stream;                                /* y is too large to be in a cache when it is read; aligned to 64 */
} cnn_depthwise_normalised;

typedef struct cnn_depthwise_normalised_kernels {
    int two_rows;                              /* enough registers for two rows of outputs at once? */
    void (*rows)(const cnn_depthwise_normalised *d);
} cnn_depthwise_normalised_kernels;

#endif
