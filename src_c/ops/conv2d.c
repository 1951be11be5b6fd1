/* conv2d: y = act(conv(x, w) + bias + residual), and the batch moments of y.
 *
 * y[n][p][q][o] = sum over i, j, c of x[n][p s - pad + i d][q s - pad + j d][c] * w[i][j][c][o]: cross-correlation.
 * With groups, the output channels of group g see the input channels of group g. A uint8 x, of a first layer, counts as
 * x x_scale + x_offset. Computed as an indirect matrix product, see indirect_gemm.h. */
#include "convolution.h"

enum { ACTIVATION = CNN_CONV2D_N_ATTRS, ALPHA, MAX_VALUE, RESCALING };
static const cnn_attr_def attrs[] = { CNN_CONV2D_ATTRS, CNN_ACT_ATTRS, CNN_RESCALING_ATTRS, CNN_END_OF_ATTRS };

static const cnn_tensor *operand(const cnn_tensor *const *list, int n, int i) { return i < n ? list[i] : NULL; }

static cnn_indirect_gemm_operands operands(const cnn_call *c) {
    return (cnn_indirect_gemm_operands){.x = c->in[0], .w = c->in[1], .bias = operand(c->in, c->n_in, 2),
        .residual = operand(c->in, c->n_in, 3), .rescaling = cnn_rescaling_of(c, RESCALING),
        .y = operand(c->out, c->n_out, 0), .mean = operand(c->out, c->n_out, 1), .var = operand(c->out, c->n_out, 2)};
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[0], *w = c->in[1], *residual = operand(c->in, c->n_in, 3);
    int64_t out_h, out_w;
    char shape[64], expected[64];
    if (cnn_conv2d_check_images(c, RESCALING, error) || cnn_conv2d_check_weights(c, w, x->dims[3], error)
        || cnn_expect_vector(operand(c->in, c->n_in, 2), "bias", w->dims[3], error)
        || cnn_conv2d_out_size(c, x->dims[1], x->dims[2], &out_h, &out_w, error)) return -1;
    cnn_set_shape(&out[0], 4, x->dims[0], out_h, out_w, w->dims[3]);
    if (residual && (residual->dtype != CNN_F32 || !cnn_same_shape(residual, &out[0])))
        return cnn_fail(error, "residual must be float32 with the output's shape %s, got %s",
                        cnn_shape_text(&out[0], expected), cnn_shape_text(residual, shape));
    for (int i = 1; i < c->n_out; i++) cnn_set_shape(&out[i], 1, w->dims[3], 1, 1, 1);
    return 0;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    const cnn_conv2d_geometry g = cnn_conv2d_geometry_of(c, c->in[0], c->out[0]);
    const cnn_act act = {.kind = (int)cnn_int(c, ACTIVATION), .alpha = cnn_float(c, ALPHA),
        .max_value = cnn_float(c, MAX_VALUE)};
    const cnn_indirect_gemm_operands o = operands(c);
    return cnn_convolution_plan(c, choice, &g, act, &o, error);
}

static void pack(const cnn_call *c, const cnn_exec *e) { cnn_convolution_pack(c, e, c->in[1]); }

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_indirect_gemm_operands o = operands(c);
    cnn_convolution_run(c, e, &o);
}

const cnn_op cnn_op_conv2d = {
    .name = "conv2d", .summary = "y = act(conv(x, w) + bias + residual); mean, var: biased moments of y over the batch",
        .inputs = "x w [bias] [residual]",
    .outputs = "y [mean] [var]", .attrs = attrs, .infer = infer, .plan = plan, .pack = pack, .packs = 1 << 1,
        .run = run, .flops = cnn_convolution_flops, .in_place = 1 << 3,
};
