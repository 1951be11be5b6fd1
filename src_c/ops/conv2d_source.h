/* What a convolution reads its pixels from: the tensor itself, in place; or a normalised copy of a chunk's pixels; or,
 * where a pixel has few channels (the first layer), a zero-padded copy of the rows that a chunk of output pixels needs. In the copy the kernel_w *
 * channels values under one row of the kernel are adjacent, so they are MERGED into one tap: the inner loop then
 * runs over kernel_w * channels terms instead of a handful. */
#ifndef CNN_OPS_CONV2D_SOURCE_H
#define CNN_OPS_CONV2D_SOURCE_H

#include "conv2d_geometry.h"

typedef struct cnn_conv2d_source {
    const float *x;
    ptrdiff_t image, row, pixel;      /* pitches, in elements */
    /* the copy begins with this row of this image, and with row 0 of the images after it; or, of one long row, with this
     * pixel */
    int32_t first_image, first_row, first_column;
} cnn_conv2d_source;

/* Does merging pay? */
int cnn_conv2d_merges(const cnn_conv2d_geometry *g);

/* Floats of the copy for any `pixels` adjacent output pixels. */
int64_t cnn_conv2d_copy_floats(const cnn_conv2d_geometry *g, int64_t pixels);

/* The source for the output pixels begin .. end - 1, counted over all images. buffer: where the copy goes if
 * `merged`. */
cnn_conv2d_source cnn_conv2d_source_of(const cnn_conv2d_geometry *g, int merged, const float *x, int64_t begin,
                                       int64_t end, float *buffer);

/* The axis along the width, and the channels of a tap, as the source shows them. */
cnn_conv2d_axis cnn_conv2d_source_axis_w(const cnn_conv2d_geometry *g, int merged, int32_t phase);
static inline int32_t cnn_conv2d_source_channels(const cnn_conv2d_geometry *g, int merged) {
    return merged ? g->kernel_w * g->in_channels : g->in_channels / g->groups;
}

/* Offset of an image's row 0 from source.x; for rows that the copy holds. */
static inline ptrdiff_t cnn_conv2d_source_image(const cnn_conv2d_source *s, int32_t image) {
    return (image - s->first_image) * s->image - (image == s->first_image ? s->first_row * s->row : 0)
        - s->first_column * s->pixel;
}

#endif
