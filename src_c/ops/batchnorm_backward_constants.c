/* batchnorm_backward_constants: what is left of batchnorm_backward (see there) for the operations that compute its
 * grad_x = p g + q x + s themselves, where g comes with its sums. Parallel over channels. */
#include "batchnorm.h"

enum { MEAN, VAR, SUM_G, SUM_GX, GAMMA };
enum { P, Q, S, GRAD_GAMMA, GRAD_BETA };
enum { EPSILON, ROWS };
static const cnn_attr_def attrs[] = {CNN_EPSILON_ATTR, CNN_FLOAT_ATTR("rows", 1, 1, 0x1p62), CNN_END_OF_ATTRS};

static const cnn_tensor *operand(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }
static const cnn_tensor *result(const cnn_call *c, int i) { return i < c->n_out ? c->out[i] : NULL; }

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    static const char *const names[] = {"mean", "var", "sum_g", "sum_gx", "gamma"};
    if (cnn_expect(c->in[MEAN], "mean", 1, CNN_F32, error)) return -1;
    for (int i = VAR; i <= GAMMA; i++)
        if (cnn_expect_vector(operand(c, i), names[i], cnn_last(c->in[MEAN]), error)) return -1;
    for (int i = 0; i < c->n_out; i++) cnn_like(&out[i], c->in[MEAN]);
    return 0;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)error;
    choice->workspace_bytes = 2 * cnn_last(c->in[MEAN]) * (int64_t)sizeof(double);
    return 0;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const float *mean = cnn_data(e, c->in[MEAN]), *var = cnn_data(e, c->in[VAR]),
                *gamma = cnn_data(e, operand(c, GAMMA)), *sum_g = cnn_data(e, c->in[SUM_G]),
                *sum_gx = cnn_data(e, c->in[SUM_GX]);
    float *p = cnn_data(e, c->out[P]), *q = cnn_data(e, c->out[Q]), *s = cnn_data(e, c->out[S]),
          *grad_gamma = cnn_data(e, result(c, GRAD_GAMMA)), *grad_beta = cnn_data(e, result(c, GRAD_BETA));
    const int64_t n = cnn_last(c->in[MEAN]);
    double *g = (double *)e->workspace, *gx = g + n;
    int64_t begin, end;
    cnn_share_channels(e, n, &begin, &end);
    if (begin >= end) return;
    for (int64_t i = begin; i < end; i++) { g[i] = sum_g[i]; gx[i] = sum_gx[i]; }
    c->kernels->batchnorm->gradient_constants(end - begin, c->attr[ROWS], mean + begin, var + begin,
                                              gamma ? gamma + begin : NULL, c->attr[EPSILON], g + begin, gx + begin,
                                              p + begin, q + begin, s + begin, grad_gamma ? grad_gamma + begin : NULL,
                                              grad_beta ? grad_beta + begin : NULL);
}

const cnn_op cnn_op_batchnorm_backward_constants = {
    .name = "batchnorm_backward_constants",
    .summary = "p, q, s: batchnorm_backward's grad_x = p g + q x + s over so many rows; grad_gamma, grad_beta",
    .inputs = "mean var sum_g sum_gx [gamma]",
    .outputs = "p q s [grad_gamma] [grad_beta]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .run = run,
};
