/* Leaves that prepare data for a network. All arrays are contiguous; y may be x. */
#ifndef CNN_KERNELS_PREPROCESS_H
#define CNN_KERNELS_PREPROCESS_H

#include <stddef.h>

enum cnn_function { CNN_LOG, CNN_ARCTAN };

typedef struct cnn_preprocess_kernels {
    /* y[i] = f(x[i]); log x is -inf at 0 and NaN below it. */
    void (*function)(int kind, ptrdiff_t n, const float *x, float *y);
    /* grad_x[i] = grad_y[i] f'(x[i]); grad_x may be grad_y or x. */
    void (*function_backward)(int kind, ptrdiff_t n, const float *grad_y, const float *x, float *grad_x);
    /* y(i, j) = fallback[j * step] where x(i, j) is NaN, else value(i, j); i < rows, j < n, step 0 or 1. */
    void (*replace_nan)(ptrdiff_t rows, ptrdiff_t n, const float *x, const float *fallback, int step,
                        const float *value, float *y);
    /* y[i] = (x[i] - mean[i % width]) * scale[i % width] for i < n: the difference first, so that x = mean gives 0
     * under any scale. */
    void (*center_scale)(ptrdiff_t n, ptrdiff_t width, const float *x, const float *mean, const float *scale,
                         float *y);
} cnn_preprocess_kernels;

#endif
