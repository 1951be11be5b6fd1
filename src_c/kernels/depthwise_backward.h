/* Both gradients of a depthwise 3x3 convolution that reads a normalised tensor, y = act(x scale + shift), which need
 * not exist: y is computed again from x, and the gradient of y goes through the activation's derivative before it is
 * written. Vectors run along the channels. */
#ifndef CNN_KERNELS_DEPTHWISE_BACKWARD_H
#define CNN_KERNELS_DEPTHWISE_BACKWARD_H

#include <stddef.h>
#include "elementwise.h"

/* One row of x or more, with the rows of grad_y that tap rows 0 to 2 of the kernel bring to the first of them. Arrays
 * of `rows` pointers go by the tap row. Column j of x meets tap b of output column q where j = q * stride - pad + b. */
typedef struct cnn_depthwise_backward {
    ptrdiff_t channels;                        /* treated by this call */
    ptrdiff_t pixel, grad_y_pixel;             /* floats from one pixel to the next; pixel also from tap to tap of w */
    ptrdiff_t in_w, out_w, pad;
    int stride, rows;                          /* 1 or 2; 1 to 3 */
    ptrdiff_t lines;                           /* rows of x; with stride 2 only one */
    const float *x, *mean, *scale, *shift;
    cnn_act act;                               /* of the relu family */
    const float *grad_y[3], *w[3];             /* column 0; tap 0 of the row */
    /* What is asked for with column q of grad_y, from two tensors: at coming[i] + q * pixel. Never read. */
    const float *coming[2];
    float *grad_w[3];                          /* added to */
    float *grad_x;                             /* act'(y) times the gradient of y */
    double *sum_g, *sum_gx;                    /* added to: sums of grad_x and of grad_x (x - mean) */
    int stream;                                /* grad_x is too large to be in a cache when it is read; aligned to 64 */
} cnn_depthwise_backward;

typedef struct cnn_depthwise_backward_kernels {
    void (*rows)(const cnn_depthwise_backward *b);
} cnn_depthwise_backward_kernels;

#endif
