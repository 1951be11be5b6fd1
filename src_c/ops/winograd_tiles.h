/* What the passes of Winograd's convolution share: how an image is cut into tiles of results, and how
 * blocks of transformed tiles lie in memory (see kernels/winograd.h). Tiles are numbered along the rows of tiles of
 * an image, then down, then from image to image; in a block they lie by kinds.
 *
 * With dilation an image is taken apart into PHASES, dilation_h x dilation_w of them: phase (i, j) has rows i, i +
 * dilation_h, ... and columns j, j + dilation_w, ... of the results, and reads pixels that lie as far apart, so that it
 * is a convolution of its own without dilation. Tiles are those of phases, one phase after the other, each cut as the
 * largest one is: in the others some of the last may have no results. */
#ifndef CNN_OPS_WINOGRAD_TILES_H
#define CNN_OPS_WINOGRAD_TILES_H

#include "conv2d_source.h"

enum {
    CNN_WINOGRAD_PAD = 16, /* floats added to strides between elements: powers of two would fall into the same sets of
                              the cache */
};

typedef struct cnn_winograd_tiling {
    int32_t out, in, step;            /* of the form, see kernels/winograd.h */
    int32_t images, h, w;             /* rows and columns of tiles of a phase */
    int32_t dilation_h, dilation_w;
    int32_t strided;                  /* is it one of the forms with stride 2? */
    int32_t low, narrow;              /* is the last row of tiles low, the last column narrow? ... */
    int32_t short_side;               /* ... the n of kernels/winograd.h ... */
    int32_t narrow_out;               /* ... and how many results those have along it */
    int32_t in_h, in_w, in_channels;  /* of what tiles read, the first pad_top rows above the image */
    int32_t pad_top, pad_left;
    int32_t out_h, out_w, out_channels;
} cnn_winograd_tiling;

/* Are so many floats too many to lie in a second cache of 1 MB? */
static inline int cnn_winograd_far(int64_t floats) { return floats > (1 << 20) / (int64_t)sizeof(float); }

/* What tells forms with tiles of the same size apart, for reports. */
static inline const char *cnn_winograd_form_text(int form) {
    return form >= CNN_WINOGRAD_STRIDED ? " strided" : form == CNN_WINOGRAD_FOLDED ? " folded"
        : form == CNN_WINOGRAD_5X5 ? " of 5x5" : "";
}

cnn_winograd_tiling cnn_winograd_tiling_of(const cnn_conv2d_geometry *g, int form);
static inline int64_t cnn_winograd_phases(const cnn_winograd_tiling *t) {
    return (int64_t)t->dilation_h * t->dilation_w;
}
static inline int64_t cnn_winograd_tiles(const cnn_winograd_tiling *t) {
    return t->images * cnn_winograd_phases(t) * t->h * t->w;
}

/* The share of a whole tile's products along an axis that a narrow one is spared. */
static inline double cnn_winograd_spared(const cnn_winograd_tiling *t) {
    return (4 - t->short_side) * (t->strided ? 2 / 9.0 : 1 / 6.0);
}
/* Of so many whole tiles the rows and the columns of tiles of an image have the products. */
static inline double cnn_winograd_whole_h(const cnn_winograd_tiling *t) {
    return t->dilation_h * (t->h - t->low * cnn_winograd_spared(t));
}
static inline double cnn_winograd_whole_w(const cnn_winograd_tiling *t) {
    return t->dilation_w * (t->w - t->narrow * cnn_winograd_spared(t));
}

/* Where pixels are folded: which of the kernel's taps, row by row, tap k of the 4x4 is for pixel 2 dy + dx; negative:
 * none. */
enum { CNN_FOLDED_TAPS = 4 };
static inline int64_t cnn_folded_tap(const cnn_conv2d_geometry *g, int64_t pixel, int64_t k) {
    const int64_t i = 2 * (k / CNN_FOLDED_TAPS) + pixel / 2 - g->pad_top % 2,
                  j = 2 * (k % CNN_FOLDED_TAPS) + pixel % 2 - g->pad_left % 2;
    return i >= 0 && i < g->kernel_h && j >= 0 && j < g->kernel_w ? i * g->kernel_w + j : -1;
}

/* Neighbours in a row of tiles, of one kind: `tiles` from tile number `first` on, not beyond tile number `end`. */
typedef struct cnn_winograd_strip {
    int64_t first, tiles;
    cnn_winograd_kind kind;
    int32_t size;                     /* which of the two narrow sizes, see kernels/winograd.h */
    int32_t out_h, out_w;             /* results of a tile */
    int64_t image, y, x;              /* of the first result; the next is dilation_h rows, dilation_w columns on */
    int64_t rows, columns;            /* of results, that exist: with dilation maybe none */
} cnn_winograd_strip;
cnn_winograd_strip cnn_winograd_strip_at(const cnn_winograd_tiling *t, int64_t first, int64_t end);

/* How tiles begin .. end - 1 lie in a block of them alone. */
typedef struct cnn_winograd_order {
    int64_t begin, end;
    int32_t strided, short_side;
    int64_t edge[CNN_WINOGRAD_KINDS + 1];   /* those of kind k are number edge[k] .. edge[k + 1] - 1 in the block */
    int64_t before[CNN_WINOGRAD_KINDS];     /* tiles of that kind, of those before `begin` */
} cnn_winograd_order;
cnn_winograd_order cnn_winograd_order_of(const cnn_winograd_tiling *t, int64_t begin, int64_t end);
/* The number in the block of a strip's first tile, the others follow. */
int64_t cnn_winograd_place(const cnn_winograd_tiling *t, const cnn_winograd_order *o, const cnn_winograd_strip *s);
/* Of an element's products in the block some that are adjacent, those of a slot or of several. */
typedef struct cnn_winograd_piece { int64_t first, rows; } cnn_winograd_piece;

/* All tiles but the low ones, unless `low`, and the narrow ones, unless `narrow`. */
static inline cnn_winograd_piece cnn_winograd_tiles_with(const cnn_winograd_order *o, int low, int narrow) {
    const int64_t first = o->edge[narrow ? CNN_WINOGRAD_NARROW : CNN_WINOGRAD_WHOLE],
                  end = o->edge[!low ? CNN_WINOGRAD_LOW : !narrow ? CNN_WINOGRAD_SMALL : CNN_WINOGRAD_KINDS];
    return (cnn_winograd_piece){first, end - first};
}

/* As below, with slots. */
int64_t cnn_winograd_strided_piece_at(const cnn_winograd_order *o, int64_t e, int64_t slot, cnn_winograd_piece *piece);

/* The piece from slot `slot` of element e on; the number of slots that it is. Called for every element of every block:
 * where channels are few the products themselves take no longer than a few divisions. */
static inline int64_t cnn_winograd_piece_at(const cnn_winograd_order *o, int64_t e, int64_t slot,
                                            cnn_winograd_piece *piece) {
    const int64_t all = o->end - o->begin, slots = cnn_winograd_slots(o->strided, (int)e);
    if (o->edge[CNN_WINOGRAD_LOW] - o->edge[CNN_WINOGRAD_WHOLE] == all) {
        *piece = (cnn_winograd_piece){0, slots * all};
        return slots;
    }
    if (o->strided) return cnn_winograd_strided_piece_at(o, e, slot, piece);
    *piece = cnn_winograd_tiles_with(o, cnn_winograd_narrow_has(o->short_side, (int)e / 6),
                                     cnn_winograd_narrow_has(o->short_side, (int)e % 6));
    return 1;
}

/* What is convolved: a tensor, or what a normalisation makes of it; or bytes, where pixels are folded. */
typedef struct cnn_winograd_images {
    cnn_conv2d_images x;
    cnn_normalising norm;
    float *rescaled;                  /* bytes: memory for the pixels that a strip reads */
} cnn_winograd_images;

/* Floats of that. */
static inline int64_t cnn_winograd_rescaled_floats(const cnn_winograd_tiling *t) {
    return t->in * ((t->w - 1) * (int64_t)t->step + t->in) * t->in_channels;
}

/* Of a row of pixels that a row of tiles reads outside the image, with so many channels. */
static inline int64_t cnn_winograd_zeros_bytes(const cnn_winograd_tiling *t, int64_t channels) {
    return ((t->w - 1) * (int64_t)t->step + t->in) * t->dilation_w * channels * (int64_t)sizeof(float);
}

/* The pixels that a strip reads, and those of its results in an image of results; channels from `channel` on. zeros:
 * cnn_winograd_zeros_bytes() of them. The caller adds where they go, v, element and plane. */
cnn_winograd_source cnn_winograd_inputs(const cnn_winograd_tiling *t, const cnn_winograd_strip *s,
                                        const cnn_winograd_images *images, int64_t channel, int64_t channels,
                                        const float *zeros);
cnn_winograd_source cnn_winograd_results(const cnn_winograd_tiling *t, const cnn_winograd_strip *s, const float *y,
                                         int64_t channel, int64_t channels, const float *zeros);

/* How many bytes of images have been used when tile number `end - 1` is done, in whole rows: what lies between two such
 * positions can be fetched ahead. With dilation nothing can, what a phase uses is not adjacent: 0. */
int64_t cnn_winograd_input_bytes(const cnn_winograd_tiling *t, const cnn_winograd_images *images, int64_t end);
int64_t cnn_winograd_result_bytes(const cnn_winograd_tiling *t, int64_t end);

/* Memory that will be needed soon, fetched into L2 a few lines at a time while products keep the processor busy. */
typedef struct cnn_winograd_ahead { const char *at, *end; int64_t lines; } cnn_winograd_ahead;
/* All of from..to within so many steps. */
static inline cnn_winograd_ahead cnn_winograd_ahead_of(const char *from, const char *to, int64_t steps) {
    return (cnn_winograd_ahead){from, to, cnn_ceil_div(to - from, cnn_max(1, steps) * CNN_WINOGRAD_LINE)};
}
/* The start of the lines of the next steps; *lines: for each of them. */
static inline const char *cnn_winograd_advance(cnn_winograd_ahead *a, int64_t steps, ptrdiff_t *lines) {
    const char *at = a->at;
    *lines = at < a->end ? a->lines : 0;
    a->at += *lines * steps * CNN_WINOGRAD_LINE;
    return at;
}

/* A block in memory: at most `tiles` tiles of `channels` channels; of `bytes` bytes. element, plane: of one slot. */
typedef struct cnn_winograd_block { int64_t planes, plane, element, bytes; } cnn_winograd_block;
static inline cnn_winograd_block cnn_winograd_block_of(const cnn_kernels *k, int form, int64_t tiles,
                                                       int64_t channels) {
    const int64_t planes = cnn_ceil_div(channels, k->vector), plane = tiles * k->vector,
                  element = planes * plane + CNN_WINOGRAD_PAD;
    return (cnn_winograd_block){planes, plane, element,
                                cnn_winograd_shape_of(form).slots * element * (int64_t)sizeof(float)};
}

/* Lets a source's tiles go to a block: the first one to v, slots `slot` floats apart. */
static inline void cnn_winograd_into(cnn_winograd_source *source, const cnn_winograd_block *block, int64_t slot,
                                     float *v) {
    source->v = v;
    source->element = block->element;
    source->plane = block->plane;
    source->slot = slot;
}

#endif
