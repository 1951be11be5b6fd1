/* moving_average: the exponential average that batch normalisation and averaged weights keep; momentum is the weight of
 * the OLD state. */
#include "attributes.h"

enum { MOMENTUM };
static const cnn_attr_def attrs[] = { CNN_FLOAT_ATTR("momentum", 0.99, 0, 1), CNN_END_OF_ATTRS };

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], want[64];
    const cnn_tensor *state = c->in[0], *sample = c->in[1];
    if (cnn_expect(state, "state", -1, CNN_F32, error) || cnn_expect(sample, "sample", -1, CNN_F32, error)) return -1;
    if (!cnn_same_shape(state, sample))
        return cnn_fail(error, "sample must have the shape of state, %s, got %s", cnn_shape_text(state, want),
                        cnn_shape_text(sample, shape));
    cnn_like(out, state);
    return 0;
}

static double flops(const cnn_call *c) { return 3.0 * (double)cnn_count(c->in[0]); }

static void run(const cnn_call *c, const cnn_exec *e) {
    int64_t begin, end;
    float *state = cnn_data(e, c->in[0]);
    const float *sample = cnn_data(e, c->in[1]);
    cnn_share_grain(e, cnn_count(c->in[0]), 1024, &begin, &end);
    if (begin < end)
        c->kernels->batchnorm->moving_average(end - begin, c->attr[MOMENTUM], state + begin, sample + begin);
}

const cnn_op cnn_op_moving_average = {
    .name = "moving_average",
    .summary = "state = momentum state + (1 - momentum) sample",
    .inputs = "state sample",
    .outputs = "state",
    .attrs = attrs,
    .infer = infer,
    .flops = flops,
    .run = run,
    .updates = 1,
};
