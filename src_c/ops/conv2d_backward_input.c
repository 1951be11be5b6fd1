/* conv2d_backward_input: grad_x[n][h][w][c] = sum over the p, q, i, j with h = p s - pad + i d, w = q s - pad + j d,
 * and over o, of grad_y[n][p][q][o] * w[i][j][c][o]; + residual; then through what gradient_epilogue.h describes. The
 * residual may also be one of sparse_residual.h: of every s-th row and column, or of every other one where s is 1.
 * conv2d_transpose: the same map as a layer, with a bias and an activation.
 *
 * With stride s the taps fall into s x s phases, each a dense convolution with stride 1 (see cnn_conv2d_axis),
 * computed by the kernel of the forward pass with transposed weights. */
#include "convolution.h"
#include "sparse_residual.h"

enum { OUT_H = CNN_CONV2D_N_ATTRS, OUT_W, ACTIVATION, ALPHA, MAX_VALUE };
static const cnn_attr_def backward_attrs[] = { CNN_CONV2D_ATTRS, CNN_INT_ATTR("in_h", 1, 1, 2147483647),
    CNN_INT_ATTR("in_w", 1, 1, 2147483647), CNN_ACT_ATTRS, CNN_END_OF_ATTRS };
static const cnn_attr_def transpose_attrs[] = { CNN_CONV2D_ATTRS, CNN_INT_ATTR("out_h", 1, 1, 2147483647),
    CNN_INT_ATTR("out_w", 1, 1, 2147483647),
                                                CNN_ACT_ATTRS, CNN_END_OF_ATTRS };

/* x (grad_y) and w give y (grad_x) of OUT_H x OUT_W, whose forward convolution must have x's height and width. */
static int infer(const cnn_call *c, const char *x_name, const char *size_name, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[0], *w = c->in[1];
    const int64_t h = cnn_int(c, OUT_H), v = cnn_int(c, OUT_W), groups = (int64_t)c->attr[CNN_CONV2D_N_ATTRS - 1];
    int64_t out_h, out_w;
    char shape[64];
    if (cnn_expect(x, x_name, 4, CNN_F32, error) || cnn_conv2d_check_weights(c, w, -1, error)
        || cnn_conv2d_out_size(c, h, v, &out_h, &out_w, error)) return -1;
    if (x->dims[3] != w->dims[3])
        return cnn_fail(error, "the last dimension of w must be the channels of %s, %lld, got shape %s", x_name,
                        (long long)x->dims[3], cnn_shape_text(w, shape));
    if (x->dims[1] != out_h || x->dims[2] != out_w)
        return cnn_fail(error, "%s_h x %s_w must be a size from which the convolution makes %s's %lldx%lld, "
                        "got %lldx%lld, which gives %lldx%lld", size_name, size_name,
                        x_name, (long long)x->dims[1], (long long)x->dims[2], (long long)h, (long long)v,
                            (long long)out_h, (long long)out_w);
    cnn_set_shape(out, 4, x->dims[0], h, v, w->dims[2] * groups);
    return 0;
}

static int plan_transposed(cnn_call *c, cnn_choice *choice, cnn_act act, const cnn_indirect_gemm_operands *o,
                           cnn_error *error) {
    const cnn_conv2d_geometry g = cnn_conv2d_transposed(cnn_conv2d_geometry_of(c, c->out[0], c->in[0]));
    return cnn_convolution_plan(c, choice, &g, act, o, error);
}

static void pack(const cnn_call *c, const cnn_exec *e) { cnn_convolution_pack(c, e, c->in[1]); }

static cnn_indirect_gemm_operands backward_operands(const cnn_call *c) {
    return (cnn_indirect_gemm_operands){.x = c->in[0], .w = c->in[1], .residual = c->n_in > 2 ? c->in[2] : NULL,
        .y = c->out[0], .gradient = cnn_gradient_epilogue_of(c, 3, ACTIVATION)};
}

static int backward_infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], expected[64], rows[64];
    if (infer(c, "grad_y", "in", out, error)) return -1;
    const cnn_tensor *residual = c->n_in > 2 ? c->in[2] : NULL;
    const cnn_conv2d_geometry g = cnn_conv2d_geometry_of(c, out, c->in[0]);
    const cnn_sparse_residual some = cnn_sparse_residual_of(out, g.stride_h, g.stride_w);
    const cnn_tensor sparse = cnn_sparse_residual_like(&some, out);
    if (residual && (residual->dtype != CNN_F32
                     || (!cnn_same_shape(residual, out) && !cnn_same_shape(residual, &sparse))))
        return cnn_fail(error, "residual must be float32 with the output's shape %s, or with that of every %s row and "
                        "column, %s, got %s", cnn_shape_text(out, expected),
                        g.stride_h > 1 || g.stride_w > 1 ? "stride-th" : "other", cnn_shape_text(&sparse, rows),
                        cnn_shape_text(residual, shape));
    const cnn_gradient_epilogue_operands gradient = cnn_gradient_epilogue_of(c, 3, ACTIVATION);
    return cnn_gradient_epilogue_infer(c, &gradient, out, error);
}

static int backward_plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    const cnn_indirect_gemm_operands o = backward_operands(c);
    if (cnn_gradient_epilogue_check(&o.gradient, error)) return -1;
    return plan_transposed(c, choice, (cnn_act){.kind = CNN_LINEAR, .max_value = INFINITY}, &o, error);
}

static void backward_run(const cnn_call *c, const cnn_exec *e) {
    const cnn_indirect_gemm_operands o = backward_operands(c);
    cnn_convolution_run(c, e, &o);
}

const cnn_op cnn_op_conv2d_backward_input = {
    .name = "conv2d_backward_input",
    .summary = "grad_x = (gradient of conv2d in x + residual) act'(y); its sums over the batch",
        .inputs = "grad_y w [residual] " CNN_GRADIENT_INPUTS, .outputs = "grad_x " CNN_GRADIENT_OUTPUTS,
    .attrs = backward_attrs, .infer = backward_infer, .plan = backward_plan, .pack = pack, .run = backward_run,
        .flops = cnn_convolution_flops, .in_place = 1 << 2,
};

static cnn_indirect_gemm_operands transpose_operands(const cnn_call *c) {
    return (cnn_indirect_gemm_operands){.x = c->in[0], .w = c->in[1], .bias = c->n_in > 2 ? c->in[2] : NULL,
        .y = c->out[0]};
}

static int transpose_infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    if (infer(c, "x", "out", out, error)) return -1;
    return cnn_expect_vector(c->n_in > 2 ? c->in[2] : NULL, "bias", out->dims[3], error);
}

static int transpose_plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    const cnn_indirect_gemm_operands o = transpose_operands(c);
    return plan_transposed(c, choice, (cnn_act){.kind = (int)cnn_int(c, ACTIVATION), .alpha = cnn_float(c, ALPHA),
        .max_value = cnn_float(c, MAX_VALUE)}, &o, error);
}

static void transpose_run(const cnn_call *c, const cnn_exec *e) {
    const cnn_indirect_gemm_operands o = transpose_operands(c);
    cnn_convolution_run(c, e, &o);
}

const cnn_op cnn_op_conv2d_transpose = {
    .name = "conv2d_transpose",
    .summary = "y = act(transposed convolution of x with w (kernel_h, kernel_w, out, in) + bias)",
    .inputs = "x w [bias]", .outputs = "y",
    .attrs = transpose_attrs, .infer = transpose_infer, .plan = transpose_plan, .pack = pack, .run = transpose_run,
        .flops = cnn_convolution_flops,
};
