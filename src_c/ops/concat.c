/* concat: tensors one after another along an axis. */
#include "attributes.h"
#include "copy.h"

enum { AXIS };
static const cnn_attr_def attrs[] = { CNN_INT_ATTR("axis", 0, 0, CNN_MAX_RANK - 1), CNN_END_OF_ATTRS };

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], other[64];
    const cnn_tensor *first = c->in[0];
    int axis = (int)cnn_int(c, AXIS);
    if (axis >= first->rank) return cnn_fail(error, "axis must be below the rank %d, got %d", (int)first->rank, axis);
    cnn_like(out, first);
    out->dtype = first->dtype;
    for (int i = 1; i < c->n_in; i++) {
        cnn_tensor expected = *c->in[i];
        if (axis < expected.rank) expected.dims[axis] = first->dims[axis];
        if (c->in[i]->dtype != first->dtype || !cnn_same_shape(&expected, first))
            return cnn_fail(error, "input %d must have the type and shape of the first %s except along axis %d, got %s",
                            i, cnn_shape_text(first, shape), axis, cnn_shape_text(c->in[i], other));
        out->dims[axis] += c->in[i]->dims[axis];
    }
    return 0;
}

/* A row of y is everything from the axis on: the rows of the inputs one after another. Threads share out the bytes
 * of y. */
static void run(const cnn_call *c, const cnn_exec *e) {
    int axis = (int)cnn_int(c, AXIS), i = 0;
    const cnn_tensor *y = c->out[0];
    int64_t step = cnn_axis_bytes(y, axis), at, end;
    cnn_share_grain(e, cnn_bytes(y), CNN_COPY_GRAIN, &at, &end);
    char *target = cnn_data(e, y);
    int64_t row = at / (step * y->dims[axis]), inside = at % (step * y->dims[axis]);
    while (inside >= step * c->in[i]->dims[axis]) inside -= step * c->in[i++]->dims[axis];
    while (at < end) {
        int64_t bytes = step * c->in[i]->dims[axis], n = cnn_min(bytes - inside, end - at);
        memcpy(target + at, (const char *)cnn_data(e, c->in[i]) + row * bytes + inside, (size_t)n);
        at += n;
        inside = 0;
        if (++i == c->n_in) { i = 0; row++; }
    }
}

const cnn_op cnn_op_concat = {
    .name = "concat", .summary = "y = the inputs one after another along an axis", .inputs = "x ...", .outputs = "y",
    .attrs = attrs, .infer = infer,
    .flops = cnn_no_flops, .run = run,
};
