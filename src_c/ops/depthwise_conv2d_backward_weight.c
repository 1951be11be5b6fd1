/* depthwise_conv2d_backward_weight: grad_w[a, b, c, j] = sum_{n,p,q} x[n, p s - pad + a d, q s - pad + b d, c]
 * grad_y[n, p, q, c m + j]; grad_bias sums grad_y. Parallel over groups of output rows, fixed by the shape, each with
 * its own slot; then over the weights, each adding the slots in order, in double. */
#include "depthwise.h"

enum { X, GRAD_Y };
enum { GRAD_W, GRAD_BIAS };
enum { MULTIPLIER = CNN_DW_ATTR_COUNT };
static const cnn_attr_def attrs[] = { CNN_DW_ATTRS, CNN_INT_ATTR("multiplier", 1, 1, 2147483647), CNN_END_OF_ATTRS };

static int geometry(const cnn_call *c, cnn_depthwise *g, cnn_error *error) {
    const cnn_tensor *x = c->in[X];
    return cnn_depthwise_geometry(c, x->dims[0], x->dims[1], x->dims[2], x->dims[3], cnn_int(c, MULTIPLIER), g, error);
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    cnn_depthwise g;
    if (cnn_expect(c->in[X], "x", 4, CNN_F32, error) || geometry(c, &g, error) ||
        cnn_depthwise_expect_grad(c->in[GRAD_Y], &g, error))
        return -1;
    cnn_set_shape(&out[GRAD_W], 4, cnn_int(c, CNN_DW_KERNEL_H), cnn_int(c, CNN_DW_KERNEL_W), g.c, g.m);
    if (c->n_out > GRAD_BIAS) cnn_set_shape(&out[GRAD_BIAS], 1, g.channels, 1, 1, 1);
    return 0;
}

static int64_t weights(const cnn_call *c, const cnn_depthwise *g) {
    return cnn_int(c, CNN_DW_KERNEL_H) * cnn_int(c, CNN_DW_KERNEL_W) * g->channels;
}
static int64_t slot_size(const cnn_call *c, const cnn_depthwise *g) {
    return cnn_round_up(weights(c, g) + g->channels, 16);
}
static int64_t slot_count(const cnn_depthwise *g) { return cnn_min(32, g->n * g->out_h); }

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    cnn_depthwise g;
    if (geometry(c, &g, error)) return -1;
    cnn_depthwise_cut(c, &g, g.out_h);
    memcpy(c->plan, &g, sizeof g);
    choice->kernel = "rows";
    choice->workspace_bytes = slot_count(&g) * slot_size(c, &g) * (int64_t)sizeof(float);
    choice->thread_workspace_bytes = cnn_depthwise_repeated_bytes(c, &g);
    return 0;
}

static double flops(const cnn_call *c) {
    return 2 * c->attr[CNN_DW_KERNEL_H] * c->attr[CNN_DW_KERNEL_W] * (double)cnn_count(c->in[GRAD_Y]);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_depthwise *g = (const cnn_depthwise *)c->plan;
    const cnn_depthwise_kernels *k = c->kernels->depthwise;
    const float *x = cnn_data(e, c->in[X]), *grad_y = cnn_data(e, c->in[GRAD_Y]);
    float *grad_w = cnn_data(e, c->out[GRAD_W]),
          *grad_bias = cnn_data(e, c->n_out > GRAD_BIAS ? c->out[GRAD_BIAS] : NULL), *slots = (float *)e->workspace;
    cnn_row_window repeated = cnn_depthwise_repeated(c, g, e->thread_workspace);
    int64_t size = slot_size(c, g), lines = g->n * g->out_h, count = slot_count(g);
    cnn_work work = cnn_share_work(e, count);
    for (int64_t b; (b = cnn_work_next(&work)) >= 0;) {
        float *slot = slots + b * size, *bias_slot = slot + weights(c, g);
        int64_t last = lines * (b + 1) / count;
        memset(slot, 0, (size_t)size * sizeof *slot);
        for (int64_t from = lines * b / count; from < last; from += g->band)
            for (int64_t at = 0; at < g->channels; at += g->block)
                for (int64_t line = from; line < cnn_min(last, from + g->band); line++) {
                    int64_t first;
                    cnn_depthwise_row row;
                    const float *grad_row = grad_y + line * g->out_w * g->channels + at;
                    const float *rows = cnn_depthwise_read(c, g, line / g->out_h, line % g->out_h, x, &repeated, &row,
                                                           &first);
                    row.channels = cnn_min(g->block, g->channels - at);
                    k->weight_row(&row, rows + at, grad_row, slot + first * row.w_row + at);
                    if (grad_bias) k->add_pixels(g->out_w, row.channels, g->channels, grad_row, bias_slot + at);
                }
    }
    int64_t begin, end;
    cnn_barrier(e);
    cnn_share_grain(e, weights(c, g), 64, &begin, &end);
    if (begin < end) k->combine(end - begin, count, slots + begin, size, grad_w + begin);
    cnn_share_grain(e, g->channels, 64, &begin, &end);
    if (grad_bias && begin < end)
        k->combine(end - begin, count, slots + weights(c, g) + begin, size, grad_bias + begin);
}

const cnn_op cnn_op_depthwise_conv2d_backward_weight = {
    .name = "depthwise_conv2d_backward_weight",
    .summary = "gradient of depthwise_conv2d in w and bias",
    .inputs = "x grad_y",
    .outputs = "grad_w [grad_bias]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
};
