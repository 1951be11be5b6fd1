/* avg_pool2d_backward: every pixel gathers grad_y / count from the windows that hold it.
 * Parallel over images, rows of the input and, where these are few, blocks of channels. */
#include "pool.h"

enum { COUNT_INCLUDE_PAD = CNN_POOL_ATTR_COUNT, IN_H, IN_W };
static const cnn_attr_def attrs[] = {CNN_POOL_ATTRS, CNN_INT_ATTR("count_include_pad", 0, 0, 1),
                                     CNN_INT_ATTR("in_h", 1, 1, 2147483647), CNN_INT_ATTR("in_w", 1, 1, 2147483647),
                                     CNN_END_OF_ATTRS};

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *grad_y = c->in[0];
    cnn_pool g;
    if (cnn_expect(grad_y, "grad_y", 4, CNN_F32, error) ||
        cnn_pool_geometry(c, cnn_int(c, IN_H), cnn_int(c, IN_W), grad_y->dims[3], &g, error))
        return -1;
    if (cnn_pool_expect_output(grad_y, "grad_y", CNN_F32, grad_y->dims[0], &g, error)) return -1;
    cnn_set_shape(out, 4, grad_y->dims[0], g.h, g.w, g.c);
    return 0;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)choice;
    cnn_pool g;
    if (cnn_pool_geometry(c, cnn_int(c, IN_H), cnn_int(c, IN_W), c->in[0]->dims[3], &g, error)) return -1;
    g.count_include_pad = cnn_int(c, COUNT_INCLUDE_PAD);
    cnn_pool_cut cut = cnn_pool_cut_of(&g, c->in[0]->dims[0], g.h);
    memcpy(c->plan, &cut, sizeof cut);
    return 0;
}

static double flops(const cnn_call *c) {
    return 2 * c->attr[CNN_POOL_H] * c->attr[CNN_POOL_W] * (double)cnn_count(c->in[0]);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_pool_cut *cut = (const cnn_pool_cut *)c->plan;
    const cnn_pool *g = &cut->g;
    const float *grad_y = cnn_data(e, c->in[0]);
    float *grad_x = cnn_data(e, c->out[0]);
    cnn_work work = cnn_share_work(e, cnn_pool_units(cut));
    for (int64_t i; (i = cnn_work_next(&work)) >= 0;) {
        cnn_pool_unit u = cnn_pool_unit_at(cut, i);
        c->kernels->pool->average_backward_row(g, u.band, u.c_begin, u.c_end,
                                               grad_y + u.image * g->out_h * g->out_w * g->c,
                                               grad_x + u.image * g->h * g->w * g->c);
    }
}

const cnn_op cnn_op_avg_pool2d_backward = {
    .name = "avg_pool2d_backward",
    .summary = "grad_x = sum of grad_y / count over the windows that hold the pixel",
    .inputs = "grad_y",
    .outputs = "grad_x",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
};
