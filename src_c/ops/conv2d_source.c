#include "conv2d_source.h"

#include <string.h>

/* COPIED: floats moved at a time, so that up to COPIED - 1 more than asked for are written; what comes next overwrites
 * them. */
enum { FEW_CHANNELS = 8, COPIED = 4 };
typedef float copied __attribute__((vector_size(COPIED * sizeof(float)), aligned(4), may_alias));

cnn_conv2d_geometry cnn_conv2d_flattened(cnn_conv2d_geometry g) {
    if (g.kernel_h != 1 || g.kernel_w != 1 || g.stride_h != 1 || g.stride_w != 1 || g.pad_top || g.pad_left
        || g.in_h != g.out_h || g.in_w != g.out_w) return g;
    g.in_w = g.out_w = g.images * g.out_h * g.out_w;
    g.images = g.in_h = g.out_h = 1;
    return g;
}

int cnn_conv2d_gathers(const cnn_conv2d_geometry *g) {
    return !g->transposed && g->groups == 1 && g->kernel_w > 1 && g->dilation_w == 1 && g->in_channels <= FEW_CHANNELS;
}

cnn_conv2d_geometry cnn_conv2d_gathered(const cnn_conv2d_geometry *g) {
    return cnn_dense_geometry((int64_t)g->images * g->out_h * g->out_w,
                              (int64_t)g->kernel_h * g->kernel_w * g->in_channels, g->out_channels);
}

/* First the rows that the chunk reads are copied with their padding, so that the rest knows no borders: columns that
 * the kernel passes over, and rows of each image, those in the padding as well. */
static int64_t padded_row(const cnn_conv2d_geometry *g) {
    return ((int64_t)(g->out_w - 1) * g->stride_w + g->kernel_w) * g->in_channels;
}

/* Of output rows `first` to `last` of an image. */
static int64_t padded_rows(const cnn_conv2d_geometry *g, int64_t first, int64_t last) {
    return (last - first) * g->stride_h + (int64_t)(g->kernel_h - 1) * g->dilation_h + 1;
}

static int64_t gathered_floats(int64_t pixels, int64_t pitch) { return cnn_round_up(pixels * pitch + COPIED, 16); }

int64_t cnn_conv2d_gather_floats(const cnn_conv2d_geometry *g, int64_t pixels, int64_t pitch) {
    const int64_t rows = cnn_min(g->out_h, (pixels + g->out_w - 2) / g->out_w + 1);
    return gathered_floats(pixels, pitch) + padded_rows(g, 0, rows - 1) * padded_row(g) + COPIED;
}

/* Rows of image x that output rows first .. last read, with their padding. */
static void pad_rows(const cnn_conv2d_geometry *g, const float *x, int64_t first, int64_t last, float *to) {
    const int64_t in_row = (int64_t)g->in_w * g->in_channels, row = padded_row(g);
    const int64_t left = cnn_min((int64_t)g->pad_left * g->in_channels, row), middle = cnn_min(in_row, row - left);
    const int64_t top = first * g->stride_h - g->pad_top, rows = padded_rows(g, first, last);
    for (int64_t h = top; h < top + rows; h++, to += row) {
        if (h < 0 || h >= g->in_h) { memset(to, 0, (size_t)row * sizeof *to); continue; }
        memset(to, 0, (size_t)left * sizeof *to);
        memcpy(to + left, x + h * in_row, (size_t)middle * sizeof *to);
        memset(to + left + middle, 0, (size_t)(row - left - middle) * sizeof *to);
    }
}

/* `pixels` neighbours in a row. pieces: of a kernel row, in COPIED floats; a constant where they are few. */
static inline __attribute__((always_inline)) void
gather_row(const cnn_conv2d_geometry *g, int64_t pieces, int64_t pixels, const float *from, int64_t pitch, float *to) {
    const int64_t step = (int64_t)g->dilation_h * padded_row(g), span = (int64_t)g->kernel_w * g->in_channels;
    const int64_t next = (int64_t)g->stride_w * g->in_channels, rows = g->kernel_h;
    for (int64_t q = 0; q < pixels; q++, from += next, to += pitch) {
        const float *x = from;
        float *tap = to;
        for (int64_t kh = 0; kh < rows; kh++, x += step, tap += span)
            for (int64_t k = 0; k < pieces; k++) *(copied *)(tap + k * COPIED) = *(const copied *)(x + k * COPIED);
    }
}

void cnn_conv2d_gather(const cnn_conv2d_geometry *g, const float *x, int64_t begin, int64_t end, int64_t pitch,
                       float *memory) {
    const int64_t map = (int64_t)g->out_h * g->out_w, pieces = cnn_ceil_div(g->kernel_w * g->in_channels, COPIED);
    float *padded = memory + gathered_floats(end - begin, pitch), *to = memory;
    for (int64_t q = begin; q < end;) {                          /* one image at a time */
        const int64_t image = q / map, stop = cnn_min(end, (image + 1) * map);
        const int64_t first = q % map / g->out_w, last = (stop - 1) % map / g->out_w;
        pad_rows(g, x + image * g->in_h * g->in_w * g->in_channels, first, last, padded);
        for (int64_t i = first; i <= last; i++) {
            const int64_t j = q % g->out_w, pixels = cnn_min(g->out_w - j, stop - q);
            const float *from = padded + (i - first) * g->stride_h * padded_row(g) + j * g->stride_w * g->in_channels;
            switch (pieces) {
            case 1: gather_row(g, 1, pixels, from, pitch, to); break;
            case 2: gather_row(g, 2, pixels, from, pitch, to); break;
            case 3: gather_row(g, 3, pixels, from, pitch, to); break;
            default: gather_row(g, pieces, pixels, from, pitch, to);
            }
            q += pixels;
            to += pixels * pitch;
        }
    }
}
