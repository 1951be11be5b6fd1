/* softmax over the last axis, and its gradient. Rows are shared out. */
#include "attributes.h"

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    cnn_like(out, c->in[0]);
    return cnn_expect(c->in[0], "x", -1, CNN_F32, error);
}
static void run(const cnn_call *c, const cnn_exec *e) {
    int64_t k = cnn_last(c->out[0]), begin, end;
    cnn_share(e, cnn_rows(c->out[0]), &begin, &end);
    const float *x = cnn_data(e, c->in[0]);
    float *y = cnn_data(e, c->out[0]);
    c->kernels->softmax->softmax(end - begin, k, x + begin * k, y + begin * k);
}
const cnn_op cnn_op_softmax = {
    .name = "softmax", .summary = "y = exp(x) / sum exp(x) over the last axis", .inputs = "x", .outputs = "y",
    .infer = infer, .run = run, .in_place = 1,
};

static int infer_backward(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], other[64];
    if (cnn_expect(c->in[0], "grad_y", -1, CNN_F32, error) || cnn_expect(c->in[1], "y", -1, CNN_F32, error)) return -1;
    if (!cnn_same_shape(c->in[0], c->in[1]))
        return cnn_fail(error, "y must have the shape of grad_y %s, got %s", cnn_shape_text(c->in[0], shape),
                        cnn_shape_text(c->in[1], other));
    cnn_like(out, c->in[0]);
    return 0;
}
static void run_backward(const cnn_call *c, const cnn_exec *e) {
    int64_t k = cnn_last(c->out[0]), begin, end;
    cnn_share(e, cnn_rows(c->out[0]), &begin, &end);
    const float *grad_y = cnn_data(e, c->in[0]), *y = cnn_data(e, c->in[1]);
    float *grad_x = cnn_data(e, c->out[0]);
    c->kernels->softmax->softmax_backward(end - begin, k, grad_y + begin * k, y + begin * k, grad_x + begin * k);
}
const cnn_op cnn_op_softmax_backward = {
    .name = "softmax_backward", .summary = "grad_x = y (grad_y - sum grad_y y) over the last axis",
    .inputs = "grad_y y", .outputs = "grad_x",
    .infer = infer_backward, .run = run_backward, .in_place = 3,
};
