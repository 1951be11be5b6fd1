/* batchnorm_moments: mean and biased variance of every channel over all other axes (Ioffe and Szegedy 2015,
 * arXiv:1502.03167). Parallel over blocks of rows, each with its own slot; then over channels, each adding the blocks
 * in order, in double. */
#include "batchnorm.h"

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[0];
    if (cnn_expect(x, "x", -1, CNN_F32, error)) return -1;
    for (int i = 0; i < c->n_out; i++) cnn_set_shape(&out[i], 1, cnn_last(x), 1, 1, 1);
    return 0;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)error;
    cnn_batchnorm_cut cut = cnn_batchnorm_cut_of(c->in[0]);
    memcpy(c->plan, &cut, sizeof cut);
    choice->workspace_bytes = cut.blocks * 2 * cut.channels * (int64_t)sizeof(double);
    choice->thread_workspace_bytes = 3 * cut.width * (int64_t)sizeof(float);
    return 0;
}

static double flops(const cnn_call *c) { return 4.0 * (double)cnn_count(c->in[0]); }

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_batchnorm_cut *cut = (const cnn_batchnorm_cut *)c->plan;
    const cnn_batchnorm_kernels *k = c->kernels->batchnorm;
    const float *x = cnn_data(e, c->in[0]);
    float *mean = cnn_data(e, c->out[0]), *var = cnn_data(e, c->out[1]);
    double *slots = (double *)e->workspace;                    /* [block][mean, m2][channel] */
    int64_t begin, end, n = cut->channels;
    cnn_share(e, cut->blocks, &begin, &end);
    for (int64_t b = begin; b < end; b++) {
        double *slot = slots + b * 2 * n;
        k->moments(cnn_batchnorm_rows(cut, b), n, cut->fold, x + b * cut->block * n, (float *)e->thread_workspace, slot,
                   slot + n);
    }
    cnn_barrier(e);
    cnn_share_channels(e, n, &begin, &end);
    if (begin < end)
        k->combine_moments(end - begin, cut->rows, cut->block, slots + begin, 2 * n, n, mean + begin, var + begin);
}

const cnn_op cnn_op_batchnorm_moments = {
    .name = "batchnorm_moments",
    .summary = "mean = sum x / n; var = sum (x - mean)^2 / n, over all but the last axis",
    .inputs = "x",
    .outputs = "mean var",
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
};
