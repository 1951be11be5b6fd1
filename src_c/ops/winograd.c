#include "winograd.h"
#include "panels.h"

#include <stdio.h>
#include <string.h>

enum {
    ELEMENTS = CNN_WINOGRAD_ELEMENTS,
    OUT = CNN_WINOGRAD_OUT,
    IN = CNN_WINOGRAD_IN,
    PAD = 16, /* floats added to the strides of V and M: powers of two would fall into the same sets of the cache */
    UNITS = 16, /* pieces of work wanted, for so many threads */
    SMALLEST_TILES = 16,
    CHANNELS_PER_TILE = 8, /* fewer tiles do not pay for reading U, four times as large as the weights */
    TRANSPOSED_ROWS = 8, /* rows of weights that are transposed at once while packing */
};

typedef struct winograd_plan {
    cnn_algorithm algorithm;          /* common to all convolution plans, see indirect_gemm.h */
    cnn_conv2d_geometry g;
    cnn_act act;
    int32_t pad_top, pad_left;        /* rows and columns before the first pixel that a tile reads */
    int32_t tiles_h, tiles_w;         /* of an image */
    int32_t block, blocks;            /* tiles of a block at most, blocks */
    int32_t ranges;                   /* of panels */
    char text[64];
} winograd_plan;
_Static_assert(sizeof(winograd_plan) <= CNN_PLAN_BYTES, "the plan must fit");

int cnn_winograd_suits(const cnn_conv2d_geometry *g) {
    if (g->kernel_h != 3 || g->kernel_w != 3 || g->stride_h != 1 || g->stride_w != 1 || g->dilation_h != 1 ||
        g->dilation_w != 1 || g->groups != 1)
        return 0;
    if (g->pad_top > 2 || g->pad_left > 2 || g->in_channels < 16 || g->out_channels < 16) return 0;
    int64_t tiles_h = cnn_ceil_div(g->out_h, OUT), tiles_w = cnn_ceil_div(g->out_w, OUT),
            tiles = g->images * tiles_h * tiles_w;
    double wasted = (double)(tiles_h * tiles_w * OUT * OUT) /
                    ((double)g->out_h * g->out_w); /* pixels of tiles beyond the image */
    return tiles >= SMALLEST_TILES && tiles * CHANNELS_PER_TILE >= g->in_channels && wasted <= 1.8;
}

static int64_t tiles_of(const winograd_plan *p) { return (int64_t)p->g.images * p->tiles_h * p->tiles_w; }

/* Memory of a thread. */
typedef struct scratch {
    float *v, *m, *zeros; /* [ELEMENTS][block][in_channels + PAD]; [ELEMENTS][block][widest panel + PAD]; what lies in
                             the padding */
    const float **rows;               /* [block] tile t of V */
    ptrdiff_t *at, *m_at;             /* [block][16] pixels of y; [block] rows of M */
} scratch;

static int64_t v_row(const winograd_plan *p) { return cnn_round_up(p->g.in_channels, 16) + PAD; }

static int64_t scratch_layout(scratch *s, char *memory, const winograd_plan *p, int64_t width) {
    const int64_t sizes[] = {ELEMENTS * p->block * v_row(p) * 4,
                             ELEMENTS * p->block * (width + PAD) * 4,
                             v_row(p) * 4,
                             p->block * (int64_t)sizeof(float *),
                             p->block * OUT * OUT * (int64_t)sizeof(ptrdiff_t),
                             p->block * (int64_t)sizeof(ptrdiff_t)};
    char *part[6];
    int64_t at = 0;
    for (int i = 0; i < 6; i++) { part[i] = memory ? memory + at : NULL; at += cnn_round_up(sizes[i], CNN_ALIGNMENT); }
    *s = (scratch){.v = (float *)part[0],
                   .m = (float *)part[1],
                   .zeros = (float *)part[2],
                   .rows = (const float **)part[3],
                   .at = (ptrdiff_t *)part[4],
                   .m_at = (ptrdiff_t *)part[5]};
    return at;
}

int cnn_winograd_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g, cnn_act act,
                      const cnn_indirect_gemm_operands *t, cnn_error *error) {
    winograd_plan *p = (winograd_plan *)c->plan;
    if (cnn_indirect_gemm_check(g, act, t, error)) return -1;
    *p = (winograd_plan){.algorithm = CNN_WINOGRAD,
                         .g = *g,
                         .act = act,
                         .pad_top = g->transposed ? 2 - g->pad_top : g->pad_top,
                         .pad_left = g->transposed ? 2 - g->pad_left : g->pad_left,
                         .tiles_h = (int32_t)cnn_ceil_div(g->out_h, OUT),
                         .tiles_w = (int32_t)cnn_ceil_div(g->out_w, OUT)};
    const cnn_panels panels = cnn_panels_of(c->kernels, g->out_channels);
    const int64_t tiles = tiles_of(p), most = g->in_channels <= 32    ? 24
                                              : g->in_channels <= 64  ? 24
                                              : g->in_channels <= 256 ? 48
                                                                      : 96;
    p->ranges = (int32_t)cnn_min(panels.count, cnn_ceil_div(UNITS, cnn_ceil_div(tiles, most)));
    p->blocks = (int32_t)cnn_min(cnn_ceil_div(tiles, panels.rows),
                                 cnn_max(cnn_ceil_div(tiles, most), cnn_ceil_div(UNITS, p->ranges)));
    if (p->blocks < 4 * UNITS) p->blocks = (int32_t)cnn_min(cnn_round_up(p->blocks, 2), tiles);
    p->block = (int32_t)cnn_ceil_div(tiles, p->blocks);
    scratch s;
    choice->thread_workspace_bytes = scratch_layout(&s, NULL, p, panels.widest * panels.vl);
    if (t->mean || t->var) choice->workspace_bytes = cnn_moments_slots_bytes(g, p->blocks);
    choice->packed_bytes = ELEMENTS * (int64_t)g->in_channels * panels.vectors * panels.vl * 4;
    snprintf(p->text, sizeof p->text, "Winograd 4x4, %dx%d, %d-tile blocks", panels.rows, panels.widest * panels.vl,
             p->block);
    choice->kernel = p->text;
    return 0;
}

double cnn_winograd_flops(const cnn_call *c) { return cnn_conv2d_flops(&((const winograd_plan *)c->plan)->g); }

/* U: [panel][ELEMENTS][channel][width]. */
void cnn_winograd_pack(const cnn_call *c, const cnn_exec *e, const cnn_tensor *w_tensor) {
    const winograd_plan *p = (const winograd_plan *)c->plan;
    const cnn_panels panels = cnn_panels_of(c->kernels, p->g.out_channels);
    const int64_t channels = p->g.in_channels, tap = channels * p->g.out_channels,
                  steps = cnn_ceil_div(channels, TRANSPOSED_ROWS);
    const float *w = cnn_data(e, w_tensor);        /* (3, 3, in, out) of the forward pass */
    _Alignas(64) float gathered[9 * TRANSPOSED_ROWS * CNN_GEMM_VECTORS *
                                16]; /* [tap][row][width] of one step, zero beyond the columns */
    int64_t begin, end;
    cnn_share(e, panels.count * steps, &begin, &end);      /* parallel over panels and steps of channels */
    for (int64_t unit = begin; unit < end; unit++) {
        const cnn_panel n = cnn_panel_at(&panels, unit / steps);
        const int64_t first = unit % steps * TRANSPOSED_ROWS, rows = cnn_min(TRANSPOSED_ROWS, channels - first);
        const int64_t element = channels * n.width;
        float *u = (float *)e->packed + (int64_t)n.begin * channels * ELEMENTS + first * n.width;
        for (int k = 0; k < 9; k++) {
            float *panel = gathered + k * TRANSPOSED_ROWS * n.width;
            if (p->g.transposed)
                c->kernels->gemm->pack_transposed(rows, n.columns, n.width, w + k * tap + n.begin * channels + first,
                                                  channels, panel);
            else
                c->kernels->gemm->pack(rows, n.columns, n.width, w + k * tap + first * p->g.out_channels + n.begin,
                                       p->g.out_channels, panel);
        }
        for (int64_t r = 0; r < rows; r++)
            c->kernels->winograd->weights(n.width, gathered + r * n.width, TRANSPOSED_ROWS * n.width, p->g.transposed,
                                          u + r * n.width, element);
    }
}

/* Transforms the pixels of the block's tiles into V; notes where their results go. Returns the number of tiles. */
static int64_t gather(const cnn_call *c, const winograd_plan *p, const scratch *s, int64_t first, int64_t end,
                      const float *x) {
    const cnn_conv2d_geometry *g = &p->g;
    const int64_t row = v_row(p), stride = p->block * row;
    for (int64_t index = first; index < end; index++) {
        const int64_t t = index - first, n = index / (p->tiles_h * p->tiles_w),
                      in_image = index % (p->tiles_h * p->tiles_w);
        const int64_t out_y = in_image / p->tiles_w * OUT, out_x = in_image % p->tiles_w * OUT, y = out_y - p->pad_top,
                      left = out_x - p->pad_left;
        const float *image = x + n * g->in_h * g->in_w * g->in_channels, *pixels[ELEMENTS];
        for (int64_t i = 0; i < IN; i++)
            for (int64_t j = 0; j < IN; j++) {
                const int inside = y + i >= 0 && y + i < g->in_h && left + j >= 0 && left + j < g->in_w;
                pixels[IN * i + j] = inside ? image + ((y + i) * g->in_w + left + j) * g->in_channels : s->zeros;
            }
        c->kernels->winograd->input(g->in_channels, pixels, s->v + t * row, stride);
        s->rows[t] = s->v + t * row;
        for (int64_t i = 0; i < OUT; i++)
            for (int64_t j = 0; j < OUT; j++)
                s->at[t * OUT * OUT + OUT * i + j] = out_y + i < g->out_h && out_x + j < g->out_w
                    ? ((n * g->out_h + out_y + i) * g->out_w + out_x + j) * g->out_channels : -1;
    }
    return end - first;
}

/* M[e] = V[e] U[e] for one panel. */
static void multiply(const cnn_call *c, const winograd_plan *p, const scratch *s, int64_t tiles, const cnn_panel *n,
                     int64_t rows_most, const float *u) {
    static const int32_t no_tap = 0, one_tap = 1;
    const int64_t channels = p->g.in_channels, row = v_row(p), parts = cnn_ceil_div(tiles, rows_most),
                  m_row = n->width + PAD;
    for (int64_t t = 0; t < tiles; t++) s->m_at[t] = t * m_row;
    for (int64_t e = 0; e < ELEMENTS; e++)
        for (int64_t part = 0; part < parts; part++) {
            const int64_t begin = tiles * part / parts, rows = tiles * (part + 1) / parts - begin;
            const cnn_gemm_tile tile = {.runs = 1,
                                        .channels = channels,
                                        .x = s->rows + begin,
                                        .channel = e * p->block * row,
                                        .tap = &no_tap,
                                        .length = &one_tap,
                                        .w = u + e * channels * n->width,
                                        .y = s->m + e * p->block * m_row,
                                        .at = s->m_at + begin,
                                        .last = n->width / n->vectors,
                                        .low = -INFINITY,
                                        .high = INFINITY};
            c->kernels->gemm->tile[n->vectors][rows](&tile);
        }
}

void cnn_winograd_run(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *o) {
    const winograd_plan *p = (const winograd_plan *)c->plan;
    const cnn_conv2d_geometry *g = &p->g;
    const cnn_panels panels = cnn_panels_of(c->kernels, g->out_channels);
    const float *x = cnn_data(e, o->x), *bias = cnn_data(e, o->bias), *residual = cnn_data(e, o->residual);
    float *y = cnn_data(e, o->y);
    const cnn_epilogue epilogue = cnn_epilogue_of(p->act);
    const cnn_moments_slots slots = cnn_moments_slots_of(e->workspace, g, p->blocks);
    const int moments = o->mean || o->var;
    const int64_t tiles = tiles_of(p);
    scratch s;
    scratch_layout(&s, e->thread_workspace, p, panels.widest * panels.vl);
    memset(s.zeros, 0, (size_t)v_row(p) * 4);

    int64_t begin, end, filled = -1, count = 0;
    cnn_share(e, (int64_t)p->ranges * p->blocks, &begin, &end); /* parallel over ranges of panels and blocks of tiles */
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t block = unit % p->blocks, range = unit / p->blocks;
        if (block != filled) count = gather(c, p, &s, tiles * block / p->blocks, tiles * (block + 1) / p->blocks, x);
        filled = block;
        for (int64_t panel = panels.count * range / p->ranges; panel < panels.count * (range + 1) / p->ranges;
             panel++) {
            const cnn_panel n = cnn_panel_at(&panels, panel);
            multiply(c, p, &s, count, &n, c->kernels->gemm->rows[n.vectors],
                     (const float *)e->packed + (int64_t)n.begin * g->in_channels * ELEMENTS);
            for (int64_t t = 0; t < count; t++)
                c->kernels->winograd->output(n.columns, s.m + t * (n.width + PAD), p->block * (n.width + PAD),
                                             bias ? bias + n.begin : NULL, residual ? residual + n.begin : NULL,
                                             y + n.begin, s.at + t * OUT * OUT, epilogue.low, epilogue.high);
        }
        const int64_t from = cnn_panel_at(&panels, panels.count * range / p->ranges).begin;
        const cnn_panel final = cnn_panel_at(&panels, panels.count * (range + 1) / p->ranges - 1);
        const int64_t columns = final.begin + final.columns - from;
        int64_t pixels = 0; /* those that exist, moved to the front: V is no longer needed for the last range only, so
                               at stays valid */
        if (moments || !epilogue.in_tile) {
            ptrdiff_t *present = (ptrdiff_t *)s.m; /* M has been used */
            for (int64_t i = 0; i < count * OUT * OUT; i++) if (s.at[i] >= 0) present[pixels++] = s.at[i];
            if (moments) cnn_moments_add(c, &slots, block, range == 0, pixels, from, columns, y, present);
            if (!epilogue.in_tile)
                for (int64_t q = 0; q < pixels; q++)
                    c->kernels->elementwise->activate(p->act, columns, y + present[q] + from, y + present[q] + from);
        }
    }
    if (moments) cnn_moments_combine(c, e, &slots, cnn_data(e, o->mean), cnn_data(e, o->var));
}
