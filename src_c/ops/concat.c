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

/* Bytes of y that are made at a time, input after input: of more its lines would be asked for in another order than
 * they lie in memory, of less short rows cost calls. */
enum { BLOCK = 1024 };

/* A row of y is everything from the axis on: the rows of the inputs one after another. */
static void run(const cnn_call *c, const cnn_exec *e) {
    const int axis = (int)cnn_int(c, AXIS);
    const cnn_tensor *y = c->out[0];
    const int64_t step = cnn_axis_bytes(y, axis), bytes = step * y->dims[axis], block = cnn_max(1, BLOCK / bytes);
    const cnn_copy_share s = cnn_copy_share_of(e, cnn_bytes(y) / bytes, bytes);
    for (int64_t row = s.begin; row < s.end; row += block) {
        char *to = (char *)cnn_data(e, y) + row * bytes;
        for (int i = 0; i < c->n_in; i++) {
            const int64_t part = step * c->in[i]->dims[axis];
            cnn_copy(c, e, &s, cnn_min(block, s.end - row), part, (const char *)cnn_data(e, c->in[i]) + row * part,
                     part, to, bytes);
            to += part;
        }
    }
}

const cnn_op cnn_op_concat = {
    .name = "concat", .summary = "y = the inputs one after another along an axis", .inputs = "x ...", .outputs = "y",
    .attrs = attrs, .infer = infer,
    .flops = cnn_no_flops, .run = run,
};
