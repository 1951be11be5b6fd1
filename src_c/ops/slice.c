/* slice: a range of one axis. */
#include "attributes.h"
#include "copy.h"

enum { AXIS, BEGIN, LENGTH };
static const cnn_attr_def attrs[] = {
    CNN_INT_ATTR("axis", 0, 0, CNN_MAX_RANK - 1), CNN_INT_ATTR("begin", 0, 0, 2147483647),
    CNN_INT_ATTR("length", 1, 1, 2147483647), CNN_END_OF_ATTRS
};

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64];
    const cnn_tensor *x = c->in[0];
    int axis = (int)cnn_int(c, AXIS);
    if (axis >= x->rank) return cnn_fail(error, "axis must be below the rank %d, got %d", (int)x->rank, axis);
    if (cnn_int(c, BEGIN) + cnn_int(c, LENGTH) > x->dims[axis])
        return cnn_fail(error, "begin + length must be at most the size of axis %d of x %s, got %lld + %lld", axis,
                        cnn_shape_text(x, shape),
                        (long long)cnn_int(c, BEGIN), (long long)cnn_int(c, LENGTH));
    cnn_like(out, x);
    out->dtype = x->dtype;
    out->dims[axis] = cnn_int(c, LENGTH);
    return 0;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    int axis = (int)cnn_int(c, AXIS);
    const cnn_tensor *x = c->in[0], *y = c->out[0];
    const int64_t step = cnn_axis_bytes(x, axis), stride = step * x->dims[axis], bytes = step * y->dims[axis];
    const cnn_copy_share s = cnn_copy_share_of(e, cnn_bytes(y) / bytes, bytes);
    const char *from = (const char *)cnn_data(e, x) + step * cnn_int(c, BEGIN) + s.begin * stride;
    cnn_copy(c, e, &s, s.end - s.begin, bytes, from, stride, (char *)cnn_data(e, y) + s.begin * bytes, bytes);
}

const cnn_op cnn_op_slice = {
    .name = "slice", .summary = "y = x[begin : begin + length] along an axis", .inputs = "x", .outputs = "y",
    .attrs = attrs, .infer = infer,
    .flops = cnn_no_flops, .run = run,
};
