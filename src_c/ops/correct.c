/* Which predictions are right: the values whose mean is an accuracy. */
#include "loss.h"

enum { MODE, THRESHOLD };
enum { LABEL, DENSE, BINARY };
static const cnn_attr_def attrs[] = { CNN_INT_ATTR("mode", LABEL, LABEL, BINARY),
                                      CNN_FLOAT_ATTR("threshold", 0.5, -INFINITY, INFINITY), CNN_END_OF_ATTRS };

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[0], *target = c->in[1];
    if (cnn_expect_rows(x, "the prediction", error)) return -1;
    if (cnn_int(c, MODE) == LABEL ? cnn_expect_per_row(target, "a target of class numbers", CNN_I32, x, error)
                                  : cnn_expect_like(target, "target", x, "the prediction", error))
        return -1;
    cnn_set_rows(out, x);
    return 0;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_loss_kernels *kernels = c->kernels->loss;
    const float *x = cnn_data(e, c->in[0]);
    const void *target = cnn_data(e, c->in[1]);
    float *matches = cnn_data(e, c->out[0]);
    int64_t k = cnn_last(c->in[0]), begin, end, mode = cnn_int(c, MODE);
    cnn_share_grain(e, cnn_rows(c->in[0]), 16, &begin, &end);
    if (begin >= end) return;
    if (mode == LABEL)
        kernels->correct_label(end - begin, k, x + begin * k, (const int32_t *)target + begin, matches + begin);
    else if (mode == DENSE)
        kernels->correct_dense(end - begin, k, x + begin * k, (const float *)target + begin * k, matches + begin);
    else
        kernels->correct_threshold(end - begin, k, x + begin * k, (const float *)target + begin * k,
                                   cnn_float(c, THRESHOLD), matches + begin);
}

const cnn_op cnn_op_correct = {
    .name = "correct",
    .summary = "matches = argmax(prediction) == target (mode 0), == argmax(target) (1), mean_j (prediction > "
               "threshold) == target (2)",
    .inputs = "prediction target",
    .outputs = "matches",
    .attrs = attrs,
    .infer = infer,
    .run = run,
};
