/* Leaves of optimizers: one pass over the parameters. Gradients become clip(scale g) to +-clip (INFINITY: not at all)
 * before use, and parameters w - decay w (decoupled weight decay, Loshchilov and Hutter 2019) before the step. Arrays
 * are n long and do not overlap. */
#ifndef CNN_KERNELS_OPTIMIZER_H
#define CNN_KERNELS_OPTIMIZER_H

#include <stddef.h>

typedef struct cnn_sgd {
    float learning_rate, momentum, scale, clip, decay;
    int nesterov;
} cnn_sgd;

/* step: the learning rate with its correction for the bias of both moments. */
typedef struct cnn_adam {
    float step, one_minus_beta_1, one_minus_beta_2, epsilon, scale, clip, decay;
} cnn_adam;

typedef struct cnn_optimizer_kernels {
    /* v = momentum v - rate g; w += v, or with nesterov w += momentum v - rate g. velocity may be NULL: w -= rate g. */
    void (*sgd)(ptrdiff_t n, const cnn_sgd *s, const float *grad, float *w, float *velocity);
    /* m += (1 - b1) (g - m); v += (1 - b2) (g^2 - v); w -= step m / (sqrt(u) + epsilon) with u = v, or with vmax (may
     * be NULL) u = vmax = max(vmax, v). */
    void (*adam)(ptrdiff_t n, const cnn_adam *a, const float *grad, float *w, float *m, float *v, float *vmax);
} cnn_optimizer_kernels;

#endif
