/* Leaves of losses, penalties and metrics. Arrays are rows x k, contiguous; a loss has one value per row. NaN in an
 * input gives NaN in the loss of its row. */
#ifndef CNN_KERNELS_LOSS_H
#define CNN_KERNELS_LOSS_H

#include <stddef.h>
#include <stdint.h>

/* The targets of a loss over classes: `label` (rows) or `dense` (rows x k), the other is NULL. What counts is
 * t = (1 - smoothing) target + smoothing / k, where a label stands for its one-hot row. A row whose label is `ignore`
 * (INT32_MIN: none) has loss 0 and gradient 0; one whose label is no class (below 0 or from k on) has loss NaN and
 * gradient 0, and nothing is read for it. */
typedef struct cnn_class_target {
    const int32_t *label;
    const float *dense;
    float smoothing;
    int32_t ignore;
} cnn_class_target;

/* x: logits or probabilities. grad_x may be x. */
typedef void cnn_class_loss(ptrdiff_t rows, ptrdiff_t k, const float *x, const cnn_class_target *target, float *loss);
typedef void cnn_class_loss_backward(ptrdiff_t rows, ptrdiff_t k, const float *x, const cnn_class_target *target,
                                     const float *grad_loss, float *grad_x);

/* A mean over the row of a function of x and t = (1 - smoothing) target + smoothing / 2. grad_x may be x or target. */
typedef void cnn_mean_loss(ptrdiff_t rows, ptrdiff_t k, const float *x, const float *target, float smoothing,
                           float *loss);
typedef void cnn_mean_loss_backward(ptrdiff_t rows, ptrdiff_t k, const float *x, const float *target, float smoothing,
                                    const float *grad_loss, float *grad_x);

typedef struct cnn_loss_kernels {
    cnn_class_loss *softmax_cross_entropy, *categorical_cross_entropy;
    cnn_class_loss_backward *softmax_cross_entropy_backward, *categorical_cross_entropy_backward;
    cnn_mean_loss *sigmoid_cross_entropy, *binary_cross_entropy, *squared_error, *absolute_error;
    cnn_mean_loss_backward *sigmoid_cross_entropy_backward, *binary_cross_entropy_backward, *squared_error_backward,
        *absolute_error_backward;

    /* Sums in double, in sixteen interleaved lanes: the same bits on every instruction set.
     * sum: of weights x, or of x where weights is NULL. */
    double (*sum)(ptrdiff_t n, const float *x, const float *weights);
    double (*sum_of_squares)(ptrdiff_t n, const float *x);
    double (*sum_of_magnitudes)(ptrdiff_t n, const float *x);

    /* y = scale weights; y = scale where weights is NULL. */
    void (*scaled_weights)(ptrdiff_t n, float scale, const float *weights, float *y);
    /* y = l1 sign(w) + 2 l2 w (+ residual); y may be w or residual. */
    void (*l1_l2_backward)(ptrdiff_t n, float l1, float l2, const float *w, const float *residual, float *y);

    /* matches: 1 where the first maximum of the row is at the label, else 0, also where the row has a NaN or the label
     * is no class. correct_dense: the label is the target's first maximum. */
    void (*correct_label)(ptrdiff_t rows, ptrdiff_t k, const float *prediction, const int32_t *label, float *matches);
    void (*correct_dense)(ptrdiff_t rows, ptrdiff_t k, const float *prediction, const float *target, float *matches);
    /* matches: the share of the row in which (prediction > threshold ? 1 : 0) equals the target. */
    void (*correct_threshold)(ptrdiff_t rows, ptrdiff_t k, const float *prediction, const float *target,
                              float threshold, float *matches);
} cnn_loss_kernels;

#endif
