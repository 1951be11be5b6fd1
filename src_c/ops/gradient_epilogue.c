#include "gradient_epilogue.h"

#include <string.h>

static const cnn_tensor *input(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }
/* NULL also while shapes are inferred. */
static const cnn_tensor *output(const cnn_call *c, int i) { return c->out && i < c->n_out ? c->out[i] : NULL; }

cnn_gradient_epilogue_operands cnn_gradient_epilogue_of(const cnn_call *c, int first, int attribute) {
    const double *a = c->attr + attribute;
    return (cnn_gradient_epilogue_operands){.y = input(c, first),
                                            .x = input(c, first + 1),
                                            .mean = input(c, first + 2),
                                            .scale = input(c, first + 3),
                                            .shift = input(c, first + 4),
                                            .sum_g = output(c, 1),
                                            .sum_gx = output(c, 2),
                                            .activation = a[0],
                                            .alpha = a[1],
                                            .max_value = a[2]};
}

static cnn_relu_mask mask_of(const cnn_gradient_epilogue_operands *o) {
    return cnn_mask_of(o->activation, o->alpha, o->max_value);
}

int cnn_gradient_epilogue_infer(const cnn_call *c, const cnn_gradient_epilogue_operands *o, cnn_tensor *out,
                                cnn_error *error) {
    char shape[64], want[64];
    const cnn_tensor *like[] = {o->y, o->x};
    const int64_t channels = cnn_last(out);
    if (cnn_expect_mask(o->activation, o->alpha, error)) return -1;
    for (int i = 0; i < 2; i++)
        if (like[i] && (like[i]->dtype != CNN_F32 || !cnn_same_shape(like[i], out)))
            return cnn_fail(error, "%s must be float32 with the output's shape %s, got %s", i ? "x" : "y",
                            cnn_shape_text(out, want), cnn_shape_text(like[i], shape));
    if (cnn_expect_vector(o->mean, "mean", channels, error) || cnn_expect_vector(o->scale, "scale", channels, error) ||
        cnn_expect_vector(o->shift, "shift", channels, error))
        return -1;
    if (!o->scale != !o->shift || (o->scale && (o->y || !o->x)))
        return cnn_fail(error, "scale and shift must be given together, with x and without y, "
                               "or y in their place");
    if (!cnn_mask_is_one(mask_of(o)) && !o->y && !o->scale)
        return cnn_fail(error, "y must be given where there is an activation, to mask the gradient by, "
                               "or x, scale and shift");
    for (int i = 1; i < c->n_out; i++) cnn_set_shape(&out[i], 1, channels, 1, 1, 1);
    return 0;
}

int cnn_gradient_epilogue_sums(const cnn_gradient_epilogue_operands *o) { return o->sum_g || o->sum_gx; }

int cnn_gradient_epilogue_check(const cnn_gradient_epilogue_operands *o, cnn_error *error) {
    if (!cnn_gradient_epilogue_sums(o) || (o->x && o->mean)) return 0;
    return cnn_fail(error, "x and mean must be given where sum_g or sum_gx are asked for");
}

int cnn_gradient_epilogue_wanted(const cnn_gradient_epilogue_operands *o) {
    return cnn_gradient_epilogue_sums(o) || ((o->y || o->scale) && !cnn_mask_is_one(mask_of(o)));
}

int64_t cnn_gradient_epilogue_bytes(const cnn_gradient_epilogue_operands *o, int64_t channels, int64_t pieces) {
    return cnn_gradient_epilogue_sums(o) ? (pieces + 1) * 2 * channels * (int64_t)sizeof(double) : 0;
}

/* The slots: [piece][g, gx][channel]. */
cnn_gradient_epilogue cnn_gradient_epilogue_in_registers(const cnn_exec *e, const cnn_gradient_epilogue_operands *o,
                                                         int64_t channels, int64_t piece, int64_t from,
                                                         int64_t columns) {
    const float *y = cnn_data(e, o->y), *x = cnn_data(e, o->x), *mean = cnn_data(e, o->mean),
                *scale = cnn_data(e, o->scale), *shift = cnn_data(e, o->shift);
    const int masked = !cnn_mask_is_one(mask_of(o)), sums = cnn_gradient_epilogue_sums(o);
    double *slot = (double *)e->workspace + piece * 2 * channels + from;
    for (int i = 0; i < 2 && sums; i++) memset(slot + i * channels, 0, (size_t)columns * sizeof *slot);
    return (cnn_gradient_epilogue){.mask = mask_of(o),
                                   .y = masked && y ? y + from : NULL,
                                   .x = x ? x + from : NULL,
                                   .mean = mean ? mean + from : NULL,
                                   .scale = masked && scale ? scale + from : NULL,
                                   .shift = masked && shift ? shift + from : NULL,
                                   .sum_g = sums ? slot : NULL,
                                   .sum_gx = sums ? slot + channels : NULL};
}

void cnn_gradient_epilogue_apply(const cnn_call *c, const cnn_exec *e, const cnn_gradient_epilogue_operands *o,
                                 int64_t channels, int64_t piece, int64_t pixels, int64_t origin, int64_t from,
                                 int64_t columns, float *grad, const ptrdiff_t *at) {
    cnn_gradient_epilogue g = cnn_gradient_epilogue_in_registers(e, o, channels, piece, from, 0);
    if (g.y) g.y += origin;
    if (g.x) g.x += origin;
    c->kernels->batchnorm->gradient_epilogue(pixels, columns, at, &g, grad + origin + from);
}

void cnn_gradient_epilogue_combine(const cnn_call *c, const cnn_exec *e, const cnn_gradient_epilogue_operands *o,
                                   int64_t channels, int64_t pieces) {
    const cnn_tensor *results[] = {o->sum_g, o->sum_gx};
    double *slots = (double *)e->workspace, *sums = slots + pieces * 2 * channels;
    int64_t begin, end;
    cnn_barrier(e);
    cnn_share_grain(e, channels, 16, &begin, &end);
    for (int i = 0; i < 2 && begin < end; i++) {
        float *result = cnn_data(e, results[i]);
        if (!result) continue;
        c->kernels->batchnorm->combine_sums(end - begin, pieces, slots + i * channels + begin, 2 * channels,
                                            sums + i * channels + begin);
        for (int64_t n = begin; n < end; n++) result[n] = (float)sums[i * channels + n];
    }
}
