/* Convolution by Winograd's F(4x4, 3x3): for 3x3 kernels with stride 1, forward and backward to the input, four times
 * fewer multiply-adds; or by F(2x2, 3x3), 2.25 times fewer, where the map is too small for that.
 *
 * The output is cut into tiles of 4x4 pixels, tiles into blocks. For a block: transform the 6x6 input pixels of each
 * tile into 36 elements, V[36][tile][channel]; for each panel of output channels 36 matrix products M[e] = V[e] U[e]
 * with the kernel's transforms U[panel][e][channel][width], which are made when the weights are packed; transform M
 * into 4x4 pixels, with bias, residual and activation. V and M of a block stay in L2. Parallel over blocks, or over
 * blocks and ranges of panels where blocks are few. */
#ifndef CNN_OPS_WINOGRAD_H
#define CNN_OPS_WINOGRAD_H

#include "indirect_gemm.h"

/* Is it possible, and faster than the direct product? 4 or 2, the form to take, or 0. Decided by the shapes alone. */
int cnn_winograd_suits(const cnn_conv2d_geometry *g);

/* As the functions of the same names in indirect_gemm.h. */
int cnn_winograd_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g, cnn_act act,
                      const cnn_indirect_gemm_operands *t, cnn_error *error);
void cnn_winograd_pack(const cnn_call *c, const cnn_exec *e, const cnn_tensor *w);
double cnn_winograd_flops(const cnn_call *c);
void cnn_winograd_run(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *t);

#endif
