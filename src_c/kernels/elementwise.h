/* Elementwise leaves: activations and arithmetic on contiguous arrays. x and y may be the same array. */
#ifndef CNN_KERNELS_ELEMENTWISE_H
#define CNN_KERNELS_ELEMENTWISE_H

#include <stddef.h>

enum cnn_activation {
    CNN_LINEAR, CNN_RELU, CNN_SIGMOID, CNN_TANH, CNN_ELU, CNN_SELU, CNN_GELU, CNN_GELU_TANH, CNN_SILU, CNN_SOFTPLUS, CNN_HARD_SIGMOID,
    CNN_HARD_SILU, CNN_SOFTSIGN, CNN_EXPONENTIAL, CNN_MISH, CNN_ACTIVATIONS
};

/* The parameters of an activation. alpha: slope of relu below the threshold, scale of elu. max_value and threshold: of relu. */
typedef struct cnn_act { int kind; float alpha, max_value, threshold; } cnn_act;

typedef struct cnn_elementwise_kernels {
    void (*add)(ptrdiff_t n, const float *a, const float *b, float *y);
} cnn_elementwise_kernels;

#endif
