/* Convolution as an indirect matrix product: forward, backward to the input, transposed, and dense layers are one
 * algorithm.
 *
 *     y[q][o] = act(bias[o] + residual[q][o] + sum over taps t, channels c of x[pixel(q, t)][c] * w[t][c][o])
 *
 * Output pixels q are cut into chunks, chunks into register tiles (kernels/gemm.h). For the pixels of a chunk a
 * table of pointers into x is made, one for each tap; taps in the padding point at zeros, and a tap that is in the
 * padding for a whole tile is left out. Where maps are small a tile is the same pixel of several images, so that
 * this happens often. Taps that are adjacent in memory make one run of the inner loop. No copy of the activations is
 * made (but see conv2d_source.h).
 *
 * Loop order: phase, then chunk x panel of output channels (the parallel axis), block of input channels, tile. One
 * block of packed weights, taps x block x width, stays in L2 while all tiles of a chunk use it. */
#ifndef CNN_OPS_INDIRECT_GEMM_H
#define CNN_OPS_INDIRECT_GEMM_H

#include "conv2d_source.h"

/* The tensors; the optional ones may be NULL. Where g.transposed, x is grad_y and y is grad_x. */
typedef struct cnn_indirect_gemm_operands {
    const cnn_tensor *x, *w, *bias, *residual, *y;
    const cnn_tensor *mean, *var;     /* biased moments of y over all pixels */
} cnn_indirect_gemm_operands;

/* Plans into c->plan. act: CNN_LINEAR with max_value infinity for none. */
int cnn_indirect_gemm_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g, cnn_act act,
                           const cnn_indirect_gemm_operands *t, cnn_error *error);
void cnn_indirect_gemm_pack(const cnn_call *c, const cnn_exec *e, const cnn_tensor *w);
void cnn_indirect_gemm_run(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *t);
double cnn_indirect_gemm_flops(const cnn_call *c);

#endif
