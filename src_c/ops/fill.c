/* fill: a tensor of one value. */
#include "attributes.h"
#include "copy.h"

enum { RANK, D0, VALUE = D0 + CNN_MAX_RANK };
static const cnn_attr_def attrs[] = { CNN_RANK_DIMS_ATTRS, CNN_FLOAT_ATTR("value", 0, -INFINITY, INFINITY),
                                      CNN_END_OF_ATTRS };

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    (void)error;
    cnn_set_shape(out, (int)cnn_int(c, RANK), cnn_int(c, D0), cnn_int(c, D0 + 1), cnn_int(c, D0 + 2),
                  cnn_int(c, D0 + 3));
    return 0;
}
static void run(const cnn_call *c, const cnn_exec *e) {
    int64_t begin, end;
    cnn_share_grain(e, cnn_count(c->out[0]), 1024, &begin, &end);
    float *y = cnn_data(e, c->out[0]);
    if (begin < end) c->kernels->elementwise->fill(end - begin, cnn_float(c, VALUE), y + begin);
}

const cnn_op cnn_op_fill = {
    .name = "fill", .summary = "y = value everywhere", .inputs = "", .outputs = "y", .attrs = attrs, .infer = infer,
    .flops = cnn_no_flops, .run = run,
};
