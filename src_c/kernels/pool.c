/* Pooling leaves; the contract is in pool.h. Loops: windows of a row > groups of channel vectors > pixels of the
 * window. */
#include "kernels.h"
#include "relu.h"
#include "vec.h"

/* Channel vectors held in registers at a time, and where each has its places beside it. The more, the longer are the
 * pieces of memory that are read one after the other. */
#define GROUP 4
#define PLACES_GROUP (VREGISTERS >= 32 ? 4 : 2)

enum { SCATTERED = 9 };               /* pixels of a window up to which going through all of them is as fast */

typedef struct range { ptrdiff_t begin, end; } range;

/* Pixels of window p along one axis that lie inside the image. */
VINLINE range window(ptrdiff_t p, ptrdiff_t stride, ptrdiff_t pad, ptrdiff_t pool, ptrdiff_t size) {
    ptrdiff_t begin = p * stride - pad, end = begin + pool;
    return (range){begin > 0 ? begin : 0, end < size ? end : size};
}

/* Windows along one axis that hold a pixel of begin..end. */
VINLINE range windows_at(ptrdiff_t begin, ptrdiff_t end, ptrdiff_t stride, ptrdiff_t pad, ptrdiff_t pool,
                         ptrdiff_t count) {
    ptrdiff_t before = begin + pad - pool + 1, last = (end - 1 + pad) / stride + 1;  /* p * stride >= before */
    return (range){before > 0 ? (before + stride - 1) / stride : 0, last < count ? last : count};
}

/* What averages are multiplied by: the last window's mostly, and with few channels a division takes as long as all else
 * of a window. */
typedef struct divisor { ptrdiff_t pixels; vf reciprocal; } divisor;

/* That of window (rows, columns). */
VINLINE vf reciprocal(const cnn_pool *g, range rows, range columns, divisor *last) {
    const ptrdiff_t pixels = g->count_include_pad ? g->pool_h * g->pool_w
                                                  : (rows.end - rows.begin) * (columns.end - columns.begin);
    if (pixels != last->pixels) *last = (divisor){pixels, vset(1 / (float)pixels)};
    return last->reciprocal;
}

/* ---- forward ---- */

/* How the pixels count; with the activation that is most common as a constant. */
enum { AS_THEY_ARE, NORMALISED_RELU, NORMALISED };

/* x: its first channel is the call's, like those of scale and shift, and of y and place. */
typedef struct max_source {
    const float *x, *scale, *shift;
    ptrdiff_t row_step, step;         /* from row to row, from pixel to pixel */
    relu_constants act;
} max_source;

/* What one vector of channels is multiplied by, and what is added. */
typedef struct max_vector { vf scale, shift; } max_vector;

VINLINE max_vector max_vector_at(int how, const max_source *s, ptrdiff_t c, ptrdiff_t n) {
    if (how == AS_THEY_ARE) return (max_vector){vzero(), vzero()};
    return (max_vector){vload_upto(s->scale + c, n), vload_upto(s->shift + c, n)};
}

VINLINE vf value_at(int how, const max_source *s, max_vector v, const float *x, ptrdiff_t n) {
    const vf value = vload_upto(x, n);
    if (how == AS_THEY_ARE) return value;
    return relu(how == NORMALISED_RELU ? RELU_PLAIN : s->act.kind, vfma(value, v.scale, v.shift), s->act.slope,
                s->act.max_value);
}

VINLINE void max_window(int how, int vectors, ptrdiff_t n, const max_source *s, ptrdiff_t rows, ptrdiff_t columns,
                        ptrdiff_t c, float *y) {
    vf best[GROUP];
    max_vector of[GROUP];
    for (int v = 0; v < vectors; v++) {
        best[v] = vset(-__builtin_inff());
        of[v] = max_vector_at(how, s, c + v * VL, n);
    }
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++)
            for (int v = 0; v < vectors; v++)
                best[v] = vmax_or_nan(best[v],
                                      value_at(how, s, of[v], s->x + i * s->row_step + j * s->step + c + v * VL, n));
    for (int v = 0; v < vectors; v++) vstore_upto(y + c + v * VL, best[v], n);
}

/* The same with places: a later pixel takes over where it is larger, or the first NaN. */
VINLINE void max_window_places(int how, int vectors, ptrdiff_t n, const max_source *s, ptrdiff_t rows,
                               ptrdiff_t columns, ptrdiff_t c, float *y, uint8_t *place) {
    vf best[PLACES_GROUP];
    vi at[PLACES_GROUP];
    max_vector of[PLACES_GROUP];
    int32_t number = 0;
    for (int v = 0; v < vectors; v++) {
        of[v] = max_vector_at(how, s, c + v * VL, n);
        best[v] = value_at(how, s, of[v], s->x + c + v * VL, n);
        at[v] = viset(0);
    }
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++, number++)
            for (int v = 0; v < vectors; v++)
                vtake_larger(value_at(how, s, of[v], s->x + i * s->row_step + j * s->step + c + v * VL, n), number,
                             &best[v], &at[v]);
    for (int v = 0; v < vectors; v++) {
        vstore_upto(y + c + v * VL, best[v], n);
        vstore_u8_upto(place + c + v * VL, at[v], n);
    }
}

/* Channels c..c_end of one window. */
VINLINE void max_channels(int how, const max_source *s, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t c, ptrdiff_t c_end,
                          float *y, uint8_t *place) {
    if (place) {
        for (; c + PLACES_GROUP * VL <= c_end; c += PLACES_GROUP * VL)
            max_window_places(how, PLACES_GROUP, VL, s, rows, columns, c, y, place);
        for (; c + VL <= c_end; c += VL) max_window_places(how, 1, VL, s, rows, columns, c, y, place);
        if (c < c_end) max_window_places(how, 1, c_end - c, s, rows, columns, c, y, place);
        return;
    }
    for (; c + GROUP * VL <= c_end; c += GROUP * VL) max_window(how, GROUP, VL, s, rows, columns, c, y);
    for (; c + VL <= c_end; c += VL) max_window(how, 1, VL, s, rows, columns, c, y);
    if (c < c_end) max_window(how, 1, c_end - c, s, rows, columns, c, y);
}

VINLINE void max_row_of(int how, const cnn_pool *g, ptrdiff_t p, ptrdiff_t c_begin, ptrdiff_t c_end, const float *x,
                        const cnn_normalising *norm, float *y, uint8_t *place) {
    const range r = window(p, g->stride_h, g->pad_top, g->pool_h, g->h);
    const ptrdiff_t rows = r.end - r.begin;
    max_source source = {.scale = norm->scale, .shift = norm->shift, .row_step = g->w * g->c, .step = g->c,
                         .act = relu_of(&norm->act)};
    for (ptrdiff_t q = 0; q < g->out_w; q++) {
        const range s = window(q, g->stride_w, g->pad_left, g->pool_w, g->w);
        const ptrdiff_t columns = s.end - s.begin, to = (p * g->out_w + q) * g->c;
        uint8_t *places = place ? place + to : NULL;
        source.x = x + (r.begin * g->w + s.begin) * g->c;
        if (rows == 2 && columns == 2) max_channels(how, &source, 2, 2, c_begin, c_end, y + to, places);
        else if (rows == 3 && columns == 3) max_channels(how, &source, 3, 3, c_begin, c_end, y + to, places);
        else max_channels(how, &source, rows, columns, c_begin, c_end, y + to, places);
    }
}

static void max_row(const cnn_pool *g, ptrdiff_t p, ptrdiff_t c_begin, ptrdiff_t c_end, const float *x,
                    cnn_normalising norm, float *y, uint8_t *place) {
    if (!norm.scale) max_row_of(AS_THEY_ARE, g, p, c_begin, c_end, x, &norm, y, place);
    else if (relu_of(&norm.act).kind == RELU_PLAIN)
        max_row_of(NORMALISED_RELU, g, p, c_begin, c_end, x, &norm, y, place);
    else max_row_of(NORMALISED, g, p, c_begin, c_end, x, &norm, y, place);
}

/* Each row of the window has its own sum, so that the rounding error grows with rows + columns and not with their
 * product. */
VINLINE void average_window(int vectors, ptrdiff_t n, const float *x, ptrdiff_t rows, ptrdiff_t columns,
                            ptrdiff_t row_step, ptrdiff_t step, vf scale, float *y) {
    vf total[GROUP];
    for (int v = 0; v < vectors; v++) total[v] = vzero();
    for (ptrdiff_t i = 0; i < rows; i++) {
        vf sum[GROUP];
        for (int v = 0; v < vectors; v++) sum[v] = vload_upto(x + i * row_step + v * VL, n);
        for (ptrdiff_t j = 1; j < columns; j++)
            for (int v = 0; v < vectors; v++) sum[v] += vload_upto(x + i * row_step + j * step + v * VL, n);
        for (int v = 0; v < vectors; v++) total[v] += sum[v];
    }
    for (int v = 0; v < vectors; v++) vstore_upto(y + v * VL, total[v] * scale, n);
}

static void average_row(const cnn_pool *g, ptrdiff_t p, ptrdiff_t c_begin, ptrdiff_t c_end, const float *x, float *y) {
    range r = window(p, g->stride_h, g->pad_top, g->pool_h, g->h);
    ptrdiff_t rows = r.end - r.begin, row_step = g->w * g->c;
    divisor last = {0};
    for (ptrdiff_t q = 0; q < g->out_w; q++) {
        range s = window(q, g->stride_w, g->pad_left, g->pool_w, g->w);
        ptrdiff_t columns = s.end - s.begin, c = c_begin;
        const float *from = x + (r.begin * g->w + s.begin) * g->c;
        float *to = y + (p * g->out_w + q) * g->c;
        vf scale = reciprocal(g, r, s, &last);
        for (; c + GROUP * VL <= c_end; c += GROUP * VL)
            average_window(GROUP, VL, from + c, rows, columns, row_step, g->c, scale, to + c);
        for (; c + VL <= c_end; c += VL) average_window(1, VL, from + c, rows, columns, row_step, g->c, scale, to + c);
        if (c < c_end) average_window(1, c_end - c, from + c, rows, columns, row_step, g->c, scale, to + c);
    }
}

/* ---- backward ---- */

/* Gives the gradient of one window of one vector of channels to the place of its maximum, through the activation
 * that made x; where place is NULL, to the first pixel of x that equals y. Rows of the window before write_from are
 * not written (they belong to other calls). alone: no other window holds these pixels, so they are written; else
 * they are added to. */
VINLINE void max_backward_window(int alone, ptrdiff_t n, const float *x, const uint8_t *place, const float *y,
                                 const float *grad_y, relu_slopes slopes, ptrdiff_t write_from, ptrdiff_t rows,
                                 ptrdiff_t columns, ptrdiff_t row_step, ptrdiff_t step, float *grad_x) {
    vf best = vload_upto(y, n), grad = relu_masked(vload_upto(grad_y, n), best, slopes);
    vi pending = viset(-1), places = place ? vload_u8_upto(place, n) : pending, number = viset(0);
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++, number += 1) {
            ptrdiff_t at = i * row_step + j * step;
            vi chosen = places == number;
            if (!place) { /* a window with a NaN has y = NaN, any other has none */
                vf value = vload_upto(x + at, n);
                chosen = pending & ((value == best) | (value != value));
                pending &= ~chosen;
            }
            vf given = vselect(chosen, grad, vzero());
            if (i >= write_from) vstore_upto(grad_x + at, alone ? given : vload_upto(grad_x + at, n) + given, n);
        }
}

/* The same for all channels of the call. */
VINLINE void max_backward_channels(int alone, ptrdiff_t channels, const float *x, const uint8_t *place, const float *y,
                                   const float *grad_y, relu_slopes slopes, ptrdiff_t write_from, ptrdiff_t rows,
                                   ptrdiff_t columns, ptrdiff_t row_step, ptrdiff_t step, float *grad_x) {
    ptrdiff_t c = 0;
    for (; c + VL <= channels; c += VL)
        max_backward_window(alone, VL, x ? x + c : NULL, place ? place + c : NULL, y + c, grad_y + c, slopes,
                            write_from, rows, columns, row_step, step, grad_x + c);
    if (c < channels)
        max_backward_window(alone, channels - c, x ? x + c : NULL, place ? place + c : NULL, y + c, grad_y + c, slopes,
                            write_from, rows, columns, row_step, step, grad_x + c);
}

/* Where the pixels of a window lie, in floats from its first one on; below 0: in rows that belong to other calls, or
 * nowhere, where the window has no such place. */
typedef struct pool_places { ptrdiff_t first, end, columns, filled, at[CNN_POOL_PLACES]; } pool_places;

/* Of windows of so many columns, of which the rows first .. end - 1 are written. */
static void fill_places(pool_places *t, ptrdiff_t first, ptrdiff_t end, ptrdiff_t columns, ptrdiff_t row_step,
                        ptrdiff_t step) {
    if (t->first == first && t->end == end && t->columns == columns) return;
    t->first = first;
    t->end = end;
    t->columns = columns;
    ptrdiff_t number = 0;
    for (ptrdiff_t i = 0; i < end; i++)
        for (ptrdiff_t j = 0; j < columns; j++) t->at[number++] = i < first ? -1 : i * row_step + j * step;
    for (; number < t->filled; number++) t->at[number] = -1;
    t->filled = end * columns;
}

/* The same as max_backward_channels() of windows that overlap, by going to the place alone: with many pixels that is
 * less than going through all. */
VINLINE void max_backward_scatter(ptrdiff_t channels, const pool_places *t, const uint8_t *place, const float *y,
                                  const float *grad_y, relu_slopes slopes, float *grad_x) {
    for (ptrdiff_t c = 0; c < channels; c += VL) {
        const ptrdiff_t n = channels - c < VL ? channels - c : VL;
        float grad[VL];
        vstore(grad, relu_masked(vload_upto(grad_y + c, n), vload_upto(y + c, n), slopes));
        for (ptrdiff_t lane = 0; lane < n; lane++) {
            const ptrdiff_t at = t->at[place[c + lane]];
            if (at >= 0) grad_x[at + c + lane] += grad[lane];
        }
    }
}

static void clear_rows(const cnn_pool *g, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t c_begin, ptrdiff_t c_end,
                       float *x) {
    ptrdiff_t count = (end - begin) * g->w;
    x += begin * g->w * g->c;
    if (c_end - c_begin == g->c && count > 0) memset(x, 0, (size_t)(count * g->c) * sizeof *x);
    else for (ptrdiff_t i = 0; i < count; i++) memset(x + i * g->c + c_begin, 0, (size_t)(c_end - c_begin) * sizeof *x);
}

/* The windows are visited in row-major order, so the sum in a pixel does not depend on how the rows are shared out.
 * Where windows neither overlap nor leave a gap every pixel is written once; else rows are cleared just before the
 * first window that writes them, while they come into the cache. */
VINLINE void max_backward(const cnn_pool *g, ptrdiff_t h_begin, ptrdiff_t h_end, ptrdiff_t c_begin, ptrdiff_t c_end,
                          const float *x, const uint8_t *place, const float *y, const float *grad_y, cnn_relu_mask mask,
                          float *grad_x) {
    range windows = windows_at(h_begin, h_end, g->stride_h, g->pad_top, g->pool_h, g->out_h);
    ptrdiff_t cleared = h_begin, row_step = g->w * g->c;
    int alone = g->stride_h == g->pool_h && g->stride_w == g->pool_w && g->out_w * g->stride_w - g->pad_left >= g->w;
    relu_slopes slopes = relu_slopes_of(mask);
    pool_places table;
    memset(&table, -1, sizeof table);             /* filled for no window, with no place */
    for (ptrdiff_t p = windows.begin; p < windows.end; p++) {
        range r = window(p, g->stride_h, g->pad_top, g->pool_h, g->h);
        if (r.end > h_end) r.end = h_end;
        if (cleared < r.end) {
            if (!alone) clear_rows(g, cleared, r.end, c_begin, c_end, grad_x);
            cleared = r.end;
        }
        ptrdiff_t rows = r.end - r.begin, write_from = h_begin - r.begin;
        for (ptrdiff_t q = 0; q < g->out_w; q++) {
            range s = window(q, g->stride_w, g->pad_left, g->pool_w, g->w);
            ptrdiff_t columns = s.end - s.begin, from = (r.begin * g->w + s.begin) * g->c + c_begin,
                      to = (p * g->out_w + q) * g->c + c_begin;
            const float *pixels = place ? NULL : x + from;
            const uint8_t *places = place ? place + to : NULL;
            if (alone && rows == 2 && columns == 2 && write_from <= 0)
                max_backward_channels(1, c_end - c_begin, pixels, places, y + to, grad_y + to, slopes, 0, 2, 2,
                                      row_step, g->c, grad_x + from);
            else if (alone)
                max_backward_channels(1, c_end - c_begin, pixels, places, y + to, grad_y + to, slopes, write_from, rows,
                                      columns, row_step, g->c, grad_x + from);
            else if (places && g->pool_h * g->pool_w > SCATTERED) {
                fill_places(&table, write_from > 0 ? write_from : 0, rows, columns, row_step, g->c);
                max_backward_scatter(c_end - c_begin, &table, places, y + to, grad_y + to, slopes, grad_x + from);
            } else
                max_backward_channels(0, c_end - c_begin, pixels, places, y + to, grad_y + to, slopes, write_from, rows,
                                      columns, row_step, g->c, grad_x + from);
        }
    }
    clear_rows(g, cleared, h_end, c_begin, c_end, grad_x);
}

static void max_backward_rows(const cnn_pool *g, ptrdiff_t h_begin, ptrdiff_t h_end, ptrdiff_t c_begin, ptrdiff_t c_end,
                              const float *x, const uint8_t *place, const float *y, const float *grad_y,
                              cnn_relu_mask mask, float *grad_x) {
    if (place) max_backward(g, h_begin, h_end, c_begin, c_end, NULL, place, y, grad_y, mask, grad_x);
    else max_backward(g, h_begin, h_end, c_begin, c_end, x, NULL, y, grad_y, mask, grad_x);
}

#if VLOOKS_UP
/* last: channels that exist in the last vector. The others' sums are of the next window's, and are not written. */
VINLINE void products_of(int vectors, int taps, const cnn_pool_products *p, ptrdiff_t channel, ptrdiff_t last) {
    vf sum[CNN_POOL_TAPS][2];
    const ptrdiff_t channels = p->channels, windows = p->windows, step = p->step, below = p->below;
    const float *grad = p->grad + channel;
    const int32_t *at = p->at + channel;
#pragma GCC unroll 8
    for (int k = 0; k < taps; k++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            sum[k][v] = vload_upto(p->w + k * channels + channel + v * VL, v < vectors - 1 ? VL : last);
    for (ptrdiff_t row = 0; row < p->rows; row++) {
        const float *x = p->x + row * p->row_step;
        for (ptrdiff_t m = 0; m < windows; m++, x += step, grad += channels, at += channels) {
            const vf top = vload(x), bottom = vload(x + below);
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) {
                const vf g = vkeep(vload(grad + v * VL));
                const vi from = (vi)vkeep(vload((const float *)at + v * VL));
#pragma GCC unroll 8
                for (int k = 0; k < taps; k++) sum[k][v] = vfma(vlookup(top, bottom, from + k), g, sum[k][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (int k = 0; k < taps; k++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            vstore_upto(p->w + k * channels + channel + v * VL, sum[k][v], v < vectors - 1 ? VL : last);
}

VINLINE void products_of_taps(int taps, const cnn_pool_products *p) {
    ptrdiff_t c = 0;
    for (; c + 2 * VL <= p->channels; c += 2 * VL) products_of(2, taps, p, c, VL);
    if (c + VL < p->channels) products_of(2, taps, p, c, p->channels - c - VL);
    else if (c < p->channels) products_of(1, taps, p, c, p->channels - c);
}

static void products(const cnn_pool_products *p) {
    switch (p->taps) {
    case 1: products_of_taps(1, p); break;
    case 2: products_of_taps(2, p); break;
    case 3: products_of_taps(3, p); break;
    case 4: products_of_taps(4, p); break;
    case 5: products_of_taps(5, p); break;
    case 6: products_of_taps(6, p); break;
    case 7: products_of_taps(7, p); break;
    default: products_of_taps(8, p);
    }
}

VINLINE void look_up_some(ptrdiff_t n, vi step, const uint8_t *place, const float *y, const float *grad_y,
                          relu_slopes slopes, float *grad, int32_t *at) {
    const vi places = vload_u8_upto(place, n), from = ((places >> 1) * VL) + (step & -(places & 1));
    vstore_upto(grad, relu_masked(vload_upto(grad_y, n), vload_upto(y, n), slopes), n);
    vstore_upto((float *)at, (vf)from, n);
}

static void look_up(ptrdiff_t n, ptrdiff_t step, const uint8_t *place, const float *y, const float *grad_y,
                    cnn_relu_mask mask, float *grad, int32_t *at) {
    const relu_slopes slopes = relu_slopes_of(mask);
    const vi steps = viset((int32_t)step);
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL)
        look_up_some(VL, steps, place + i, y + i, grad_y + i, slopes, grad + i, at + i);
    if (i < n) look_up_some(n - i, steps, place + i, y + i, grad_y + i, slopes, grad + i, at + i);
}
#endif

VINLINE void average_backward_pixel(int vectors, ptrdiff_t n, const cnn_pool *g, range p, range q, const float *grad_y,
                                    divisor *last, float *grad_x) {
    vf sum[GROUP];
    for (int v = 0; v < vectors; v++) sum[v] = vzero();
    for (ptrdiff_t i = p.begin; i < p.end; i++)
        for (ptrdiff_t j = q.begin; j < q.end; j++) {
            const vf scale = reciprocal(g, window(i, g->stride_h, g->pad_top, g->pool_h, g->h),
                                        window(j, g->stride_w, g->pad_left, g->pool_w, g->w), last);
            for (int v = 0; v < vectors; v++)
                sum[v] = vfma(vload_upto(grad_y + (i * g->out_w + j) * g->c + v * VL, n), scale, sum[v]);
        }
    for (int v = 0; v < vectors; v++) vstore_upto(grad_x + v * VL, sum[v], n);
}

/* Windows that share pixels. */
static void average_backward_overlapping(const cnn_pool *g, ptrdiff_t h, ptrdiff_t c_begin, ptrdiff_t c_end,
                                         const float *grad_y, float *grad_x) {
    range p = windows_at(h, h + 1, g->stride_h, g->pad_top, g->pool_h, g->out_h);
    range q = {0, 0};                  /* moves with w */
    divisor last = {0};
    for (ptrdiff_t w = 0; w < g->w; w++) {
        while (q.end < g->out_w && q.end * g->stride_w - g->pad_left <= w) q.end++;
        while (q.begin < q.end && q.begin * g->stride_w - g->pad_left + g->pool_w <= w) q.begin++;
        ptrdiff_t c = c_begin;
        float *to = grad_x + (h * g->w + w) * g->c;
        for (; c + GROUP * VL <= c_end; c += GROUP * VL)
            average_backward_pixel(GROUP, VL, g, p, q, grad_y + c, &last, to + c);
        for (; c + VL <= c_end; c += VL) average_backward_pixel(1, VL, g, p, q, grad_y + c, &last, to + c);
        if (c < c_end) average_backward_pixel(1, c_end - c, g, p, q, grad_y + c, &last, to + c);
    }
}

/* grad_y scale to each of `columns` pixels, a vector of n channels. */
VINLINE void spread(ptrdiff_t n, const float *grad_y, vf scale, ptrdiff_t columns, ptrdiff_t step, float *grad_x) {
    const vf share = vload_upto(grad_y, n) * scale;
    for (ptrdiff_t j = 0; j < columns; j++) vstore_upto(grad_x + j * step, share, n);
}

/* Where every pixel is in one window at most its share is computed once and written to all of them. */
static void average_backward_row(const cnn_pool *g, ptrdiff_t h, ptrdiff_t c_begin, ptrdiff_t c_end,
                                 const float *grad_y, float *grad_x) {
    const range p = windows_at(h, h + 1, g->stride_h, g->pad_top, g->pool_h, g->out_h);
    if (p.end - p.begin != 1 || g->stride_w < g->pool_w) {
        average_backward_overlapping(g, h, c_begin, c_end, grad_y, grad_x);
        return;
    }
    const range rows = window(p.begin, g->stride_h, g->pad_top, g->pool_h, g->h);
    const ptrdiff_t channels = c_end - c_begin, row = h * g->w * g->c + c_begin;
    ptrdiff_t w = 0;                   /* pixels that are written */
    divisor last = {0};
    for (ptrdiff_t q = 0; q < g->out_w; q++) {
        const range s = window(q, g->stride_w, g->pad_left, g->pool_w, g->w);
        const vf scale = reciprocal(g, rows, s, &last);
        const float *from = grad_y + (p.begin * g->out_w + q) * g->c + c_begin;
        for (; w < s.begin; w++) memset(grad_x + row + w * g->c, 0, (size_t)channels * sizeof *grad_x);
        float *to = grad_x + row + w * g->c;
        ptrdiff_t c = 0;
        for (; c + VL <= channels; c += VL) spread(VL, from + c, scale, s.end - w, g->c, to + c);
        if (c < channels) spread(channels - c, from + c, scale, s.end - w, g->c, to + c);
        w = s.end;
    }
    for (; w < g->w; w++) memset(grad_x + row + w * g->c, 0, (size_t)channels * sizeof *grad_x);
}

extern const cnn_pool_kernels KERNEL(cnn_pool);
const cnn_pool_kernels KERNEL(cnn_pool) = {
    .max_row = max_row, .average_row = average_row,
    .max_backward_rows = max_backward_rows, .average_backward_row = average_backward_row,
#if VLOOKS_UP
    .products = products, .look_up = look_up,
#endif
};
