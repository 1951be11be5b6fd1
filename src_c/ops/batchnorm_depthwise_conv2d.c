/* batchnorm_depthwise_conv2d: a depthwise convolution of a normalised tensor that is not written to memory, and the
 * batch moments of the result. Rows of it are made when they are needed, in a buffer that stays in the second cache
 * (see row_window.h); padding is of what is normalised. Parallel over images and bands of rows. */
#include "depthwise.h"
#include "indirect_gemm.h"
#include "row_window.h"

enum { X, W, SCALE, SHIFT };
enum { ACTIVATION = CNN_DW_ATTR_COUNT, ALPHA, MAX_VALUE };
enum { BUFFER_BYTES = 384 << 10 };
static const cnn_attr_def attrs[] = {CNN_DW_ATTRS, CNN_ACT_ATTRS, CNN_END_OF_ATTRS};

typedef struct plan_memory {
    cnn_depthwise g;
    int64_t rows;                     /* of the buffer */
} plan_memory;
_Static_assert(sizeof(plan_memory) <= CNN_PLAN_BYTES, "the plan must fit");

static const cnn_tensor *result(const cnn_call *c, int i) { return i < c->n_out ? c->out[i] : NULL; }

static int geometry(const cnn_call *c, cnn_depthwise *g, cnn_error *error) {
    const cnn_tensor *x = c->in[X];
    return cnn_depthwise_geometry(c, x->dims[0], x->dims[1], x->dims[2], x->dims[3], 1, g, error);
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char x_shape[64], w_shape[64];
    const cnn_tensor *x = c->in[X], *w = c->in[W];
    cnn_depthwise g;
    if (cnn_expect(x, "x", 4, CNN_F32, error) || cnn_depthwise_expect_w(c, w, error)) return -1;
    if (w->dims[2] != x->dims[3] || w->dims[3] != 1)
        return cnn_fail(error, "w must have one filter per channel of x and multiplier 1, got w of shape %s for x of %s",
                        cnn_shape_text(w, w_shape), cnn_shape_text(x, x_shape));
    if (geometry(c, &g, error) || cnn_expect_vector(c->in[SCALE], "scale", g.c, error) ||
        cnn_expect_vector(c->in[SHIFT], "shift", g.c, error))
        return -1;
    cnn_set_shape(out, 4, g.n, g.out_h, g.out_w, g.c);
    for (int i = 1; i < c->n_out; i++) cnn_set_shape(&out[i], 1, g.c, 1, 1, 1);
    return 0;
}

static int64_t row_floats(const cnn_depthwise *g) { return g->w * g->c; }

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    plan_memory *p = (plan_memory *)c->plan;
    cnn_depthwise *g = &p->g;
    if (geometry(c, g, error)) return -1;
    cnn_depthwise_cut(c, g, g->out_h);
    g->block = g->channels;
    g->blocks = 1;
    p->rows = cnn_depthwise_buffer_rows(c, g, BUFFER_BYTES);
    choice->kernel = "normalised rows in L2";
    choice->thread_workspace_bytes = cnn_depthwise_part_bytes(g, g->out_w) + p->rows * row_floats(g) * 4;
    if (result(c, 1) || result(c, 2)) choice->workspace_bytes = cnn_moments_slots_bytes(g->c, cnn_depthwise_parts(g));
    return 0;
}

static double flops(const cnn_call *c) {
    return 2 * c->attr[CNN_DW_KERNEL_H] * c->attr[CNN_DW_KERNEL_W] * (double)cnn_count(c->out[0]) +
           2 * (double)cnn_count(c->in[X]);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const plan_memory *plan = (const plan_memory *)c->plan;
    const cnn_depthwise *g = &plan->g;
    const cnn_act linear = {.kind = CNN_LINEAR, .max_value = INFINITY};
    const cnn_act act = {
        .kind = (int)cnn_int(c, ACTIVATION), .alpha = cnn_float(c, ALPHA), .max_value = cnn_float(c, MAX_VALUE)};
    const float *x = cnn_data(e, c->in[X]), *w = cnn_data(e, c->in[W]), *scale = cnn_data(e, c->in[SCALE]),
                *shift = cnn_data(e, c->in[SHIFT]);
    const cnn_tensor *mean = result(c, 1), *var = result(c, 2);
    const cnn_moments_slots slots = cnn_moments_slots_of(e->workspace, g->c, cnn_depthwise_parts(g));
    const ptrdiff_t *at = cnn_depthwise_part_pixels(g, g->out_w, g->c, e->thread_workspace);
    float *y = cnn_data(e, c->out[0]);
    cnn_row_window t = {.capacity = plan->rows, .row = row_floats(g), .image = -1,
                        .buffer = (float *)(e->thread_workspace + cnn_depthwise_part_bytes(g, g->out_w))};
    cnn_work work = cnn_share_work(e, g->n * g->bands);
    for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) {
        const cnn_depthwise_unit u = cnn_depthwise_unit_at(g, unit, g->out_h);
        cnn_depthwise_row row;
        for (int64_t p = u.begin; p < u.end; p += row.outputs) {
            int64_t first, last, top = cnn_depthwise_rows(c, g, p, &first, &last);
            const float *from = t.buffer;
            row = cnn_depthwise_row_of(c, g, last - first);
            row.in_memory = 0;
            cnn_depthwise_pair(c, g, p, mean || var ? cnn_depthwise_part_end(g, &u, p) : u.end, &row);
            if (row.taps_h > 0) {
                const int64_t lines = (row.taps_h - 1) * cnn_int(c, CNN_DW_DILATION_H) + 1;
                float *to;
                const int64_t rows = cnn_row_window_move(&t, u.image, top, top + lines + (row.outputs - 1) * row.stride,
                                                         &to);
                if (rows > 0)
                    c->kernels->batchnorm->apply(rows * g->w, g->c, 1, x + (u.image * g->h + t.end) * row_floats(g),
                                                 scale, shift, NULL, act, 0, to);
                t.end += rows;
                from = cnn_row_window_at(&t, top);
            }
            c->kernels->depthwise->row(&row, from, w + first * row.w_row, NULL, linear,
                                       y + (u.image * g->out_h + p) * g->out_w * g->c);
            cnn_depthwise_part part;
            if ((mean || var) && cnn_depthwise_part_ends(g, &u, p + row.outputs - 1, &part))
                cnn_moments_add(c, &slots, part.number, 1, part.rows * g->out_w, 0, g->c,
                                y + (u.image * g->out_h + part.begin) * g->out_w * g->c, at);
        }
    }
    if (mean || var) cnn_moments_combine(c, e, &slots, cnn_data(e, mean), cnn_data(e, var));
}

const cnn_op cnn_op_batchnorm_depthwise_conv2d = {
    .name = "batchnorm_depthwise_conv2d",
    .summary = "y = depthwise conv(act(x scale + shift), w); mean, var: its biased moments",
    .inputs = "x w scale shift",
    .outputs = "y [mean] [var]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
};
