#include "conv2d_source.h"

#include <string.h>

/* COPIED: floats moved at a time, at most, so that up to COPIED - 1 more than asked for are written; what comes next
 * overwrites them. NARROW: see narrow(). LINE: bytes of a cache line. */
enum { FEW_CHANNELS = 8, COPIED = CNN_GEMM_PIECE, NARROW = 128, LINE = 64 };

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

int cnn_conv2d_check_images(const cnn_call *c, int first, cnn_error *error) {
    const cnn_tensor *x = c->in[0];
    const cnn_rescaling by = cnn_rescaling_of(c, first);
    if (cnn_expect(x, "x", 4, x->dtype == CNN_U8 ? CNN_U8 : CNN_F32, error)) return -1;
    if (x->dtype == CNN_F32 && (by.scale != 1 || by.offset != 0))
        return cnn_fail(error, "x_scale and x_offset must be 1 and 0 for a float32 x, got %g and %g; rescale it with "
                        "affine", by.scale, by.offset);
    const cnn_conv2d_geometry g = cnn_conv2d_geometry_of(c, x, x);       /* whatever its output */
    if (x->dtype == CNN_U8 && !cnn_conv2d_gathers(&g))
        return cnn_fail(error, "a uint8 x must have at most %d channels in one group, and a kernel wider than 1 "
                        "without dilation along rows, got %d channels, groups %d, kernel_w %d and dilation_w %d; "
                        "rescale it to float32 with affine",
                        FEW_CHANNELS, g.in_channels, g.groups, g.kernel_w, g.dilation_w);
    return 0;
}

cnn_conv2d_images cnn_conv2d_images_of(const cnn_call *c, const cnn_exec *e, const cnn_tensor *x, cnn_rescaling by) {
    return (cnn_conv2d_images){c->kernels, cnn_data(e, x), x->dtype == CNN_U8 ? c->kernels->elementwise->affine_u8 : NULL,
                               by};
}

/* Where windows touch a border, what they read is copied first with its padding, so that the rest knows no borders; all
 * others are gathered from the image, unless it is of bytes: they are rescaled while they are copied. Where rows of
 * an image are short, borders are never far: the rows that a chunk reads are copied whole, once for all the rows of
 * output that share them. */
static int narrow(const cnn_conv2d_geometry *g) { return (int64_t)g->in_w * g->in_channels <= NARROW; }

/* Floats of a row, and rows, that output columns, and rows, `first` to `last` pass over. */
static int64_t padded_row(const cnn_conv2d_geometry *g, int64_t first, int64_t last) {
    return ((last - first) * g->stride_w + g->kernel_w) * g->in_channels;
}
static int64_t padded_rows(const cnn_conv2d_geometry *g, int64_t first, int64_t last) {
    return (last - first) * g->stride_h + (int64_t)(g->kernel_h - 1) * g->dilation_h + 1;
}

static int64_t gathered_floats(int64_t pixels, int64_t pitch) { return cnn_round_up(pixels * pitch + COPIED, 16); }

int64_t cnn_conv2d_gather_floats(const cnn_conv2d_geometry *g, int64_t pixels, int64_t pitch) {
    const int64_t rows = narrow(g) ? cnn_min(g->out_h, (pixels + g->out_w - 2) / g->out_w + 1) : 1;
    return gathered_floats(pixels, pitch) + padded_rows(g, 0, rows - 1) * padded_row(g, 0, g->out_w - 1) + COPIED;
}

static void copy(const cnn_conv2d_images *x, int64_t from, int64_t count, float *to) {
    if (x->rescale) x->rescale(count, (const uint8_t *)x->x + from, x->by.scale, x->by.offset, to);
    else memcpy(to, (const float *)x->x + from, (size_t)count * sizeof *to);
}

/* What output rows i .. i_last, columns j .. j_last read of the image that begins at x[image], with its padding. */
static void pad(const cnn_conv2d_geometry *g, const cnn_conv2d_images *x, int64_t image, int64_t i, int64_t i_last,
                int64_t j, int64_t j_last, float *to) {
    const int64_t in_row = (int64_t)g->in_w * g->in_channels, row = padded_row(g, j, j_last);
    const int64_t begin = (j * g->stride_w - g->pad_left) * g->in_channels;
    const int64_t left = cnn_min(cnn_max(-begin, 0), row), middle = cnn_max(cnn_min(in_row - begin, row) - left, 0);
    const int64_t top = i * g->stride_h - g->pad_top, rows = padded_rows(g, i, i_last);
    for (int64_t h = top; h < top + rows; h++, to += row) {
        if (h < 0 || h >= g->in_h) { memset(to, 0, (size_t)row * sizeof *to); continue; }
        memset(to, 0, (size_t)left * sizeof *to);
        copy(x, image + h * in_row + begin + left, middle, to + left);
        memset(to + left + middle, 0, (size_t)(row - left - middle) * sizeof *to);
    }
}

/* `pixels` neighbours in a row; the first one's window begins at `from`, its rows are `row` floats apart. */
static void gather_row(const cnn_conv2d_geometry *g, const cnn_conv2d_images *x, int64_t pixels, const float *from,
                       int64_t row, int64_t pitch, float *to) {
    x->kernels->gemm->gather(pixels, g->kernel_h, (int64_t)g->kernel_w * g->in_channels, from,
                             (int64_t)g->stride_w * g->in_channels, g->dilation_h * row, pitch, to);
}

/* Output row i of the image that begins at x[image], columns begin .. end - 1. */
static void gather_wide(const cnn_conv2d_geometry *g, const cnn_conv2d_images *x, int64_t image, int64_t i,
                        int64_t begin, int64_t end, int64_t pitch, float *padded, float *to) {
    const int64_t row = (int64_t)g->in_w * g->in_channels, next = (int64_t)g->stride_w * g->in_channels;
    const int64_t top = i * g->stride_h - g->pad_top, tall = (int64_t)(g->kernel_h - 1) * g->dilation_h;
    const int64_t at = image + top * row - (int64_t)g->pad_left * g->in_channels;
    const int64_t read = cnn_round_up((int64_t)g->kernel_w * g->in_channels, COPIED);     /* of a window's row */
    const int64_t size = x->rescale ? 1 : sizeof(float), count = g->images * g->in_h * row;   /* of all images */
    int64_t first = end, last = end;                             /* of the windows that are in the image */
    if (!x->rescale && top >= 0 && top + tall < g->in_h && g->kernel_w <= g->in_w) {
        first = cnn_min(end, cnn_max(begin, cnn_ceil_div(g->pad_left, g->stride_w)));
        last = cnn_max(first, cnn_min(end, (g->in_w + g->pad_left - g->kernel_w) / g->stride_w + 1));
        /* nothing is read beyond the tensor */
        while (last > first && at + tall * row + (last - 1) * next + read > count) last--;
    }
    if (first > begin) {
        pad(g, x, image, i, i, begin, first - 1, padded);
        gather_row(g, x, first - begin, padded, padded_row(g, begin, first - 1), pitch, to);
    }
    /* what the next row of output reads besides comes meanwhile: its rows from the end of this one's window on */
    for (int64_t h = cnn_max(tall + 1, g->stride_h); h <= tall + g->stride_h; h++)
        for (int64_t k = begin * next; k < end * next; k += LINE / size)
            __builtin_prefetch((const char *)x->x + (at + h * row + k) * size, 0, 2);
    if (last > first)
        gather_row(g, x, last - first, (const float *)x->x + at + first * next, row, pitch,
                   to + (first - begin) * pitch);
    if (end > last) {
        pad(g, x, image, i, i, last, end - 1, padded);
        gather_row(g, x, end - last, padded, padded_row(g, last, end - 1), pitch, to + (last - begin) * pitch);
    }
}

void cnn_conv2d_gather(const cnn_conv2d_geometry *g, const cnn_conv2d_images *x, int64_t begin, int64_t end,
                       int64_t pitch, float *memory) {
    const int64_t map = (int64_t)g->out_h * g->out_w, image = (int64_t)g->in_h * g->in_w * g->in_channels;
    const int64_t row = padded_row(g, 0, g->out_w - 1);
    float *padded = memory + gathered_floats(end - begin, pitch), *to = memory;
    for (int64_t q = begin; q < end;) {                          /* one image at a time */
        const int64_t n = q / map, stop = cnn_min(end, (n + 1) * map);
        const int64_t first = q % map / g->out_w, last = (stop - 1) % map / g->out_w;
        if (narrow(g)) pad(g, x, n * image, first, last, 0, g->out_w - 1, padded);
        for (int64_t i = first, j = q % map % g->out_w; i <= last; i++, j = 0) {
            const int64_t pixels = cnn_min(g->out_w - j, stop - q);
            if (narrow(g))
                gather_row(g, x, pixels, padded + (i - first) * g->stride_h * row + j * g->stride_w * g->in_channels,
                           row, pitch, to);
            else gather_wide(g, x, n * image, i, j, j + pixels, pitch, padded, to);
            q += pixels;
            to += pixels * pitch;
        }
    }
}
