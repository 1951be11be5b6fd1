/* Adam (Kingma and Ba 2015, the form at the end of section 2, which is Keras'), AdamW by weight_decay (Loshchilov and
 * Hutter 2019), AMSGrad by vmax (Reddi, Kale and Kumar 2018). */
#include "optimizer.h"

enum { BETA_1, BETA_2, EPSILON, WEIGHT_DECAY, CLIP_VALUE };
enum { PARAM, GRAD, M, V, HYPER, SCALE, VMAX };
static const cnn_attr_def attrs[] = { CNN_FLOAT_ATTR("beta_1", 0.9, 0, 1), CNN_FLOAT_ATTR("beta_2", 0.999, 0, 1),
                                      CNN_FLOAT_ATTR("epsilon", 1e-7, 0, INFINITY), CNN_DECAY_CLIP_ATTRS,
                                      CNN_END_OF_ATTRS };

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *param = c->in[PARAM], *vmax = cnn_optional(c, VMAX);
    if (cnn_expect(param, "param", -1, CNN_F32, error) || cnn_expect_state(c->in[GRAD], "grad", param, error)
        || cnn_expect_state(c->in[M], "m", param, error) || cnn_expect_state(c->in[V], "v", param, error)
        || cnn_expect_vector(c->in[HYPER], "hyper", 4, error)
        || cnn_expect_vector(cnn_optional(c, SCALE), "scale", 1, error))
        return -1;
    if (vmax && cnn_expect_state(vmax, "vmax", param, error)) return -1;
    if (c->attr[BETA_1] == 1 || c->attr[BETA_2] == 1)
        return cnn_fail(error, "beta_1 and beta_2 must be below 1, got %g and %g", c->attr[BETA_1], c->attr[BETA_2]);
    for (int i = 0; i < c->n_out && i < (vmax ? 4 : 3); i++) cnn_like(&out[i], param);
    return 0;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const float *hyper = cnn_data(e, c->in[HYPER]), *scale = cnn_data(e, cnn_optional(c, SCALE)),
                *grad = cnn_data(e, c->in[GRAD]);
    float *param = cnn_data(e, c->in[PARAM]), *m = cnn_data(e, c->in[M]), *v = cnn_data(e, c->in[V]),
          *vmax = cnn_data(e, cnn_optional(c, VMAX));
    double rate = hyper[0], step = hyper[1], beta_1 = c->attr[BETA_1], beta_2 = c->attr[BETA_2];
    cnn_adam a = { .step = (float)(rate * sqrt(1 - pow(beta_2, step)) / (1 - pow(beta_1, step))),
                   .one_minus_beta_1 = (float)(1 - beta_1),
                   .one_minus_beta_2 = (float)(1 - beta_2),
                   .epsilon = cnn_float(c, EPSILON),
                   .scale = scale ? *scale : 1,
                   .clip = cnn_clip_of(c, CLIP_VALUE),
                   .decay = (float)(rate * c->attr[WEIGHT_DECAY]) };
    int64_t begin, end;
    cnn_share_grain(e, cnn_count(c->in[PARAM]), CNN_OPTIMIZER_GRAIN, &begin, &end);
    if (begin < end)
        c->kernels->optimizer->adam(end - begin, &a, grad + begin, param + begin, m + begin, v + begin,
                                    vmax ? vmax + begin : NULL);
}

static double flops(const cnn_call *c) { return 12.0 * (double)cnn_count(c->in[PARAM]); }

const cnn_op cnn_op_adam = {
    .name = "adam",
    .summary = "m += (1-b1)(g-m); v += (1-b2)(g^2-v); w -= rate sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + epsilon)",
    .inputs = "param grad m v hyper [scale] [vmax]",
    .outputs = "param m v [vmax]",
    .attrs = attrs,
    .infer = infer,
    .flops = flops,
    .run = run,
    .updates = 1 << PARAM | 1 << M | 1 << V | 1 << VMAX,
};
