/* The geometry of convolutions, shared by their three passes: attributes, shape rules, and where the taps of the
 * kernel fall. */
#ifndef CNN_OPS_CONV2D_GEOMETRY_H
#define CNN_OPS_CONV2D_GEOMETRY_H

#include "attributes.h"

#define CNN_CONV2D_ATTRS \
    CNN_INT_ATTR("kernel_h", 1, 1, 1 << 20), CNN_INT_ATTR("kernel_w", 1, 1, 1 << 20), \
    CNN_INT_ATTR("stride_h", 1, 1, 1 << 20), CNN_INT_ATTR("stride_w", 1, 1, 1 << 20), \
    CNN_PADDING_ATTRS, \
    CNN_INT_ATTR("dilation_h", 1, 1, 1 << 20), CNN_INT_ATTR("dilation_w", 1, 1, 1 << 20), \
    CNN_INT_ATTR("groups", 1, 1, 1 << 20)
enum { CNN_CONV2D_N_ATTRS = 11 };      /* further attributes of an operation follow */

/* A convolution seen from one side: it reads images in_h x in_w x in_channels and writes out_h x out_w x
 * out_channels. Seen backwards (transposed) "in" is its output, grad_y, and "out" its input, grad_x; kernel, stride,
 * padding and dilation are always the forward ones. */
typedef struct cnn_conv2d_geometry {
    int32_t images, in_h, in_w, in_channels, out_h, out_w, out_channels, groups, transposed;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
} cnn_conv2d_geometry;

/* The geometry from the attributes and the shapes of the forward pass. Reads the first CNN_CONV2D_N_ATTRS
 * attributes. */
cnn_conv2d_geometry cnn_conv2d_geometry_of(const cnn_call *c, const cnn_tensor *x, const cnn_tensor *y);
cnn_conv2d_geometry cnn_conv2d_transposed(cnn_conv2d_geometry forward);

/* A product of `rows` vectors with a matrix, the dense layer: a 1x1 convolution over one image of one row. */
cnn_conv2d_geometry cnn_dense_geometry(int64_t rows, int64_t inputs, int64_t outputs);

/* Shape rules. Output height and width of a convolution over in_h x in_w; fails when the kernel is larger than the
 * padded input. */
int cnn_conv2d_out_size(const cnn_call *c, int64_t in_h, int64_t in_w, int64_t *out_h, int64_t *out_w,
                        cnn_error *error);
/* w must be float32 (kernel_h, kernel_w, in_channels / groups, out_channels); in_channels may be -1: any. */
int cnn_conv2d_check_weights(const cnn_call *c, const cnn_tensor *w, int64_t in_channels, cnn_error *error);
/* Fails where counts exceed what the kernels' 32-bit indices hold. */
int cnn_conv2d_check_size(const cnn_conv2d_geometry *g, cnn_error *error);

/* One dimension of a geometry, or of one phase of it. Output i is at coordinate first + i * step; tap t is the
 * kernel's tap + t * tap_step and reads the input's coordinate i * multiplier + offset + t * offset_step, where that
 * is in 0 .. size - 1; offset_step > 0.
 *
 * Forward there is one phase. Backwards, with stride s, input coordinate h = p s - pad + k d gets contributions from
 * tap k only if s divides h + pad - k d: the coordinates h = phase, phase + s, ... use the same taps, so they make a
 * phase of their own, a dense convolution with stride 1, and every tap belongs to exactly one phase. A phase may
 * have no taps. */
typedef struct cnn_conv2d_axis {
    int32_t first, step, count, multiplier, size, taps, tap, tap_step, offset, offset_step;
} cnn_conv2d_axis;

static inline int32_t cnn_conv2d_phases_h(const cnn_conv2d_geometry *g) {
    return g->transposed ? (int32_t)cnn_min(g->stride_h, g->out_h) : 1;
}
static inline int32_t cnn_conv2d_phases_w(const cnn_conv2d_geometry *g) {
    return g->transposed ? (int32_t)cnn_min(g->stride_w, g->out_w) : 1;
}
cnn_conv2d_axis cnn_conv2d_axis_h(const cnn_conv2d_geometry *g, int32_t phase);
cnn_conv2d_axis cnn_conv2d_axis_w(const cnn_conv2d_geometry *g, int32_t phase);

/* Multiply-adds count two; taps that fall into the padding count as well. */
double cnn_conv2d_flops(const cnn_conv2d_geometry *g);

#endif
