#include "conv2d_source.h"

enum { FEW_CHANNELS = 8 };

cnn_conv2d_geometry cnn_conv2d_flattened(cnn_conv2d_geometry g) {
    if (g.kernel_h != 1 || g.kernel_w != 1 || g.stride_h != 1 || g.stride_w != 1 || g.pad_top || g.pad_left
        || g.in_h != g.out_h || g.in_w != g.out_w) return g;
    g.in_w = g.out_w = g.images * g.out_h * g.out_w;
    g.images = g.in_h = g.out_h = 1;
    return g;
}

int cnn_conv2d_has_windows(const cnn_conv2d_geometry *g) {
    return !g->transposed && g->groups == 1 && g->kernel_w > 1 && g->dilation_w == 1 && g->in_channels <= FEW_CHANNELS;
}

int cnn_conv2d_check_images(const cnn_call *c, int first, cnn_error *error) {
    const cnn_tensor *x = c->in[0];
    const cnn_rescaling by = cnn_rescaling_of(c, first);
    if (cnn_expect(x, "x", 4, x->dtype == CNN_U8 ? CNN_U8 : CNN_F32, error)) return -1;
    if (x->dtype == CNN_F32 && (by.scale != 1 || by.offset != 0))
        return cnn_fail(error, "x_scale and x_offset must be 1 and 0 for a float32 x, got %g and %g; rescale it with "
                        "affine", by.scale, by.offset);
    const cnn_conv2d_geometry g = cnn_conv2d_geometry_of(c, x, x);       /* whatever its output */
    if (x->dtype == CNN_U8 && !cnn_conv2d_has_windows(&g))
        return cnn_fail(error, "a uint8 x must have at most %d channels in one group, and a kernel wider than 1 "
                        "without dilation along rows, got %d channels, groups %d, kernel_w %d and dilation_w %d; "
                        "rescale it to float32 with affine",
                        FEW_CHANNELS, g.in_channels, g.groups, g.kernel_w, g.dilation_w);
    return 0;
}

cnn_conv2d_images cnn_conv2d_images_of(const cnn_call *c, const cnn_exec *e, const cnn_tensor *x, cnn_rescaling by) {
    return (cnn_conv2d_images){c->kernels, cnn_data(e, x),
                               x->dtype == CNN_U8 ? c->kernels->elementwise->affine_u8 : NULL,
                               by};
}
