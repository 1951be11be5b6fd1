/* Cross-entropy of classes from logits: no probability is ever formed in the loss, so none can vanish. Target: class
 * numbers or probabilities. */
#include "loss.h"

static const cnn_attr_def attrs[] = { CNN_CLASS_LOSS_ATTRS, CNN_END_OF_ATTRS };

static void run(const cnn_call *c, const cnn_exec *e) {
    cnn_run_class_loss(c, e, c->kernels->loss->softmax_cross_entropy);
}
static void run_backward(const cnn_call *c, const cnn_exec *e) {
    cnn_run_class_loss_backward(c, e, c->kernels->loss->softmax_cross_entropy_backward);
}

const cnn_op cnn_op_softmax_cross_entropy = {
    .name = "softmax_cross_entropy",
    .summary = "loss = -sum_j t_j log softmax(logits)_j, t = (1 - label_smoothing) target + label_smoothing / k",
    .inputs = "logits target",
    .outputs = "loss",
    .attrs = attrs,
    .infer = cnn_infer_class_loss,
    .run = run,
};

const cnn_op cnn_op_softmax_cross_entropy_backward = {
    .name = "softmax_cross_entropy_backward",
    .summary = "grad_logits = (softmax(logits) sum_j t_j - t) grad_loss",
    .inputs = "logits target grad_loss",
    .outputs = "grad_logits",
    .attrs = attrs,
    .infer = cnn_infer_class_loss,
    .run = run_backward,
    .in_place = 1,
};
