/* The results of one form, for all its tiles: bias, residual, activation, and what else is done with them while they
 * are in registers. Included once a form, with OUT_H and OUT_W, the rows and columns of a tile's results, HALF, how
 * many columns the rows' transform leaves, FORM(output_columns), and FORM(output_row); with BACKWARDS for the strided
 * form backwards. */

/* The row or column of a tile that is number i of `out` results; what to do with one that does not exist. */
#ifdef BACKWARDS
#define PLACE(i, out) back_place(r->odd, out, i)
#define SKIP continue
#else
#define PLACE(i, out) (i)
#define SKIP break
#endif

/* The same as ask_for_next() for where a tile's results go and what they are made from, laid out alike. */
VINLINE void FORM(ask_for_results)(const cnn_winograd_result *r, ptrdiff_t at, int gradient) {
    for (int i = 0; i < OUT_H; i++)
        for (int j = 0; j < OUT_W; j++) {
            const ptrdiff_t next = at + i * r->row + j * r->step + VL;
            __builtin_prefetch(r->y + next, 1);
            if (r->added && !r->sparse) __builtin_prefetch(r->added + next);
            if (gradient && r->gradient->x) __builtin_prefetch(r->gradient->x + next);
            if (gradient && r->gradient->y) __builtin_prefetch(r->gradient->y + next);
        }
}

/* A vector of channels, from c on, n of them. The constants whole (every pixel of every tile exists), clamp, moments
 * and gradient choose the body. */
VINLINE void FORM(output_plane)(const cnn_winograd_result *r, ptrdiff_t c, ptrdiff_t n, int whole, int clamp,
                                int moments, int gradient) {
    const ptrdiff_t plane = c / VL * r->plane;
    const float *m = r->m;
    output_gradient g = gradient ? output_gradient_of(r->gradient, c, n) : (output_gradient){.y = NULL};
    const vf start = r->bias ? vload_upto(r->bias + c, n) : vzero(), low = vset(r->low), high = vset(r->high);
    vf shift = vzero(), sum = vzero(), square = vzero();
    if (moments && !r->start) {
        shift = vload_upto(r->moments->shift + c, n);
        sum = vload_upto(r->moments->sum + c, n);
        square = vload_upto(r->moments->square + c, n);
    }
    for (ptrdiff_t t = 0; t < r->tiles; t++, m += VL) {
        const ptrdiff_t rows = whole ? OUT_H : r->rows, left = r->columns - OUT_W * t,
                        columns = whole || left >= OUT_W ? OUT_W : left, at = t * OUT_W * r->step + c;
        vf half[OUT_H][HALF];
        if (r->far && whole) FORM(ask_for_results)(r, at, gradient);
        FORM(output_columns)(r, m, plane, half);
#pragma GCC unroll 4
        for (int i = 0; i < OUT_H; i++) {
            const int down = PLACE(i, OUT_H);
            if (!whole && down >= rows) SKIP;
            vf y[OUT_W], row_sum = vzero(), row_square = vzero();
            FORM(output_row)(half[i], y);
            if (moments && r->start && t == 0 && i == 0) shift = y[0] + start;
#pragma GCC unroll 4
            for (int j = 0; j < OUT_W; j++) {
                const int across = PLACE(j, OUT_W);
                if (!whole && across >= columns) SKIP;
                const ptrdiff_t to = at + down * r->row + across * r->step;
                y[j] += start;
                const ptrdiff_t added = winograd_added(r, t * OUT_W, down, across, c, to);
                if (added >= 0) y[j] += vload_upto(r->added + added, n);
                if (clamp) y[j] = vmin(high, vmax(low, y[j]));
                if (gradient) y[j] = through_output_gradient(&g, y[j], to, n);
                vstore_upto(r->y + to, y[j], n);
                if (moments) {
                    const vf deviation = y[j] - shift;
                    row_sum += deviation;
                    row_square = vfma(deviation, deviation, row_square);
                }
            }
            if (moments) {
                sum += row_sum;
                square += row_square;
            }
        }
    }
    if (gradient) add_output_sums(&g, r->gradient, c, n);
    if (!moments) return;
    vstore_upto(r->moments->shift + c, shift, n);
    vstore_upto(r->moments->sum + c, sum, n);
    vstore_upto(r->moments->square + c, square, n);
}

/* Every combination that matters has its own code, with the same bits. */
static void FORM(output)(const cnn_winograd_result *r) {
    const int whole = r->rows == OUT_H && r->columns >= OUT_W * r->tiles;
    for (ptrdiff_t c = 0; c < r->channels; c += VL) {
        const ptrdiff_t n = r->channels - c;
        if (VLEAN) FORM(output_plane)(r, c, n < VL ? n : VL, 0, 1, r->moments != NULL, r->gradient != NULL);
        else if (r->gradient && whole && n >= VL) FORM(output_plane)(r, c, VL, 1, 0, 0, 1);
        else if (r->gradient) FORM(output_plane)(r, c, n < VL ? n : VL, 0, 0, 0, 1);
#ifdef BACKWARDS                                    /* gradients, and now and then a transposed convolution */
        else FORM(output_plane)(r, c, n < VL ? n : VL, 0, 1, r->moments != NULL, 0);
#else
        else if (n < VL) FORM(output_plane)(r, c, n, 0, 1, r->moments != NULL, 0);
        else if (!whole || (r->moments && r->clamp)) FORM(output_plane)(r, c, VL, 0, r->clamp, r->moments != NULL, 0);
        else if (r->moments) FORM(output_plane)(r, c, VL, 1, 0, 1, 0);
        else if (r->clamp) FORM(output_plane)(r, c, VL, 1, 1, 0, 0);
        else FORM(output_plane)(r, c, VL, 1, 0, 0, 0);
#endif
    }
}

#undef PLACE
#undef SKIP
