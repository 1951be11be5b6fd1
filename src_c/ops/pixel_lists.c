#include "pixel_lists.h"

cnn_pixel_span cnn_pixel_span_of(cnn_conv2d_axis h, cnn_conv2d_axis w, int64_t begin, int64_t end) {
    const int64_t row0 = begin / w.count, row1 = (end - 1) / w.count, n0 = row0 / h.count, n1 = row1 / h.count;
    /* Rows and columns of the first pixel's first tap and behind the last pixel's last tap, which may be outside. */
    const int64_t i0 = (row0 - n0 * h.count) * h.multiplier + h.offset,
        j0 = (begin - row0 * w.count) * w.multiplier + w.offset,
        i1 = (row1 - n1 * h.count) * h.multiplier + h.offset + (h.taps - 1) * (int64_t)h.offset_step,
        j1 = (end - 1 - row1 * w.count) * w.multiplier + w.offset + (w.taps - 1) * (int64_t)w.offset_step + 1;
    const int64_t size = h.size * (int64_t)w.size;
    return (cnn_pixel_span){
        .begin = n0 * size + (i0 < 0 ? 0 : i0 >= h.size ? size : i0 * w.size + cnn_min(cnn_max(j0, 0), w.size)),
        .end = n1 * size + (i1 < 0 ? 0 : i1 >= h.size ? size : i1 * w.size + cnn_min(cnn_max(j1, 0), w.size))};
}

void cnn_pixel_lists_fill(const cnn_pixel_lists *l, cnn_conv2d_axis h, cnn_conv2d_axis w, cnn_pixel_place x,
                          int64_t begin, int64_t end) {
    const ptrdiff_t step = w.multiplier * x.pitch;
    const int64_t begin_row = begin / w.count, begin_n = begin_row / h.count;
    for (int64_t tap = 0; tap < l->taps; tap++) {
        const int64_t dh = h.offset + tap / w.taps * h.offset_step, dw = w.offset + tap % w.taps * w.offset_step;
        const float **xs = l->x + tap * l->most;
        int32_t *pixels = l->pixel + tap * l->most;
        /* Columns j with 0 <= j * multiplier + dw < size. */
        const int64_t from = dw >= 0 ? 0 : (-dw + w.multiplier - 1) / w.multiplier;
        const int64_t to = dw >= w.size ? 0 : (w.size - 1 - dw) / w.multiplier + 1;
        int64_t count = 0, n = begin_n, i = begin_row - begin_n * h.count, j = begin - begin_row * w.count;
        for (int64_t q = begin; q < end;) {                  /* one row of output pixels at a time */
            const int64_t stop = cnn_min(w.count, j + end - q), ih = i * h.multiplier + dh;
            const int64_t first = cnn_max(j, from), inside = cnn_min(stop, to) - first;
            if (ih >= 0 && ih < h.size && inside > 0) {
                const int32_t number = (int32_t)(q - begin + first - j);
                for (int64_t k = 0; k < inside; k++) pixels[count + k] = number + (int32_t)k;
                const int64_t pixel = (n * h.size + ih) * w.size + first * w.multiplier + dw;
                const float *in = x.x + (pixel - x.first) * x.pitch;
                for (int64_t k = 0; k < inside; k++) xs[count + k] = in + k * step;
                count += inside;
            }
            q += stop - j;
            j = 0;
            if (++i == h.count) { i = 0; n++; }
        }
        l->count[tap] = (int32_t)count;
    }
}

void cnn_pixel_lists_fill_windows(const cnn_pixel_lists *l, const cnn_conv2d_geometry *g,
                                  const cnn_conv2d_images *images, float *copy, int64_t begin, int64_t end) {
    cnn_windows windows = cnn_windows_of(g, images, begin, end, 0, copy);
    for (int64_t q = 0; q < end - begin;) {
        const cnn_window_row w = cnn_windows_next(&windows, end - begin);
        for (int64_t tap = 0; tap < l->taps; tap++) cnn_window_row_point(&w, tap, l->x + tap * l->most + q);
        q += w.count;
    }
    for (int64_t tap = 0; tap < l->taps; tap++) l->count[tap] = (int32_t)(end - begin);
}

void cnn_pixel_lists_number(const cnn_pixel_lists *l) {
    for (int64_t tap = 0; tap < l->taps; tap++)
        for (int32_t k = 0; k < l->most; k++) l->pixel[tap * l->most + k] = k;
}
