/* The transforms of a 3x3 convolution with stride 2, forward and backwards. The contract and the matrices are in
 * winograd.h. */
#include "winograd_transform.h"

/* The points +-P and +-Q, and what follows from them. */
#define P 0.375f
#define Q 1.125f
#define P2 (P * P)
#define Q2 (Q * Q)

/* Does a tile of n results along an axis have row or column i of the elements? 5: what is not transformed. */
VINLINE int strided_has(int n, int i) { return n == 4 || cnn_winograd_strided_narrow_has(n, i); }

/* The last row of B' d, of infinity; d: of n + 1 pixels. */
VINLINE vf strided_end(int n, const vf *d) {
    if (n == 2) return vfnma(vset(P2), d[0], d[2]);
    if (n == 3) return vfnma(vset(Q), vfnma(vset(P2), d[0], d[2]), vfnma(vset(P2), d[1], d[3]));
    return vfma(vset(P2 * Q2), d[0], vfnma(vset(P2 + Q2), d[2], d[4]));
}

/* Rows 0 and 1 of B' d, of the points +-P, or with `q` rows 2 and 3, of +-Q; for three results row 3 does not exist. */
VINLINE void strided_pair(int n, int q, const vf *d, vf *plus, vf *minus) {
    const vf point = vset(q ? Q : P), other = vset(q ? P2 : Q2);
    vf even, odd;                                /* in the point */
    if (n == 2) {
        even = vset(P2 - Q2) * d[1];
        odd = vset(P2 - Q2) * d[0];
    } else if (n == 3 && q) {
        *plus = vset(2 * Q) * vfnma(other, d[0], d[2]);
        return;
    } else if (n == 3) {
        even = vfma(vset(Q), vfnma(vset(P2), d[0], d[2]), vset(P2 - Q2) * d[1]);
        odd = vfnma(other, d[0], d[2]);
    } else {
        even = vfnma(other, d[1], d[3]);
        odd = vfnma(other, d[0], d[2]);
    }
    *plus = vfma(point, odd, even);
    *minus = vfnma(point, odd, even);
}

/* B' times a column of n + 1 pixels. */
VINLINE void strided_input(int n, const vf *d, vf v[5]) {
    strided_pair(n, 0, d, v, v + 1);
    if (n > 2) strided_pair(n, 1, d, v + 2, v + 3);
    v[4] = strided_end(n, d);
}

/* G times a column of two. */
VINLINE void strided_weights(const vf g[2], vf u[5]) {
    const vf scale_p = vset(1 / (2 * P * (P2 - Q2))), scale_q = vset(1 / (2 * Q * (Q2 - P2)));
    const vf first_p = scale_p * g[0], second_p = scale_p * vset(P) * g[1];
    const vf first_q = scale_q * g[0], second_q = scale_q * vset(Q) * g[1];
    u[0] = second_p + first_p;
    u[1] = second_p - first_p;
    u[2] = second_q + first_q;
    u[3] = second_q - first_q;
    u[4] = g[1];
}

/* A' times a column of five, or of those of them that a tile of n results has. */
VINLINE void strided_output(int n, const vf m[5], vf *y) {
    const vf sum_p = m[0] + m[1], difference_p = m[0] - m[1];
    if (n == 2) {
        y[0] = sum_p;
        y[1] = vfma(vset(P), difference_p, m[4]);
        return;
    }
    if (n == 3) {
        y[0] = sum_p + m[2];
        y[1] = vfma(vset(Q), m[2], vset(P) * difference_p);
        y[2] = vfma(vset(P2), sum_p, vfma(vset(Q2), m[2], m[4]));
        return;
    }
    const vf sum_q = m[2] + m[3], difference_q = m[2] - m[3];
    y[0] = sum_p + sum_q;
    y[1] = vfma(vset(Q), difference_q, vset(P) * difference_p);
    y[2] = vfma(vset(Q2), sum_q, vset(P2) * sum_p);
    y[3] = vfma(vset(P * P2), difference_p, vfma(vset(Q * Q2), difference_q, m[4]));
}

/* A times a column of n. */
VINLINE void strided_gradient(int n, const vf *y, vf v[5]) {
    v[4] = y[n - 1];
    if (n == 2) {
        v[0] = vfma(vset(P), y[1], y[0]);
        v[1] = vfnma(vset(P), y[1], y[0]);
        return;
    }
    const vf even_p = vfma(vset(P2), y[2], y[0]), odd_p = n == 3 ? y[1] : vfma(vset(P2), y[3], y[1]);
    const vf even_q = vfma(vset(Q2), y[2], y[0]), odd_q = n == 3 ? y[1] : vfma(vset(Q2), y[3], y[1]);
    v[0] = vfma(vset(P), odd_p, even_p);
    v[1] = vfnma(vset(P), odd_p, even_p);
    v[2] = vfma(vset(Q), odd_q, even_q);
    v[3] = vfnma(vset(Q), odd_q, even_q);
}

/* G' times a column of five. */
VINLINE void strided_weight_gradient(const vf u[5], vf g[2]) {
    const vf scale_p = vset(1 / (2 * P * (P2 - Q2))), scale_q = vset(1 / (2 * Q * (Q2 - P2)));
    g[0] = vfma(scale_p, u[0] - u[1], scale_q * (u[2] - u[3]));
    g[1] = vfma(scale_p * vset(P), u[0] + u[1], vfma(scale_q * vset(Q), u[2] + u[3], u[4]));
}

/* A tile and vector of channels in a block. */
typedef struct strided_slots { float *v; ptrdiff_t element, slot, plane; } strided_slots;

/* Slot k of element (i, j): plane is that of an element of one slot. */
VINLINE float *strided_slot(const strided_slots *s, int i, int j, int k) {
    const int e = 6 * i + j;
    return s->v + cnn_winograd_first_slot(1, e) * s->element + cnn_winograd_slots(1, e) * s->plane + k * s->slot;
}

/* Stores row i of elements; of row 5, slot k: `across` from the columns that are transformed, `plain` from those that
 * are not. */
VINLINE void strided_store(int n, const strided_slots *s, int i, int k, const vf across[5], const vf *plain) {
#pragma GCC unroll 5
    for (int j = 0; j < 5; j++) if (strided_has(n, j)) vstore(strided_slot(s, i, j, k), across[j]);
#pragma GCC unroll 4
    for (int j = 0; j < n; j++) vstore(strided_slot(s, i, 5, 4 * k + j), plain[j]);
}

/* ---- what is convolved ---- */

/* Of a row of pixels, or of what the rows' transform has made of them: those that are transformed are `every` apart
 * from the first on, those that are not from number `odd` on. */
VINLINE void strided_input_row(int n, int every, int odd, const strided_slots *s, int i, int k, const vf line[9]) {
    vf in[5], across[5], plain[4];
#pragma GCC unroll 5
    for (int j = 0; j <= n; j++) in[j] = line[every * j];
#pragma GCC unroll 4
    for (int j = 0; j < n; j++) plain[j] = line[odd + every * j];
    strided_input(n, in, across);
    strided_store(n, s, i, k, across, plain);
}

/* One tile of so many rows and columns of results; columns from .. to - 1, constants, are inside the image. */
VINLINE void strided_input_tile(int rows, int columns, int every, int odd, const float *const *row, ptrdiff_t step,
                                int from, int to, const strided_slots *s) {
    const int pixels = columns * every + 1, pairs = rows > 2 ? 2 : 1;
    vf d[5], first[9], second[9];
#pragma GCC unroll 2
    for (int pair = 0; pair < pairs; pair++) {
#pragma GCC unroll 9
        for (int j = 0; j < pixels; j++) {
            if (j < from || j >= to) { first[j] = second[j] = vzero(); continue; }
#pragma GCC unroll 5
            for (int i = 0; i <= rows; i++) d[i] = vload(row[every * i] + j * step);
            strided_pair(rows, pair, d, first + j, second + j);
        }
        strided_input_row(columns, every, odd, s, 2 * pair, 0, first);
        if (pair == 0 || rows == 4) strided_input_row(columns, every, odd, s, 2 * pair + 1, 0, second);
    }
#pragma GCC unroll 9
    for (int j = 0; j < pixels; j++) {
        if (j < from || j >= to) { first[j] = vzero(); continue; }
#pragma GCC unroll 5
        for (int i = 0; i <= rows; i++) d[i] = vload(row[every * i] + j * step);
        first[j] = strided_end(rows, d);
    }
    strided_input_row(columns, every, odd, s, 4, 0, first);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 9
        for (int j = 0; j < pixels; j++)
            first[j] = j < from || j >= to ? vzero() : vload(row[odd + every * i] + j * step);
        strided_input_row(columns, every, odd, s, 5, i, first);
    }
}

VINLINE void strided_input_of(int rows, int columns, int every, int odd, const cnn_winograd_source *s) {
    enum { MOST = 9, PITCH = 8 * COPIED_STRIDED_TILES + 1 };
    const int in_h = rows * every + 1, in_w = columns * every + 1, normalised = s->norm.scale != NULL;
    _Alignas(64) float copy[MOST * PITCH * VL];
    for (ptrdiff_t c = 0; c < s->channels; c += VL) {
        const ptrdiff_t n = s->channels - c < VL ? s->channels - c : VL;
        const int as_it_lies = !VLEAN && !normalised && n == VL;
        for (ptrdiff_t t = 0; t < s->tiles; t++) {
            const ptrdiff_t first = s->first + columns * every * t, left = s->columns - first;
            const strided_slots to = {s->v + t * VL, s->element, s->slot, c / VL * s->plane};
            const float *row[MOST];
#pragma GCC unroll 9
            for (int i = 0; i < in_h; i++) row[i] = s->row[i] + c + first * s->step;
            /* The first column is the last one of the tile before. */
            if (s->far && as_it_lies && first >= 0 && left >= in_w - 1) ask_for_next(row, in_h, 1, in_w - 1, s->step);
            if (as_it_lies && first >= 0 && left >= in_w)
                strided_input_tile(rows, columns, every, odd, row, s->step, 0, in_w, &to);
            else if (as_it_lies && first == -1 && left >= in_w)
                strided_input_tile(rows, columns, every, odd, row, s->step, 1, in_w, &to);
            else if (as_it_lies && first >= 0 && left == in_w - 1)
                strided_input_tile(rows, columns, every, odd, row, s->step, 0, in_w - 1, &to);
            else {
                const ptrdiff_t at = normalised ? t % COPIED_STRIDED_TILES : 0;
                if (at == 0)
                    copy_pixels(s, in_h, columns * every * copied_tiles(s, t, COPIED_STRIDED_TILES) + 1, first, c, n,
                                copy, PITCH);
#pragma GCC unroll 9
                for (int i = 0; i < in_h; i++) row[i] = copy + (i * PITCH + at * columns * every) * VL;
                strided_input_tile(rows, columns, every, odd, row, VL, 0, in_w, &to);
            }
        }
    }
}

/* ---- the kernel ---- */

static void weights_strided(ptrdiff_t width, const float *w, ptrdiff_t tap, int flip, float *u, ptrdiff_t stride) {
    for (ptrdiff_t n = 0; n < width; n += VL) {
        vf g[3][3], column[2], half[5][3], across[5];
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) g[i][j] = vload(w + (flip ? 8 - 3 * i - j : 3 * i + j) * tap + n);
        for (int j = 0; j < 3; j++) {
            column[0] = g[0][j];
            column[1] = g[2][j];
            strided_weights(column, across);
            for (int i = 0; i < 5; i++) half[i][j] = across[i];
        }
        for (int i = 0; i < 6; i++) {
            const vf *row = i < 5 ? half[i] : g[1];
            column[0] = row[0];
            column[1] = row[2];
            strided_weights(column, across);
            for (int j = 0; j < 5; j++) vstore(u + (6 * i + j) * stride + n, across[j]);
            vstore(u + (6 * i + 5) * stride + n, row[1]);
        }
    }
}

/* ---- results ---- */

/* Column j of elements, or plain column j - 5, through the rows' transform: out[i] for the rows that are transformed,
 * plain[i] those that are not. */
VINLINE void strided_output_column(int rows, const strided_slots *s, int j, vf out[4], vf plain[4]) {
    vf column[5];
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++)
        if (strided_has(rows, i)) column[i] = vload(strided_slot(s, i, j < 5 ? j : 5, j < 5 ? 0 : j - 5));
    strided_output(rows, column, out);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
        plain[i] = vload(j < 5 ? strided_slot(s, 5, j, i) : strided_slot(s, 5, 5, 4 * i + j - 5));
}

/* Does a tile of so many columns of results have column j, of 0 to 8 as above? */
VINLINE int strided_has_column(int columns, int j) { return j < 5 ? strided_has(columns, j) : j - 5 < columns; }

/* half[i]: columns 0 to 4 go through the columns' transform, 5 to 8 are columns of results. Forward what is transformed
 * down the rows and what is not add up; backwards, `apart`, they are rows of their own, first those that are
 * transformed. */
VINLINE void strided_columns(int rows, int columns, int apart, const cnn_winograd_result *r, const float *m,
                             ptrdiff_t plane, vf half[][9]) {
    const strided_slots s = {(float *)m, r->element, r->slot, plane};
    vf out[4], plain[4];
#pragma GCC unroll 9
    for (int j = 0; j < 9; j++) {
        if (!strided_has_column(columns, j)) continue;
        strided_output_column(rows, &s, j, out, plain);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            half[i][j] = apart ? out[i] : out[i] + plain[i];
            if (apart) half[rows + i][j] = plain[i];
        }
    }
}

VINLINE void strided_row(int columns, const vf half[9], vf *y) {
    strided_output(columns, half, y);
#pragma GCC unroll 4
    for (int j = 0; j < columns; j++) y[j] += half[5 + j];
}

/* The same of the columns: first those that are transformed. */
VINLINE void back_row(int columns, const vf half[9], vf *y) {
    strided_output(columns, half, y);
#pragma GCC unroll 4
    for (int j = 0; j < columns; j++) y[columns + j] = half[5 + j];
}

/* The row (column) of a tile of gradients that is number i of these `out`. */
VINLINE int back_place(int odd, int out, int i) { return i < out / 2 ? 2 * i + odd : 2 * (i - out / 2) + 1 - odd; }

/* ---- the weight gradient ---- */

VINLINE void strided_gradient_of(int rows, int columns, const cnn_winograd_source *s, float *sum) {
    _Alignas(64) float copy[16 * VL];
    for (ptrdiff_t c = 0; c < s->channels; c += VL) {
        const ptrdiff_t n = s->channels - c < VL ? s->channels - c : VL;
        vf total = vzero();
        for (ptrdiff_t t = 0; t < s->tiles; t++) {
            const ptrdiff_t first = s->first + columns * t;
            const strided_slots to = {s->v + t * VL, s->element, s->slot, c / VL * s->plane};
            const int whole = n == VL && first + columns <= s->columns;
            const ptrdiff_t step = whole ? s->step : VL;
            vf y[4][4], half[5][4], column[4], across[5];
            if (!whole) copy_pixels(s, rows, columns, first, c, n, copy, columns);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                const float *row = whole ? s->row[i] + first * s->step + c : copy + i * columns * VL;
#pragma GCC unroll 4
                for (int j = 0; j < columns; j++) y[i][j] = vload(row + j * step);
                if (s->far && whole) ask_for_next(&row, 1, 0, columns, step);
                total += columns == 2 ? y[i][0] + y[i][1]
                                      : (y[i][0] + y[i][1]) + (columns == 3 ? y[i][2] : y[i][2] + y[i][3]);
            }
#pragma GCC unroll 4
            for (int j = 0; j < columns; j++) {
#pragma GCC unroll 4
                for (int i = 0; i < rows; i++) column[i] = y[i][j];
                strided_gradient(rows, column, across);
#pragma GCC unroll 5
                for (int i = 0; i < 5; i++) if (strided_has(rows, i)) half[i][j] = across[i];
            }
#pragma GCC unroll 5
            for (int i = 0; i < 5; i++) {
                if (!strided_has(rows, i)) continue;
                strided_gradient(columns, half[i], across);
                strided_store(columns, &to, i, 0, across, half[i]);
            }
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                strided_gradient(columns, y[i], across);
                strided_store(columns, &to, 5, i, across, y[i]);
            }
        }
        if (sum) vstore_upto(sum + c, vload_upto(sum + c, n) + total, n);
    }
}

static void weight_gradient_strided(ptrdiff_t columns, const float *u, ptrdiff_t stride, float *w, ptrdiff_t tap,
                                    int stream) {
    for (ptrdiff_t c = 0; c < columns; c += VL) {
        const ptrdiff_t n = columns - c;
        vf half[3][6], column[5], out[2];
        for (int j = 0; j < 6; j++) {
            for (int i = 0; i < 5; i++) column[i] = vload(u + (6 * i + j) * stride + c);
            strided_weight_gradient(column, out);
            half[0][j] = out[0];
            half[1][j] = vload(u + (30 + j) * stride + c);
            half[2][j] = out[1];
        }
        for (int i = 0; i < 3; i++) {
            float *row = w + 3 * i * tap + c;
            strided_weight_gradient(half[i], out);
            store_weight(row, out[0], n, stream);
            store_weight(row + tap, half[i][5], n, stream);
            store_weight(row + 2 * tap, out[1], n, stream);
        }
    }
}

/* ---- for each size of a tile ---- */

#define ROWS 4
#define COLUMNS 4
#include "winograd_strided_form.inc.h"
#undef COLUMNS
#define COLUMNS 3
#include "winograd_strided_form.inc.h"
#undef COLUMNS
#define COLUMNS 2
#include "winograd_strided_form.inc.h"
#undef ROWS
#define ROWS 2
#include "winograd_strided_form.inc.h"
#undef COLUMNS
#define COLUMNS 4
#include "winograd_strided_form.inc.h"
#undef ROWS
#define ROWS 3
#include "winograd_strided_form.inc.h"
#undef COLUMNS
#define COLUMNS 3
#include "winograd_strided_form.inc.h"
#undef COLUMNS
#undef ROWS

extern const cnn_winograd_form KERNEL(cnn_winograd_strided), KERNEL(cnn_winograd_back_0), KERNEL(cnn_winograd_back_1);
const cnn_winograd_form KERNEL(cnn_winograd_strided) = {
    .weights = weights_strided, .input = EVERY(input_strided), .output = EVERY(output_strided),
    .gradient = EVERY(gradient_strided), .weight_gradient = weight_gradient_strided};
const cnn_winograd_form KERNEL(cnn_winograd_back_0) = {
    .weights = weights_strided, .input = EVERY(input_back_0), .output = EVERY(output_back)};
const cnn_winograd_form KERNEL(cnn_winograd_back_1) = {
    .weights = weights_strided, .input = EVERY(input_back_1), .output = EVERY(output_back)};
