/* What the depthwise convolutions share: attributes, geometry with its checks, and how the work is cut.
 *
 * The channel multiplier m is reduced to 1: weights (kh, kw, c, m) are weights of c * m channels as they lie in memory,
 * and the rows of x, each channel m times, are written to a thread's own window of rows. */
#ifndef CNN_OPS_DEPTHWISE_H
#define CNN_OPS_DEPTHWISE_H

#include <string.h>
#include "attributes.h"
#include "row_window.h"

enum {
    CNN_DW_KERNEL_H,
    CNN_DW_KERNEL_W,
    CNN_DW_STRIDE_H,
    CNN_DW_STRIDE_W,
    CNN_DW_TOP,
    CNN_DW_LEFT,
    CNN_DW_BOTTOM,
    CNN_DW_RIGHT,
    CNN_DW_DILATION_H,
    CNN_DW_DILATION_W,
    CNN_DW_ATTR_COUNT
};
#define CNN_DW_ATTRS \
    CNN_INT_ATTR("kernel_h", 1, 1, 1 << 20), CNN_INT_ATTR("kernel_w", 1, 1, 1 << 20), \
        CNN_INT_ATTR("stride_h", 1, 1, 1 << 20), CNN_INT_ATTR("stride_w", 1, 1, 1 << 20), CNN_PADDING_ATTRS, \
        CNN_INT_ATTR("dilation_h", 1, 1, 1 << 20), CNN_INT_ATTR("dilation_w", 1, 1, 1 << 20)

typedef struct cnn_depthwise {
    int64_t n, h, w, c, m, channels;           /* channels = c * m, of the output */
    int64_t out_h, out_w;
    int64_t block, blocks;                     /* of channels */
    int64_t band, bands;                       /* of rows */
    int64_t part, image_parts;                 /* rows of a part of a band; parts in an image */
} cnn_depthwise;

/* One axis of the output; -1 with a sentence where the kernel does not fit. */
static inline int64_t cnn_depthwise_out(const char *axis, int64_t size, int64_t pads, int64_t kernel, int64_t dilation,
                                        int64_t stride, cnn_error *error) {
    int64_t extent = (kernel - 1) * dilation + 1;
    if (extent > size + pads)
        return cnn_fail(error,
                        "the kernel must not be larger than the padded input, got a kernel_%s of %lld (%lld with "
                        "dilation) on %lld + %lld pixels; use "
                        "padding \"same\" or a smaller kernel_size",
                        axis, (long long)kernel, (long long)extent, (long long)size, (long long)pads);
    return (size + pads - extent) / stride + 1;
}

/* Fills all but the cut, for images of n x h x w x c. The operation's attributes begin with CNN_DW_ATTRS. */
static inline int cnn_depthwise_geometry(const cnn_call *k, int64_t n, int64_t h, int64_t w, int64_t c, int64_t m,
                                         cnn_depthwise *g, cnn_error *error) {
    *g = (cnn_depthwise){.n = n, .h = h, .w = w, .c = c, .m = m, .channels = c * m};
    g->out_h = cnn_depthwise_out("h", h, cnn_int(k, CNN_DW_TOP) + cnn_int(k, CNN_DW_BOTTOM),
                                 cnn_int(k, CNN_DW_KERNEL_H), cnn_int(k, CNN_DW_DILATION_H),
                                 cnn_int(k, CNN_DW_STRIDE_H), error);
    if (g->out_h < 0) return -1;
    g->out_w = cnn_depthwise_out("w", w, cnn_int(k, CNN_DW_LEFT) + cnn_int(k, CNN_DW_RIGHT),
                                 cnn_int(k, CNN_DW_KERNEL_W), cnn_int(k, CNN_DW_DILATION_W),
                                 cnn_int(k, CNN_DW_STRIDE_W), error);
    return g->out_w < 0 ? -1 : 0;
}

static inline int cnn_depthwise_expect_w(const cnn_call *k, const cnn_tensor *w, cnn_error *error) {
    char shape[64];
    if (cnn_expect(w, "w", 4, CNN_F32, error)) return -1;
    if (w->dims[0] == cnn_int(k, CNN_DW_KERNEL_H) && w->dims[1] == cnn_int(k, CNN_DW_KERNEL_W)) return 0;
    return cnn_fail(
        error, "w must have the shape (kernel_h, kernel_w, c, multiplier) = (%lld, %lld, c, multiplier), got %s",
        (long long)cnn_int(k, CNN_DW_KERNEL_H), (long long)cnn_int(k, CNN_DW_KERNEL_W), cnn_shape_text(w, shape));
}

/* The operands of the kernels that normalise what they read: 3x3 taps, multiplier 1, stride 1 or 2, no dilation.
 * channels: of what they read. */
static inline int cnn_depthwise_expect_3x3(const cnn_call *k, int64_t channels, const cnn_tensor *w, cnn_error *error) {
    char shape[64];
    const int64_t stride = cnn_int(k, CNN_DW_STRIDE_H);
    if (cnn_depthwise_expect_w(k, w, error)) return -1;
    if (w->dims[0] != 3 || w->dims[1] != 3 || w->dims[2] != channels || w->dims[3] != 1)
        return cnn_fail(error, "w must have 3x3 taps, one filter for each of the %lld channels and multiplier 1, got "
                        "%s", (long long)channels, cnn_shape_text(w, shape));
    if (stride != cnn_int(k, CNN_DW_STRIDE_W) || stride > 2 || cnn_int(k, CNN_DW_DILATION_H) != 1 ||
        cnn_int(k, CNN_DW_DILATION_W) != 1)
        return cnn_fail(error,
                        "strides must be equal, 1 or 2, and there must be no dilation; use the operations of "
                        "depthwise_conv2d");
    return 0;
}

static inline int cnn_depthwise_expect_normalised(const cnn_call *k, const cnn_tensor *x, const cnn_tensor *w,
                                                  cnn_error *error) {
    return cnn_expect(x, "x", 4, CNN_F32, error) || cnn_depthwise_expect_3x3(k, cnn_last(x), w, error) ? -1 : 0;
}

enum { CNN_DEPTHWISE_EXPANDED_CHANNELS = 16 };         /* a multiple of: rows of them are aligned to a vector */

/* The same where x is expanded by a 1x1 convolution with w_inner first. */
static inline int cnn_depthwise_expect_expanded(const cnn_call *k, const cnn_tensor *x, const cnn_tensor *w_inner,
                                                const cnn_tensor *w, cnn_error *error) {
    char shape[64], other[64];
    if (cnn_expect(x, "x", 4, CNN_F32, error) || cnn_expect(w_inner, "w_inner", 4, CNN_F32, error)) return -1;
    if (w_inner->dims[0] != 1 || w_inner->dims[1] != 1 || w_inner->dims[2] != cnn_last(x)
        || cnn_last(w_inner) % CNN_DEPTHWISE_EXPANDED_CHANNELS)
        return cnn_fail(error,
                        "w_inner must have shape (1, 1, %lld, channels), a multiple of %d of them, for x of shape "
                        "%s, got %s; use conv2d and the operations of batchnorm_depthwise_conv2d",
                        (long long)cnn_last(x), CNN_DEPTHWISE_EXPANDED_CHANNELS, cnn_shape_text(x, shape),
                        cnn_shape_text(w_inner, other));
    return cnn_depthwise_expect_3x3(k, cnn_last(w_inner), w, error);
}

static inline int cnn_depthwise_expect_grad(const cnn_tensor *grad_y, const cnn_depthwise *g, cnn_error *error) {
    char shape[64];
    if (cnn_expect(grad_y, "grad_y", 4, CNN_F32, error)) return -1;
    if (grad_y->dims[0] == g->n && grad_y->dims[1] == g->out_h && grad_y->dims[2] == g->out_w &&
        grad_y->dims[3] == g->channels)
        return 0;
    return cnn_fail(error, "grad_y must have the shape of the output, (%lld, %lld, %lld, %lld), got %s",
                    (long long)g->n, (long long)g->out_h, (long long)g->out_w, (long long)g->channels,
                    cnn_shape_text(grad_y, shape));
}

#define CNN_DEPTHWISE_PART_PIXELS 448

/* Cuts an image's rows into bands of so many. */
static inline void cnn_depthwise_cut_bands(cnn_depthwise *g, int64_t rows, int64_t band) {
    g->band = band;
    g->bands = cnn_ceil_div(rows, band);
    g->part = cnn_min(band, cnn_max(1, CNN_DEPTHWISE_PART_PIXELS / cnn_max(g->w, g->out_w)));
    g->image_parts = (g->bands - 1) * cnn_ceil_div(band, g->part) +
                     cnn_ceil_div(rows - (g->bands - 1) * band, g->part);
}

/* The cut: bands of rows x blocks of channels. A block's rows that one output row reads stay in the first cache until
 * the next row reads them again (where the map is so wide that blocks would be narrow, all channels are one block:
 * memory is then better read in order); a band with all its channels stays in the second. Where images are few both are
 * smaller, to give many threads work. `rows`: of the result, per image. */
static inline void cnn_depthwise_cut(const cnn_call *k, cnn_depthwise *g, int64_t rows) {
    int64_t width = cnn_max(g->w, g->out_w), block = 6144 / ((cnn_int(k, CNN_DW_KERNEL_H) + 1) * width) / 16 * 16;
    if (g->n < 32) block = cnn_min(block, 64);
    g->block = g->m > 1 || block < 64 ? g->channels : cnn_min(g->channels, block);
    g->blocks = cnn_ceil_div(g->channels, g->block);
    int64_t wanted = cnn_ceil_div(32, g->n * g->blocks);
    cnn_depthwise_cut_bands(g, rows, cnn_min(cnn_max(4, cnn_ceil_div(rows, wanted)),
                                             cnn_max(4, 131072 / (width * g->channels))));
}

/* Unit i of n * bands * blocks: rows begin..end of an image, and channels from `at`, `channels` of them. */
typedef struct cnn_depthwise_unit { int64_t image, begin, end, at, channels; } cnn_depthwise_unit;

static inline cnn_depthwise_unit cnn_depthwise_unit_at(const cnn_depthwise *g, int64_t i, int64_t rows) {
    int64_t at = i % g->blocks * g->block, band = i / g->blocks % g->bands;
    return (cnn_depthwise_unit){.image = i / g->blocks / g->bands,
                                .begin = band * g->band,
                                .end = cnn_min(rows, (band + 1) * g->band),
                                .at = at,
                                .channels = cnn_min(g->block, g->channels - at)};
}

/* Where sums are taken of the result, a band is cut into parts of some hundred pixels, while they are in the cache; a
 * part's slot is its number, counted through all images. */
typedef struct cnn_depthwise_part { int64_t number, begin, rows; } cnn_depthwise_part;

static inline int64_t cnn_depthwise_parts(const cnn_depthwise *g) { return g->n * g->image_parts; }

/* Is row y the last of its part of the unit? */
static inline int cnn_depthwise_part_ends(const cnn_depthwise *g, const cnn_depthwise_unit *u, int64_t y,
                                          cnn_depthwise_part *part) {
    const int64_t index = (y - u->begin) / g->part, begin = u->begin + index * g->part;
    *part = (cnn_depthwise_part){
        .number = u->image * g->image_parts + u->begin / g->band * cnn_ceil_div(g->band, g->part) + index,
        .begin = begin,
        .rows = y + 1 - begin};
    return part->rows == g->part || y + 1 == u->end;
}

/* The end of the part that row y is in. */
static inline int64_t cnn_depthwise_part_end(const cnn_depthwise *g, const cnn_depthwise_unit *u, int64_t y) {
    return cnn_min(u->end, u->begin + ((y - u->begin) / g->part + 1) * g->part);
}

/* The table of a part's pixels of so many channels, in a thread's memory. */
static inline int64_t cnn_depthwise_part_bytes(const cnn_depthwise *g, int64_t width) {
    return cnn_round_up(g->part * width * (int64_t)sizeof(ptrdiff_t), CNN_ALIGNMENT);
}
static inline const ptrdiff_t *cnn_depthwise_part_pixels(const cnn_depthwise *g, int64_t width, int64_t channels,
                                                         char *memory) {
    ptrdiff_t *at = (ptrdiff_t *)memory;
    for (int64_t i = 0; i < g->part * width; i++) at[i] = i * channels;
    return at;
}

/* The taps i of output row p that lie inside the image: *begin..*end. Returns the input row of tap *begin. */
static inline int64_t cnn_depthwise_rows(const cnn_call *k, const cnn_depthwise *g, int64_t p, int64_t *begin,
                                         int64_t *end) {
    int64_t top = p * cnn_int(k, CNN_DW_STRIDE_H) - cnn_int(k, CNN_DW_TOP), dilation = cnn_int(k, CNN_DW_DILATION_H);
    *begin = top < 0 ? cnn_ceil_div(-top, dilation) : 0;
    *end = top < g->h ? cnn_min(cnn_int(k, CNN_DW_KERNEL_H), (g->h - 1 - top) / dilation + 1) : 0;
    *end = cnn_max(*begin, *end);
    return top + *begin * dilation;
}

/* Rows that a buffer of normalised, computed or repeated rows of x holds (row_window.h): as many as fit `bytes`, but
 * what two rows of outputs reach. */
static inline int64_t cnn_depthwise_buffer_rows(const cnn_call *k, const cnn_depthwise *g, int64_t bytes) {
    const int64_t reach = (cnn_int(k, CNN_DW_KERNEL_H) - 1) * cnn_int(k, CNN_DW_DILATION_H) + 1
                          + cnn_int(k, CNN_DW_STRIDE_H);
    return cnn_min(g->h, cnn_max(reach, bytes / (g->w * g->channels * (int64_t)sizeof(float))));
}

#define CNN_DEPTHWISE_REPEATED_BYTES (96 << 10)

/* A thread's buffer of rows of x with their channels repeated; none where m is 1. */
static inline cnn_row_window cnn_depthwise_repeated(const cnn_call *k, const cnn_depthwise *g, char *memory) {
    return (cnn_row_window){
        .capacity = g->m > 1 ? cnn_depthwise_buffer_rows(k, g, CNN_DEPTHWISE_REPEATED_BYTES) : 0,
        .row = g->w * g->channels,
        .image = -1,
        .buffer = (float *)memory};
}
static inline int64_t cnn_depthwise_repeated_bytes(const cnn_call *k, const cnn_depthwise *g) {
    const cnn_row_window w = cnn_depthwise_repeated(k, g, NULL);
    return w.capacity * w.row * (int64_t)sizeof(float);
}

/* An output row that reads `taps_h` rows of x, as the kernels want it. */
static inline cnn_depthwise_row cnn_depthwise_row_of(const cnn_call *k, const cnn_depthwise *g, int64_t taps_h) {
    const int64_t kernel_w = cnn_int(k, CNN_DW_KERNEL_W);
    return (cnn_depthwise_row){.channels = g->channels,
                               .taps_h = taps_h,
                               .taps_w = kernel_w,
                               .in_w = g->w,
                               .out_w = g->out_w,
                               .stride = cnn_int(k, CNN_DW_STRIDE_W),
                               .offset = -cnn_int(k, CNN_DW_LEFT),
                               .step = cnn_int(k, CNN_DW_DILATION_W),
                               .x_row = cnn_int(k, CNN_DW_DILATION_H) * g->w * g->channels,
                               .x_pixel = g->channels,
                               .w_row = kernel_w * g->channels,
                               .w_tap = g->channels,
                               .y_pixel = g->channels,
                               .outputs = 1,
                               .in_memory = 1};
}

/* Makes `row`, output row p, also the next one where that comes before `end` and the kernels can do both at once. */
static inline void cnn_depthwise_pair(const cnn_call *k, const cnn_depthwise *g, int64_t p, int64_t end,
                                      cnn_depthwise_row *row) {
    int64_t first, last, stride = cnn_int(k, CNN_DW_STRIDE_H);
    if (!k->kernels->depthwise->two_rows || p + 1 >= end || row->taps_h != 3 || row->taps_w != 3
        || row->step != 1 || cnn_int(k, CNN_DW_DILATION_H) != 1 || stride > 2 || row->stride != stride) return;
    cnn_depthwise_rows(k, g, p + 1, &first, &last);
    if (last - first != 3) return;
    row->outputs = 2;
    row->y_row = g->out_w * g->channels;
}

/* The input rows of output row p of an image, and of the next one, as the kernels want them: returns the first tap
 * row's memory and fills *row; *first: its tap. */
static inline const float *cnn_depthwise_read(const cnn_call *k, const cnn_depthwise *g, int64_t image, int64_t p,
                                              const float *x, cnn_row_window *repeated, cnn_depthwise_row *row,
                                              int64_t *first) {
    int64_t end, y = cnn_depthwise_rows(k, g, p, first, &end);
    const float *from = x + image * g->h * g->w * g->c;
    *row = cnn_depthwise_row_of(k, g, end - *first);
    if (row->taps_h == 0) return from;
    if (g->m == 1) return from + y * g->w * g->c;
    const int64_t below = (row->taps_h - 1) * cnn_int(k, CNN_DW_DILATION_H) + 1 + cnn_int(k, CNN_DW_STRIDE_H);
    float *to;
    const int64_t missing = cnn_row_window_move(repeated, image, y, cnn_min(g->h, y + below), &to);
    k->kernels->depthwise->repeat(missing * g->w, g->c, g->m, from + repeated->end * g->w * g->c, to);
    repeated->end += missing;
    row->in_memory = 0;
    return cnn_row_window_at(repeated, y);
}

/* ---- gradients of what a normalisation gave, row by row (kernels/depthwise_backward.h) ---- */

enum { CNN_DEPTHWISE_TAPS = 9 };

/* Rows of x that a call treats at most: what is done once then costs little, and they stay in the first cache. */
static inline int64_t cnn_depthwise_most_lines(const cnn_depthwise *g) { return cnn_ceil_div(64, g->w); }

/* Row y of an image, and those before row `end` that a call can treat with it: the taps with which rows of grad_y reach
 * it, and which rows those are, the last one first. */
static inline void cnn_depthwise_taps_of(const cnn_call *k, const cnn_depthwise *g, int64_t y, int64_t end,
                                         const float *w, float *grad_w, int64_t *row, cnn_depthwise_backward *b) {
    const int64_t stride = cnn_int(k, CNN_DW_STRIDE_H);
    b->rows = 0;
    b->lines = 1;
    for (int64_t tap = 0; tap < 3; tap++) {
        const int64_t from = y + cnn_int(k, CNN_DW_TOP) - tap, p = from / stride;
        if (from < 0 || from % stride || p >= g->out_h) continue;
        row[b->rows] = p;
        b->w[b->rows] = w + tap * 3 * g->c;
        b->grad_w[b->rows++] = grad_w + tap * 3 * g->c;
    }
    if (stride == 1 && b->rows == 3)  /* the same taps for all */
        b->lines = cnn_min(cnn_min(end, g->out_h - cnn_int(k, CNN_DW_TOP)) - y, cnn_depthwise_most_lines(g));
}

#endif
