#include "gemm.h"
#include "output_gradient.h"
#include "register_tiles.h"
#include "transpose.h"
#include "vec.h"

#define ROWS_MAX(vectors) (ROWS_THAT_FIT(vectors) < CNN_GEMM_ROWS ? ROWS_THAT_FIT(vectors) : CNN_GEMM_ROWS)

/* Channels taken at once: as many as have registers for their columns, so that where the rows' pointers do not fit
 * the registers each is read less often. */
#define STEP_THAT_FITS ((VREGISTERS - 1 - ROWS * VECTORS) / VECTORS)
#define STEP (STEP_THAT_FITS >= 4 ? 4 : STEP_THAT_FITS >= 2 ? 2 : 1)

/* Of a sum with so many terms or more the rows' memory is asked for one row every few terms, all of them so many terms
 * before its end. */
enum { LONG_SUM = 64, ASK_EVERY = 8, ASK_BEFORE = 144 };

/* What differs from tile to tile of several. */
typedef struct tile_place {
    const float *const *x;
    const ptrdiff_t *at, *added_at;
    uintptr_t near, far;
    int start;
} tile_place;

/* Is the upper half of a panel's last vector left out? Where no channel is in it and this saves time. */
VINLINE int in_low_half(ptrdiff_t last) { return VLOW_IS_FASTER && last <= VL / 2; }

#define VECTORS 1
#include "gemm_panel.inc.h"
#undef VECTORS
#define VECTORS 2
#include "gemm_panel.inc.h"
#undef VECTORS
#define VECTORS 3
#include "gemm_panel.inc.h"
#undef VECTORS
#if VREGISTERS >= 32
#define VECTORS 4
#include "gemm_panel.inc.h"
#undef VECTORS
#endif

static void pack(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t width, const float *source, ptrdiff_t stride,
                 float *panel) {
    for (ptrdiff_t r = 0; r < rows; r++, source += stride, panel += width) {
        ptrdiff_t n = 0;
        for (; n + VL <= columns; n += VL) vstore(panel + n, vload(source + n));
        if (n < columns) { vstore(panel + n, vload_n(source + n, columns - n)); n += VL; }
        for (; n < width; n += VL) vstore(panel + n, vzero());
    }
}

typedef float piece4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef float piece8 __attribute__((vector_size(32), aligned(4), may_alias));

/* size: floats of a piece. rows, pieces: of a window, and of one of its rows; constants where they are few. Longer
 * vectors than eight floats cost as much again where they cross a line of the cache, which they mostly do. */
VINLINE void gather_pieces(int size, ptrdiff_t rows, ptrdiff_t pieces, ptrdiff_t windows, ptrdiff_t span,
                           const float *from, ptrdiff_t step, ptrdiff_t row, ptrdiff_t pitch, float *to) {
    for (ptrdiff_t q = 0; q < windows; q++, from += step, to += pitch) {
        const float *x = from;
        float *y = to;
        for (ptrdiff_t r = 0; r < rows; r++, x += row, y += span)
            for (ptrdiff_t k = 0; k < pieces; k++) {
                if (size == 8) *(piece8 *)(y + 8 * k) = *(const piece8 *)(x + 8 * k);
                else *(piece4 *)(y + 4 * k) = *(const piece4 *)(x + 4 * k);
            }
    }
}

static void gather(ptrdiff_t windows, ptrdiff_t rows, ptrdiff_t span, const float *from, ptrdiff_t step, ptrdiff_t row,
                   ptrdiff_t pitch, float *to) {
    enum { SIZE = VL >= CNN_GEMM_PIECE ? CNN_GEMM_PIECE : 4 };
    const ptrdiff_t pieces = (span + SIZE - 1) / SIZE;
#define GATHER(size, rows, pieces) gather_pieces(size, rows, pieces, windows, span, from, step, row, pitch, to)
    if (span <= 4 && rows == 3) GATHER(4, 3, 1);
    else if (span <= 4) GATHER(4, rows, 1);
    else if (pieces == 1) GATHER(SIZE, rows, 1);
    else if (pieces == 2 && rows == 3) GATHER(SIZE, 3, 2);
    else if (pieces == 2) GATHER(SIZE, rows, 2);
    else if (pieces == 3) GATHER(SIZE, rows, 3);
    else GATHER(SIZE, rows, pieces);
#undef GATHER
}

/* Some rows at a time, whose source stays in the first cache. Whole vectors: what is too much of a row, the next one
 * overwrites; the last rows, behind which the source may end, are copied float by float. */
static void cut(ptrdiff_t rows, ptrdiff_t tiles, ptrdiff_t size, ptrdiff_t larger, ptrdiff_t pitch,
                const float *source, ptrdiff_t stride, ptrdiff_t tile_stride, float *to) {
    enum { ROWS_AT_ONCE = 8 };
    const ptrdiff_t whole = rows - (VL - 1 + stride - 1) / stride;
    for (ptrdiff_t r0 = 0; r0 < whole; r0 += ROWS_AT_ONCE) {
        const ptrdiff_t end = r0 + ROWS_AT_ONCE < whole ? r0 + ROWS_AT_ONCE : whole;
        for (ptrdiff_t tile = 0, first = 0; tile < tiles; tile++) {
            const ptrdiff_t columns = size + (tile < larger);
            for (ptrdiff_t r = r0; r < end; r++)
                for (ptrdiff_t n = 0; n < columns; n += VL)
                    vstore(to + tile * tile_stride + r * pitch + n, vload(source + r * stride + first + n));
            first += columns;
        }
    }
    for (ptrdiff_t r = whole < 0 ? 0 : whole; r < rows; r++)
        for (ptrdiff_t tile = 0, first = 0; tile < tiles; tile++) {
            const ptrdiff_t columns = size + (tile < larger);
            for (ptrdiff_t n = 0; n < columns; n++)
                to[tile * tile_stride + r * pitch + n] = source[r * stride + first + n];
            first += columns;
        }
}

/* A square of VL rows and columns at a time. `all`, a constant: are all of its floats there? `padded`, another: zeros
 * stand for columns that are not. */
VINLINE void transpose_square(int all, int padded, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t width,
                              const float *source, ptrdiff_t stride, float *to) {
    const ptrdiff_t stored = all || padded || columns > VL ? VL : columns;
    vf square[VL];
#pragma GCC unroll 16
    for (int n = 0; n < VL; n++)
        square[n] = all ? vload(source + n * stride) : n < columns ? vload_upto(source + n * stride, rows) : vzero();
    transpose(square);
#pragma GCC unroll 16
    for (int r = 0; r < VL; r++) if (all || r < rows) vstore_upto(to + r * width, square[r], stored);
}

/* Rows of the source inside, VL of them at once, that processors see them coming. */
static void pack_transposed(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t width, const float *source, ptrdiff_t stride,
                            float *panel) {
    for (ptrdiff_t n = 0; n < width; n += VL)
        for (ptrdiff_t r = 0; r < rows; r += VL) {
            const float *from = source + n * stride + r;
            float *to = panel + r * width + n;
            if (r + VL <= rows && n + VL <= columns) transpose_square(1, 1, VL, VL, width, from, stride, to);
            else transpose_square(0, 1, rows - r < VL ? rows - r : VL, columns - n, width, from, stride, to);
        }
}

/* Rows of the result inside, for what is written. */
static void transpose_matrix(ptrdiff_t rows, ptrdiff_t columns, const float *source, ptrdiff_t stride, float *to,
                             ptrdiff_t to_stride) {
    for (ptrdiff_t n = 0; n < columns; n += VL)
        for (ptrdiff_t r = 0; r < rows; r += VL) {
            const float *square = source + r * stride + n;
            float *at = to + n * to_stride + r;
            if (r + VL <= rows && n + VL <= columns) transpose_square(1, 0, VL, VL, to_stride, square, stride, at);
            else
                transpose_square(0, 0, columns - n < VL ? columns - n : VL, rows - r, to_stride, square, stride, at);
        }
}

static void add_rows(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t width, const float *panel, double *sum) {
    for (ptrdiff_t n = 0; n < width; n += VL) {
        vf even = vzero(), odd = vzero();
        ptrdiff_t r = 0;
        for (; r + 2 <= rows; r += 2) {
            even += vload(panel + r * width + n);
            odd += vload(panel + (r + 1) * width + n);
        }
        if (r < rows) even += vload(panel + r * width + n);
        float lane[VL];
        vstore(lane, even + odd);
        for (ptrdiff_t i = 0; i < VL && n + i < columns; i++) sum[n + i] += lane[i];
    }
}

/* Several vectors of channels at a time, for the latency of additions. */
VINLINE void moments_of(ptrdiff_t rows, int vectors, ptrdiff_t last, const float *y, const ptrdiff_t *at, double *mean,
                        double *squares) {
    vf first[4], sum[4], square[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        first[v] = v < vectors - 1 ? vload(y + at[0] + v * VL) : vload_upto(y + at[0] + v * VL, last);
        sum[v] = square[v] = vzero();
    }
    for (ptrdiff_t r = 1; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            vf d = (v < vectors - 1 ? vload(y + at[r] + v * VL) : vload_upto(y + at[r] + v * VL, last)) - first[v];
            sum[v] += d;
            square[v] = vfma(d, d, square[v]);
        }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        float f[VL], s[VL], q[VL];
        vstore(f, first[v]);
        vstore(s, sum[v]);
        vstore(q, square[v]);
        for (ptrdiff_t i = 0; i < (v < vectors - 1 ? VL : last); i++) {
            double offset = s[i] / (double)rows;
            mean[v * VL + i] = f[i] + offset;
            squares[v * VL + i] = q[i] - s[i] * offset;
        }
    }
}

static void moments(ptrdiff_t rows, ptrdiff_t columns, const float *y, const ptrdiff_t *at, double *mean,
                    double *squares) {
    ptrdiff_t n = 0;
    for (; columns - n > 3 * VL; n += 4 * VL)
        moments_of(rows, 4, columns - n - 3 * VL < VL ? columns - n - 3 * VL : VL, y + n, at, mean + n, squares + n);
    const ptrdiff_t rest = columns - n;
    if (rest > 2 * VL) moments_of(rows, 3, rest - 2 * VL, y + n, at, mean + n, squares + n);
    else if (rest > VL) moments_of(rows, 2, rest - VL, y + n, at, mean + n, squares + n);
    else if (rest > 0) moments_of(rows, 1, rest, y + n, at, mean + n, squares + n);
}

static void combine_moments(ptrdiff_t parts, ptrdiff_t stride, ptrdiff_t columns, const double *counts,
                            const double *mean, const double *squares,
                            float *total_mean, float *total_var) {
    enum { BLOCK = 8 };
    double count = 0;
    for (ptrdiff_t p = 0; p < parts; p++) count += counts[p];
    for (ptrdiff_t n = 0; n < columns; n += BLOCK) {
        double m[BLOCK] = {0}, q[BLOCK] = {0};
        ptrdiff_t width = columns - n < BLOCK ? columns - n : BLOCK;
        for (ptrdiff_t p = 0; p < parts; p++)
            for (ptrdiff_t i = 0; i < width; i++) m[i] += counts[p] * mean[p * stride + n + i];
        for (ptrdiff_t i = 0; i < width; i++) m[i] /= count;
        for (ptrdiff_t p = 0; p < parts; p++)
            for (ptrdiff_t i = 0; i < width; i++) {
                double d = mean[p * stride + n + i] - m[i];
                q[i] += squares[p * stride + n + i] + counts[p] * d * d;
            }
        for (ptrdiff_t i = 0; i < width; i++) {
            if (total_mean) total_mean[n + i] = (float)m[i];
            if (total_var) total_var[n + i] = (float)(q[i] / count);
        }
    }
}

static void add_parts(ptrdiff_t parts, ptrdiff_t stride, ptrdiff_t n, const float *part, float *y) {
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) {
        vf sum = vload(y + i);
        for (ptrdiff_t p = 0; p < parts; p++) sum += vload(part + p * stride + i);
        vstore(y + i, sum);
    }
    for (; i < n; i++) for (ptrdiff_t p = 0; p < parts; p++) y[i] += part[p * stride + i];
}

extern const cnn_gemm_kernels KERNEL(cnn_gemm);
const cnn_gemm_kernels KERNEL(cnn_gemm) = {
    .pack = pack, .pack_transposed = pack_transposed, .transpose = transpose_matrix,
    .gather = gather, .cut = cut, .add_rows = add_rows,
    .streams = VL * sizeof(float) == 64, .stream_end = vstream_end,
    .moments = moments, .combine_moments = combine_moments, .add_parts = add_parts,
#if VREGISTERS >= 32
    .vectors = 4,
    .rows = {0, ROWS_MAX(1), ROWS_MAX(2), ROWS_MAX(3), ROWS_MAX(4)},
    .tile = {NULL, tile_1, tile_2, tile_3, tile_4},
    .outer = {NULL, outer_1, outer_2, outer_3, outer_4},
#else
    .vectors = 3,
    .rows = {0, ROWS_MAX(1), ROWS_MAX(2), ROWS_MAX(3)},
    .tile = {NULL, tile_1, tile_2, tile_3},
    .outer = {NULL, outer_1, outer_2, outer_3},
#endif
};
