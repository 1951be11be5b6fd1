/* gaussian_noise: the noise is a function of seed, step, stream and element (kernels/philox.h). */
#include "attributes.h"

enum { STDDEV, STREAM };
static const cnn_attr_def attrs[] = { CNN_FLOAT_ATTR("stddev", 1, 0, INFINITY),
                                      CNN_INT_ATTR("stream", 0, 0, 4294967295.0), CNN_END_OF_ATTRS };

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    cnn_like(out, c->in[0]);
    return cnn_expect(c->in[0], "x", -1, CNN_F32, error);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    int64_t begin, end;
    cnn_share_grain(e, cnn_count(c->out[0]), 16 * CNN_RANDOM_GROUP, &begin, &end);
    cnn_random_key key = {.seed = e->seed, .step = e->step, .stream = (uint32_t)cnn_int(c, STREAM)};
    const float *x = cnn_data(e, c->in[0]);
    float *y = cnn_data(e, c->out[0]);
    if (begin < end) c->kernels->random->gaussian_noise(&key, (uint64_t)begin, end - begin, x + begin,
                                                        cnn_float(c, STDDEV), y + begin);
}

const cnn_op cnn_op_gaussian_noise = {
    .name = "gaussian_noise", .summary = "y = x + stddev z, z standard normal", .inputs = "x", .outputs = "y",
    .attrs = attrs, .infer = infer, .run = run,
    .in_place = 1,
};
