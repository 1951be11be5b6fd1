/* batchnorm_depthwise_conv2d: a depthwise convolution of a normalised tensor that is not written to memory, and the
 * batch moments of the result, for 3x3 kernels with stride 1 or 2: x is normalised in the registers that the
 * convolution reads; padding is of what is normalised. Parallel over images and bands of rows. */
#include "depthwise.h"
#include "indirect_gemm.h"

enum { X, W, SCALE, SHIFT };
enum { ACTIVATION = CNN_DW_ATTR_COUNT, ALPHA, MAX_VALUE };
enum { STREAM_BYTES = 2 << 20 };                   /* from this size on y is written past the caches */
static const cnn_attr_def attrs[] = {CNN_DW_ATTRS, CNN_ACT_ATTRS, CNN_END_OF_ATTRS};

static const cnn_tensor *result(const cnn_call *c, int i) { return i < c->n_out ? c->out[i] : NULL; }

static int geometry(const cnn_call *c, cnn_depthwise *g, cnn_error *error) {
    const cnn_tensor *x = c->in[X];
    return cnn_depthwise_geometry(c, x->dims[0], x->dims[1], x->dims[2], x->dims[3], 1, g, error);
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[X];
    cnn_depthwise g;
    if (cnn_depthwise_expect_normalised(c, x, c->in[W], error) || geometry(c, &g, error) ||
        cnn_expect_vector(c->in[SCALE], "scale", g.c, error) || cnn_expect_vector(c->in[SHIFT], "shift", g.c, error) ||
        cnn_expect_mask(c->attr[ACTIVATION], c->attr[ALPHA], error))
        return -1;
    cnn_set_shape(out, 4, g.n, g.out_h, g.out_w, g.c);
    for (int i = 1; i < c->n_out; i++) cnn_set_shape(&out[i], 1, g.c, 1, 1, 1);
    return 0;
}

/* A thread's three arrays of moment sums. */
static int64_t sums_floats(const cnn_depthwise *g) { return cnn_round_up(g->c, 16); }

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    cnn_depthwise g;
    if (geometry(c, &g, error)) return -1;
    cnn_depthwise_cut(c, &g, g.out_h);
    g.block = g.channels;             /* in the order of memory: rows are not read again from the first cache */
    g.blocks = 1;
    memcpy(c->plan, &g, sizeof g);
    choice->kernel = "normalised in registers";
    choice->thread_workspace_bytes = 3 * sums_floats(&g) * (int64_t)sizeof(float);
    if (result(c, 1) || result(c, 2)) choice->workspace_bytes = cnn_moments_slots_bytes(g.c, cnn_depthwise_parts(&g));
    return 0;
}

static double flops(const cnn_call *c) {
    return 2 * c->attr[CNN_DW_KERNEL_H] * c->attr[CNN_DW_KERNEL_W] * (double)cnn_count(c->out[0]) +
           2 * (double)cnn_count(c->in[X]);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_depthwise *g = (const cnn_depthwise *)c->plan;
    const cnn_depthwise_normalised_kernels *kernels = c->kernels->depthwise_normalised;
    const float *x = cnn_data(e, c->in[X]), *w = cnn_data(e, c->in[W]);
    const cnn_tensor *mean = result(c, 1), *var = result(c, 2);
    const cnn_moments_slots slots = cnn_moments_slots_of(e->workspace, g->c, cnn_depthwise_parts(g));
    const int64_t stride = cnn_int(c, CNN_DW_STRIDE_H), floats = sums_floats(g);
    const int moments = mean || var;
    float *y = cnn_data(e, c->out[0]), *memory = (float *)e->thread_workspace;
    const cnn_moment_sums sums = {memory, memory + floats, memory + 2 * floats};
    cnn_depthwise_normalised d = {.channels = g->c,
                                  .pixel = g->c,
                                  .in_w = g->w,
                                  .out_w = g->out_w,
                                  .pad = cnn_int(c, CNN_DW_LEFT),
                                  .stride = (int)stride,
                                  .scale = cnn_data(e, c->in[SCALE]),
                                  .shift = cnn_data(e, c->in[SHIFT]),
                                  .act = {.kind = (int)cnn_int(c, ACTIVATION),
                                          .alpha = cnn_float(c, ALPHA),
                                          .max_value = cnn_float(c, MAX_VALUE)},
                                  .moments = moments ? &sums : NULL,
                                  .stream = cnn_bytes(c->out[0]) >= STREAM_BYTES && g->c % 16 == 0 &&
                                            (uintptr_t)y % 64 == 0};
    cnn_work work = cnn_share_work(e, g->n * g->bands);
    for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) {
        const cnn_depthwise_unit u = cnn_depthwise_unit_at(g, unit, g->out_h);
        d.start = 1;
        for (int64_t p = u.begin; p < u.end; p += d.outputs) {
            int64_t first, last, below_first, below_last, top = cnn_depthwise_rows(c, g, p, &first, &last);
            cnn_depthwise_rows(c, g, p + 1, &below_first, &below_last);
            d.taps = (int)(last - first);
            d.outputs = kernels->two_rows && d.taps == 3 && below_last - below_first == 3 &&
                        p + 1 < (moments ? cnn_depthwise_part_end(g, &u, p) : u.end) ? 2 : 1;
            d.x = x + (u.image * g->h + (d.taps ? top : 0)) * g->w * g->c;
            d.w = w + first * 3 * g->c;
            d.y = y + (u.image * g->out_h + p) * g->out_w * g->c;
            kernels->rows(&d);
            cnn_depthwise_part part;
            d.start = cnn_depthwise_part_ends(g, &u, p + d.outputs - 1, &part);
            if (!moments || !d.start) continue;
            const int64_t at = part.number * slots.channels;
            slots.counts[part.number] = (double)(part.rows * g->out_w);
            c->kernels->batchnorm->moments_of_sums(part.rows * g->out_w, g->c, &sums, slots.mean + at,
                                                   slots.squares + at);
        }
    }
    if (moments) cnn_moments_combine(c, e, &slots, cnn_data(e, mean), cnn_data(e, var));
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
