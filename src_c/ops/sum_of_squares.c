/* The square of a gradient's norm, in double until the end. */
#include "loss.h"

static void run(const cnn_call *c, const cnn_exec *e) {
    const float *x = cnn_data(e, c->in[0]);
    int64_t count = cnn_count(c->in[0]), begin, end;
    cnn_share(e, cnn_sum_blocks(c->in[0]), &begin, &end);
    for (int64_t i = begin; i < end; i++)
        ((double *)e->workspace)[i] =
            c->kernels->loss->sum_of_squares(cnn_min(count - i * CNN_SUM_BLOCK, CNN_SUM_BLOCK), x + i * CNN_SUM_BLOCK);
    cnn_barrier(e);
    if (e->thread == 0) *(float *)cnn_data(e, c->out[0]) = (float)cnn_total_of_blocks(c, e);
}

static double flops(const cnn_call *c) { return 2.0 * (double)cnn_count(c->in[0]); }

const cnn_op cnn_op_sum_of_squares = {
    .name = "sum_of_squares",
    .summary = "y = sum x^2",
    .inputs = "x",
    .outputs = "y",
    .infer = cnn_infer_scalar,
    .plan = cnn_plan_sum,
    .flops = flops,
    .run = run,
};
