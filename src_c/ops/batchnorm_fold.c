/* batchnorm_fold: weights and bias of a convolution or dense layer with the batch normalisation after it folded in, for
 * inference. Parallel over rows of w seen as (rows, output channels); each thread computes the few constants itself,
 * rather than wait for the others. */
#include "batchnorm.h"

enum { W, BIAS, MEAN, VAR, GAMMA, BETA };
enum { EPSILON, DEPTHWISE };
static const cnn_attr_def attrs[] = { CNN_EPSILON_ATTR, CNN_INT_ATTR("depthwise", 0, 0, 1), CNN_END_OF_ATTRS };

static const cnn_tensor *operand(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }

/* Output channels: the last axis of w, or the last two of depthwise weights (kh, kw, c, m), whose channel c * m + j is
 * their flattened index. */
static int64_t output_channels(const cnn_call *c) {
    const cnn_tensor *w = c->in[W];
    return cnn_int(c, DEPTHWISE) ? w->dims[2] * w->dims[3] : cnn_last(w);
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    static const char *const names[] = {"w", "bias", "mean", "var", "gamma", "beta"};
    const cnn_tensor *w = c->in[W];
    if (cnn_expect(w, "w", cnn_int(c, DEPTHWISE) ? 4 : -1, CNN_F32, error)) return -1;
    for (int i = BIAS; i <= BETA; i++)
        if (cnn_expect_vector(operand(c, i), names[i], output_channels(c), error)) return -1;
    cnn_like(&out[0], w);
    if (c->n_out > 1) cnn_set_shape(&out[1], 1, output_channels(c), 1, 1, 1);
    return 0;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)error;
    cnn_tensor matrix = {.rank = 2, .dims = {cnn_count(c->in[W]) / output_channels(c), output_channels(c)}};
    cnn_batchnorm_cut cut = cnn_batchnorm_cut_of(&matrix);
    memcpy(c->plan, &cut, sizeof cut);
    choice->thread_workspace_bytes = 2 * cut.width * (int64_t)sizeof(float);
    return 0;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_batchnorm_cut *cut = (const cnn_batchnorm_cut *)c->plan;
    const cnn_batchnorm_kernels *k = c->kernels->batchnorm;
    const float *v[6];
    for (int i = W; i <= BETA; i++) v[i] = cnn_data(e, operand(c, i));
    float *w2 = cnn_data(e, c->out[0]), *bias2 = cnn_data(e, c->n_out > 1 ? c->out[1] : NULL);
    float *scale = (float *)e->thread_workspace, *shift = scale + cut->width;
    int64_t begin, end;
    k->constants(cut->channels, v[BIAS], v[MEAN], v[VAR], v[GAMMA], v[BETA], c->attr[EPSILON], scale, shift);
    cnn_share_channels(e, cut->channels, &begin, &end);
    if (bias2 && begin < end) memcpy(bias2 + begin, shift + begin, (size_t)(end - begin) * sizeof *shift);
    cnn_batchnorm_widen(cut, scale, 0, cut->channels);
    cnn_share(e, cut->blocks, &begin, &end);
    for (int64_t b = begin; b < end; b++) {
        int64_t at = b * cut->block * cut->channels;
        k->apply(cnn_batchnorm_rows(cut, b), cut->channels, cut->fold, v[W] + at, scale, NULL,
                 (cnn_batchnorm_residual){.x = NULL}, (cnn_act){.max_value = INFINITY}, 0, w2 + at);
    }
}

const cnn_op cnn_op_batchnorm_fold = {
    .name = "batchnorm_fold",
    .summary = "w2 = w s; bias2 = (bias - mean) s + beta, with s = gamma / sqrt(var + epsilon)",
    .inputs = "w [bias] mean var [gamma] [beta]",
    .outputs = "w2 bias2",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .run = run,
};
