/* expanded_depthwise_conv2d_backward: all gradients of what stands at the beginning of an inverted bottleneck
 * (MobileNetV2, Sandler et al. 2018, arXiv:1801.04381), where z, the widest tensor, is neither kept nor its gradient
 * written:
 *
 *     t = x in_scale + in_shift, or x;    z = t w_inner;    y = depthwise conv(act(batchnorm(z)), w)
 *
 * With g the gradient in the normalisation's result, through act', and sums over all rows, n of them, the gradient in z
 * is p (g - sum g / n) + q (z - mean) with p = gamma r, q = -p r^2 sum g (z - mean) / n and r = 1 / sqrt(var + epsilon)
 * (see batchnorm_backward.c). Both p and q differ from channel to channel and nothing else, so that with m and S, the
 * mean and covariance of t, and P = diag(p), Q = diag(q),
 *
 *     grad_w_inner = (sum (t - m)^T g) P + n S w_inner Q
 *     grad_t = g P w_inner^T + (t - m) (w_inner Q w_inner^T) - (sum g / n) P w_inner^T
 *
 * in which g is wide and met once: g P w_inner^T and (t - m)^T g need no sum to be complete. What is left is narrow.
 *
 * Pass 1: rows of z are made again in a cache; g of them, and its sums, and grad_w's; (t - m)^T g, of each unit in a
 * slot of its own; g P w_inner^T and the residual go to grad_x. Barrier; the slots are added in order; barrier. Pass 2:
 * grad_x, through its epilogue (gradient_epilogue.h). Parallel over images and bands of rows, then over blocks of
 * pixels. */
#include "batchnorm.h"
#include "depthwise.h"
#include "gradient_epilogue.h"
#include "layout.h"
#include "narrow.h"
#include "rows_product.h"

enum {
    GRAD_Y, X, W_INNER, W, MEAN, VAR, SCALE, SHIFT, X_MEAN, X_COVARIANCE, GAMMA, IN_SCALE, IN_SHIFT, RESIDUAL, EPILOGUE
};
enum { GRAD_X, SUM_G, SUM_GX, GRAD_W_INNER, GRAD_W, GRAD_GAMMA, GRAD_BETA };
enum { BELOW = CNN_DW_ATTR_COUNT, ACTIVATION = BELOW + 3, ALPHA, MAX_VALUE, EPSILON };
static const cnn_attr_def attrs[] = {
    CNN_DW_ATTRS, CNN_ACT_ATTRS, CNN_INT_ATTR("inner_activation", 0, 0, CNN_ACTIVATIONS - 1),
    CNN_FLOAT_ATTR("inner_alpha", 0, -INFINITY, INFINITY),
    CNN_FLOAT_ATTR("inner_max_value", INFINITY, -INFINITY, INFINITY), CNN_EPSILON_ATTR, CNN_END_OF_ATTRS};

enum { BLOCK_PIXELS = 448 };          /* of the second pass */

typedef struct backward_plan {
    cnn_depthwise g;                  /* of the depthwise convolution; its x is z */
    int64_t in;                       /* channels of x */
    int64_t pixels, blocks;           /* of x; of the second pass */
    int64_t at_once;                  /* pixels of z, at most */
} backward_plan;
_Static_assert(sizeof(backward_plan) <= CNN_PLAN_BYTES, "the plan must fit");

static const cnn_tensor *operand(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }
static const cnn_tensor *result(const cnn_call *c, int i) { return i < c->n_out ? c->out[i] : NULL; }

static cnn_narrow_operands narrow_of(const cnn_call *c) {
    return (cnn_narrow_operands){c->in[X], operand(c, IN_SCALE), operand(c, IN_SHIFT)};
}
static cnn_gradient_epilogue_operands below_of(const cnn_call *c) {
    return cnn_gradient_epilogue_of(c, EPILOGUE, BELOW);
}

static int geometry(const cnn_call *c, cnn_depthwise *g, cnn_error *error) {
    const cnn_tensor *x = c->in[X];
    return cnn_depthwise_geometry(c, x->dims[0], x->dims[1], x->dims[2], cnn_last(c->in[W_INNER]), 1, g, error);
}

/* ---- shapes ---- */

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    static const char *const wide[] = {"inner_mean", "inner_var", "inner_scale", "inner_shift"};
    const cnn_tensor *x = c->in[X], *covariance = c->in[X_COVARIANCE], *residual = operand(c, RESIDUAL);
    const cnn_narrow_operands narrow = narrow_of(c);
    char shape[64], want[64];
    cnn_depthwise g;
    if (cnn_depthwise_expect_expanded(c, x, c->in[W_INNER], c->in[W], error) || cnn_narrow_check(&narrow, error)
        || geometry(c, &g, error) || cnn_depthwise_expect_grad(c->in[GRAD_Y], &g, error)
        || cnn_expect_mask(c->attr[ACTIVATION], c->attr[ALPHA], error)) return -1;
    for (int i = MEAN; i <= SHIFT; i++) if (cnn_expect_vector(c->in[i], wide[i - MEAN], g.c, error)) return -1;
    if (cnn_expect_vector(operand(c, GAMMA), "gamma", g.c, error)
        || cnn_expect_vector(c->in[X_MEAN], "in_mean", cnn_last(x), error)
        || cnn_expect(covariance, "in_covariance", 2, CNN_F32, error)) return -1;
    if (covariance->dims[0] != cnn_last(x) || covariance->dims[1] != cnn_last(x))
        return cnn_fail(error, "in_covariance must have a row and a column for each of the %lld channels of in, got %s",
                        (long long)cnn_last(x), cnn_shape_text(covariance, shape));
    if (residual && (residual->dtype != CNN_F32 || !cnn_same_shape(residual, x)))
        return cnn_fail(error, "residual must be float32 with the shape of in, %s, got %s", cnn_shape_text(x, want),
                        cnn_shape_text(residual, shape));
    cnn_like(&out[GRAD_X], x);
    const cnn_gradient_epilogue_operands below = below_of(c);
    if (cnn_gradient_epilogue_infer(c, &below, out, error)) return -1;
    for (int i = GRAD_W_INNER; i < c->n_out; i++) cnn_set_shape(&out[i], 1, g.c, 1, 1, 1);
    if (c->n_out > GRAD_W_INNER) cnn_like(&out[GRAD_W_INNER], c->in[W_INNER]);
    if (c->n_out > GRAD_W) cnn_like(&out[GRAD_W], c->in[W]);
    return 0;
}

/* ---- memory ---- */

typedef struct thread_memory {
    cnn_narrow narrow;
    float *z, *g;                     /* [pixel][wide channel] */
    float *deviations;                /* t - m: [pixel][channel] */
    float *one, *zero, *minus_mean;   /* [channel] */
    const float **rows;               /* of the deviations */
    int32_t *number;                  /* 0, 1, ... */
    ptrdiff_t *at;                    /* where the pixels of a block of grad_x are */
    float *wide_rows, *back;          /* P w_inner^T: [wide channel][channel]; in panels */
    float *square;                    /* w_inner Q w_inner^T in panels */
} thread_memory;

static int64_t thread_layout(thread_memory *m, char *memory, const cnn_call *c, const backward_plan *p) {
    const int64_t pixels = cnn_max(p->at_once, BLOCK_PIXELS), floats = (int64_t)sizeof(float);
    const cnn_narrow_operands operands = narrow_of(c);
    cnn_layout all = {.memory = memory};
    m->narrow = cnn_narrow_layout(&all, &operands, pixels);
    m->z = cnn_take(&all, p->at_once * p->g.c * floats);
    m->g = cnn_take(&all, p->at_once * p->g.c * floats);
    m->deviations = cnn_take(&all, pixels * p->in * floats);
    m->one = cnn_take(&all, p->in * floats);
    m->zero = cnn_take(&all, p->in * floats);
    m->minus_mean = cnn_take(&all, p->in * floats);
    m->rows = cnn_take(&all, p->at_once * (int64_t)sizeof *m->rows);
    m->number = cnn_take(&all, p->at_once * (int64_t)sizeof *m->number);
    m->at = cnn_take(&all, BLOCK_PIXELS * (int64_t)sizeof *m->at);
    m->wide_rows = cnn_take(&all, p->g.c * p->in * floats);
    m->back = cnn_take(&all, cnn_rows_product_bytes(c->kernels, p->g.c, p->in));
    m->square = cnn_take(&all, cnn_rows_product_bytes(c->kernels, p->in, p->in));
    return all.bytes;
}

static int64_t units_of(const cnn_depthwise *g) { return g->n * g->bands; }

typedef struct shared_memory {
    double *sums;                     /* [unit][g, g (z - mean)][wide channel], then their sums */
    float *grad_w;                    /* [unit][tap][wide channel] */
    float *products;                  /* (t - m)^T g: [unit][channel][wide channel], then their sum */
    float *p, *q, *s;                 /* [wide channel] */
    float *square, *constant;         /* w_inner Q w_inner^T; what is added to every pixel of grad_x */
    char *epilogue;
} shared_memory;

static int64_t shared_layout(shared_memory *m, char *memory, const cnn_call *c, const backward_plan *p) {
    const int64_t units = units_of(&p->g), wide = p->g.c, floats = (int64_t)sizeof(float);
    const cnn_gradient_epilogue_operands below = below_of(c);
    cnn_layout all = {.memory = memory};
    m->sums = cnn_take(&all, (units + 1) * 2 * wide * (int64_t)sizeof(double));
    m->grad_w = cnn_take(&all, units * CNN_DEPTHWISE_TAPS * wide * floats);
    m->products = cnn_take(&all, (units + 1) * p->in * wide * floats);
    m->p = cnn_take(&all, wide * floats);
    m->q = cnn_take(&all, wide * floats);
    m->s = cnn_take(&all, wide * floats);
    m->square = cnn_take(&all, p->in * p->in * floats);
    m->constant = cnn_take(&all, p->in * floats);
    m->epilogue = cnn_take(&all, cnn_gradient_epilogue_bytes(&below, p->in, p->blocks));
    return all.bytes;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    backward_plan *p = (backward_plan *)c->plan;
    const cnn_gradient_epilogue_operands below = below_of(c);
    thread_memory own;
    shared_memory shared;
    *p = (backward_plan){.in = cnn_last(c->in[X]), .pixels = cnn_rows(c->in[X])};
    if (cnn_gradient_epilogue_check(&below, error) || geometry(c, &p->g, error)
        || cnn_expect_packable(c->in[W_INNER], "w_inner", error)) return -1;
    cnn_depthwise_cut(c, &p->g, p->g.h);
    p->g.block = p->g.channels;
    p->g.blocks = 1;
    p->blocks = cnn_ceil_div(p->pixels, BLOCK_PIXELS);
    p->at_once = cnn_depthwise_most_lines(&p->g) * p->g.w;
    choice->kernel = "all gradients, rows of the expanded tensor in L2";
    choice->workspace_bytes = shared_layout(&shared, NULL, c, p);
    choice->thread_workspace_bytes = thread_layout(&own, NULL, c, p);
    choice->packed_bytes = cnn_rows_product_bytes(c->kernels, p->in, p->g.c);
    return 0;
}

static double flops(const cnn_call *c) {
    const double in = (double)cnn_last(c->in[X]), z = (double)cnn_rows(c->in[X]) * (double)cnn_last(c->in[W_INNER]);
    return 3 * 2 * in * z + 6 * z + 4.0 * CNN_DEPTHWISE_TAPS * (double)cnn_count(c->in[GRAD_Y])
        + 2 * in * (double)cnn_count(c->in[X]);
}

static void pack(const cnn_call *c, const cnn_exec *e) { cnn_rows_product_pack_weights(c, e, c->in[W_INNER]); }

/* ---- pass 1 ---- */

/* P w_inner^T; p, known before any sum, is the normalisation's scale. */
static void pack_back(const cnn_call *c, const cnn_exec *e, const backward_plan *p, thread_memory *m) {
    const float *w = cnn_data(e, c->in[W_INNER]), *scale = cnn_data(e, c->in[SCALE]);
    const int64_t wide = p->g.c;
    for (int64_t k = 0; k < wide; k++)
        for (int64_t i = 0; i < p->in; i++) m->wide_rows[k * p->in + i] = scale[k] * w[i * wide + k];
    cnn_rows_product_pack(c->kernels, wide, p->in, m->wide_rows, 0, cnn_panels_of(c->kernels, p->in).count, m->back);
}

/* t - m */
static void deviations(const cnn_call *c, const backward_plan *p, const thread_memory *m, int64_t pixels,
                       const float *t) {
    c->kernels->batchnorm->gradient_columns(pixels, p->in, m->one, m->zero, m->minus_mean, t, t, p->in, m->deviations,
                                            p->in);
}

static void one_unit(const cnn_call *c, const cnn_exec *e, const backward_plan *p, const shared_memory *s,
                     thread_memory *m, int64_t unit) {
    const cnn_depthwise *g = &p->g;
    const cnn_depthwise_unit u = cnn_depthwise_unit_at(g, unit, g->h);
    const int64_t wide = g->c;
    const float *grad_y = (const float *)cnn_data(e, c->in[GRAD_Y]) + u.image * g->out_h * g->out_w * wide,
                *w = cnn_data(e, c->in[W]);
    float *grad_x = cnn_data(e, c->out[GRAD_X]), *grad_w = s->grad_w + unit * CNN_DEPTHWISE_TAPS * wide,
          *products = s->products + unit * p->in * wide;
    double *sums = s->sums + unit * 2 * wide;
    const cnn_rows_product expand = {.in = p->in, .out = wide, .w = (const float *)e->packed, .low = -INFINITY,
                                     .high = INFINITY};
    cnn_rows_product back = {.in = wide, .out = p->in, .w = m->back, .low = -INFINITY, .high = INFINITY};
    const float *residual = cnn_data(e, operand(c, RESIDUAL));
    memset(sums, 0, (size_t)(2 * wide) * sizeof *sums);
    memset(grad_w, 0, (size_t)(CNN_DEPTHWISE_TAPS * wide) * sizeof *grad_w);
    memset(products, 0, (size_t)(p->in * wide) * sizeof *products);
    cnn_depthwise_backward b = {.channels = wide, .pixel = wide, .grad_y_pixel = wide, .in_w = g->w, .out_w = g->out_w,
                                .pad = cnn_int(c, CNN_DW_LEFT), .stride = (int)cnn_int(c, CNN_DW_STRIDE_W), .x = m->z,
                                .mean = cnn_data(e, c->in[MEAN]), .scale = cnn_data(e, c->in[SCALE]),
                                .shift = cnn_data(e, c->in[SHIFT]),
                                .act = {.kind = (int)cnn_int(c, ACTIVATION), .alpha = cnn_float(c, ALPHA),
                                        .max_value = cnn_float(c, MAX_VALUE)},
                                .grad_x = m->g, .sum_g = sums, .sum_gx = sums + wide};
    for (int64_t y = u.begin, row[3]; y < u.end; y += b.lines) {
        cnn_depthwise_taps_of(c, g, y, u.end, w, grad_w, row, &b);
        for (int i = 0; i < b.rows; i++) b.grad_y[i] = grad_y + row[i] * g->out_w * wide;
        for (int i = 0; i < 2; i++) b.coming[i] = b.rows ? b.grad_y[0] + b.lines * g->out_w * wide : NULL;
        const int64_t pixels = b.lines * g->w, first = (u.image * g->h + y) * g->w;
        if (b.rows) {
            const float *t = cnn_narrow_at(c->kernels, &m->narrow, first, pixels);
            cnn_rows_product_run(c->kernels, &expand, pixels, t, m->z);
            c->kernels->depthwise_backward->rows(&b);
            deviations(c, p, m, pixels, t);
            cnn_rows_outer(c->kernels, pixels, p->in, m->rows, m->number, wide, m->g, wide, 1, products);
        } else {                      /* no result reads them */
            memset(m->g, 0, (size_t)(pixels * wide) * sizeof *m->g);
        }
        back.added = residual ? residual + first * p->in : NULL;
        cnn_rows_product_run(c->kernels, &back, pixels, m->g, grad_x + first * p->in);
    }
}

/* ---- between ---- */

/* p, q, the sums of the slots, and the gradients that need nothing else: this thread's share of the wide channels. */
static void combine(const cnn_call *c, const cnn_exec *e, const backward_plan *p, const shared_memory *s) {
    const int64_t units = units_of(&p->g), wide = p->g.c;
    const float *mean = cnn_data(e, c->in[MEAN]), *var = cnn_data(e, c->in[VAR]),
                *gamma = cnn_data(e, operand(c, GAMMA));
    float *grad_w = cnn_data(e, result(c, GRAD_W)), *grad_gamma = cnn_data(e, result(c, GRAD_GAMMA)),
          *grad_beta = cnn_data(e, result(c, GRAD_BETA)), *products = s->products + units * p->in * wide;
    double *sums = s->sums + units * 2 * wide;
    int64_t begin, end;
    cnn_share_channels(e, wide, &begin, &end);
    if (begin >= end) return;
    for (int i = 0; i < 2; i++)
        c->kernels->batchnorm->combine_sums(end - begin, units, s->sums + i * wide + begin, 2 * wide,
                                            sums + i * wide + begin);
    for (int64_t tap = 0; grad_w && tap < CNN_DEPTHWISE_TAPS; tap++)
        c->kernels->depthwise->combine(end - begin, units, s->grad_w + tap * wide + begin, CNN_DEPTHWISE_TAPS * wide,
                                       grad_w + tap * wide + begin);
    for (int64_t i = 0; i < p->in; i++)
        c->kernels->depthwise->combine(end - begin, units, s->products + i * wide + begin, p->in * wide,
                                       products + i * wide + begin);
    c->kernels->batchnorm->gradient_constants(
        end - begin, (double)p->pixels, mean + begin, var + begin, gamma ? gamma + begin : NULL, c->attr[EPSILON],
        sums + begin, sums + wide + begin, s->p + begin, s->q + begin, s->s + begin,
        grad_gamma ? grad_gamma + begin : NULL, grad_beta ? grad_beta + begin : NULL);
}

/* grad_w_inner, and what of grad_t is left, of this thread's share of the narrow channels. */
static void narrow_products(const cnn_call *c, const cnn_exec *e, const backward_plan *p, const shared_memory *s) {
    const int64_t units = units_of(&p->g), wide = p->g.c, n = p->in;
    const float *w = cnn_data(e, c->in[W_INNER]), *covariance = cnn_data(e, c->in[X_COVARIANCE]),
                *products = s->products + units * n * wide;
    const double *sum_g = s->sums + units * 2 * wide;
    float *grad_w = cnn_data(e, result(c, GRAD_W_INNER));
    int64_t begin, end;
    cnn_share(e, n, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        double constant = 0;
        for (int64_t k = 0; k < wide; k++)
            constant -= sum_g[k] / (double)p->pixels * s->p[k] * w[i * wide + k];
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < wide; k++) sum += (double)w[i * wide + k] * s->q[k] * w[j * wide + k];
            s->square[j * n + i] = (float)sum;
        }
        s->constant[i] = (float)constant;
        for (int64_t k = 0; grad_w && k < wide; k++) {
            double sum = 0;
            for (int64_t j = 0; j < n; j++) sum += (double)covariance[i * n + j] * w[j * wide + k];
            grad_w[i * wide + k] = (float)(s->p[k] * products[i * wide + k] + (double)p->pixels * s->q[k] * sum);
        }
    }
}

/* ---- pass 2 ---- */

static void one_block(const cnn_call *c, const cnn_exec *slots, const backward_plan *p, const shared_memory *s,
                      const thread_memory *m, int64_t block) {
    const cnn_gradient_epilogue_operands below = below_of(c);
    const int64_t first = block * BLOCK_PIXELS, pixels = cnn_min(BLOCK_PIXELS, p->pixels - first), at = first * p->in;
    float *grad_x = cnn_data(slots, c->out[GRAD_X]);
    const cnn_rows_product product = {.in = p->in, .out = p->in, .w = m->square, .bias = s->constant,
                                      .added = grad_x + at, .low = -INFINITY, .high = INFINITY};
    deviations(c, p, m, pixels, cnn_narrow_at(c->kernels, &m->narrow, first, pixels));
    cnn_rows_product_run(c->kernels, &product, pixels, m->deviations, grad_x + at);
    if (cnn_gradient_epilogue_wanted(&below))
        cnn_gradient_epilogue_apply(c, slots, &below, p->in, block, pixels, at, 0, p->in, grad_x, m->at);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const backward_plan *p = (const backward_plan *)c->plan;
    const cnn_gradient_epilogue_operands below = below_of(c);
    const cnn_narrow_operands narrow = narrow_of(c);
    const float *x_mean = cnn_data(e, c->in[X_MEAN]);
    thread_memory m;
    shared_memory s;
    thread_layout(&m, e->thread_workspace, c, p);
    shared_layout(&s, e->workspace, c, p);
    cnn_narrow_begin(e, &narrow, &m.narrow);
    for (int64_t i = 0; i < p->in; i++) { m.one[i] = 1; m.zero[i] = 0; m.minus_mean[i] = -x_mean[i]; }
    for (int64_t i = 0; i < p->at_once; i++) {
        m.number[i] = (int32_t)i;
        m.rows[i] = m.deviations + i * p->in;
    }
    for (int64_t i = 0; i < BLOCK_PIXELS; i++) m.at[i] = i * p->in;
    pack_back(c, e, p, &m);

    cnn_work work = cnn_share_work(e, units_of(&p->g));
    for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) one_unit(c, e, p, &s, &m, unit);
    cnn_barrier(e);
    combine(c, e, p, &s);
    cnn_barrier(e);
    narrow_products(c, e, p, &s);
    cnn_barrier(e);
    cnn_rows_product_pack(c->kernels, p->in, p->in, s.square, 0, cnn_panels_of(c->kernels, p->in).count, m.square);
    cnn_exec slots = *e;
    slots.workspace = s.epilogue;
    work = cnn_share_work(e, p->blocks);
    for (int64_t block; (block = cnn_work_next(&work)) >= 0;) one_block(c, &slots, p, &s, &m, block);
    if (cnn_gradient_epilogue_sums(&below)) cnn_gradient_epilogue_combine(c, &slots, &below, p->in, p->blocks);
}

const cnn_op cnn_op_expanded_depthwise_conv2d_backward = {
    .name = "expanded_depthwise_conv2d_backward",
    .summary = "gradients of expanded_depthwise_conv2d, with the batch normalisation in it: grad_x = (gradient in in "
               "in_scale + in_shift, + residual) act'(y), its sums, grad_w_inner, grad_w, grad_gamma, grad_beta",
    .inputs = "grad_y in w_inner w inner_mean inner_var inner_scale inner_shift in_mean in_covariance [gamma] "
              "[in_scale] [in_shift] [residual] " CNN_GRADIENT_INPUTS,
    .outputs = "grad_x " CNN_GRADIENT_OUTPUTS " [grad_w_inner] [grad_w] [grad_gamma] [grad_beta]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .pack = pack,
    .flops = flops,
    .run = run,
};
