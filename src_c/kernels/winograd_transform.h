/* What the transforms of all forms share: pixels that cannot be read where they lie, weights that are written, and the
 * tables of the kinds of tiles. The contract is in winograd.h. */
#ifndef CNN_KERNELS_WINOGRAD_TRANSFORM_H
#define CNN_KERNELS_WINOGRAD_TRANSFORM_H

#include "kernels.h"
#include "output_gradient.h"
#include "register_tiles.h"
#include "relu.h"
#include "vec.h"

/* Neighbours whose pixels are normalised at once: the copy is to stay in L1. */
enum { COPIED_TILES = 8, COPIED_STRIDED_TILES = 2 };

/* Pixels of `rows` rows from column `first` on, a vector of n channels from c on, to a copy whose rows are `pitch`
 * pixels apart; zeros outside the image. kind: of the activation of what is normalised. */
VINLINE void copy_rows(int normalised, int kind, const cnn_winograd_source *s, const relu_constants *act, int rows,
                       ptrdiff_t columns, ptrdiff_t first, ptrdiff_t c, ptrdiff_t n, float *copy, ptrdiff_t pitch) {
    const vf scale = normalised ? vload_upto(s->norm.scale + c, n) : vzero();
    const vf shift = normalised ? vload_upto(s->norm.shift + c, n) : vzero();
    const ptrdiff_t left = first < 0 ? (-first < columns ? -first : columns) : 0, right = s->columns - first;
    for (int i = 0; i < rows; i++) {
        const int inside = i >= s->top && i < s->bottom;
        const ptrdiff_t begin = inside ? left : columns, end = inside && right < columns ? right : columns;
        const float *row = s->row[i] + first * s->step + c;
        float *to = copy + i * pitch * VL;
        for (ptrdiff_t j = 0; j < begin; j++) vstore(to + j * VL, vzero());
        for (ptrdiff_t j = begin; j < end; j++) {
            vf x = vload_upto(row + j * s->step, n);
            if (normalised) {
                x = relu(kind, vfma(x, scale, shift), act->slope, act->max_value);
                __builtin_prefetch(row + j * s->step + VL);       /* the next vector of channels */
            }
            vstore(to + j * VL, x);
        }
        for (ptrdiff_t j = end > begin ? end : begin; j < columns; j++) vstore(to + j * VL, vzero());
    }
}

/* What a transform cannot read where it lies: pixels of a tile that is not all inside the image, or of fewer channels
 * than a vector has; or of several tiles, to be normalised, so that what neighbours share is normalised once. */
static __attribute__((noinline)) void copy_pixels(const cnn_winograd_source *s, int rows, ptrdiff_t columns,
                                                  ptrdiff_t first, ptrdiff_t c, ptrdiff_t n, float *copy,
                                                  ptrdiff_t pitch) {
    const relu_constants act = relu_of(&s->norm.act);
    if (!s->norm.scale) copy_rows(0, RELU_NONE, s, &act, rows, columns, first, c, n, copy, pitch);
    else if (n == VL && act.kind == RELU_PLAIN)
        copy_rows(1, RELU_PLAIN, s, &act, rows, columns, first, c, VL, copy, pitch);
    else copy_rows(1, act.kind, s, &act, rows, columns, first, c, n, copy, pitch);
}

/* So many tiles from number t on are copied at once: one, unless they are normalised. */
VINLINE ptrdiff_t copied_tiles(const cnn_winograd_source *s, ptrdiff_t t, ptrdiff_t most) {
    const ptrdiff_t left = s->tiles - t;
    return !s->norm.scale ? 1 : left < most ? left : most;
}

/* Asks for the next vector of channels of pixels from .. to - 1 of some rows: a line each of its own, which no
 * processor expects. */
VINLINE void ask_for_next(const float *const *row, int rows, int from, int to, ptrdiff_t step) {
    for (int i = 0; i < rows; i++)
        for (int j = from; j < to; j++) __builtin_prefetch(row[i] + j * step + VL);
}

/* Does a tile from `in` rows or columns of pixels have row or column i of the form's `side`? */
VINLINE int has(int side, int in, int i) { return in == side || cnn_winograd_narrow_has(in - 2, i); }

/* A vector of a weight's gradient, of which n columns exist. */
VINLINE void store_weight(float *w, vf value, ptrdiff_t n, int stream) {
    if (stream) vstream(w, value);
    else if (n >= VL) vstore(w, value);
    else vstore_n(w, value, n);
}

/* Where what is added to result (i, j) of a tile lies, from r->added on; negative: nowhere. column: the tile's first;
 * to: where the result lies, from r->y on. */
VINLINE ptrdiff_t winograd_added(const cnn_winograd_result *r, ptrdiff_t column, int i, int j, ptrdiff_t c,
                                 ptrdiff_t to) {
    if (!r->added || (r->sparse && (i | j) & 1)) return -1;
    return r->sparse ? i / 2 * r->sparse_row + (column + j) / 2 * r->step + c : to;
}

/* The functions of each kind of tile. */
#define ONLY(function) {{[CNN_WINOGRAD_WHOLE] = function}}
#define EVERY(stem)                                                              \
    {{[CNN_WINOGRAD_WHOLE] = stem##_4x4, [CNN_WINOGRAD_NARROW] = stem##_4x2,     \
      [CNN_WINOGRAD_LOW] = stem##_2x4, [CNN_WINOGRAD_SMALL] = stem##_2x2},       \
     {[CNN_WINOGRAD_WHOLE] = stem##_4x4, [CNN_WINOGRAD_NARROW] = stem##_4x3,     \
      [CNN_WINOGRAD_LOW] = stem##_3x4, [CNN_WINOGRAD_SMALL] = stem##_3x3}}

#endif
