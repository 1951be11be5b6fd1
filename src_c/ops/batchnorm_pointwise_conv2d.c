/* batchnorm_pointwise_conv2d: a 1x1 convolution of a normalised tensor that is not written to memory, and the batch
 * moments of the result: the pixels of a chunk are normalised just before they are multiplied (see indirect_gemm.h).
 *
 * batchnorm_pointwise_conv2d_backward_weight: its gradient in w, from the same pixels normalised once more (see
 * weight_gradient.h). */
#include "weight_gradient.h"

enum { X, W, SCALE, SHIFT };
enum { GRAD_Y = W };
enum { ACTIVATION, ALPHA, MAX_VALUE };
static const cnn_attr_def attrs[] = { CNN_ACT_ATTRS, CNN_END_OF_ATTRS };

static const cnn_tensor *result(const cnn_call *c, int i) { return i < c->n_out ? c->out[i] : NULL; }

static cnn_normalised norm_of(const cnn_call *c) {
    const cnn_act act = {
        .kind = (int)cnn_int(c, ACTIVATION), .alpha = cnn_float(c, ALPHA), .max_value = cnn_float(c, MAX_VALUE)};
    return (cnn_normalised){.scale = c->in[SCALE], .shift = c->in[SHIFT], .act = act};
}

/* As one long row of pixels. */
static cnn_conv2d_geometry geometry(const cnn_tensor *x, int64_t out_channels) {
    return cnn_dense_geometry(cnn_rows(x), cnn_last(x), out_channels);
}

static int check(const cnn_call *c, cnn_error *error) {
    const cnn_tensor *x = c->in[X];
    return cnn_expect(x, "x", 4, CNN_F32, error) || cnn_expect_vector(c->in[SCALE], "scale", cnn_last(x), error) ||
           cnn_expect_vector(c->in[SHIFT], "shift", cnn_last(x), error);
}

/* ---- forward ---- */

static cnn_indirect_gemm_operands operands(const cnn_call *c) {
    return (cnn_indirect_gemm_operands){.x = c->in[X], .w = c->in[W], .norm = norm_of(c), .y = result(c, 0),
                                        .mean = result(c, 1), .var = result(c, 2)};
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char x_shape[64], w_shape[64];
    const cnn_tensor *x = c->in[X], *w = c->in[W];
    if (check(c, error) || cnn_expect(w, "w", 4, CNN_F32, error)) return -1;
    if (w->dims[0] != 1 || w->dims[1] != 1 || w->dims[2] != cnn_last(x))
        return cnn_fail(error, "w must have shape (1, 1, channels of x, out channels), got %s for x of %s",
                        cnn_shape_text(w, w_shape), cnn_shape_text(x, x_shape));
    cnn_set_shape(out, 4, x->dims[0], x->dims[1], x->dims[2], w->dims[3]);
    for (int i = 1; i < c->n_out; i++) cnn_set_shape(&out[i], 1, w->dims[3], 1, 1, 1);
    return 0;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    const cnn_conv2d_geometry g = geometry(c->in[X], cnn_last(c->in[W]));
    const cnn_indirect_gemm_operands o = operands(c);
    return cnn_indirect_gemm_plan(c, choice, &g, (cnn_act){.kind = CNN_LINEAR, .max_value = INFINITY}, &o, error);
}

static void pack(const cnn_call *c, const cnn_exec *e) { cnn_indirect_gemm_pack(c, e, c->in[W]); }

static double flops(const cnn_call *c) { return cnn_indirect_gemm_flops(c) + 2 * (double)cnn_count(c->in[X]); }

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_indirect_gemm_operands o = operands(c);
    cnn_indirect_gemm_run(c, e, &o);
}

const cnn_op cnn_op_batchnorm_pointwise_conv2d = {
    .name = "batchnorm_pointwise_conv2d",
    .summary = "y = conv(act(x scale + shift), w); mean, var: its biased moments",
    .inputs = "x w scale shift",
    .outputs = "y [mean] [var]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .pack = pack,
    .flops = flops,
    .run = run,
};

/* ---- gradient in w ---- */

static cnn_weight_gradient_operands weight_operands(const cnn_call *c) {
    return (cnn_weight_gradient_operands){.x = c->in[X], .grad_y = c->in[GRAD_Y], .norm = norm_of(c),
                                          .grad_w = result(c, 0)};
}

static int weight_infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64];
    const cnn_tensor *x = c->in[X], *grad_y = c->in[GRAD_Y];
    if (check(c, error) || cnn_expect(grad_y, "grad_y", 4, CNN_F32, error)) return -1;
    if (grad_y->dims[0] != x->dims[0] || grad_y->dims[1] != x->dims[1] || grad_y->dims[2] != x->dims[2])
        return cnn_fail(error, "grad_y must have shape (%lld, %lld, %lld, out channels) for this x, got %s",
                        (long long)x->dims[0], (long long)x->dims[1], (long long)x->dims[2],
                        cnn_shape_text(grad_y, shape));
    cnn_set_shape(out, 4, 1, 1, cnn_last(x), cnn_last(grad_y));
    return 0;
}

static int weight_plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    const cnn_conv2d_geometry g = geometry(c->in[X], cnn_last(c->in[GRAD_Y]));
    const cnn_weight_gradient_operands o = weight_operands(c);
    return cnn_weight_gradient_plan(c, choice, &g, &o, error);
}

static double weight_flops(const cnn_call *c) {
    return cnn_weight_gradient_flops(c) + 2 * (double)cnn_count(c->in[X]);
}

static void weight_run(const cnn_call *c, const cnn_exec *e) {
    const cnn_weight_gradient_operands o = weight_operands(c);
    cnn_weight_gradient_run(c, e, &o);
}

const cnn_op cnn_op_batchnorm_pointwise_conv2d_backward_weight = {
    .name = "batchnorm_pointwise_conv2d_backward_weight",
    .summary = "grad_w = gradient of conv(act(x scale + shift), w) in w",
    .inputs = "x grad_y scale shift",
    .outputs = "grad_w",
    .attrs = attrs,
    .infer = weight_infer,
    .plan = weight_plan,
    .flops = weight_flops,
    .run = weight_run,
};
