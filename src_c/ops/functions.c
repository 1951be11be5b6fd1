/* log and arctan of every element, and their gradients. */
#include "attributes.h"

enum { GRAIN = 1024 };                /* elements of a thread's smallest piece */

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    cnn_like(out, c->in[0]);
    return cnn_expect(c->in[0], "x", -1, CNN_F32, error);
}

static int infer_backward(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], other[64];
    if (cnn_expect(c->in[0], "grad_y", -1, CNN_F32, error) || cnn_expect(c->in[1], "x", -1, CNN_F32, error)) return -1;
    if (!cnn_same_shape(c->in[0], c->in[1]))
        return cnn_fail(error, "x must have the shape of grad_y %s, got %s", cnn_shape_text(c->in[0], shape),
                        cnn_shape_text(c->in[1], other));
    cnn_like(out, c->in[0]);
    return 0;
}

static void run(const cnn_call *c, const cnn_exec *e, int kind) {
    int64_t begin, end;
    cnn_share_grain(e, cnn_count(c->out[0]), GRAIN, &begin, &end);
    const float *x = cnn_data(e, c->in[0]);
    float *y = cnn_data(e, c->out[0]);
    if (begin < end) c->kernels->preprocess->function(kind, end - begin, x + begin, y + begin);
}

static void run_backward(const cnn_call *c, const cnn_exec *e, int kind) {
    int64_t begin, end;
    cnn_share_grain(e, cnn_count(c->out[0]), GRAIN, &begin, &end);
    const float *grad_y = cnn_data(e, c->in[0]), *x = cnn_data(e, c->in[1]);
    float *grad_x = cnn_data(e, c->out[0]);
    if (begin >= end) return;
    c->kernels->preprocess->function_backward(kind, end - begin, grad_y + begin, x + begin, grad_x + begin);
}

static void run_log(const cnn_call *c, const cnn_exec *e) { run(c, e, CNN_LOG); }
static void run_log_backward(const cnn_call *c, const cnn_exec *e) { run_backward(c, e, CNN_LOG); }
static void run_arctan(const cnn_call *c, const cnn_exec *e) { run(c, e, CNN_ARCTAN); }
static void run_arctan_backward(const cnn_call *c, const cnn_exec *e) { run_backward(c, e, CNN_ARCTAN); }

const cnn_op cnn_op_log = {
    .name = "log", .summary = "y = log(x), the natural logarithm; -inf at 0, NaN below", .inputs = "x", .outputs = "y",
    .infer = infer, .run = run_log, .in_place = 1,
};
const cnn_op cnn_op_log_backward = {
    .name = "log_backward", .summary = "grad_x = grad_y / x", .inputs = "grad_y x", .outputs = "grad_x",
    .infer = infer_backward, .run = run_log_backward, .in_place = 3,
};
const cnn_op cnn_op_arctan = {
    .name = "arctan", .summary = "y = arctan(x), in radians", .inputs = "x", .outputs = "y",
    .infer = infer, .run = run_arctan, .in_place = 1,
};
const cnn_op cnn_op_arctan_backward = {
    .name = "arctan_backward", .summary = "grad_x = grad_y / (1 + x^2)", .inputs = "grad_y x", .outputs = "grad_x",
    .infer = infer_backward, .run = run_arctan_backward, .in_place = 3,
};
