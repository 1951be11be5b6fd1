/* How output channels are cut into panels for the kernels in kernels/gemm.h: as wide as registers allow, and of
 * nearly equal width. */
#ifndef CNN_OPS_PANELS_H
#define CNN_OPS_PANELS_H

#include "../runtime/op.h"

typedef struct cnn_panels {
    int32_t columns, vectors, count;  /* channels, vectors that hold them, panels */
    int32_t widest, rows;             /* vectors in the widest panel; rows of a tile beside it */
    int32_t vl;                       /* floats in a vector */
} cnn_panels;

/* Panels of at most so many vectors. */
static inline cnn_panels cnn_panels_within(const cnn_kernels *k, int64_t columns, int64_t most) {
    int64_t vectors = cnn_ceil_div(columns, k->vector), count = cnn_ceil_div(vectors, most),
        widest = cnn_ceil_div(vectors, count);
    return (cnn_panels){.columns = (int32_t)columns, .vectors = (int32_t)vectors, .count = (int32_t)count,
        .widest = (int32_t)widest,
                        .rows = k->gemm->rows[widest], .vl = k->vector};
}

static inline cnn_panels cnn_panels_of(const cnn_kernels *k, int64_t columns) {
    return cnn_panels_within(k, columns, k->gemm->vectors);
}

enum { CNN_FEW_COLUMNS = 128 };

/* For products that are written: a panel of two vectors among those of three has a tile with their rows, which leaves a
 * third of the registers unused. Where columns are few all have two, if they can: with many, three spare more
 * reading. */
static inline cnn_panels cnn_panels_of_product(const cnn_kernels *k, int64_t columns) {
    const int64_t vectors = cnn_ceil_div(columns, k->vector);
    const int two = k->gemm->vectors == 3 && columns <= CNN_FEW_COLUMNS && vectors % 3 && vectors % 2 == 0;
    return cnn_panels_within(k, columns, two ? 2 : k->gemm->vectors);
}

enum { CNN_WEIGHTS_FROM_MEMORY = 1 << 20 };  /* bytes of weights from which on they are not in L2 when they are used */

/* Should panels have two vectors, because two tiles are then all of so few rows, pixels or tiles of an image, where
 * wider panels leave them to three or more? Each reading of weights from memory serves more rows, and there are more
 * pieces of work. */
static inline int cnn_two_tiles_do(const cnn_kernels *k, int64_t rows, int64_t weight_bytes) {
    return weight_bytes >= CNN_WEIGHTS_FROM_MEMORY && rows > 2 * k->gemm->rows[k->gemm->vectors]
        && rows <= 2 * k->gemm->rows[2];
}

typedef struct cnn_panel {
    int32_t begin, columns;           /* first channel, and how many exist */
    int32_t vectors, width, last;     /* vectors; floats in them; channels that exist in the last one */
} cnn_panel;

static inline cnn_panel cnn_panel_at(const cnn_panels *p, int64_t index) {
    int64_t from = (int64_t)p->vectors * index / p->count, to = (int64_t)p->vectors * (index + 1) / p->count;
    int32_t begin = (int32_t)from * p->vl, columns = (int32_t)cnn_min(to * p->vl, p->columns) - begin,
        vectors = (int32_t)(to - from);
    return (cnn_panel){.begin = begin, .columns = columns, .vectors = vectors, .width = vectors * p->vl,
        .last = columns - (vectors - 1) * p->vl};
}

#endif
