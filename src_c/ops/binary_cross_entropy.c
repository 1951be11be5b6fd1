/* Binary cross-entropy from probabilities, the mean over the last axis. */
#include "loss.h"

static const cnn_attr_def attrs[] = { CNN_SMOOTHING_ATTR, CNN_END_OF_ATTRS };

static void run(const cnn_call *c, const cnn_exec *e) {
    cnn_run_mean_loss(c, e, c->kernels->loss->binary_cross_entropy, cnn_float(c, CNN_SMOOTHING));
}
static void run_backward(const cnn_call *c, const cnn_exec *e) {
    cnn_run_mean_loss_backward(c, e, c->kernels->loss->binary_cross_entropy_backward, cnn_float(c, CNN_SMOOTHING));
}

const cnn_op cnn_op_binary_cross_entropy = {
    .name = "binary_cross_entropy",
    .summary = "loss = -mean_j (t log p + (1 - t) log(1 - p)), p clipped to [1e-7, 1 - 1e-7], t = (1 - "
               "label_smoothing) target + label_smoothing / 2",
    .inputs = "probabilities target",
    .outputs = "loss",
    .attrs = attrs,
    .infer = cnn_infer_mean_loss,
    .run = run,
};

const cnn_op cnn_op_binary_cross_entropy_backward = {
    .name = "binary_cross_entropy_backward",
    .summary = "grad_p = ((1 - t) / (1 - p) - t / p) grad_loss / k inside the clip, 0 outside",
    .inputs = "probabilities target grad_loss",
    .outputs = "grad_probabilities",
    .attrs = attrs,
    .infer = cnn_infer_mean_loss,
    .run = run_backward,
    .in_place = 3,
};
