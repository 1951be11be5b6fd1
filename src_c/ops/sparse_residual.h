/* A residual of every `step`-th row and column of an image of pixels alone, from the first on: the gradient of a 1x1
 * convolution with that stride, as shortcuts are, without its zeros. */
#ifndef CNN_OPS_SPARSE_RESIDUAL_H
#define CNN_OPS_SPARSE_RESIDUAL_H

#include "../runtime/op.h"

typedef struct cnn_sparse_residual { int32_t step_h, step_w, h, w; } cnn_sparse_residual;    /* h, w: of the image */

/* A convolution's whose output is y: with its stride, or, where that is 1, of every other row and column. */
static inline cnn_sparse_residual cnn_sparse_residual_of(const cnn_tensor *y, int32_t stride_h, int32_t stride_w) {
    const int strided = stride_h > 1 || stride_w > 1;
    return (cnn_sparse_residual){strided ? stride_h : 2, strided ? stride_w : 2, (int32_t)y->dims[1],
                                 (int32_t)y->dims[2]};
}

/* The shape of y's. */
static inline cnn_tensor cnn_sparse_residual_like(const cnn_sparse_residual *s, const cnn_tensor *y) {
    cnn_tensor residual = *y;
    residual.dims[1] = cnn_ceil_div(s->h, s->step_h);
    residual.dims[2] = cnn_ceil_div(s->w, s->step_w);
    return residual;
}

/* Which of its pixels is added to pixel number `pixel`, counted through all images; negative: none. */
static inline int64_t cnn_sparse_residual_pixel(const cnn_sparse_residual *s, int64_t pixel) {
    const int64_t x = pixel % s->w, row = pixel / s->w, y = row % s->h, image = row / s->h;
    if (y % s->step_h || x % s->step_w) return -1;
    return (image * cnn_ceil_div(s->h, s->step_h) + y / s->step_h) * cnn_ceil_div(s->w, s->step_w) + x / s->step_w;
}

/* Where what is added to a pixel of `channels` channels lies, in floats from `residual` on; where nothing is, zeros are
 * read, as many as the channels. */
static inline ptrdiff_t cnn_sparse_residual_at(const cnn_sparse_residual *s, int64_t pixel, int64_t channels,
                                               const float *residual, const float *zeros) {
    const int64_t from = cnn_sparse_residual_pixel(s, pixel);
    return from < 0 ? ((intptr_t)zeros - (intptr_t)residual) / (ptrdiff_t)sizeof(float) : from * channels;
}

#endif
