/* The L1 and L2 penalty of weights, and its gradient; Keras' regularizers. */
#include "loss.h"

enum { L1, L2 };
static const cnn_attr_def attrs[] = { CNN_FLOAT_ATTR("l1", 0, -INFINITY, INFINITY),
                                      CNN_FLOAT_ATTR("l2", 0, -INFINITY, INFINITY), CNN_END_OF_ATTRS };

static void run(const cnn_call *c, const cnn_exec *e) {
    const float *w = cnn_data(e, c->in[0]);
    int64_t count = cnn_count(c->in[0]), begin, end;
    double l1 = c->attr[L1], l2 = c->attr[L2];
    cnn_share(e, cnn_sum_blocks(c->in[0]), &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t at = i * CNN_SUM_BLOCK, n = cnn_min(count - at, CNN_SUM_BLOCK);
        double penalty = 0;
        if (l1 != 0) penalty += l1 * c->kernels->loss->sum_of_magnitudes(n, w + at);
        if (l2 != 0) penalty += l2 * c->kernels->loss->sum_of_squares(n, w + at);
        ((double *)e->workspace)[i] = penalty;
    }
    cnn_barrier(e);
    if (e->thread == 0) *(float *)cnn_data(e, c->out[0]) = (float)cnn_total_of_blocks(c, e);
}

static const cnn_tensor *residual_of(const cnn_call *c) { return c->n_in > 2 ? c->in[2] : NULL; }

static int infer_backward(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    if (cnn_expect(c->in[0], "w", -1, CNN_F32, error) || cnn_expect_vector(c->in[1], "grad", 1, error)) return -1;
    if (residual_of(c) && cnn_expect_like(residual_of(c), "residual", c->in[0], "w", error)) return -1;
    cnn_like(out, c->in[0]);
    return 0;
}

static void run_backward(const cnn_call *c, const cnn_exec *e) {
    const float *w = cnn_data(e, c->in[0]), *residual = cnn_data(e, residual_of(c));
    float *grad_w = cnn_data(e, c->out[0]);
    double grad = *(const float *)cnn_data(e, c->in[1]);
    int64_t begin, end;
    cnn_share_grain(e, cnn_count(c->in[0]), 1024, &begin, &end);
    if (begin < end)
        c->kernels->loss->l1_l2_backward(end - begin, (float)(c->attr[L1] * grad), (float)(c->attr[L2] * grad),
                                         w + begin, residual ? residual + begin : NULL, grad_w + begin);
}

const cnn_op cnn_op_l1_l2_penalty = {
    .name = "l1_l2_penalty",
    .summary = "y = l1 sum |w| + l2 sum w^2",
    .inputs = "w",
    .outputs = "y",
    .attrs = attrs,
    .infer = cnn_infer_scalar,
    .plan = cnn_plan_sum,
    .run = run,
};

const cnn_op cnn_op_l1_l2_backward = {
    .name = "l1_l2_backward",
    .summary = "grad_w = (l1 sign(w) + 2 l2 w) grad (+ residual)",
    .inputs = "w grad [residual]",
    .outputs = "grad_w",
    .attrs = attrs,
    .infer = infer_backward,
    .run = run_backward,
    .in_place = 1 | 4,
};
