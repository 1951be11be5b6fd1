/* Convolution by Winograd's algorithm, forward and backward to the input: for 3x3 kernels with stride 1 by F(4x4, 3x3),
 * four times fewer multiply-adds, with narrow tiles where rows or columns are left over, or by F(2x2, 3x3), 2.25
 * times fewer, where the map is too small for that; with stride 2 by F(4x4, 2x2) of the pixels that meet four taps of
 * the kernel and its relatives of the others, 1.8 times fewer; for 5x5 kernels with stride 1 by F(2x2, 5x5), 2.8 times
 * fewer; and, forward, for the first layer of networks for large images by F(3x3, 4x4) of folded pixels, three times
 * fewer.
 *
 * The output is cut into tiles, tiles into blocks. For a block: transform the input pixels of each tile into elements,
 * 36 but for F(2x2, 3x3), V[36][tile][channel]; for each panel of output channels 36 matrix products M[e] = V[e] U[e]
 * with the kernel's transforms U[panel][e][channel][width], which are made when the weights are packed; transform M
 * into pixels, with bias, residual and activation. V and M of a block stay in L2. Parallel over blocks, or over
 * blocks and ranges of panels where blocks are few.
 *
 * A dilated kernel with stride 1 is done so in phases, see winograd_tiles.h.
 *
 * With groups, and stride 1, each is done so by itself; or, where their channels fill a vector together, a bundle of 2,
 * 4 or 8 groups, with zeros for the kernel between groups: one and a half to four times as fast as direct sums. (What
 * is not finite in one group makes NaN of the same pixels in the others of its bundle.)
 *
 * Pixels that are to be normalised (cnn_normalised) are so in the transform's copy of them, in L1. */
#ifndef CNN_OPS_WINOGRAD_H
#define CNN_OPS_WINOGRAD_H

#include "indirect_gemm.h"
#include "winograd_tiles.h"

/* The form to take (kernels/winograd.h), or CNN_NO_WINOGRAD where the direct product is faster or no form is for these
 * convolutions. Decided by the shapes alone. */
enum { CNN_NO_WINOGRAD = -1 };
int cnn_winograd_form_for(const cnn_conv2d_geometry *g);

/* Groups of a bundle; 1 where each is computed by itself, or there are none. */
int cnn_winograd_bundled(const cnn_conv2d_geometry *g);

/* As the functions of the same names in indirect_gemm.h. */
int cnn_winograd_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g, cnn_act act,
                      const cnn_indirect_gemm_operands *t, cnn_error *error);
void cnn_winograd_pack(const cnn_call *c, const cnn_exec *e, const cnn_tensor *w);
double cnn_winograd_flops(const cnn_call *c);
void cnn_winograd_run(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *t);

/* rescaled: see cnn_winograd_images. */
cnn_winograd_images cnn_winograd_images_of(const cnn_call *c, const cnn_exec *e, const cnn_tensor *x,
                                           const cnn_normalised *norm, cnn_rescaling by, float *rescaled);

#endif
