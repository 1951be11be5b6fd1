#include "winograd_tiles.h"

cnn_winograd_tiling cnn_winograd_tiling_of(const cnn_conv2d_geometry *g, int form) {
    const cnn_winograd_shape shape = cnn_winograd_shape_of(form);
    /* Backwards the kernel reaches a pixel from the other side: with stride 1 from itself and the pixels before it that
     * the other taps meet, with stride 2, where two taps do, from itself and one before it. */
    const int32_t behind = shape.step == shape.out ? g->kernel_h - 1 : 1;
    /* What is left for the last tiles of a column and a row, in results of a tile of 4x4: backwards there are two for
     * each of them. */
    const int32_t every = cnn_max(1, shape.out / 4), mixed = form == CNN_WINOGRAD_4X4 || form >= CNN_WINOGRAD_STRIDED;
    const int64_t h = cnn_ceil_div(g->out_h, g->dilation_h), w = cnn_ceil_div(g->out_w, g->dilation_w);
    const int32_t down = (int32_t)cnn_ceil_div(h % shape.out, every),
                  across = (int32_t)cnn_ceil_div(w % shape.out, every);
    const int32_t small = down == 1 || down == 2 || across == 1 || across == 2, short_side = small ? 2 : 3;
    /* What is folded begins with an even row and column. */
    const int32_t even = form == CNN_WINOGRAD_FOLDED;
    return (cnn_winograd_tiling){.out = shape.out,
                                 .in = shape.in,
                                 .step = shape.step,
                                 .images = g->images,
                                 .h = (int32_t)cnn_ceil_div(h, shape.out),
                                 .w = (int32_t)cnn_ceil_div(w, shape.out),
                                 .dilation_h = g->dilation_h,
                                 .dilation_w = g->dilation_w,
                                 .strided = form >= CNN_WINOGRAD_STRIDED,
                                 .low = mixed && down > 0 && down <= short_side,
                                 .narrow = mixed && across > 0 && across <= short_side,
                                 .short_side = short_side,
                                 .narrow_out = short_side * every,
                                 .in_h = g->in_h,
                                 .in_w = g->in_w,
                                 .in_channels = g->in_channels,
                                 .pad_top = g->transposed ? behind * g->dilation_h - g->pad_top
                                                          : g->pad_top + (even & g->pad_top),
                                 .pad_left = g->transposed ? behind * g->dilation_w - g->pad_left
                                                           : g->pad_left + (even & g->pad_left),
                                 .out_h = g->out_h,
                                 .out_w = g->out_w,
                                 .out_channels = g->out_channels};
}

cnn_winograd_strip cnn_winograd_strip_at(const cnn_winograd_tiling *t, int64_t first, int64_t end) {
    const int64_t column = first % t->w, row = first / t->w % t->h, plane = first / t->w / t->h,
                  phase = plane % cnn_winograd_phases(t);
    const int low = t->low && row == t->h - 1, narrow = t->narrow && column == t->w - 1;
    const int64_t y = phase / t->dilation_w + row * t->out * t->dilation_h,
                  x = phase % t->dilation_w + column * t->out * t->dilation_w;
    const int64_t tiles = cnn_min(narrow ? 1 : t->w - t->narrow - column, end - first);
    const int32_t out_h = low ? t->narrow_out : t->out, out_w = narrow ? t->narrow_out : t->out;
    return (cnn_winograd_strip){.first = first,
                                .tiles = tiles,
                                .kind = low ? (narrow ? CNN_WINOGRAD_SMALL : CNN_WINOGRAD_LOW)
                                            : (narrow ? CNN_WINOGRAD_NARROW : CNN_WINOGRAD_WHOLE),
                                .size = t->low || t->narrow ? t->short_side - 2 : 0,
                                .out_h = out_h,
                                .out_w = out_w,
                                .image = plane / cnn_winograd_phases(t),
                                .y = y,
                                .x = x,
                                .rows = cnn_max(0, cnn_min(out_h, cnn_ceil_div(t->out_h - y, t->dilation_h))),
                                .columns = cnn_max(0, cnn_min(out_w * tiles,
                                                              cnn_ceil_div(t->out_w - x, t->dilation_w)))};
}

/* Tiles of a kind, of those before number `end`: in rows of tiles that are all before it, and in its own. */
static int64_t count(const cnn_winograd_tiling *t, int64_t end, int kind) {
    const int64_t plane = end / t->w / t->h, row = end / t->w % t->h, column = end % t->w, high = t->h - t->low;
    const int64_t wide = t->w - t->narrow;
    const int low = kind >= CNN_WINOGRAD_LOW, narrow = kind == CNN_WINOGRAD_NARROW || kind == CNN_WINOGRAD_SMALL;
    if (low > t->low || narrow > t->narrow) return 0;
    const int64_t rows = low ? plane : plane * high + cnn_min(row, high);
    const int64_t own = low == (row >= high) && !narrow ? cnn_min(column, wide) : 0;
    return rows * (narrow ? 1 : wide) + own;
}

cnn_winograd_order cnn_winograd_order_of(const cnn_winograd_tiling *t, int64_t begin, int64_t end) {
    cnn_winograd_order o = {.begin = begin, .end = end, .strided = t->strided, .short_side = t->short_side};
    for (int kind = 0; kind < CNN_WINOGRAD_KINDS; kind++) {
        o.before[kind] = count(t, begin, kind);
        o.edge[kind + 1] = o.edge[kind] + count(t, end, kind) - o.before[kind];
    }
    return o;
}

int64_t cnn_winograd_place(const cnn_winograd_tiling *t, const cnn_winograd_order *o, const cnn_winograd_strip *s) {
    return o->edge[s->kind] + count(t, s->first, s->kind) - o->before[s->kind];
}

/* Is a row or column of elements in narrow tiles, and of those that are not transformed number k? */
static int narrow_has(const cnn_winograd_order *o, int i, int k) {
    return cnn_winograd_strided_narrow_has(o->short_side, i) && (i != 5 || k < o->short_side);
}

int64_t cnn_winograd_strided_piece_at(const cnn_winograd_order *o, int64_t e, int64_t slot, cnn_winograd_piece *piece) {
    const int i = (int)e / 6, j = (int)e % 6;
    const int64_t slots = cnn_winograd_slots(1, (int)e), all = o->end - o->begin;
    int64_t next = slot;
    *piece = (cnn_winograd_piece){0};
    do {                                           /* while a slot has all tiles, the next one's follow */
        const int number = (int)next;
        const cnn_winograd_piece more = cnn_winograd_tiles_with(o, narrow_has(o, i, j == 5 ? number / 4 : number),
                                                                narrow_has(o, j, number % 4));
        if (next > slot && more.rows < all) break;
        if (next == slot) piece->first = slot * all + more.first;
        piece->rows += more.rows;
        next++;
    } while (piece->rows == (next - slot) * all && next < slots);
    return next - slot;
}

/* `rows` rows of pixels from (y, x) of an image of h x w pixels with `all` channels, of those of its phase. */
static cnn_winograd_source source(const cnn_winograd_tiling *t, const cnn_winograd_strip *s, const float *image,
                                  int rows, int64_t y, int64_t x, int64_t h, int64_t w, int64_t all, int64_t channels,
                                  const float *zeros) {
    const int64_t below = x % t->dilation_w, begin = below < 0 ? below + t->dilation_w : below,
                  step = t->dilation_w * all;
    cnn_winograd_source source = {.tiles = s->tiles,
                                  .channels = channels,
                                  .step = step,
                                  .first = (x - begin) / t->dilation_w,
                                  .columns = cnn_ceil_div(w - begin, t->dilation_w),
                                  .top = cnn_max(0, cnn_ceil_div(-y, t->dilation_h)),
                                  .bottom = cnn_min(rows, cnn_ceil_div(h - y, t->dilation_h))};
    for (int i = 0; i < rows; i++, y += t->dilation_h)
        source.row[i] = y >= 0 && y < h ? image + (y * w + begin) * all : zeros - source.first * step;
    return source;
}

/* The rows that are inside the image, as floats. */
static void rescale(const cnn_winograd_tiling *t, const cnn_winograd_strip *s, const cnn_winograd_images *images,
                    int64_t y, cnn_winograd_source *in) {
    const int64_t begin = cnn_max(0, in->first),
                  end = cnn_min(t->in_w, in->first + (s->tiles - 1) * t->step + t->in),
                  count = cnn_max(0, end - begin) * t->in_channels;
    float *to = images->rescaled;
    for (int64_t i = in->top; i < in->bottom; i++, to += count) {
        const int64_t from = ((s->image * t->in_h + y + i) * t->in_w + begin) * t->in_channels;
        images->x.rescale(count, (const uint8_t *)images->x.x + from, images->x.by.scale, images->x.by.offset, to);
        in->row[i] = to - begin * t->in_channels;
    }
}

/* The row or column of pixels that, before the padding, tiles of results from `result` on begin with. */
static int64_t pixel_of(const cnn_winograd_tiling *t, int64_t result) {
    return t->step == t->out ? result : result / t->out * t->step;      /* with dilation it is no multiple of `out` */
}

cnn_winograd_source cnn_winograd_inputs(const cnn_winograd_tiling *t, const cnn_winograd_strip *s,
                                        const cnn_winograd_images *images, int64_t channel, int64_t channels,
                                        const float *zeros) {
    const int64_t y = pixel_of(t, s->y) - t->pad_top, x = pixel_of(t, s->x) - t->pad_left;
    const float *image = (const float *)images->x.x + s->image * t->in_h * t->in_w * t->in_channels + channel;
    cnn_winograd_source in = source(t, s, image, t->in - (t->out - s->out_h) * t->step / t->out, y, x, t->in_h,
                                    t->in_w, t->in_channels, channels, zeros);
    if (images->x.rescale) {
        rescale(t, s, images, y, &in);
        return in;
    }
    in.far = cnn_winograd_far((int64_t)t->images * t->in_h * t->in_w * t->in_channels);
    in.norm = images->norm;
    if (in.norm.scale) {
        in.norm.scale += channel;
        in.norm.shift += channel;
    }
    return in;
}

cnn_winograd_source cnn_winograd_results(const cnn_winograd_tiling *t, const cnn_winograd_strip *s, const float *y,
                                         int64_t channel, int64_t channels, const float *zeros) {
    const float *image = y + s->image * t->out_h * t->out_w * t->out_channels + channel;
    cnn_winograd_source results = source(t, s, image, s->out_h, s->y, s->x, t->out_h, t->out_w, t->out_channels,
                                         channels, zeros);
    results.far = cnn_winograd_far((int64_t)t->images * t->out_h * t->out_w * t->out_channels);
    return results;
}

int64_t cnn_winograd_input_bytes(const cnn_winograd_tiling *t, const cnn_winograd_images *images, int64_t end) {
    if (cnn_winograd_phases(t) > 1) return 0;
    const cnn_winograd_strip last = cnn_winograd_strip_at(t, end - 1, end);
    const int64_t rows = cnn_min(t->in_h, pixel_of(t, last.y) - t->pad_top + t->in);
    return (last.image * t->in_h + rows) * t->in_w * t->in_channels * (images->x.rescale ? 1 : (int64_t)sizeof(float));
}

int64_t cnn_winograd_result_bytes(const cnn_winograd_tiling *t, int64_t end) {
    if (cnn_winograd_phases(t) > 1) return 0;
    const cnn_winograd_strip last = cnn_winograd_strip_at(t, end - 1, end);
    const int64_t rows = cnn_min(t->out_h, last.y + t->out);
    return (last.image * t->out_h + rows) * t->out_w * t->out_channels * (int64_t)sizeof(float);
}
