#include "conv2d_source.h"

#include <string.h>

enum { FEW_CHANNELS = 8 };

int cnn_conv2d_merges(const cnn_conv2d_geometry *g) {
    return !g->transposed && g->groups == 1 && g->kernel_w > 1 && g->dilation_w == 1 && g->in_channels <= FEW_CHANNELS;
}

/* Columns of the copy: what the kernel passes over. */
static int64_t copy_columns(const cnn_conv2d_geometry *g) { return (int64_t)(g->out_w - 1) * g->stride_w
    + g->kernel_w; }

/* Rows of the copy for each image of a chunk. */
static int64_t copy_rows(const cnn_conv2d_geometry *g, int64_t pixels) {
    int64_t out_rows = cnn_min(g->out_h, (pixels + g->out_w - 2) / g->out_w + 1);
    return cnn_min(g->in_h, (out_rows - 1) * g->stride_h + (int64_t)(g->kernel_h - 1) * g->dilation_h + 1);
}

int64_t cnn_conv2d_copy_floats(const cnn_conv2d_geometry *g, int64_t pixels) {
    int64_t image = (int64_t)g->out_h * g->out_w, images = cnn_min(g->images, (pixels + image - 2) / image + 1);
    return images * copy_rows(g, pixels) * copy_columns(g) * g->in_channels;
}

cnn_conv2d_source cnn_conv2d_source_of(const cnn_conv2d_geometry *g, int merged, const float *x, int64_t begin,
                                       int64_t end, float *buffer) {
    const int64_t c = g->in_channels, in_row = g->in_w * c;
    if (!merged) return (cnn_conv2d_source){.x = x, .image = g->in_h * in_row, .row = in_row, .pixel = c};
    const int64_t image = (int64_t)g->out_h * g->out_w, row = copy_columns(g) * c;
    const int64_t left = cnn_min(g->pad_left * c, row), middle = cnn_min(in_row, row - left), right = row - left
        - middle;
    const int64_t first_image = begin / image, last_image = (end - 1) / image;
    cnn_conv2d_source s = {.x = buffer, .image = copy_rows(g, end - begin) * row, .row = row, .pixel = c,
        .first_image = (int32_t)first_image};
    for (int64_t n = first_image; n <= last_image; n++) {
        int64_t i = n == first_image ? begin % image / g->out_w : 0, last = n == last_image
            ? (end - 1) % image / g->out_w : g->out_h - 1;
        int64_t from = cnn_max(0, i * g->stride_h - g->pad_top);
        int64_t to = cnn_min(g->in_h - 1, last * g->stride_h - g->pad_top + (int64_t)(g->kernel_h - 1) * g->dilation_h);
        if (n == first_image) s.first_row = (int32_t)from;
        float *y = buffer + (n - first_image) * s.image;
        for (int64_t h = from; h <= to; h++, y += row) {
            memset(y, 0, (size_t)left * sizeof *y);
            memcpy(y + left, x + (n * g->in_h + h) * in_row, (size_t)middle * sizeof *y);
            memset(y + left + middle, 0, (size_t)right * sizeof *y);
        }
    }
    return s;
}

cnn_conv2d_axis cnn_conv2d_source_axis_w(const cnn_conv2d_geometry *g, int merged, int32_t phase) {
    if (!merged) return cnn_conv2d_axis_w(g, phase);
    return (cnn_conv2d_axis){.step = 1, .count = g->out_w, .multiplier = g->stride_w, .size = INT32_MAX, .taps = 1,
        .tap_step = 1};
}
