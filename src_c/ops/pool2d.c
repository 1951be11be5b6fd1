/* max_pool2d: the maximum of each window; padding counts as -inf, NaN propagates. The places of the maxima
 * (kernels/pool.h) are what its gradient needs of x, in a byte each. With scale and shift the windows are of what a
 * batch normalisation and its activation, linear or a relu, give: act(x scale + shift), with the same bits, not written
 * to memory.
 * avg_pool2d: the mean of each window, over its pixels inside the image or (count_include_pad) over all.
 * Parallel over images, rows of the output and, where these are few, blocks of channels. */
#include "coming.h"
#include "pool.h"

enum { X, SCALE, SHIFT };
enum { COUNT_INCLUDE_PAD = CNN_POOL_ATTR_COUNT };
enum { ACTIVATION = CNN_POOL_ATTR_COUNT, ALPHA, MAX_VALUE };
static const cnn_attr_def max_attrs[] = { CNN_POOL_ATTRS, CNN_ACT_ATTRS, CNN_END_OF_ATTRS };
static const cnn_attr_def avg_attrs[] = {
    CNN_POOL_ATTRS, CNN_INT_ATTR("count_include_pad", 0, 0, 1), CNN_END_OF_ATTRS
};

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[0];
    cnn_pool g;
    if (cnn_expect(x, "x", 4, CNN_F32, error) || cnn_pool_geometry(c, x->dims[1], x->dims[2], x->dims[3], &g, error))
        return -1;
    cnn_set_shape(out, 4, x->dims[0], g.out_h, g.out_w, g.c);
    return c->n_out > 1 ? cnn_pool_infer_place(&g, out, error) : 0;
}

static const cnn_tensor *operand(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }

static int infer_max(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *scale = operand(c, SCALE), *shift = operand(c, SHIFT);
    if (infer(c, out, error) || cnn_expect_vector(scale, "scale", cnn_last(c->in[X]), error)
        || cnn_expect_vector(shift, "shift", cnn_last(c->in[X]), error)
        || cnn_expect_mask(c->attr[ACTIVATION], c->attr[ALPHA], error)) return -1;
    if (!scale != !shift) return cnn_fail(error, "scale and shift must be given together");
    if (!scale && (cnn_int(c, ACTIVATION) != CNN_LINEAR || c->attr[MAX_VALUE] < INFINITY))
        return cnn_fail(error, "an activation is of what is normalised, and there is no scale; use activation");
    return 0;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)choice;
    const cnn_tensor *x = c->in[0];
    cnn_pool g;
    if (cnn_pool_geometry(c, x->dims[1], x->dims[2], x->dims[3], &g, error)) return -1;
    cnn_pool_cut cut = cnn_pool_cut_of(&g, x->dims[0], g.out_h);
    memcpy(c->plan, &cut, sizeof cut);
    return 0;
}

static int plan_avg(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    if (plan(c, choice, error)) return -1;
    ((cnn_pool_cut *)c->plan)->g.count_include_pad = cnn_int(c, COUNT_INCLUDE_PAD);
    return 0;
}

static int plan_max(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    if (operand(c, SCALE)) choice->kernel = "normalised";
    return plan(c, choice, error);
}

static double flops(const cnn_call *c) {
    return c->attr[CNN_POOL_H] * c->attr[CNN_POOL_W] * (double)cnn_count(c->out[0]);
}

static double flops_max(const cnn_call *c) {
    return flops(c) + (operand(c, SCALE) ? 2 * (double)cnn_count(c->in[X]) : 0);
}

/* Brings the pixels of a row of windows, of an image at x, where they come from memory. */
static void bring(const cnn_call *c, const cnn_pool *g, const cnn_pool_unit *u, const float *x) {
    if (cnn_bytes(c->in[X]) < CNN_FROM_MEMORY_BYTES || u->c_end - u->c_begin < g->c) return;
    const int64_t first = u->band * g->stride_h - g->pad_top, row = g->w * g->c;
    cnn_bring(x + cnn_max(0, first) * row, x + cnn_min(g->h, first + g->pool_h) * row);
}

static void run_max(const cnn_call *c, const cnn_exec *e) {
    const cnn_pool_cut *cut = (const cnn_pool_cut *)c->plan;
    const cnn_pool *g = &cut->g;
    const float *x = cnn_data(e, c->in[0]);
    const cnn_normalising norm = {
        .scale = cnn_data(e, operand(c, SCALE)), .shift = cnn_data(e, operand(c, SHIFT)),
        .act = {.kind = (int)cnn_int(c, ACTIVATION), .alpha = cnn_float(c, ALPHA),
                .max_value = cnn_float(c, MAX_VALUE)}};
    float *y = cnn_data(e, c->out[0]);
    uint8_t *place = c->n_out > 1 ? cnn_data(e, c->out[1]) : NULL;
    cnn_work work = cnn_share_work(e, cnn_pool_units(cut));
    for (int64_t i; (i = cnn_work_next(&work)) >= 0;) {
        cnn_pool_unit u = cnn_pool_unit_at(cut, i);
        const int64_t output = u.image * g->out_h * g->out_w * g->c;
        const float *image = x + u.image * g->h * g->w * g->c;
        bring(c, g, &u, image);
        c->kernels->pool->max_row(g, u.band, u.c_begin, u.c_end, image, norm, y + output,
                                  place ? place + output : NULL);
    }
}

static void run_avg(const cnn_call *c, const cnn_exec *e) {
    const cnn_pool_cut *cut = (const cnn_pool_cut *)c->plan;
    const cnn_pool *g = &cut->g;
    const float *x = cnn_data(e, c->in[0]);
    float *y = cnn_data(e, c->out[0]);
    cnn_work work = cnn_share_work(e, cnn_pool_units(cut));
    for (int64_t i; (i = cnn_work_next(&work)) >= 0;) {
        cnn_pool_unit u = cnn_pool_unit_at(cut, i);
        const float *image = x + u.image * g->h * g->w * g->c;
        bring(c, g, &u, image);
        c->kernels->pool->average_row(g, u.band, u.c_begin, u.c_end, image, y + u.image * g->out_h * g->out_w * g->c);
    }
}

const cnn_op cnn_op_max_pool2d = {
    .name = "max_pool2d",
    .summary = "y = max of each window of x, or of act(x scale + shift)",
    .inputs = "x [scale] [shift]",
    .outputs = "y [place]",
    .attrs = max_attrs,
    .infer = infer_max,
    .plan = plan_max,
    .flops = flops_max,
    .run = run_max,
};

const cnn_op cnn_op_avg_pool2d = {
    .name = "avg_pool2d",
    .summary = "y = mean of each window",
    .inputs = "x",
    .outputs = "y",
    .attrs = avg_attrs,
    .infer = infer,
    .plan = plan_avg,
    .flops = flops,
    .run = run_avg,
};
