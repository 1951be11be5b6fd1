/* The epilogue of gradients (batchnorm.h) for kernels that have the gradient in registers. */
#ifndef CNN_KERNELS_OUTPUT_GRADIENT_H
#define CNN_KERNELS_OUTPUT_GRADIENT_H

#include "batchnorm.h"
#include "relu.h"
#include "vec.h"

/* A gradient's epilogue in registers, for a vector of channels. Which of y and x are there is the same for all
 * results. */
typedef struct output_gradient {
    const float *y, *x;
    vf mean, scale, shift, sum_g, sum_gx;
    relu_slopes slopes;
    int scaled;
} output_gradient;

VINLINE output_gradient output_gradient_of(const cnn_gradient_epilogue *e, ptrdiff_t c, ptrdiff_t n) {
    return (output_gradient){.y = e->y,
                             .x = e->x,
                             .mean = e->mean ? vload_upto(e->mean + c, n) : vzero(),
                             .scale = e->scale ? vload_upto(e->scale + c, n) : vzero(),
                             .shift = e->scale ? vload_upto(e->shift + c, n) : vzero(),
                             .slopes = relu_slopes_of(e->mask),
                             .scaled = e->scale != NULL};
}

/* g at `at` from the first pixel, masked and counted. */
VINLINE vf through_output_gradient(output_gradient *e, vf g, ptrdiff_t at, ptrdiff_t n) {
    const vf x = e->x ? vload_upto(e->x + at, n) : vzero();
    if (e->y) g = relu_masked(g, vload_upto(e->y + at, n), e->slopes);
    else if (e->scaled) g = relu_masked(g, vfma(x, e->scale, e->shift), e->slopes);
    e->sum_g += g;
    e->sum_gx = vfma(g, x - e->mean, e->sum_gx);
    return g;
}

/* Adds the sums to those of the channels. */
VINLINE void add_output_sums(const output_gradient *e, const cnn_gradient_epilogue *to, ptrdiff_t c, ptrdiff_t n) {
    float g[VL], gx[VL];
    if (!to->sum_g) return;
    vstore(g, e->sum_g);
    vstore(gx, e->sum_gx);
    for (ptrdiff_t i = 0; i < n; i++) to->sum_g[c + i] += g[i];
    for (ptrdiff_t i = 0; i < n; i++) to->sum_gx[c + i] += gx[i];
}

#endif
