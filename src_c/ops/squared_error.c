/* Squared error, the mean over the last axis. */
#include "loss.h"

static void run(const cnn_call *c, const cnn_exec *e) { cnn_run_mean_loss(c, e, c->kernels->loss->squared_error, 0); }
static void run_backward(const cnn_call *c, const cnn_exec *e) {
    cnn_run_mean_loss_backward(c, e, c->kernels->loss->squared_error_backward, 0);
}

const cnn_op cnn_op_squared_error = {
    .name = "squared_error",
    .summary = "loss = mean_j (p - t)^2",
    .inputs = "prediction target",
    .outputs = "loss",
    .infer = cnn_infer_mean_loss,
    .run = run,
};

const cnn_op cnn_op_squared_error_backward = {
    .name = "squared_error_backward",
    .summary = "grad_p = 2 (p - t) grad_loss / k",
    .inputs = "prediction target grad_loss",
    .outputs = "grad_prediction",
    .infer = cnn_infer_mean_loss,
    .run = run_backward,
    .in_place = 3,
};
