/* batchnorm_constants: what a normalisation multiplies and adds, for the operations that normalise what they read
 * themselves. Parallel over channels. */
#include "batchnorm.h"

enum { MEAN, VAR, GAMMA, BETA };
enum { EPSILON };
static const cnn_attr_def attrs[] = {CNN_EPSILON_ATTR, CNN_END_OF_ATTRS};

static const cnn_tensor *operand(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    static const char *const names[] = {"mean", "var", "gamma", "beta"};
    if (cnn_expect(c->in[MEAN], "mean", 1, CNN_F32, error)) return -1;
    for (int i = VAR; i <= BETA; i++)
        if (cnn_expect_vector(operand(c, i), names[i], cnn_last(c->in[MEAN]), error)) return -1;
    for (int i = 0; i < c->n_out; i++) cnn_like(&out[i], c->in[MEAN]);
    return 0;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const float *mean = cnn_data(e, c->in[MEAN]), *var = cnn_data(e, c->in[VAR]),
                *gamma = cnn_data(e, operand(c, GAMMA)), *beta = cnn_data(e, operand(c, BETA));
    float *scale = cnn_data(e, c->out[0]), *shift = cnn_data(e, c->out[1]);
    int64_t begin, end;
    cnn_share_channels(e, cnn_last(c->in[MEAN]), &begin, &end);
    if (begin < end)
        c->kernels->batchnorm->constants(end - begin, NULL, mean + begin, var + begin, gamma ? gamma + begin : NULL,
                                         beta ? beta + begin : NULL, c->attr[EPSILON], scale + begin, shift + begin);
}

const cnn_op cnn_op_batchnorm_constants = {
    .name = "batchnorm_constants",
    .summary = "scale = gamma / sqrt(var + epsilon), shift = beta - mean scale",
    .inputs = "mean var [gamma] [beta]",
    .outputs = "scale shift",
    .attrs = attrs,
    .infer = infer,
    .run = run,
};
