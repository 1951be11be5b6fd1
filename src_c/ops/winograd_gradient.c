#include "winograd_gradient.h"
#include "layout.h"
#include "panels.h"

#include <stdio.h>
#include <string.h>

enum {
    ELEMENTS = 36,
    CHANNELS = 64, /* input channels of a range, output channels of a band: their 36 sums take 590 KB */
    BLOCK_TILES = 25, /* of a block, so that their transforms stay in L2 beside the sums */
    KEPT_BLOCK_TILES = 48, /* about so many where only one element is needed at a time, which is to stay in L1 */
    /* with fewer channels writing and reading all transforms takes longer than computing them again, ... */
    KEPT_CHANNELS = 160, KEPT_CHANNELS_STRIDED = 256,
    /* ... or where so few bytes are not far away */
    KEPT_CHANNELS_NEAR = 96, NEAR_BYTES = 8 << 20,
    KEPT_BYTES = 128 << 20, /* of all transforms, at most: memory that a step would not need otherwise */
    CACHED_BYTES = 24 << 20, /* of all transforms: more do not stay in a last cache from unit to unit */
    STREAM_BYTES = 4 << 20, /* gradients as large leave the caches before the optimizer reads them */
    PART_TILES = 64, /* at least so many tiles in a part, or adding the partial gradients costs some per cent */
    UNITS = 16, /* pieces of work wanted, for so many threads */
    STAGE_UNITS = 4, /* of a stage for each thread, at least, or some wait for others */
    AHEAD = 3, /* most arrays fetched ahead */
    MOST_PANELS = 8, /* in a band: CHANNELS in panels of three vectors of 4 channels, and what rounding adds */
};

typedef struct winograd_gradient {
    cnn_algorithm algorithm;
    cnn_conv2d_geometry g;
    int32_t parts, ranges, bands;     /* of tiles, of input channels, of a bundle's output channels */
    int32_t block, blocks;            /* tiles that are transformed at once, and how many times a part has them */
    int32_t form;                     /* of the transforms of x */
    int32_t kept;                     /* are all tiles transformed before the units of work begin? ... */
    int32_t by_element;               /* ... and then multiplied element by element, all of one together? ... */
    int32_t halves;                   /* ... or those of x in two stages, see stage_at()? */
    int32_t bundles, bundled;         /* of the convolution's groups, see winograd.h */
    char text[128];
} winograd_gradient;
_Static_assert(sizeof(winograd_gradient) <= CNN_PLAN_BYTES, "the plan must fit");

static int64_t weights_of(const winograd_gradient *p) {
    return (int64_t)p->g.kernel_h * p->g.kernel_w * p->g.in_channels * p->g.out_channels / p->g.groups;
}

static int folded(const winograd_gradient *p) { return p->form == CNN_WINOGRAD_FOLDED; }

/* Channels of a bundle; in a block, of what is folded, those of four pixels. */
static int64_t in_of(const winograd_gradient *p) {
    return (folded(p) ? 4 : 1) * (int64_t)p->g.in_channels / p->bundles;
}
static int64_t out_of(const winograd_gradient *p) { return p->g.out_channels / p->bundles; }

static int strided(const winograd_gradient *p) { return p->form == CNN_WINOGRAD_STRIDED; }
static const cnn_winograd_form *form(const cnn_call *c, const winograd_gradient *p) {
    return c->kernels->winograd->form[p->form];
}

static cnn_winograd_order part_at(const winograd_gradient *p, const cnn_winograd_tiling *tiling, int64_t part) {
    const int64_t tiles = cnn_winograd_tiles(tiling);
    return cnn_winograd_order_of(tiling, tiles * part / p->parts, tiles * (part + 1) / p->parts);
}

/* Range r of a bundle's input channels, in whole vectors. */
static void range_at(const cnn_call *c, const winograd_gradient *p, int64_t r, int64_t *first, int64_t *channels) {
    const int64_t vl = c->kernels->vector, planes = cnn_ceil_div(in_of(p), vl);
    *first = planes * r / p->ranges * vl;
    *channels = cnn_min(planes * (r + 1) / p->ranges * vl, in_of(p)) - *first;
}

/* A band of a bundle's output channels: panels that x is transformed for together, or one where that is kept. */
typedef struct band {
    int64_t count;
    cnn_panel panel[MOST_PANELS];
    int64_t vector[MOST_PANELS];      /* where a panel begins in the band, in vectors, ... */
    int64_t sums[MOST_PANELS];        /* ... and where its sums do, in floats */
    int32_t begin, columns;           /* as of a panel */
} band;

/* Band i, beside so many input channels. */
static band band_at(const winograd_gradient *p, const cnn_panels *panels, int64_t i, int64_t channels) {
    const int64_t first = panels->count * i / p->bands;
    band b = {.count = panels->count * (i + 1) / p->bands - first, .begin = cnn_panel_at(panels, first).begin};
    for (int64_t j = 0; j < b.count; j++) {
        const cnn_panel n = b.panel[j] = cnn_panel_at(panels, first + j);
        b.vector[j] = (n.begin - b.begin) / panels->vl;
        b.sums[j] = (n.begin - b.begin) * cnn_round_up(channels, panels->vl);
        b.columns = n.begin + n.columns - b.begin;
    }
    return b;
}

static int64_t widest_band(const winograd_gradient *p, const cnn_panels *panels) {
    return cnn_ceil_div(panels->count, p->bands) * panels->widest * panels->vl;
}

/* The ranges whose channels of x are transformed before the units of work that need them, and those channels. */
typedef struct stage { int64_t begin, end, first, channels; } stage;

/* The stage that begins with range `begin`: all ranges, or half of them where the transforms of all would not stay in
 * the last cache until they are used and half of the units still are enough for all threads. No sum depends on it. */
static stage stage_at(const cnn_call *c, const winograd_gradient *p, const cnn_exec *e, int64_t begin) {
    const int64_t half = cnn_ceil_div(p->ranges, 2), units = half * p->bands * p->parts,
                  step = p->halves && units >= STAGE_UNITS * e->threads ? half : p->ranges;
    stage s = {.begin = begin, .end = cnn_min(begin + step, p->ranges)};
    int64_t last, channels;
    range_at(c, p, s.begin, &s.first, &channels);
    range_at(c, p, s.end - 1, &last, &channels);
    s.channels = last + channels - s.first;
    return s;
}

/* Transformed tiles: of x, and of grad_y. */
typedef struct transforms {
    float *v, *d;
    cnn_winograd_block v_block, d_block;
} transforms;

/* Memory of a thread. */
typedef struct scratch {
    transforms block;                 /* of a range of input channels and of a band, unless they are kept */
    /* [ELEMENTS][panels of a band][channels of a range][panel], elements `element` floats apart; not by element */
    float *sums;
    int64_t element;
    float *zeros;                     /* what lies outside */
    float *d;                         /* see normalised_gradient.h: the pixels of a block's tiles, of a band */
    float *rescaled;                  /* see cnn_winograd_images */
} scratch;

/* Memory of all threads. */
typedef struct shared {
    float *partial;                   /* gradients of the parts but the first, `slot` floats apart */
    int64_t slot;
    float *bias;                      /* [parts][blocks][out_channels]: sums of grad_y */
    transforms kept;                  /* those of the first part; the others follow */
    float *sums;                      /* by element: [panel][range] as a thread's, `unit` floats apart */
    int64_t unit;
} shared;

static int64_t zeros_bytes(const winograd_gradient *p) {
    const cnn_winograd_tiling t = cnn_winograd_tiling_of(&p->g, p->form);
    return cnn_winograd_zeros_bytes(&t, cnn_max(p->g.in_channels, p->g.out_channels));
}

static int64_t scratch_layout(const cnn_call *c, scratch *s, char *memory, const winograd_gradient *p,
                              const cnn_weight_gradient_operands *o) {
    const cnn_winograd_tiling tiling = cnn_winograd_tiling_of(&p->g, p->form);
    const cnn_panels panels = cnn_panels_of(c->kernels, out_of(p));
    const int64_t vl = c->kernels->vector, width = widest_band(p, &panels),
                  channels = cnn_ceil_div(cnn_ceil_div(in_of(p), vl), p->ranges) * vl;
    s->block.v_block = cnn_winograd_block_of(c->kernels, p->form, p->block, channels);
    s->block.d_block = cnn_winograd_block_of(c->kernels, p->form, p->block, width);
    s->element = channels * width + CNN_WINOGRAD_PAD;
    cnn_layout l = {.memory = memory};
    s->block.v = cnn_take(&l, p->kept ? 0 : s->block.v_block.bytes);
    s->block.d = cnn_take(&l, p->kept ? 0 : s->block.d_block.bytes);
    s->sums = cnn_take(&l, p->by_element ? 0 : ELEMENTS * s->element * 4);
    s->zeros = cnn_take(&l, zeros_bytes(p));
    s->d = cnn_take(&l, o->gradient.out ? (int64_t)p->block * tiling.out * tiling.out * width * 4 : 0);
    s->rescaled = cnn_take(&l, o->x->dtype == CNN_U8 ? cnn_winograd_rescaled_floats(&tiling) * 4 : 0);
    return l.bytes;
}

static int64_t shared_layout(const cnn_call *c, shared *s, char *memory, const winograd_gradient *p,
                             const cnn_weight_gradient_operands *o) {
    const cnn_winograd_tiling tiling = cnn_winograd_tiling_of(&p->g, p->form);
    scratch layout;
    scratch_layout(c, &layout, NULL, p, o);
    const int64_t tiles = cnn_ceil_div(cnn_winograd_tiles(&tiling), p->parts);
    s->kept.v_block = cnn_winograd_block_of(c->kernels, p->form, tiles, p->g.in_channels);
    s->kept.d_block = cnn_winograd_block_of(c->kernels, p->form, tiles, p->g.out_channels);
    s->slot = cnn_round_up(weights_of(p), CNN_ALIGNMENT / 4);
    cnn_layout l = {.memory = memory};
    s->partial = cnn_take(&l, (p->parts - 1) * s->slot * 4);
    s->bias = cnn_take(&l, o->grad_bias ? (int64_t)p->parts * p->blocks * p->g.out_channels * 4 : 0);
    s->kept.v = cnn_take(&l, p->kept ? p->parts * s->kept.v_block.bytes : 0);
    s->kept.d = cnn_take(&l, p->kept ? p->parts * s->kept.d_block.bytes : 0);
    s->unit = ELEMENTS * layout.element;
    s->sums = cnn_take(&l, p->by_element ? cnn_panels_of(c->kernels, out_of(p)).count * p->ranges * s->unit * 4 : 0);
    return l.bytes;
}

int cnn_winograd_gradient_suits(const cnn_conv2d_geometry *g) {
    const int form = cnn_winograd_form_for(g);
    return form == CNN_WINOGRAD_4X4 || form == CNN_WINOGRAD_5X5 || form == CNN_WINOGRAD_STRIDED
        || form == CNN_WINOGRAD_FOLDED;
}

int cnn_winograd_gradient_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g,
                               const cnn_weight_gradient_operands *o, cnn_error *error) {
    winograd_gradient *p = (winograd_gradient *)c->plan;
    if (cnn_conv2d_check_size(g, error)) return -1;
    *p = (winograd_gradient){.algorithm = CNN_WINOGRAD,
                             .g = *g,
                             .form = cnn_winograd_form_for(g),
                             .bundled = cnn_winograd_bundled(g)};
    p->bundles = g->groups / p->bundled;
    p->ranges = (int32_t)cnn_ceil_div(in_of(p), CHANNELS);
    const cnn_winograd_tiling tiling = cnn_winograd_tiling_of(g, p->form);
    const int64_t tiles = cnn_winograd_tiles(&tiling),
                  v_bytes = cnn_winograd_block_of(c->kernels, p->form, tiles, g->in_channels).bytes,
                  d_bytes = cnn_winograd_block_of(c->kernels, p->form, tiles, g->out_channels).bytes;
    /* Per product, a transform that is kept costs 1 / channels of the other side; hence their harmonic mean. */
    const int64_t least = v_bytes + d_bytes <= NEAR_BYTES ? KEPT_CHANNELS_NEAR
        : strided(p) ? KEPT_CHANNELS_STRIDED : KEPT_CHANNELS;
    /* Tiles of 5x5 kernels are four times as many: where keeping their transforms would pay they are far away. */
    p->kept = p->bundles == 1 && !folded(p) && p->form != CNN_WINOGRAD_5X5 &&
        2 * (int64_t)g->in_channels * g->out_channels >= least * ((int64_t)g->in_channels + g->out_channels) &&
        v_bytes + d_bytes <= KEPT_BYTES;
    const cnn_panels panels = cnn_panels_of(c->kernels, out_of(p));
    p->bands = (int32_t)(p->kept ? panels.count : cnn_min(panels.count, cnn_ceil_div(out_of(p), CHANNELS)));
    p->parts = (int32_t)cnn_max(
        1, cnn_min(tiles / PART_TILES, cnn_ceil_div(UNITS, (int64_t)p->bundles * p->bands * p->ranges)));
    const int64_t part = cnn_ceil_div(tiles, p->parts);
    p->blocks = (int32_t)cnn_ceil_div(part, BLOCK_TILES);
    p->block = (int32_t)cnn_ceil_div(part, p->blocks);
    /* What a unit at a time reads again and again, or sums of all units that are written and read again. */
    const int64_t again = (panels.count - 1) * v_bytes + (p->ranges - 1) * d_bytes,
                  sums = 2 * ELEMENTS * (int64_t)sizeof(float) * g->in_channels * g->out_channels;
    p->by_element = p->kept && p->parts == 1 && v_bytes + d_bytes > CACHED_BYTES && again > sums;
    p->halves = p->kept && !p->by_element && v_bytes + d_bytes > NEAR_BYTES;
    scratch s;
    shared all_threads;
    choice->thread_workspace_bytes = scratch_layout(c, &s, NULL, p, o);
    choice->workspace_bytes = shared_layout(c, &all_threads, NULL, p, o);
    snprintf(p->text, sizeof p->text, "Winograd %dx%d%s%s%s, %dx%d, %d parts x %d bands x %d ranges%s%s%s",
             tiling.out, tiling.out, cnn_winograd_form_text(p->form),
             cnn_winograd_phases(&tiling) > 1 ? ", in phases" : "",
             tiling.low || tiling.narrow ? ", narrow edges" : "", panels.rows, panels.widest * panels.vl, p->parts,
             p->bands, p->ranges, p->by_element ? ", element by element" : p->kept ? ", transformed once" : "",
             p->halves ? ", x by halves" : "", o->norm.scale ? ", normalised" : "");
    choice->kernel = p->text;
    return 0;
}

double cnn_winograd_gradient_flops(const cnn_call *c) {
    return cnn_conv2d_flops(&((const winograd_gradient *)c->plan)->g);
}

/* ---- run ---- */

/* What all units of a run share, and the thread's memory. */
typedef struct job {
    const cnn_call *c;
    const cnn_exec *e;
    const winograd_gradient *p;
    cnn_winograd_tiling tiling;
    cnn_panels panels;                /* of a bundle's output channels */
    cnn_winograd_images images;       /* x */
    /* As it is, or what it stands for is computed (`out` NULL: it is not). */
    const float *grad_y;
    const cnn_normalised_gradient *computed;
    float *grad_w, *grad_bias;
    scratch s;
    shared all;
    int stream;                       /* grad_w goes past the caches */
} job;

/* Transforms tiles first .. end - 1 of x, of those that `order` has in a block at v, its channels from `channel` on. */
static void transform_x(const job *j, const cnn_winograd_order *order, int64_t first, int64_t end, int64_t channel,
                        int64_t channels, const cnn_winograd_block *block, float *v) {
    const int64_t vl = j->c->kernels->vector;
    for (int64_t t = first; t < end;) {
        const cnn_winograd_strip strip = cnn_winograd_strip_at(&j->tiling, t, end);
        cnn_winograd_source in = cnn_winograd_inputs(&j->tiling, &strip, &j->images, channel, channels, j->s.zeros);
        cnn_winograd_into(&in, block, (order->end - order->begin) * vl,
                          v + cnn_winograd_place(&j->tiling, order, &strip) * vl);
        form(j->c, j->p)->input[strip.size][strip.kind](&in);
        t += strip.tiles;
    }
}

/* Computes the pixels of a strip of grad_y, and lets their source read those. */
static void compute(const job *j, const cnn_winograd_strip *strip, int64_t column, cnn_winograd_source *source) {
    const cnn_winograd_tiling *tiling = &j->tiling;
    const int64_t columns = source->channels, width = strip->columns;
    for (int64_t i = 0; i < strip->out_h; i++) {
        float *to = i < source->bottom ? j->s.d + i * width * columns : j->s.zeros;
        if (i < source->bottom)
            cnn_normalised_gradient_load(j->c, j->e, j->computed,
                                         (strip->image * tiling->out_h + strip->y + i) * tiling->out_w + strip->x,
                                         width, column, columns, to, columns);
        source->row[i] = to - strip->x * columns;
    }
    source->step = columns;
}

/* transform_x() of grad_y. bias: NULL, or set to the sums of the columns. */
static void transform_grad_y(const job *j, const cnn_winograd_order *order, int64_t first, int64_t end, int64_t column,
                             int64_t columns, const cnn_winograd_block *block, float *d, float *bias) {
    const int64_t vl = j->c->kernels->vector;
    if (bias) memset(bias, 0, (size_t)columns * sizeof *bias);
    for (int64_t t = first; t < end;) {
        const cnn_winograd_strip strip = cnn_winograd_strip_at(&j->tiling, t, end);
        cnn_winograd_source in = cnn_winograd_results(&j->tiling, &strip, j->grad_y, column, columns, j->s.zeros);
        if (j->computed->out) compute(j, &strip, column, &in);
        cnn_winograd_into(&in, block, (order->end - order->begin) * vl,
                          d + cnn_winograd_place(&j->tiling, order, &strip) * vl);
        form(j->c, j->p)->gradient[strip.size][strip.kind](&in, bias);
        t += strip.tiles;
    }
}

/* Where the sums of grad_y over a block go. */
static float *bias_of(const job *j, int64_t part, int64_t block) {
    return j->all.bias ? j->all.bias + (part * j->p->blocks + block) * j->p->g.out_channels : NULL;
}

/* The transforms that are kept, of a part. */
static transforms kept_of(const job *j, int64_t part) {
    transforms t = j->all.kept;
    t.v += part * t.v_block.bytes / 4;
    t.d += part * t.d_block.bytes / 4;
    return t;
}

/* All tiles: a stage's channels of x, and with the first stage grad_y. Parallel over parts, blocks. */
static void transform_all(const job *j, const stage *of) {
    const winograd_gradient *p = j->p;
    cnn_work work = cnn_share_work(j->e, (int64_t)p->parts * p->blocks);
    for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) {
        const int64_t part = unit / p->blocks, block = unit % p->blocks;
        const transforms t = kept_of(j, part);
        const cnn_winograd_order order = part_at(p, &j->tiling, part);
        const int64_t first = order.begin + block * p->block, end = cnn_min(first + p->block, order.end);
        transform_x(j, &order, first, end, of->first, of->channels, &t.v_block, t.v);
        if (of->begin > 0) continue;
        transform_grad_y(j, &order, first, end, 0, p->g.out_channels, &t.d_block, t.d, bias_of(j, part, block));
    }
    cnn_barrier(j->e);
}

/* Memory that is wanted soon, see cnn_winograd_ahead. */
typedef struct memory { const char *from, *to; } memory;

/* Of an element's transforms in a block, those of `channels` channels from `channel` on. */
static memory channels_of(const float *v, const cnn_winograd_block *block, int64_t vl, int strided, int64_t e,
                          int64_t channel, int64_t channels) {
    const int64_t plane = cnn_winograd_slots(strided, (int)e) * block->plane;
    const float *from = v + cnn_winograd_first_slot(strided, (int)e) * block->element + channel / vl * plane;
    return (memory){(const char *)from, (const char *)(from + cnn_ceil_div(channels, vl) * plane)};
}

/* How many calls sum a piece's products, about KEPT_BLOCK_TILES each. */
static int64_t calls_of(const cnn_winograd_piece *piece) {
    return cnn_max(1, (piece->rows + KEPT_BLOCK_TILES / 2) / KEPT_BLOCK_TILES);
}

/* sums = the products of an element whose tiles are transformed: a range of channels, a panel, the tiles of `order`.
 * Meanwhile next_v and next_d are fetched. */
static void multiply_element(const job *j, const transforms *t, float *sums, const cnn_winograd_order *order, int64_t e,
                             int64_t channel, int64_t channels, const cnn_panel *n, memory next_v, memory next_d) {
    const cnn_winograd_kernels *kernels = j->c->kernels->winograd;
    const int is_strided = strided(j->p);
    const int64_t vl = j->c->kernels->vector, slots = cnn_winograd_slots(is_strided, (int)e),
                  steps = cnn_ceil_div(channels, kernels->outer_channels[n->vectors]);
    const memory v = channels_of(t->v, &t->v_block, vl, is_strided, e, channel, channels),
                 d = channels_of(t->d, &t->d_block, vl, is_strided, e, n->begin, n->width);
    cnn_winograd_outer outer = {.channels = channels,
                                .v_plane = slots * t->v_block.plane,
                                .d_plane = slots * t->d_block.plane,
                                .sums = sums};
    cnn_winograd_piece piece;
    int64_t all = 0;
    for (int64_t slot = 0; slot < slots;) {
        slot += cnn_winograd_piece_at(order, e, slot, &piece);
        all += calls_of(&piece);
    }
    cnn_winograd_ahead ahead = cnn_winograd_ahead_of(next_d.from, next_d.to, all * steps),
                       ahead_v = cnn_winograd_ahead_of(next_v.from, next_v.to, all * steps);
    for (int64_t slot = 0; slot < slots;) {
        slot += cnn_winograd_piece_at(order, e, slot, &piece);
        const int64_t calls = calls_of(&piece);
        for (int64_t call = 0; call < calls; call++) {
            const int64_t first = piece.rows * call / calls;
            outer.tiles = piece.rows * (call + 1) / calls - first;
            outer.v = (const float *)v.from + (piece.first + first) * vl;
            outer.d = (const float *)d.from + (piece.first + first) * vl;
            outer.ahead = cnn_winograd_advance(&ahead, steps, &outer.lines);
            outer.ahead_v = cnn_winograd_advance(&ahead_v, steps, &outer.lines_v);
            kernels->outer[n->vectors](&outer);
            outer.accumulate = 1;
        }
    }
}

/* The sums of a unit, of all elements. */
static void multiply_kept(const job *j, int64_t part, int64_t channel, int64_t channels, const cnn_panel *n) {
    const int64_t vl = j->c->kernels->vector;
    const transforms t = kept_of(j, part);
    const cnn_winograd_order order = part_at(j->p, &j->tiling, part);
    for (int64_t e = 0; e < ELEMENTS; e++)
        multiply_element(j, &t, j->s.sums + e * j->s.element, &order, e, channel, channels, n,
                         channels_of(t.v, &t.v_block, vl, strided(j->p), e + 1, channel, channels),
                         channels_of(t.d, &t.d_block, vl, strided(j->p), e + 1, n->begin, n->width));
}

/* The sums of all units. Parallel over elements and ranges of channels: what an element has stays in L2, or passes
 * through it once a range. */
static void multiply_by_element(const job *j) {
    const winograd_gradient *p = j->p;
    const transforms t = kept_of(j, 0);
    const cnn_winograd_order order = part_at(p, &j->tiling, 0);
    const int64_t vl = j->c->kernels->vector, count = j->panels.count;
    cnn_work work = cnn_share_work(j->e, (int64_t)ELEMENTS * p->ranges);
    for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) {
        const int64_t element = unit / p->ranges, range = unit % p->ranges, next = (unit + 1) / p->ranges;
        int64_t first, channels, next_first, next_channels;
        range_at(j->c, p, range, &first, &channels);
        range_at(j->c, p, (unit + 1) % p->ranges, &next_first, &next_channels);
        const memory next_v = channels_of(t.v, &t.v_block, vl, strided(p), next, next_first, next_channels);
        for (int64_t panel = 0; panel < count; panel++) {
            const cnn_panel n = cnn_panel_at(&j->panels, panel), after = cnn_panel_at(&j->panels, (panel + 1) % count);
            const int64_t bytes = next_v.to - next_v.from;
            multiply_element(j, &t, j->all.sums + (panel * p->ranges + range) * j->all.unit + element * j->s.element,
                             &order, element, first, channels, &n,
                             (memory){next_v.from + bytes * panel / count, next_v.from + bytes * (panel + 1) / count},
                             channels_of(t.d, &t.d_block, vl, strided(p), panel + 1 < count ? element : next,
                                         after.begin, after.width));
        }
    }
    cnn_barrier(j->e);
}

/* The sums of a unit, of all elements, whose tiles are transformed on the way, a block at a time: of `channels` of x
 * from `channel` on and of a band, `base` being the first output channel of its bundle. bias: are the sums of grad_y
 * wanted? */
static void transform_and_multiply(const job *j, int64_t part, int64_t channel, int64_t channels, int64_t base,
                                   const band *n, int bias) {
    const winograd_gradient *p = j->p;
    const cnn_winograd_tiling *tiling = &j->tiling;
    const cnn_winograd_kernels *kernels = j->c->kernels->winograd;
    const transforms *b = &j->s.block;
    const int64_t vl = j->c->kernels->vector, column = base + n->begin;
    const cnn_winograd_order all = part_at(p, tiling, part);
    const int64_t begin = all.begin, end = all.end;
    for (int64_t at = begin; at < end; at += p->block) {
        const int64_t tiles = cnn_min(p->block, end - at);
        float *sum = bias ? bias_of(j, part, (at - begin) / p->block) : NULL;
        const cnn_winograd_order order = cnn_winograd_order_of(tiling, at, at + tiles);
        transform_x(j, &order, at, at + tiles, channel, folded(p) ? p->g.in_channels : channels, &b->v_block, b->v);
        transform_grad_y(j, &order, at, at + tiles, column, n->columns, &b->d_block, b->d, sum ? sum + column : NULL);
        /* Meanwhile the pixels of the next block are fetched: of x, of grad_y, of what that is computed from. */
        const int64_t next = cnn_min(end, at + tiles + p->block),
                      steps = cnn_ceil_div(channels, kernels->outer_channels[j->panels.widest]);
        const char *from[AHEAD] = {j->images.x.x, (const char *)j->grad_y, cnn_data(j->e, j->computed->out)},
                   *to[AHEAD] = {from[0], from[1], from[2]};
        const int64_t arrays = j->computed->out ? AHEAD : AHEAD - 1, share = ELEMENTS / arrays;
        if (next > at + tiles) {
            from[0] += cnn_winograd_input_bytes(tiling, &j->images, at + tiles);
            to[0] += cnn_winograd_input_bytes(tiling, &j->images, next);
            for (int64_t i = 1; i < arrays; i++) {
                from[i] += cnn_winograd_result_bytes(tiling, at + tiles);
                to[i] += cnn_winograd_result_bytes(tiling, next);
            }
        }
        cnn_winograd_ahead ahead = {0};
        cnn_winograd_outer outer = {.channels = channels};
        cnn_winograd_piece piece;
        for (int64_t e = 0; e < ELEMENTS; e++) {
            if (e % share == 0) ahead = cnn_winograd_ahead_of(from[e / share], to[e / share], share * steps);
            outer.ahead = cnn_winograd_advance(&ahead, steps, &outer.lines);
            const int64_t slots = cnn_winograd_slots(strided(p), (int)e),
                          first = cnn_winograd_first_slot(strided(p), (int)e);
            const float *v = b->v + first * b->v_block.element, *d = b->d + first * b->d_block.element;
            outer.v_plane = slots * b->v_block.plane;
            outer.d_plane = slots * b->d_block.plane;
            outer.accumulate = at > begin;
            for (int64_t slot = 0; slot < slots;) {
                slot += cnn_winograd_piece_at(&order, e, slot, &piece);
                outer.tiles = piece.rows;
                outer.v = v + piece.first * vl;
                for (int64_t i = 0; i < n->count; i++) {
                    outer.d = d + n->vector[i] * outer.d_plane + piece.first * vl;
                    outer.sums = j->s.sums + e * j->s.element + n->sums[i];
                    kernels->outer[n->panel[i].vectors](&outer);
                    outer.lines = 0;
                }
                outer.accumulate = 1;
            }
        }
    }
}

/* The same as below of what is folded, whose rows are those of pack_folded() in winograd.c; all channels of a panel. */
static void folded_weight_gradients(const job *j, const float *sums, int64_t channels, const cnn_panel *n, float *to) {
    enum { TAPS = CNN_FOLDED_TAPS * CNN_FOLDED_TAPS };
    const cnn_conv2d_geometry *g = &j->p->g;
    float taps[TAPS * CNN_GEMM_VECTORS * 16];
    for (int64_t row = 0; row < channels; row++) {
        const int64_t pixel = row / g->in_channels, channel = row % g->in_channels;
        form(j->c, j->p)->weight_gradient(n->columns, sums + row * n->width, j->s.element, taps, n->width, 0);
        for (int64_t k = 0; k < TAPS; k++) {
            const int64_t tap = cnn_folded_tap(g, pixel, k);
            if (tap >= 0)
                memcpy(to + (tap * g->in_channels + channel) * g->out_channels + n->begin, taps + k * n->width,
                       (size_t)n->columns * sizeof *to);
        }
    }
}

/* Asks for where `columns` gradients of each tap go: as many places, and memory that nothing has used for long. */
static void ask_for_taps(const float *w, int taps, int64_t columns, int64_t tap) {
    enum { LINE = CNN_WINOGRAD_LINE / sizeof(float) };
    for (int k = 0; k < taps; k++)
        for (int64_t n = 0; n < columns; n += LINE) __builtin_prefetch(w + k * tap + n, 1);
}

/* The gradients of a panel's weights, from its sums: of input channels `first` and on of a bundle, where they are of
 * the same group. to: those of the bundle's first output. */
static void weight_gradients(const job *j, const float *sums, int64_t first, int64_t channels, const cnn_panel *n,
                             float *to) {
    const winograd_gradient *p = j->p;
    const int64_t in = in_of(p) / p->bundled, out = out_of(p) / p->bundled,        /* of a group */
                  tap = (int64_t)p->g.in_channels * p->g.out_channels / p->g.groups;
    if (folded(p)) {
        folded_weight_gradients(j, sums, channels, n, to);
        return;
    }
    for (int64_t row = 0; row < channels; row++) {
        const int64_t group = (first + row) / in, begin = cnn_max(n->begin, group * out),
                      end = cnn_min(n->begin + n->columns, (group + 1) * out);
        if (begin >= end) continue;
        float *w = to + (first + row) % in * p->g.out_channels + begin;
        if (!j->stream)                                                             /* of the next row */
            ask_for_taps(w + p->g.out_channels, p->g.kernel_h * p->g.kernel_w, end - begin, tap);
        form(j->c, p)->weight_gradient(end - begin, sums + row * n->width + begin - n->begin, j->s.element, w, tap,
                                       j->stream);
    }
}

/* A unit of a stage: a part of the tiles, a bundle, a band, a range of channels. */
static void run_unit(job *j, const stage *at, int64_t unit) {
    const winograd_gradient *p = j->p;
    const int64_t ranges = at->end - at->begin, range = at->begin + unit % ranges,
                  band_number = unit / ranges % p->bands, bundle = unit / ranges / p->bands % p->bundles,
                  part = unit / ranges / p->bands / p->bundles, base = bundle * out_of(p);
    int64_t first, channels;
    range_at(j->c, p, range, &first, &channels);
    const band b = band_at(p, &j->panels, band_number, channels);
    if (p->by_element) j->s.sums = j->all.sums + (band_number * p->ranges + range) * j->all.unit;
    else if (p->kept) multiply_kept(j, part, first - at->first, channels, b.panel);
    else transform_and_multiply(j, part, bundle * in_of(p) + first, channels, base, &b, range == 0);
    float *to = (part ? j->all.partial + (part - 1) * j->all.slot : j->grad_w) + base;
    for (int64_t i = 0; i < b.count; i++)
        weight_gradients(j, j->s.sums + b.sums[i], first, channels, &b.panel[i], to);
}

/* Adds what the parts and blocks have summed. Parallel over weights, and over output channels; the parts in order. */
static void add_parts(const job *j) {
    const winograd_gradient *p = j->p;
    const int64_t out = p->g.out_channels;
    int64_t begin, end;
    cnn_share_grain(j->e, weights_of(p), 256, &begin, &end);
    if (begin < end)
        j->c->kernels->gemm->add_parts(p->parts - 1, j->all.slot, end - begin, j->all.partial + begin,
                                       j->grad_w + begin);
    if (!j->grad_bias) return;
    cnn_share_grain(j->e, out, 16, &begin, &end);
    for (int64_t k = begin; k < end; k++) {
        double sum = 0;
        for (int64_t block = 0; block < (int64_t)p->parts * p->blocks; block++) sum += j->all.bias[block * out + k];
        j->grad_bias[k] = (float)sum;
    }
}

void cnn_winograd_gradient_run(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o) {
    const winograd_gradient *p = (const winograd_gradient *)c->plan;
    job j = {.c = c,
             .e = e,
             .p = p,
             .tiling = cnn_winograd_tiling_of(&p->g, p->form),
             .panels = cnn_panels_of(c->kernels, out_of(p)),
             .grad_y = cnn_data(e, o->grad_y),
             .computed = &o->gradient,
             .grad_w = cnn_data(e, o->grad_w),
             .grad_bias = cnn_data(e, o->grad_bias)};
    scratch_layout(c, &j.s, e->thread_workspace, p, o);
    shared_layout(c, &j.all, e->workspace, p, o);
    memset(j.s.zeros, 0, (size_t)zeros_bytes(p));
    j.images = cnn_winograd_images_of(c, e, o->x, &o->norm, o->rescaling, j.s.rescaled);
    j.stream = c->kernels->gemm->streams && p->parts == 1 && p->bundles == 1 && weights_of(p) * 4 >= STREAM_BYTES &&
        p->g.out_channels % c->kernels->vector == 0 && (uintptr_t)j.grad_w % CNN_ALIGNMENT == 0;

    for (int64_t range = 0; range < p->ranges;) {
        const stage at = stage_at(c, p, e, range);
        if (range > 0) cnn_barrier(e);             /* its channels take the place of those of the stage before */
        if (p->kept) transform_all(&j, &at);
        if (p->by_element) multiply_by_element(&j);
        cnn_work work = cnn_share_work(e, (int64_t)p->parts * p->bundles * p->bands * (at.end - at.begin));
        for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) run_unit(&j, &at, unit);       /* parallel over units */
        range = at.end;
    }
    if (j.stream) c->kernels->gemm->stream_end();
    if (p->parts == 1 && !j.grad_bias) return;
    cnn_barrier(e);
    add_parts(&j);
}
