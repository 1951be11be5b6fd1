/* The mean of a loss over all its positions, each times its weight: Keras' "sum_over_batch_size". Weights do not enter
 * the count. */
#include "loss.h"

enum { SCALE, RANK, D0 };
static const cnn_attr_def attrs[] = { CNN_FLOAT_ATTR("scale", 1, -INFINITY, INFINITY), CNN_END_OF_ATTRS };
static const cnn_attr_def backward_attrs[] = { CNN_FLOAT_ATTR("scale", 1, -INFINITY, INFINITY), CNN_RANK_DIMS_ATTRS,
                                               CNN_END_OF_ATTRS };

static const cnn_tensor *weights_of(const cnn_call *c) { return c->n_in > 1 ? c->in[1] : NULL; }

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    if (cnn_infer_scalar(c, out, error)) return -1;
    return weights_of(c) ? cnn_expect_like(weights_of(c), "weights", c->in[0], "loss", error) : 0;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const float *loss = cnn_data(e, c->in[0]), *weights = cnn_data(e, weights_of(c));
    int64_t count = cnn_count(c->in[0]), begin, end;
    cnn_share(e, cnn_sum_blocks(c->in[0]), &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t at = i * CNN_SUM_BLOCK;
        ((double *)e->workspace)[i] =
            c->kernels->loss->sum(cnn_min(count - at, CNN_SUM_BLOCK), loss + at, weights ? weights + at : NULL);
    }
    cnn_barrier(e);
    if (e->thread == 0)
        *(float *)cnn_data(e, c->out[0]) = (float)(c->attr[SCALE] * (cnn_total_of_blocks(c, e) / (double)count));
}

static int infer_backward(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    if (cnn_expect_vector(c->in[0], "grad", 1, error)) return -1;
    cnn_set_shape(out, (int)cnn_int(c, RANK), cnn_int(c, D0), cnn_int(c, D0 + 1), cnn_int(c, D0 + 2),
                  cnn_int(c, D0 + 3));
    return weights_of(c) ? cnn_expect_like(weights_of(c), "weights", out, "the loss", error) : 0;
}

static void run_backward(const cnn_call *c, const cnn_exec *e) {
    const float *grad = cnn_data(e, c->in[0]), *weights = cnn_data(e, weights_of(c));
    float *grad_loss = cnn_data(e, c->out[0]);
    int64_t count = cnn_count(c->out[0]), begin, end;
    float factor = (float)((double)*grad * c->attr[SCALE] / (double)count);
    cnn_share_grain(e, count, 1024, &begin, &end);
    if (begin < end)
        c->kernels->loss->scaled_weights(end - begin, factor, weights ? weights + begin : NULL, grad_loss + begin);
}

const cnn_op cnn_op_weighted_mean = {
    .name = "weighted_mean",
    .summary = "y = scale sum(weights loss) / count(loss)",
    .inputs = "loss [weights]",
    .outputs = "y",
    .attrs = attrs,
    .infer = infer,
    .plan = cnn_plan_sum,
    .run = run,
};

const cnn_op cnn_op_weighted_mean_backward = {
    .name = "weighted_mean_backward",
    .summary = "grad_loss = grad scale weights / count(loss)",
    .inputs = "grad [weights]",
    .outputs = "grad_loss",
    .attrs = backward_attrs,
    .infer = infer_backward,
    .run = run_backward,
};
