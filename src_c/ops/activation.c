/* activation and its gradient. */
#include "attributes.h"

enum { KIND, ALPHA, MAX_VALUE, THRESHOLD, REFERENCE_IS_INPUT };
static const cnn_attr_def attrs[] = {
    CNN_ACT_ATTRS, CNN_FLOAT_ATTR("threshold", 0, -INFINITY, INFINITY), CNN_END_OF_ATTRS
};
static const cnn_attr_def backward_attrs[] = {
    CNN_ACT_ATTRS, CNN_FLOAT_ATTR("threshold", 0, -INFINITY, INFINITY), CNN_INT_ATTR("reference_is_input", 0, 0, 1),
    CNN_END_OF_ATTRS
};
enum { GRAIN = 1024 };                /* elements of a thread's smallest piece */

static cnn_act parameters(const cnn_call *c) {
    return (cnn_act){.kind = (int)cnn_int(c, KIND), .alpha = cnn_float(c, ALPHA), .max_value = cnn_float(c, MAX_VALUE),
                     .threshold = cnn_float(c, THRESHOLD)};
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    cnn_like(out, c->in[0]);
    return cnn_expect(c->in[0], "x", -1, CNN_F32, error);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    int64_t begin, end;
    cnn_share_grain(e, cnn_count(c->out[0]), GRAIN, &begin, &end);
    const float *x = cnn_data(e, c->in[0]);
    float *y = cnn_data(e, c->out[0]);
    if (begin < end) c->kernels->elementwise->activate(parameters(c), end - begin, x + begin, y + begin);
}

const cnn_op cnn_op_activation = {
    .name = "activation", .summary = "y = min(f(x), max_value)", .inputs = "x", .outputs = "y", .attrs = attrs,
    .infer = infer, .run = run, .in_place = 1,
};

static int infer_backward(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], other[64];
    const cnn_tensor *grad_y = c->in[0], *reference = c->in[1];
    if (cnn_expect(grad_y, "grad_y", -1, CNN_F32, error)) return -1;
    if (cnn_expect(reference, "reference", -1, CNN_F32, error)) return -1;
    if (!cnn_same_shape(grad_y, reference))
        return cnn_fail(error, "reference must have the shape of grad_y %s, got %s", cnn_shape_text(grad_y, shape),
                        cnn_shape_text(reference, other));
    if (!cnn_int(c, REFERENCE_IS_INPUT) && !cnn_slope_from_output(parameters(c)))
        return cnn_fail(error, "the derivative of activation %d does not follow from y with alpha %g and threshold %g; "
                        "give x as reference, with reference_is_input=1", (int)cnn_int(c, KIND), c->attr[ALPHA],
                            c->attr[THRESHOLD]);
    cnn_like(out, grad_y);
    return 0;
}

static void run_backward(const cnn_call *c, const cnn_exec *e) {
    int64_t begin, end;
    cnn_share_grain(e, cnn_count(c->out[0]), GRAIN, &begin, &end);
    const float *grad_y = cnn_data(e, c->in[0]), *reference = cnn_data(e, c->in[1]);
    float *grad_x = cnn_data(e, c->out[0]);
    if (begin < end)
        c->kernels->elementwise->activate_backward(parameters(c), (int)cnn_int(c, REFERENCE_IS_INPUT), end - begin,
                                                   grad_y + begin, reference + begin, grad_x + begin);
}

const cnn_op cnn_op_activation_backward = {
    .name = "activation_backward", .summary = "grad_x = grad_y f'(x), taken from x or from y",
    .inputs = "grad_y reference", .outputs = "grad_x",
    .attrs = backward_attrs, .infer = infer_backward, .run = run_backward, .in_place = 3,
};
