/* Leaves of sums over axes, in double precision. The order of the additions depends on the sizes and the vector
 * length alone. */
#ifndef CNN_KERNELS_REDUCE_H
#define CNN_KERNELS_REDUCE_H

#include <stddef.h>

typedef struct cnn_reduce_kernels {
    double (*sum)(ptrdiff_t n, const float *x);
    /* sums[j] += sum over i < rows of x[i * stride + j], j < n */
    void (*sum_rows)(ptrdiff_t rows, ptrdiff_t n, const float *x, ptrdiff_t stride, double *sums);
    /* y[j] = the sum over s < slots of partial[s * stride + j], j < n */
    void (*add_slots)(ptrdiff_t slots, ptrdiff_t n, const double *partial, ptrdiff_t stride, float *y);
} cnn_reduce_kernels;

#endif
