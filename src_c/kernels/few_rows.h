/* Products of a few rows with a matrix as it lies in memory, which is read once and in order. Where rows are few, to
 * bring the matrix takes longer than the arithmetic, and to pack it for the tiles of gemm.h several times as long. The
 * order of the additions depends on the sizes and the vector length alone. */
#ifndef CNN_KERNELS_FEW_ROWS_H
#define CNN_KERNELS_FEW_ROWS_H

#include <stddef.h>

typedef struct cnn_few_rows_kernels {
    /* y[r * columns + n] = sum over k < inner of x[r * x_stride + k] * w[k * columns + n], for r < rows, n < columns */
    void (*product)(ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t columns, const float *x, ptrdiff_t x_stride,
                    const float *w, float *y);
    /* y[r * y_stride + k] = added[r * y_stride + k] + sum over n < columns of x[r * columns + n] * w[k * columns + n],
     * for r < rows, k < inner. added: NULL for zeros; may be y. */
    void (*product_transposed)(ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t columns, const float *x, const float *w,
                               const float *added, float *y, ptrdiff_t y_stride);
    /* y[n] = bias[n] + added[n] + the sum over s < slots of partial[s * stride + n], for n < columns. bias, added: NULL
     * for zeros; added may be y. */
    void (*combine)(ptrdiff_t slots, ptrdiff_t columns, const float *partial, ptrdiff_t stride, const float *bias,
                    const float *added, float *y);
} cnn_few_rows_kernels;

#endif
