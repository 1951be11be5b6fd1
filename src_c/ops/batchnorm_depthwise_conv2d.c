/* batchnorm_depthwise_conv2d: a depthwise convolution of a normalised tensor that is not written to memory, and the
 * batch moments of the result, for 3x3 kernels with stride 1 or 2: x is normalised in the registers that the
 * convolution reads; padding is of what is normalised. Parallel over images and bands of rows.
 *
 * expanded_depthwise_conv2d: the same where x, in its turn, is a 1x1 convolution z = t w_inner with few channels in,
 * and is not written either (its moments come from expansion_moments): a thread keeps the rows that the kernel reaches
 * in the second cache, as pointwise_depthwise_conv2d does. */
#include "depthwise.h"
#include "indirect_gemm.h"
#include "narrow.h"
#include "rows_product.h"

enum { X, W, SCALE, SHIFT };
enum { NARROW, W_INNER, INNER_W, INNER_SCALE, INNER_SHIFT, IN_SCALE, IN_SHIFT };
enum { ACTIVATION = CNN_DW_ATTR_COUNT, ALPHA, MAX_VALUE };
enum { STREAM_BYTES = 2 << 20 };                   /* from this size on y is written past the caches */
static const cnn_attr_def attrs[] = {CNN_DW_ATTRS, CNN_ACT_ATTRS, CNN_END_OF_ATTRS};

static const cnn_tensor *result(const cnn_call *c, int i) { return i < c->n_out ? c->out[i] : NULL; }

/* What both operations read, wherever x comes from. */
typedef struct operands { const cnn_tensor *w, *scale, *shift; } operands;

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

/* Rows top..end of an image of x: where they lie, or made in a window of rows. */
typedef struct source {
    const float *x;                   /* NULL: */
    cnn_narrow narrow;
    cnn_rows_product product;
    cnn_row_window window;
} source;

static const float *rows_at(const cnn_call *c, const cnn_depthwise *g, source *s, int64_t image, int64_t top,
                            int64_t end) {
    if (s->x) return s->x + (image * g->h + top) * g->w * g->c;
    float *to;
    for (int64_t missing = cnn_row_window_move(&s->window, image, top, end, &to); missing > 0; missing--) {
        const float *t = cnn_narrow_at(c->kernels, &s->narrow, (image * g->h + s->window.end) * g->w, g->w);
        cnn_rows_product_run(c->kernels, &s->product, g->w, t, to);
        to += s->window.row;
        s->window.end++;
    }
    return cnn_row_window_at(&s->window, top);
}

static void convolve(const cnn_call *c, const cnn_exec *e, const cnn_depthwise *g, const operands *o, source *from,
                     char *thread_workspace) {
    const cnn_depthwise_normalised_kernels *kernels = c->kernels->depthwise_normalised;
    const float *w = cnn_data(e, o->w);
    const cnn_tensor *mean = result(c, 1), *var = result(c, 2);
    const cnn_moments_slots slots = cnn_moments_slots_of(e->workspace, g->c, cnn_depthwise_parts(g));
    const int64_t stride = cnn_int(c, CNN_DW_STRIDE_H), floats = sums_floats(g);
    const int moments = mean || var;
    float *y = cnn_data(e, c->out[0]), *memory = (float *)thread_workspace;
    const cnn_moment_sums sums = {memory, memory + floats, memory + 2 * floats};
    cnn_depthwise_normalised d = {.channels = g->c,
                                  .pixel = g->c,
                                  .in_w = g->w,
                                  .out_w = g->out_w,
                                  .pad = cnn_int(c, CNN_DW_LEFT),
                                  .stride = (int)stride,
                                  .scale = cnn_data(e, o->scale),
                                  .shift = cnn_data(e, o->shift),
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
            if (d.taps) d.x = rows_at(c, g, from, u.image, top, top + d.taps + (d.outputs - 1) * stride);
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

static void run(const cnn_call *c, const cnn_exec *e) {
    const operands o = {c->in[W], c->in[SCALE], c->in[SHIFT]};
    source from = {.x = cnn_data(e, c->in[X])};
    convolve(c, e, (const cnn_depthwise *)c->plan, &o, &from, e->thread_workspace);
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

/* ---- of an expanded tensor ---- */

enum {
    EXPANDED_UNITS = 32,              /* pieces of work wanted; the rows between two are made twice */
    WINDOW_BYTES = 512 << 10,         /* of L2, for rows of z */
};

static cnn_narrow_operands narrow_of(const cnn_call *c) {
    return (cnn_narrow_operands){c->in[NARROW], c->n_in > IN_SCALE ? c->in[IN_SCALE] : NULL,
                                 c->n_in > IN_SHIFT ? c->in[IN_SHIFT] : NULL};
}

static int expanded_geometry(const cnn_call *c, cnn_depthwise *g, cnn_error *error) {
    const cnn_tensor *x = c->in[NARROW];
    return cnn_depthwise_geometry(c, x->dims[0], x->dims[1], x->dims[2], cnn_last(c->in[W_INNER]), 1, g, error);
}

static int expanded_infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_narrow_operands narrow = narrow_of(c);
    cnn_depthwise g;
    if (cnn_depthwise_expect_expanded(c, c->in[NARROW], c->in[W_INNER], c->in[INNER_W], error)
        || cnn_narrow_check(&narrow, error) || expanded_geometry(c, &g, error)
        || cnn_expect_vector(c->in[INNER_SCALE], "scale", g.c, error)
        || cnn_expect_vector(c->in[INNER_SHIFT], "shift", g.c, error)
        || cnn_expect_mask(c->attr[ACTIVATION], c->attr[ALPHA], error))
        return -1;
    cnn_set_shape(out, 4, g.n, g.out_h, g.out_w, g.c);
    for (int i = 1; i < c->n_out; i++) cnn_set_shape(&out[i], 1, g.c, 1, 1, 1);
    return 0;
}

/* A thread's memory: the sums of `convolve`, then what rows are made in. */
static int64_t source_layout(source *s, char *memory, const cnn_call *c, const cnn_depthwise *g) {
    const cnn_narrow_operands operands = narrow_of(c);
    cnn_layout all = {.memory = memory};
    cnn_take(&all, 3 * sums_floats(g) * (int64_t)sizeof(float));
    s->x = NULL;
    s->narrow = cnn_narrow_layout(&all, &operands, g->w);
    s->window = (cnn_row_window){
        .capacity = cnn_depthwise_buffer_rows(c, g, WINDOW_BYTES), .row = g->w * g->c, .image = -1};
    s->window.buffer = cnn_take(&all, s->window.capacity * s->window.row * (int64_t)sizeof(float));
    return all.bytes;
}

static int expanded_plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    cnn_depthwise g;
    source from;
    if (expanded_geometry(c, &g, error) || cnn_expect_packable(c->in[W_INNER], "w_inner", error)) return -1;
    cnn_depthwise_cut(c, &g, g.out_h);
    cnn_depthwise_cut_bands(&g, g.out_h, cnn_ceil_div(g.out_h, cnn_ceil_div(EXPANDED_UNITS, g.n)));
    g.block = g.channels;
    g.blocks = 1;
    memcpy(c->plan, &g, sizeof g);
    choice->kernel = "rows of the expanded tensor in L2, normalised in registers";
    choice->thread_workspace_bytes = source_layout(&from, NULL, c, &g);
    choice->packed_bytes = cnn_rows_product_bytes(c->kernels, cnn_last(c->in[NARROW]), g.c);
    if (result(c, 1) || result(c, 2)) choice->workspace_bytes = cnn_moments_slots_bytes(g.c, cnn_depthwise_parts(&g));
    return 0;
}

static double expanded_flops(const cnn_call *c) {
    const double z = (double)cnn_rows(c->in[NARROW]) * (double)cnn_last(c->in[W_INNER]);
    return 2 * (double)cnn_last(c->in[NARROW]) * z +
           2 * c->attr[CNN_DW_KERNEL_H] * c->attr[CNN_DW_KERNEL_W] * (double)cnn_count(c->out[0]) + 2 * z;
}

static void expanded_pack(const cnn_call *c, const cnn_exec *e) {
    cnn_rows_product_pack_weights(c, e, c->in[W_INNER]);
}

static void expanded_run(const cnn_call *c, const cnn_exec *e) {
    const cnn_depthwise *g = (const cnn_depthwise *)c->plan;
    const operands o = {c->in[INNER_W], c->in[INNER_SCALE], c->in[INNER_SHIFT]};
    const cnn_narrow_operands narrow = narrow_of(c);
    source from;
    source_layout(&from, e->thread_workspace, c, g);
    cnn_narrow_begin(e, &narrow, &from.narrow);
    from.product = (cnn_rows_product){.in = cnn_last(c->in[NARROW]), .out = g->c, .w = (const float *)e->packed,
                                      .low = -INFINITY, .high = INFINITY};
    convolve(c, e, g, &o, &from, e->thread_workspace);
}

const cnn_op cnn_op_expanded_depthwise_conv2d = {
    .name = "expanded_depthwise_conv2d",
    .summary = "y = depthwise conv(act(z scale + shift), w) with z = (x in_scale + in_shift) w_inner; mean, var: its "
               "biased moments",
    .inputs = "x w_inner w scale shift [in_scale] [in_shift]",
    .outputs = "y [mean] [var]",
    .attrs = attrs,
    .infer = expanded_infer,
    .plan = expanded_plan,
    .pack = expanded_pack,
    .packs = 1 << W_INNER,
    .flops = expanded_flops,
    .run = expanded_run,
};
