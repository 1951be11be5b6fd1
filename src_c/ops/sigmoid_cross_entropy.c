/* Binary cross-entropy from logits, the mean over the last axis. */
#include "loss.h"

static const cnn_attr_def attrs[] = { CNN_SMOOTHING_ATTR, CNN_END_OF_ATTRS };

static void run(const cnn_call *c, const cnn_exec *e) {
    cnn_run_mean_loss(c, e, c->kernels->loss->sigmoid_cross_entropy, cnn_float(c, CNN_SMOOTHING));
}
static void run_backward(const cnn_call *c, const cnn_exec *e) {
    cnn_run_mean_loss_backward(c, e, c->kernels->loss->sigmoid_cross_entropy_backward, cnn_float(c, CNN_SMOOTHING));
}

const cnn_op cnn_op_sigmoid_cross_entropy = {
    .name = "sigmoid_cross_entropy",
    .summary =
        "loss = mean_j (max(z, 0) - z t + log(1 + e^-|z|)), t = (1 - label_smoothing) target + label_smoothing / 2",
    .inputs = "logits target",
    .outputs = "loss",
    .attrs = attrs,
    .infer = cnn_infer_mean_loss,
    .run = run,
};

const cnn_op cnn_op_sigmoid_cross_entropy_backward = {
    .name = "sigmoid_cross_entropy_backward",
    .summary = "grad_z = (sigmoid(z) - t) grad_loss / k",
    .inputs = "logits target grad_loss",
    .outputs = "grad_logits",
    .attrs = attrs,
    .infer = cnn_infer_mean_loss,
    .run = run_backward,
    .in_place = 3,
};
