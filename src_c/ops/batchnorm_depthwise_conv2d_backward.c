/* batchnorm_depthwise_conv2d_backward: all gradients of batchnorm_depthwise_conv2d in one reading of x and grad_y,
 * for 3x3 kernels with stride 1 or 2. With t = act(x scale + shift), computed again, and d the gradient of the
 * convolution in t:
 *
 *     grad_x = d act'(t);  grad_w = gradient in w;  sum_g = sum grad_x, sum_gx = sum grad_x (x - mean) per channel,
 *
 * of which batchnorm_backward makes the gradients of the normalisation. Parallel over images, bands of rows and
 * blocks of channels; each image and band has a slot for its sums, and the slots are combined in order.
 *
 * Where a normalisation follows the convolution, grad_y may be the gradient in what that gave, with out, what it read:
 * the gradient in the convolution's result (normalised_gradient.h) is then made in a window of rows in the cache. */
#include "batchnorm.h"
#include "depthwise.h"
#include "normalised_gradient.h"

enum { GRAD_Y, X, W, MEAN, SCALE, SHIFT, OUT };
enum { GRAD_X, GRAD_W, SUM_G, SUM_GX };
enum { ACTIVATION = CNN_DW_ATTR_COUNT, ALPHA, MAX_VALUE };
enum {
    STREAM_BYTES = 8 << 20,           /* from this size on grad_x is written past the caches */
    WINDOW_BYTES = 128 << 10,         /* of L2, for rows of the gradient in the convolution's result */
};
static const cnn_attr_def attrs[] = {CNN_DW_ATTRS, CNN_ACT_ATTRS, CNN_END_OF_ATTRS};

static const cnn_tensor *result(const cnn_call *c, int i) { return i < c->n_out ? c->out[i] : NULL; }

static cnn_normalised_gradient gradient_of(const cnn_call *c) {
    return cnn_normalised_gradient_of(c, c->in[GRAD_Y], OUT);
}

static int geometry(const cnn_call *c, cnn_depthwise *g, cnn_error *error) {
    const cnn_tensor *x = c->in[X];
    return cnn_depthwise_geometry(c, x->dims[0], x->dims[1], x->dims[2], x->dims[3], 1, g, error);
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    static const char *const vectors[] = {"mean", "scale", "shift"};
    const cnn_tensor *x = c->in[X], *w = c->in[W];
    const cnn_normalised_gradient d = gradient_of(c);
    cnn_depthwise g;
    if (cnn_depthwise_expect_normalised(c, x, w, error)) return -1;
    if (geometry(c, &g, error) || cnn_depthwise_expect_grad(c->in[GRAD_Y], &g, error) ||
        cnn_normalised_gradient_check(&d, error) ||
        cnn_expect_mask(c->attr[ACTIVATION], c->attr[ALPHA], error))
        return -1;
    for (int i = MEAN; i <= SHIFT; i++)
        if (cnn_expect_vector(c->in[i], vectors[i - MEAN], g.c, error)) return -1;
    cnn_like(&out[GRAD_X], x);
    for (int i = GRAD_W; i < c->n_out; i++) cnn_set_shape(&out[i], 1, g.c, 1, 1, 1);
    if (c->n_out > GRAD_W) cnn_like(&out[GRAD_W], w);
    return 0;
}

/* A slot: sums of grad_x and of grad_x (x - mean), then grad_w, of one image and band. */
static int64_t slots_of(const cnn_depthwise *g) { return g->n * g->bands; }
static int64_t grad_w_floats(const cnn_depthwise *g) { return cnn_round_up(CNN_DEPTHWISE_TAPS * g->c, 16); }

/* A thread's window of rows of the gradient in the convolution's result, a block of channels wide. */
static cnn_row_window window_of(const cnn_depthwise *g, int64_t channels, char *memory) {
    const int64_t row = g->out_w * channels, reach = cnn_depthwise_most_lines(g) + 2,
                  fit = WINDOW_BYTES / (row * (int64_t)sizeof(float));
    return (cnn_row_window){.capacity = cnn_min(g->out_h, cnn_max(reach, fit)), .row = row, .image = -1,
                            .buffer = (float *)memory};
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    cnn_depthwise g;
    if (geometry(c, &g, error)) return -1;
    cnn_depthwise_cut(c, &g, g.h);
    memcpy(c->plan, &g, sizeof g);
    choice->kernel = "both gradients, row by row";
    if (gradient_of(c).out) {
        const cnn_row_window window = window_of(&g, g.block, NULL);
        choice->kernel = "both gradients, row by row, gradient normalised on load";
        choice->thread_workspace_bytes = window.capacity * window.row * (int64_t)sizeof(float);
    }
    choice->workspace_bytes = (slots_of(&g) + 1) * 2 * g.c * (int64_t)sizeof(double) +
                              slots_of(&g) * grad_w_floats(&g) * (int64_t)sizeof(float);
    return 0;
}

static double flops(const cnn_call *c) {
    return (4.0 * CNN_DEPTHWISE_TAPS + (gradient_of(c).out ? 4 : 0)) * (double)cnn_count(c->in[GRAD_Y]) +
           6.0 * (double)cnn_count(c->in[X]);
}

/* The rows of the gradient that reach rows of x: where they lie, or in the window, where those that are missing are
 * made first. */
static void rows_of(const cnn_call *c, const cnn_exec *e, const cnn_depthwise *g, const cnn_depthwise_unit *u,
                    const int64_t *row, cnn_row_window *window, cnn_depthwise_backward *b) {
    const cnn_normalised_gradient d = gradient_of(c);
    const int64_t image = u->image * g->out_h, line = g->out_w * g->c, origin = image * line + u->at;
    const float *grad_y = (const float *)cnn_data(e, d.grad_y) + origin,
                *out = d.out ? (const float *)cnn_data(e, d.out) + origin : grad_y;
    if (b->rows == 0) return;
    if (d.out) {
        float *to;
        const int64_t missing = cnn_row_window_move(window, u->image, row[b->rows - 1], row[0] + b->lines, &to);
        cnn_normalised_gradient_load(c, e, &d, (image + window->end) * g->out_w, missing * g->out_w, u->at, u->channels,
                                     to, u->channels);
        window->end += missing;
    }
    for (int i = 0; i < b->rows; i++)
        b->grad_y[i] = d.out ? cnn_row_window_at(window, row[i]) : grad_y + row[i] * line;
    const int64_t next = row[0] + (b->lines > 3 ? 0 : b->lines);     /* as the kernel asks for x */
    b->coming[0] = grad_y + next * line;
    b->coming[1] = out + next * line;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_depthwise *g = (const cnn_depthwise *)c->plan;
    const float *x = cnn_data(e, c->in[X]), *w = cnn_data(e, c->in[W]),
                *mean = cnn_data(e, c->in[MEAN]), *scale = cnn_data(e, c->in[SCALE]),
                *shift = cnn_data(e, c->in[SHIFT]);
    float *grad_x = cnn_data(e, c->out[GRAD_X]);
    const int64_t slots = slots_of(g), n = g->c, size = grad_w_floats(g);
    double *sums = (double *)e->workspace;                          /* [slot][g, gx][channel], then their sums */
    float *grad_w = (float *)(sums + (slots + 1) * 2 * n);          /* [slot][tap][channel] */
    const int stream = cnn_bytes(c->out[GRAD_X]) >= STREAM_BYTES && n % 16 == 0 && (uintptr_t)grad_x % 64 == 0;

    cnn_work work = cnn_share_work(e, slots * g->blocks);
    for (int64_t i; (i = cnn_work_next(&work)) >= 0;) {
        const cnn_depthwise_unit u = cnn_depthwise_unit_at(g, i, g->h);
        const int64_t slot = i / g->blocks;
        cnn_row_window window = {0};
        if (gradient_of(c).out) window = window_of(g, u.channels, e->thread_workspace);
        double *sum = sums + slot * 2 * n + u.at;
        float *slot_w = grad_w + slot * size + u.at;
        memset(sum, 0, (size_t)u.channels * sizeof *sum);
        memset(sum + n, 0, (size_t)u.channels * sizeof *sum);
        for (int64_t tap = 0; tap < CNN_DEPTHWISE_TAPS; tap++)
            memset(slot_w + tap * n, 0, (size_t)u.channels * sizeof *slot_w);
        cnn_depthwise_backward b = {.channels = u.channels,
                                    .pixel = n,
                                    .grad_y_pixel = window.capacity ? u.channels : n,
                                    .in_w = g->w,
                                    .out_w = g->out_w,
                                    .pad = cnn_int(c, CNN_DW_LEFT),
                                    .stride = (int)cnn_int(c, CNN_DW_STRIDE_W),
                                    .mean = mean + u.at,
                                    .scale = scale + u.at,
                                    .shift = shift + u.at,
                                    .act = {.kind = (int)cnn_int(c, ACTIVATION),
                                            .alpha = cnn_float(c, ALPHA),
                                            .max_value = cnn_float(c, MAX_VALUE)},
                                    .sum_g = sum,
                                    .sum_gx = sum + n,
                                    .stream = stream};
        for (int64_t y = u.begin, row[3]; y < u.end; y += b.lines) {
            const int64_t at = (u.image * g->h + y) * g->w * n + u.at;
            b.x = x + at;
            b.grad_x = grad_x + at;
            cnn_depthwise_taps_of(c, g, y, u.end, w + u.at, slot_w, row, &b);
            rows_of(c, e, g, &u, row, &window, &b);
            if (b.rows) c->kernels->depthwise_backward->rows(&b);
            else for (int64_t j = 0; j < g->w; j++) memset(grad_x + at + j * n, 0, (size_t)u.channels * sizeof *grad_x);
        }
    }
    cnn_barrier(e);
    int64_t begin, end;
    float *total_w = cnn_data(e, result(c, GRAD_W));
    cnn_share_grain(e, CNN_DEPTHWISE_TAPS * n, 64, &begin, &end);                  /* parallel over weights */
    if (total_w && begin < end)
        c->kernels->depthwise->combine(end - begin, slots, grad_w + begin, size, total_w + begin);
    double *total = sums + slots * 2 * n;
    cnn_share_channels(e, n, &begin, &end);                          /* parallel over channels */
    for (int i = 0; i < 2 && begin < end; i++) {
        float *wanted = cnn_data(e, result(c, SUM_G + i));
        if (!wanted) continue;
        c->kernels->batchnorm->combine_sums(end - begin, slots, sums + i * n + begin, 2 * n, total + i * n + begin);
        for (int64_t k = begin; k < end; k++) wanted[k] = (float)total[i * n + k];
    }
}

const cnn_op cnn_op_batchnorm_depthwise_conv2d_backward = {
    .name = "batchnorm_depthwise_conv2d_backward",
    .summary = "gradients of batchnorm_depthwise_conv2d: grad_x = (gradient in act's result) act', its sums, and "
               "grad_w; of grad_y, or p grad_y + q out + s",
    .inputs = "grad_y x w mean scale shift [out] [p] [q] [s]",
    .outputs = "grad_x [grad_w] [sum_g] [sum_gx]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
};
