#include "indirect_table.h"
#include "layout.h"

enum {
    CHUNK_PIXELS = 144,               /* a chunk's pixels of x stay in L1 or L2 while a panel of weights passes */
    UNITS = 16, LEAST_RANGES = 4,     /* pieces of work wanted, for so many threads; of panels alone at least */
    /* from so many on each thread has pixels of its own, that it finds in its cache, and reads all weights; with fewer
     * it has weights of its own and reads all pixels */
    MANY_PIXELS = 128,
    MOST_ROWS = 6,                    /* of a map whose tiles are rows of it: a sixth of them is at the top or bottom */
};

/* ---- how the work is cut, by shapes alone ---- */

int cnn_one_chunk_does(const cnn_indirect_plan *p, const cnn_panels *panels) {
    return (int64_t)p->g.images * p->g.out_h * p->g.out_w <= CHUNK_PIXELS && panels->count >= LEAST_RANGES;
}

cnn_phase cnn_phase_of(const cnn_indirect_plan *p, const cnn_panels *panels, int32_t phase_h, int32_t phase_w) {
    const cnn_conv2d_geometry *g = &p->g;
    cnn_phase f = {.h = cnn_conv2d_axis_h(g, phase_h), .w = cnn_conv2d_axis_w(g, phase_w)};
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
    f.by_chunks = pixels >= MANY_PIXELS && !p->own;
    if (f.by_chunks) {
        chunks = chunks < 4 * UNITS ? cnn_round_up(chunks, 2) : chunks;
        f.ranges = cnn_min(all_panels, cnn_ceil_div(UNITS, chunks));
        chunks = cnn_max(chunks, cnn_ceil_div(UNITS, f.ranges));
    } else {
        f.ranges = cnn_min(all_panels, UNITS);
        if (f.ranges < LEAST_RANGES) chunks = cnn_round_up(cnn_ceil_div(UNITS, f.ranges), 2);
    }
    chunks = cnn_max(1, cnn_min(chunks, cnn_ceil_div(pixels, panels->rows)));
    f.map_chunks = cnn_min(largest_map, cnn_ceil_div(chunks, f.image_groups));
    f.chunks = p->images_first ? f.image_groups * f.map_chunks : chunks;
    return f;
}

cnn_chunk cnn_chunk_at(const cnn_indirect_plan *p, const cnn_phase *f, int64_t index) {
    if (!p->images_first) {
        const int64_t all = p->g.images * f->map / f->grain, begin = all * index / f->chunks * f->grain;
        return (cnn_chunk){.images = 1, .begin = begin, .pixels = all * (index + 1) / f->chunks * f->grain - begin};
    }
    int64_t group = index / f->map_chunks, part = index % f->map_chunks;
    int64_t first = p->g.images * group / f->image_groups, begin = f->map * part / f->map_chunks;
    return (cnn_chunk){.image_begin = first, .images = p->g.images * (group + 1) / f->image_groups - first,
                       .begin = begin, .pixels = f->map * (part + 1) / f->map_chunks - begin};
}

/* ---- the table of a chunk's pointers ---- */

int64_t cnn_table_layout(cnn_table *t, char *memory, const cnn_indirect_plan *p, int64_t pixels, int64_t taps) {
    enum { PANEL_BYTES = CNN_GEMM_VECTORS * 16 * sizeof(float) };
    const int64_t copy = p->source == CNN_WINDOWS ? cnn_windows_floats(&p->window, pixels, 0)
        : p->source == CNN_GATHERED ? cnn_conv2d_gather_floats(&p->window, pixels, p->g.in_channels)
        : p->source == CNN_NORMALISED ? pixels * p->g.in_channels : 0;
    const int64_t positions = pixels * (int64_t)sizeof(ptrdiff_t);
    cnn_layout l = {.memory = memory};
    *t = (cnn_table){.pixels = 0};
    t->at = cnn_take(&l, positions);
    t->runs = cnn_take(&l, pixels * 4);
    t->tap = cnn_take(&l, pixels * taps * 4);
    t->length = cnn_take(&l, pixels * taps * 4);
    t->x = cnn_take(&l, pixels * taps * (int64_t)sizeof(float *));
    t->first = cnn_take(&l, pixels * 4);
    t->apart = cnn_take(&l, positions);
    t->zeros = cnn_take(&l, cnn_table_zeros(p) * 4);
    t->copy = cnn_take(&l, copy * 4);
    t->moments.shift = cnn_take(&l, PANEL_BYTES);
    t->moments.sum = cnn_take(&l, PANEL_BYTES);
    t->moments.square = cnn_take(&l, PANEL_BYTES);
    t->sparse_at = cnn_take(&l, p->sparse ? positions : 0);
    t->own = cnn_take(&l, p->own ? p->block * PANEL_BYTES : 0);
    return l.bytes;
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

/* What others read as well is normalised where it is written, and read there. */
static cnn_chunk_source normalise(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *o,
                                  const cnn_chunk *k, int write, float *copy) {
    const int64_t channels = ((const cnn_indirect_plan *)c->plan)->g.in_channels, at = k->begin * channels;
    const float *x = cnn_data(e, o->x), *residual = cnn_data(e, o->norm.residual);
    float *written = write ? cnn_data(e, o->norm.written) : NULL;
    c->kernels->batchnorm->apply(k->pixels, channels, 1, x + at, cnn_data(e, o->norm.scale), cnn_data(e, o->norm.shift),
                                 (cnn_batchnorm_residual){residual ? residual + at : NULL,
                                                          cnn_data(e, o->norm.residual_scale),
                                                          cnn_data(e, o->norm.residual_shift)},
                                 o->norm.act, 0, written ? written + at : copy);
    return written ? (cnn_chunk_source){written, 0} : (cnn_chunk_source){copy, k->begin};
}

cnn_chunk_source cnn_chunk_source_of(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *o,
                                     const cnn_chunk *k, int write, float *copy) {
    const cnn_indirect_plan *p = (const cnn_indirect_plan *)c->plan;
    if (p->source == CNN_IN_PLACE) return (cnn_chunk_source){cnn_data(e, o->x), 0};
    if (p->source == CNN_NORMALISED) return normalise(c, e, o, k, write, copy);
    const cnn_conv2d_images images = cnn_conv2d_images_of(c, e, o->x, o->rescaling);
    cnn_conv2d_gather(&p->window, &images, k->begin, k->begin + k->pixels, p->g.in_channels, copy);
    return (cnn_chunk_source){copy, k->begin};
}

static void set_tiles(cnn_table *t, int64_t pixels, int64_t tiles) {
    t->pixels = pixels;
    t->tiles = tiles;
    t->rows = pixels / cnn_max(tiles, 1);
    t->larger = pixels - tiles * t->rows;
}

/* `count` numbers, `step` apart, from `first` on. */
static void steps(ptrdiff_t *to, int64_t count, ptrdiff_t first, ptrdiff_t step) {
    for (int64_t i = 0; i < count; i++, first += step) to[i] = first;
}

/* Of one long row of pixels: a tile is so many of them, with one tap. */
static void table_fill_linear(cnn_table *t, const cnn_indirect_plan *p, const cnn_chunk *k, int64_t rows,
                              cnn_chunk_source s) {
    const ptrdiff_t in = p->g.in_channels, out = p->g.out_channels;
    const int64_t pixels = k->pixels, tiles = cnn_ceil_div(pixels, rows);
    const float **x = t->x, *from = s.x + (k->begin - s.begin) * in;
    set_tiles(t, pixels, tiles);
    steps(t->at, pixels, k->begin * out, out);
    for (int64_t i = 0; i < tiles; i++) {
        t->runs[i] = t->length[i] = 1;
        t->tap[i] = 0;
        t->first[i] = (int32_t)i;
        t->apart[i] = in;
        x[i] = from + cnn_table_tile_begin(t, i) * in;
    }
}

void cnn_table_fill_windows(cnn_table *t, const cnn_indirect_plan *p, const cnn_chunk *k, int64_t rows,
                            const cnn_conv2d_images *images) {
    const cnn_conv2d_geometry *g = &p->window;
    const int64_t pixels = k->pixels, taps = g->kernel_h;
    const float **x = t->x;
    cnn_windows windows = cnn_windows_of(g, images, k->begin, k->begin + pixels, 0, t->copy);
    set_tiles(t, pixels, cnn_ceil_div(pixels, rows));
    steps(t->at, pixels, k->begin * g->out_channels, g->out_channels);
    for (int64_t i = 0; i < t->tiles; i++) {
        const int64_t m = cnn_table_tile_begin(t, i + 1) - cnn_table_tile_begin(t, i);
        t->runs[i] = (int32_t)taps;
        for (int64_t h = 0; h < taps; h++) {
            t->tap[i * taps + h] = (int32_t)h;
            t->length[i * taps + h] = 1;
        }
        t->first[i] = (int32_t)(x - t->x);
        cnn_window_row w = cnn_windows_next(&windows, m);
        if (w.count == m) {
            t->apart[i] = w.apart;
            point(x, taps, w.first, w.row);
            x += taps;
            continue;
        }
        t->apart[i] = 0;                             /* pixels of several rows */
        for (int64_t r = 0;; w = cnn_windows_next(&windows, m - r)) {
            for (int64_t h = 0; h < taps; h++) cnn_window_row_point(&w, h, x + h * m + r);
            r += w.count;
            if (r == m) break;
        }
        x += m * taps;
    }
}

void cnn_table_fill_sparse(cnn_table *t, const cnn_indirect_plan *p, const float *residual) {
    const int64_t channels = p->g.out_channels;
    for (int64_t r = 0; r < t->pixels; r++)
        t->sparse_at[r] = cnn_sparse_residual_at(&p->some, t->at[r] / channels, channels, residual, t->zeros);
}

void cnn_table_fill(cnn_table *t, const cnn_indirect_plan *p, const cnn_phase *f, const cnn_chunk *k, int64_t rows,
                    cnn_chunk_source s) {
    if (p->linear) { table_fill_linear(t, p, k, rows, s); return; }
    const cnn_conv2d_geometry *g = &p->g;
    const cnn_conv2d_axis *h = &f->h, *w = &f->w;
    const int64_t pixels = k->pixels * k->images;
    int64_t tiles = p->images_first ? k->pixels : cnn_ceil_div(pixels, rows);
    /* Whole rows of a small map, one a tile: the first and the last need not multiply the padding beside them. */
    const int whole_rows = k->begin % w->count == 0 && pixels % w->count == 0;
    if (!p->images_first && whole_rows && w->count <= rows && 2 * w->count > rows && h->count <= MOST_ROWS)
        tiles = pixels / w->count;
    set_tiles(t, pixels, tiles);
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
        const int64_t begin = cnn_table_tile_begin(t, tile), m = cnn_table_tile_begin(t, tile + 1) - begin;
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
        t->first[tile] = (int32_t)(begin * f->taps);
        t->apart[tile] = 0;
    }
}
