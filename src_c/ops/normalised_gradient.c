#include "normalised_gradient.h"

#include <math.h>
#include <string.h>

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

/* Rows that are taken together where pixels lie one after the other. */
static int64_t fold_of(int64_t channels, int64_t pitch) {
    return pitch == channels ? cnn_batchnorm_fold_rows(channels) : 1;
}

int64_t cnn_normalised_gradient_constants_floats(const cnn_normalised_gradient *g, int64_t pitch) {
    if (!g->out) return 0;
    const int64_t channels = cnn_last(g->grad_y);
    return 3 * fold_of(channels, pitch) * channels;
}

void cnn_normalised_gradient_constants(const cnn_exec *e, const cnn_normalised_gradient *g, int64_t pitch, float *wide) {
    if (!g->out) return;
    const int64_t channels = cnn_last(g->grad_y), fold = fold_of(channels, pitch);
    const float *constants[] = {cnn_data(e, g->p), cnn_data(e, g->q), cnn_data(e, g->s)};
    for (int i = 0; i < 3; i++)
        for (int64_t k = 0; k < fold; k++, wide += channels)
            memcpy(wide, constants[i], (size_t)channels * sizeof *wide);
}

void cnn_normalised_gradient_load(const cnn_call *c, const cnn_exec *e, const cnn_normalised_gradient *g,
                                  const float *wide, int64_t first, int64_t pixels, int64_t pitch, float *d) {
    static const cnn_relu_mask no_mask = {.slope = 1, .max_value = INFINITY};
    const int64_t channels = cnn_last(g->grad_y), fold = fold_of(channels, pitch), width = fold * channels;
    const int64_t rows = pitch == channels ? pixels : 1;             /* in a call */
    const float *grad_y = (const float *)cnn_data(e, g->grad_y) + first * channels;
    const float *out = (const float *)cnn_data(e, g->out) + first * channels;
    for (int64_t i = 0; i < pixels; i += rows)
        c->kernels->batchnorm->gradient(rows, channels, fold, grad_y + i * channels, NULL, no_mask, out + i * channels,
                                        NULL, NULL, wide, wide + width, wide + 2 * width, d + i * pitch, NULL);
}
