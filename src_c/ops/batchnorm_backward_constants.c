/* batchnorm_backward_constants: what is left of batchnorm_backward (see there) for the operations that compute its
 * grad_x = p g + q x + s themselves: the constants, from g's sums, which come with it or are taken here, in a pass over
 * g and x. Parallel over channels, the pass over blocks of rows. */
#include "batchnorm.h"

enum { MEAN, VAR, SUM_G, SUM_GX, GAMMA, G, X };
enum { P, Q, S, GRAD_GAMMA, GRAD_BETA };
enum { EPSILON, ROWS };
static const cnn_attr_def attrs[] = {CNN_EPSILON_ATTR, CNN_FLOAT_ATTR("rows", 1, 1, 0x1p62), CNN_END_OF_ATTRS};

static const cnn_tensor *operand(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }
static const cnn_tensor *result(const cnn_call *c, int i) { return i < c->n_out ? c->out[i] : NULL; }

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    static const char *const names[] = {"mean", "var", "sum_g", "sum_gx", "gamma"};
    const cnn_tensor *g = operand(c, G), *x = operand(c, X);
    char shape[64], want[64];
    if (cnn_expect(c->in[MEAN], "mean", 1, CNN_F32, error)) return -1;
    for (int i = VAR; i <= GAMMA; i++)
        if (cnn_expect_vector(operand(c, i), names[i], cnn_last(c->in[MEAN]), error)) return -1;
    if (!operand(c, SUM_G) != !operand(c, SUM_GX) || !g != !x || !operand(c, SUM_G) == !g)
        return cnn_fail(error, "either sum_g and sum_gx must be given, or g and x, of which they are taken");
    for (int i = 0; i < c->n_out; i++) cnn_like(&out[i], c->in[MEAN]);
    if (!g) return 0;
    if (cnn_expect(x, "x", -1, CNN_F32, error) || cnn_expect(g, "g", -1, CNN_F32, error)) return -1;
    if (!cnn_same_shape(g, x))
        return cnn_fail(error, "g must have the shape of x, %s, got %s", cnn_shape_text(x, want),
                        cnn_shape_text(g, shape));
    if (cnn_last(x) != cnn_last(c->in[MEAN]) || (double)cnn_rows(x) != c->attr[ROWS])
        return cnn_fail(error, "x must have %lld channels, as mean, in %.0f rows, got %s",
                        (long long)cnn_last(c->in[MEAN]), c->attr[ROWS], cnn_shape_text(x, shape));
    return 0;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)error;
    choice->workspace_bytes = 2 * cnn_last(c->in[MEAN]) * (int64_t)sizeof(double);
    if (!operand(c, X)) return 0;
    const cnn_batchnorm_cut cut = cnn_batchnorm_cut_of(c->in[X]);
    memcpy(c->plan, &cut, sizeof cut);
    choice->kernel = "with a pass for the sums";
    choice->workspace_bytes += cut.blocks * 2 * cut.channels * (int64_t)sizeof(double) +
        cut.width * (int64_t)sizeof(float);
    choice->thread_workspace_bytes = 2 * cut.width * (int64_t)sizeof(float);
    return 0;
}

static double flops(const cnn_call *c) { return operand(c, X) ? 4 * (double)cnn_count(c->in[X]) : 0; }

static void run(const cnn_call *c, const cnn_exec *e) {
    const float *mean = cnn_data(e, c->in[MEAN]), *var = cnn_data(e, c->in[VAR]),
                *gamma = cnn_data(e, operand(c, GAMMA)), *sum_g = cnn_data(e, operand(c, SUM_G)),
                *sum_gx = cnn_data(e, operand(c, SUM_GX));
    float *p = cnn_data(e, c->out[P]), *q = cnn_data(e, c->out[Q]), *s = cnn_data(e, c->out[S]),
          *grad_gamma = cnn_data(e, result(c, GRAD_GAMMA)), *grad_beta = cnn_data(e, result(c, GRAD_BETA));
    const int64_t n = cnn_last(c->in[MEAN]);
    double *sums = (double *)e->workspace, *slots = sums + 2 * n;
    int64_t begin, end;
    cnn_share_channels(e, n, &begin, &end);
    if (sum_g) {
        for (int64_t i = begin; i < end; i++) { sums[i] = sum_g[i]; sums[n + i] = sum_gx[i]; }
    } else {
        const cnn_batchnorm_cut *cut = (const cnn_batchnorm_cut *)c->plan;
        float *wide_mean = (float *)(slots + cut->blocks * 2 * n);
        const cnn_batchnorm_gradient g = {.grad_y = cnn_data(e, c->in[G]), .x = cnn_data(e, c->in[X]),
                                          .mean = cnn_batchnorm_wide(cut, mean, wide_mean, begin, end),
                                          .mask = cnn_mask_of(CNN_LINEAR, 0, INFINITY)};
        cnn_barrier(e);
        cnn_batchnorm_gradient_sums(c, e, cut, &g, slots, sums);
    }
    if (begin >= end) return;
    c->kernels->batchnorm->gradient_constants(end - begin, c->attr[ROWS], mean + begin, var + begin,
                                              gamma ? gamma + begin : NULL, c->attr[EPSILON], sums + begin,
                                              sums + n + begin,
                                              p + begin, q + begin, s + begin, grad_gamma ? grad_gamma + begin : NULL,
                                              grad_beta ? grad_beta + begin : NULL);
}

const cnn_op cnn_op_batchnorm_backward_constants = {
    .name = "batchnorm_backward_constants",
    .summary = "p, q, s: batchnorm_backward's grad_x = p g + q x + s over so many rows; grad_gamma, grad_beta",
    .inputs = "mean var [sum_g] [sum_gx] [gamma] [g] [x]",
    .outputs = "p q s [grad_gamma] [grad_beta]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
};
