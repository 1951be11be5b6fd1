/* batchnorm_backward. With g = grad_y act'(y), r = 1 / sqrt(var + epsilon) and n rows:
 *
 *     grad_beta = sum g;  grad_gamma = r sum g (x - mean);  grad_residual = g;
 *     grad_x = gamma r (g - sum g / n - (x - mean) r^2 sum g (x - mean) / n)  in training,  gamma r g  when mean and
 * var are constants.
 *
 * Pass 1: the sums of every block of rows in its own slot, and grad_residual; barrier; the slots are added in order, in
 * double; barrier; pass 2: grad_x. Where no sums are needed, or they come with the gradient (sum_g, sum_gx: see
 * gradient_epilogue.h), there is one pass. Parallel over the same blocks in both passes.
 *
 * act'(y) follows from y, or from scale and shift, with which act(x scale + shift) is y.
 *
 * Where there is one pass without an activation, `added` is added to grad_x: what other readers of x have given, as a
 * tensor of x's shape, or channels added_begin and on of a wider one, the gradient of a concatenation. */
#include "batchnorm.h"

enum { GRAD_Y, X, Y, MEAN, VAR, GAMMA, SCALE, SHIFT, SUM_G, SUM_GX, ADDED };
enum { GRAD_X, GRAD_GAMMA, GRAD_BETA, GRAD_RESIDUAL };
enum { EPSILON, ACTIVATION, ALPHA, MAX_VALUE, TRAINING, ADDED_BEGIN };
static const cnn_attr_def attrs[] = {CNN_EPSILON_ATTR, CNN_ACT_ATTRS, CNN_INT_ATTR("training", 1, 0, 1),
                                     CNN_INT_ATTR("added_begin", 0, 0, 2147483647), CNN_END_OF_ATTRS};

static const cnn_tensor *operand(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }
static const cnn_tensor *result(const cnn_call *c, int i) { return i < c->n_out ? c->out[i] : NULL; }

static int check_added(const cnn_call *c, cnn_error *error) {
    const cnn_tensor *added = operand(c, ADDED), *x = c->in[X];
    char shape[64], want[64];
    if (!added) return 0;
    if (!operand(c, SUM_G) || !cnn_int(c, TRAINING))
        return cnn_fail(error, "added must be given in training and with sum_g and sum_gx; use add for others");
    cnn_tensor expected = *x;
    if (added->rank == x->rank) expected.dims[x->rank - 1] = cnn_last(added);
    if (added->dtype != CNN_F32 || !cnn_same_shape(added, &expected)
        || cnn_int(c, ADDED_BEGIN) + cnn_last(x) > cnn_last(added))
        return cnn_fail(error, "added must be float32 with the shape of x, %s, but for its channels, of which those of "
                               "x begin with added_begin, %lld, got %s", cnn_shape_text(x, want),
                        (long long)cnn_int(c, ADDED_BEGIN), cnn_shape_text(added, shape));
    return 0;
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    static const char *const names[] = {"grad_y", "x", "y"};
    static const char *const vectors[] = {"mean", "var", "gamma", "scale", "shift", "sum_g", "sum_gx"};
    char shape[64], want[64];
    const cnn_tensor *x = c->in[X];
    int64_t n = cnn_last(x);
    const int masked = cnn_int(c, ACTIVATION) != CNN_LINEAR || c->attr[MAX_VALUE] != INFINITY;
    if (!operand(c, SCALE) != !operand(c, SHIFT) || (operand(c, SCALE) && c->in[Y]))
        return cnn_fail(error, "scale and shift must be given together and without y, or y in their place");
    if (masked && !c->in[Y] && !operand(c, SCALE))
        return cnn_fail(error, "y must be given where there is an activation, to mask grad_y by, or scale and shift");
    if (!operand(c, SUM_G) != !operand(c, SUM_GX) || (operand(c, SUM_G) && masked))
        return cnn_fail(error, "sum_g and sum_gx must be given together and without an activation, as they are of the "
                               "masked gradient");
    for (int i = GRAD_Y; i <= Y; i++) {
        if (!c->in[i]) continue;
        if (cnn_expect(c->in[i], names[i], -1, CNN_F32, error)) return -1;
        if (!cnn_same_shape(c->in[i], x))
            return cnn_fail(error, "%s must have the shape of x, %s, got %s", names[i], cnn_shape_text(x, want),
                            cnn_shape_text(c->in[i], shape));
    }
    for (int i = MEAN; i <= SUM_GX; i++)
        if (cnn_expect_vector(operand(c, i), vectors[i - MEAN], n, error)) return -1;
    if (cnn_expect_mask(c->attr[ACTIVATION], c->attr[ALPHA], error) || check_added(c, error)) return -1;
    for (int i = 0; i < c->n_out; i++) {
        if (i == GRAD_X || i == GRAD_RESIDUAL) cnn_like(&out[i], x);
        else cnn_set_shape(&out[i], 1, n, 1, 1, 1);
    }
    return 0;
}

/* In training the sums make grad_x; else they are only needed where somebody asks for them. */
static int needs_sums(const cnn_call *c) {
    return cnn_int(c, TRAINING) || result(c, GRAD_GAMMA) || result(c, GRAD_BETA);
}

/* Blocks whose sums are taken here. */
static int64_t slots_of(const cnn_call *c, const cnn_batchnorm_cut *cut) { return operand(c, SUM_G) ? 0 : cut->blocks; }

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    if (operand(c, ADDED) && result(c, GRAD_RESIDUAL))
        return cnn_fail(error, "added must be given without grad_residual, whose gradient it is no part of; use add");
    cnn_batchnorm_cut cut = cnn_batchnorm_cut_of(c->in[X]);
    memcpy(c->plan, &cut, sizeof cut);
    choice->kernel = needs_sums(c) && !operand(c, SUM_G) ? "two passes" : "one pass";
    choice->workspace_bytes = (slots_of(c, &cut) + 1) * 2 * cut.channels * (int64_t)sizeof(double) +
                              6 * cut.width * (int64_t)sizeof(float);
    choice->thread_workspace_bytes = 2 * cut.width * (int64_t)sizeof(float);
    return 0;
}

static double flops(const cnn_call *c) {
    return ((!needs_sums(c) ? 2.0 : operand(c, SUM_G) ? 4.0 : 9.0) + !!operand(c, ADDED)) * (double)cnn_count(c->in[X]);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_batchnorm_cut *cut = (const cnn_batchnorm_cut *)c->plan;
    const cnn_batchnorm_kernels *k = c->kernels->batchnorm;
    const float *grad_y = cnn_data(e, c->in[GRAD_Y]), *x = cnn_data(e, c->in[X]), *y = cnn_data(e, c->in[Y]);
    const float *mean = cnn_data(e, c->in[MEAN]), *var = cnn_data(e, c->in[VAR]),
                *gamma = cnn_data(e, operand(c, GAMMA));
    float *grad_x = cnn_data(e, result(c, GRAD_X)), *grad_residual = cnn_data(e, result(c, GRAD_RESIDUAL));
    float *grad_gamma = cnn_data(e, result(c, GRAD_GAMMA)), *grad_beta = cnn_data(e, result(c, GRAD_BETA));
    int64_t n = cut->channels, begin, end;
    /* [block][g, gx][channel]; [g, gx][channel]. */
    double *slots = (double *)e->workspace, *sums = slots + slots_of(c, cut) * 2 * n;
    float *wide_mean = (float *)(sums + 2 * n), *p = wide_mean + cut->width, *q = p + cut->width, *s = q + cut->width;
    const float *scale = cnn_data(e, operand(c, SCALE)), *shift = cnn_data(e, operand(c, SHIFT));
    const float *sum_g = cnn_data(e, operand(c, SUM_G)), *sum_gx = cnn_data(e, operand(c, SUM_GX));
    const int training = (int)cnn_int(c, TRAINING);
    const cnn_relu_mask mask = cnn_mask_of(c->attr[ACTIVATION], c->attr[ALPHA], c->attr[MAX_VALUE]);
    if (cnn_mask_is_one(mask)) y = scale = shift = NULL;

    cnn_share_channels(e, n, &begin, &end);
    if (scale) {
        scale = cnn_batchnorm_wide(cut, scale, s + cut->width, begin, end);
        shift = cnn_batchnorm_wide(cut, shift, s + 2 * cut->width, begin, end);
    }
    if (needs_sums(c) && sum_g) {
        for (int64_t i = begin; i < end; i++) { sums[i] = sum_g[i]; sums[n + i] = sum_gx[i]; }
    } else if (needs_sums(c)) {
        mean = cnn_batchnorm_wide(cut, mean, wide_mean, begin, end);
        cnn_barrier(e);
        const cnn_batchnorm_gradient g = {.grad_y = grad_y, .y = y, .x = x, .mean = mean, .scale = scale,
                                          .shift = shift, .mask = mask, .grad_residual = grad_residual};
        cnn_batchnorm_gradient_sums(c, e, cut, &g, slots, sums);
        if (grad_residual) {          /* pass 2 starts from g */
            grad_y = grad_residual;
            grad_residual = NULL;
            y = scale = NULL;
        }
    }
    if (needs_sums(c)) {
        if (begin < end)
            k->gradient_constants(end - begin, (double)cut->rows, mean + begin, var + begin,
                                  gamma ? gamma + begin : NULL, c->attr[EPSILON], sums + begin, sums + n + begin,
                                  p + begin, q + begin, s + begin, grad_gamma ? grad_gamma + begin : NULL,
                                  grad_beta ? grad_beta + begin : NULL);
    } else if (begin < end) {
        k->constants(end - begin, NULL, mean + begin, var + begin, gamma ? gamma + begin : NULL, NULL, c->attr[EPSILON],
                     p + begin, s + begin);
    }
    cnn_batchnorm_widen(cut, p, begin, end);
    cnn_batchnorm_widen(cut, q, begin, end);
    cnn_batchnorm_widen(cut, s, begin, end);
    cnn_barrier(e);
    if (!grad_x) return;
    const cnn_tensor *added = operand(c, ADDED);
    const int64_t added_step = added ? cnn_last(added) : 0;
    cnn_work work = cnn_share_work(e, cut->blocks);
    for (int64_t b; (b = cnn_work_next(&work)) >= 0;) {
        int64_t at = b * cut->block * n;
        if (added) {
            k->gradient_added(cnn_batchnorm_rows(cut, b), n, p, q, s, grad_y + at, x + at,
                              (const float *)cnn_data(e, added) + b * cut->block * added_step + cnn_int(c, ADDED_BEGIN),
                              added_step, grad_x + at);
            continue;
        }
        k->gradient(cnn_batchnorm_rows(cut, b), n, cut->fold, grad_y + at, y ? y + at : NULL, mask, x + at, scale,
                    shift, p, training ? q : NULL, s, grad_x + at, grad_residual ? grad_residual + at : NULL);
    }
}

const cnn_op cnn_op_batchnorm_backward = {
    .name = "batchnorm_backward",
    .summary = "gradients of batchnorm; grad_x = p g + q x + s + added with g = grad_y act'(y)",
    .inputs = "grad_y x [y] mean var [gamma] [scale] [shift] [sum_g] [sum_gx] [added]",
    .outputs = "grad_x [grad_gamma] [grad_beta] [grad_residual]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
    .in_place = 1 << GRAD_Y | 1 << X | 1 << Y,
};
