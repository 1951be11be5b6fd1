/* The gradient in the weights of convolutions and dense layers:
 *
 *     grad_w[t][c][o] = sum over output pixels q of x[pixel(q, t)][c] * grad_y[q][o]
 *     grad_bias[o]    = sum over q of grad_y[q][o]
 *
 * Registers hold a few adjacent input channels x a panel of output channels while the sum runs over a block of
 * pixels. Pixels whose tap is in the padding are left out: x is read through lists of pointers, tap by tap. Large
 * register tiles read it, and grad_y, where they lie. Small ones, of short vectors or few registers, wait for what
 * misses the first cache: where it is used often enough, x is CUT first, which is a copy of the pixels that a block
 * reads, tile by tile of channels, and panels of grad_y are packed; blocks are larger then, as a call's costs count
 * more. x is a copy as well where it is normalised. Of windows (conv2d_windows.h) a tap is a row of the kernel.
 *
 * The pixels are cut, by shapes alone, into blocks and groups of blocks, each with its own partial sums
 * (weight_gradient_parts.h). Rows (t, c) and columns of grad_w are cut freely, by threads and so that a unit's part of
 * grad_w stays in L2 while its blocks of pixels pass by. Loop order in a unit: block of pixels, panel, tile of
 * channels, tap: the panel stays in L1, and so do the tile's pixels for all taps. */
#ifndef CNN_OPS_WEIGHT_GRADIENT_H
#define CNN_OPS_WEIGHT_GRADIENT_H

#include "indirect_gemm.h"
#include "normalised_gradient.h"
#include "panels.h"
#include "weight_gradient_parts.h"

/* Floats: pixels a multiple of BAD_PITCH apart fall into few sets of a cache; a copy of them is padded. */
enum { CNN_BAD_PITCH = 128, CNN_PITCH_PAD = 16 };
static inline int64_t cnn_pitch_pad(int64_t channels) { return channels % CNN_BAD_PITCH == 0 ? CNN_PITCH_PAD : 0; }

typedef struct cnn_weight_gradient_operands {
    const cnn_tensor *x, *grad_y, *grad_w, *grad_bias;
    cnn_normalised norm;              /* see indirect_gemm.h */
    cnn_rescaling rescaling;
    /* out not NULL: its d is what stands above for grad_y, without a grad_bias; of windows */
    cnn_normalised_gradient gradient;
} cnn_weight_gradient_operands;

/* Panels of such a width that the fewest tiles do, with tiles of so many channels: panels and tiles of unequal sizes
 * leave registers idle. */
cnn_panels cnn_weight_gradient_panels(const cnn_kernels *k, int64_t columns, int64_t channels);

/* Has a tile so many multiply-adds a pixel that what misses the first cache arrives meanwhile? Then it need not be
 * copied, although few of a tile's pixels share a line with others. */
int cnn_weight_gradient_hides_misses(const cnn_panels *panels);

/* How grad_w is cut for a number of threads, into ranges of rows and of panels of its columns, with `count` pieces of
 * work over all groups. Any cut gives the same sums: only groups and blocks of pixels, which the shapes fix, decide how
 * they are added up. */
typedef struct cnn_weight_gradient_cut { int64_t row_ranges, panel_ranges, count; } cnn_weight_gradient_cut;

/* A piece has at most unit_tiles tiles of rows and unit_panels panels, and not less than least_tiles for the threads'
 * sake. */
cnn_weight_gradient_cut cnn_weight_gradient_cut_of(int threads, int64_t groups, int64_t tiles, int64_t unit_tiles,
                                                   int64_t least_tiles, int64_t panels, int64_t unit_panels);

/* Products of large matrices are those of pointwise_weight_gradient.h. */
int cnn_weight_gradient_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g,
                             const cnn_weight_gradient_operands *o, cnn_error *error);
void cnn_weight_gradient_run(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o);
double cnn_weight_gradient_flops(const cnn_call *c);

#endif
