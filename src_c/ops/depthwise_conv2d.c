/* depthwise_conv2d: y[n, p, q, c m + j] = act(sum_{a,b} x[n, p s - pad + a d, q s - pad + b d, c] w[a, b, c, j] +
 * bias[c m + j]); and the batch moments of y, taken a part of a band at a time while it is in the cache. Parallel over
 * images, bands of rows and blocks of channels. */
#include "depthwise.h"
#include "indirect_gemm.h"

enum { X, W, BIAS };
enum { ACTIVATION = CNN_DW_ATTR_COUNT, ALPHA, MAX_VALUE };
static const cnn_attr_def attrs[] = { CNN_DW_ATTRS, CNN_ACT_ATTRS, CNN_END_OF_ATTRS };

static int geometry(const cnn_call *c, cnn_depthwise *g, cnn_error *error) {
    const cnn_tensor *x = c->in[X], *w = c->in[W];
    return cnn_depthwise_geometry(c, x->dims[0], x->dims[1], x->dims[2], x->dims[3], w->dims[3], g, error);
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char x_shape[64], w_shape[64];
    const cnn_tensor *x = c->in[X], *w = c->in[W];
    cnn_depthwise g;
    if (cnn_expect(x, "x", 4, CNN_F32, error) || cnn_depthwise_expect_w(c, w, error)) return -1;
    if (w->dims[2] != x->dims[3])
        return cnn_fail(error, "w must have one filter per channel of x, got w of shape %s for x of shape %s",
                        cnn_shape_text(w, w_shape), cnn_shape_text(x, x_shape));
    if (geometry(c, &g, error) || cnn_expect_vector(c->n_in > BIAS ? c->in[BIAS] : NULL, "bias", g.channels, error))
        return -1;
    cnn_set_shape(out, 4, g.n, g.out_h, g.out_w, g.channels);
    for (int i = 1; i < c->n_out; i++) cnn_set_shape(&out[i], 1, g.channels, 1, 1, 1);
    return 0;
}

static const cnn_tensor *result(const cnn_call *c, int i) { return i < c->n_out ? c->out[i] : NULL; }

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    cnn_depthwise g;
    if (geometry(c, &g, error)) return -1;
    cnn_depthwise_cut(c, &g, g.out_h);
    memcpy(c->plan, &g, sizeof g);
    choice->kernel = "rows";
    choice->thread_workspace_bytes = cnn_depthwise_part_bytes(&g, g.out_w) + cnn_depthwise_repeated_bytes(c, &g);
    if (result(c, 1) || result(c, 2)) {
        if (cnn_int(c, ACTIVATION) != CNN_LINEAR || c->attr[MAX_VALUE] < INFINITY)
            return cnn_fail(error, "moments are of the linear output; ask for none or leave the activation linear");
        choice->workspace_bytes = cnn_moments_slots_bytes(g.channels, cnn_depthwise_parts(&g));
    }
    return 0;
}

static double flops(const cnn_call *c) {
    return 2 * c->attr[CNN_DW_KERNEL_H] * c->attr[CNN_DW_KERNEL_W] * (double)cnn_count(c->out[0]);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_depthwise *g = (const cnn_depthwise *)c->plan;
    const cnn_act act = {
        .kind = (int)cnn_int(c, ACTIVATION), .alpha = cnn_float(c, ALPHA), .max_value = cnn_float(c, MAX_VALUE)};
    const float *x = cnn_data(e, c->in[X]), *w = cnn_data(e, c->in[W]),
                *bias = cnn_data(e, c->n_in > BIAS ? c->in[BIAS] : NULL);
    const cnn_tensor *mean = result(c, 1), *var = result(c, 2);
    const cnn_moments_slots slots = cnn_moments_slots_of(e->workspace, g->channels, cnn_depthwise_parts(g));
    const ptrdiff_t *at =
        mean || var ? cnn_depthwise_part_pixels(g, g->out_w, g->channels, e->thread_workspace) : NULL;
    float *y = cnn_data(e, c->out[0]);
    cnn_row_window repeated = cnn_depthwise_repeated(c, g, e->thread_workspace + cnn_depthwise_part_bytes(g, g->out_w));
    cnn_work work = cnn_share_work(e, g->n * g->bands * g->blocks);
    for (int64_t i; (i = cnn_work_next(&work)) >= 0;) {
        const cnn_depthwise_unit u = cnn_depthwise_unit_at(g, i, g->out_h);
        cnn_depthwise_row row;
        for (int64_t p = u.begin; p < u.end; p += row.outputs) {
            int64_t first;
            const float *rows = cnn_depthwise_read(c, g, u.image, p, x, &repeated, &row, &first);
            row.channels = u.channels;
            cnn_depthwise_pair(c, g, p, mean || var ? cnn_depthwise_part_end(g, &u, p) : u.end, &row);
            c->kernels->depthwise->row(&row, rows + u.at, w + first * row.w_row + u.at, bias ? bias + u.at : NULL, act,
                                       y + (u.image * g->out_h + p) * g->out_w * g->channels + u.at);
            cnn_depthwise_part part;
            if ((mean || var) && cnn_depthwise_part_ends(g, &u, p + row.outputs - 1, &part))
                cnn_moments_add(c, &slots, part.number, u.at == 0, part.rows * g->out_w, u.at, u.channels,
                                y + (u.image * g->out_h + part.begin) * g->out_w * g->channels, at);
        }
    }
    if (mean || var) cnn_moments_combine(c, e, &slots, cnn_data(e, mean), cnn_data(e, var));
}

const cnn_op cnn_op_depthwise_conv2d = {
    .name = "depthwise_conv2d",
    .summary = "y = act(depthwise conv(x, w) + bias), channel c m + j from channel c; mean, var: its biased moments",
    .inputs = "x w [bias]",
    .outputs = "y [mean] [var]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
};
