/* batchnorm_conv2d: a convolution of a normalised tensor that is not written to memory, and the batch moments of the
 * result: pixels are normalised just before they are multiplied, those of 1x1 convolutions (see indirect_gemm.h), or
 * transformed, those of Winograd's (see winograd.h). Padding is of what is normalised. 1x1 convolutions can add a
 * residual on the way, normalised as well where it has a scale and a shift, and write the normalised tensor for others.
 *
 * batchnorm_conv2d_backward_weight: its gradient in w, from the same pixels normalised once more (see weight_gradient.h
 * and winograd_gradient.h). */
#include "batchnorm.h"
#include "convolution.h"

enum { X, W, SCALE, SHIFT, RESIDUAL, RESIDUAL_SCALE, RESIDUAL_SHIFT };
enum { GRAD_Y = W };
enum { Y, MEAN, VAR, NORMALISED };
enum { ACTIVATION = CNN_CONV2D_N_ATTRS, ALPHA, MAX_VALUE };
static const cnn_attr_def attrs[] = { CNN_CONV2D_ATTRS, CNN_ACT_ATTRS, CNN_END_OF_ATTRS };

static const cnn_tensor *operand(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }
static const cnn_tensor *result(const cnn_call *c, int i) { return i < c->n_out ? c->out[i] : NULL; }

static cnn_normalised norm_of(const cnn_call *c) {
    const cnn_act act = {
        .kind = (int)cnn_int(c, ACTIVATION), .alpha = cnn_float(c, ALPHA), .max_value = cnn_float(c, MAX_VALUE)};
    return (cnn_normalised){.scale = c->in[SCALE], .shift = c->in[SHIFT], .act = act};
}

/* Checks what both passes have in common; y is set to the shape of the result, with no channels yet. */
static int check(const cnn_call *c, cnn_tensor *y, cnn_error *error) {
    const cnn_tensor *x = c->in[X];
    int64_t out_h, out_w;
    if (cnn_expect(x, "x", 4, CNN_F32, error) || cnn_expect_vector(c->in[SCALE], "scale", cnn_last(x), error) ||
        cnn_expect_vector(c->in[SHIFT], "shift", cnn_last(x), error) ||
        cnn_expect_mask(c->attr[ACTIVATION], c->attr[ALPHA], error) ||
        cnn_conv2d_out_size(c, x->dims[1], x->dims[2], &out_h, &out_w, error))
        return -1;
    cnn_set_shape(y, 4, x->dims[0], out_h, out_w, 0);
    return 0;
}

static int expect_normalising(const cnn_call *c, const cnn_tensor *y, cnn_error *error) {
    const cnn_conv2d_geometry g = cnn_conv2d_geometry_of(c, c->in[X], y);
    if (cnn_convolution_normalises(&g)) return 0;
    return cnn_fail(error, "the kernel must be 1x1 with stride 1 and no padding, or 3x3 or 5x5 with channels and "
                    "pixels enough for Winograd's algorithm, got %dx%d from %d to %d channels, with %dx%d results of "
                    "%d images; use batchnorm and conv2d", g.kernel_h, g.kernel_w, g.in_channels, g.out_channels,
                    g.out_h, g.out_w, g.images);
}

/* ---- forward ---- */

static cnn_indirect_gemm_operands operands(const cnn_call *c) {
    cnn_normalised norm = norm_of(c);
    norm.residual = operand(c, RESIDUAL);
    norm.residual_scale = operand(c, RESIDUAL_SCALE);
    norm.residual_shift = operand(c, RESIDUAL_SHIFT);
    norm.written = result(c, NORMALISED);
    return (cnn_indirect_gemm_operands){.x = c->in[X], .w = c->in[W], .norm = norm, .y = result(c, Y),
                                        .mean = result(c, MEAN), .var = result(c, VAR)};
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[X], *w = c->in[W], *residual = operand(c, RESIDUAL);
    char shape[64], want[64];
    if (check(c, out, error) || cnn_conv2d_check_weights(c, w, cnn_last(x), error)) return -1;
    out->dims[3] = cnn_last(w);
    for (int i = MEAN; i < c->n_out; i++) cnn_set_shape(&out[i], 1, cnn_last(w), 1, 1, 1);
    if (expect_normalising(c, out, error)) return -1;
    const cnn_conv2d_geometry g = cnn_conv2d_flattened(cnn_conv2d_geometry_of(c, x, out));
    if (c->n_out > NORMALISED) {
        cnn_like(&out[NORMALISED], x);
        if (!cnn_conv2d_is_flat(&g)) out[NORMALISED].rank = 0;          /* Winograd's transforms write none */
    }
    if (cnn_batchnorm_check_residual(residual, operand(c, RESIDUAL_SCALE), operand(c, RESIDUAL_SHIFT), cnn_last(x),
                                     error))
        return -1;
    if (!residual) return 0;
    if (!cnn_conv2d_is_flat(&g))
        return cnn_fail(error, "the kernel must be 1x1 with stride 1 and no padding where there is a residual, got "
                        "%lldx%lld; use batchnorm and conv2d", (long long)w->dims[0], (long long)w->dims[1]);
    if (cnn_expect(residual, "residual", 4, CNN_F32, error)) return -1;
    if (!cnn_same_shape(residual, x))
        return cnn_fail(error, "residual must have the shape of x, %s, got %s", cnn_shape_text(x, want),
                        cnn_shape_text(residual, shape));
    return 0;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    const cnn_conv2d_geometry g = cnn_conv2d_geometry_of(c, c->in[X], c->out[0]);
    const cnn_indirect_gemm_operands o = operands(c);
    return cnn_convolution_plan(c, choice, &g, (cnn_act){.kind = CNN_LINEAR, .max_value = INFINITY}, &o, error);
}

static void pack(const cnn_call *c, const cnn_exec *e) { cnn_convolution_pack(c, e, c->in[W]); }

static double flops(const cnn_call *c) { return cnn_convolution_flops(c) + 2 * (double)cnn_count(c->in[X]); }

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_indirect_gemm_operands o = operands(c);
    cnn_convolution_run(c, e, &o);
}

const cnn_op cnn_op_batchnorm_conv2d = {
    .name = "batchnorm_conv2d",
    .summary = "y = conv(normalised, w) with normalised = act(x scale + shift + residual [residual_scale + "
               "residual_shift]); mean, var: y's biased moments",
    .inputs = "x w scale shift [residual] [residual_scale] [residual_shift]",
    .outputs = "y [mean] [var] [normalised]",
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
    const cnn_tensor *x = c->in[X], *grad_y = c->in[GRAD_Y];
    char shape[64];
    cnn_tensor y;
    if (check(c, &y, error) || cnn_expect(grad_y, "grad_y", 4, CNN_F32, error)) return -1;
    y.dims[3] = cnn_last(grad_y);
    if (!cnn_same_shape(grad_y, &y))
        return cnn_fail(error, "grad_y must have shape (%lld, %lld, %lld, out channels) for this x, got %s",
                        (long long)y.dims[0], (long long)y.dims[1], (long long)y.dims[2],
                        cnn_shape_text(grad_y, shape));
    cnn_set_shape(out, 4, cnn_int(c, 0), cnn_int(c, 1), cnn_last(x), cnn_last(grad_y));
    return expect_normalising(c, grad_y, error);
}

static int weight_plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    const cnn_conv2d_geometry g = cnn_conv2d_geometry_of(c, c->in[X], c->in[GRAD_Y]);
    const cnn_weight_gradient_operands o = weight_operands(c);
    return cnn_convolution_weight_plan(c, choice, &g, &o, error);
}

static double weight_flops(const cnn_call *c) {
    return cnn_convolution_weight_flops(c) + 2 * (double)cnn_count(c->in[X]);
}

static void weight_run(const cnn_call *c, const cnn_exec *e) {
    const cnn_weight_gradient_operands o = weight_operands(c);
    cnn_convolution_weight_run(c, e, &o);
}

const cnn_op cnn_op_batchnorm_conv2d_backward_weight = {
    .name = "batchnorm_conv2d_backward_weight",
    .summary = "grad_w = gradient of conv(act(x scale + shift), w) in w",
    .inputs = "x grad_y scale shift",
    .outputs = "grad_w",
    .attrs = attrs,
    .infer = weight_infer,
    .plan = weight_plan,
    .flops = weight_flops,
    .run = weight_run,
};
