#include "conv2d_geometry.h"

enum { KERNEL_H, KERNEL_W, STRIDE_H, STRIDE_W, PAD_TOP, PAD_LEFT, PAD_BOTTOM, PAD_RIGHT, DILATION_H, DILATION_W,
    GROUPS };

cnn_conv2d_geometry cnn_conv2d_geometry_of(const cnn_call *c, const cnn_tensor *x, const cnn_tensor *y) {
    return (cnn_conv2d_geometry){
        .images = (int32_t)x->dims[0], .in_h = (int32_t)x->dims[1], .in_w = (int32_t)x->dims[2],
            .in_channels = (int32_t)x->dims[3],
        .out_h = (int32_t)y->dims[1], .out_w = (int32_t)y->dims[2], .out_channels = (int32_t)y->dims[3],
            .groups = (int32_t)cnn_int(c, GROUPS),
        .kernel_h = (int32_t)cnn_int(c, KERNEL_H), .kernel_w = (int32_t)cnn_int(c, KERNEL_W),
        .stride_h = (int32_t)cnn_int(c, STRIDE_H), .stride_w = (int32_t)cnn_int(c, STRIDE_W),
        .pad_top = (int32_t)cnn_int(c, PAD_TOP), .pad_left = (int32_t)cnn_int(c, PAD_LEFT),
        .dilation_h = (int32_t)cnn_int(c, DILATION_H), .dilation_w = (int32_t)cnn_int(c, DILATION_W)};
}

cnn_conv2d_geometry cnn_conv2d_transposed(cnn_conv2d_geometry g) {
    cnn_conv2d_geometry t = g;
    t.in_h = g.out_h; t.in_w = g.out_w; t.in_channels = g.out_channels;
    t.out_h = g.in_h; t.out_w = g.in_w; t.out_channels = g.in_channels;
    t.transposed = 1;
    return t;
}

cnn_conv2d_geometry cnn_dense_geometry(int64_t rows, int64_t inputs, int64_t outputs) {
    return (cnn_conv2d_geometry){.images = 1, .in_h = 1, .in_w = (int32_t)rows, .in_channels = (int32_t)inputs,
        .out_h = 1, .out_w = (int32_t)rows,
        .out_channels = (int32_t)outputs, .groups = 1, .kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1,
            .dilation_h = 1, .dilation_w = 1};
}

int cnn_conv2d_out_size(const cnn_call *c, int64_t in_h, int64_t in_w, int64_t *out_h, int64_t *out_w,
                        cnn_error *error) {
    int64_t reach_h = (cnn_int(c, KERNEL_H) - 1) * cnn_int(c, DILATION_H) + 1, reach_w = (cnn_int(c, KERNEL_W) - 1)
        * cnn_int(c, DILATION_W) + 1;
    int64_t free_h = in_h + cnn_int(c, PAD_TOP) + cnn_int(c, PAD_BOTTOM) - reach_h, free_w = in_w
        + cnn_int(c, PAD_LEFT) + cnn_int(c, PAD_RIGHT) - reach_w;
    if (free_h < 0 || free_w < 0)
        return cnn_fail(error, "kernel %lldx%lld%s with padding (%lld, %lld, %lld, %lld) is larger than the input "
                        "%lldx%lld; use padding=\"same\" or a smaller kernel",
                        (long long)reach_h, (long long)reach_w, cnn_int(c, DILATION_H) > 1
                            || cnn_int(c, DILATION_W) > 1 ? " (dilated)" : "",
                        (long long)cnn_int(c, PAD_TOP), (long long)cnn_int(c, PAD_LEFT),
                            (long long)cnn_int(c, PAD_BOTTOM), (long long)cnn_int(c, PAD_RIGHT),
                        (long long)in_h, (long long)in_w);
    *out_h = free_h / cnn_int(c, STRIDE_H) + 1;
    *out_w = free_w / cnn_int(c, STRIDE_W) + 1;
    return 0;
}

int cnn_conv2d_check_weights(const cnn_call *c, const cnn_tensor *w, int64_t in_channels, cnn_error *error) {
    char shape[64];
    if (cnn_expect(w, "w", 4, CNN_F32, error)) return -1;
    if (w->dims[0] != cnn_int(c, KERNEL_H) || w->dims[1] != cnn_int(c, KERNEL_W))
        return cnn_fail(error, "w must have shape (kernel_h, kernel_w, in, out) with kernel %lldx%lld, got %s",
                        (long long)cnn_int(c, KERNEL_H),
                        (long long)cnn_int(c, KERNEL_W), cnn_shape_text(w, shape));
    int64_t groups = cnn_int(c, GROUPS);
    if (in_channels >= 0 && in_channels % groups)
        return cnn_fail(error, "groups must divide the number of input channels, got groups %lld for %lld channels",
                        (long long)groups, (long long)in_channels);
    if (in_channels >= 0 && w->dims[2] != in_channels / groups)
        return cnn_fail(error, "w must have %lld input channels (%lld channels in %lld groups), got shape %s",
                        (long long)(in_channels / groups),
                        (long long)in_channels, (long long)groups, cnn_shape_text(w, shape));
    if (w->dims[3] % groups)
        return cnn_fail(error, "groups must divide the number of output channels, got groups %lld for %lld channels",
                        (long long)groups, (long long)w->dims[3]);
    return 0;
}

int cnn_conv2d_check_size(const cnn_conv2d_geometry *g, cnn_error *error) {
    const double limit = 2147483647.0;
    if ((double)g->images * g->out_h * g->out_w > limit || (double)g->images * g->in_h * g->in_w > limit)
        return cnn_fail(error, "a batch must have at most 2147483647 pixels, got %d images of %dx%d and "
                        "%dx%d; use a smaller batch", g->images, g->in_h, g->in_w,
                        g->out_h, g->out_w);
    if ((double)g->stride_h * g->out_h > limit || (double)g->stride_w * g->out_w > limit || (double)g->stride_h
        * g->in_h > limit
        || (double)g->stride_w * g->in_w > limit || (double)g->dilation_h * g->kernel_h > limit
            || (double)g->dilation_w * g->kernel_w > limit)
        return cnn_fail(error, "stride or dilation times the size must be at most 2147483647");
    return 0;
}

static int32_t gcd(int32_t a, int32_t b) {
    while (b) { int32_t r = a % b; a = b; b = r; }
    return a;
}

static cnn_conv2d_axis axis_of(int transposed, int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad,
                               int32_t dilation, int32_t phase) {
    if (!transposed)
        return (cnn_conv2d_axis){.first = 0, .step = 1, .count = out, .multiplier = stride, .size = in, .taps = kernel,
            .tap = 0, .tap_step = 1,
                                 .offset = -pad, .offset_step = dilation};
    cnn_conv2d_axis a = {.first = phase, .step = stride, .count = (out - phase + stride - 1) / stride, .multiplier = 1,
        .size = in};
    const int32_t common = gcd(stride, dilation), every = stride / common;
    int32_t first = 0;
    while (first < every && first < kernel && (phase + pad - first * dilation) % stride != 0) first++;
    if (first >= every || first >= kernel) return a;             /* no taps */
    a.taps = (kernel - first + every - 1) / every;
    /* from the last to the first, so that the coordinates read ascend */
    a.tap_step = -every;
    a.tap = first + (a.taps - 1) * every;
    a.offset = (phase + pad - a.tap * dilation) / stride;
    a.offset_step = dilation / common;
    return a;
}

cnn_conv2d_axis cnn_conv2d_axis_h(const cnn_conv2d_geometry *g, int32_t phase) {
    return axis_of(g->transposed, g->in_h, g->out_h, g->kernel_h, g->stride_h, g->pad_top, g->dilation_h, phase);
}
cnn_conv2d_axis cnn_conv2d_axis_w(const cnn_conv2d_geometry *g, int32_t phase) {
    return axis_of(g->transposed, g->in_w, g->out_w, g->kernel_w, g->stride_w, g->pad_left, g->dilation_w, phase);
}

double cnn_conv2d_flops(const cnn_conv2d_geometry *g) {
    double pixels = (double)g->images * (g->transposed ? (double)g->in_h * g->in_w : (double)g->out_h * g->out_w);
    return 2.0 * pixels * g->kernel_h * g->kernel_w * g->in_channels / g->groups * g->out_channels;
}
