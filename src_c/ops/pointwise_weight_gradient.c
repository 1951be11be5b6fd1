#include "pointwise_weight_gradient.h"
#include "layout.h"

#include <stdio.h>

enum {
    LINE = 16,                        /* floats in a cache line */
    CHANNELS = 64,                    /* at least so many on both sides: fewer leave registers idle */
    BLOCK_PIXELS = 112,               /* of a block: a panel over it takes half of an L1 cache of 48 KB */
    SUMS_BYTES = 272 << 10,           /* of a unit, two panels of 512 channels: they stay in L2 beside what streams */
    /* As many groups as give GROUPS pieces of work of PIECE_BYTES of grad_w each, for so many threads; of at least
     * GROUP_PIXELS, or adding the partial sums costs some per cent, which take at most PARTIAL_BYTES. */
    GROUPS = 8, PIECE_BYTES = 64 << 10, GROUP_PIXELS = 784, PARTIAL_BYTES = 2 << 20,
    STREAMED_CHANNELS = 256,          /* so many pay for packing any number of the others */
    TURN_PIXELS = 512,                /* so many pay for turning many sums */
    SET_CHANNELS = 1024,              /* the first cache has a line in each set for so many: pixels share their sets */
    COPY_BYTES = 8 << 20,             /* at most so much is copied where x can be packed: it stays in a last cache */
    AHEAD = 2 * LINE,                 /* streamed channels are asked for so many before they are read */
    LEAST_TILES = 8,                  /* fewer do not pay for packing a panel */
};

typedef struct pointwise_plan {
    cnn_algorithm algorithm;
    cnn_conv2d_geometry g;
    int32_t packs_x, normalised;
    int32_t pitch;                            /* floats between the pixels of the copy of x, 0: there is none */
    int32_t groups, blocks, block_pixels;     /* of pixels: groups, blocks over all pixels, the largest block */
    int32_t unit_tiles, unit_panels;          /* the most of a unit */
    char text[112];
} pointwise_plan;
_Static_assert(sizeof(pointwise_plan) <= CNN_PLAN_BYTES, "the plan must fit");

typedef struct scratch {
    const float **x;                  /* [block_pixels] the streamed pixels */
    int32_t *row;                     /* [block_pixels] 0, 1, ... */
    float *panel;                     /* [block_pixels][widest panel] */
    float *sums;                      /* [panel of the unit][its streamed channels][widest panel] */
} scratch;

static int64_t packed_channels(const pointwise_plan *p) { return p->packs_x ? p->g.in_channels : p->g.out_channels; }
static int64_t streamed_channels(const pointwise_plan *p) { return p->packs_x ? p->g.out_channels : p->g.in_channels; }

static cnn_panels panels_of(const cnn_kernels *k, const pointwise_plan *p) {
    return cnn_weight_gradient_panels(k, packed_channels(p), streamed_channels(p));
}

static int64_t scratch_layout(scratch *s, char *memory, const pointwise_plan *p, const cnn_panels *panels) {
    const int64_t n = p->block_pixels, width = (int64_t)panels->widest * panels->vl;
    const int64_t channels = cnn_min(p->unit_tiles * (int64_t)panels->rows, streamed_channels(p));
    cnn_layout all = {.memory = memory};
    s->x = cnn_take(&all, n * (int64_t)sizeof *s->x);
    s->row = cnn_take(&all, n * (int64_t)sizeof *s->row);
    s->panel = cnn_take(&all, n * width * (int64_t)sizeof(float));
    s->sums = cnn_take(&all, p->unit_panels * channels * width * (int64_t)sizeof(float));
    return all.bytes;
}

/* Of the workspace: the groups' sums come first, then the copy of x. */
static int64_t parts_bytes(const pointwise_plan *p, int bias) {
    const int64_t out = p->g.out_channels;
    return cnn_round_up(cnn_weight_gradient_parts_bytes(p->groups, p->g.in_channels * out, out, bias), CNN_ALIGNMENT);
}

/* ---- plan ---- */

/* Do tiles wait for pixels of so many channels, all of which fall into one set of the first cache? */
static int far_apart(const cnn_kernels *k, int64_t channels) {
    const cnn_panels widest = cnn_panels_of(k, (int64_t)k->gemm->vectors * k->vector);
    return channels % SET_CHANNELS == 0 && !cnn_weight_gradient_hides_misses(&widest);
}

static int64_t pixels_of(const cnn_conv2d_geometry *g) { return (int64_t)g->images * g->out_h * g->out_w; }

/* Do the pixels of x share their sets, but not those of grad_y, which has enough channels to be streamed instead? */
static int better_packed(const cnn_conv2d_geometry *g) {
    return g->in_channels % SET_CHANNELS == 0 && g->out_channels % SET_CHANNELS != 0
        && g->out_channels >= STREAMED_CHANNELS && pixels_of(g) >= TURN_PIXELS;
}

int cnn_pointwise_weight_gradient_suits(const cnn_kernels *k, const cnn_conv2d_geometry *g) {
    const int inside = g->pad_top == 0 && g->pad_left == 0 && (g->out_h - 1) * (int64_t)g->stride_h < g->in_h
        && (g->out_w - 1) * (int64_t)g->stride_w < g->in_w;
    return g->kernel_h == 1 && g->kernel_w == 1 && g->groups == 1 && inside && pixels_of(g) > BLOCK_PIXELS
        && cnn_min(g->in_channels, g->out_channels) >= CHANNELS
        && (!far_apart(k, g->in_channels) || better_packed(g));
}

int cnn_pointwise_weight_gradient_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *geometry,
                                       const cnn_weight_gradient_operands *o, cnn_error *error) {
    pointwise_plan *p = (pointwise_plan *)c->plan;
    if (cnn_conv2d_check_size(geometry, error)) return -1;
    *p = (pointwise_plan){.algorithm = CNN_POINTWISE, .g = cnn_conv2d_flattened(*geometry),
                          .normalised = o->norm.scale != NULL};
    const cnn_conv2d_geometry *g = &p->g;
    const int64_t pixels = pixels_of(g), in = g->in_channels, out = g->out_channels;
    const int64_t grad_w_bytes = in * out * (int64_t)sizeof(float);
    const int64_t wanted = cnn_min(cnn_ceil_div(GROUPS * (int64_t)PIECE_BYTES, grad_w_bytes), GROUPS);
    p->groups = (int32_t)cnn_max(1, cnn_min(cnn_min(wanted, pixels / GROUP_PIXELS), PARTIAL_BYTES / grad_w_bytes));
    p->blocks = (int32_t)cnn_round_up(cnn_ceil_div(pixels, BLOCK_PIXELS), p->groups);
    p->block_pixels = (int32_t)cnn_ceil_div(pixels, p->blocks);
    const int64_t whole = cnn_round_up(in, c->kernels->vector), pitch = whole + cnn_pitch_pad(whole),
        copy_bytes = pixels * pitch * (int64_t)sizeof(float);
    const int as_it_is = !p->normalised && cnn_conv2d_is_flat(g);
    const int few = in < STREAMED_CHANNELS && pixels * (out - in) > 2 * in * out * p->groups;
    p->packs_x = (few || better_packed(g) || (!as_it_is && copy_bytes > COPY_BYTES)) && !far_apart(c->kernels, out);
    p->pitch = as_it_is || p->packs_x ? 0 : (int32_t)pitch;

    const cnn_panels panels = panels_of(c->kernels, p);
    const int64_t streamed = streamed_channels(p), tile_bytes = (int64_t)panels.widest * panels.vl * panels.rows * 4;
    p->unit_tiles = (int32_t)cnn_min(cnn_ceil_div(streamed, panels.rows), SUMS_BYTES / tile_bytes);
    p->unit_panels = (int32_t)cnn_max(1, cnn_min(panels.count, SUMS_BYTES / (p->unit_tiles * tile_bytes)));
    scratch layout;
    choice->thread_workspace_bytes = scratch_layout(&layout, NULL, p, &panels);
    choice->workspace_bytes = parts_bytes(p, o->grad_bias != NULL) + (p->pitch ? copy_bytes : 0);
    snprintf(p->text, sizeof p->text, "direct %dx%d, %s packed%s%s, %d pixel groups of %d-pixel blocks", panels.rows,
             panels.widest * panels.vl, p->packs_x ? "x" : "grad_y", p->normalised ? ", normalised" : "",
             p->pitch ? ", copied" : "", p->groups, p->block_pixels);
    choice->kernel = p->text;
    return 0;
}

double cnn_pointwise_weight_gradient_flops(const cnn_call *c) {
    return cnn_conv2d_flops(&((const pointwise_plan *)c->plan)->g);
}

/* ---- how the work is cut ---- */

/* What all units of a run share. */
typedef struct job {
    const cnn_call *c;
    const cnn_exec *e;
    const cnn_weight_gradient_operands *o;
    const pointwise_plan *p;
    cnn_panels panels;                /* of the packed channels */
    /* Tiles of the streamed channels: `larger` ones of rows + 1, then of rows. */
    int64_t pixels, tiles, rows, larger;
    int64_t streamed_channels, packed_channels;
    const float *streamed, *packed, *x;       /* x: as it is, of which one of the others may be a copy */
    float *copy;                              /* of x, see pitch */
    int64_t streamed_pitch;                   /* from pixel to pixel */
    cnn_weight_gradient_parts parts;
    scratch s;
    int direct;                       /* can kernels read what is packed where it lies? ... */
    int in_place;                     /* ... and need it not be packed, as the only panel? */
    int skips;                        /* is it an x of which pixels are skipped? */
} job;

static int64_t first_channel(const job *j, int64_t tile) { return tile * j->rows + cnn_min(tile, j->larger); }

static job job_of(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o) {
    const pointwise_plan *p = (const pointwise_plan *)c->plan;
    const cnn_conv2d_geometry *g = &p->g;
    const float *x = cnn_data(e, o->x), *grad_y = cnn_data(e, o->grad_y);
    job j = {.c = c, .e = e, .o = o, .p = p, .panels = panels_of(c->kernels, p),
             .pixels = pixels_of(g), .streamed_channels = streamed_channels(p),
             .packed_channels = packed_channels(p), .packed = p->packs_x ? x : grad_y, .x = x,
             .copy = (float *)(e->workspace + parts_bytes(p, o->grad_bias != NULL))};
    j.streamed = p->packs_x ? grad_y : p->pitch ? j.copy : x;
    j.streamed_pitch = p->pitch ? p->pitch : j.streamed_channels;
    j.tiles = cnn_ceil_div(j.streamed_channels, j.panels.rows);
    j.rows = j.streamed_channels / j.tiles;
    j.larger = j.streamed_channels % j.tiles;
    j.parts = cnn_weight_gradient_parts_of(e, p->groups, g->in_channels, g->out_channels, cnn_data(e, o->grad_w),
                                           cnn_data(e, o->grad_bias));
    scratch_layout(&j.s, e->thread_workspace, p, &j.panels);
    j.direct = (!p->packs_x || (!p->normalised && cnn_conv2d_is_flat(g))) && j.packed_channels % j.panels.vl == 0
        && (uintptr_t)j.packed % ((size_t)j.panels.vl * sizeof(float)) == 0;
    j.in_place = j.direct && j.panels.count == 1 && (p->packs_x || !j.parts.grad_bias);
    j.skips = p->packs_x && !cnn_conv2d_is_flat(g);
    return j;
}

/* A thread's piece of the work: some tiles of streamed channels x some panels, over a group of pixels. */
typedef struct unit {
    int64_t group, first_block, end_block, first_tile, end_tile, first_panel, end_panel;
    int64_t first_channel, end_channel;       /* of the streamed ones */
    int64_t column, columns;                  /* of the packed ones */
} unit;

static unit unit_at(const job *j, const cnn_weight_gradient_cut *c, int64_t index) {
    const pointwise_plan *p = j->p;
    const int64_t columns = index % c->panel_ranges, range = index / c->panel_ranges % c->row_ranges,
        group = index / c->row_ranges / c->panel_ranges;
    unit u = {.group = group, .first_block = (int64_t)p->blocks * group / p->groups,
        .end_block = (int64_t)p->blocks * (group + 1) / p->groups,
        .first_tile = j->tiles * range / c->row_ranges, .end_tile = j->tiles * (range + 1) / c->row_ranges,
        .first_panel = j->panels.count * columns / c->panel_ranges,
        .end_panel = j->panels.count * (columns + 1) / c->panel_ranges};
    u.first_channel = first_channel(j, u.first_tile);
    u.end_channel = first_channel(j, u.end_tile);
    const cnn_panel last = cnn_panel_at(&j->panels, u.end_panel - 1);
    u.column = cnn_panel_at(&j->panels, u.first_panel).begin;
    u.columns = last.begin + last.columns - u.column;
    return u;
}

/* A block of pixels, and what comes after it: another of the unit or the next unit's first; pixels 0: nothing. */
typedef struct block {
    int64_t begin, pixels;
    int first, last;                  /* of its unit? */
    struct { int64_t begin, pixels, column, columns, first_channel; } next;
} block;

static block block_at(const job *j, const unit *u, int64_t number, const unit *after) {
    const pointwise_plan *p = j->p;
    block b = {.begin = j->pixels * number / p->blocks, .first = number == u->first_block,
               .last = number + 1 == u->end_block};
    b.pixels = j->pixels * (number + 1) / p->blocks - b.begin;
    const unit *next = b.last ? after : u;
    if (!next) return b;
    const int64_t coming = b.last ? after->first_block : number + 1;
    b.next.begin = j->pixels * coming / p->blocks;
    b.next.pixels = j->pixels * (coming + 1) / p->blocks - b.next.begin;
    b.next.column = next->column;
    b.next.columns = next->columns;
    b.next.first_channel = next->first_channel;
    return b;
}

/* ---- x that is normalised or skips pixels ---- */

/* A piece of one row of an image: `pixels` of them from output pixel `q` on lie `stride` floats apart. */
typedef struct piece { const float *from; int64_t pixels, stride; } piece;

static piece piece_at(const job *j, int64_t q, int64_t most) {
    const cnn_conv2d_geometry *g = &j->p->g;
    if (cnn_conv2d_is_flat(g)) return (piece){j->x + q * g->in_channels, most, g->in_channels};
    const int64_t column = q % g->out_w, row = q / g->out_w % g->out_h, image = q / g->out_w / g->out_h;
    return (piece){j->x + ((image * g->in_h + row * g->stride_h) * g->in_w + column * g->stride_w) * g->in_channels,
                   cnn_min(most, g->out_w - column), (int64_t)g->stride_w * g->in_channels};
}

/* Some channels of x, of pixels begin .. end - 1, to rows `pitch` floats apart; normalised where they are to be. */
static void load_x(const job *j, int64_t begin, int64_t end, int64_t channel, int64_t channels, int64_t pitch,
                   float *to) {
    const cnn_normalised *norm = &j->o->norm;
    for (int64_t q = begin; q < end;) {
        const piece from = piece_at(j, q, end - q);
        for (int64_t i = 0; i < from.pixels && j->p->normalised; i++)
            j->c->kernels->batchnorm->apply(1, channels, 1, from.from + i * from.stride + channel,
                                            (const float *)cnn_data(j->e, norm->scale) + channel,
                                            (const float *)cnn_data(j->e, norm->shift) + channel,
                                            (cnn_batchnorm_residual){.x = NULL}, norm->act, 0, to + i * pitch);
        if (!j->p->normalised)
            j->c->kernels->gemm->pack(from.pixels, channels, pitch, from.from + channel, from.stride, to);
        q += from.pixels;
        to += from.pixels * pitch;
    }
}

/* ---- the packed tensor ---- */

static const float *packed_at(const job *j, int64_t pixel, int64_t column) {
    return j->packed + pixel * j->packed_channels + column;
}

static void pack_panel(const job *j, const block *b, const cnn_panel *n) {
    if (j->p->packs_x) load_x(j, b->begin, b->begin + b->pixels, n->begin, n->columns, n->width, j->s.panel);
    else
        j->c->kernels->gemm->pack(b->pixels, n->columns, n->width, packed_at(j, b->begin, n->begin),
                                  j->packed_channels, j->s.panel);
}

/* ---- what is read later ---- */

/* The streamed channels AHEAD of `channel`, in the next block after the unit's last ones; NULL where they are here. */
static const float *streamed_ahead(const job *j, const unit *u, const block *b, int64_t panel, int64_t channel) {
    const int64_t later = channel + AHEAD;
    if (later < u->end_channel)
        return panel == u->first_panel ? j->streamed + b->begin * j->streamed_pitch + later : NULL;
    if (panel + 1 < u->end_panel || b->next.pixels == 0) return NULL;
    return j->streamed + b->next.begin * j->streamed_pitch + b->next.first_channel + later - u->end_channel;
}

/* What a tile's kernel asks for, a line of each pixel, which comes to the second cache meanwhile: where a line of
 * streamed channels begins, one of those; otherwise the next one of what the next block packs, of which `asked` lines
 * have been, or of what it reads at that moment: that costs less than changing to a kernel that does not ask. An x that
 * skips pixels has no such lines, see below; streamed ones are asked for again then, as a busy processor drops some. */
static void ask(const job *j, const unit *u, const block *b, int64_t panel, int64_t rows, int64_t *asked,
                cnn_gemm_outer *outer) {
    const int64_t line = cnn_round_up(outer->channel, LINE), begins = line < outer->channel + rows;
    const float *streamed = streamed_ahead(j, u, b, panel, begins ? line : outer->channel);
    const int packed = b->next.pixels > 0 && !j->skips && *asked * LINE < b->next.columns;
    outer->ahead = NULL;
    if (streamed && (begins || j->skips)) {
        outer->ahead = streamed;
        outer->ahead_step = j->streamed_pitch;
    } else if (packed) {
        outer->ahead = packed_at(j, b->next.begin, b->next.column + *asked * LINE);
        outer->ahead_step = j->packed_channels;
        ++*asked;
    } else if (streamed) {
        outer->ahead = outer->grad_y;
        outer->ahead_step = outer->grad_y_stride;
    }
    outer->lines = outer->ahead != NULL;
}

/* After kernel call number `call` of a block: asks for its share of the pixels of such an x that the next one packs. By
 * itself, as few shapes need it. */
static __attribute__((noinline)) void ask_for_pixels(const job *j, const unit *u, const block *b, int64_t call) {
    const int64_t calls = (u->end_tile - u->first_tile) * (u->end_panel - u->first_panel),
        end = b->next.pixels * (call + 1) / calls;
    for (int64_t q = b->next.pixels * call / calls; q < end; q++) {
        const float *from = piece_at(j, b->next.begin + q, 1).from + b->next.column;
        for (int64_t k = 0; k < b->next.columns; k += LINE) __builtin_prefetch(from + k, 0, 2);
    }
}

/* ---- run ---- */

/* Adds the block's sums of the unit's streamed channels of grad_y to those of its group. */
static void add_to_bias(const job *j, const unit *u, const block *b) {
    const cnn_gemm_kernels *kernels = j->c->kernels->gemm;
    const int64_t width = (int64_t)j->panels.widest * j->panels.vl;
    const float *grad_y = j->streamed + b->begin * j->streamed_channels;
    double *sum = cnn_weight_gradient_bias_part(&j->parts, u->group);
    for (int64_t from = u->first_channel; from < u->end_channel; from += width) {
        const int64_t columns = cnn_min(width, u->end_channel - from);
        for (int64_t i = 0; i < columns && b->first; i++) sum[from + i] = 0;
        kernels->pack(b->pixels, columns, width, grad_y + from, j->streamed_channels, j->s.panel);
        kernels->add_rows(b->pixels, columns, width, j->s.panel, sum + from);
    }
}

/* The same of a panel of grad_y. */
static void add_panel_to_bias(const job *j, const unit *u, const block *b, const cnn_panel *n) {
    double *sum = cnn_weight_gradient_bias_part(&j->parts, u->group) + n->begin;
    for (int64_t i = 0; i < n->columns && b->first; i++) sum[i] = 0;
    j->c->kernels->gemm->add_rows(b->pixels, n->columns, n->width, j->s.panel, sum);
}

/* A panel's complete sums, of streamed channels begin .. end - 1 of grad_y, to grad_w. A line at a time, while the next
 * tiles are computed: each takes as long to be written as memory takes to give it. */
static void turn(const job *j, const cnn_panel *n, const float *sums, float *part, int64_t begin, int64_t end) {
    const int64_t out_channels = j->p->g.out_channels;
    j->c->kernels->gemm->transpose(end - begin, n->columns, sums, (int64_t)j->panels.widest * j->panels.vl,
                                   part + n->begin * out_channels + begin, out_channels);
}

/* Adds the products of the block's pixels to the unit's sums, or from the last block on to grad_w. */
static void multiply(const job *j, const unit *u, const block *b) {
    const pointwise_plan *p = j->p;
    const int64_t width = (int64_t)j->panels.widest * j->panels.vl, out_channels = p->g.out_channels,
        channels = u->end_channel - u->first_channel;
    float *part = cnn_weight_gradient_part(&j->parts, u->group);
    const int whole = b->last && !p->packs_x;         /* the sums are complete, and go to grad_w */
    int64_t asked = 0, call = 0;
    for (int64_t panel = u->first_panel; panel < u->end_panel; panel++) {
        const cnn_panel n = cnn_panel_at(&j->panels, panel);
        float *sums = j->s.sums + (panel - u->first_panel) * channels * width;
        if (!j->direct) pack_panel(j, b, &n);
        cnn_gemm_outer outer = {
            .pixels = b->pixels, .x = j->s.x, .row = j->s.row, .channel = u->first_channel, .last = n.last,
            .added_stride = width, .stride = whole ? out_channels : width};
        int64_t turned = u->first_channel;               /* streamed channels before it are in grad_w */
        for (int64_t tile = u->first_tile; tile < u->end_tile; tile++) {
            const int64_t rows = j->rows + (tile < j->larger);
            /* The first tile packs what it reads. */
            const int packs = j->direct && !j->in_place && tile == u->first_tile, where_it_lies = j->in_place || packs;
            float *tile_sums = sums + (outer.channel - u->first_channel) * width;
            outer.grad_y = where_it_lies ? packed_at(j, b->begin, n.begin) : j->s.panel;
            outer.grad_y_stride = where_it_lies ? j->packed_channels : n.width;
            outer.copy = packs ? j->s.panel : NULL;
            outer.added = b->first ? NULL : tile_sums;
            outer.w = whole ? part + outer.channel * out_channels + n.begin : tile_sums;
            ask(j, u, b, panel, rows, &asked, &outer);
            j->c->kernels->gemm->outer[n.vectors][rows](&outer);
            if (j->skips) ask_for_pixels(j, u, b, call++);
            outer.channel += rows;
            if (b->last && p->packs_x && turned + LINE <= outer.channel) {
                turn(j, &n, sums + (turned - u->first_channel) * width, part, turned, turned + LINE);
                turned += LINE;
            }
        }
        if (!p->packs_x && j->parts.grad_bias && u->first_tile == 0) add_panel_to_bias(j, u, b, &n);
        if (b->last && p->packs_x)
            turn(j, &n, sums + (turned - u->first_channel) * width, part, turned, u->end_channel);
    }
}

static void run_unit(const job *j, const unit *u, const cnn_work *work, const cnn_weight_gradient_cut *c) {
    for (int64_t number = u->first_block; number < u->end_block; number++) {
        const int64_t coming = number + 1 < u->end_block ? -1 : cnn_work_coming(work);
        unit after;
        if (coming >= 0) after = unit_at(j, c, coming);
        const block b = block_at(j, u, number, coming >= 0 ? &after : NULL);
        for (int64_t i = 0; i < b.pixels; i++) j->s.x[i] = j->streamed + (b.begin + i) * j->streamed_pitch;
        if (j->p->packs_x && j->parts.grad_bias && u->first_panel == 0) add_to_bias(j, u, &b);
        multiply(j, u, &b);
    }
}

void cnn_pointwise_weight_gradient_run(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o) {
    const job j = job_of(c, e, o);
    for (int32_t i = 0; i < j.p->block_pixels; i++) j.s.row[i] = i;
    if (j.p->pitch) {
        int64_t begin, end;
        cnn_share(e, j.pixels, &begin, &end);                             /* parallel over pixels */
        load_x(&j, begin, end, 0, j.streamed_channels, j.p->pitch, j.copy + begin * j.p->pitch);
        cnn_barrier(e);
    }
    const cnn_weight_gradient_cut parts = cnn_weight_gradient_cut_of(
        e->threads, j.p->groups, j.tiles, j.p->unit_tiles, LEAST_TILES, j.panels.count, j.p->unit_panels);
    cnn_work work = cnn_share_work(e, parts.count);                       /* parallel over units */
    for (int64_t index; (index = cnn_work_next(&work)) >= 0;) {
        const unit u = unit_at(&j, &parts, index);
        run_unit(&j, &u, &work, &parts);
    }
    cnn_weight_gradient_combine(c, e, &j.parts);
}
