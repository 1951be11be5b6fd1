/* dense: y = act(x w + bias + residual) over the last dimension, and its two gradients: a 1x1 convolution whose
 * pixels are the rows of x. */
#include "few_rows.h"
#include "indirect_gemm.h"
#include "weight_gradient.h"

enum { ACTIVATION, ALPHA, MAX_VALUE };
static const cnn_attr_def attrs[] = { CNN_ACT_ATTRS, CNN_END_OF_ATTRS };

static const cnn_tensor *input(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }

/* Shape of the result: x's, with `columns` in the last place. */
static int infer_product(const cnn_call *c, const char *name, const cnn_tensor *residual, int64_t inner,
                         int64_t columns, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[0], *w = c->in[1];
    char shape[64], expected[64];
    if (cnn_last(x) != inner)
        return cnn_fail(error, "the last dimension of %s must be %lld, as w of shape %s asks for, got shape %s", name,
                        (long long)inner, cnn_shape_text(w, expected),
                        cnn_shape_text(x, shape));
    cnn_like(out, x);
    out->dims[out->rank - 1] = columns;
    if (residual && (residual->dtype != CNN_F32 || !cnn_same_shape(residual, out)))
        return cnn_fail(error, "residual must be float32 with the output's shape %s, got %s",
                        cnn_shape_text(out, expected), cnn_shape_text(residual, shape));
    return 0;
}

static int check_rows(const cnn_tensor *x, cnn_error *error) {
    char shape[64];
    if (cnn_rows(x) <= INT32_MAX) return 0;
    return cnn_fail(error, "the product of all dimensions but the last must be at most 2147483647, "
                    "got shape %s; use a smaller batch", cnn_shape_text(x, shape));
}

/* ---- the product, forward or backward ---- */

static int plan_product(cnn_call *c, cnn_choice *choice, int transposed, cnn_act act,
                        const cnn_indirect_gemm_operands *o, cnn_error *error) {
    const int64_t rows = cnn_rows(c->in[0]);
    if (check_rows(c->in[0], error)) return -1;
    if (cnn_few_rows_suit(c, rows, transposed)) return cnn_few_rows_plan(c, choice, transposed, act, o, error);
    const cnn_conv2d_geometry g = cnn_dense_geometry(rows, o->w->dims[0], o->w->dims[1]),
                              back = cnn_conv2d_transposed(g);
    return cnn_indirect_gemm_plan(c, choice, transposed ? &back : &g, act, o, error);
}

static void pack(const cnn_call *c, const cnn_exec *e) { cnn_indirect_gemm_pack(c, e, c->in[1]); }

static void run_product(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *o) {
    if (*(const cnn_algorithm *)c->plan == CNN_FEW_ROWS) cnn_few_rows_run(c, e, o);
    else cnn_indirect_gemm_run(c, e, o);
}

static double flops(const cnn_call *c) { return 2.0 * (double)cnn_rows(c->in[0]) * (double)cnn_count(c->in[1]); }

/* ---- forward ---- */

static cnn_indirect_gemm_operands operands(const cnn_call *c) {
    return (cnn_indirect_gemm_operands){.x = c->in[0], .w = c->in[1], .bias = input(c, 2), .residual = input(c, 3),
        .y = c->out[0]};
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *w = c->in[1];
    if (cnn_expect(c->in[0], "x", -1, CNN_F32, error) || cnn_expect(w, "w", 2, CNN_F32, error)
        || cnn_expect_vector(input(c, 2), "bias", w->dims[1], error)) return -1;
    return infer_product(c, "x", input(c, 3), w->dims[0], w->dims[1], out, error);
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    const cnn_act act = {.kind = (int)cnn_int(c, ACTIVATION), .alpha = cnn_float(c, ALPHA),
        .max_value = cnn_float(c, MAX_VALUE)};
    const cnn_indirect_gemm_operands o = operands(c);
    return plan_product(c, choice, 0, act, &o, error);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_indirect_gemm_operands o = operands(c);
    run_product(c, e, &o);
}

const cnn_op cnn_op_dense = {
    .name = "dense", .summary = "y = act(x w + bias + residual)", .inputs = "x w [bias] [residual]", .outputs = "y",
        .attrs = attrs, .infer = infer, .plan = plan,
    .pack = pack, .packs = 1 << 1, .run = run, .flops = flops, .in_place = 1 << 3,
};

/* ---- backward input: grad_x = (grad_y w' + residual) act'(y), see gradient_epilogue.h ---- */

static cnn_indirect_gemm_operands backward_input_operands(const cnn_call *c) {
    return (cnn_indirect_gemm_operands){.x = c->in[0], .w = c->in[1], .residual = input(c, 2), .y = c->out[0],
        .gradient = cnn_gradient_epilogue_of(c, 3, ACTIVATION)};
}

static int backward_input_infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *w = c->in[1];
    if (cnn_expect(c->in[0], "grad_y", -1, CNN_F32, error) || cnn_expect(w, "w", 2, CNN_F32, error)) return -1;
    if (infer_product(c, "grad_y", input(c, 2), w->dims[1], w->dims[0], out, error)) return -1;
    const cnn_gradient_epilogue_operands gradient = cnn_gradient_epilogue_of(c, 3, ACTIVATION);
    return cnn_gradient_epilogue_infer(c, &gradient, out, error);
}

static int backward_input_plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    const cnn_indirect_gemm_operands o = backward_input_operands(c);
    if (cnn_gradient_epilogue_check(&o.gradient, error)) return -1;
    return plan_product(c, choice, 1, (cnn_act){.kind = CNN_LINEAR, .max_value = INFINITY}, &o, error);
}

static void backward_input_run(const cnn_call *c, const cnn_exec *e) {
    const cnn_indirect_gemm_operands o = backward_input_operands(c);
    run_product(c, e, &o);
}

const cnn_op cnn_op_dense_backward_input = {
    .name = "dense_backward_input", .summary = "grad_x = (grad_y w' + residual) act'(y); its sums over the rows",
        .inputs = "grad_y w [residual] " CNN_GRADIENT_INPUTS, .outputs = "grad_x " CNN_GRADIENT_OUTPUTS,
    .attrs = attrs, .infer = backward_input_infer,
    .plan = backward_input_plan, .pack = pack, .run = backward_input_run, .flops = flops,
        .in_place = 1 << 2,
};

/* ---- backward weight: grad_w = x' grad_y, grad_bias = sum of grad_y's rows ---- */

static cnn_weight_gradient_operands backward_weight_operands(const cnn_call *c) {
    return (cnn_weight_gradient_operands){.x = c->in[0], .grad_y = c->in[1], .grad_w = c->out[0],
        .grad_bias = c->n_out > 1 ? c->out[1] : NULL};
}

static int backward_weight_infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[0], *grad_y = c->in[1];
    char shape[64], other[64];
    if (cnn_expect(x, "x", -1, CNN_F32, error) || cnn_expect(grad_y, "grad_y", x->rank, CNN_F32, error)) return -1;
    for (int i = 0; i < x->rank - 1; i++)
        if (x->dims[i] != grad_y->dims[i])
            return cnn_fail(error, "grad_y must agree with x in all dimensions but the last, got %s and %s",
                            cnn_shape_text(grad_y, shape), cnn_shape_text(x, other));
    cnn_set_shape(&out[0], 2, cnn_last(x), cnn_last(grad_y), 1, 1);
    if (c->n_out > 1) cnn_set_shape(&out[1], 1, cnn_last(grad_y), 1, 1, 1);
    return 0;
}

static int backward_weight_plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    if (check_rows(c->in[0], error)) return -1;
    const cnn_conv2d_geometry g = cnn_dense_geometry(cnn_rows(c->in[0]), cnn_last(c->in[0]), cnn_last(c->in[1]));
    const cnn_weight_gradient_operands o = backward_weight_operands(c);
    return cnn_weight_gradient_plan(c, choice, &g, &o, error);
}

static void backward_weight_run(const cnn_call *c, const cnn_exec *e) {
    const cnn_weight_gradient_operands o = backward_weight_operands(c);
    cnn_weight_gradient_run(c, e, &o);
}

const cnn_op cnn_op_dense_backward_weight = {
    .name = "dense_backward_weight",
    .summary = "grad_w = x' grad_y, grad_bias = sum of grad_y over all but the last dimension",
    .inputs = "x grad_y",
    .outputs = "grad_w [grad_bias]", .infer = backward_weight_infer, .plan = backward_weight_plan,
        .run = backward_weight_run, .flops = cnn_weight_gradient_flops,
};
