/* Cross-entropy of classes from probabilities, as Keras 3 has it: normalised, then clipped. From logits
 * softmax_cross_entropy is exact and faster. */
#include "loss.h"

static const cnn_attr_def attrs[] = { CNN_CLASS_LOSS_ATTRS, CNN_END_OF_ATTRS };

static void run(const cnn_call *c, const cnn_exec *e) {
    cnn_run_class_loss(c, e, c->kernels->loss->categorical_cross_entropy);
}
static void run_backward(const cnn_call *c, const cnn_exec *e) {
    cnn_run_class_loss_backward(c, e, c->kernels->loss->categorical_cross_entropy_backward);
}

const cnn_op cnn_op_categorical_cross_entropy = {
    .name = "categorical_cross_entropy",
    .summary = "loss = -sum_j t_j log clip(p_j / sum p), clip to [1e-7, 1 - 1e-7], t = (1 - label_smoothing) target + "
               "label_smoothing / k",
    .inputs = "probabilities target",
    .outputs = "loss",
    .attrs = attrs,
    .infer = cnn_infer_class_loss,
    .run = run,
};

const cnn_op cnn_op_categorical_cross_entropy_backward = {
    .name = "categorical_cross_entropy_backward",
    .summary = "grad_p = (sum of t inside the clip - t / q inside the clip) / sum(p) grad_loss, q = p / sum(p)",
    .inputs = "probabilities target grad_loss",
    .outputs = "grad_probabilities",
    .attrs = attrs,
    .infer = cnn_infer_class_loss,
    .run = run_backward,
    .in_place = 1,
};
