/* What the pooling operations share: attributes, geometry with its checks, and how the work is cut. */
#ifndef CNN_OPS_POOL_H
#define CNN_OPS_POOL_H

#include <string.h>
#include "attributes.h"

enum {
    CNN_POOL_H,
    CNN_POOL_W,
    CNN_POOL_STRIDE_H,
    CNN_POOL_STRIDE_W,
    CNN_POOL_TOP,
    CNN_POOL_LEFT,
    CNN_POOL_BOTTOM,
    CNN_POOL_RIGHT,
    CNN_POOL_ATTR_COUNT
};

#define CNN_POOL_ATTRS \
    CNN_INT_ATTR("pool_h", 2, 1, 1 << 20), CNN_INT_ATTR("pool_w", 2, 1, 1 << 20), \
    CNN_INT_ATTR("stride_h", 1, 1, 1 << 20), CNN_INT_ATTR("stride_w", 1, 1, 1 << 20), CNN_PADDING_ATTRS

/* The size of one axis of the output, floor((size + pads - pool) / stride) + 1; -1 with a sentence where the window
 * does not fit. */
static inline int64_t cnn_pool_out(const char *axis, int64_t size, int64_t pool, int64_t stride, int64_t before,
                                   int64_t after, cnn_error *error) {
    if (pool > size + before + after)
        return cnn_fail(error,
                        "the window must not be larger than the padded input, got a pool_%s of %lld on %lld + %lld + "
                        "%lld; use padding \"same\" or a "
                        "smaller pool_size",
                        axis, (long long)pool, (long long)before, (long long)size, (long long)after);
    int64_t out = (size + before + after - pool) / stride + 1;
    if (before >= pool || (out - 1) * stride - before >= size)
        return cnn_fail(error,
                        "every window must hold a pixel of the image, got a pool_%s of %lld, stride %lld and %lld + "
                        "%lld + %lld pixels; use padding "
                        "smaller than the window",
                        axis, (long long)pool, (long long)stride, (long long)before, (long long)size, (long long)after);
    return out;
}

/* Fills the geometry of images of h x w x c. The operation's attributes begin with CNN_POOL_ATTRS. */
static inline int cnn_pool_geometry(const cnn_call *call, int64_t h, int64_t w, int64_t c, cnn_pool *g,
                                    cnn_error *error) {
    *g = (cnn_pool){.h = h, .w = w, .c = c, .pool_h = cnn_int(call, CNN_POOL_H), .pool_w = cnn_int(call, CNN_POOL_W),
                    .stride_h = cnn_int(call, CNN_POOL_STRIDE_H), .stride_w = cnn_int(call, CNN_POOL_STRIDE_W),
                    .pad_top = cnn_int(call, CNN_POOL_TOP), .pad_left = cnn_int(call, CNN_POOL_LEFT)};
    g->out_h = cnn_pool_out("h", h, g->pool_h, g->stride_h, g->pad_top, cnn_int(call, CNN_POOL_BOTTOM), error);
    if (g->out_h < 0) return -1;
    g->out_w = cnn_pool_out("w", w, g->pool_w, g->stride_w, g->pad_left, cnn_int(call, CNN_POOL_RIGHT), error);
    return g->out_w < 0 ? -1 : 0;
}

/* Fails unless `tensor` has this dtype and the shape (n, out_h, out_w, c). */
static inline int cnn_pool_expect_output(const cnn_tensor *tensor, const char *what, int dtype, int64_t n,
                                         const cnn_pool *g, cnn_error *error) {
    char shape[64];
    if (cnn_expect(tensor, what, 4, dtype, error)) return -1;
    if (tensor->dims[0] == n && tensor->dims[1] == g->out_h && tensor->dims[2] == g->out_w && tensor->dims[3] == g->c)
        return 0;
    return cnn_fail(error, "%s must have the shape of the pooled image, (%lld, %lld, %lld, %lld), got %s", what,
                    (long long)n, (long long)g->out_h, (long long)g->out_w, (long long)g->c,
                    cnn_shape_text(tensor, shape));
}

/* The shape of out[1], the places of the maxima of out[0]. */
static inline int cnn_pool_infer_place(const cnn_pool *g, cnn_tensor *out, cnn_error *error) {
    if (g->pool_h * g->pool_w > CNN_POOL_PLACES)
        return cnn_fail(error, "a window must have at most %d pixels where places are wanted, got %lld",
                        CNN_POOL_PLACES, (long long)(g->pool_h * g->pool_w));
    cnn_like(&out[1], &out[0]);
    out[1].dtype = CNN_U8;
    return 0;
}

/* The cut: images x bands of rows x blocks of channels. No sum crosses units, so it is free: it gives many threads work
 * even at batch 1. */
#define CNN_POOL_UNITS 32              /* wanted at least; ... */
#define CNN_POOL_FEW_UNITS 16          /* ... with fewer than so many the channels are cut */
#define CNN_POOL_CHANNELS 64           /* in a block, where the channels are cut */

typedef struct cnn_pool_cut {
    cnn_pool g;
    int64_t images, bands, channel_blocks, channel_block;
} cnn_pool_cut;

static inline cnn_pool_cut cnn_pool_cut_of(const cnn_pool *g, int64_t images, int64_t bands) {
    cnn_pool_cut cut = {.g = *g, .images = images, .bands = bands};
    cut.channel_block = images * bands >= CNN_POOL_FEW_UNITS ? g->c : CNN_POOL_CHANNELS;
    cut.channel_blocks = cnn_ceil_div(g->c, cut.channel_block);
    return cut;
}

typedef struct cnn_pool_unit { int64_t image, band, c_begin, c_end; } cnn_pool_unit;

static inline int64_t cnn_pool_units(const cnn_pool_cut *cut) { return cut->images * cut->bands * cut->channel_blocks; }
static inline cnn_pool_unit cnn_pool_unit_at(const cnn_pool_cut *cut, int64_t i) {
    int64_t block = i % cut->channel_blocks, row = i / cut->channel_blocks;
    return (cnn_pool_unit){.image = row / cut->bands, .band = row % cut->bands, .c_begin = block * cut->channel_block,
                           .c_end = cnn_min((block + 1) * cut->channel_block, cut->g.c)};
}

#endif
