#include "indirect_gemm.h"
#include "panels.h"

#include <stdio.h>
#include <string.h>

enum {
    CHUNK_PIXELS = 96,                /* a chunk's pixels of x stay in L1 or L2 while a panel of weights passes */
    WEIGHT_BLOCK_BYTES = 600 << 10,   /* of L2, for one block of weights */
    MAX_BLOCK = 512,                  /* input channels in a block */
    UNITS = 16,                       /* pieces of work wanted, for so many threads */
    /* from so many on each thread has pixels of its own, that it finds in its cache, and reads all weights; with fewer
     * it has weights of its own and reads all pixels */
    MANY_PIXELS = 128,
    STREAM_BYTES = 16 << 20,          /* from this size on, beyond the caches, results are written past them */
    KEPT_WEIGHTS = 256 << 10,         /* bytes that stay in L2 beside everything else */
    SMALL_MAP = 256,                  /* pixels of a map up to which a tile is the same pixel of several images */
};

typedef struct gemm_plan {
    cnn_algorithm algorithm;
    cnn_conv2d_geometry g;
    cnn_act act;
    cnn_conv2d_geometry window;       /* of a gathered source: what is gathered */
    int32_t source, images_first;     /* see conv2d_source.h; tiles across images */
    int32_t block;                    /* input channels of a block */
    int32_t max_pixels;               /* of a chunk, over all phases */
    int32_t linear;                   /* pixels are read once and in the order of memory */
    int32_t moves;                    /* a gradient too large for the caches, which its epilogue writes past them */
    int32_t sparse;                   /* a residual for the pixels of the first phase alone */
    char text[108];
} gemm_plan;
_Static_assert(sizeof(gemm_plan) <= CNN_PLAN_BYTES, "the plan must fit");

/* ---- how the work is cut, by shapes alone ---- */

/* One phase: its two axes, taps in all, and the cut, the same for all phases, so that a thread does the same part of
 * each, one after the other: they read the same pixels and write neighbours. A chunk is a run of output pixels, all
 * images counted through; or, with images_first, a run of the map's pixels for one group of images, the image being
 * the fastest index. In a phase with fewer pixels than the largest one it may be empty. */
typedef struct phase {
    cnn_conv2d_axis h, w;
    int64_t taps, map, chunks, ranges;      /* map: pixels of one image; ranges: of panels, each with all chunks */
    int by_chunks;                          /* a thread takes all ranges of its chunks, else all chunks of its ranges */
    int64_t image_groups, map_chunks;       /* with images_first: chunks = image_groups * map_chunks */
    int64_t grain;                          /* else chunks are multiples of it: of tiles, where they fill a row */
} phase;

static phase phase_of(const gemm_plan *p, const cnn_panels *panels, int32_t phase_h, int32_t phase_w) {
    const cnn_conv2d_geometry *g = &p->g;
    phase f = {.h = cnn_conv2d_axis_h(g, phase_h), .w = cnn_conv2d_axis_w(g, phase_w)};
    const int64_t all_panels = (int64_t)panels->count * g->groups;
    f.taps = (int64_t)f.h.taps * f.w.taps;
    f.map = (int64_t)f.h.count * f.w.count;
    const int64_t largest_map = cnn_ceil_div(g->out_h, cnn_conv2d_phases_h(g)) * cnn_ceil_div(g->out_w,
                                                                                             cnn_conv2d_phases_w(g));
    const int64_t pixels = g->images * largest_map;
    const int64_t most = cnn_max(panels->rows, CHUNK_PIXELS / panels->rows * panels->rows);
    f.grain = f.w.count % panels->rows == 0 ? panels->rows : 1;
    f.image_groups = p->images_first ? cnn_ceil_div(g->images, panels->rows) : 1;
    int64_t chunks = cnn_ceil_div(pixels, most);
    f.by_chunks = pixels >= MANY_PIXELS;
    if (f.by_chunks) {
        chunks = chunks < 4 * UNITS ? cnn_round_up(chunks, 2) : chunks;
        f.ranges = cnn_min(all_panels, cnn_ceil_div(UNITS, chunks));
        chunks = cnn_max(chunks, cnn_ceil_div(UNITS, f.ranges));
    } else {
        f.ranges = cnn_min(all_panels, UNITS);
        if (f.ranges < UNITS / 4) chunks = cnn_round_up(cnn_ceil_div(UNITS, f.ranges), 2);
    }
    chunks = cnn_max(1, cnn_min(chunks, cnn_ceil_div(pixels, panels->rows)));
    f.map_chunks = cnn_min(largest_map, cnn_ceil_div(chunks, f.image_groups));
    f.chunks = p->images_first ? f.image_groups * f.map_chunks : chunks;
    return f;
}

/* with images_first pixels of the map, else of all images */
typedef struct chunk { int64_t image_begin, images, begin, pixels; } chunk;

static chunk chunk_at(const gemm_plan *p, const phase *f, int64_t index) {
    if (!p->images_first) {
        const int64_t all = p->g.images * f->map / f->grain, begin = all * index / f->chunks * f->grain;
        return (chunk){.images = 1, .begin = begin, .pixels = all * (index + 1) / f->chunks * f->grain - begin};
    }
    int64_t group = index / f->map_chunks, part = index % f->map_chunks;
    int64_t first = p->g.images * group / f->image_groups, begin = f->map * part / f->map_chunks;
    return (chunk){.image_begin = first, .images = p->g.images * (group + 1) / f->image_groups - first, .begin = begin,
                   .pixels = f->map * (part + 1) / f->map_chunks - begin};
}

/* ---- the table of a chunk's pointers ---- */

typedef struct table {
    int64_t pixels, tiles;
    ptrdiff_t *at;                    /* [pixels] where a pixel's output is */
    ptrdiff_t *sparse_at;             /* [pixels] where its residual is, in one of some pixels alone */
    /* [tiles] how many runs of taps a tile has; [tiles][taps] their first taps and lengths */
    int32_t *runs, *tap, *length;
    const float **x;                  /* [pixels][taps], a tile's part as [its runs][its rows] */
    float *zeros, *copy;              /* what taps in the padding read; a source that is a copy */
    /* what a panel gives before its epilogue moves it to y, [pixels][widest panel]; where its rows are */
    float *panel;
    ptrdiff_t *panel_at;
    cnn_moment_sums moments;          /* [widest panel] */
} table;

static int64_t tile_begin(const table *t, int64_t tile) { return t->pixels * tile / t->tiles; }

/* A tap in the padding reads as many zeros as a pixel has channels. */
static int64_t zeros_of(const gemm_plan *p) { return p->g.in_channels; }

/* Lays the table out in the thread's workspace; returns the bytes. */
static int64_t table_layout(table *t, char *memory, const gemm_plan *p, int64_t pixels, int64_t taps) {
    enum { PARTS = 13, PANEL_BYTES = CNN_GEMM_VECTORS * 16 * sizeof(float) };
    const int64_t copy = p->source == CNN_GATHERED ? cnn_conv2d_gather_floats(&p->window, pixels, p->g.in_channels)
        : p->source == CNN_NORMALISED ? pixels * p->g.in_channels : 0;
    const int64_t moved = p->moves ? pixels : 0, sparse = p->sparse ? pixels : 0;
    int64_t at = 0;
    char *part[PARTS];
    const int64_t bytes[PARTS] = {pixels * (int64_t)sizeof(ptrdiff_t), pixels * 4, pixels * taps * 4, pixels * taps * 4,
        pixels * taps * (int64_t)sizeof(float *),
                                  zeros_of(p) * 4, copy * 4, PANEL_BYTES, PANEL_BYTES, PANEL_BYTES,
                                  moved * PANEL_BYTES, moved * (int64_t)sizeof(ptrdiff_t),
                                  sparse * (int64_t)sizeof(ptrdiff_t)};
    for (int i = 0; i < PARTS; i++) {
        part[i] = memory ? memory + at : NULL;
        at += cnn_round_up(bytes[i], CNN_ALIGNMENT);
    }
    *t = (table){.at = (ptrdiff_t *)part[0], .runs = (int32_t *)part[1], .tap = (int32_t *)part[2],
        .length = (int32_t *)part[3],
                 .x = (const float **)part[4], .zeros = (float *)part[5], .copy = (float *)part[6],
                 .moments = {(float *)part[7], (float *)part[8], (float *)part[9]}, .panel = (float *)part[10],
                 .panel_at = (ptrdiff_t *)part[11], .sparse_at = (ptrdiff_t *)part[12]};
    return at;
}

/* The position of an output pixel within a phase. */
typedef struct cursor { int32_t n, i, j; } cursor;

/* `rows` pointers, `step` floats apart, from `first` on. */
static void point(const float **to, int64_t rows, const float *first, ptrdiff_t step) {
    for (int64_t r = 0; r < rows; r++) to[r] = first + r * step;
}

/* The same for pixels of one row, the first in column `column` of `size`, `every` columns apart; those outside read
 * zeros. */
static void point_inside(const float **to, int64_t rows, const float *first, ptrdiff_t step, int32_t column,
                         int32_t every, int32_t size, const float *zeros) {
    const int64_t begin = column < 0 ? cnn_min(rows, (-column + every - 1) / every) : 0,
                  end = column < size ? cnn_min(rows, (size - column + every - 1) / every) : 0;
    for (int64_t r = 0; r < begin; r++) to[r] = zeros;
    for (int64_t r = begin; r < end; r++) to[r] = first + r * step;
    for (int64_t r = cnn_max(begin, end); r < rows; r++) to[r] = zeros;
}

/* Where the pixels of a chunk are read. Of one long row, number q is at x + (q - begin) * channels; begin is 0 but in
 * copies. */
typedef struct source { const float *x; int64_t begin; } source;

static source source_of(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *o, const chunk *k,
                        float *copy) {
    const gemm_plan *p = (const gemm_plan *)c->plan;
    const float *x = cnn_data(e, o->x);
    const int64_t channels = p->g.in_channels;
    if (p->source == CNN_IN_PLACE) return (source){x, 0};
    if (p->source == CNN_GATHERED) cnn_conv2d_gather(&p->window, x, k->begin, k->begin + k->pixels, channels, copy);
    else c->kernels->batchnorm->apply(k->pixels, channels, 1, x + k->begin * channels, cnn_data(e, o->norm.scale),
                                      cnn_data(e, o->norm.shift), NULL, o->norm.act, 0, copy);
    return (source){copy, k->begin};
}

/* Of one long row of pixels: a tile is so many of them, with one tap. */
static void table_fill_linear(table *t, const gemm_plan *p, const chunk *k, int64_t rows, const source s) {
    const ptrdiff_t in = p->g.in_channels, out = p->g.out_channels;
    t->pixels = k->pixels;
    t->tiles = cnn_ceil_div(t->pixels, rows);
    for (int64_t q = 0; q < t->pixels; q++) t->at[q] = (k->begin + q) * out;
    for (int64_t q = 0; q < t->pixels; q++) t->x[q] = s.x + (k->begin - s.begin + q) * in;
    for (int64_t i = 0; i < t->tiles; i++) { t->runs[i] = t->length[i] = 1; t->tap[i] = 0; }
}

/* Where the chunk's pixels are among those of the first phase. */
static void table_fill_sparse(table *t, const gemm_plan *p, const phase *f, const chunk *k) {
    for (int64_t r = 0; r < t->pixels; r++) {
        const int64_t image = k->image_begin + r % k->images, pixel = k->begin + r / k->images;
        t->sparse_at[r] = (image * f->map + pixel) * p->g.out_channels;
    }
}

static void table_fill(table *t, const gemm_plan *p, const phase *f, const chunk *k, int64_t rows, const source s) {
    if (p->linear) { table_fill_linear(t, p, k, rows, s); return; }
    const cnn_conv2d_geometry *g = &p->g;
    const cnn_conv2d_axis *h = &f->h, *w = &f->w;
    t->pixels = k->pixels * k->images;
    t->tiles = p->images_first ? k->pixels : cnn_ceil_div(t->pixels, rows);
    /* taps of a row are adjacent in x as they are in w */
    const ptrdiff_t x_pixel = g->in_channels, x_row = g->in_w * x_pixel, x_image = g->in_h * x_row;
    const int adjacent = w->offset_step == 1 && x_pixel == p->block;
    const int64_t in_map = k->begin % f->map;
    /* In a tile that is even, pixels are equal steps apart: those of one row, or the same pixel of several images. */
    const ptrdiff_t step_x = p->images_first ? x_image : w->multiplier * x_pixel;
    const ptrdiff_t step_y = (p->images_first ? (ptrdiff_t)g->out_h * g->out_w : w->step) * g->out_channels;
    const int32_t step_column = p->images_first ? 0 : w->multiplier;
    cursor q = {.n = (int32_t)(k->image_begin + k->begin / f->map), .i = (int32_t)(in_map / w->count),
        .j = (int32_t)(in_map % w->count)};
    for (int64_t tile = 0; tile < t->tiles; tile++) {
        const int64_t begin = tile_begin(t, tile), m = tile_begin(t, tile + 1) - begin;
        const int even = p->images_first || q.j + m <= w->count;
        int32_t row[CNN_GEMM_ROWS], column[CNN_GEMM_ROWS];       /* of all pixels where the tile is not even */
        ptrdiff_t pixel[CNN_GEMM_ROWS];
        int32_t row_min, row_max, column_min, column_max;
        ptrdiff_t *at = t->at + begin;
        row[0] = row_min = row_max = q.i * h->multiplier + h->offset;
        column[0] = column_min = column_max = q.j * w->multiplier + w->offset;
        pixel[0] = q.n * x_image + row[0] * x_row + column[0] * x_pixel;
        at[0] = (((ptrdiff_t)q.n * g->out_h + h->first + q.i * h->step) * g->out_w + w->first + q.j * w->step)
            * g->out_channels;
        if (even) {
            for (int64_t r = 1; r < m; r++) at[r] = at[0] + r * step_y;
            column_max = column[0] + (int32_t)(m - 1) * step_column;
            q.j += p->images_first ? 1 : (int32_t)m;
        } else {
            for (int64_t r = 0; r < m; r++) {
                row[r] = q.i * h->multiplier + h->offset;
                column[r] = q.j * w->multiplier + w->offset;
                pixel[r] = q.n * x_image + row[r] * x_row + column[r] * x_pixel;
                at[r] = (((ptrdiff_t)q.n * g->out_h + h->first + q.i * h->step) * g->out_w + w->first + q.j * w->step)
                    * g->out_channels;
                row_min = row[r] < row_min ? row[r] : row_min;
                row_max = row[r] > row_max ? row[r] : row_max;
                column_min = column[r] < column_min ? column[r] : column_min;
                column_max = column[r] > column_max ? column[r] : column_max;
                if (++q.j == w->count) { q.j = 0; if (++q.i == h->count) { q.i = 0; q.n++; } }
            }
        }
        if (q.j == w->count) { q.j = 0; if (++q.i == h->count) { q.i = 0; q.n++; } }
        const float **out = t->x + begin * f->taps;
        int32_t *taps = t->tap + tile * f->taps, *length = t->length + tile * f->taps, runs = 0;
        for (int32_t th = 0; th < h->taps; th++) {
            const int32_t dh = th * h->offset_step;
            if (row_max + dh < 0 || row_min + dh >= h->size) continue;
            const int rows_inside = row_min + dh >= 0 && row_max + dh < h->size;
            int32_t next = -1;                           /* the tap that would make the last run longer */
            for (int32_t tw = 0; tw < w->taps; tw++) {
                const int32_t dw = tw * w->offset_step, tap_number = th * w->taps + tw;
                if (column_max + dw < 0 || column_min + dw >= w->size) continue;
                const ptrdiff_t delta = dh * x_row + dw * x_pixel;
                if (rows_inside && column_min + dw >= 0 && column_max + dw < w->size) {
                    if (tap_number == next) { length[runs - 1]++; next++; continue; }
                    if (adjacent) next = tap_number + 1;
                    if (even) point(out, m, s.x + (pixel[0] + delta), step_x);
                    else for (int64_t r = 0; r < m; r++) out[r] = s.x + (pixel[r] + delta);
                } else if (even) {                   /* in a row that is inside, with some columns that are */
                    point_inside(out, m, s.x + (pixel[0] + delta), step_x, column[0] + dw, step_column, w->size,
                                 t->zeros);
                    next = -1;
                } else {
                    int used = 0;
                    for (int64_t r = 0; r < m; r++) {
                        const int inside = (uint32_t)(row[r] + dh) < (uint32_t)h->size
                            && (uint32_t)(column[r] + dw) < (uint32_t)w->size;
                        out[r] = inside ? s.x + (pixel[r] + delta) : t->zeros;
                        used |= inside;
                    }
                    if (!used) continue;
                    next = -1;
                }
                out += m;
                taps[runs] = tap_number;
                length[runs++] = 1;
            }
        }
        t->runs[tile] = runs;
    }
}

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
    if (cnn_conv2d_check_size(g, error)) return -1;
    if (t->w->storage == CNN_ARENA)
        return cnn_fail(error, "w must not be computed within the run, because it is packed before it; "
                        "compute it in the prepare section or pass it from outside");
    if ((t->mean || t->var) && (act.kind != CNN_LINEAR || act.max_value < INFINITY))
        return cnn_fail(error, "moments are of the linear output; ask for none or leave the activation linear");
    return 0;
}

int cnn_indirect_gemm_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *geometry, cnn_act act,
                           const cnn_indirect_gemm_operands *t, cnn_error *error) {
    gemm_plan *p = (gemm_plan *)c->plan;
    if (cnn_indirect_gemm_check(geometry, act, t, error)) return -1;
    *p = (gemm_plan){.algorithm = CNN_INDIRECT_GEMM, .g = cnn_conv2d_flattened(*geometry), .act = act,
                     .source = t->norm.scale ? CNN_NORMALISED : CNN_IN_PLACE};
    const cnn_conv2d_geometry *g = &p->g;
    if (cnn_conv2d_gathers(geometry)) {
        p->source = CNN_GATHERED;
        p->window = *geometry;
        p->g = cnn_conv2d_gathered(geometry);
    }
    p->linear = cnn_conv2d_is_flat(g);
    if (p->source == CNN_NORMALISED && !p->linear)
        return cnn_fail(error, "only the pixels of a 1x1 convolution can be normalised");
    const cnn_panels panels = cnn_panels_of(c->kernels, g->out_channels / g->groups);
    const int64_t channels = g->in_channels / g->groups;
    p->images_first = g->images >= panels.rows && (int64_t)g->out_h * g->out_w <= SMALL_MAP
        && g->kernel_h * g->kernel_w > 1;

    int64_t most_taps = 1, chunks = 0, pieces = 0;
    table layout;
    for (int32_t i = 0; i < cnn_conv2d_phases_h(g); i++)
        for (int32_t j = 0; j < cnn_conv2d_phases_w(g); j++) {
            const phase f = phase_of(p, &panels, i, j);
            most_taps = cnn_max(most_taps, f.taps);
            chunks = f.chunks;
            pieces += f.chunks;
            const int64_t across = cnn_ceil_div(f.map, f.map_chunks) * cnn_ceil_div(g->images, f.image_groups);
            const int64_t along = cnn_ceil_div(g->images * f.map / f.grain, f.chunks) * f.grain;
            p->max_pixels = (int32_t)cnn_max(p->max_pixels, p->images_first ? across : along);
        }
    int64_t largest = WEIGHT_BLOCK_BYTES / (most_taps * panels.widest * panels.vl * 4);
    int64_t blocks = cnn_ceil_div(channels, cnn_max(16, cnn_min(MAX_BLOCK, largest)));
    p->block = (int32_t)cnn_ceil_div(channels, blocks);
    p->moves = c->kernels->gemm->streams && cnn_gradient_epilogue_wanted(&t->gradient)
        && cnn_bytes(t->y) >= STREAM_BYTES && channels <= p->block && g->out_channels % panels.vl == 0;
    p->sparse = t->residual && !cnn_same_shape(t->residual, t->y);
    for (int32_t i = 0; i < cnn_conv2d_phases_h(g); i++)
        for (int32_t j = 0; j < cnn_conv2d_phases_w(g); j++)
            choice->thread_workspace_bytes = cnn_max(
                choice->thread_workspace_bytes,
                table_layout(&layout, NULL, p, p->max_pixels, phase_of(p, &panels, i, j).taps));
    choice->workspace_bytes = t->mean || t->var ? cnn_moments_slots_bytes(g->out_channels, chunks)
                                                : cnn_gradient_epilogue_bytes(&t->gradient, g->out_channels, pieces);
    choice->packed_bytes = (int64_t)g->kernel_h * g->kernel_w * g->in_channels * panels.vectors * panels.vl * 4;
    snprintf(p->text, sizeof p->text, "direct %dx%d%s%s, %d channels, %d-pixel chunks", panels.rows, panels.widest
             * panels.vl,
             cnn_conv2d_source_text(p->source), p->images_first ? " across images" : "", p->block, p->max_pixels);
    choice->kernel = p->text;
    return 0;
}

double cnn_indirect_gemm_flops(const cnn_call *c) { return cnn_conv2d_flops(&((const gemm_plan *)c->plan)->g); }

/* ---- weights: [phase][group][panel][block of channels][tap][channel][width] ---- */

/* Floats before a panel, among those of its group and phase. */
static int64_t panel_offset(const cnn_panel *n, int64_t taps, int64_t channels) { return n->begin * taps * channels; }

void cnn_indirect_gemm_pack(const cnn_call *c, const cnn_exec *e, const cnn_tensor *w_tensor) {
    const gemm_plan *p = (const gemm_plan *)c->plan;
    const cnn_conv2d_geometry *g = &p->g;
    const cnn_panels panels = cnn_panels_of(c->kernels, g->out_channels / g->groups);
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

/* What the next chunk will touch of memory, besides pixels that tiles read in place. It comes from memory, so it is
 * asked for evenly while this chunk is computed: a processor has only so many requests under way, and waits where
 * more come at once. */
typedef struct coming {
    struct { const float *from; int64_t floats; } piece[5];
    int pieces;
    int64_t floats, tile, share;      /* of all pieces; number of the panel's first tile; floats for each tile */
} coming;

static void coming_add(coming *next, const float *tensor, int64_t first_pixel, int64_t pixels, int64_t channels) {
    if (!tensor) return;
    next->piece[next->pieces].from = tensor + first_pixel * channels;
    next->piece[next->pieces++].floats = pixels * channels;
    next->floats += pixels * channels;
}

/* Nothing where a thread does not go on with the next pixels; only what is normalised where the weights are so many
 * that they have to be asked for as well. end: the pixel after the chunk's. */
static coming coming_of(const gemm_plan *p, const cnn_exec *e, const cnn_indirect_gemm_operands *o, int ranges,
                        int64_t weights, int64_t end, int64_t pixels, int written) {
    const cnn_conv2d_geometry *g = &p->g;
    coming next = {.pieces = 0};
    if (!p->linear || ranges > 1) return next;
    if (p->source == CNN_NORMALISED) coming_add(&next, cnn_data(e, o->x), end, pixels, g->in_channels);
    if (p->block < g->in_channels || weights > KEPT_WEIGHTS) return next;
    coming_add(&next, cnn_data(e, o->residual), end, pixels, g->out_channels);
    coming_add(&next, cnn_data(e, o->gradient.x), end, pixels, g->out_channels);
    coming_add(&next, cnn_data(e, o->gradient.y), end, pixels, g->out_channels);
    if (written) coming_add(&next, cnn_data(e, o->y), end, pixels, g->out_channels);
    return next;
}

/* What tile number i of the panel asks for, lines `step` floats apart. Pixels that are read in place are in the second
 * cache sooner. */
static void ask_for(const coming *next, int64_t i, int64_t step, int in_place, cnn_gemm_tile *tile) {
    int64_t begin = next->share * (next->tile + i);
    int piece = 0;
    while (begin >= next->piece[piece].floats) begin -= next->piece[piece++].floats;
    if (in_place) {
        tile->far = tile->near;
        tile->far_step = tile->near_step;
    }
    tile->near = next->piece[piece].from + begin;
    tile->near_step = step;
}

/* All of one chunk for one panel: blocks of channels outside, tiles inside. at: where the pixels' results go, from
 * tile.y on; added_at: where what is added lies, from tile.added on. */
static void multiply(const cnn_kernels *kernels, const gemm_plan *p, const table *t, int64_t taps, int64_t channels,
                     int64_t first_channel, const cnn_panel *n, const float *w, cnn_gemm_tile tile, const ptrdiff_t *at,
                     const ptrdiff_t *added_at, const coming *next, const cnn_gradient_ahead *ahead) {
    if (t->tiles == 0) return;
    const float low = tile.low, high = tile.high;
    const cnn_moment_sums *moments = tile.moments;
    for (int64_t first = 0; first < channels; first += p->block) {
        tile.channels = cnn_min(p->block, channels - first);
        tile.channel = first_channel + first;
        const int final = first + tile.channels == channels;       /* what comes after the sums is for the whole */
        tile.low = final ? low : -INFINITY;
        tile.high = final ? high : INFINITY;
        tile.moments = final ? moments : NULL;
        tile.w = w + first * taps * n->width;
        /* while the tiles use this block, the next one, which follows it in memory, comes to L2 */
        const int64_t floats = tile.channels * taps * n->width, far = floats / t->tiles;
        const int64_t near_step = cnn_ceil_div(next->share, tile.channels);
        tile.far_step = cnn_ceil_div(n->width, t->tiles);
        for (int64_t i = 0, begin = 0, rows; i < t->tiles; i++, begin += rows) {
            rows = tile_begin(t, i + 1) - begin;
            tile.runs = t->runs[i];
            tile.tap = t->tap + i * taps;
            tile.length = t->length + i * taps;
            tile.x = t->x + begin * taps;
            tile.at = at + begin;
            tile.added_at = added_at + begin;
            tile.start = i == 0;
            tile.far = tile.w + floats + far * i;
            if (p->linear && p->source == CNN_IN_PLACE) {   /* rows * channels floats follow, for so many terms */
                tile.near = tile.x[0] + rows * p->g.in_channels;
                tile.near_step = rows;
            }
            if (next->pieces) ask_for(next, i, near_step, p->source == CNN_IN_PLACE, &tile);
            kernels->gemm->tile[n->vectors][rows](&tile);
            if (ahead->columns && final && !next->pieces) cnn_gradient_ahead_pixels(ahead, t->at + begin, rows);
        }
        tile.bias = NULL;
        tile.added = tile.y;
        added_at = at;
    }
}

/* The first output channel of a panel, counted over all groups. */
static int64_t column_of(const cnn_panels *panels, int64_t group_out, int64_t panel) {
    return panel / panels->count * group_out + cnn_panel_at(panels, panel % panels->count).begin;
}

void cnn_indirect_gemm_run(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *o) {
    const gemm_plan *p = (const gemm_plan *)c->plan;
    const cnn_conv2d_geometry *g = &p->g;
    const cnn_panels panels = cnn_panels_of(c->kernels, g->out_channels / g->groups);
    const int64_t group_in = g->in_channels / g->groups, channels = group_in,
        group_out = g->out_channels / g->groups;
    const int64_t all_panels = (int64_t)panels.count * g->groups;
    const float *bias = cnn_data(e, o->bias), *residual = cnn_data(e, o->residual);
    float *y = cnn_data(e, o->y);
    const int moments = o->mean || o->var, gradient = cnn_gradient_epilogue_wanted(&o->gradient);
    const cnn_epilogue epilogue = cnn_epilogue_of(p->act);
    const int32_t phases_w = cnn_conv2d_phases_w(g), phases = cnn_conv2d_phases_h(g) * phases_w;
    const phase cut = phase_of(p, &panels, 0, 0);
    const cnn_moments_slots slots = cnn_moments_slots_of(e->workspace, g->out_channels, cut.chunks);  /* of one phase */
    const int moves = p->moves && (uintptr_t)y % 64 == 0;
    const int stream = c->kernels->gemm->streams && epilogue.in_tile && !gradient && cnn_bytes(o->y) >= STREAM_BYTES
        && channels <= p->block && g->out_channels % panels.vl == 0 && (uintptr_t)y % 64 == 0 && residual != y;
    int64_t filled = -1, end = 0;                 /* the chunk that the table is of, and the pixel after it */
    table t = {.pixels = 0};

    cnn_work work = cnn_share_work(e, cut.ranges * cut.chunks);       /* parallel over ranges of panels and chunks */
    for (int64_t unit; (unit = cnn_work_next(&work)) >= 0;) {
        const int64_t index = cut.by_chunks ? unit / cut.ranges : unit % cut.chunks;
        const int64_t range = cut.by_chunks ? unit % cut.ranges : unit / cut.chunks;
        const int64_t first_panel = all_panels * range / cut.ranges, end_panel = all_panels * (range + 1) / cut.ranges;
        const float *packed = (const float *)e->packed;
        for (int32_t number = 0; number < phases; number++) {
            const phase f = phases > 1 ? phase_of(p, &panels, number / phases_w, number % phases_w) : cut;
            if (index != filled || phases > 1) {
                const chunk k = chunk_at(p, &f, index);
                table_layout(&t, e->thread_workspace, p, p->max_pixels, f.taps);
                memset(t.zeros, 0, (size_t)zeros_of(p) * 4);
                table_fill(&t, p, &f, &k, panels.rows, source_of(c, e, o, &k, t.copy));
                if (p->sparse && number == 0) table_fill_sparse(&t, p, &f, &k);
                filled = index;
                end = k.begin + k.pixels;
                for (int64_t r = 0; moves && r < t.pixels; r++) t.panel_at[r] = r * panels.widest * panels.vl;
            }
            const int64_t piece = number * cut.chunks + index;
            const float *added = p->sparse && number > 0 ? NULL : residual;
            const ptrdiff_t *added_at = p->sparse ? t.sparse_at : t.at;
            coming next = coming_of(p, e, o, (int)cut.ranges, channels * panels.vectors * panels.vl * 4,
                                    end, t.pixels, !stream && !moves);
            next.share = next.floats / cnn_max(1, all_panels * t.tiles);
            for (int64_t panel = first_panel; panel < end_panel; panel++) {
                const int64_t group = panel / panels.count;
                const cnn_panel n = cnn_panel_at(&panels, panel % panels.count);
                const int64_t column = column_of(&panels, group_out, panel);
                const float *w = packed + group * f.taps * channels * panels.vectors * panels.vl
                    + panel_offset(&n, f.taps, channels);
                const cnn_gradient_ahead ahead = cnn_gradient_epilogue_ahead(e, &o->gradient, column, n.columns);
                multiply(c->kernels, p, &t, f.taps, channels, group * group_in, &n, w,
                         (cnn_gemm_tile){.bias = bias ? bias + column : NULL,
                                         .added = added && !moves ? added + column : NULL,
                                         .y = moves ? t.panel : y + column,
                                         .last = n.last,
                                         .low = epilogue.low,
                                         .high = epilogue.high,
                                         .moments = moments ? &t.moments : NULL,
                                         .stream = stream && n.last == panels.vl},
                         moves ? t.panel_at : t.at, added_at, &next, &ahead);
                next.tile += t.tiles;
                const cnn_gradient_moved moved = {.from = t.panel, .step = panels.widest * panels.vl,
                                                  .added = added ? added + column : NULL, .added_at = added_at};
                if (gradient)
                    cnn_gradient_epilogue_apply(c, e, &o->gradient, g->out_channels, piece, t.pixels, 0, column,
                                                n.columns, y, t.at, moves ? &moved : NULL);
                if (!moments) continue;
                if (panel == 0) slots.counts[index] = (double)t.pixels;
                c->kernels->batchnorm->moments_of_sums(t.pixels, n.columns, &t.moments,
                                                       slots.mean + index * slots.channels + column,
                                                       slots.squares + index * slots.channels + column);
            }
            if (!epilogue.in_tile) {      /* while the chunk is hot */
                const int64_t from = column_of(&panels, group_out, first_panel),
                              to = column_of(&panels, group_out, end_panel);
                for (int64_t q = 0; q < t.pixels; q++)
                    c->kernels->elementwise->activate(p->act, to - from, y + t.at[q] + from, y + t.at[q] + from);
            }
            packed += g->groups * f.taps * channels * panels.vectors * panels.vl;
        }
    }
    if (stream || moves) c->kernels->gemm->stream_end();
    if (moments) cnn_moments_combine(c, e, &slots, cnn_data(e, o->mean), cnn_data(e, o->var));
    if (cnn_gradient_epilogue_sums(&o->gradient))
        cnn_gradient_epilogue_combine(c, e, &o->gradient, g->out_channels, phases * cut.chunks);
}
