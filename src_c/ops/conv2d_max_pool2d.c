/* conv2d_max_pool2d: a convolution that gathers its pixels (conv2d_gather.h), the first one of a network, and the
 * maximum pooling of its result in one pass,
 *
 *     t = act(conv(x, w) + bias),    y = max of each window of t,    place as of max_pool2d
 *
 * t, the largest tensor of many small networks, is never whole. Where windows are 2x2, two apart and without padding,
 * and the activation one of registers, a tile of the product holds whole windows, and gives their maxima. Otherwise a
 * thread makes the rows of t that a window reaches in a buffer of the first cache, some at a time. The same bits as of
 * conv2d and max_pool2d one after the other.
 *
 * Loop order: units of (image, band of pooled rows), the parallel axis; pooled rows; chunks of gathered pixels, of
 * those rows or of the rows of t that are missing; panels of channels, tiles of pixels. */
#include "conv2d_max_pool2d.h"
#include "layout.h"
#include "indirect_gemm.h"
#include "panels.h"
#include "row_window.h"

enum { X, W, BIAS };
static const cnn_attr_def attrs[] = { CNN_CONV2D_POOL_ATTRS, CNN_END_OF_ATTRS };

enum {
    UNITS = 32,                       /* pieces of work wanted, for so many threads */
    OVERLAPPED_ROWS = 4,              /* pooled rows of a band at least, where its first rows of t are made twice */
    BUFFER_BYTES = 16 << 10,          /* of L1, for rows of t; more where a window reaches further */
    CHUNK_PIXELS = 128,               /* gathered at a time */
    GATHERED_BYTES = 8 << 10,         /* of L1, for the pixels of whole windows */
};

typedef struct plan_memory {
    cnn_conv2d_pool g;
    int64_t bands, rows, chunk;       /* rows of t that are made at a time, at most; pixels gathered at a time */
    int whole;                        /* do tiles hold whole windows? Then t has no buffer */
} plan_memory;
_Static_assert(sizeof(plan_memory) <= CNN_PLAN_BYTES, "the plan must fit");

/* What a thread has of its own. */
typedef struct scratch {
    cnn_row_window t;
    float *gathered;
    const float **x;                  /* [chunk] the gathered pixels, in the order of t or of the windows */
    ptrdiff_t *at;                    /* [chunk] where results, of pixels or windows, are from the first one on */
} scratch;

static const cnn_tensor *bias_of(const cnn_call *c) { return c->n_in > BIAS ? c->in[BIAS] : NULL; }

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[X], *w = c->in[W];
    cnn_conv2d_pool g;
    if (cnn_expect(x, "x", 4, CNN_F32, error) || cnn_conv2d_check_weights(c, w, x->dims[3], error)
        || cnn_expect_vector(bias_of(c), "bias", w->dims[3], error)
        || cnn_conv2d_pool_geometry(c, x, w->dims[3], &g, error)) return -1;
    cnn_set_shape(out, 4, x->dims[0], g.pool.out_h, g.pool.out_w, g.pool.c);
    return c->n_out > 1 ? cnn_pool_infer_place(&g.pool, out, error) : 0;
}

static int64_t layout(const plan_memory *p, char *memory, scratch *s) {
    const int64_t depth = cnn_conv2d_pool_depth(&p->g.conv), row = p->g.pool.w * p->g.pool.c;
    cnn_layout l = {.memory = memory};
    s->t = (cnn_row_window){
        .capacity = p->rows, .row = row, .image = -1, .buffer = cnn_take(&l, p->whole ? 0 : p->rows * row * 4)};
    s->gathered = cnn_take(&l, cnn_conv2d_gather_floats(&p->g.conv, p->chunk, depth) * 4);
    s->x = cnn_take(&l, p->chunk * (int64_t)sizeof *s->x);
    s->at = cnn_take(&l, p->chunk * (int64_t)sizeof *s->at);
    return l.bytes;
}

static cnn_act act_of(const cnn_call *c) {
    return (cnn_act){.kind = (int)cnn_int(c, CNN_CONV2D_POOL_ACTIVATION), .alpha = cnn_float(c, CNN_CONV2D_POOL_ALPHA),
                     .max_value = cnn_float(c, CNN_CONV2D_POOL_MAX_VALUE)};
}

/* Panels so narrow that a tile has rows for a window, where it holds whole ones; three vectors leave no register idle
 * then. */
static cnn_panels panels_of(const cnn_kernels *k, const plan_memory *p) {
    int most = 3;
    while (k->gemm->rows[most] < CNN_GEMM_WINDOW) most--;
    return p->whole ? cnn_panels_within(k, p->g.pool.c, most) : cnn_panels_of(k, p->g.pool.c);
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    plan_memory *p = (plan_memory *)c->plan;
    const cnn_pool *pool = &p->g.pool;
    scratch s;
    if (cnn_conv2d_pool_geometry(c, c->in[X], c->in[W]->dims[3], &p->g, error)
        || cnn_conv2d_check_size(&p->g.conv, error) || cnn_expect_packable(c->in[W], "w", error)) return -1;
    p->whole = cnn_pool_is_halving(pool) && cnn_epilogue_of(act_of(c)).in_tile;
    const cnn_panels panels = panels_of(c->kernels, p);
    const int64_t depth = cnn_conv2d_pool_depth(&p->g.conv);
    const int64_t least = pool->pool_h > pool->stride_h ? OVERLAPPED_ROWS : 1;
    p->bands = cnn_min(cnn_ceil_div(pool->out_h, least), cnn_ceil_div(UNITS, c->in[X]->dims[0]));
    if (p->whole) {
        p->rows = 2 * cnn_min(pool->out_h, cnn_max(1, GATHERED_BYTES / 4 / (2 * pool->w * depth)));
        p->chunk = p->rows * pool->w;
    } else {
        p->rows = cnn_min(pool->h, cnn_max(pool->pool_h, BUFFER_BYTES / 4 / (pool->w * pool->c)));
        p->chunk = cnn_min(CHUNK_PIXELS, p->rows * pool->w);
    }
    choice->kernel = p->whole ? "direct, gathered, pooled in registers" : "direct, gathered, pooled from rows in L1";
    choice->thread_workspace_bytes = layout(p, NULL, &s);
    choice->packed_bytes = depth * panels.vectors * panels.vl * 4;
    return 0;
}

static double flops(const cnn_call *c) {
    const cnn_conv2d_pool *g = &((const plan_memory *)c->plan)->g;
    return cnn_conv2d_flops(&g->conv) + (double)(g->pool.pool_h * g->pool.pool_w) * (double)cnn_count(c->out[0]);
}

/* [panel][product][width]; parallel over panels. */
static void pack(const cnn_call *c, const cnn_exec *e) {
    const plan_memory *p = (const plan_memory *)c->plan;
    const int64_t depth = cnn_conv2d_pool_depth(&p->g.conv), channels = p->g.pool.c;
    const cnn_panels panels = panels_of(c->kernels, p);
    int64_t begin, end;
    cnn_share(e, panels.count, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const cnn_panel n = cnn_panel_at(&panels, i);
        c->kernels->gemm->pack(depth, n.columns, n.width, (const float *)cnn_data(e, c->in[W]) + n.begin, channels,
                               (float *)e->packed + n.begin * depth);
    }
}

/* Gathers pixels of t, the first of them number `pixel` over all images, and gives them, or, where tiles hold whole
 * windows, the maxima of so many windows, to y, and the places to `place`. */
static void convolve(const cnn_call *c, const cnn_exec *e, const scratch *s, int64_t pixel, int64_t pixels,
                     int64_t windows, float *y, uint8_t *place) {
    static const int32_t no_tap = 0, one_tap = 1;
    const plan_memory *p = (const plan_memory *)c->plan;
    const int64_t depth = cnn_conv2d_pool_depth(&p->g.conv), channels = p->g.pool.c;
    const int64_t size = p->whole ? CNN_GEMM_WINDOW : 1, count = p->whole ? windows : pixels;
    const cnn_epilogue epilogue = cnn_epilogue_of(act_of(c));
    const cnn_panels panels = panels_of(c->kernels, p);
    const float *bias = cnn_data(e, bias_of(c));
    const cnn_conv2d_images images = cnn_conv2d_floats(c, cnn_data(e, c->in[X]));
    cnn_conv2d_gather(&p->g.conv, &images, pixel, pixel + pixels, depth, s->gathered);
    for (int64_t panel = 0; panel < panels.count; panel++) {
        const cnn_panel n = cnn_panel_at(&panels, panel);
        const int64_t tiles = cnn_ceil_div(count, c->kernels->gemm->rows[n.vectors] / size);
        cnn_gemm_tile tile = {.runs = 1, .channels = depth, .tap = &no_tap, .length = &one_tap,
                              .w = (const float *)e->packed + n.begin * depth, .bias = bias ? bias + n.begin : NULL,
                              .y = y + n.begin, .last = n.last, .low = epilogue.low, .high = epilogue.high,
                              .pooled = p->whole, .place = place ? place + n.begin : NULL};
        for (int64_t i = 0, begin = 0, end; i < tiles; i++, begin = end) {
            end = count * (i + 1) / tiles;
            tile.x = s->x + begin * size;
            tile.at = s->at + begin;
            c->kernels->gemm->tile[n.vectors][(end - begin) * size](&tile);
        }
    }
    if (!epilogue.in_tile) c->kernels->elementwise->activate(act_of(c), pixels * channels, y, y);
}

/* Makes rows begin..end of the image's t present, and, where some are missing, as many more of the band as the buffer
 * holds: the tiles are fuller. */
static void provide(const cnn_call *c, const cnn_exec *e, scratch *s, int64_t image, int64_t begin, int64_t end,
                    int64_t band_end) {
    const plan_memory *p = (const plan_memory *)c->plan;
    const cnn_pool *pool = &p->g.pool;
    cnn_row_window *t = &s->t;
    if (t->image == image && begin >= t->begin && end <= t->end) return;
    float *to;
    const int64_t rows = cnn_row_window_move(t, image, begin, cnn_min(band_end, begin + p->rows), &to);
    const int64_t first = (image * pool->h + t->end) * pool->w, wanted = rows * pool->w;
    for (int64_t done = 0; done < wanted; done += p->chunk)
        convolve(c, e, s, first + done, cnn_min(p->chunk, wanted - done), 0, to + done * pool->c, NULL);
    t->end += rows;
}

/* Pooled rows begin..end of an image, in tiles of whole windows. */
static void pool_tiles(const cnn_call *c, const cnn_exec *e, const scratch *s, int64_t image, int64_t begin,
                       int64_t end, float *y, uint8_t *place) {
    const plan_memory *p = (const plan_memory *)c->plan;
    const cnn_pool *pool = &p->g.pool;
    const int64_t lines = p->rows / 2;
    for (int64_t q = begin; q < end; q += lines) {
        const int64_t rows = cnn_min(lines, end - q), at = (image * pool->out_h + q) * pool->out_w * pool->c;
        convolve(c, e, s, (image * pool->h + 2 * q) * pool->w, 2 * rows * pool->w, rows * pool->out_w, y + at,
                 place ? place + at : NULL);
    }
}

/* The same from rows of t in the buffer. */
static void pool_rows(const cnn_call *c, const cnn_exec *e, scratch *s, int64_t image, int64_t begin, int64_t end,
                      float *y, uint8_t *place) {
    const cnn_pool *pool = &((const plan_memory *)c->plan)->g.pool;
    const int64_t band_end = cnn_min(pool->h, (end - 1) * pool->stride_h - pool->pad_top + pool->pool_h);
    for (int64_t q = begin; q < end; q++) {
        const int64_t top = q * pool->stride_h - pool->pad_top, from = cnn_max(0, top);
        const int64_t to = cnn_min(pool->h, top + pool->pool_h), at = (image * pool->out_h + q) * pool->out_w * pool->c;
        provide(c, e, s, image, from, to, band_end);
        cnn_pool window = *pool;                           /* an image of the rows under the window */
        window.h = to - from;
        window.pad_top = 0;
        c->kernels->pool->max_row(&window, 0, 0, pool->c, cnn_row_window_at(&s->t, from),
                                  (cnn_normalising){.scale = NULL}, y + at,
                                  place ? place + at : NULL);
    }
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const plan_memory *p = (const plan_memory *)c->plan;
    const cnn_pool *pool = &p->g.pool;
    const int64_t depth = cnn_conv2d_pool_depth(&p->g.conv);
    float *y = cnn_data(e, c->out[0]);
    uint8_t *place = c->n_out > 1 ? cnn_data(e, c->out[1]) : NULL;
    scratch s;
    layout(p, e->thread_workspace, &s);
    for (int64_t i = 0; i < p->chunk; i++) {
        s.x[i] = s.gathered + i * depth;
        s.at[i] = i * pool->c;
    }
    for (int64_t i = 0; p->whole && i < p->rows / 2 * pool->out_w; i++) {    /* windows, in the order of their rows */
        const float *first = s.gathered + 2 * (i / pool->out_w * pool->w + i % pool->out_w) * depth;
        for (int64_t k = 0; k < CNN_GEMM_WINDOW; k++)
            s.x[i * CNN_GEMM_WINDOW + k] = first + (k / 2 * pool->w + k % 2) * depth;
    }
    cnn_work work = cnn_share_work(e, c->in[X]->dims[0] * p->bands);
    for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) {
        const int64_t image = unit / p->bands, band = unit % p->bands;
        const int64_t begin = pool->out_h * band / p->bands, end = pool->out_h * (band + 1) / p->bands;
        if (p->whole) pool_tiles(c, e, &s, image, begin, end, y, place);
        else pool_rows(c, e, &s, image, begin, end, y, place);
    }
}

const cnn_op cnn_op_conv2d_max_pool2d = {
    .name = "conv2d_max_pool2d",
    .summary = "y = max of each window of act(conv(x, w) + bias), without the convolution's result",
    .inputs = "x w [bias]",
    .outputs = "y [place]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .pack = pack,
    .packs = 1 << W,
    .flops = flops,
    .run = run,
};
