/* One register tile of each family, of ROWS x VECTORS vectors. Included by gemm.c through gemm_sizes.inc.h, once per
 * size: with the sizes as constants all loops over them unroll and the sums stay in registers. Loop order: runs of
 * taps, channels (or pixels) outside; rows, vectors inside. */

/* Asks for the memory of rows first .. end - 1 that the tile will touch when its sums are complete. */
VINLINE void TILE(ask)(const cnn_gemm_tile *t, const tile_place *place, ptrdiff_t first, ptrdiff_t end) {
    const ptrdiff_t *at = place->at, *added_at = place->added_at;
    const float *y = t->y, *added = t->added;
    if (!t->stream && !t->pooled)
#pragma GCC unroll 16
        for (ptrdiff_t r = first; r < end; r++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) __builtin_prefetch(y + at[r] + v * VL, 1, 3);
    if (added)
#pragma GCC unroll 16
        for (ptrdiff_t r = first; r < end; r++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) __builtin_prefetch(added + added_at[r] + v * VL, 0, 3);
    if (t->gradient)
        for (ptrdiff_t r = first; r < end; r++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                if (t->gradient->x) __builtin_prefetch(t->gradient->x + at[r] + v * VL, 0, 3);
                if (t->gradient->y) __builtin_prefetch(t->gradient->y + at[r] + v * VL, 0, 3);
            }
}

/* The sums through the epilogue of gradients. */
VINLINE void TILE(through_gradient)(const cnn_gemm_tile *t, const tile_place *place, vf sum[ROWS][VECTORS]) {
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
        const ptrdiff_t c = v * VL, n = v < VECTORS - 1 ? VL : t->last;
        output_gradient gradient = output_gradient_of(t->gradient, c, n);
        if (t->moments && !place->start) {
            gradient.sum_g = vload(t->moments->sum + c);
            gradient.sum_gx = vload(t->moments->square + c);
        }
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++)
            sum[r][v] = through_output_gradient(&gradient, sum[r][v], place->at[r] + c, n);
        if (t->moments) {
            vstore(t->moments->sum + c, gradient.sum_g);
            vstore(t->moments->square + c, gradient.sum_gx);
        }
    }
}

/* The low half of a value that is in all of a vector. Where no whole vector needs it, it is read as half a one. */
VINLINE vlow TILE(low_value)(vf value, float of) { return VECTORS > 1 ? vlow_of(value) : vlow_set(of); }

/* `low`, a constant: are all channels of the last vector in its low half? */
VINLINE void TILE(tile_at)(const cnn_gemm_tile *t, tile_place *place, int low) {
    vf sum[ROWS][VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
        vf start = !t->bias ? vzero() : v < VECTORS - 1 ? vload(t->bias + v * VL)
            : vload_upto(t->bias + v * VL, t->last);
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++) sum[r][v] = start;
    }
    /* Of a long sum row after row while it grows: a processor has only so many requests under way, and those of all
     * rows at once would keep it from what the sum reads. Towards its end: weights would drive the rows out of the
     * first cache again. */
    ptrdiff_t asked = 0;                         /* rows */
    if (t->runs == 0 || t->length[0] * t->channels < LONG_SUM) {
        TILE(ask)(t, place, 0, ROWS);
        asked = ROWS;
    }
    vlow half[ROWS];                             /* where low: the sums of the last vector */
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) half[r] = vlow_of(sum[r][VECTORS - 1]);
    uintptr_t near = place->near, far = place->far;
    const uintptr_t near_step = (uintptr_t)t->near_step * sizeof(float);
    const uintptr_t far_step = (uintptr_t)t->far_step * sizeof(float);
    for (ptrdiff_t run = 0; run < t->runs; run++) {
        VREAD_AGAIN(t);
        const ptrdiff_t channels = t->length[run] * t->channels;
        const float *w = t->w + t->tap[run] * (t->channels * VECTORS * VL), *x[ROWS];
        if (t->apart)
#pragma GCC unroll 16
            for (int r = 0; r < ROWS; r++) x[r] = place->x[run] + (r * t->apart + t->channel);
        else
#pragma GCC unroll 16
            for (int r = 0; r < ROWS; r++) x[r] = place->x[run * ROWS + r] + t->channel;
        const ptrdiff_t late = run + 1 < t->runs ? channels : channels - (ROWS * ASK_EVERY + ASK_BEFORE);
        ptrdiff_t c = 0;
        do {
            ptrdiff_t end = channels;
            if (c + STEP <= late) end = late;
            else if (asked < ROWS) {
                TILE(ask)(t, place, asked, asked + 1);
                asked++;
                if (c + ASK_EVERY < channels) end = c + ASK_EVERY;
            }
#pragma GCC unroll 2
            for (; c + STEP <= end; c += STEP) {
                vf column[STEP][VECTORS];
#pragma GCC unroll 4
                for (int k = 0; k < STEP; k++, far += far_step, near += near_step) {
                    __builtin_prefetch((const void *)far, 0, 2);
                    __builtin_prefetch((const void *)near, 0, 3);
                }
#pragma GCC unroll 4
                for (int k = 0; k < STEP; k++)
#pragma GCC unroll 4
                    for (int v = 0; v < VECTORS; v++)
                        column[k][v] = *(const vf *)(w + (c + k) * (VECTORS * VL) + v * VL);
#pragma GCC unroll 16
                for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
                    for (int k = 0; k < STEP; k++) {
                        vf value = vset(x[r][c + k]);
#pragma GCC unroll 4
                        for (int v = 0; v < VECTORS; v++)
                            if (low && v == VECTORS - 1)
                                half[r] = vlow_fma(TILE(low_value)(value, x[r][c + k]), vlow_of(column[k][v]), half[r]);
                            else sum[r][v] = vfma(value, column[k][v], sum[r][v]);
                    }
            }
        } while (c + STEP <= channels);
        for (; c < channels; c++)
#pragma GCC unroll 16
            for (int r = 0; r < ROWS; r++) {
                vf value = vset(x[r][c]);
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++) {
                    const vf column = *(const vf *)(w + c * (VECTORS * VL) + v * VL);
                    if (low && v == VECTORS - 1)
                        half[r] = vlow_fma(TILE(low_value)(value, x[r][c]), vlow_of(column), half[r]);
                    else sum[r][v] = vfma(value, column, sum[r][v]);
                }
            }
    }
    place->near = near;
    place->far = far;
    for (; asked < ROWS; asked++) TILE(ask)(t, place, asked, asked + 1);
    if (low)
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++) sum[r][VECTORS - 1] = vwhole_of(half[r]);
    if (t->added)
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                const float *added = t->added + place->added_at[r] + v * VL;
                sum[r][v] += v < VECTORS - 1 ? vload(added) : vload_upto(added, t->last);
            }
    if (t->gradient) {
        TILE(through_gradient)(t, place, sum);
    } else if (t->moments) {                     /* of the linear result */
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) {
            float *const at[3] = {t->moments->shift + v * VL, t->moments->sum + v * VL, t->moments->square + v * VL};
            const vf shift = place->start ? sum[0][v] : vload(at[0]);
            vf total = place->start ? vzero() : vload(at[1]), square = place->start ? vzero() : vload(at[2]);
#pragma GCC unroll 16
            for (int r = 0; r < ROWS; r++) {
                const vf deviation = sum[r][v] - shift;
                total += deviation;
                square = vfma(deviation, deviation, square);
            }
            vstore(at[0], shift);
            vstore(at[1], total);
            vstore(at[2], square);
        }
    } else {
        if (t->low > -__builtin_inff()) {
            const vf low = vset(t->low);
#pragma GCC unroll 16
            for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++) sum[r][v] = vmax(low, sum[r][v]);
        }
        if (t->high < __builtin_inff()) {
            const vf high = vset(t->high);
#pragma GCC unroll 16
            for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++) sum[r][v] = vmin(high, sum[r][v]);
        }
    }
#if ROWS % 4 == 0
    if (t->pooled) {
#pragma GCC unroll 4
        for (int m = 0; m < ROWS / CNN_GEMM_WINDOW; m++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                const ptrdiff_t n = v < VECTORS - 1 ? VL : t->last, to = place->at[m] + v * VL;
                vf best = sum[m * CNN_GEMM_WINDOW][v];
                if (t->place) {
                    vi at = viset(0);
#pragma GCC unroll 4
                    for (int i = 1; i < CNN_GEMM_WINDOW; i++)
                        vtake_larger(sum[m * CNN_GEMM_WINDOW + i][v], i, &best, &at);
                    vstore_u8_upto(t->place + to, at, n);
                } else {
#pragma GCC unroll 4
                    for (int i = 1; i < CNN_GEMM_WINDOW; i++)
                        best = vmax_or_nan(best, sum[m * CNN_GEMM_WINDOW + i][v]);
                }
                vstore_upto(t->y + to, best, n);
            }
        return;
    }
#endif
    if (t->stream) {
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) vstream(t->y + place->at[r] + v * VL, sum[r][v]);
        return;
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) {
        float *y = t->y + place->at[r];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) {
            if (v < VECTORS - 1) vstore(y + v * VL, sum[r][v]);
            else vstore_upto(y + v * VL, sum[r][v], t->last);
        }
    }
}

/* This tile and those that follow. */
VINLINE void TILE(tile_of)(const cnn_gemm_tile *t, int low) {
    tile_place place = {t->x, t->at, t->added_at, (uintptr_t)t->near, (uintptr_t)t->far, t->start};
    for (ptrdiff_t more = t->more;; more--) {
        TILE(tile_at)(t, &place, low);
        if (more == 0) return;
        place.x += t->runs * (t->apart ? 1 : ROWS);
        place.at += ROWS;
        place.added_at += ROWS;
        place.start = 0;
    }
}

/* By itself, that neither takes registers from the other. */
static __attribute__((noinline)) void TILE(tile_low)(const cnn_gemm_tile *t) { TILE(tile_of)(t, 1); }

static void TILE(tile)(const cnn_gemm_tile *t) {
    if (in_low_half(t->last)) TILE(tile_low)(t);
    else TILE(tile_of)(t, 0);
}

/* Row after row, as the addresses of all of them do not fit the registers: see VREAD_AGAIN. last: VL, a constant, or
 * the tile's. */
VINLINE void TILE(add_to_gradient)(const cnn_gemm_outer *t, vf sum[ROWS][VECTORS], ptrdiff_t last) {
    float *w = t->w;
    const ptrdiff_t stride = t->stride;
    if (t->added) {
        const float *added = t->added;
        const ptrdiff_t added_stride = t->added_stride;
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++) {
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                const ptrdiff_t n = v < VECTORS - 1 ? VL : last;
                vstore_upto(w + v * VL, sum[r][v] + vload_upto(added + v * VL, n), n);
            }
            w = (float *)vkeep_address(w + stride);
            added = vkeep_address(added + added_stride);
        }
    } else {
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++, w = (float *)vkeep_address(w + stride))
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) vstore_upto(w + v * VL, sum[r][v], v < VECTORS - 1 ? VL : last);
    }
}

/* `fetch`, a constant: lines fetched ahead for each pixel, 0 or 1, or 2 for any number, as a loop for the one costs two
 * per cent. `low`: as above. `copying`: t->copy is written. */
VINLINE void TILE(outer_of)(const cnn_gemm_outer *t, int fetch, int low, int copying) {
    vf sum[ROWS][VECTORS];
    const float *const *x = t->x, *grad_y = t->grad_y;
    const int32_t *row = t->row;
    const ptrdiff_t channel = t->channel, grad_y_stride = t->grad_y_stride, pixels = t->pixels;
    const ptrdiff_t lines = t->lines, ahead_step = t->ahead_step * (ptrdiff_t)sizeof(float);
    uintptr_t ahead = (uintptr_t)t->ahead;
    float *copy = t->copy;
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) sum[r][v] = vzero();
    vlow half[ROWS];
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) half[r] = vlow_of(sum[r][VECTORS - 1]);
#pragma GCC unroll 2
    for (ptrdiff_t p = 0; p < pixels; p++) {
        const float *values = vkeep_address(x[p] + channel), *g = vkeep_address(grad_y + row[p] * grad_y_stride);
        vf column[VECTORS];
        if (fetch) {
            __builtin_prefetch((const void *)ahead, 0, 2);
            for (ptrdiff_t line = 1; fetch > 1 && line < lines; line++)
                __builtin_prefetch((const void *)(ahead + line * 64), 0, 2);
            ahead += ahead_step;
        }
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) column[v] = *(const vf *)(g + v * VL);
        if (copying) {
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) *(vf *)(copy + v * VL) = column[v];
            copy += VECTORS * VL;
        }
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++) {
            vf value = vset(values[r]);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                if (low && v == VECTORS - 1)
                    half[r] = vlow_fma(TILE(low_value)(value, values[r]), vlow_of(column[v]), half[r]);
                else sum[r][v] = vfma(value, column[v], sum[r][v]);
        }
    }
    if (low)
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++) sum[r][VECTORS - 1] = vwhole_of(half[r]);
    if (t->last == VL) TILE(add_to_gradient)(t, sum, VL);
    else TILE(add_to_gradient)(t, sum, t->last);
}

static void TILE(outer)(const cnn_gemm_outer *t) {
    if (t->copy) TILE(outer_of)(t, 2, 0, 1);
    else if (in_low_half(t->last)) TILE(outer_of)(t, 2, 1, 0);
    else if (t->lines > 1) TILE(outer_of)(t, 2, 0, 0);
    else if (t->lines == 1) TILE(outer_of)(t, 1, 0, 0);
    else TILE(outer_of)(t, 0, 0, 0);
}
