/* The transforms of one form of Winograd's convolution, of tiles of OUT x OUT results from IN x IN pixels. Included
 * by winograd.c once a form, with these sizes and with FORM(transform_weights), FORM(transform_output) and
 * FORM(input_tile). */

static void FORM(weights)(ptrdiff_t width, const float *w, ptrdiff_t tap, int flip, float *u, ptrdiff_t stride) {
    for (ptrdiff_t n = 0; n < width; n += VL) {
        vf half[IN][3], column[3], out[IN];
        for (int j = 0; j < 3; j++) {
#pragma GCC unroll 3
            for (int i = 0; i < 3; i++) column[i] = vload(w + (flip ? 8 - 3 * i - j : 3 * i + j) * tap + n);
            FORM(transform_weights)(column, out);
#pragma GCC unroll 6
            for (int i = 0; i < IN; i++) half[i][j] = out[i];
        }
        for (int i = 0; i < IN; i++) {
            FORM(transform_weights)(half[i], out);
#pragma GCC unroll 6
            for (int j = 0; j < IN; j++) vstore(u + (IN * i + j) * stride + n, out[j]);
        }
    }
}

static void FORM(input)(const cnn_winograd_source *s) {
    _Alignas(64) float copy[IN * IN * VL];
    for (ptrdiff_t c = 0; c < s->channels; c += VL) {
        const ptrdiff_t n = s->channels - c < VL ? s->channels - c : VL;
        float *v = s->v + c / VL * s->plane;
        for (ptrdiff_t t = 0; t < s->tiles; t++, v += VL) {
            const ptrdiff_t first = s->first + OUT * t, left = s->columns - first;
            const float *row[IN];
#pragma GCC unroll 6
            for (int i = 0; i < IN; i++) row[i] = s->row[i] + c + first * s->step;
            if (n == VL && first >= 0 && left >= IN) FORM(input_tile)(row, s->step, 0, IN, v, s->element);
            else if (n == VL && first == -1 && left >= IN) FORM(input_tile)(row, s->step, 1, IN, v, s->element);
            else if (n == VL && first == -1 && left == IN - 1) FORM(input_tile)(row, s->step, 1, IN - 1, v, s->element);
            else if (n == VL && first >= 0 && left == IN - 1) FORM(input_tile)(row, s->step, 0, IN - 1, v, s->element);
            else {
                padded_copy(s, IN, first, c, n, copy);
#pragma GCC unroll 6
                for (int i = 0; i < IN; i++) row[i] = copy + i * IN * VL;
                FORM(input_tile)(row, VL, 0, IN, v, s->element);
            }
        }
    }
}

/* A' m of one tile. */
VINLINE void FORM(output_columns)(const float *m, ptrdiff_t element, vf half[OUT][IN]) {
#pragma GCC unroll 6
    for (int j = 0; j < IN; j++) {
        vf column[IN], out[OUT];
#pragma GCC unroll 6
        for (int i = 0; i < IN; i++) column[i] = vload(m + (IN * i + j) * element);
        FORM(transform_output)(column, out);
#pragma GCC unroll 4
        for (int i = 0; i < OUT; i++) half[i][j] = out[i];
    }
}

/* A vector of channels, from c on, n of them. The constants whole (every pixel of every tile exists), clamp, moments
 * and gradient choose the body. */
VINLINE void FORM(output_plane)(const cnn_winograd_result *r, ptrdiff_t c, ptrdiff_t n, const float *m, int whole,
                                int clamp, int moments, int gradient) {
    output_gradient g = gradient ? output_gradient_of(r->gradient, c, n) : (output_gradient){.y = NULL};
    const vf start = r->bias ? vload_upto(r->bias + c, n) : vzero(), low = vset(r->low), high = vset(r->high);
    vf shift = vzero(), sum = vzero(), square = vzero();
    if (moments && !r->start) {
        shift = vload_upto(r->moments->shift + c, n);
        sum = vload_upto(r->moments->sum + c, n);
        square = vload_upto(r->moments->square + c, n);
    }
    for (ptrdiff_t t = 0; t < r->tiles; t++, m += VL) {
        const ptrdiff_t rows = whole ? OUT : r->rows, left = r->columns - OUT * t,
                        columns = whole || left >= OUT ? OUT : left, at = t * OUT * r->step + c;
        vf half[OUT][IN];
        FORM(output_columns)(m, r->element, half);
#pragma GCC unroll 4
        for (int i = 0; i < OUT; i++) {
            if (!whole && i >= rows) break;
            vf y[OUT], row_sum = vzero(), row_square = vzero();
            FORM(transform_output)(half[i], y);
            if (moments && r->start && t == 0 && i == 0) shift = y[0] + start;
#pragma GCC unroll 4
            for (int j = 0; j < OUT; j++) {
                if (!whole && j >= columns) break;
                const ptrdiff_t to = at + i * r->row + j * r->step;
                y[j] += start;
                if (r->added) y[j] += vload_upto(r->added + to, n);
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

/* Every combination that matters has its own code. */
static void FORM(output)(const cnn_winograd_result *r) {
    const int whole = r->rows == OUT && r->columns >= OUT * r->tiles;
    const float *m = r->m;
    for (ptrdiff_t c = 0; c < r->channels; c += VL, m += r->plane) {
        const ptrdiff_t n = r->channels - c;
        if (r->gradient && whole && n >= VL) FORM(output_plane)(r, c, VL, m, 1, 0, 0, 1);
        else if (r->gradient) FORM(output_plane)(r, c, n < VL ? n : VL, m, 0, 0, 0, 1);
        else if (n < VL) FORM(output_plane)(r, c, n, m, 0, 1, r->moments != NULL, 0);
        else if (!whole || (r->moments && r->clamp)) FORM(output_plane)(r, c, VL, m, 0, r->clamp, r->moments != NULL, 0);
        else if (r->moments) FORM(output_plane)(r, c, VL, m, 1, 0, 1, 0);
        else if (r->clamp) FORM(output_plane)(r, c, VL, m, 1, 1, 0, 0);
        else FORM(output_plane)(r, c, VL, m, 1, 0, 0, 0);
    }
}
