/* The transforms of a 3x3 convolution with stride 2; the contract and the matrices are in winograd.h. Included by
 * winograd.c. */

/* The points +-P and +-Q, and what follows from them. */
#define P 0.375f
#define Q 1.125f
#define P2 (P * P)
#define Q2 (Q * Q)

/* B' times a column of five. */
VINLINE void strided_input(const vf d[5], vf v[5]) {
    const vf even_p = vfnma(vset(Q2), d[0], d[2]), odd_p = vfnma(vset(Q2), d[1], d[3]);
    const vf even_q = vfnma(vset(P2), d[0], d[2]), odd_q = vfnma(vset(P2), d[1], d[3]);
    v[0] = vfma(vset(P), even_p, odd_p);
    v[1] = vfnma(vset(P), even_p, odd_p);
    v[2] = vfma(vset(Q), even_q, odd_q);
    v[3] = vfnma(vset(Q), even_q, odd_q);
    v[4] = vfma(vset(P2 * Q2), d[0], vfnma(vset(P2 + Q2), d[2], d[4]));
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

/* A' times a column of five. */
VINLINE void strided_output(const vf m[5], vf y[4]) {
    const vf sum_p = m[0] + m[1], difference_p = m[0] - m[1], sum_q = m[2] + m[3], difference_q = m[2] - m[3];
    y[0] = sum_p + sum_q;
    y[1] = vfma(vset(Q), difference_q, vset(P) * difference_p);
    y[2] = vfma(vset(Q2), sum_q, vset(P2) * sum_p);
    y[3] = vfma(vset(P * P2), difference_p, vfma(vset(Q * Q2), difference_q, m[4]));
}

/* A times a column of four. */
VINLINE void strided_gradient(const vf y[4], vf v[5]) {
    const vf even_p = vfma(vset(P2), y[2], y[0]), odd_p = vfma(vset(P2), y[3], y[1]);
    const vf even_q = vfma(vset(Q2), y[2], y[0]), odd_q = vfma(vset(Q2), y[3], y[1]);
    v[0] = vfma(vset(P), odd_p, even_p);
    v[1] = vfnma(vset(P), odd_p, even_p);
    v[2] = vfma(vset(Q), odd_q, even_q);
    v[3] = vfnma(vset(Q), odd_q, even_q);
    v[4] = y[3];
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
VINLINE void strided_store(const strided_slots *s, int i, int k, const vf across[5], const vf plain[4]) {
#pragma GCC unroll 5
    for (int j = 0; j < 5; j++) vstore(strided_slot(s, i, j, k), across[j]);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) vstore(strided_slot(s, i, 5, 4 * k + j), plain[j]);
}

/* ---- what is convolved ---- */

/* Of a row of pixels, or of what the rows' transform has made of them: those that are transformed are `every` apart
 * from the first on, those that are not from number `odd` on. */
VINLINE void strided_input_row(int every, int odd, const strided_slots *s, int i, int k, const vf line[9]) {
    vf in[5], across[5], plain[4];
#pragma GCC unroll 5
    for (int j = 0; j < 5; j++) in[j] = line[every * j];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) plain[j] = line[odd + every * j];
    strided_input(in, across);
    strided_store(s, i, k, across, plain);
}

/* One tile; columns from .. to - 1, constants, are inside the image. */
VINLINE void strided_input_tile(int every, int odd, const float *const *row, ptrdiff_t step, int from, int to,
                                const strided_slots *s) {
    const int columns = 4 * every + 1;
    vf first[9], second[9];
#pragma GCC unroll 2
    for (int pair = 0; pair < 2; pair++) {
        const vf point = vset(pair ? Q : P), other = vset(pair ? P2 : Q2);
#pragma GCC unroll 9
        for (int j = 0; j < columns; j++) {
            if (j < from || j >= to) { first[j] = second[j] = vzero(); continue; }
            const vf even = vfnma(other, vload(row[0] + j * step), vload(row[2 * every] + j * step));
            const vf uneven = vfnma(other, vload(row[every] + j * step), vload(row[3 * every] + j * step));
            first[j] = vfma(point, even, uneven);
            second[j] = vfnma(point, even, uneven);
        }
        strided_input_row(every, odd, s, 2 * pair, 0, first);
        strided_input_row(every, odd, s, 2 * pair + 1, 0, second);
    }
#pragma GCC unroll 9
    for (int j = 0; j < columns; j++)
        first[j] = j < from || j >= to ? vzero()
            : vfma(vset(P2 * Q2), vload(row[0] + j * step),
                   vfnma(vset(P2 + Q2), vload(row[2 * every] + j * step), vload(row[4 * every] + j * step)));
    strided_input_row(every, odd, s, 4, 0, first);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
#pragma GCC unroll 9
        for (int j = 0; j < columns; j++)
            first[j] = j < from || j >= to ? vzero() : vload(row[odd + every * i] + j * step);
        strided_input_row(every, odd, s, 5, i, first);
    }
}

VINLINE void strided_input_of(int every, int odd, const cnn_winograd_source *s) {
    enum { MOST = 9, PITCH = 8 * COPIED_STRIDED_TILES + 1 };
    const int in = 4 * every + 1, normalised = s->norm.scale != NULL;
    _Alignas(64) float copy[MOST * PITCH * VL];
    for (ptrdiff_t c = 0; c < s->channels; c += VL) {
        const ptrdiff_t n = s->channels - c < VL ? s->channels - c : VL;
        const int as_it_lies = !normalised && n == VL;
        for (ptrdiff_t t = 0; t < s->tiles; t++) {
            const ptrdiff_t first = s->first + 4 * every * t, left = s->columns - first;
            const strided_slots to = {s->v + t * VL, s->element, s->slot, c / VL * s->plane};
            const float *row[MOST];
#pragma GCC unroll 9
            for (int i = 0; i < in; i++) row[i] = s->row[i] + c + first * s->step;
            if (as_it_lies && first >= 0 && left >= in) strided_input_tile(every, odd, row, s->step, 0, in, &to);
            else if (as_it_lies && first == -1 && left >= in) strided_input_tile(every, odd, row, s->step, 1, in, &to);
            else if (as_it_lies && first >= 0 && left == in - 1)
                strided_input_tile(every, odd, row, s->step, 0, in - 1, &to);
            else {
                const ptrdiff_t at = normalised ? t % COPIED_STRIDED_TILES : 0;
                if (at == 0)
                    copy_pixels(s, in, 4 * every * copied_tiles(s, t, COPIED_STRIDED_TILES) + 1, first, c, n, copy,
                                PITCH);
#pragma GCC unroll 9
                for (int i = 0; i < in; i++) row[i] = copy + (i * PITCH + at * 4 * every) * VL;
                strided_input_tile(every, odd, row, VL, 0, in, &to);
            }
        }
    }
}

static void input_strided(const cnn_winograd_source *s) { strided_input_of(2, 1, s); }
static void input_back_0(const cnn_winograd_source *s) { strided_input_of(1, 1, s); }
static void input_back_1(const cnn_winograd_source *s) { strided_input_of(1, 0, s); }

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

/* Column j of elements, through the rows' transform: out[i] for the rows that are transformed; k: slot where j = 5. */
VINLINE void strided_output_column(const strided_slots *s, int j, int k, vf out[4]) {
    vf column[5];
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++) column[i] = vload(strided_slot(s, i, j, k));
    strided_output(column, out);
}

/* Forward: what is transformed and what is not add up. half[i]: 0 to 4 go through the columns' transform, 5 to 8 are
 * added to its results. */
VINLINE void output_columns_strided(const cnn_winograd_result *r, const float *m, ptrdiff_t plane, vf half[4][9]) {
    const strided_slots s = {(float *)m, r->element, r->slot, plane};
    vf out[4];
#pragma GCC unroll 9
    for (int j = 0; j < 9; j++) {
        strided_output_column(&s, j < 5 ? j : 5, j < 5 ? 0 : j - 5, out);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            half[i][j] = out[i] + vload(j < 5 ? strided_slot(&s, 5, j, i) : strided_slot(&s, 5, 5, 4 * i + j - 5));
    }
}

VINLINE void output_row_strided(const vf half[9], vf y[4]) {
    strided_output(half, y);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) y[j] += half[5 + j];
}

/* Backwards: what is transformed are the rows and columns number `pad`, `pad` + 2, ..., the others are not. */
VINLINE void back_columns(int pad, const cnn_winograd_result *r, const float *m, ptrdiff_t plane, vf half[8][9]) {
    const strided_slots s = {(float *)m, r->element, r->slot, plane};
    vf out[4];
#pragma GCC unroll 9
    for (int j = 0; j < 9; j++) {
        strided_output_column(&s, j < 5 ? j : 5, j < 5 ? 0 : j - 5, out);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            half[2 * i + pad][j] = out[i];
            half[2 * i + 1 - pad][j] =
                vload(j < 5 ? strided_slot(&s, 5, j, i) : strided_slot(&s, 5, 5, 4 * i + j - 5));
        }
    }
}

VINLINE void back_row(int pad, const vf half[9], vf y[8]) {
    vf out[4];
    strided_output(half, out);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        y[2 * j + pad] = out[j];
        y[2 * j + 1 - pad] = half[5 + j];
    }
}

VINLINE void output_columns_back_0(const cnn_winograd_result *r, const float *m, ptrdiff_t plane, vf half[8][9]) {
    back_columns(0, r, m, plane, half);
}
VINLINE void output_columns_back_1(const cnn_winograd_result *r, const float *m, ptrdiff_t plane, vf half[8][9]) {
    back_columns(1, r, m, plane, half);
}
VINLINE void output_row_back_0(const vf half[9], vf y[8]) { back_row(0, half, y); }
VINLINE void output_row_back_1(const vf half[9], vf y[8]) { back_row(1, half, y); }

#define OUT_H 4
#define OUT_W 4
#define HALF 9
#define FORM(name) name##_strided
#include "winograd_output.inc.h"
#undef OUT_H
#undef OUT_W
#undef FORM

#define OUT_H 8
#define OUT_W 8
#define FORM(name) name##_back_0
#include "winograd_output.inc.h"
#undef FORM
#define FORM(name) name##_back_1
#include "winograd_output.inc.h"
#undef FORM
#undef OUT_H
#undef OUT_W
#undef HALF

/* ---- the weight gradient ---- */

static void gradient_strided(const cnn_winograd_source *s, float *sum) {
    _Alignas(64) float copy[16 * VL];
    for (ptrdiff_t c = 0; c < s->channels; c += VL) {
        const ptrdiff_t n = s->channels - c < VL ? s->channels - c : VL;
        vf total = vzero();
        for (ptrdiff_t t = 0; t < s->tiles; t++) {
            const ptrdiff_t first = s->first + 4 * t;
            const strided_slots to = {s->v + t * VL, s->element, s->slot, c / VL * s->plane};
            const int whole = n == VL && first + 4 <= s->columns;
            const ptrdiff_t step = whole ? s->step : VL;
            vf y[4][4], half[5][4], column[4], across[5];
            if (!whole) copy_pixels(s, 4, 4, first, c, n, copy, 4);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                const float *row = whole ? s->row[i] + first * s->step + c : copy + i * 4 * VL;
#pragma GCC unroll 4
                for (int j = 0; j < 4; j++) y[i][j] = vload(row + j * step);
                total += (y[i][0] + y[i][1]) + (y[i][2] + y[i][3]);
            }
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) {
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) column[i] = y[i][j];
                strided_gradient(column, across);
#pragma GCC unroll 5
                for (int i = 0; i < 5; i++) half[i][j] = across[i];
            }
#pragma GCC unroll 5
            for (int i = 0; i < 5; i++) {
                strided_gradient(half[i], across);
                strided_store(&to, i, 0, across, half[i]);
            }
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                strided_gradient(y[i], across);
                strided_store(&to, 5, i, across, y[i]);
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

#undef P
#undef Q
#undef P2
#undef Q2
