/* dropout (inverted; Srivastava et al. 2014). Which elements are dropped is a function of seed, step, stream and
 * element (kernels/philox.h), so the same operation with the same stream, applied to grad_y, is the gradient. */
#include "attributes.h"

enum { RATE, STREAM };
static const cnn_attr_def attrs[] = { CNN_FLOAT_ATTR("rate", 0.5, 0, 1), CNN_INT_ATTR("stream", 0, 0, 4294967295.0),
                                      CNN_END_OF_ATTRS };

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    cnn_like(out, c->in[0]);
    return cnn_expect(c->in[0], "x", -1, CNN_F32, error);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    int64_t begin, end;
    /* a word below the threshold drops its element */
    double rate = c->attr[RATE], threshold = rint(rate * 4294967296.0);
    cnn_share_grain(e, cnn_count(c->out[0]), 16 * CNN_RANDOM_GROUP, &begin, &end);
    cnn_random_key key = {.seed = e->seed, .step = e->step, .stream = (uint32_t)cnn_int(c, STREAM)};
    const float *x = cnn_data(e, c->in[0]);
    float *y = cnn_data(e, c->out[0]);
    if (begin >= end) return;
    if (threshold > UINT32_MAX) c->kernels->elementwise->fill(end - begin, 0, y + begin);
    else c->kernels->random->dropout(&key, (uint64_t)begin, end - begin, x + begin, (uint32_t)threshold,
                                     (float)(1 / (1 - rate)), y + begin);
}

const cnn_op cnn_op_dropout = {
    .name = "dropout", .summary = "y = x mask / (1 - rate), mask 0 with probability rate", .inputs = "x",
    .outputs = "y", .attrs = attrs, .infer = infer,
    .run = run, .in_place = 1,
};
