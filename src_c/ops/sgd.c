/* Stochastic gradient descent with momentum, as Keras 3 has it: the learning rate is in the velocity. Nesterov:
 * Sutskever et al. 2013. */
#include "optimizer.h"

enum { MOMENTUM, NESTEROV, WEIGHT_DECAY, CLIP_VALUE };
enum { PARAM, GRAD, HYPER, VELOCITY, SCALE };
static const cnn_attr_def attrs[] = { CNN_FLOAT_ATTR("momentum", 0, 0, 1), CNN_INT_ATTR("nesterov", 0, 0, 1),
                                      CNN_DECAY_CLIP_ATTRS, CNN_END_OF_ATTRS };

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *param = c->in[PARAM], *velocity = cnn_optional(c, VELOCITY);
    if (cnn_expect(param, "param", -1, CNN_F32, error) || cnn_expect_state(c->in[GRAD], "grad", param, error)
        || cnn_expect_vector(c->in[HYPER], "hyper", 4, error)
        || cnn_expect_vector(cnn_optional(c, SCALE), "scale", 1, error))
        return -1;
    if (velocity && cnn_expect_state(velocity, "velocity", param, error)) return -1;
    if (!velocity && c->attr[MOMENTUM] != 0) return cnn_fail(error, "momentum %g needs a velocity", c->attr[MOMENTUM]);
    cnn_like(&out[0], param);
    if (velocity && c->n_out > 1) cnn_like(&out[1], param);
    return 0;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const float *hyper = cnn_data(e, c->in[HYPER]), *scale = cnn_data(e, cnn_optional(c, SCALE)),
                *grad = cnn_data(e, c->in[GRAD]);
    float *param = cnn_data(e, c->in[PARAM]), *velocity = cnn_data(e, cnn_optional(c, VELOCITY));
    cnn_sgd s = { .learning_rate = hyper[0],
                  .momentum = cnn_float(c, MOMENTUM),
                  .scale = scale ? *scale : 1,
                  .clip = cnn_clip_of(c, CLIP_VALUE),
                  .decay = (float)(hyper[0] * c->attr[WEIGHT_DECAY]),
                  .nesterov = (int)cnn_int(c, NESTEROV) };
    int64_t begin, end;
    cnn_share_grain(e, cnn_count(c->in[PARAM]), CNN_OPTIMIZER_GRAIN, &begin, &end);
    if (begin < end)
        c->kernels->optimizer->sgd(end - begin, &s, grad + begin, param + begin, velocity ? velocity + begin : NULL);
}

static double flops(const cnn_call *c) { return 4.0 * (double)cnn_count(c->in[PARAM]); }

const cnn_op cnn_op_sgd = {
    .name = "sgd",
    .summary =
        "v = momentum v - rate g; w += v, or w += momentum v - rate g (nesterov); before it w -= rate weight_decay w",
    .inputs = "param grad hyper [velocity] [scale]",
    .outputs = "param [velocity]",
    .attrs = attrs,
    .infer = infer,
    .flops = flops,
    .run = run,
    .updates = 1 << PARAM | 1 << VELOCITY,
};
