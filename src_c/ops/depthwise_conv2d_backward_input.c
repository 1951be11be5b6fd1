/* depthwise_conv2d_backward_input: grad_x[n, y, x, c] = sum over the taps (a, b) and outputs (p, q) with p s - pad + a
 * d = y, q s - pad + b d = x, and j, of grad_y[n, p, q, c m + j] w[a, b, c, j].
 *
 * With stride s the pixels fall into s phases per axis, each with its own taps: a, a + s / gcd(s, d), ... Within a
 * phase it is a convolution of grad_y that walks backwards, done by the kernel of the forward pass; then it goes
 * through what gradient_epilogue.h describes, a part of a band at a time. Parallel over images, bands of rows and
 * blocks of channels. */
#include "depthwise.h"
#include "gradient_epilogue.h"

enum { GRAD_Y, W };
enum { IN_H = CNN_DW_ATTR_COUNT, IN_W, ACTIVATION, ALPHA, MAX_VALUE };
static const cnn_attr_def attrs[] = {
    CNN_DW_ATTRS, CNN_INT_ATTR("in_h", 1, 1, 2147483647), CNN_INT_ATTR("in_w", 1, 1, 2147483647), CNN_ACT_ATTRS,
    CNN_END_OF_ATTRS
};

static int geometry(const cnn_call *c, cnn_depthwise *g, cnn_error *error) {
    const cnn_tensor *w = c->in[W];
    return cnn_depthwise_geometry(c, c->in[GRAD_Y]->dims[0], cnn_int(c, IN_H), cnn_int(c, IN_W), w->dims[2], w->dims[3],
                                  g, error);
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    cnn_depthwise g;
    if (cnn_expect(c->in[GRAD_Y], "grad_y", 4, CNN_F32, error) || cnn_depthwise_expect_w(c, c->in[W], error) ||
        geometry(c, &g, error))
        return -1;
    if (cnn_depthwise_expect_grad(c->in[GRAD_Y], &g, error)) return -1;
    cnn_set_shape(out, 4, g.n, g.h, g.w, g.c);
    const cnn_gradient_epilogue_operands o = cnn_gradient_epilogue_of(c, W + 1, ACTIVATION);
    return cnn_gradient_epilogue_infer(c, &o, out, error);
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    cnn_depthwise g;
    if (geometry(c, &g, error)) return -1;
    cnn_depthwise_cut(c, &g, g.h);
    memcpy(c->plan, &g, sizeof g);
    choice->kernel = "rows";
    const cnn_gradient_epilogue_operands o = cnn_gradient_epilogue_of(c, W + 1, ACTIVATION);
    if (cnn_gradient_epilogue_check(&o, error)) return -1;
    choice->thread_workspace_bytes = cnn_depthwise_part_bytes(&g, g.w) +
                                     (g.m > 1 ? g.w * g.channels * (int64_t)sizeof(float) : 0);
    choice->workspace_bytes = cnn_gradient_epilogue_bytes(&o, g.c, cnn_depthwise_parts(&g));
    return 0;
}

static double flops(const cnn_call *c) {
    return 2 * c->attr[CNN_DW_KERNEL_H] * c->attr[CNN_DW_KERNEL_W] * (double)cnn_count(c->in[GRAD_Y]);
}

static int64_t gcd(int64_t a, int64_t b) {
    while (b) { int64_t r = a % b; a = b; b = r; }
    return a;
}

/* The taps first, first + period, ... (count of them) that reach a pixel at `position` (its index plus the padding),
 * and the output each reads: the first `output`, every next one `back` before it. */
typedef struct phase { int64_t first, period, count, output, back; } phase;

static phase phase_of(int64_t position, int64_t kernel, int64_t stride, int64_t dilation) {
    int64_t common = gcd(stride, dilation);
    phase f = {.period = stride / common, .back = dilation / common};
    while (f.first < kernel && f.first < f.period && (position - f.first * dilation) % stride) f.first++;
    if (f.first >= kernel || f.first >= f.period) return f;                           /* no tap reaches it */
    f.count = (kernel - 1 - f.first) / f.period + 1;
    f.output = (position - f.first * dilation) / stride;
    return f;
}

/* Row y of one image of grad_x, or of its repeated channels. */
static void input_row(const cnn_call *c, const cnn_depthwise *g, int64_t y, int64_t channels, const float *grad_y,
                      const float *w, float *grad_x) {
    const cnn_act linear = {.kind = CNN_LINEAR, .max_value = INFINITY};
    int64_t kernel_w = cnn_int(c, CNN_DW_KERNEL_W), stride_w = cnn_int(c, CNN_DW_STRIDE_W);
    phase rows = phase_of(y + cnn_int(c, CNN_DW_TOP), cnn_int(c, CNN_DW_KERNEL_H), cnn_int(c, CNN_DW_STRIDE_H),
                          cnn_int(c, CNN_DW_DILATION_H));
    while (rows.count > 0 && rows.output >= g->out_h) {
        rows.first += rows.period;
        rows.output -= rows.back;
        rows.count--;
    }
    while (rows.count > 0 && rows.output - (rows.count - 1) * rows.back < 0) rows.count--;
    for (int64_t x = 0; x < cnn_min(stride_w, g->w); x++) {
        phase columns = phase_of(x + cnn_int(c, CNN_DW_LEFT), kernel_w, stride_w, cnn_int(c, CNN_DW_DILATION_W));
        int none = rows.count == 0 || columns.count == 0;
        cnn_depthwise_row row = {.channels = channels,
                                 .taps_h = none ? 0 : rows.count,
                                 .taps_w = none ? 0 : columns.count,
                                 .in_w = g->out_w,
                                 .out_w = cnn_ceil_div(g->w - x, stride_w),
                                 .stride = 1,
                                 .offset = columns.output,
                                 .step = -columns.back,
                                 .x_row = -rows.back * g->out_w * g->channels,
                                 .x_pixel = g->channels,
                                 .w_row = rows.period * kernel_w * g->channels,
                                 .w_tap = columns.period * g->channels,
                                 .y_pixel = stride_w * g->channels,
                                 .outputs = 1,
                                 .in_memory = 1};
        const float *from = none ? grad_y : grad_y + rows.output * g->out_w * g->channels;
        const float *taps = none ? w : w + (rows.first * kernel_w + columns.first) * g->channels;
        c->kernels->depthwise->row(&row, from, taps, NULL, linear, grad_x + x * g->channels);
    }
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_depthwise *g = (const cnn_depthwise *)c->plan;
    const float *grad_y = cnn_data(e, c->in[GRAD_Y]), *w = cnn_data(e, c->in[W]);
    const cnn_gradient_epilogue_operands o = cnn_gradient_epilogue_of(c, W + 1, ACTIVATION);
    const int gradient = cnn_gradient_epilogue_wanted(&o);
    float *grad_x = cnn_data(e, c->out[0]),
          *scratch = (float *)(e->thread_workspace + cnn_depthwise_part_bytes(g, g->w));
    const ptrdiff_t *at = gradient ? cnn_depthwise_part_pixels(g, g->w, g->c, e->thread_workspace) : NULL;
    cnn_work work = cnn_share_work(e, g->n * g->bands * g->blocks);
    for (int64_t i; (i = cnn_work_next(&work)) >= 0;) {
        const cnn_depthwise_unit u = cnn_depthwise_unit_at(g, i, g->h);
        const float *from = grad_y + u.image * g->out_h * g->out_w * g->channels + u.at;
        for (int64_t y = u.begin; y < u.end; y++) {
            float *to = grad_x + (u.image * g->h + y) * g->w * g->c + u.at;
            input_row(c, g, y, u.channels, from, w + u.at, g->m > 1 ? scratch : to);
            if (g->m > 1) c->kernels->depthwise->contract(g->w, g->c, g->m, scratch, to);
            cnn_depthwise_part part;
            if (gradient && cnn_depthwise_part_ends(g, &u, y, &part))
                cnn_gradient_epilogue_apply(c, e, &o, g->c, part.number, part.rows * g->w,
                                            ((u.image * g->h + part.begin) * g->w) * g->c, u.at,
                                            g->m > 1 ? g->c : u.channels, grad_x, at);
        }
    }
    if (cnn_gradient_epilogue_sums(&o)) cnn_gradient_epilogue_combine(c, e, &o, g->c, cnn_depthwise_parts(g));
}

const cnn_op cnn_op_depthwise_conv2d_backward_input = {
    .name = "depthwise_conv2d_backward_input",
    .summary = "grad_x = (gradient of depthwise_conv2d in x) act'(y); its sums over the batch",
    .inputs = "grad_y w " CNN_GRADIENT_INPUTS,
    .outputs = "grad_x " CNN_GRADIENT_OUTPUTS,
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
};
