#include "narrow.h"

#include <math.h>
#include <string.h>

int cnn_narrow_check(const cnn_narrow_operands *o, cnn_error *error) {
    const int64_t channels = cnn_last(o->x);
    if (cnn_expect_vector(o->scale, "in_scale", channels, error)
        || cnn_expect_vector(o->shift, "in_shift", channels, error)) return -1;
    if (!o->scale == !o->shift) return 0;
    return cnn_fail(error, "in_scale and in_shift must be given together");
}

cnn_narrow cnn_narrow_layout(cnn_layout *all, const cnn_narrow_operands *o, int64_t pixels) {
    const int64_t channels = cnn_last(o->x), fold = cnn_batchnorm_fold_rows(channels),
                  bytes = o->scale ? channels * (int64_t)sizeof(float) : 0;
    cnn_narrow n = {.channels = channels, .fold = fold};
    n.scale = cnn_take(all, fold * bytes);
    n.shift = cnn_take(all, fold * bytes);
    n.pixels = cnn_take(all, pixels * bytes);
    return n;
}

void cnn_narrow_begin(const cnn_exec *e, const cnn_narrow_operands *o, cnn_narrow *n) {
    n->x = cnn_data(e, o->x);
    for (int64_t i = 0; o->scale && i < n->fold; i++) {
        memcpy(n->scale + i * n->channels, cnn_data(e, o->scale), (size_t)n->channels * sizeof(float));
        memcpy(n->shift + i * n->channels, cnn_data(e, o->shift), (size_t)n->channels * sizeof(float));
    }
}

const float *cnn_narrow_at(const cnn_kernels *k, const cnn_narrow *n, int64_t first, int64_t pixels) {
    const float *x = n->x + first * n->channels;
    if (!n->scale) return x;
    const cnn_act none = {.kind = CNN_LINEAR, .max_value = INFINITY};
    k->batchnorm->apply(pixels, n->channels, n->fold, x, n->scale, n->shift, (cnn_batchnorm_residual){.x = NULL}, none,
                        0, n->pixels);
    return n->pixels;
}
