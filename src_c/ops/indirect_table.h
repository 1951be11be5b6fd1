/* How the indirect matrix product's work is cut into phases and chunks, by shapes alone, and the table of pointers of a
 * chunk: where each of its pixels is read, tap by tap, and written. */
#ifndef CNN_OPS_INDIRECT_TABLE_H
#define CNN_OPS_INDIRECT_TABLE_H

#include "conv2d_gather.h"
#include "indirect_gemm.h"
#include "panels.h"
#include "sparse_residual.h"

typedef struct cnn_indirect_plan {
    cnn_algorithm algorithm;
    cnn_conv2d_geometry g;
    cnn_act act;
    cnn_conv2d_geometry window;       /* of windows: the convolution as it was asked for */
    int32_t source, images_first;     /* see conv2d_source.h; tiles across images */
    int32_t block;                    /* input channels of a block */
    int32_t max_pixels;               /* of a chunk, over all phases */
    int32_t linear;                   /* pixels are one long row, read in the order of memory */
    int32_t own;                      /* each thread packs the weights that it uses, a block at a time */
    int32_t sparse;                   /* is the residual of some pixels alone, all of the first phase? ... */
    cnn_sparse_residual some;         /* ... of these */
    char text[104];
} cnn_indirect_plan;
_Static_assert(sizeof(cnn_indirect_plan) <= CNN_PLAN_BYTES, "the plan must fit");

/* One phase: its two axes, taps in all, and the cut, the same for all phases, so that a thread does the same part of
 * each, one after the other: they read the same pixels and write neighbours. A chunk is a run of output pixels, all
 * images counted through; or, with images_first, a run of the map's pixels for one group of images, the image being
 * the fastest index. In a phase with fewer pixels than the largest one it may be empty. */
typedef struct cnn_phase {
    cnn_conv2d_axis h, w;
    int64_t taps, map, chunks, ranges;      /* map: pixels of one image; ranges: of panels, each with all chunks */
    int by_chunks;                          /* a thread takes all ranges of its chunks, else all chunks of its ranges */
    int64_t image_groups, map_chunks;       /* with images_first: chunks = image_groups * map_chunks */
    int64_t grain;                          /* else chunks are multiples of it: of tiles, where they fill a row */
} cnn_phase;
/* Are all pixels no more than a chunk has, with panels enough for all threads? */
int cnn_one_chunk_does(const cnn_indirect_plan *p, const cnn_panels *panels);
cnn_phase cnn_phase_of(const cnn_indirect_plan *p, const cnn_panels *panels, int32_t phase_h, int32_t phase_w);

/* Pixels of all images; with images_first those of the map, for some images. */
typedef struct cnn_chunk { int64_t image_begin, images, begin, pixels; } cnn_chunk;
cnn_chunk cnn_chunk_at(const cnn_indirect_plan *p, const cnn_phase *f, int64_t index);

typedef struct cnn_table {
    int64_t pixels, tiles, larger, rows;    /* the first `larger` tiles have rows + 1 pixels, the others rows */
    ptrdiff_t *at;                    /* [pixels] where a pixel's output is */
    ptrdiff_t *sparse_at;             /* [pixels] where its residual is, in one of some pixels alone */
    /* [tiles] how many runs of taps a tile has; [tiles][taps] their first taps and lengths */
    int32_t *runs, *tap, *length;
    /* [pixels][taps] pointers, a tile's from first[tile] on: [its runs][its rows], or, of rows apart[tile] floats
     * apart, [its runs] */
    const float **x;
    int32_t *first;
    ptrdiff_t *apart;
    float *zeros, *copy;              /* what taps in the padding read; a source that is a copy */
    cnn_moment_sums moments;          /* [widest panel]; or the sums of a gradient */
    float *own;                       /* [channels of a block][widest panel], where the plan says so */
} cnn_table;

static inline int64_t cnn_table_tile_begin(const cnn_table *t, int64_t tile) {
    return t->rows * tile + cnn_min(tile, t->larger);
}

/* A tap in the padding reads as many zeros as a pixel has channels, and so does a pixel without a residual. */
static inline int64_t cnn_table_zeros(const cnn_indirect_plan *p) {
    return p->sparse ? cnn_max(p->g.in_channels, p->g.out_channels) : p->g.in_channels;
}

/* Lays the table out in the thread's workspace; returns the bytes. */
int64_t cnn_table_layout(cnn_table *t, char *memory, const cnn_indirect_plan *p, int64_t pixels, int64_t taps);

/* Where the pixels of a chunk are read: of one long row, number q is at x + (q - begin) * channels; begin is 0 but in
 * copies. */
typedef struct cnn_chunk_source { const float *x; int64_t begin; } cnn_chunk_source;
/* Where they are; makes the copy first where the source is one. write: writes what is normalised to memory, too, where
 * it is wanted. */
cnn_chunk_source cnn_chunk_source_of(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *o,
                                     const cnn_chunk *k, int write, float *copy);

/* The table of a chunk in tiles of at most `rows` pixels. */
void cnn_table_fill(cnn_table *t, const cnn_indirect_plan *p, const cnn_phase *f, const cnn_chunk *k, int64_t rows,
                    cnn_chunk_source s);
/* The same of windows: memory for what is copied of them is t->copy. */
void cnn_table_fill_windows(cnn_table *t, const cnn_indirect_plan *p, const cnn_chunk *k, int64_t rows,
                            const cnn_conv2d_images *images);
/* Where the residual of the chunk's pixels is: t->sparse_at. */
void cnn_table_fill_sparse(cnn_table *t, const cnn_indirect_plan *p, const float *residual);

#endif
