/* pointwise_depthwise_conv2d: a 1x1 convolution and the depthwise convolution of its result in one pass,
 *
 *     t = inner_act(x w_inner + bias_inner),    y = act(depthwise conv(t, w) + bias)
 *
 * as in the inverted bottlenecks of MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), where t is several times as
 * large as x. t is never whole: a thread keeps the rows that the kernel reaches in a buffer that fits the second cache,
 * and makes the next ones when it needs them.
 *
 * Loop order: units of (image, band of output rows), the parallel axis; output rows; rows of t that are missing:
 * panels of channels, tiles of pixels. */
#include "depthwise.h"
#include "indirect_gemm.h"
#include "row_window.h"
#include "rows_product.h"

enum { X, W_INNER, W, BIAS_INNER, BIAS };
enum { ACTIVATION = CNN_DW_ATTR_COUNT, ALPHA, MAX_VALUE, INNER_ACTIVATION, INNER_ALPHA, INNER_MAX_VALUE };
static const cnn_attr_def attrs[] = {
    CNN_DW_ATTRS, CNN_ACT_ATTRS, CNN_INT_ATTR("inner_activation", 0, 0, CNN_ACTIVATIONS - 1),
    CNN_FLOAT_ATTR("inner_alpha", 0, -INFINITY, INFINITY),
    CNN_FLOAT_ATTR("inner_max_value", INFINITY, -INFINITY, INFINITY),
    CNN_END_OF_ATTRS
};

enum {
    UNITS = 32,                       /* pieces of work wanted, for so many threads */
    BUFFER_BYTES = 512 << 10,         /* of L2, for rows of t */
};

/* g is that of the depthwise convolution; its band is a unit's output rows. */
typedef struct plan_memory { cnn_depthwise g; int64_t rows; } plan_memory;       /* rows: of t, in the buffer */
_Static_assert(sizeof(plan_memory) <= CNN_PLAN_BYTES, "the plan must fit");

static const cnn_tensor *input(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }

static int geometry(const cnn_call *c, cnn_depthwise *g, cnn_error *error) {
    const cnn_tensor *x = c->in[X], *w = c->in[W];
    return cnn_depthwise_geometry(c, x->dims[0], x->dims[1], x->dims[2], w->dims[2], 1, g, error);
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], other[64];
    const cnn_tensor *x = c->in[X], *inner = c->in[W_INNER], *w = c->in[W];
    cnn_depthwise g;
    if (cnn_expect(x, "x", 4, CNN_F32, error) || cnn_expect(inner, "w_inner", 4, CNN_F32, error)
        || cnn_depthwise_expect_w(c, w, error)) return -1;
    if (inner->dims[0] != 1 || inner->dims[1] != 1 || inner->dims[2] != x->dims[3])
        return cnn_fail(error, "w_inner must have shape (1, 1, %lld, channels) for x of shape %s, got %s",
                        (long long)x->dims[3], cnn_shape_text(x, shape), cnn_shape_text(inner, other));
    if (w->dims[2] != inner->dims[3] || w->dims[3] != 1)
        return cnn_fail(error, "w must have one filter per channel of w_inner, got w of shape %s for w_inner of %s",
                        cnn_shape_text(w, shape), cnn_shape_text(inner, other));
    if (geometry(c, &g, error) || cnn_expect_vector(input(c, BIAS_INNER), "bias_inner", g.c, error)
        || cnn_expect_vector(input(c, BIAS), "bias", g.c, error)) return -1;
    cnn_set_shape(out, 4, g.n, g.out_h, g.out_w, g.c);
    return 0;
}

/* A row of t in the buffer, in floats. */
static int64_t row_floats(const cnn_depthwise *g) { return g->w * g->c; }

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    plan_memory *p = (plan_memory *)c->plan;
    cnn_depthwise *g = &p->g;
    if (geometry(c, g, error) || cnn_expect_packable(c->in[W_INNER], "w_inner", error)) return -1;
    p->rows = cnn_depthwise_buffer_rows(c, g, BUFFER_BYTES);
    g->bands = cnn_min(g->out_h, cnn_ceil_div(UNITS, g->n));
    choice->kernel = "rows of the inner tensor in L2";
    choice->thread_workspace_bytes = p->rows * row_floats(g) * 4;
    choice->packed_bytes = cnn_rows_product_bytes(c->kernels, c->in[X]->dims[3], g->c);
    return 0;
}

static double flops(const cnn_call *c) {
    const cnn_tensor *x = c->in[X];
    return 2 * (double)cnn_count(x) * (double)c->in[W]->dims[2]
           + 2 * c->attr[CNN_DW_KERNEL_H] * c->attr[CNN_DW_KERNEL_W] * (double)cnn_count(c->out[0]);
}

static void pack(const cnn_call *c, const cnn_exec *e) { cnn_rows_product_pack_weights(c, e, c->in[W_INNER]); }

/* t = inner_act(x w_inner + bias) of adjacent pixels. */
static void expand(const cnn_call *c, const cnn_exec *e, int64_t pixels, const float *x, float *t) {
    const cnn_act act = {.kind = (int)cnn_int(c, INNER_ACTIVATION), .alpha = cnn_float(c, INNER_ALPHA),
                         .max_value = cnn_float(c, INNER_MAX_VALUE)};
    const cnn_epilogue epilogue = cnn_epilogue_of(act);
    const cnn_rows_product product = {.in = c->in[X]->dims[3], .out = c->in[W]->dims[2], .w = (const float *)e->packed,
                                      .bias = cnn_data(e, input(c, BIAS_INNER)), .low = epilogue.low,
                                      .high = epilogue.high};
    cnn_rows_product_run(c->kernels, &product, pixels, x, t);
    if (!epilogue.in_tile) c->kernels->elementwise->activate(act, pixels * product.out, t, t);
}

/* Makes rows begin..end of the image's t present, in the order of memory. */
static void provide(const cnn_call *c, const cnn_exec *e, cnn_row_window *t, int64_t image, int64_t begin, int64_t end,
                    const float *x) {
    const cnn_depthwise *g = &((const plan_memory *)c->plan)->g;
    const int64_t in = c->in[X]->dims[3];
    float *to;
    const int64_t rows = cnn_row_window_move(t, image, begin, end, &to);
    expand(c, e, rows * g->w, x + (image * g->h + t->end) * g->w * in, to);
    t->end += rows;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const plan_memory *plan = (const plan_memory *)c->plan;
    const cnn_depthwise *g = &plan->g;
    const cnn_act act = {
        .kind = (int)cnn_int(c, ACTIVATION), .alpha = cnn_float(c, ALPHA), .max_value = cnn_float(c, MAX_VALUE)};
    const float *x = cnn_data(e, c->in[X]), *w = cnn_data(e, c->in[W]), *bias = cnn_data(e, input(c, BIAS));
    float *y = cnn_data(e, c->out[0]);
    cnn_row_window inner = {
        .capacity = plan->rows, .row = row_floats(g), .image = -1, .buffer = (float *)e->thread_workspace};
    cnn_work work = cnn_share_work(e, g->n * g->bands);
    for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) {
        const int64_t image = unit / g->bands, band = unit % g->bands;
        const int64_t end_row = g->out_h * (band + 1) / g->bands;
        cnn_depthwise_row row;
        for (int64_t p = g->out_h * band / g->bands; p < end_row; p += row.outputs) {
            int64_t first, last, top = cnn_depthwise_rows(c, g, p, &first, &last);
            const float *t = inner.buffer;
            row = cnn_depthwise_row_of(c, g, last - first);
            row.in_memory = 0;
            cnn_depthwise_pair(c, g, p, end_row, &row);
            if (row.taps_h > 0) {
                const int64_t lines = (row.taps_h - 1) * cnn_int(c, CNN_DW_DILATION_H) + 1;
                provide(c, e, &inner, image, top, top + lines + (row.outputs - 1) * row.stride, x);
                t = cnn_row_window_at(&inner, top);
            }
            c->kernels->depthwise->row(&row, t, w + first * row.w_row, bias, act,
                                       y + (image * g->out_h + p) * g->out_w * g->c);
        }
    }
}

const cnn_op cnn_op_pointwise_depthwise_conv2d = {
    .name = "pointwise_depthwise_conv2d",
    .summary = "y = act(depthwise conv(inner_act(x w_inner + bias_inner), w) + bias), without the inner tensor",
    .inputs = "x w_inner w [bias_inner] [bias]",
    .outputs = "y",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .pack = pack,
    .packs = 1 << W_INNER,
    .flops = flops,
    .run = run,
};
