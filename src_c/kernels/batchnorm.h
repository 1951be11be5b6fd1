/* Batch normalisation leaves. A tensor of any rank is a matrix (rows, channels), contiguous.
 *
 * WIDE ROWS. Few channels, or channels that are no multiple of the vector, would leave most vectors unfilled. So `fold`
 * consecutive rows are taken as one wide row of width = fold * channels elements, and the constants of the channels are
 * repeated `fold` times ("wide" arrays). What is left at the end (rows % fold) is one shorter wide row. Where `fold` is
 * an argument, cnn_batchnorm_fold_rows() gives it.
 *
 * Every element of an output may overwrite the element of an input at the same place. Arrays of the channels' doubles
 * hold sums. */
#ifndef CNN_KERNELS_BATCHNORM_H
#define CNN_KERNELS_BATCHNORM_H

#include <stddef.h>
#include "elementwise.h"

/* Rows in a wide row: the least that make the width a multiple of 16 and at least 128; one where the channels are so
 * many that a tail is cheap. */
static inline ptrdiff_t cnn_batchnorm_fold_rows(ptrdiff_t channels) {
    if (channels >= 256) return 1;
    ptrdiff_t fold = 1;
    while (fold * channels % 16) fold *= 2;
    while (fold * channels < 128) fold *= 2;
    return fold;
}

/* A gradient where it is made. g is masked by y, or by x * scale + shift, or (both NULL) not; the sums are NULL where
 * not wanted, both or none. y and x lie as g does, their first channel is the call's, like that of the vectors. */
typedef struct cnn_gradient_epilogue {
    cnn_relu_mask mask;
    const float *y, *x, *mean, *scale, *shift;
    double *sum_g, *sum_gx;
} cnn_gradient_epilogue;

/* Sums over what a kernel has just computed: of deviations from `shift`, any of the values, and of their squares,
 * [channels] each. */
typedef struct cnn_moment_sums { float *shift, *sum, *square; } cnn_moment_sums;

/* What is added to a normalisation's result: x, or x * scale + shift where scale is not NULL, which are wide. */
typedef struct cnn_batchnorm_residual { const float *x, *scale, *shift; } cnn_batchnorm_residual;

/* How pixels count for a kernel that reads them: as a batch normalisation and its activation, linear or a relu, give
 * them, act(x scale + shift), with constants [channels]. scale NULL: as they are. */
typedef struct cnn_normalising { const float *scale, *shift; cnn_act act; } cnn_normalising;

typedef struct cnn_batchnorm_kernels {
    /* mean[c] and m2[c] = sum (x - mean)^2 of the rows. scratch: 3 * fold * channels floats. */
    void (*moments)(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t fold, const float *x, float *scratch, double *mean,
                    double *m2);

    /* mean[c] and m2[c] from sums over `count` values. */
    void (*moments_of_sums)(ptrdiff_t count, ptrdiff_t channels, const cnn_moment_sums *sums, double *mean, double *m2);

    /* Moments of `rows` rows from those of blocks of rows_per_block rows (the last may be shorter). Block b's means are
     * at slots + b * stride, its m2 at slots + b * stride + m2_offset. var = sum m2 / rows, biased. */
    void (*combine_moments)(ptrdiff_t channels, ptrdiff_t rows, ptrdiff_t rows_per_block, const double *slots,
                            ptrdiff_t stride, ptrdiff_t m2_offset, float *mean, float *var);

    /* scale = gamma / sqrt(var + epsilon), shift = beta + (bias - mean) * scale; gamma (1), beta (0) and bias (0) may
     * be NULL. */
    void (*constants)(ptrdiff_t channels, const float *bias, const float *mean, const float *var, const float *gamma,
                      const float *beta, double epsilon, float *scale, float *shift);

    /* y = act(x * scale + shift + residual), or x * scale where shift is NULL; without a residual its x is NULL; scale
     * and shift are wide. stream: y is too large to be in a cache when it is read, and x is elsewhere. */
    void (*apply)(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t fold, const float *x, const float *scale,
                  const float *shift, cnn_batchnorm_residual residual, cnn_act act, int stream, float *y);

    /* sum_g[c] = sum g and sum_gx[c] = sum g (x - mean), g being grad_y masked by y, or (y NULL) by x * scale + shift,
     * or (scale NULL too) not; g is written where grad_residual is not NULL. mean, scale, shift are wide. scratch: 2 *
     * fold * channels floats. */
    void (*gradient_sums)(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t fold, const float *grad_y, const float *y,
                          cnn_relu_mask mask, const float *x, const float *mean, const float *scale,
                          const float *shift, float *grad_residual, float *scratch, double *sum_g, double *sum_gx);

    /* The same for `columns` channels of rows that lie at g + at[r], in place. The sums are float within the call, so
     * rows should be some hundreds at most. */
    void (*gradient_epilogue)(ptrdiff_t rows, ptrdiff_t columns, const ptrdiff_t *at, const cnn_gradient_epilogue *p,
                              float *g);

    /* sums[c] = the sum of slots[b * stride + c] over the blocks, in their order. */
    void (*combine_sums)(ptrdiff_t channels, ptrdiff_t blocks, const double *slots, ptrdiff_t stride, double *sums);

    /* With r = 1 / sqrt(var + epsilon) and n rows: grad_gamma = r sum_gx and grad_beta = sum_g; p = gamma r, q = -p r^2
     * sum_gx / n and s = -p sum_g / n - q mean give grad_x = p g + q x + s. gamma (1), grad_gamma and grad_beta may be
     * NULL. */
    void (*gradient_constants)(ptrdiff_t channels, double n, const float *mean, const float *var, const float *gamma,
                               double epsilon, const double *sum_g, const double *sum_gx, float *p, float *q, float *s,
                               float *grad_gamma, float *grad_beta);

    /* grad_x = p g + q x + s, or p g where q is NULL; grad_residual = g where it is not NULL; g as in gradient_sums. p,
     * q, s, scale, shift are wide. x may be NULL where neither q nor scale are given. */
    void (*gradient)(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t fold, const float *grad_y, const float *y,
                     cnn_relu_mask mask, const float *x, const float *scale, const float *shift, const float *p,
                     const float *q, const float *s, float *grad_x, float *grad_residual);

    /* grad_x = p grad_y + q x + s + added, whose rows are added_stride floats apart. */
    void (*gradient_added)(ptrdiff_t rows, ptrdiff_t channels, const float *p, const float *q, const float *s,
                           const float *grad_y, const float *x, const float *added, ptrdiff_t added_stride,
                           float *grad_x);

    /* grad_x = p grad_y + q x + s of `columns` channels, of rows that are `stride` floats apart, in grad_x `pitch`. */
    void (*gradient_columns)(ptrdiff_t rows, ptrdiff_t columns, const float *p, const float *q, const float *s,
                             const float *grad_y, const float *x, ptrdiff_t stride, float *grad_x, ptrdiff_t pitch);

    /* state = momentum * state + (1 - momentum) * sample */
    void (*moving_average)(ptrdiff_t n, double momentum, float *state, const float *sample);
} cnn_batchnorm_kernels;

#endif
