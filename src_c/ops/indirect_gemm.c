#include "coming.h"
#include "indirect_table.h"

#include <stdio.h>
#include <string.h>

enum {
    WEIGHT_BLOCK_BYTES = 600 << 10,   /* of L2, for one block of weights */
    FEW_TILES_BLOCK_BYTES = 110 << 10, /* of a block that two tiles use: memory has to bring the next one meanwhile */
    MAX_BLOCK = 512,                  /* input channels in a block */
    STREAM_BYTES = 16 << 20,          /* from this size on, beyond the caches, results are written past them */
    KEPT_WEIGHTS = 256 << 10,         /* bytes that stay in L2 beside everything else */
    LINE = 16,                        /* floats in a cache line */
    SMALLEST_L1_BYTES = 32 << 10,
    TILES_AHEAD = 3,                  /* pixels are asked for so early: memory takes longer than a small tile */
    SMALL_MAP = 256,                  /* pixels of a map up to which a tile is the same pixel of several images */
    LEAST_RUN = 8,                    /* values of a window's row that pay for a run of the sum */
    WAYS = 8, WAY_BYTES = 4096,       /* lines that the first cache has at this distance */
};

/* ---- plan ---- */

int64_t cnn_moments_slots_bytes(int64_t channels, int64_t pieces) {
    return pieces * (2 * channels + 1) * (int64_t)sizeof(double);
}

cnn_moments_slots cnn_moments_slots_of(char *memory, int64_t channels, int64_t pieces) {
    double *mean = (double *)memory, *squares = mean + pieces * channels;
    return (cnn_moments_slots){.pieces = pieces,
                               .channels = channels,
                               .mean = mean,
                               .squares = squares,
                               .counts = squares + pieces * channels};
}

void cnn_moments_add(const cnn_call *c, const cnn_moments_slots *s, int64_t piece, int counts, int64_t pixels,
                     int64_t from, int64_t columns, const float *y, const ptrdiff_t *at) {
    if (counts) s->counts[piece] = (double)pixels;
    c->kernels->gemm->moments(pixels, columns, y + from, at, s->mean + piece * s->channels + from,
                              s->squares + piece * s->channels + from);
}

void cnn_moments_combine(const cnn_call *c, const cnn_exec *e, const cnn_moments_slots *s, float *mean, float *var) {
    int64_t begin, end;
    cnn_barrier(e);
    cnn_share_grain(e, s->channels, 16, &begin, &end);
    if (begin < end)
        c->kernels->gemm->combine_moments(s->pieces, s->channels, end - begin, s->counts, s->mean + begin,
                                          s->squares + begin, mean ? mean + begin : NULL, var ? var + begin : NULL);
}

cnn_epilogue cnn_epilogue_of(cnn_act act) {
    const int relu = act.kind == CNN_RELU && act.alpha == 0, in_tile = act.kind == CNN_LINEAR || relu;
    return (cnn_epilogue){.in_tile = in_tile, .low = relu ? 0 : -INFINITY, .high = in_tile ? act.max_value : INFINITY};
}

int cnn_indirect_gemm_check(const cnn_conv2d_geometry *g, cnn_act act, const cnn_indirect_gemm_operands *t,
                            cnn_error *error) {
    if (cnn_conv2d_check_size(g, error) || cnn_expect_packable(t->w, "w", error)) return -1;
    if ((t->mean || t->var) && (act.kind != CNN_LINEAR || act.max_value < INFINITY))
        return cnn_fail(error, "moments are of the linear output; ask for none or leave the activation linear");
    return 0;
}

static int may_be_across_images(const cnn_conv2d_geometry *g) {
    return (int64_t)g->out_h * g->out_w <= SMALL_MAP && g->kernel_h * g->kernel_w > 1;
}

static int two_tiles_do(const cnn_call *c, const cnn_conv2d_geometry *g) {
    const int64_t weights = (int64_t)g->kernel_h * g->kernel_w * g->in_channels * g->out_channels / g->groups;
    return cnn_two_tiles_do(c->kernels, (int64_t)g->images * g->out_h * g->out_w, weights * (int64_t)sizeof(float));
}

/* Of the output channels of a group. Rows that lie in the same set of the first cache are no more than it has lines; a
 * half more is no loss where they come from several images, which then share more of what they skip. */
static cnn_panels panels_of(const cnn_call *c, const cnn_conv2d_geometry *g) {
    const int64_t columns = g->out_channels / g->groups;
    cnn_panels panels = two_tiles_do(c, g) ? cnn_panels_within(c->kernels, columns, 2)
                                           : cnn_panels_of_product(c->kernels, columns);
    const int64_t pixel = g->in_channels * (int64_t)sizeof(float), image = g->in_h * g->in_w * pixel;
    const int across = may_be_across_images(g);
    if (across ? panels.rows >= 2 * WAYS && image % WAY_BYTES == 0
               : panels.rows > WAYS && pixel * g->stride_w % WAY_BYTES == 0)
        panels.rows = WAYS;
    return panels;
}

int cnn_indirect_gemm_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *geometry, cnn_act act,
                           const cnn_indirect_gemm_operands *t, cnn_error *error) {
    cnn_indirect_plan *p = (cnn_indirect_plan *)c->plan;
    if (cnn_indirect_gemm_check(geometry, act, t, error)) return -1;
    *p = (cnn_indirect_plan){.algorithm = CNN_INDIRECT_GEMM, .g = cnn_conv2d_flattened(*geometry), .act = act,
                     .source = t->norm.scale ? CNN_NORMALISED : CNN_IN_PLACE};
    const cnn_conv2d_geometry *g = &p->g;
    if (cnn_conv2d_has_windows(geometry)) {
        p->window = *geometry;
        p->source = geometry->kernel_w * geometry->in_channels < LEAST_RUN ? CNN_GATHERED : CNN_WINDOWS;
        p->g = p->source == CNN_WINDOWS ? cnn_conv2d_windowed(geometry) : cnn_conv2d_gathered(geometry);
    }
    p->linear = p->source == CNN_WINDOWS || cnn_conv2d_is_flat(g);
    if (p->source == CNN_NORMALISED && !p->linear)
        return cnn_fail(error, "only the pixels of a 1x1 convolution with stride 1 can be normalised for direct "
                        "sums; use batchnorm and conv2d");
    const cnn_panels panels = panels_of(c, g);
    const int64_t channels = g->in_channels / g->groups;
    p->images_first = g->images >= panels.rows && may_be_across_images(g);
    /* In training, where all pixels are one chunk, a panel serves that alone: packed when it is used it is read from
     * memory once, not written there and read again. */
    p->own = c->trains && p->linear && p->source == CNN_IN_PLACE && g->groups == 1 && cnn_one_chunk_does(p, &panels)
        && channels * g->out_channels * (int64_t)sizeof(float) >= CNN_WEIGHTS_FROM_MEMORY;

    int64_t most_taps = 1, chunks = 0, pieces = 0;
    cnn_table layout;
    for (int32_t i = 0; i < cnn_conv2d_phases_h(g); i++)
        for (int32_t j = 0; j < cnn_conv2d_phases_w(g); j++) {
            const cnn_phase f = cnn_phase_of(p, &panels, i, j);
            most_taps = cnn_max(most_taps, f.taps);
            chunks = f.chunks;
            pieces += f.chunks;
            const int64_t across = cnn_ceil_div(f.map, f.map_chunks) * cnn_ceil_div(g->images, f.image_groups);
            const int64_t along = cnn_ceil_div(g->images * f.map / f.grain, f.chunks) * f.grain;
            p->max_pixels = (int32_t)cnn_max(p->max_pixels, p->images_first ? across : along);
        }
    const int64_t block_bytes = two_tiles_do(c, g) ? FEW_TILES_BLOCK_BYTES : WEIGHT_BLOCK_BYTES;
    int64_t largest = block_bytes / (most_taps * panels.widest * panels.vl * 4);
    int64_t blocks = cnn_ceil_div(channels, cnn_max(16, cnn_min(MAX_BLOCK, largest)));
    p->block = (int32_t)cnn_ceil_div(channels, blocks);
    p->sparse = t->residual && !cnn_same_shape(t->residual, t->y);
    if (p->sparse) p->some = cnn_sparse_residual_of(t->y, geometry->stride_h, geometry->stride_w);
    for (int32_t i = 0; i < cnn_conv2d_phases_h(g); i++)
        for (int32_t j = 0; j < cnn_conv2d_phases_w(g); j++)
            choice->thread_workspace_bytes = cnn_max(
                choice->thread_workspace_bytes,
                cnn_table_layout(&layout, NULL, p, p->max_pixels, cnn_phase_of(p, &panels, i, j).taps));
    choice->workspace_bytes = t->mean || t->var ? cnn_moments_slots_bytes(g->out_channels, chunks)
                                                : cnn_gradient_epilogue_bytes(&t->gradient, g->out_channels, pieces);
    if (!p->own)
        choice->packed_bytes = (int64_t)g->kernel_h * g->kernel_w * g->in_channels * panels.vectors * panels.vl * 4;
    snprintf(p->text, sizeof p->text, "direct %dx%d%s%s, %d channels, %d-pixel chunks%s", panels.rows, panels.widest
             * panels.vl,
             cnn_conv2d_source_text(p->source), p->images_first ? " across images" : "", p->block, p->max_pixels,
             p->own ? ", packed on the way" : "");
    choice->kernel = p->text;
    return 0;
}

double cnn_indirect_gemm_flops(const cnn_call *c) { return cnn_conv2d_flops(&((const cnn_indirect_plan *)c->plan)->g); }

/* ---- weights: [phase][group][panel][block of channels][tap][channel][width] ---- */

/* Floats before a panel, among those of its group and phase. */
static int64_t panel_offset(const cnn_panel *n, int64_t taps, int64_t channels) { return n->begin * taps * channels; }

void cnn_indirect_gemm_pack(const cnn_call *c, const cnn_exec *e, const cnn_tensor *w_tensor) {
    const cnn_indirect_plan *p = (const cnn_indirect_plan *)c->plan;
    const cnn_conv2d_geometry *g = &p->g;
    const cnn_panels panels = panels_of(c, g);
    const int64_t group_in = g->in_channels / g->groups, channels = group_in,
        group_out = g->out_channels / g->groups;
    /* w is (h, w, w_in, w_out) */
    const int64_t w_in = g->transposed ? group_out : group_in, w_out = g->transposed ? g->in_channels : g->out_channels;
    const float *w = cnn_data(e, w_tensor);
    float *packed = (float *)e->packed;
    for (int32_t i = 0; i < cnn_conv2d_phases_h(g); i++)
        for (int32_t j = 0; j < cnn_conv2d_phases_w(g); j++) {
            const cnn_conv2d_axis ah = cnn_conv2d_axis_h(g, i), aw = cnn_conv2d_axis_w(g, j);
            const int64_t taps = (int64_t)ah.taps * aw.taps, blocks = cnn_ceil_div(channels, p->block);
            int64_t begin, end;
            /* parallel over everything but a tap's matrix */
            cnn_share(e, g->groups * panels.count * blocks * taps, &begin, &end);
            for (int64_t unit = begin; unit < end; unit++) {
                const int64_t tap = unit % taps, block = unit / taps % blocks,
                    group = unit / taps / blocks / panels.count;
                const cnn_panel n = cnn_panel_at(&panels, unit / taps / blocks % panels.count);
                const int64_t first = block * p->block, rows = cnn_min(p->block, channels - first);
                const int64_t kh = ah.tap + tap / aw.taps * ah.tap_step, kw = aw.tap + tap % aw.taps * aw.tap_step;
                float *panel = packed + group * taps * channels * panels.vectors * panels.vl
                    + panel_offset(&n, taps, channels)
                               + (first * taps + tap * rows) * n.width;
                const float *source = w + (kh * g->kernel_w + kw) * w_in * w_out;
                if (g->transposed)
                    c->kernels->gemm->pack_transposed(rows, n.columns, n.width, source + n.begin * w_out + group
                                                      * group_in + first, w_out, panel);
                else
                    c->kernels->gemm->pack(rows, n.columns, n.width, source + first * w_out + group * group_out
                                           + n.begin, w_out, panel);
            }
            packed += g->groups * taps * channels * panels.vectors * panels.vl;
        }
}

/* ---- run ---- */

/* What the next chunk touches: nothing where a thread does not go on with the next pixels; only what is normalised
 * where the weights are so many that they have to be asked for as well. end: the pixel after the chunk's. */
static cnn_coming coming_of(const cnn_indirect_plan *p, const cnn_exec *e, const cnn_indirect_gemm_operands *o,
                            int ranges, int64_t weights, int64_t end, int64_t pixels, int written) {
    const cnn_conv2d_geometry *g = &p->g;
    cnn_coming next = {.pieces = 0};
    if (!p->linear || ranges > 1) return next;
    if (p->source == CNN_NORMALISED) {
        cnn_coming_add(&next, cnn_data(e, o->x), end, pixels, g->in_channels);
        cnn_coming_add(&next, cnn_data(e, o->norm.residual), end, pixels, g->in_channels);
        cnn_coming_add(&next, cnn_data(e, o->norm.written), end, pixels, g->in_channels);
    }
    if (p->block < g->in_channels || weights > KEPT_WEIGHTS) return next;
    if (!p->sparse) cnn_coming_add(&next, cnn_data(e, o->residual), end, pixels, g->out_channels);
    cnn_coming_add(&next, cnn_data(e, o->gradient.x), end, pixels, g->out_channels);
    cnn_coming_add(&next, cnn_data(e, o->gradient.y), end, pixels, g->out_channels);
    if (written) cnn_coming_add(&next, cnn_data(e, o->y), end, pixels, g->out_channels);
    return next;
}

/* Channels `first` and on of a panel, `rows` of them, of weights as they lie, to the thread's memory. */
static const float *pack_own(const cnn_kernels *kernels, const cnn_indirect_plan *p, const cnn_panel *n, const float *w,
                             int64_t first, int64_t rows, float *to) {
    const cnn_conv2d_geometry *g = &p->g;
    if (g->transposed)
        kernels->gemm->pack_transposed(rows, n->columns, n->width, w + n->begin * g->in_channels + first,
                                       g->in_channels, to);
    else
        kernels->gemm->pack(rows, n->columns, n->width, w + first * g->out_channels + n->begin, g->out_channels, to);
    return to;
}

/* Where the rows begin that are packed after this: channels `first` and on, or, where that is 0, those of the next
 * panel. NULL backwards, where the processor sees them coming, row after row. */
static const float *packed_next(const cnn_indirect_plan *p, const cnn_panel *n, const float *w, int64_t first) {
    const int64_t columns = p->g.out_channels, after = n->begin + n->columns;
    if (p->g.transposed) return NULL;
    return first ? w + first * columns + n->begin : w + (after < columns ? after : 0);
}

/* All of one chunk for one panel: blocks of channels outside, tiles inside. w: its weights, or with p->own all weights,
 * as they lie; w_after: those that are used next. at: where the pixels' results go, from tile.y on; added_at: where
 * what is added lies, from tile.added on. */
static void multiply(const cnn_kernels *kernels, const cnn_indirect_plan *p, const cnn_table *t, int64_t taps,
                     int64_t channels, int64_t first_channel, const cnn_panel *n, const float *w, const float *w_after,
                     cnn_gemm_tile tile, const ptrdiff_t *at, const ptrdiff_t *added_at, const cnn_coming *next) {
    if (t->tiles == 0) return;
    const float low = tile.low, high = tile.high;
    const cnn_moment_sums *moments = tile.moments;
    const cnn_gradient_epilogue *gradient = tile.gradient;
    for (int64_t first = 0; first < channels; first += p->block) {
        tile.channels = cnn_min(p->block, channels - first);
        tile.channel = first_channel + first;
        const int final = first + tile.channels == channels;       /* what comes after the sums is for the whole */
        tile.low = final ? low : -INFINITY;
        tile.high = final ? high : INFINITY;
        tile.moments = final ? moments : NULL;
        tile.gradient = final ? gradient : NULL;
        tile.w = p->own ? pack_own(kernels, p, n, w, first, tile.channels, t->own) : w + first * taps * n->width;
        /* while the tiles use this block, the next one comes to L2 */
        const int64_t floats = tile.channels * taps * n->width, far = floats / t->tiles;
        const float *coming = final ? w_after : tile.w + floats;
        const float *next_rows = p->own ? packed_next(p, n, w, final ? 0 : first + tile.channels) : NULL;
        const int64_t near_step = cnn_ceil_div(next->share, cnn_max(1, tile.channels * taps));
        const int64_t step = cnn_ceil_div(n->width, t->tiles), half_step = cnn_ceil_div(n->width, 2 * t->tiles);
        for (int64_t i = 0, strip; i < t->tiles; i += strip) {
            const int64_t begin = cnn_table_tile_begin(t, i), rows = cnn_table_tile_begin(t, i + 1) - begin;
            strip = 1;
            if (p->linear && !next_rows) {
                const int64_t most = cnn_min(CNN_GEMM_STRIP, (i < t->larger ? t->larger : t->tiles) - i);
                while (strip < most && t->apart[i + strip] == t->apart[i]) strip++;
            }
            tile.more = strip - 1;
            tile.runs = t->runs[i];
            tile.tap = t->tap + i * taps;
            tile.length = t->length + i * taps;
            tile.x = t->x + t->first[i];
            tile.apart = t->apart[i];
            tile.at = at + begin;
            tile.added_at = added_at + begin;
            tile.start = i == 0;
            tile.far = coming + far * i;
            tile.far_step = step;
            if (p->own) {                         /* a line of each row that is packed next, or nothing */
                tile.far = next_rows ? next_rows + i % cnn_ceil_div(n->width, LINE) * LINE : tile.w;
                tile.far_step = next_rows ? p->g.out_channels : 0;
            }
            if (p->linear && p->source == CNN_IN_PLACE) {   /* a tile is rows * channels floats, for so many terms */
                tile.near = tile.x[0] + TILES_AHEAD * rows * p->g.in_channels;
                tile.near_step = rows;
            } else if (step > LINE && !next->pieces) {   /* few tiles: one line for each term is not enough */
                tile.near = tile.far + strip * far / 2;
                tile.near_step = half_step;
                tile.far_step = half_step;
            }
            if (next->pieces) cnn_coming_ask(next, i, near_step, p->source == CNN_IN_PLACE, &tile);
            kernels->gemm->tile[n->vectors][rows](&tile);
        }
        tile.bias = NULL;
        tile.added = tile.y;
        added_at = at;
    }
}

/* Floats before a panel, counted over all groups, among those of its phase. */
static int64_t weights_offset(const cnn_panels *panels, int64_t panel, int64_t taps, int64_t channels) {
    const cnn_panel n = cnn_panel_at(panels, panel % panels->count);
    return panel / panels->count * taps * channels * panels->vectors * panels->vl + panel_offset(&n, taps, channels);
}

/* The first output channel of a panel, counted over all groups. */
static int64_t column_of(const cnn_panels *panels, int64_t group_out, int64_t panel) {
    return panel / panels->count * group_out + cnn_panel_at(panels, panel % panels->count).begin;
}

void cnn_indirect_gemm_run(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *o) {
    const cnn_indirect_plan *p = (const cnn_indirect_plan *)c->plan;
    const cnn_conv2d_geometry *g = &p->g;
    const cnn_panels panels = panels_of(c, g);
    const int64_t group_in = g->in_channels / g->groups, channels = group_in,
        group_out = g->out_channels / g->groups;
    const int64_t all_panels = (int64_t)panels.count * g->groups;
    const float *bias = cnn_data(e, o->bias), *residual = cnn_data(e, o->residual);
    const cnn_conv2d_images images = cnn_conv2d_images_of(c, e, o->x, o->rescaling);
    float *y = cnn_data(e, o->y);
    const int moments = o->mean || o->var, gradient = cnn_gradient_epilogue_wanted(&o->gradient),
              sums = cnn_gradient_epilogue_sums(&o->gradient);
    const cnn_epilogue epilogue = cnn_epilogue_of(p->act);
    const int32_t phases_w = cnn_conv2d_phases_w(g), phases = cnn_conv2d_phases_h(g) * phases_w;
    const cnn_phase cut = cnn_phase_of(p, &panels, 0, 0);
    const cnn_moments_slots slots = cnn_moments_slots_of(e->workspace, g->out_channels, cut.chunks);  /* of one phase */
    const int stream = c->kernels->gemm->streams && epilogue.in_tile && cnn_bytes(o->y) >= STREAM_BYTES
        && channels <= p->block && g->out_channels % panels.vl == 0 && (uintptr_t)y % 64 == 0 && residual != y;
    int64_t filled = -1, end = 0;                 /* the chunk that the table is of, and the pixel after it */
    cnn_table t = {.pixels = 0};

    /* Of a single pixel other threads have just written a part: all its lines are asked for at once, not one after the
     * other as the sums come to them. */
    if (p->max_pixels == 1 && p->source == CNN_IN_PLACE && cnn_bytes(o->x) <= SMALLEST_L1_BYTES)
        for (int64_t i = 0; i < cnn_count(o->x); i += LINE) __builtin_prefetch((const float *)cnn_data(e, o->x) + i);

    cnn_work work = cnn_share_work(e, cut.ranges * cut.chunks);       /* parallel over ranges of panels and chunks */
    for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) {
        const int64_t index = cut.by_chunks ? unit / cut.ranges : unit % cut.chunks;
        const int64_t range = cut.by_chunks ? unit % cut.ranges : unit / cut.chunks;
        const int64_t first_panel = all_panels * range / cut.ranges, end_panel = all_panels * (range + 1) / cut.ranges;
        const float *packed = (const float *)e->packed;
        for (int32_t number = 0; number < phases; number++) {
            const cnn_phase f = phases > 1 ? cnn_phase_of(p, &panels, number / phases_w, number % phases_w) : cut;
            const int write = o->norm.written && range == 0;
            if (index != filled || phases > 1 || write) {
                const cnn_chunk k = cnn_chunk_at(p, &f, index);
                cnn_table_layout(&t, e->thread_workspace, p, p->max_pixels, f.taps);
                memset(t.zeros, 0, (size_t)cnn_table_zeros(p) * 4);
                if (p->source == CNN_WINDOWS) cnn_table_fill_windows(&t, p, &k, panels.rows, &images);
                else cnn_table_fill(&t, p, &f, &k, panels.rows, cnn_chunk_source_of(c, e, o, &k, write, t.copy));
                if (p->sparse && number == 0) cnn_table_fill_sparse(&t, p, residual);
                filled = index;
                end = k.begin + k.pixels;
            }
            const int64_t piece = number * cut.chunks + index;
            const float *added = p->sparse && number > 0 ? NULL : residual;
            const ptrdiff_t *added_at = p->sparse ? t.sparse_at : t.at;
            cnn_coming next = coming_of(p, e, o, (int)cut.ranges, channels * panels.vectors * panels.vl * 4,
                                    end, t.pixels, !stream);
            next.share = next.floats / cnn_max(1, all_panels * t.tiles);
            for (int64_t panel = first_panel; panel < end_panel; panel++) {
                const int64_t group = panel / panels.count;
                const cnn_panel n = cnn_panel_at(&panels, panel % panels.count);
                const int64_t column = column_of(&panels, group_out, panel);
                const int64_t after = panel + 1 < end_panel ? panel + 1 : first_panel;
                const float *w = p->own ? cnn_data(e, o->w) : packed + weights_offset(&panels, panel, f.taps, channels);
                const float *w_after = p->own ? w : packed + weights_offset(&panels, after, f.taps, channels);
                cnn_gradient_epilogue through;
                if (gradient)
                    through = cnn_gradient_epilogue_in_registers(e, &o->gradient, g->out_channels, piece, column,
                                                                 n.columns);
                multiply(c->kernels, p, &t, f.taps, channels, group * group_in, &n, w, w_after,
                         (cnn_gemm_tile){.bias = bias ? bias + column : NULL,
                                         .added = added ? added + column : NULL,
                                         .y = y + column,
                                         .last = n.last,
                                         .low = epilogue.low,
                                         .high = epilogue.high,
                                         .moments = moments || sums ? &t.moments : NULL,
                                         .gradient = gradient ? &through : NULL,
                                         .stream = stream && n.last == panels.vl},
                         t.at, added_at, &next);
                next.tile += t.tiles;
                if (sums && t.tiles > 0) cnn_gradient_epilogue_note(&through, n.columns, &t.moments);
                if (!moments) continue;
                if (panel == 0) slots.counts[index] = (double)t.pixels;
                c->kernels->batchnorm->moments_of_sums(t.pixels, n.columns, &t.moments,
                                                       slots.mean + index * slots.channels + column,
                                                       slots.squares + index * slots.channels + column);
            }
            if (!epilogue.in_tile) {      /* while the chunk is hot */
                const int64_t from = column_of(&panels, group_out, first_panel),
                              to = column_of(&panels, group_out, end_panel);
                for (int64_t q = 0, n; q < t.pixels; q += n) {
                    for (n = 1; q + n < t.pixels && t.at[q + n] == t.at[q] + n * g->out_channels; n++) {}
                    cnn_activate_pixels(c, p->act, n, to - from, g->out_channels, y + t.at[q] + from);
                }
            }
            packed += g->groups * f.taps * channels * panels.vectors * panels.vl;
        }
    }
    if (stream) c->kernels->gemm->stream_end();
    if (moments) cnn_moments_combine(c, e, &slots, cnn_data(e, o->mean), cnn_data(e, o->var));
    if (sums) cnn_gradient_epilogue_combine(c, e, &o->gradient, g->out_channels, phases * cut.chunks);
}
