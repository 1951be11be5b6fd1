/* What the two passes of a convolution with the maximum pooling of its result share: attributes and geometry. */
#ifndef CNN_OPS_CONV2D_MAX_POOL2D_H
#define CNN_OPS_CONV2D_MAX_POOL2D_H

#include "conv2d_gather.h"
#include "pool.h"
#include "winograd.h"

/* After the attributes of conv2d those of max_pool2d, in the order of CNN_POOL_ATTRS. */
enum {
    CNN_CONV2D_POOL_ACTIVATION = CNN_CONV2D_N_ATTRS,
    CNN_CONV2D_POOL_ALPHA,
    CNN_CONV2D_POOL_MAX_VALUE,
    CNN_CONV2D_POOL_FIRST
};

#define CNN_CONV2D_POOL_ATTRS \
    CNN_CONV2D_ATTRS, CNN_ACT_ATTRS, \
    CNN_INT_ATTR("pool_h", 2, 1, 1 << 20), CNN_INT_ATTR("pool_w", 2, 1, 1 << 20), \
    CNN_INT_ATTR("pool_stride_h", 1, 1, 1 << 20), CNN_INT_ATTR("pool_stride_w", 1, 1, 1 << 20), \
    CNN_INT_ATTR("pool_pad_top", 0, 0, 1 << 20), CNN_INT_ATTR("pool_pad_left", 0, 0, 1 << 20), \
    CNN_INT_ATTR("pool_pad_bottom", 0, 0, 1 << 20), CNN_INT_ATTR("pool_pad_right", 0, 0, 1 << 20)

typedef struct cnn_conv2d_pool { cnn_conv2d_geometry conv; cnn_pool pool; } cnn_conv2d_pool;

/* Fails where the convolution has no windows (conv2d_source.h), or is one that Winograd's algorithm computes. */
static inline int cnn_conv2d_pool_geometry(const cnn_call *c, const cnn_tensor *x, int64_t out_channels,
                                           cnn_conv2d_pool *g, cnn_error *error) {
    cnn_tensor t;                      /* the convolution's result */
    cnn_call pooling = {.attr = c->attr + CNN_CONV2D_POOL_FIRST};
    int64_t out_h, out_w;
    if (cnn_conv2d_out_size(c, x->dims[1], x->dims[2], &out_h, &out_w, error)
        || cnn_pool_geometry(&pooling, out_h, out_w, out_channels, &g->pool, error)) return -1;
    cnn_set_shape(&t, 4, x->dims[0], out_h, out_w, out_channels);
    g->conv = cnn_conv2d_geometry_of(c, x, &t);
    if (!cnn_conv2d_has_windows(&g->conv))
        return cnn_fail(error, "x must have few channels, without groups, and the kernel more than one column, without "
                        "dilation, got %lld channels; use conv2d and max_pool2d", (long long)x->dims[3]);
    if (cnn_winograd_form_for(&g->conv) != CNN_NO_WINOGRAD)
        return cnn_fail(error,
                        "the convolution must be one that is computed directly, not by Winograd's algorithm, which "
                        "takes this one, of %lld channels and a kernel of %dx%d; use conv2d and max_pool2d",
                        (long long)x->dims[3], g->conv.kernel_h, g->conv.kernel_w);
    return 0;
}

/* Are the windows 2x2, two apart and whole? */
static inline int cnn_pool_is_halving(const cnn_pool *g) {
    return g->pool_h == 2 && g->pool_w == 2 && g->stride_h == 2 && g->stride_w == 2 && !g->pad_top && !g->pad_left
        && 2 * g->out_h <= g->h && 2 * g->out_w <= g->w;
}

/* Products of one element of the convolution's result. */
static inline int64_t cnn_conv2d_pool_depth(const cnn_conv2d_geometry *g) {
    return (int64_t)g->kernel_h * g->kernel_w * g->in_channels;
}

#endif
