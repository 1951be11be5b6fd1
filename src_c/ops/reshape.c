/* reshape: the same memory under another shape. */
#include "attributes.h"

enum { RANK, D0 };
static const cnn_attr_def attrs[] = { CNN_RANK_DIMS_ATTRS, CNN_END_OF_ATTRS };

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], target[64];
    const cnn_tensor *x = c->in[0];
    out->dtype = x->dtype;
    cnn_set_shape(out, (int)cnn_int(c, RANK), cnn_int(c, D0), cnn_int(c, D0 + 1), cnn_int(c, D0 + 2),
                  cnn_int(c, D0 + 3));
    if (cnn_count(out) != cnn_count(x))
        return cnn_fail(error, "the target shape %s must have as many elements as x of shape %s",
                        cnn_shape_text(out, target), cnn_shape_text(x, shape));
    return 0;
}

const cnn_op cnn_op_reshape = {
    .name = "reshape",
    .summary = "y = x under another shape, no data moves",
    .inputs = "x",
    .outputs = "y",
    .attrs = attrs,
    .infer = infer,
};
