/* conv2d_backward_weight: grad_w[i][j][c][o] = sum over n, p, q of x[n][p s - pad + i d][q s - pad + j d][c] *
 * grad_y[n][p][q][o], and grad_bias[o] = sum over n, p, q of grad_y[n][p][q][o]. A uint8 x counts as
 * x x_scale + x_offset; with out, p, q and s, d of normalised_gradient.h stands for grad_y. See weight_gradient.h and
 * winograd_gradient.h. */
#include "convolution.h"

enum { RESCALING = CNN_CONV2D_N_ATTRS };
static const cnn_attr_def attrs[] = { CNN_CONV2D_ATTRS, CNN_RESCALING_ATTRS, CNN_END_OF_ATTRS };

static cnn_weight_gradient_operands operands(const cnn_call *c) {
    return (cnn_weight_gradient_operands){.x = c->in[0], .grad_y = c->in[1], .grad_w = c->out[0],
        .grad_bias = c->n_out > 1 ? c->out[1] : NULL,
        .rescaling = cnn_rescaling_of(c, RESCALING), .gradient = cnn_normalised_gradient_of(c, c->in[1], 2)};
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[0], *grad_y = c->in[1];
    const int64_t groups = (int64_t)c->attr[CNN_CONV2D_N_ATTRS - 1];
    int64_t out_h, out_w;
    char shape[64];
    if (cnn_conv2d_check_images(c, RESCALING, error) || cnn_expect(grad_y, "grad_y", 4, CNN_F32, error)
        || cnn_conv2d_out_size(c, x->dims[1], x->dims[2], &out_h, &out_w, error)) return -1;
    if (grad_y->dims[0] != x->dims[0] || grad_y->dims[1] != out_h || grad_y->dims[2] != out_w)
        return cnn_fail(error, "grad_y must have shape (%lld, %lld, %lld, out channels) for this x, got %s",
                        (long long)x->dims[0], (long long)out_h, (long long)out_w,
                        cnn_shape_text(grad_y, shape));
    const cnn_normalised_gradient gradient = cnn_normalised_gradient_of(c, grad_y, 2);
    if (cnn_normalised_gradient_check(&gradient, error)) return -1;
    const cnn_conv2d_geometry g = cnn_conv2d_geometry_of(c, x, grad_y);
    if (gradient.out && (c->n_out > 1 || !cnn_conv2d_has_windows(&g)))
        return cnn_fail(error, "out, p, q and s must be left out where there is a grad_bias or where pixels have "
                        "more than a few channels or the kernel one column; compute the gradient with "
                        "batchnorm_backward");
    if (x->dims[3] % groups || grad_y->dims[3] % groups)
        return cnn_fail(error, "groups must divide the channels of x and grad_y, "
                        "got groups %lld for %lld and %lld channels", (long long)groups, (long long)x->dims[3],
                        (long long)grad_y->dims[3]);
    cnn_set_shape(&out[0], 4, cnn_int(c, 0), cnn_int(c, 1), x->dims[3] / groups, grad_y->dims[3]);
    if (c->n_out > 1) cnn_set_shape(&out[1], 1, grad_y->dims[3], 1, 1, 1);
    return 0;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    const cnn_conv2d_geometry g = cnn_conv2d_geometry_of(c, c->in[0], c->in[1]);
    const cnn_weight_gradient_operands o = operands(c);
    return cnn_convolution_weight_plan(c, choice, &g, &o, error);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_weight_gradient_operands o = operands(c);
    cnn_convolution_weight_run(c, e, &o);
}

const cnn_op cnn_op_conv2d_backward_weight = {
    .name = "conv2d_backward_weight", .summary = "grad_w, grad_bias = gradient of conv2d in w and bias",
        .inputs = "x grad_y [out] [p] [q] [s]", .outputs = "grad_w [grad_bias]",
    .attrs = attrs, .infer = infer, .plan = plan, .run = run,
    .flops = cnn_convolution_weight_flops,
};
