/* batchnorm: normalisation with given moments, residual and activation in one pass. Parallel over blocks of rows.
 * scale = gamma / sqrt(var + epsilon) and shift = beta - mean scale are for the backward pass, which computes the
 * sign of act's input again from x with them, so that it need not read y.
 *
 * The residual may be of a normalisation that is done here as well, residual_scale residual + residual_shift. */
#include "batchnorm.h"

enum { X, MEAN, VAR, GAMMA, BETA, RESIDUAL, RESIDUAL_SCALE, RESIDUAL_SHIFT };
enum { EPSILON, ACTIVATION, ALPHA, MAX_VALUE };
enum { STREAM_BYTES = 8 << 20 }; /* from this size on, beyond the second caches, y is written past them all */
static const cnn_attr_def attrs[] = { CNN_EPSILON_ATTR, CNN_ACT_ATTRS, CNN_END_OF_ATTRS };

static const cnn_tensor *operand(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], want[64];
    const cnn_tensor *x = c->in[X], *residual = operand(c, RESIDUAL);
    if (cnn_expect(x, "x", -1, CNN_F32, error)) return -1;
    int64_t n = cnn_last(x);
    if (cnn_expect_vector(c->in[MEAN], "mean", n, error) || cnn_expect_vector(c->in[VAR], "var", n, error)) return -1;
    if (cnn_expect_vector(operand(c, GAMMA), "gamma", n, error) ||
        cnn_expect_vector(operand(c, BETA), "beta", n, error))
        return -1;
    if (residual) {
        if (cnn_expect(residual, "residual", -1, CNN_F32, error)) return -1;
        if (!cnn_same_shape(residual, x))
            return cnn_fail(error, "residual must have the shape of x, %s, got %s", cnn_shape_text(x, want),
                            cnn_shape_text(residual, shape));
    }
    if (cnn_batchnorm_check_residual(residual, operand(c, RESIDUAL_SCALE), operand(c, RESIDUAL_SHIFT), n, error))
        return -1;
    cnn_like(out, x);
    for (int i = 1; i < c->n_out; i++) cnn_set_shape(&out[i], 1, n, 1, 1, 1);
    return 0;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)error;
    cnn_batchnorm_cut cut = cnn_batchnorm_cut_of(c->in[X]);
    memcpy(c->plan, &cut, sizeof cut);
    choice->workspace_bytes = 4 * cut.width * (int64_t)sizeof(float);
    return 0;
}

static double flops(const cnn_call *c) {
    return (operand(c, RESIDUAL_SCALE) ? 5.0 : operand(c, RESIDUAL) ? 3.0 : 2.0) * (double)cnn_count(c->in[X]);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_batchnorm_cut *cut = (const cnn_batchnorm_cut *)c->plan;
    const cnn_batchnorm_kernels *k = c->kernels->batchnorm;
    const cnn_act act = {
        .kind = (int)cnn_int(c, ACTIVATION), .alpha = cnn_float(c, ALPHA), .max_value = cnn_float(c, MAX_VALUE)};
    const float *x = cnn_data(e, c->in[X]), *mean = cnn_data(e, c->in[MEAN]), *var = cnn_data(e, c->in[VAR]);
    const float *gamma = cnn_data(e, operand(c, GAMMA)), *beta = cnn_data(e, operand(c, BETA)),
                *residual = cnn_data(e, operand(c, RESIDUAL));
    const float *residual_scale = cnn_data(e, operand(c, RESIDUAL_SCALE)),
                *residual_shift = cnn_data(e, operand(c, RESIDUAL_SHIFT));
    float *y = cnn_data(e, c->out[0]), *scale = (float *)e->workspace, *shift = scale + cut->width;
    const int stream = cnn_bytes(c->out[0]) >= STREAM_BYTES && y != x && y != residual;
    int64_t begin, end;
    cnn_share_channels(e, cut->channels, &begin, &end);
    if (begin < end)
        k->constants(end - begin, NULL, mean + begin, var + begin, gamma ? gamma + begin : NULL,
                     beta ? beta + begin : NULL, c->attr[EPSILON], scale + begin, shift + begin);
    const float *constants[] = {scale, shift};
    for (int i = 1; i < c->n_out && begin < end; i++) {
        float *wanted = cnn_data(e, c->out[i]);
        if (wanted) memcpy(wanted + begin, constants[i - 1] + begin, (size_t)(end - begin) * sizeof *wanted);
    }
    cnn_batchnorm_widen(cut, scale, begin, end);
    cnn_batchnorm_widen(cut, shift, begin, end);
    if (residual_scale) {
        residual_scale = cnn_batchnorm_wide(cut, residual_scale, shift + cut->width, begin, end);
        residual_shift = cnn_batchnorm_wide(cut, residual_shift, shift + 2 * cut->width, begin, end);
    }
    cnn_barrier(e);
    cnn_work work = cnn_share_work(e, cut->blocks);
    for (int64_t b; (b = cnn_work_next(&work)) >= 0;) {
        int64_t at = b * cut->block * cut->channels;
        k->apply(cnn_batchnorm_rows(cut, b), cut->channels, cut->fold, x + at, scale, shift,
                 (cnn_batchnorm_residual){residual ? residual + at : NULL, residual_scale, residual_shift}, act, stream,
                 y + at);
    }
}

const cnn_op cnn_op_batchnorm = {
    .name = "batchnorm",
    .summary = "y = act(gamma (x - mean) / sqrt(var + epsilon) + beta + residual [residual_scale + residual_shift])",
    .inputs = "x mean var [gamma] [beta] [residual] [residual_scale] [residual_shift]",
    .outputs = "y [scale] [shift]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
    .in_place = 1 << X | 1 << RESIDUAL,
};
