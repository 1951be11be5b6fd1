/* Softmax leaves, over rows of k contiguous elements. */
#ifndef CNN_KERNELS_SOFTMAX_H
#define CNN_KERNELS_SOFTMAX_H

#include <stddef.h>

typedef struct cnn_softmax_kernels {
    /* y = exp(x - max x) / sum exp(x - max x) in each row. A row with NaN or +inf becomes NaN; y may be x. */
    void (*softmax)(ptrdiff_t rows, ptrdiff_t k, const float *x, float *y);
    /* grad_x = y (grad_y - sum grad_y y) in each row; grad_x may be grad_y or y. */
    void (*softmax_backward)(ptrdiff_t rows, ptrdiff_t k, const float *grad_y, const float *y, float *grad_x);
} cnn_softmax_kernels;

#endif
