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
#include "gradient_epilogue.h"

/* x as a batch normalisation and its activation give it, act(x scale + shift), computed a piece at a time where it is
 * read. scale NULL: x itself. With direct sums also act(x scale + shift + residual), where residual is not NULL, which
 * may have a scale and a shift of its own; and it is written to memory for others, in `written`, where that is not
 * NULL: by the one piece of work of each chunk that comes first. */
typedef struct cnn_normalised {
    const cnn_tensor *scale, *shift, *residual, *residual_scale, *residual_shift, *written;
    cnn_act act;
} cnn_normalised;

/* The tensors; the optional ones may be NULL. Where g.transposed, x is grad_y and y is grad_x. */
typedef struct cnn_indirect_gemm_operands {
    /* residual: of y's shape, or one of sparse_residual.h */
    const cnn_tensor *x, *w, *bias, *residual, *y;
    cnn_normalised norm;              /* of 1x1 convolutions that read every pixel once, in order, and of Winograd's */
    cnn_rescaling rescaling;          /* of a uint8 x */
    const cnn_tensor *mean, *var;     /* biased moments of y over all pixels */
    cnn_gradient_epilogue_operands gradient;    /* where y is a gradient; all zero otherwise */
} cnn_indirect_gemm_operands;

/* Which algorithm a convolution's plan is of: the first member of every plan, set by the choice in convolution.c, for
 * CNN_POINTWISE weight_gradient.c, or for CNN_FEW_ROWS dense.c. */
typedef enum cnn_algorithm { CNN_INDIRECT_GEMM, CNN_POINTWISE, CNN_WINOGRAD, CNN_FEW_ROWS } cnn_algorithm;

/* What the algorithms share. The checks of a plan: */
int cnn_indirect_gemm_check(const cnn_conv2d_geometry *g, cnn_act act, const cnn_indirect_gemm_operands *t,
                            cnn_error *error);

/* The activation as far as a kernel applies it to what it holds in registers, clamping to low..high; without in_tile
 * the rest is done on what is hot. */
typedef struct cnn_epilogue { int in_tile; float low, high; } cnn_epilogue;
cnn_epilogue cnn_epilogue_of(cnn_act act);
/* The rest of it, for `columns` of the `channels` channels of neighbouring pixels, from y on. */
static inline void cnn_activate_pixels(const cnn_call *c, cnn_act act, int64_t pixels, int64_t columns,
                                       int64_t channels, float *y) {
    if (columns == channels) {                    /* they are one piece of memory */
        columns *= pixels;
        pixels = 1;
    }
    for (; pixels > 0; pixels--, y += channels) c->kernels->elementwise->activate(act, columns, y, y);
}

/* Batch moments: every piece of the output has a slot, by its number; the slots are combined in order after a barrier.
 */
typedef struct cnn_moments_slots { int64_t pieces, channels; double *counts, *mean, *squares; } cnn_moments_slots;
int64_t cnn_moments_slots_bytes(int64_t channels, int64_t pieces);
cnn_moments_slots cnn_moments_slots_of(char *memory, int64_t channels, int64_t pieces);
/* Notes the pixels at[0..pixels) of channels from..from + columns of y, a piece's; one caller per piece counts the
 * pixels. */
void cnn_moments_add(const cnn_call *c, const cnn_moments_slots *s, int64_t piece, int counts, int64_t pixels,
                     int64_t from, int64_t columns, const float *y, const ptrdiff_t *at);
/* All threads together; parallel over channels. mean, var: NULL where not wanted. */
void cnn_moments_combine(const cnn_call *c, const cnn_exec *e, const cnn_moments_slots *s, float *mean, float *var);

/* Plans into c->plan. act: CNN_LINEAR with max_value infinity for none. */
int cnn_indirect_gemm_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g, cnn_act act,
                           const cnn_indirect_gemm_operands *t, cnn_error *error);
void cnn_indirect_gemm_pack(const cnn_call *c, const cnn_exec *e, const cnn_tensor *w);
void cnn_indirect_gemm_run(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *t);
double cnn_indirect_gemm_flops(const cnn_call *c);

#endif
