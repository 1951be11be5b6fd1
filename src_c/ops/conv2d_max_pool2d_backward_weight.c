/* conv2d_max_pool2d_backward_weight: the gradients in the weight and the bias of a convolution that gathers its pixels,
 * straight from the gradient of what was pooled from its result t:
 *
 *     grad_t = grad_y act'(y) at the place of each window's maximum,    grad_w, grad_bias = those of conv2d for grad_t
 *
 * grad_t is never whole: blocks of its rows are made in a thread's buffer, where the products read them. Where windows
 * overlap, a block visits all that reach it, so that every pixel's sum is complete. Of windows of 2x2, which do not, it
 * is not made at all if the instruction set can look up what the pixel at the place of the maximum has read
 * (kernels/pool.h): three of four products, those with zeros, are left out. Where x is not finite they are not, as
 * 0 * inf is NaN.
 *
 * The blocks are cut, by shapes alone, into groups with partial sums of their own, added in order afterwards; the first
 * group's are grad_w itself. Loop order: groups, the parallel axis; blocks; panels of channels, tiles of products. */
#include "conv2d_max_pool2d.h"
#include "layout.h"
#include "panels.h"
#include "weight_gradient_parts.h"

enum { X, Y, GRAD_Y, PLACE };
static const cnn_attr_def attrs[] = { CNN_CONV2D_POOL_ATTRS, CNN_END_OF_ATTRS };

enum {
    BLOCK_PIXELS = 112,               /* of grad_t wanted in a block, that stay in L1 */
    LOOKED_UP_PIXELS = 224,           /* the same where a quarter of them are places */
    GROUPS = 16,                      /* groups wanted, for so many threads */
};

typedef struct plan_memory {
    cnn_conv2d_pool g;
    int64_t lines, bands, groups;     /* rows of a block, whole strides of windows; blocks of an image; groups */
    int looks_up;                     /* see above */
} plan_memory;
_Static_assert(sizeof(plan_memory) <= CNN_PLAN_BYTES, "the plan must fit");

typedef struct scratch {
    float *grad;                      /* [rows][w][channels] of grad_t, from the first row of a window on */
    float *gathered, *packed;         /* packed: of a panel, where the channels are no whole vectors */
    const float **x;                  /* [pixels of a block] the gathered pixels */
    int32_t *row;                     /* [pixels of a block] their numbers */
    /* Where places are looked up: of a block x with its padding; [windows][channels] gradients and where to look. */
    float *padded, *masked;
    int32_t *at;
} scratch;

static const cnn_tensor *grad_bias_of(const cnn_call *c) { return c->n_out > 1 ? c->out[1] : NULL; }

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[X], *y = c->in[Y];
    cnn_conv2d_pool g;
    if (cnn_expect(x, "x", 4, CNN_F32, error) || cnn_expect(y, "y", 4, CNN_F32, error)
        || cnn_conv2d_pool_geometry(c, x, y->dims[3], &g, error)
        || cnn_pool_expect_output(y, "y", CNN_F32, x->dims[0], &g.pool, error)
        || cnn_pool_expect_output(c->in[GRAD_Y], "grad_y", CNN_F32, x->dims[0], &g.pool, error)
        || cnn_pool_expect_output(c->in[PLACE], "place", CNN_U8, x->dims[0], &g.pool, error)
        || cnn_expect_mask(c->attr[CNN_CONV2D_POOL_ACTIVATION], c->attr[CNN_CONV2D_POOL_ALPHA], error)) return -1;
    if (g.pool.stride_h > g.pool.pool_h || g.pool.pool_h * g.pool.pool_w > CNN_POOL_PLACES)
        return cnn_fail(error, "the window must have at least pool_stride_h rows and at most %d pixels, got %lldx%lld "
                        "and a stride of %lld; use max_pool2d_backward and conv2d_backward_weight", CNN_POOL_PLACES,
                        (long long)g.pool.pool_h, (long long)g.pool.pool_w, (long long)g.pool.stride_h);
    cnn_set_shape(&out[0], 4, g.conv.kernel_h, g.conv.kernel_w, g.conv.in_channels, g.pool.c);
    if (c->n_out > 1) cnn_set_shape(&out[1], 1, g.pool.c, 1, 1, 1);
    return 0;
}

/* Rows of x with their padding, as the one pixel of each row that a kernel as wide as they are would gather. */
static cnn_conv2d_geometry padded_rows(const cnn_conv2d_geometry *g) {
    cnn_conv2d_geometry rows = *g;
    rows.out_h = (g->out_h - 1) * g->stride_h + (g->kernel_h - 1) * g->dilation_h + 1;
    rows.kernel_w = (g->out_w - 1) * g->stride_w + g->kernel_w;
    rows.kernel_h = rows.stride_h = rows.stride_w = rows.dilation_h = rows.out_w = 1;
    return rows;
}

/* Rows of it that `lines` rows of t read; floats of one. */
static int64_t padded_count(const cnn_conv2d_geometry *g, int64_t lines) {
    return (lines - 1) * g->stride_h + (int64_t)(g->kernel_h - 1) * g->dilation_h + 1;
}
static int64_t padded_pitch(const cnn_conv2d_geometry *padded) {
    return (int64_t)padded->kernel_w * padded->in_channels;
}

/* Pixels of the largest block. */
static int64_t block_pixels(const plan_memory *p) { return cnn_min(p->lines, p->g.pool.h) * p->g.pool.w; }

static int64_t layout(const cnn_kernels *k, const plan_memory *p, char *memory, scratch *s) {
    const cnn_pool *pool = &p->g.pool;
    const int64_t pixels = block_pixels(p), depth = cnn_conv2d_pool_depth(&p->g.conv);
    const int64_t width = pool->c % k->vector ? cnn_panels_of(k, pool->c).widest * k->vector : 0;
    const cnn_conv2d_geometry padded = padded_rows(&p->g.conv);
    const int64_t count = padded_count(&p->g.conv, cnn_min(p->lines, pool->h));
    const int64_t x_floats =
        p->looks_up ? cnn_conv2d_gather_floats(&padded, count, padded_pitch(&padded)) + k->vector : 0;
    const int64_t looked_up = p->looks_up ? pixels / 4 * pool->c + k->vector : 0;
    cnn_layout l = {.memory = memory};
    s->grad = cnn_take(&l, (pixels + (pool->pool_h - 1) * pool->w) * pool->c * 4);
    s->gathered = cnn_take(&l, cnn_conv2d_gather_floats(&p->g.conv, pixels, depth) * 4);
    s->packed = cnn_take(&l, pixels * width * 4);
    s->x = cnn_take(&l, pixels * (int64_t)sizeof *s->x);
    s->row = cnn_take(&l, pixels * (int64_t)sizeof *s->row);
    s->padded = cnn_take(&l, x_floats * 4);
    s->masked = cnn_take(&l, looked_up * 4);
    s->at = cnn_take(&l, looked_up * 4);
    return l.bytes;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    plan_memory *p = (plan_memory *)c->plan;
    const cnn_pool *pool = &p->g.pool;
    scratch s;
    if (cnn_conv2d_pool_geometry(c, c->in[X], c->in[Y]->dims[3], &p->g, error)
        || cnn_conv2d_check_size(&p->g.conv, error)) return -1;
    const int64_t images = c->in[X]->dims[0], stride = pool->stride_h;
    p->looks_up = c->kernels->pool->products && cnn_pool_is_halving(pool)
        && p->g.conv.stride_w * p->g.conv.in_channels <= c->kernels->vector - CNN_POOL_TAPS;
    p->lines = cnn_max(1, (p->looks_up ? LOOKED_UP_PIXELS : BLOCK_PIXELS) / (pool->w * stride)) * stride;
    p->bands = cnn_ceil_div(pool->h + pool->pad_top, p->lines);
    p->groups = cnn_min(GROUPS, images * p->bands);
    choice->kernel = p->looks_up ? "direct, places looked up" : "direct, gathered, from rows of the gradient in L1";
    choice->thread_workspace_bytes = layout(c->kernels, p, NULL, &s);
    choice->workspace_bytes = cnn_weight_gradient_parts_bytes(p->groups, cnn_count(c->out[0]), pool->c,
                                                              c->n_out > 1);
    return 0;
}

static double flops(const cnn_call *c) {
    const cnn_conv2d_pool *g = &((const plan_memory *)c->plan)->g;
    return cnn_conv2d_flops(&g->conv) + (double)(g->pool.pool_h * g->pool.pool_w) * (double)cnn_count(c->in[GRAD_Y]);
}

static cnn_relu_mask mask_of(const cnn_call *c) {
    return cnn_mask_of(c->attr[CNN_CONV2D_POOL_ACTIVATION], c->attr[CNN_CONV2D_POOL_ALPHA],
                       c->attr[CNN_CONV2D_POOL_MAX_VALUE]);
}

/* Rows begin..end of the image's grad_t. Returns them, in s->grad. */
static const float *spread(const cnn_call *c, const cnn_exec *e, const scratch *s, int64_t image, int64_t begin,
                           int64_t end) {
    const cnn_pool *pool = &((const plan_memory *)c->plan)->g.pool;
    /* The image from the first window on that reaches the rows, as if it began there. */
    const int64_t before = begin + pool->pad_top - pool->pool_h + 1;
    const int64_t first = cnn_min(pool->out_h - 1, before > 0 ? cnn_ceil_div(before, pool->stride_h) : 0);
    const int64_t top = first * pool->stride_h - pool->pad_top, origin = cnn_max(0, top);
    const int64_t at = (image * pool->out_h + first) * pool->out_w * pool->c;
    cnn_pool rest = *pool;
    rest.h = pool->h - origin;
    rest.out_h = pool->out_h - first;
    rest.pad_top = origin - top;
    c->kernels->pool->max_backward_rows(&rest, begin - origin, end - origin, 0, pool->c, NULL,
                                        (const uint8_t *)cnn_data(e, c->in[PLACE]) + at,
                                        (const float *)cnn_data(e, c->in[Y]) + at,
                                        (const float *)cnn_data(e, c->in[GRAD_Y]) + at, mask_of(c), s->grad);
    return s->grad + (begin - origin) * pool->w * pool->c;
}

/* Adds up rows of gradients, [pixels][channels]. */
static void add_gradients(const cnn_call *c, const scratch *s, int64_t pixels, const float *grad, double *sum) {
    const cnn_gemm_kernels *kernels = c->kernels->gemm;
    const int64_t channels = ((const plan_memory *)c->plan)->g.pool.c;
    const cnn_panels panels = cnn_panels_of(c->kernels, channels);
    if (channels % panels.vl == 0) {
        kernels->add_rows(pixels, channels, channels, grad, sum);
        return;
    }
    for (int64_t panel = 0; panel < panels.count; panel++) {
        const cnn_panel n = cnn_panel_at(&panels, panel);
        kernels->pack(pixels, n.columns, n.width, grad + n.begin, channels, s->packed);
        kernels->add_rows(pixels, n.columns, n.width, s->packed, sum + n.begin);
    }
}

/* Adds the products of a block's gathered pixels and grad_t to w, and the sums of grad_t to `sum` (NULL: no bias). */
static void multiply(const cnn_call *c, const scratch *s, int64_t pixels, const float *grad, float *w, double *sum) {
    const cnn_gemm_kernels *kernels = c->kernels->gemm;
    const cnn_conv2d_pool *g = &((const plan_memory *)c->plan)->g;
    const int64_t depth = cnn_conv2d_pool_depth(&g->conv), channels = g->pool.c;
    const cnn_panels panels = cnn_panels_of(c->kernels, channels);
    const int whole = channels % panels.vl == 0;
    const int64_t tiles = cnn_ceil_div(depth, panels.rows);
    if (sum) add_gradients(c, s, pixels, grad, sum);
    for (int64_t panel = 0; panel < panels.count; panel++) {
        const cnn_panel n = cnn_panel_at(&panels, panel);
        if (!whole) kernels->pack(pixels, n.columns, n.width, grad + n.begin, channels, s->packed);
        cnn_gemm_outer outer = {.pixels = pixels, .x = s->x, .row = s->row,
                                .grad_y = whole ? grad + n.begin : s->packed,
                                .grad_y_stride = whole ? channels : n.width, .added_stride = channels,
                                .stride = channels, .last = n.last};
        for (int64_t i = 0; i < tiles; i++) {
            outer.channel = depth * i / tiles;
            outer.added = outer.w = w + outer.channel * channels + n.begin;
            kernels->outer[n.vectors][depth * (i + 1) / tiles - outer.channel](&outer);
        }
    }
}

/* The same of pooled rows begin..end, whose places are looked up. */
static void multiply_places(const cnn_call *c, const cnn_exec *e, const scratch *s, int64_t image, int64_t begin,
                            int64_t end, float *w, double *sum) {
    const cnn_conv2d_pool *g = &((const plan_memory *)c->plan)->g;
    const cnn_conv2d_geometry *conv = &g->conv, padded = padded_rows(conv);
    const int64_t channels = g->pool.c, rows = end - begin, windows = rows * g->pool.out_w;
    const int64_t at = (image * g->pool.out_h + begin) * g->pool.out_w * channels, pitch = padded_pitch(&padded);
    const int64_t step = (int64_t)conv->stride_w * conv->in_channels;
    const int64_t span = (int64_t)conv->kernel_w * conv->in_channels;
    const int64_t first = image * padded.out_h + 2 * begin * conv->stride_h, pieces = cnn_ceil_div(span, CNN_POOL_TAPS);
    const cnn_conv2d_images images = cnn_conv2d_floats(c, cnn_data(e, c->in[X]));
    cnn_conv2d_gather(&padded, &images, first, first + padded_count(conv, 2 * rows), pitch, s->padded);
    c->kernels->pool->look_up(windows * channels, step, (const uint8_t *)cnn_data(e, c->in[PLACE]) + at,
                              (const float *)cnn_data(e, c->in[Y]) + at, (const float *)cnn_data(e, c->in[GRAD_Y]) + at,
                              mask_of(c), s->masked, s->at);
    if (sum) add_gradients(c, s, windows, s->masked, sum);
    for (int64_t i = 0; i < conv->kernel_h; i++)
        for (int64_t piece = 0; piece < pieces; piece++) {
            const int64_t tap = span * piece / pieces;
            const cnn_pool_products products = {
                .rows = rows, .windows = g->pool.out_w, .channels = channels,
                .taps = span * (piece + 1) / pieces - tap, .x = s->padded + i * conv->dilation_h * pitch + tap,
                .below = conv->stride_h * pitch, .step = 2 * step, .row_step = 2 * conv->stride_h * pitch,
                .grad = s->masked, .at = s->at, .w = w + (i * span + tap) * channels};
            c->kernels->pool->products(&products);
        }
}

static int all_finite(const float *x, int64_t n) {
    enum { EXPONENT = 0x7f800000 };
    int32_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        found |= (bits & EXPONENT) == EXPONENT;
    }
    return !found;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const plan_memory *p = (const plan_memory *)c->plan;
    const cnn_pool *pool = &p->g.pool;
    const int64_t depth = cnn_conv2d_pool_depth(&p->g.conv), blocks = c->in[X]->dims[0] * p->bands;
    const int64_t x_image = cnn_count(c->in[X]) / c->in[X]->dims[0];
    const cnn_weight_gradient_parts parts = cnn_weight_gradient_parts_of(
        e, p->groups, depth, pool->c, cnn_data(e, c->out[0]), cnn_data(e, grad_bias_of(c)));
    const cnn_conv2d_images images = cnn_conv2d_floats(c, cnn_data(e, c->in[X]));
    scratch s;
    layout(c->kernels, p, e->thread_workspace, &s);
    for (int64_t i = 0; i < block_pixels(p); i++) {
        s.x[i] = s.gathered + i * depth;
        s.row[i] = (int32_t)i;
    }
    cnn_work work = cnn_share_work(e, p->groups);
    for (int64_t group; (group = cnn_work_next(&work)) >= 0;) {
        const int64_t first = blocks * group / p->groups, last = blocks * (group + 1) / p->groups;
        float *w = cnn_weight_gradient_part(&parts, group);
        double *sum = cnn_weight_gradient_bias_part(&parts, group);
        memset(w, 0, (size_t)(depth * pool->c) * sizeof *w);
        for (int64_t i = 0; sum && i < pool->c; i++) sum[i] = 0;
        for (int64_t block = first, checked = -1, finite = 0; block < last; block++) {
            const int64_t image = block / p->bands, top = block % p->bands * p->lines - pool->pad_top;
            const int64_t begin = cnn_max(0, top), end = cnn_min(pool->h, top + p->lines);
            if (begin >= end) continue;
            if (p->looks_up && image != checked) {
                finite = all_finite((const float *)cnn_data(e, c->in[X]) + image * x_image, x_image);
                checked = image;
            }
            if (p->looks_up && finite) {
                multiply_places(c, e, &s, image, begin / 2, cnn_min(pool->out_h, end / 2), w, sum);
                continue;
            }
            const int64_t pixel = (image * pool->h + begin) * pool->w, pixels = (end - begin) * pool->w;
            cnn_conv2d_gather(&p->g.conv, &images, pixel, pixel + pixels, depth, s.gathered);
            multiply(c, &s, pixels, spread(c, e, &s, image, begin, end), w, sum);
        }
    }
    cnn_weight_gradient_combine(c, e, &parts);
}

const cnn_op cnn_op_conv2d_max_pool2d_backward_weight = {
    .name = "conv2d_max_pool2d_backward_weight",
    .summary = "grad_w, grad_bias = gradient of conv2d_max_pool2d in w and bias",
    .inputs = "x y grad_y place",
    .outputs = "grad_w [grad_bias]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
};
