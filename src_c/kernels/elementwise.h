/* Elementwise leaves: activations and arithmetic. All arrays are contiguous unless a stride says otherwise; results
 * may overwrite an input element by element (y == x), but must not overlap it otherwise. */
#ifndef CNN_KERNELS_ELEMENTWISE_H
#define CNN_KERNELS_ELEMENTWISE_H

#include <stddef.h>
#include <stdint.h>

enum cnn_activation {
    CNN_LINEAR, CNN_RELU, CNN_SIGMOID, CNN_TANH, CNN_ELU, CNN_SELU, CNN_GELU, CNN_GELU_TANH, CNN_SILU, CNN_SOFTPLUS,
    CNN_HARD_SIGMOID, CNN_HARD_SILU, CNN_SOFTSIGN, CNN_EXPONENTIAL, CNN_MISH, CNN_ACTIVATIONS
};

/* The parameters of an activation. alpha: slope of relu below the threshold, scale of elu. threshold: of relu.
 * max_value: of all. */
typedef struct cnn_act { int kind; float alpha, max_value, threshold; } cnn_act;

/* What of a rectifier's derivative follows from its output y: g = grad_y * (y > 0 ? 1 : slope) * (y < max_value). */
typedef struct cnn_relu_mask { float slope, max_value; } cnn_relu_mask;

enum cnn_binary { CNN_ADD, CNN_SUBTRACT, CNN_MULTIPLY, CNN_MAXIMUM, CNN_MINIMUM };

/* One operand of a binary leaf: element (i, j) is p[i * row + j * step]; step is 0 or 1. */
typedef struct cnn_operand { const float *p; ptrdiff_t row; int step; } cnn_operand;

typedef struct cnn_elementwise_kernels {
    /* y[i] = min(f(x[i]), max_value), f by act.kind. relu: x where x >= threshold, alpha (x - threshold) below. NaN
     * stays NaN; every activation has its limit at +-inf (silu(-inf) = 0). */
    void (*activate)(cnn_act act, ptrdiff_t n, const float *x, float *y);

    /* grad_x[i] = grad_y[i] f'(x[i]), 0 where f(x[i]) >= max_value. f' is taken from reference = x, or
     * (reference_is_input = 0) from reference = y for the kinds where it follows from y; see cnn_slope_from_output.
     * At a kink f' is the slope on the left. */
    void (*activate_backward)(cnn_act act, int reference_is_input, ptrdiff_t n, const float *grad_y,
                              const float *reference, float *grad_x);

    /* y(i, j) = a(i, j) op b(i, j) for i < rows, j < n; y is contiguous. At least one step is 1. NaN in either gives
     * NaN. */
    void (*binary)(int op, ptrdiff_t rows, ptrdiff_t n, cnn_operand a, cnn_operand b, float *y);

    /* The gradient of CNN_MAXIMUM or CNN_MINIMUM: grad_y goes to the operand chosen, half to each where neither is
     * (ties, NaN). grad_y, grad_a and grad_b are contiguous; grad_a or grad_b may be NULL. */
    void (*choice_backward)(int op, ptrdiff_t rows, ptrdiff_t n, const float *grad_y, cnn_operand a, cnn_operand b,
                            float *grad_a, float *grad_b);

    /* y[i] = x[i] * scale + offset, two roundings; x of one of the element types. */
    void (*affine_f32)(ptrdiff_t n, const float *x, float scale, float offset, float *y);
    void (*affine_u8)(ptrdiff_t n, const uint8_t *x, float scale, float offset, float *y);
    void (*affine_i32)(ptrdiff_t n, const int32_t *x, float scale, float offset, float *y);

    void (*fill)(ptrdiff_t n, float value, float *y);

    /* `bytes` bytes of each row, of any element type; rows are from_step and to_step bytes apart. */
    void (*copy_rows)(ptrdiff_t rows, ptrdiff_t bytes, const char *from, ptrdiff_t from_step, char *to,
                      ptrdiff_t to_step);
} cnn_elementwise_kernels;

/* Can the derivative be taken from y? */
static inline int cnn_slope_from_output(cnn_act act) {
    switch (act.kind) {
    case CNN_RELU: return act.threshold == 0 && act.alpha >= 0;
    case CNN_ELU: return act.alpha >= 0;
    case CNN_LINEAR: case CNN_SIGMOID: case CNN_TANH: case CNN_SELU: case CNN_SOFTPLUS: case CNN_HARD_SIGMOID:
    case CNN_SOFTSIGN: case CNN_EXPONENTIAL: return 1;
    default: return 0;
    }
}

#endif
