/* Optimizers; the contract is in optimizer.h. They are bound by memory: each array is read and written once. */
#include "kernels.h"
#include "vec_math.h"

VINLINE vf load(const float *p, ptrdiff_t n) { return n >= VL ? vload(p) : vload_n(p, n); } /* n > 0 floats are left */
VINLINE void store(float *p, vf v, ptrdiff_t n) {
    if (n >= VL) vstore(p, v);
    else vstore_n(p, v, n);
}

VINLINE vf clipped(vf g, float scale, float clip) { return vclamp(g * vset(scale), -clip, clip); }

static void sgd(ptrdiff_t n, const cnn_sgd *s, const float *grad, float *w, float *velocity) {
    vf rate = vset(s->learning_rate), momentum = vset(s->momentum), decay = vset(-s->decay);
    for (ptrdiff_t i = 0; i < n; i += VL) {
        vf x = load(w + i, n - i), back = -rate * clipped(load(grad + i, n - i), s->scale, s->clip), step = back;
        if (velocity) {
            vf v = vfma(momentum, load(velocity + i, n - i), back);
            store(velocity + i, v, n - i);
            step = s->nesterov ? vfma(momentum, v, back) : v;
        }
        store(w + i, vfma(decay, x, x) + step, n - i);
    }
}

static void adam(ptrdiff_t n, const cnn_adam *a, const float *grad, float *w, float *m, float *v, float *vmax_) {
    vf step = vset(a->step), towards_g = vset(a->one_minus_beta_1), towards_square = vset(a->one_minus_beta_2),
       epsilon = vset(a->epsilon), decay = vset(-a->decay);
    for (ptrdiff_t i = 0; i < n; i += VL) {
        vf x = load(w + i, n - i), g = clipped(load(grad + i, n - i), a->scale, a->clip);
        vf first = load(m + i, n - i), second = load(v + i, n - i);
        first = vfma(towards_g, g - first, first);
        second =
            vfma(towards_square, g * g - second, second); /* never negative: the rounded difference is at least -v */
        store(m + i, first, n - i);
        store(v + i, second, n - i);
        if (vmax_) {
            second = vmax(load(vmax_ + i, n - i), second);
            store(vmax_ + i, second, n - i);
        }
        store(w + i, vfma(decay, x, x) - step * first / (vsqrt(second) + epsilon), n - i);
    }
}

extern const cnn_optimizer_kernels KERNEL(cnn_optimizer);
const cnn_optimizer_kernels KERNEL(cnn_optimizer) = { .sgd = sgd, .adam = adam };
