/* The factor that clips gradients by their global norm (Pascanu, Mikolov and Bengio 2013). As in Keras a norm that is
 * not finite gives NaN, so that it is seen, and not a step of zero length. */
#include "attributes.h"

enum { CLIP };
static const cnn_attr_def attrs[] = { CNN_FLOAT_ATTR("clip", 1, 0, INFINITY), CNN_END_OF_ATTRS };

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    for (int i = 0; i < c->n_in; i++)
        if (cnn_expect_vector(c->in[i], "every input", 1, error)) return -1;
    cnn_set_shape(out, 1, 1, 0, 0, 0);
    return 0;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    if (e->thread != 0) return;
    double sum = 0;
    for (int i = 0; i < c->n_in; i++) sum += *(const float *)cnn_data(e, c->in[i]);
    double norm = sqrt(sum), scale = norm > c->attr[CLIP] ? c->attr[CLIP] / norm : 1;
    *(float *)cnn_data(e, c->out[0]) = isfinite(norm) ? (float)scale : NAN;
}

const cnn_op cnn_op_clip_scale = {
    .name = "clip_scale",
    .summary = "y = min(1, clip / sqrt(s1 + s2 + ...)), NaN where the sum is not finite",
    .inputs = "s ...",
    .outputs = "y",
    .attrs = attrs,
    .infer = infer,
    .run = run,
};
