#include "weight_gradient.h"
#include "coming.h"
#include "pixel_lists.h"
#include "pointwise_weight_gradient.h"

#include <stdio.h>
#include <string.h>

enum {
    LINE = 16,                        /* floats in a cache line */
    /* Of a block: a panel of grad_y over it takes half of an L1 cache of 48 KB; where x is cut, whose tiles take little
     * of it, half of one of 32 KB. */
    BLOCK_PIXELS = 112, CUT_PIXELS = 224,
    BLOCK_ROWS = 512, BLOCK_BYTES = 512 << 10,  /* at most so much of grad_w is summed at a time: it stays in L2 */
    /* at least so many pixels in a group, or adding the partial sums costs some per cent */
    GROUP_PIXELS = 384,
    GROUPS = 16,                      /* groups wanted, for so many threads */
    PARTIAL_BYTES = 2 << 20,          /* at most so much for partial sums, that they stay in a cache */
    HIDING_PRODUCTS = 256,            /* see cnn_weight_gradient_hides_misses */
    /* So many panels and taps pay for cutting x, so many panels for a copy of x, more tiles than this for packing
     * grad_y. */
    CUT_USES = 11, COPY_USES = 8, PACK_USES = 24,
};

typedef struct gradient_plan {
    cnn_algorithm algorithm;
    cnn_conv2d_geometry g;
    cnn_conv2d_geometry window;       /* of windows: the convolution as it was asked for */
    int32_t source;                   /* see conv2d_source.h */
    /* The block's pixels are copied, further apart: for their pitch, or because the source is a copy anyway. */
    int32_t copied;
    int32_t pitch_pad;                /* floats between the pixels of the copy */
    /* x is cut: what a block reads of it is copied, so that each tile's channels of all pixels are together. The most
     * pixels of that, and floats of a pixel in a tile; 0: x is not cut. */
    int32_t span_pixels, tile_floats;
    int32_t groups, blocks, block_pixels;  /* of pixels: groups, blocks over all pixels, the largest block */
    int32_t unit_tiles, unit_panels;  /* the most of a unit */
    char text[112];
} gradient_plan;
_Static_assert(sizeof(gradient_plan) <= CNN_PLAN_BYTES, "the plan must fit");

typedef struct scratch {
    cnn_pixel_lists block[2];         /* of a block, and of the one after it, which is prefetched meanwhile */
    const float **x;                  /* [block_pixels] where they are copied */
    float *panel;                     /* [block_pixels][widest panel] grad_y of the block */
    /* x of the block, [pixel][channels + pitch_pad], or see tile_pitch; what is copied of windows */
    float *copy;
    float *d;                         /* see normalised_gradient.h: [pixel][out_channels] of the block */
} scratch;

static int64_t tiles_of_tap(const cnn_panels *panels, int64_t channels) { return cnn_ceil_div(channels, panels->rows); }

/* How the channels of a tap are cut: into `larger` tiles of rows + 1, then tiles of `rows`. */
typedef struct tap_cut { int64_t rows, larger; } tap_cut;
static int64_t first_channel(const tap_cut *cut, int64_t tile) { return tile * cut->rows + cnn_min(tile, cut->larger); }

/* The tiles that cover grad_w, a few more where panels are no whole lines of the cache: then lines are read twice where
 * grad_y is packed, and written by two panels. */
static int64_t cost_of(const cnn_panels *panels, int64_t channels) {
    const int64_t tiles = panels->count * tiles_of_tap(panels, channels);
    return panels->widest * panels->vl % LINE ? tiles + tiles / 50 + 1 : tiles;
}

cnn_panels cnn_weight_gradient_panels(const cnn_kernels *k, int64_t columns, int64_t channels) {
    cnn_panels best = cnn_panels_of(k, columns);
    for (int64_t most = best.widest - 1; most > 0; most--) {
        const cnn_panels narrower = cnn_panels_within(k, columns, most);
        if (cost_of(&narrower, channels) < cost_of(&best, channels)) best = narrower;
    }
    return best;
}

int cnn_weight_gradient_hides_misses(const cnn_panels *panels) {
    return panels->rows * panels->widest * panels->vl >= HIDING_PRODUCTS;
}

static cnn_panels panels_of(const cnn_kernels *k, const cnn_conv2d_geometry *g) {
    return cnn_weight_gradient_panels(k, g->out_channels / g->groups, g->in_channels / g->groups);
}

static int64_t taps_of(const gradient_plan *p) {
    return (int64_t)p->g.kernel_h * p->g.kernel_w;
}

/* Tiles of a unit's channels, at most. */
static int64_t unit_tiles_of_tap(const gradient_plan *p, const cnn_panels *panels) {
    return cnn_min(p->unit_tiles / taps_of(p) + 2, tiles_of_tap(panels, p->g.in_channels / p->g.groups));
}

/* From tile to tile where x is cut, [tile][pixel][tile_floats]: with what the kernel wants between them. */
static int64_t tile_pitch(const gradient_plan *p, const cnn_panels *panels) {
    return p->span_pixels * (int64_t)p->tile_floats + panels->vl;
}

/* Lays the scratch out in memory (NULL: only counts the bytes). */
static int64_t scratch_layout(scratch *s, char *memory, const gradient_plan *p, const cnn_panels *panels,
                              const cnn_normalised_gradient *gradient) {
    const int64_t n = p->block_pixels;
    cnn_layout all = {.memory = memory};
    for (int i = 0; i < 2; i++) s->block[i] = cnn_pixel_lists_take(&all, taps_of(p), n);
    s->x = cnn_take(&all, n * (int64_t)sizeof *s->x);
    s->panel = cnn_take(&all, n * panels->widest * panels->vl * 4);
    const int64_t channels = cnn_min(unit_tiles_of_tap(p, panels) * panels->rows, p->g.in_channels / p->g.groups);
    const int64_t copied = p->tile_floats ? unit_tiles_of_tap(p, panels) * tile_pitch(p, panels)
        : p->copied ? n * (channels + p->pitch_pad)
        : p->source == CNN_WINDOWS ? cnn_windows_floats(&p->window, n, 0) : 0;
    s->copy = cnn_take(&all, copied * 4);
    s->d = cnn_take(&all, gradient->out ? n * p->g.out_channels * 4 : 0);
    return all.bytes;
}

/* The most pixels that a block passes over. */
static int64_t span_pixels(const gradient_plan *p, int64_t pixels) {
    const cnn_conv2d_axis h = cnn_conv2d_axis_h(&p->g, 0), w = cnn_conv2d_axis_w(&p->g, 0);
    int64_t most = 0;
    for (int64_t block = 0; block < p->blocks; block++) {
        const cnn_pixel_span x = cnn_pixel_span_of(h, w, pixels * block / p->blocks, pixels * (block + 1) / p->blocks);
        most = cnn_max(most, x.end - x.begin);
    }
    return most;
}

/* ---- plan ---- */

/* Equally many for each group: none takes longer than the others. */
static void plan_blocks(gradient_plan *p, int64_t pixels, int64_t most) {
    p->blocks = (int32_t)cnn_round_up(cnn_ceil_div(pixels, most), p->groups);
    p->block_pixels = (int32_t)cnn_ceil_div(pixels, p->blocks);
}

/* Cuts x where that pays: once for all panels and taps, but with the pixels between those that a block reads. */
static void plan_cut(gradient_plan *p, const cnn_panels *panels, int64_t pixels) {
    if (p->source != CNN_IN_PLACE || cnn_weight_gradient_hides_misses(panels)) return;
    const gradient_plan uncut = *p;
    plan_blocks(p, pixels, CUT_PIXELS);
    p->span_pixels = (int32_t)span_pixels(p, pixels);
    p->tile_floats = panels->rows;
    if (panels->count * taps_of(p) * p->block_pixels < (int64_t)CUT_USES * p->span_pixels) *p = uncut;
}

int cnn_weight_gradient_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *geometry,
                             const cnn_weight_gradient_operands *o, cnn_error *error) {
    gradient_plan *p = (gradient_plan *)c->plan;
    if (cnn_pointwise_weight_gradient_suits(c->kernels, geometry))
        return cnn_pointwise_weight_gradient_plan(c, choice, geometry, o, error);
    if (cnn_conv2d_check_size(geometry, error)) return -1;
    *p = (gradient_plan){.algorithm = CNN_INDIRECT_GEMM, .g = cnn_conv2d_flattened(*geometry),
                         .source = o->norm.scale ? CNN_NORMALISED : CNN_IN_PLACE};
    const cnn_conv2d_geometry *g = &p->g;
    if (cnn_conv2d_has_windows(geometry)) {
        p->source = CNN_WINDOWS;
        p->window = *geometry;
        p->g = cnn_conv2d_windowed(geometry);
    }
    const cnn_panels panels = panels_of(c->kernels, g);
    p->pitch_pad = (int32_t)cnn_pitch_pad(g->in_channels);
    const int64_t pixels = (int64_t)g->images * g->out_h * g->out_w, all_panels = (int64_t)panels.count * g->groups;
    const int64_t channels = g->in_channels / g->groups, rows = taps_of(p) * channels,
        tiles = taps_of(p) * tiles_of_tap(&panels, channels);
    const int64_t grad_w_bytes = rows * g->out_channels * 4;

    p->groups = (int32_t)cnn_max(1, cnn_min(cnn_min(GROUPS, pixels / GROUP_PIXELS), PARTIAL_BYTES / grad_w_bytes));
    plan_blocks(p, pixels, BLOCK_PIXELS);
    plan_cut(p, &panels, pixels);
    p->copied = p->source == CNN_NORMALISED
        || (p->source == CNN_IN_PLACE && !p->tile_floats && taps_of(p) == 1 && p->pitch_pad
            && panels.count >= COPY_USES);
    const int64_t width = (int64_t)panels.widest * panels.vl;
    p->unit_panels = (int32_t)cnn_max(1, cnn_min(all_panels, BLOCK_BYTES / 4 / BLOCK_ROWS / width));
    p->unit_tiles = (int32_t)cnn_max(1, cnn_min(tiles, BLOCK_BYTES / 4 / (p->unit_panels * width * panels.rows)));

    scratch layout;
    choice->thread_workspace_bytes = scratch_layout(&layout, NULL, p, &panels, &o->gradient);
    choice->workspace_bytes = cnn_weight_gradient_parts_bytes(p->groups, rows * g->out_channels, g->out_channels,
                                                              o->grad_bias != NULL);
    snprintf(p->text, sizeof p->text, "direct %dx%d%s%s, %d pixel groups of %d-pixel blocks", panels.rows,
             panels.widest * panels.vl, cnn_conv2d_source_text(p->source), p->tile_floats ? ", cut" : "", p->groups,
             p->block_pixels);
    choice->kernel = p->text;
    return 0;
}

static int pointwise(const cnn_call *c) { return *(const cnn_algorithm *)c->plan == CNN_POINTWISE; }

double cnn_weight_gradient_flops(const cnn_call *c) {
    if (pointwise(c)) return cnn_pointwise_weight_gradient_flops(c);
    return cnn_conv2d_flops(&((const gradient_plan *)c->plan)->g);
}

/* ---- how the work is cut ---- */

/* What all units of a run share. */
typedef struct job {
    const cnn_call *c;
    const cnn_exec *e;
    const cnn_weight_gradient_operands *o;
    const gradient_plan *p;
    const cnn_conv2d_geometry *g;
    cnn_conv2d_axis h, w;
    cnn_panels panels;                /* of a group of the convolution */
    tap_cut tap_cut;
    int64_t pixels, taps, tap_tiles, group_in, group_out;
    int64_t tiles, all_panels;        /* of grad_w; a tile's number is channels' number * taps + tap */
    const float *x, *grad_y, *out;
    cnn_conv2d_images images;         /* x, where it is read by windows */
    cnn_weight_gradient_parts sums;
    scratch s;
    /* grad_y is read where it lies if the kernels can, whole vectors, aligned, unless packing it pays. */
    int in_place;
    /* Is the next block's x prefetched by its list? Several taps read the same pixels several times: they need it less.
     * Where x is cut all that they pass over is. */
    int ahead;
} job;

static job job_of(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o) {
    const gradient_plan *p = (const gradient_plan *)c->plan;
    const cnn_conv2d_geometry *g = &p->g;
    job j = {.c = c, .e = e, .o = o, .p = p, .g = g, .h = cnn_conv2d_axis_h(g, 0), .w = cnn_conv2d_axis_w(g, 0),
             .panels = panels_of(c->kernels, g), .pixels = (int64_t)g->images * g->out_h * g->out_w,
             .taps = taps_of(p), .group_in = g->in_channels / g->groups, .group_out = g->out_channels / g->groups,
             .x = cnn_data(e, o->x), .grad_y = cnn_data(e, o->grad_y), .out = cnn_data(e, o->gradient.out),
             .images = cnn_conv2d_images_of(c, e, o->x, o->rescaling)};
    j.tap_tiles = tiles_of_tap(&j.panels, j.group_in);
    j.tap_cut = (tap_cut){j.group_in / j.tap_tiles, j.group_in % j.tap_tiles};
    j.tiles = j.taps * j.tap_tiles;
    j.all_panels = (int64_t)j.panels.count * g->groups;
    j.sums = cnn_weight_gradient_parts_of(e, p->groups, j.taps * j.group_in, g->out_channels, cnn_data(e, o->grad_w),
                                          cnn_data(e, o->grad_bias));
    scratch_layout(&j.s, e->thread_workspace, p, &j.panels, &o->gradient);
    j.in_place = !j.sums.grad_bias && j.group_out % j.panels.vl == 0
        && ((!p->tile_floats && !cnn_pitch_pad(g->out_channels)) || j.all_panels == 1 || j.tiles <= PACK_USES)
        && (j.s.d || (uintptr_t)j.grad_y % ((size_t)j.panels.vl * sizeof(float)) == 0);
    j.ahead = j.taps == 1 && p->source != CNN_WINDOWS && !p->tile_floats;
    return j;
}

/* The first output channel of a panel. */
static int64_t column_of(const job *j, int64_t panel) {
    return panel / j->panels.count * j->group_out + cnn_panel_at(&j->panels, panel % j->panels.count).begin;
}

cnn_weight_gradient_cut cnn_weight_gradient_cut_of(int threads, int64_t groups, int64_t tiles, int64_t unit_tiles,
                                                   int64_t least_tiles, int64_t panels, int64_t unit_panels) {
    cnn_weight_gradient_cut c = {.row_ranges = cnn_ceil_div(tiles, unit_tiles),
                                 .panel_ranges = cnn_ceil_div(panels, unit_panels)};
    const int64_t columns = groups * c.panel_ranges;
    /* Ranges of a few panels differ much if they do; a thread then has all of them for the same rows. */
    const int64_t equal = panels % c.panel_ranges ? groups : columns;
    while (equal * c.row_ranges % threads && columns * c.row_ranges < 4 * threads
           && (c.row_ranges + 1) * least_tiles <= tiles)
        c.row_ranges++;
    c.count = columns * c.row_ranges;
    return c;
}

/* A thread's piece of the work: some tiles of rows of grad_w x some panels of its columns, over a group of pixels. */
typedef struct unit {
    int64_t group, first_block, end_block, first_tile, end_tile, first_panel, end_panel;
    int64_t first_cut, end_cut;       /* the tiles' channels, counted in tiles of one tap */
    int64_t column0, columns;         /* of grad_y that the panels are */
    int64_t calls;                    /* of kernels that a block takes */
} unit;

static unit unit_at(const job *j, const cnn_weight_gradient_cut *c, int64_t index) {
    const gradient_plan *p = j->p;
    const int64_t columns = index % c->panel_ranges, range = index / c->panel_ranges % c->row_ranges,
        group = index / c->row_ranges / c->panel_ranges;
    unit u = {.group = group, .first_block = (int64_t)p->blocks * group / p->groups,
        .end_block = (int64_t)p->blocks * (group + 1) / p->groups,
        .first_tile = j->tiles * range / c->row_ranges, .end_tile = j->tiles * (range + 1) / c->row_ranges,
        .first_panel = j->all_panels * columns / c->panel_ranges,
        .end_panel = j->all_panels * (columns + 1) / c->panel_ranges};
    u.first_cut = u.first_tile / j->taps;
    u.end_cut = (u.end_tile - 1) / j->taps + 1;
    u.column0 = column_of(j, u.first_panel);
    u.columns = column_of(j, u.end_panel) - u.column0;
    u.calls = (u.end_tile - u.first_tile) * (u.end_panel - u.first_panel);
    return u;
}

/* A block of pixels of a unit. */
typedef struct block {
    int64_t number, begin, end;       /* pixels */
    int64_t end_of_next;              /* end where there is no next one in the unit */
    cnn_pixel_span x;                 /* what it reads */
    const cnn_pixel_lists *now, *next;  /* next: filled if it is prefetched */
    const float *grad_y;              /* of `begin`, or d */
} block;

static block block_at(const job *j, const unit *u, int64_t number) {
    const gradient_plan *p = j->p;
    const int64_t begin = j->pixels * number / p->blocks, end = j->pixels * (number + 1) / p->blocks;
    return (block){
        .number = number, .begin = begin, .end = end, .x = cnn_pixel_span_of(j->h, j->w, begin, end),
        .end_of_next = number + 1 < u->end_block ? j->pixels * (number + 2) / p->blocks : end,
        .now = &j->s.block[number % 2], .next = &j->s.block[(number + 1) % 2],
        .grad_y = j->out ? j->s.d : j->grad_y + begin * j->g->out_channels};
}

/* ---- what the next block reads, asked for while this one is computed ---- */

/* Rows of a tensor. */
typedef struct rows {
    const float *const *at;           /* [count] where they begin, but for `first` floats */
    const float *from;                /* or, at NULL, row r begins at from + r * stride */
    int64_t first, stride, floats, count;
} rows;

/* Everything that the next block reads and that this one has not read. */
typedef struct coming {
    /* Rows of which a few lines are asked for with every kernel call, piece by piece. */
    rows piece[3];
    int64_t pieces, lines;            /* lines for a call */
    int64_t now, row, column;         /* what is asked for next */
    /* Pieces of memory of which the kernels ask for `floats` themselves, `step` for a pixel: some calls for the first,
     * then the others. */
    struct stream { const float *from; int64_t calls, floats, step; } stream[2];
    int64_t streams;
} coming;

static void add_rows(coming *c, rows r, int64_t calls) {
    if (!r.at && r.stride == r.floats) {             /* they are one */
        r.floats *= r.count;
        r.count = 1;
    }
    c->piece[c->pieces++] = r;
    c->lines += cnn_ceil_div(r.count * cnn_ceil_div(r.floats, LINE), calls);
}

/* By itself: within a long function its state would have no registers. */
static __attribute__((noinline)) void ask(coming *c) {
    for (int64_t left = c->lines; left > 0 && c->now < c->pieces;) {
        const rows *r = &c->piece[c->now];
        const float *begin = r->at ? r->at[c->row] + r->first : r->from + c->row * r->stride;
        const int64_t lines = cnn_min(left, cnn_ceil_div(r->floats - c->column, LINE));
        for (int64_t line = 0; line < lines; line++) __builtin_prefetch(begin + c->column + line * LINE, 0, 2);
        left -= lines;
        c->column += lines * LINE;
        if (c->column < r->floats) continue;
        c->column = 0;
        if (++c->row == r->count) {
            c->row = 0;
            c->now++;
        }
    }
}

static coming coming_of(const job *j, const unit *u, const block *b) {
    const cnn_conv2d_geometry *g = j->g;
    const int64_t pixels = b->end_of_next - b->end, y = b->end * g->out_channels;
    coming c = {0};
    if (pixels == 0) return c;
    /* Where the next block is one piece of memory, of grad_y (and out) or of x, and the calls are so few that each
     * would have to fetch much of it at once, the kernels fetch it while they compute: more than some 24 lines, as many
     * as a processor asks for at once. */
    const int64_t read = cnn_max(g->in_channels, (j->out ? 2 : 1) * g->out_channels);
    const int few = j->panels.widest > 1 && u->calls * LINE < 4 * read;
    const int y_streams = few && u->columns == g->out_channels && g->out_channels >= g->in_channels;
    const int x_streams = few && j->p->source != CNN_WINDOWS && cnn_conv2d_is_flat(g) && u->first_tile == 0
        && u->end_tile == j->tiles && !y_streams;
    if (x_streams) c.stream[c.streams++].from = j->x + b->end * g->in_channels;
    if (y_streams) c.stream[c.streams++].from = j->grad_y + y;
    if (y_streams && j->out) c.stream[c.streams++].from = j->out + y;
    for (int64_t i = 0; i < c.streams; i++) {
        struct stream *s = &c.stream[i];
        s->calls = u->calls * (i + 1) / c.streams - u->calls * i / c.streams;
        s->floats = cnn_ceil_div(pixels * (x_streams ? g->in_channels : g->out_channels), cnn_max(s->calls, 1));
        s->step = cnn_ceil_div(s->floats, b->end - b->begin);
    }
    rows r = {.from = j->grad_y + y + u->column0, .stride = g->out_channels, .floats = u->columns, .count = pixels};
    if (!y_streams) add_rows(&c, r, u->calls);
    if (!y_streams && j->out) {
        r.from = j->out + y + u->column0;
        add_rows(&c, r, u->calls);
    }
    if (x_streams) return c;
    r.first = u->first_panel / j->panels.count * j->group_in + first_channel(&j->tap_cut, u->first_cut);
    r.floats = (u->end_panel - 1) / j->panels.count * j->group_in + first_channel(&j->tap_cut, u->end_cut)
        - r.first;
    if (j->p->tile_floats) {
        r.from = j->x + b->x.end * g->in_channels + r.first;
        r.stride = g->in_channels;
        r.count = cnn_pixel_span_of(j->h, j->w, b->end, b->end_of_next).end - b->x.end;
        if (r.count > 0) add_rows(&c, r, u->calls);
    } else if (j->ahead) {
        r.at = b->next->x;
        r.count = b->next->count[0];
        if (r.count > 0) add_rows(&c, r, u->calls);
    }
    return c;
}

/* ---- run ---- */

/* Copies the unit's channels of the block's pixels to s->copy, normalised or gathered where they are to be; s->x: where
 * they are then. */
static void copy_pixels(const job *j, const unit *u, const block *b, int64_t conv_group) {
    const gradient_plan *p = j->p;
    const cnn_weight_gradient_operands *o = j->o;
    const scratch *s = &j->s;
    const int64_t from = first_channel(&j->tap_cut, u->first_cut),
        count = first_channel(&j->tap_cut, u->end_cut) - from, channel = conv_group * j->group_in + from;
    const int64_t pixels = b->now->count[0], pitch = count + p->pitch_pad;
    const float *const *x = b->now->x;
    if (p->source == CNN_NORMALISED) {
        const float *scale = cnn_data(j->e, o->norm.scale), *shift = cnn_data(j->e, o->norm.shift);
        const int whole = pitch == p->g.in_channels;  /* the copy lies as x does */
        for (int64_t i = 0; i < pixels; i += whole ? pixels : 1)
            j->c->kernels->batchnorm->apply(whole ? pixels : 1, count, 1, x[i] + channel, scale + channel,
                                            shift + channel, (cnn_batchnorm_residual){.x = NULL}, o->norm.act, 0,
                                            s->copy + i * pitch);
    } else {
        for (int64_t i = 0; i < pixels; i++)
            memcpy(s->copy + i * pitch, x[i] + channel, (size_t)count * sizeof **x);
    }
    for (int64_t i = 0; i < pixels; i++) s->x[i] = s->copy + i * pitch - channel;
}

/* Cuts the pixels of x that the block reads into the unit's tiles of channels. */
static void cut_pixels(const job *j, const unit *u, const block *b, int64_t conv_group) {
    const int64_t from = first_channel(&j->tap_cut, u->first_cut);
    j->c->kernels->gemm->cut(b->x.end - b->x.begin, u->end_cut - u->first_cut, j->tap_cut.rows,
                             j->tap_cut.larger - u->first_cut, j->p->tile_floats,
                             j->x + b->x.begin * j->g->in_channels + conv_group * j->group_in + from,
                             j->g->in_channels, tile_pitch(j->p, &j->panels), j->s.copy);
}

/* Packs a panel of grad_y; whoever has the first rows of grad_w adds it to grad_bias. */
static void pack_panel(const job *j, const unit *u, const block *b, int64_t panel, int64_t column) {
    const cnn_gemm_kernels *kernels = j->c->kernels->gemm;
    const int64_t width = (int64_t)j->panels.widest * j->panels.vl, pixels = b->end - b->begin;
    const int64_t columns = cnn_panel_at(&j->panels, panel % j->panels.count).columns;
    kernels->pack(pixels, columns, width, b->grad_y + column, j->g->out_channels, j->s.panel);
    if (j->sums.grad_bias && u->first_tile == 0) {
        double *sum = cnn_weight_gradient_bias_part(&j->sums, u->group) + column;
        if (b->number == u->first_block) for (int64_t i = 0; i < columns; i++) sum[i] = 0;
        kernels->add_rows(pixels, columns, width, j->s.panel, sum);
    }
}

/* Adds the products of the block's pixels to the unit's part of grad_w. */
static void multiply(const job *j, const unit *u, const block *b, coming *next) {
    const cnn_conv2d_geometry *g = j->g;
    const gradient_plan *p = j->p;
    struct stream stream = next->stream[0];
    const int64_t pitch = tile_pitch(p, &j->panels);
    for (int64_t panel = u->first_panel, conv_group = -1; panel < u->end_panel; panel++) {
        const cnn_panel n = cnn_panel_at(&j->panels, panel % j->panels.count);
        const int64_t column = column_of(j, panel);
        if (panel / j->panels.count != conv_group) {
            conv_group = panel / j->panels.count;
            if (p->tile_floats) cut_pixels(j, u, b, conv_group);
            else if (p->copied) copy_pixels(j, u, b, conv_group);
        }
        if (!j->in_place) pack_panel(j, u, b, panel, column);
        cnn_gemm_outer outer = {
            .grad_y = j->in_place ? b->grad_y + column : j->s.panel,
            .grad_y_stride = j->in_place ? g->out_channels : j->panels.widest * j->panels.vl,
            .added_stride = g->out_channels, .stride = g->out_channels, .last = n.last};
        const cnn_gemm_outer_function *kernels = j->c->kernels->gemm->outer[n.vectors];
        float *w = cnn_weight_gradient_part(&j->sums, u->group) + column;
        int64_t cut = u->first_cut, tap = u->first_tile - cut * j->taps, channel = first_channel(&j->tap_cut, cut);
        for (int64_t tile = u->first_tile; tile < u->end_tile; tile++) {
            const int64_t rows = j->tap_cut.rows + (cut < j->tap_cut.larger);
            outer.pixels = b->now->count[tap];
            outer.x = p->copied ? j->s.x : b->now->x + tap * p->block_pixels;
            outer.row = b->now->pixel + tap * p->block_pixels;
            outer.channel = p->tile_floats ? (cut - u->first_cut) * pitch : conv_group * j->group_in + channel;
            outer.w = w + (tap * j->group_in + channel) * g->out_channels;
            outer.added = b->number > u->first_block ? outer.w : NULL;
            if (stream.calls == 0) stream = next->stream[1];
            outer.ahead = stream.from;
            outer.ahead_step = stream.step;
            outer.lines = (stream.step + LINE - 1) / LINE;
            kernels[rows](&outer);
            stream.from += stream.floats;
            stream.calls--;
            if (next->lines) ask(next);
            if (++tap == j->taps) {
                tap = 0;
                cut++;
                channel += rows;
            }
        }
    }
}

/* The unit's part of a group's sums, block after block. */
static void run_unit(const job *j, const unit *u) {
    for (int64_t number = u->first_block; number < u->end_block; number++) {
        const block b = block_at(j, u, number);
        const cnn_pixel_place x = j->p->tile_floats
            ? (cnn_pixel_place){.x = j->s.copy, .first = b.x.begin, .pitch = j->p->tile_floats}
            : (cnn_pixel_place){.x = j->x, .pitch = j->g->in_channels};
        if (j->p->source == CNN_WINDOWS)
            cnn_pixel_lists_fill_windows(b.now, &j->p->window, &j->images, j->s.copy, b.begin, b.end);
        else if (number == u->first_block || !j->ahead) cnn_pixel_lists_fill(b.now, j->h, j->w, x, b.begin, b.end);
        if (b.end_of_next > b.end && j->ahead) cnn_pixel_lists_fill(b.next, j->h, j->w, x, b.end, b.end_of_next);
        coming next = coming_of(j, u, &b);
        if (j->out)
            cnn_normalised_gradient_load(j->c, j->e, &j->o->gradient, b.begin, b.end - b.begin, 0, j->g->out_channels,
                                         j->s.d, j->g->out_channels);
        multiply(j, u, &b, &next);
    }
}

void cnn_weight_gradient_run(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o) {
    if (pointwise(c)) {
        cnn_pointwise_weight_gradient_run(c, e, o);
        return;
    }
    const job j = job_of(c, e, o);
    for (int i = 0; i < 2; i++) if (j.p->source == CNN_WINDOWS) cnn_pixel_lists_number(&j.s.block[i]);
    const cnn_weight_gradient_cut parts = cnn_weight_gradient_cut_of(
        e->threads, j.p->groups, j.tiles, j.p->unit_tiles, 1, j.all_panels, j.p->unit_panels);
    cnn_work work = cnn_share_work(e, parts.count);                       /* parallel over units */
    for (int64_t index; (index = cnn_work_next(&work)) >= 0;) {
        const unit u = unit_at(&j, &parts, index);
        run_unit(&j, &u);
    }
    cnn_weight_gradient_combine(c, e, &j.sums);
}
