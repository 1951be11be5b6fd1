#include "normalised_gradient.h"

cnn_normalised_gradient cnn_normalised_gradient_of(const cnn_call *c, const cnn_tensor *grad_y, int out) {
    const cnn_tensor *of[4] = {NULL};
    for (int i = 0; i < 4 && out + i < c->n_in; i++) of[i] = c->in[out + i];
    return (cnn_normalised_gradient){.grad_y = grad_y, .out = of[0], .p = of[1], .q = of[2], .s = of[3]};
}

int cnn_normalised_gradient_check(const cnn_normalised_gradient *g, cnn_error *error) {
    static const char *const names[] = {"p", "q", "s"};
    const cnn_tensor *constants[] = {g->p, g->q, g->s};
    char shape[64], want[64];
    if (g->out && (g->out->dtype != CNN_F32 || !cnn_same_shape(g->out, g->grad_y)))
        return cnn_fail(error, "out must be float32 with the shape of grad_y, %s, got %s",
                        cnn_shape_text(g->grad_y, want), cnn_shape_text(g->out, shape));
    for (int i = 0; i < 3; i++) {
        if (!constants[i] != !g->out) return cnn_fail(error, "out, p, q and s must be given together");
        if (cnn_expect_vector(constants[i], names[i], cnn_last(g->grad_y), error)) return -1;
    }
    return 0;
}

void cnn_normalised_gradient_load(const cnn_call *c, const cnn_exec *e, const cnn_normalised_gradient *g, int64_t first,
                                  int64_t pixels, int64_t column, int64_t columns, float *d, int64_t pitch) {
    const int64_t channels = cnn_last(g->grad_y), at = first * channels + column;
    const float *grad_y = cnn_data(e, g->grad_y), *out = cnn_data(e, g->out), *p = cnn_data(e, g->p),
                *q = cnn_data(e, g->q), *s = cnn_data(e, g->s);
    c->kernels->batchnorm->gradient_columns(pixels, columns, p + column, q + column, s + column, grad_y + at, out + at,
                                            channels, d, pitch);
}
