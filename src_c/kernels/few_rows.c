/* Leaves of products of a few rows with a matrix as it lies; the contract is in few_rows.h. */
#include "few_rows.h"
#include "transpose.h"
#include "vec.h"

enum {
    STEP = 16,                        /* rows of the matrix at a time: the sums of some columns stay in registers */
    VECTORS = 4,                      /* of these columns */
    ROWS_AT_ONCE = VREGISTERS >= 32 ? 4 : 2,
    LINE = 16,                        /* floats in a line of the cache */
    AHEAD = 512,                      /* floats of the matrix's row: it comes from memory, in several streams at once */
};

/* Some terms of the sums of `vectors` vectors of columns of `rows` rows, both constants; the last vector has `last`
 * columns. */
VINLINE void add_terms(int rows, int vectors, ptrdiff_t last, ptrdiff_t terms, ptrdiff_t columns, int first,
                       const float *x, ptrdiff_t x_stride, const float *w, float *y) {
    vf sum[ROWS_AT_ONCE][VECTORS];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[r][v] = first ? vzero() : vload_upto(y + r * columns + v * VL, v < vectors - 1 ? VL : last);
    for (ptrdiff_t k = 0; k < terms; k++, w += columns) {
        vf value[ROWS_AT_ONCE];
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) value[r] = vset(x[r * x_stride + k]);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            const vf column = vload_upto(w + v * VL, v < vectors - 1 ? VL : last);
            if (v * VL % LINE == 0) __builtin_prefetch(w + v * VL + AHEAD);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) sum[r][v] = vfma(value[r], column, sum[r][v]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            vstore_upto(y + r * columns + v * VL, sum[r][v], v < vectors - 1 ? VL : last);
}

/* The same of all columns. */
VINLINE void add_terms_of_rows(int rows, ptrdiff_t terms, ptrdiff_t columns, int first, const float *x,
                               ptrdiff_t x_stride, const float *w, float *y) {
    ptrdiff_t n = 0;
    for (; n + VECTORS * VL <= columns; n += VECTORS * VL)
        add_terms(rows, VECTORS, VL, terms, columns, first, x, x_stride, w + n, y + n);
    for (; n + VL <= columns; n += VL) add_terms(rows, 1, VL, terms, columns, first, x, x_stride, w + n, y + n);
    if (n < columns) add_terms(rows, 1, columns - n, terms, columns, first, x, x_stride, w + n, y + n);
}

static void product(ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t columns, const float *x, ptrdiff_t x_stride,
                    const float *w, float *y) {
    for (ptrdiff_t k = 0; k == 0 || k < inner; k += STEP) {
        const ptrdiff_t terms = inner - k < STEP ? inner - k : STEP;
        /* another thread may have made it */
        for (ptrdiff_t r = 0; r < rows; r++) __builtin_prefetch(x + r * x_stride + k + 2 * STEP);
        for (ptrdiff_t r = 0; r < rows; r += ROWS_AT_ONCE) {
            const float *from = x + r * x_stride + k;
            float *to = y + r * columns;
            switch (rows - r) {
            case 1: add_terms_of_rows(1, terms, columns, k == 0, from, x_stride, w + k * columns, to); break;
            case 2: add_terms_of_rows(2, terms, columns, k == 0, from, x_stride, w + k * columns, to); break;
#if VREGISTERS >= 32
            case 3: add_terms_of_rows(3, terms, columns, k == 0, from, x_stride, w + k * columns, to); break;
#endif
            default: add_terms_of_rows(ROWS_AT_ONCE, terms, columns, k == 0, from, x_stride, w + k * columns, to);
            }
        }
    }
}

/* The products of VL rows of the matrix, or fewer, with one row: lane by lane, until the lanes of all are added up at
 * once. `whole`, a constant: are there VL of them? */
VINLINE vf dot_rows(int whole, ptrdiff_t matrix_rows, ptrdiff_t columns, const float *x, const float *w) {
    vf sum[VL];
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) sum[i] = vzero();
    for (ptrdiff_t n = 0; n < columns; n += VL) {
        const ptrdiff_t count = columns - n < VL ? columns - n : VL;
        const vf value = vload_upto(x + n, count);
        const float *row = w + n;
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++, row += columns)
            if (whole || i < matrix_rows) sum[i] = vfma(value, vload_upto(row, count), sum[i]);
    }
    transpose(sum);
#pragma GCC unroll 4
    for (int width = VL / 2; width > 0; width /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < width; i++) sum[i] += sum[i + width];
    return sum[0];
}

static void product_transposed(ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t columns, const float *x, const float *w,
                               const float *added, float *y, ptrdiff_t y_stride) {
    for (ptrdiff_t k = 0; k < inner; k += VL) {
        const ptrdiff_t n = inner - k < VL ? inner - k : VL;
        for (ptrdiff_t r = 0; r < rows; r++) {
            const float *from = x + r * columns, *matrix = w + k * columns;
            float *to = y + r * y_stride + k;
            __builtin_prefetch(to + 2 * LINE, 1);         /* another thread may have had it */
            vf sum = n == VL ? dot_rows(1, VL, columns, from, matrix) : dot_rows(0, n, columns, from, matrix);
            if (added) sum += vload_upto(added + r * y_stride + k, n);
            vstore_upto(to, sum, n);
        }
    }
}

static void combine(ptrdiff_t slots, ptrdiff_t columns, const float *partial, ptrdiff_t stride, const float *bias,
                    const float *added, float *y) {
    for (ptrdiff_t n = 0; n < columns; n += VL) {
        const ptrdiff_t some = columns - n < VL ? columns - n : VL;
        vf sum = vload_upto(partial + n, some);
        for (ptrdiff_t s = 1; s < slots; s++) sum += vload_upto(partial + s * stride + n, some);
        if (bias) sum += vload_upto(bias + n, some);
        if (added) sum += vload_upto(added + n, some);
        vstore_upto(y + n, sum, some);
    }
}

extern const cnn_few_rows_kernels KERNEL(cnn_few_rows);
const cnn_few_rows_kernels KERNEL(cnn_few_rows) = {
    .product = product, .product_transposed = product_transposed, .combine = combine};
