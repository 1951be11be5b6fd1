#include "weight_gradient.h"
#include "coming.h"
#include "layout.h"
#include "panels.h"

#include <stdio.h>
#include <string.h>

enum {
    BLOCK_PIXELS = 96,                /* a panel of grad_y over a block takes half of an L1 cache of 48 KB */
    BLOCK_ROWS = 512, BLOCK_BYTES = 512 << 10,  /* at most so much of grad_w is summed at a time: it stays in L2 */
    /* at least so many pixels in a group, or adding the partial sums costs some per cent */
    GROUP_PIXELS = 384,
    GROUPS = 16,                      /* groups wanted, for so many threads */
    PARTIAL_BYTES = 2 << 20,          /* at most so much for partial sums, that they stay in a cache */
    HIDING_PRODUCTS = 256,            /* see hides_misses */
    COPY_USES = 8, PACK_USES = 16,    /* so many panels pay for a copy of x, more tiles than this for packing grad_y */
};

typedef struct gradient_plan {
    cnn_algorithm algorithm;
    cnn_conv2d_geometry g;
    cnn_conv2d_geometry window;       /* of a gathered source: what is gathered */
    int32_t source;                   /* see conv2d_source.h */
    /* pixels are copied, further apart: for their pitch, or because the source is a copy anyway */
    int32_t copied;
    int32_t pitch_pad;                /* floats between the pixels of the copy */
    int32_t groups, blocks, block_pixels;  /* of pixels: groups, blocks over all pixels, the largest block */
    int32_t unit_tiles, unit_panels;  /* the most of a unit */
    char text[112];
} gradient_plan;
_Static_assert(sizeof(gradient_plan) <= CNN_PLAN_BYTES, "the plan must fit");

/* ---- where the pixels of a block are, tap by tap ---- */

typedef struct lists {
    int32_t *count;                   /* [taps] pixels whose tap is inside the image */
    const float **x;                  /* [taps][block_pixels] the tensor's */
    int32_t *pixel;                   /* [taps][block_pixels] their numbers in the block */
} lists;

typedef struct scratch {
    lists block[2];                   /* of a block, and of the one after it, which is prefetched meanwhile */
    const float **x;                  /* [block_pixels] where they are copied */
    float *panels;                    /* [unit_panels][block_pixels][widest panel] grad_y of the block */
    float *copy;                      /* x of the block, [pixel][channels + pitch_pad] of one tap */
    float *d, *constants;             /* see normalised_gradient.h: [pixel][out_channels] of the block */
} scratch;

static int64_t tiles_of_tap(const cnn_panels *panels, int64_t channels) { return cnn_ceil_div(channels, panels->rows); }

/* How the channels of a tap are cut: into `larger` tiles of rows + 1, then tiles of `rows`. */
typedef struct tap_cut { int64_t rows, larger; } tap_cut;
static int64_t first_channel(const tap_cut *cut, int64_t tile) { return tile * cut->rows + cnn_min(tile, cut->larger); }

/* Panels of such a width that the fewest tiles cover grad_w: panels and tiles of unequal sizes leave registers idle. */
static cnn_panels panels_of(const cnn_kernels *k, const cnn_conv2d_geometry *g) {
    const int64_t columns = g->out_channels / g->groups, channels = g->in_channels / g->groups;
    cnn_panels best = cnn_panels_of(k, columns);
    for (int64_t most = best.widest - 1; most > 0; most--) {
        const cnn_panels narrower = cnn_panels_within(k, columns, most);
        if (narrower.count * tiles_of_tap(&narrower, channels) < best.count * tiles_of_tap(&best, channels))
            best = narrower;
    }
    return best;
}

/* Has a tile so many multiply-adds a pixel that what misses the first cache arrives meanwhile? Then pixels are read
 * where they lie, whatever their pitch. */
static int hides_misses(const cnn_panels *panels) {
    return panels->rows * panels->widest * panels->vl >= HIDING_PRODUCTS;
}

static int64_t taps_of(const gradient_plan *p) {
    return (int64_t)p->g.kernel_h * p->g.kernel_w;
}

/* Lays the scratch out in memory (NULL: only counts the bytes). */
static int64_t scratch_layout(scratch *s, char *memory, const gradient_plan *p, const cnn_panels *panels,
                              const cnn_normalised_gradient *gradient) {
    const int64_t n = p->block_pixels, taps = taps_of(p);
    cnn_layout all = {.memory = memory};
    for (lists *l = s->block; l < s->block + 2; l++) {
        l->count = cnn_take(&all, taps * (int64_t)sizeof *l->count);
        l->x = cnn_take(&all, taps * n * (int64_t)sizeof *l->x);
        l->pixel = cnn_take(&all, taps * n * (int64_t)sizeof *l->pixel);
    }
    s->x = cnn_take(&all, n * (int64_t)sizeof *s->x);
    s->panels = cnn_take(&all, p->unit_panels * n * panels->widest * panels->vl * 4);
    const int64_t channels = cnn_min(p->unit_tiles * (int64_t)panels->rows, p->g.in_channels / p->g.groups);
    const int64_t copied = p->source == CNN_GATHERED
        ? cnn_conv2d_gather_floats(&p->window, n, p->g.in_channels + p->pitch_pad) : n * (channels + p->pitch_pad);
    s->copy = cnn_take(&all, p->copied ? copied * 4 : 0);
    s->d = cnn_take(&all, gradient->out ? n * p->g.out_channels * 4 : 0);
    s->constants = cnn_take(&all, cnn_normalised_gradient_constants_floats(gradient, p->g.out_channels) * 4);
    return all.bytes;
}

/* Fills the lists of taps first_tap .. end_tap - 1 for the pixels begin .. end - 1. x NULL: without pointers, where the
 * pixels are yet to be gathered. */
static void lists_fill(const lists *l, const gradient_plan *p, const cnn_conv2d_axis *h, const cnn_conv2d_axis *w,
                       const float *x, int64_t begin, int64_t end, int64_t first_tap, int64_t end_tap) {
    const ptrdiff_t x_pixel = p->g.in_channels, x_row = p->g.in_w * x_pixel, x_image = p->g.in_h * x_row,
        step = w->multiplier * x_pixel;
    const int64_t begin_row = begin / w->count, begin_n = begin_row / h->count;
    for (int64_t tap = first_tap; tap < end_tap; tap++) {
        const int64_t dh = h->offset + tap / w->taps * h->offset_step, dw = w->offset + tap % w->taps * w->offset_step;
        const float **xs = l->x + tap * p->block_pixels;
        int32_t *pixels = l->pixel + tap * p->block_pixels;
        /* Columns j with 0 <= j * multiplier + dw < size. */
        const int64_t from = dw >= 0 ? 0 : (-dw + w->multiplier - 1) / w->multiplier;
        const int64_t to = dw >= w->size ? 0 : (w->size - 1 - dw) / w->multiplier + 1;
        int64_t count = 0, n = begin_n, i = begin_row - begin_n * h->count, j = begin - begin_row * w->count;
        for (int64_t q = begin; q < end;) {                  /* one row of output pixels at a time */
            const int64_t stop = cnn_min(w->count, j + end - q), ih = i * h->multiplier + dh;
            const int64_t first = cnn_max(j, from), inside = cnn_min(stop, to) - first;
            if (ih >= 0 && ih < h->size && inside > 0) {
                const int32_t number = (int32_t)(q - begin + first - j);
                for (int64_t k = 0; k < inside; k++) pixels[count + k] = number + (int32_t)k;
                if (x) {
                    const float *in = x + n * x_image + ih * x_row + (first * w->multiplier + dw) * x_pixel;
                    for (int64_t k = 0; k < inside; k++) xs[count + k] = in + k * step;
                }
                count += inside;
            }
            q += stop - j;
            j = 0;
            if (++i == h->count) { i = 0; n++; }
        }
        l->count[tap] = (int32_t)count;
    }
}

/* ---- plan ---- */

int cnn_weight_gradient_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *geometry,
                             const cnn_weight_gradient_operands *o, cnn_error *error) {
    gradient_plan *p = (gradient_plan *)c->plan;
    if (cnn_conv2d_check_size(geometry, error)) return -1;
    *p = (gradient_plan){.algorithm = CNN_INDIRECT_GEMM, .g = cnn_conv2d_flattened(*geometry),
                         .source = o->norm.scale ? CNN_NORMALISED : CNN_IN_PLACE};
    const cnn_conv2d_geometry *g = &p->g;
    if (cnn_conv2d_gathers(geometry)) {
        p->source = CNN_GATHERED;
        p->window = *geometry;
        p->g = cnn_conv2d_gathered(geometry);
    }
    const cnn_panels panels = panels_of(c->kernels, g);
    p->pitch_pad = (int32_t)cnn_pitch_pad(g->in_channels);
    p->copied = p->source != CNN_IN_PLACE || (p->pitch_pad && panels.count >= COPY_USES && !hides_misses(&panels));
    const int64_t pixels = (int64_t)g->images * g->out_h * g->out_w, all_panels = (int64_t)panels.count * g->groups;
    const int64_t channels = g->in_channels / g->groups, rows = taps_of(p) * channels,
        tiles = taps_of(p) * tiles_of_tap(&panels, channels);
    const int64_t grad_w_bytes = rows * g->out_channels * 4;

    p->blocks = (int32_t)cnn_ceil_div(pixels, BLOCK_PIXELS);
    p->block_pixels = (int32_t)cnn_ceil_div(pixels, p->blocks);
    p->groups = (int32_t)cnn_max(1, cnn_min(cnn_min(GROUPS, pixels / GROUP_PIXELS), PARTIAL_BYTES / grad_w_bytes));
    const int64_t width = (int64_t)panels.widest * panels.vl;
    p->unit_panels = (int32_t)cnn_max(1, cnn_min(all_panels, BLOCK_BYTES / 4 / BLOCK_ROWS / width));
    p->unit_tiles = (int32_t)cnn_max(1, cnn_min(tiles, BLOCK_BYTES / 4 / (p->unit_panels * width * panels.rows)));

    scratch layout;
    choice->thread_workspace_bytes = scratch_layout(&layout, NULL, p, &panels, &o->gradient);
    choice->workspace_bytes = cnn_weight_gradient_parts_bytes(p->groups, rows * g->out_channels, g->out_channels,
                                                              o->grad_bias != NULL);
    snprintf(p->text, sizeof p->text, "direct %dx%d%s, %d pixel groups of %d-pixel blocks", panels.rows,
             panels.widest * panels.vl, cnn_conv2d_source_text(p->source), p->groups, p->block_pixels);
    choice->kernel = p->text;
    return 0;
}

double cnn_weight_gradient_flops(const cnn_call *c) { return cnn_conv2d_flops(&((const gradient_plan *)c->plan)->g); }

/* ---- run ---- */

/* A thread's piece of the work: some tiles of rows of grad_w x some panels of its columns, over a group of pixels. */
typedef struct unit { int64_t first_tile, end_tile, first_panel, end_panel, first_block, end_block; } unit;

/* How grad_w is cut for this number of threads. Any cut gives the same sums: only groups and blocks of pixels, which
 * the shapes fix, decide how they are added up. */
typedef struct cut { int64_t row_ranges, panel_ranges, count; } cut;

static cut cut_of(const gradient_plan *p, int64_t tiles, int64_t panels, int64_t threads) {
    cut c = {.row_ranges = cnn_ceil_div(tiles, p->unit_tiles), .panel_ranges = cnn_ceil_div(panels, p->unit_panels)};
    const int64_t columns = p->groups * c.panel_ranges;
    /* Ranges of a few panels differ much if they do; a thread then has all of them for the same rows. */
    const int64_t equal = panels % c.panel_ranges ? p->groups : columns;
    while (equal * c.row_ranges % threads && columns * c.row_ranges < 4 * threads && c.row_ranges < tiles)
        c.row_ranges++;
    c.count = columns * c.row_ranges;
    return c;
}

static unit unit_at(const gradient_plan *p, const cut *c, int64_t tiles, int64_t panels, int64_t index) {
    const int64_t columns = index % c->panel_ranges, range = index / c->panel_ranges % c->row_ranges,
        group = index / c->row_ranges / c->panel_ranges;
    return (unit){.first_tile = tiles * range / c->row_ranges, .end_tile = tiles * (range + 1) / c->row_ranges,
        .first_panel = panels * columns / c->panel_ranges, .end_panel = panels * (columns + 1) / c->panel_ranges,
        .first_block = (int64_t)p->blocks * group / p->groups, .end_block = (int64_t)p->blocks * (group + 1)
            / p->groups};
}

enum { LINE = 16 };                   /* floats in a cache line */

/* The first output channel of a panel. */
static int64_t column_of(const cnn_panels *panels, int64_t group_out, int64_t panel) {
    return panel / panels->count * group_out + cnn_panel_at(panels, panel % panels->count).begin;
}

/* Rows of a tensor that the next block reads. A few lines of them are asked for with every kernel call. */
typedef struct coming {
    const float *const *x;            /* [rows] where they begin, but for `first` floats */
    const float *grad_y;              /* or, x NULL, row r begins at grad_y + r * stride */
    int64_t first, stride, floats, rows, lines;  /* floats of a row; lines for a call */
    int64_t row, at;                  /* what is asked for next */
} coming;

static coming coming_of(const float *const *x, const float *grad_y, int64_t first, int64_t stride, int64_t floats,
                        int64_t rows, int64_t calls) {
    return (coming){x, grad_y, first, stride, floats, rows,
                    .lines = cnn_ceil_div(rows * cnn_ceil_div(floats, LINE), calls)};
}

static void ask(coming *c) {
    for (int64_t line = 0; line < c->lines && c->row < c->rows; line++) {
        const float *begin = c->x ? c->x[c->row] + c->first : c->grad_y + c->row * c->stride;
        __builtin_prefetch(begin + c->at, 0, 2);
        c->at += LINE;
        if (c->at >= c->floats) {
            c->at = 0;
            c->row++;
        }
    }
}

/* Copies channels from..from + count of the block's pixels, q0 and on, which lie at x, to s->copy, normalised or
 * gathered where they are to be; s->x: where they are then. */
static void copy_pixels(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o, const scratch *s,
                        const float *const *x, int64_t q0, int64_t pixels, int64_t from, int64_t count) {
    const gradient_plan *p = (const gradient_plan *)c->plan;
    const int64_t pitch = count + p->pitch_pad;
    if (p->source == CNN_GATHERED) {                  /* all channels: they are few */
        const int64_t all = p->g.in_channels + p->pitch_pad;
        const cnn_conv2d_images images = cnn_conv2d_images_of(c, e, o->x, o->rescaling);
        cnn_conv2d_gather(&p->window, &images, q0, q0 + pixels, all, s->copy);
        for (int64_t i = 0; i < pixels; i++) s->x[i] = s->copy + i * all;
        return;
    }
    if (p->source == CNN_NORMALISED) {
        const float *scale = cnn_data(e, o->norm.scale), *shift = cnn_data(e, o->norm.shift);
        const int whole = pitch == p->g.in_channels;  /* the copy lies as x does */
        for (int64_t i = 0; i < pixels; i += whole ? pixels : 1)
            c->kernels->batchnorm->apply(whole ? pixels : 1, count, 1, x[i] + from, scale + from, shift + from, NULL,
                                         o->norm.act, 0, s->copy + i * pitch);
    } else {
        for (int64_t i = 0; i < pixels; i++)
            memcpy(s->copy + i * pitch, x[i] + from, (size_t)count * sizeof **x);
    }
    for (int64_t i = 0; i < pixels; i++) s->x[i] = s->copy + i * pitch - from;
}

/* ---- partial sums ---- */

int64_t cnn_weight_gradient_parts_bytes(int64_t groups, int64_t count, int64_t out_channels, int bias) {
    return (groups - 1) * count * (int64_t)sizeof(float) + CNN_ALIGNMENT
        + (bias ? groups * out_channels * (int64_t)sizeof(double) : 0);
}

cnn_weight_gradient_parts cnn_weight_gradient_parts_of(const cnn_exec *e, int64_t groups, int64_t depth,
                                                       int64_t out_channels, float *grad_w, float *grad_bias) {
    double *bias_sums = (double *)e->workspace;                           /* [groups][out_channels] */
    return (cnn_weight_gradient_parts){
        .groups = groups, .depth = depth, .out_channels = out_channels, .grad_w = grad_w, .grad_bias = grad_bias,
        .bias_sums = bias_sums, .partial = (float *)(bias_sums + (grad_bias ? groups * out_channels : 0))};
}

void cnn_weight_gradient_combine(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_parts *p) {
    const int64_t count = p->depth * p->out_channels;
    int64_t begin, end;
    if (p->groups == 1 && !p->grad_bias) return;
    cnn_barrier(e);
    cnn_share_grain(e, count, 64, &begin, &end);                          /* parallel over the elements of grad_w */
    if (p->groups > 1 && begin < end)
        c->kernels->gemm->add_parts(p->groups - 1, count, end - begin, p->partial + begin, p->grad_w + begin);
    if (!p->grad_bias) return;
    cnn_share_grain(e, p->out_channels, 16, &begin, &end);                /* parallel over output channels */
    for (int64_t i = begin; i < end; i++) {
        double sum = 0;
        for (int64_t group = 0; group < p->groups; group++) sum += p->bias_sums[group * p->out_channels + i];
        p->grad_bias[i] = (float)sum;
    }
}

/* ---- run ---- */

void cnn_weight_gradient_run(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o) {
    const gradient_plan *p = (const gradient_plan *)c->plan;
    const cnn_conv2d_geometry *g = &p->g;
    const cnn_gemm_kernels *kernels = c->kernels->gemm;
    const cnn_panels panels = panels_of(c->kernels, g);
    const cnn_conv2d_axis h = cnn_conv2d_axis_h(g, 0), w = cnn_conv2d_axis_w(g, 0);
    const int64_t taps = taps_of(p), channels = g->in_channels / g->groups;
    const int64_t tap_tiles = tiles_of_tap(&panels, channels), tiles = taps * tap_tiles;
    const tap_cut cut_tap = {channels / tap_tiles, channels % tap_tiles};
    const int64_t pixels = (int64_t)g->images * g->out_h * g->out_w, all_panels = (int64_t)panels.count * g->groups;
    const int64_t width = (int64_t)panels.widest * panels.vl, panel_floats = p->block_pixels * width;
    const int64_t group_in = g->in_channels / g->groups, group_out = g->out_channels / g->groups;
    const float *x = p->source == CNN_GATHERED ? NULL : cnn_data(e, o->x), *grad_y = cnn_data(e, o->grad_y),
                *out = cnn_data(e, o->gradient.out);
    const cnn_weight_gradient_parts sums = cnn_weight_gradient_parts_of(
        e, p->groups, taps * channels, g->out_channels, cnn_data(e, o->grad_w), cnn_data(e, o->grad_bias));
    const int bias = sums.grad_bias != NULL;
    scratch s;
    scratch_layout(&s, e->thread_workspace, p, &panels, &o->gradient);
    cnn_normalised_gradient_constants(e, &o->gradient, g->out_channels, s.constants);

    /* grad_y is read where it lies if the kernels can, whole vectors, aligned, unless packing it pays. */
    const int in_place = !bias && group_out % panels.vl == 0
        && (cnn_pitch_pad(g->out_channels) == 0 || tiles <= PACK_USES || hides_misses(&panels))
        && (s.d || (uintptr_t)grad_y % ((size_t)panels.vl * sizeof(float)) == 0);
    /* Is the next block's x prefetched? Several taps read the same pixels several times: they need it less. */
    const int ahead = taps == 1 && p->source != CNN_GATHERED;
    const int one_row = cnn_conv2d_is_flat(g);               /* pixels in memory's order */
    const cut parts = cut_of(p, tiles, all_panels, e->threads);
    cnn_work work = cnn_share_work(e, parts.count);                       /* parallel over units */
    for (int64_t index; (index = cnn_work_next(&work)) >= 0;) {
        const unit u = unit_at(p, &parts, tiles, all_panels, index);
        const int64_t group = index / parts.row_ranges / parts.panel_ranges;
        const int64_t first_tap = u.first_tile / tap_tiles, end_tap = (u.end_tile - 1) / tap_tiles + 1;
        float *target = cnn_weight_gradient_part(&sums, group);
        /* Columns of grad_y that the unit reads, and the kernel calls that a block takes. */
        const int64_t column0 = column_of(&panels, group_out, u.first_panel);
        const int64_t columns = column_of(&panels, group_out, u.end_panel) - column0;
        const int64_t calls = (u.end_tile - u.first_tile) * (u.end_panel - u.first_panel);
        /* Where the next block is one piece of memory, of grad_y or of x, and the calls are so few that each would
         * have to fetch much of it at once, the kernels fetch it while they compute. */
        const int few = panels.widest > 1 && calls * LINE < 2 * cnn_max(g->in_channels, g->out_channels);
        const int y_streams = few && columns == g->out_channels && g->out_channels >= g->in_channels;
        const int x_streams = few && ahead && one_row && u.first_tile == 0 && u.end_tile == tiles && !y_streams;
        const int64_t stream_floats = x_streams ? g->in_channels : y_streams ? g->out_channels : 0;    /* of a pixel */
        for (int64_t block = u.first_block; block < u.end_block; block++) {
            const int64_t q0 = pixels * block / p->blocks, q1 = pixels * (block + 1) / p->blocks;
            const int64_t q2 = block + 1 < u.end_block ? pixels * (block + 2) / p->blocks : q1;
            const lists *now = &s.block[block % 2], *next = &s.block[(block + 1) % 2];
            if (block == u.first_block || !ahead) lists_fill(now, p, &h, &w, x, q0, q1, first_tap, end_tap);
            if (q2 > q1 && ahead) lists_fill(next, p, &h, &w, x, q1, q2, first_tap, end_tap);
            const int64_t y0 = q0 * g->out_channels, y1 = q1 * g->out_channels;
            cnn_streams streams = {.floats = (q2 - q1) * stream_floats};
            if (x_streams) cnn_streams_add(&streams, x, q1 * g->in_channels);
            if (y_streams) cnn_streams_add(&streams, grad_y, y1);
            if (y_streams) cnn_streams_add(&streams, out, y1);
            coming next_y = {0}, next_out = {0}, next_x = {0};
            if (q2 > q1 && !y_streams)
                next_y = coming_of(NULL, grad_y + y1 + column0, 0, g->out_channels, columns, q2 - q1, calls);
            if (q2 > q1 && !y_streams && out)
                next_out = coming_of(NULL, out + y1 + column0, 0, g->out_channels, columns, q2 - q1, calls);
            if (q2 > q1 && ahead && !x_streams) {
                const int64_t begin = u.first_panel / panels.count * group_in + first_channel(&cut_tap, u.first_tile),
                    end = (u.end_panel - 1) / panels.count * group_in + first_channel(&cut_tap, u.end_tile);
                next_x = coming_of(next->x, NULL, begin, 0, end - begin, next->count[0], calls);
            }
            if (out) cnn_normalised_gradient_load(c, e, &o->gradient, s.constants, q0, q1 - q0, g->out_channels, s.d);
            const float *y = out ? s.d : grad_y + y0;                     /* of the block */
            for (int64_t panel = u.first_panel; panel < u.end_panel && !in_place; panel++) {
                const cnn_panel n = cnn_panel_at(&panels, panel % panels.count);
                const int64_t column = column_of(&panels, group_out, panel);
                float *packed = s.panels + (panel - u.first_panel) * panel_floats;
                kernels->pack(q1 - q0, n.columns, width, y + column, g->out_channels, packed);
                if (bias && u.first_tile == 0) {
                    double *sum = cnn_weight_gradient_bias_part(&sums, group) + column;
                    if (block == u.first_block) for (int64_t i = 0; i < n.columns; i++) sum[i] = 0;
                    kernels->add_rows(q1 - q0, n.columns, width, packed, sum);
                }
            }
            for (int64_t tap = first_tap, call = 0; tap < end_tap; tap++) {
                const int64_t tile0 = cnn_max(u.first_tile - tap * tap_tiles, 0);
                const int64_t tile1 = cnn_min(u.end_tile - tap * tap_tiles, tap_tiles);
                const int64_t from = first_channel(&cut_tap, tile0), to = first_channel(&cut_tap, tile1);
                const int64_t used = now->count[tap];
                const float *const *in = now->x + tap * p->block_pixels;
                for (int64_t panel = u.first_panel, conv_group = -1; panel < u.end_panel; panel++) {
                    const cnn_panel n = cnn_panel_at(&panels, panel % panels.count);
                    const int64_t column = column_of(&panels, group_out, panel);
                    const int64_t channel0 = panel / panels.count * group_in;   /* of the convolution's group */
                    if (p->copied && panel / panels.count != conv_group) {
                        conv_group = panel / panels.count;
                        copy_pixels(c, e, o, &s, now->x + tap * p->block_pixels, q0, used, channel0 + from, to - from);
                        in = s.x;
                    }
                    cnn_gemm_outer outer = {
                        .pixels = used, .x = in, .row = now->pixel + tap * p->block_pixels,
                        .grad_y = in_place ? y + column : s.panels + (panel - u.first_panel) * panel_floats,
                        .grad_y_stride = in_place ? g->out_channels : width,
                        .stride = g->out_channels, .last = n.last, .accumulate = block > u.first_block};
                    float *w = target + tap * channels * g->out_channels + column;
                    for (int64_t tile = tile0, first = from; tile < tile1; tile++) {
                        const int64_t rows = cut_tap.rows + (tile < cut_tap.larger);
                        outer.channel = first + channel0;
                        outer.w = w + first * g->out_channels;
                        int64_t floats;
                        outer.ahead = cnn_streams_part(&streams, call++, calls, &floats);
                        outer.ahead_step = cnn_ceil_div(floats, cnn_max(used, 1));
                        outer.lines = cnn_ceil_div(outer.ahead_step, LINE);
                        kernels->outer[n.vectors][rows](&outer);
                        first += rows;
                        ask(&next_y);
                        ask(&next_out);
                        ask(&next_x);
                    }
                }
            }
        }
    }
    cnn_weight_gradient_combine(c, e, &sums);
}
