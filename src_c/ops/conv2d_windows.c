#include "conv2d_windows.h"

#include <string.h>

enum {
    NARROW = 128,                     /* floats of an image's row */
    LINE = 64,                        /* bytes of a cache line */
};

cnn_conv2d_geometry cnn_conv2d_windowed(const cnn_conv2d_geometry *g) {
    cnn_conv2d_geometry rows = cnn_dense_geometry((int64_t)g->images * g->out_h * g->out_w,
                                                  (int64_t)g->kernel_w * g->in_channels, g->out_channels);
    rows.kernel_h = g->kernel_h;
    return rows;
}

/* Where rows of an image are short, borders are never far: all rows that the pixels of an image need are copied, a
 * band, once for all the rows of output that share them. */
static int narrow(const cnn_conv2d_geometry *g) { return (int64_t)g->in_w * g->in_channels <= NARROW; }

/* ---- padded copies ---- */

/* Floats of a row, and rows, that output columns, and rows, `first` to `last` pass over. */
static int64_t padded_row(const cnn_conv2d_geometry *g, int64_t first, int64_t last) {
    return ((last - first) * g->stride_w + g->kernel_w) * g->in_channels;
}
static int64_t padded_rows(const cnn_conv2d_geometry *g, int64_t first, int64_t last) {
    return (last - first) * g->stride_h + (int64_t)(g->kernel_h - 1) * g->dilation_h + 1;
}

static void copy(const cnn_conv2d_images *x, int64_t from, int64_t count, float *to) {
    if (x->rescale) x->rescale(count, (const uint8_t *)x->x + from, x->by.scale, x->by.offset, to);
    else memcpy(to, (const float *)x->x + from, (size_t)count * sizeof *to);
}

/* What rows i .. i_last, columns j .. j_last of the output of image w->n read, with its padding, goes to the memory. */
static const float *pad(cnn_windows *w, int64_t i, int64_t i_last, int64_t j, int64_t j_last) {
    const cnn_conv2d_geometry *g = w->g;
    const int64_t in_row = (int64_t)g->in_w * g->in_channels, image = w->n * g->in_h * in_row;
    const int64_t begin = (j * g->stride_w - g->pad_left) * g->in_channels, row = padded_row(g, j, j_last);
    const int64_t left = cnn_min(cnn_max(-begin, 0), row), middle = cnn_max(cnn_min(in_row - begin, row) - left, 0);
    const int64_t top = i * g->stride_h - g->pad_top, rows = padded_rows(g, i, i_last);
    float *const copied = w->memory, *to = copied;
    for (int64_t h = top; h < top + rows; h++, to += row) {
        if (h < 0 || h >= g->in_h) { memset(to, 0, (size_t)row * sizeof *to); continue; }
        memset(to, 0, (size_t)left * sizeof *to);
        copy(w->images, image + h * in_row + begin + left, middle, to + left);
        memset(to + left + middle, 0, (size_t)(row - left - middle) * sizeof *to);
    }
    w->memory = to;
    return copied;
}

/* ---- windows ---- */

int64_t cnn_windows_floats(const cnn_conv2d_geometry *g, int64_t pixels, int64_t spare) {
    const int64_t tall = padded_rows(g, 0, 0);
    if (!narrow(g)) return tall * pixels * cnn_max(g->stride_w, g->kernel_w) * g->in_channels + spare;
    const int64_t map = (int64_t)g->out_h * g->out_w;
    const int64_t rows = (pixels + g->out_w - 2) / g->out_w + 1, bands = (pixels + map - 2) / map + 1;
    return (rows * g->stride_h + bands * cnn_max(tall - g->stride_h, 0)) * padded_row(g, 0, g->out_w - 1) + spare;
}

cnn_windows cnn_windows_of(const cnn_conv2d_geometry *g, const cnn_conv2d_images *x, int64_t begin, int64_t end,
                           int64_t spare, float *memory) {
    const int64_t row = begin / g->out_w;
    return (cnn_windows){.g = g, .images = x, .left = end - begin, .n = row / g->out_h, .i = row % g->out_h,
                         .j = begin % g->out_w, .spare = spare, .memory = memory};
}

static cnn_window_row in_band(cnn_windows *w) {
    const cnn_conv2d_geometry *g = w->g;
    const int64_t row = padded_row(g, 0, g->out_w - 1);
    if (!w->band) {
        w->band = pad(w, w->i, cnn_min(g->out_h - 1, w->i + (w->j + w->left - 1) / g->out_w), 0, g->out_w - 1);
        w->band_row = w->i;
    }
    const int64_t at = (w->i - w->band_row) * g->stride_h * row + w->j * g->stride_w * g->in_channels;
    return (cnn_window_row){.first = w->band + at, .row = g->dilation_h * row};
}

/* Of `count` pixels: in place, or a copy of their own. */
static cnn_window_row in_image(cnn_windows *w, int64_t count) {
    const cnn_conv2d_geometry *g = w->g;
    const cnn_conv2d_images *x = w->images;
    const int64_t row = (int64_t)g->in_w * g->in_channels, tall = padded_rows(g, 0, 0), last = w->j + count - 1;
    const int64_t top = w->i * g->stride_h - g->pad_top, left = w->j * g->stride_w - g->pad_left,
        right = last * g->stride_w - g->pad_left + g->kernel_w;
    const int64_t begin = (w->n * g->in_h + top) * row + left * g->in_channels,
        end = (w->n * g->in_h + top + tall - 1) * row + right * g->in_channels;
    /* what the next row of output reads besides comes meanwhile */
    const int64_t size = x->rescale ? 1 : sizeof(float), bytes = count * g->stride_w * g->in_channels * size;
    for (int64_t h = cnn_max(tall, g->stride_h); h < tall + g->stride_h; h++) {
        const char *coming = (const char *)x->x + (begin + h * row) * size;
        for (int64_t k = 0; k < bytes; k += LINE) __builtin_prefetch(coming + k, 0, 2);
    }
    if (!x->rescale && top >= 0 && top + tall <= g->in_h && left >= 0 && right <= g->in_w
        && end + w->spare <= g->images * g->in_h * row)
        return (cnn_window_row){.first = (const float *)x->x + begin, .row = g->dilation_h * row};
    return (cnn_window_row){.first = pad(w, w->i, w->i, w->j, last), .row = g->dilation_h * padded_row(g, w->j, last)};
}

cnn_window_row cnn_windows_next(cnn_windows *w, int64_t most) {
    const cnn_conv2d_geometry *g = w->g;
    const int64_t count = cnn_min(cnn_min(most, w->left), g->out_w - w->j);
    cnn_window_row next = narrow(g) ? in_band(w) : in_image(w, count);
    next.count = count;
    next.apart = (ptrdiff_t)g->stride_w * g->in_channels;
    w->left -= count;
    w->j += count;
    if (w->j == g->out_w) {
        w->j = 0;
        if (++w->i == g->out_h) { w->i = 0; w->n++; w->band = NULL; }
    }
    return next;
}
