/* What the batch normalisation operations share: how a tensor of shape (..., c) is cut, and arrays with one constant
 * per channel. */
#ifndef CNN_OPS_BATCHNORM_H
#define CNN_OPS_BATCHNORM_H

#include <string.h>
#include "attributes.h"

#define CNN_EPSILON_ATTR CNN_FLOAT_ATTR("epsilon", 1e-3, 0, INFINITY)

/* Blocks of rows, fixed by the shape: the unit of sums and of the threads' shares. */
typedef struct cnn_batchnorm_cut {
    int64_t rows, channels;
    int64_t fold, width;              /* of wide rows, see kernels/batchnorm.h */
    int64_t block, blocks;            /* rows in a block, number of blocks */
} cnn_batchnorm_cut;

/* About 64 KB a block, so that it passes through the first caches once, and at least 32 wide rows, so that combining
 * the blocks is cheap. */
static inline cnn_batchnorm_cut cnn_batchnorm_cut_of(const cnn_tensor *x) {
    cnn_batchnorm_cut cut = {.rows = cnn_rows(x), .channels = cnn_last(x)};
    cut.fold = cnn_batchnorm_fold_rows(cut.channels);
    cut.width = cut.fold * cut.channels;
    cut.block = cut.fold * cnn_max(32, 16384 / cut.width);
    cut.blocks = cnn_ceil_div(cut.rows, cut.block);
    return cut;
}

/* Rows of block b. */
static inline int64_t cnn_batchnorm_rows(const cnn_batchnorm_cut *cut, int64_t b) {
    return cnn_min(cut->block, cut->rows - b * cut->block);
}

/* This thread's share of the channels, for what is done once per channel. */
static inline void cnn_share_channels(const cnn_exec *e, int64_t channels, int64_t *begin, int64_t *end) {
    cnn_share_grain(e, channels, 16, begin, end);
}

/* Copies the constants of the channels begin..end to the other rows of a wide array. */
static inline void cnn_batchnorm_widen(const cnn_batchnorm_cut *cut, float *wide, int64_t begin, int64_t end) {
    for (int64_t k = 1; k < cut->fold && begin < end; k++)
        memcpy(wide + k * cut->channels + begin, wide + begin, (size_t)(end - begin) * sizeof *wide);
}

/* A wide copy of the channels' constants, made in `wide` by all threads, each the channels begin..end; the constants
 * themselves where they are wide already. */
static inline const float *cnn_batchnorm_wide(const cnn_batchnorm_cut *cut, const float *constants, float *wide,
                                              int64_t begin, int64_t end) {
    if (cut->fold == 1) return constants;
    if (begin < end) memcpy(wide + begin, constants + begin, (size_t)(end - begin) * sizeof *wide);
    cnn_batchnorm_widen(cut, wide, begin, end);
    return wide;
}

/* Fails unless a residual's scale and shift, where there are any, are those of its channels, both, and it is there. */
static inline int cnn_batchnorm_check_residual(const cnn_tensor *residual, const cnn_tensor *scale,
                                               const cnn_tensor *shift, int64_t channels, cnn_error *error) {
    if (cnn_expect_vector(scale, "residual_scale", channels, error) ||
        cnn_expect_vector(shift, "residual_shift", channels, error))
        return -1;
    if (!scale == !shift && (residual || !scale)) return 0;
    return cnn_fail(error, "residual_scale and residual_shift must be given together, and with a residual");
}

/* A gradient whose sums are taken: of grad_y through the activation's derivative, from y or from scale and shift, where
 * there is one (see gradient_sums in kernels/batchnorm.h). mean, scale and shift are wide. */
typedef struct cnn_batchnorm_gradient {
    const float *grad_y, *y, *x, *mean, *scale, *shift;
    cnn_relu_mask mask;
    float *grad_residual;
} cnn_batchnorm_gradient;

/* sums: [g, gx][channel], for this thread's share of the channels, once all threads have called it: those of every
 * block of rows in a slot of its own, then the slots in their order, with a barrier between. slots: [block][g,
 * gx][channel]. Each thread's workspace has room for two wide arrays. */
void cnn_batchnorm_gradient_sums(const cnn_call *c, const cnn_exec *e, const cnn_batchnorm_cut *cut,
                                 const cnn_batchnorm_gradient *g, double *slots, double *sums);

#endif
