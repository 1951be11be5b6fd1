/* Transforms with the points 0, +-a, +-b and infinity, of TAPS taps: F(4x4, 3x3), its narrow tiles, which have some of
 * the points, F(3x3, 4x4) and F(2x2, 5x5). Included by each form's file, with TAPS. The contract and the matrices are
 * in winograd.h. */
#include "winograd_transform.h"

#define SIDE 6                        /* rows and columns of elements */
#define OUT (SIDE + 1 - TAPS)         /* results of a whole tile along a side */
#define FOURTH (TAPS > 3 ? 3 : 0)     /* taps that not every form has */
#define FIFTH (TAPS > 4 ? 4 : 0)

/* The points a and b, and what follows from them. */
#define A 0.625f
#define B 1.5f
#define A2 (A * A)
#define B2 (B * B)

/* The first row of B' d, or with `last` the last; d: of `in` pixels. */
VINLINE vf input_end(int in, int last, const vf *d) {
    if (in == 4) return last ? vfnma(vset(A2), d[1], d[3]) : vset(B2) * vfma(vset(A2), d[0], -d[2]);
    if (in == 5) {
        const vf sum = vfma(vset(A2), d[last], -d[2 + last]), next = vfma(vset(A2), d[1 + last], -d[3 + last]);
        return last ? vfma(vset(B), sum, -next) : vset(B) * vfma(vset(B), sum, -next);
    }
    return vfma(vset(A2 * B2), d[last], vfnma(vset(A2 + B2), d[2 + last], d[4 + last]));
}

/* Rows 1 and 2 of B' d, of the points +-A, or with `b` rows 3 and 4, of +-B; of 5 pixels row 4 does not exist. */
VINLINE void input_pair(int in, int b, const vf *d, vf *plus, vf *minus) {
    const vf point = vset(b ? B : A), other = vset(b ? A2 : B2);
    vf even, odd;
    if (in == 4) {
        even = vset(A2 - B2) * d[2];
        odd = vset(A2 - B2) * d[1];
    } else if (in == 5 && b) {
        *plus = vset(2 * B) * vfnma(other, d[1], d[3]);
        return;
    } else if (in == 5) {
        even = vfma(vset(B), vfnma(vset(A2), d[1], d[3]), vset(A2 - B2) * d[2]);
        odd = vfnma(other, d[1], d[3]);
    } else {
        even = vfnma(other, d[2], d[4]);
        odd = vfnma(other, d[1], d[3]);
    }
    *plus = vfma(point, odd, even);
    *minus = vfnma(point, odd, even);
}

/* B' times a column of `in` pixels, stored as row or column of elements. */
VINLINE void store_input(int in, const vf *d, float *v, ptrdiff_t element) {
    vf out[SIDE];
    out[0] = input_end(in, 0, d);
    out[5] = input_end(in, 1, d);
    input_pair(in, 0, d, out + 1, out + 2);
    if (in > 4) input_pair(in, 1, d, out + 3, out + 4);
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; j++)
        if (has(SIDE, in, j)) vstore(v + j * element, out[j]);
}

/* G times a column of taps. */
VINLINE void transform_weights(const vf g[TAPS], vf u[SIDE]) {
    const vf scale_a = vset(1 / (2 * A2 * (A2 - B2))), scale_b = vset(1 / (2 * B2 * (B2 - A2)));
    const vf high_a = TAPS < 5 ? g[2] : vfma(vset(A2), g[FIFTH], g[2]);
    const vf high_b = TAPS < 5 ? g[2] : vfma(vset(B2), g[FIFTH], g[2]);
    const vf even_a = scale_a * vfma(vset(A2), high_a, g[0]), even_b = scale_b * vfma(vset(B2), high_b, g[0]);
    const vf odd_a = scale_a * vset(A) * (TAPS == 3 ? g[1] : vfma(vset(A2), g[FOURTH], g[1]));
    const vf odd_b = scale_b * vset(B) * (TAPS == 3 ? g[1] : vfma(vset(B2), g[FOURTH], g[1]));
    u[0] = vset(1 / (A2 * B2)) * g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[TAPS - 1];
}

/* A' times a column of six, or of those of them that a tile of `out` results has. */
VINLINE void transform_output(int out, const vf m[SIDE], vf *y) {
    const vf sum_a = m[1] + m[2], difference_a = m[1] - m[2];
    if (out == 2 && TAPS == 3) {
        y[0] = m[0] + sum_a;
        y[1] = vfma(vset(A), difference_a, m[5]);
        return;
    }
    if (out == 3 && TAPS == 3) {
        y[0] = m[0] + sum_a + m[3];
        y[1] = vfma(vset(B), m[3], vset(A) * difference_a);
        y[2] = vfma(vset(B2), m[3], vfma(vset(A2), sum_a, m[5]));
        return;
    }
    const vf sum_b = m[3] + m[4], difference_b = m[3] - m[4];
    y[0] = m[0] + sum_a + sum_b;
    if (TAPS == 5) {
        y[1] = vfma(vset(B), difference_b, vfma(vset(A), difference_a, m[5]));
        return;
    }
    y[1] = vfma(vset(B), difference_b, vset(A) * difference_a);
    y[2] = TAPS == 4 ? vfma(vset(B2), sum_b, vfma(vset(A2), sum_a, m[5])) : vfma(vset(B2), sum_b, vset(A2) * sum_a);
    if (TAPS == 3) y[3] = vfma(vset(A * A2), difference_a, vfma(vset(B * B2), difference_b, m[5]));
}

/* One tile and vector of channels: v[6 i + j] = element (i, j), from pixels (i, j) at row[i] + j * step, those of
 * columns from .. to - 1, constants, being inside the image. The rows of B' d are taken one or two at a time, those
 * that have terms in common, so that all is in registers. */
VINLINE void input_tile(int rows, int columns, const float *const *row, ptrdiff_t step, int from, int to, float *v,
                        ptrdiff_t element) {
    vf d[SIDE], first[SIDE], second[SIDE];
    const int pairs = rows > 4 ? 2 : 1;
#pragma GCC unroll 2
    for (int pair = 0; pair < pairs; pair++) {
#pragma GCC unroll 6
        for (int j = 0; j < columns; j++) {
            if (j < from || j >= to) { first[j] = second[j] = vzero(); continue; }
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++) d[i] = vload(row[i] + j * step);
            input_pair(rows, pair, d, first + j, second + j);
        }
        store_input(columns, first, v + (6 + 12 * pair) * element, element);
        if (pair == 0 || rows == 6) store_input(columns, second, v + (12 + 12 * pair) * element, element);
    }
#pragma GCC unroll 2
    for (int last = 0; last < 2; last++) {
#pragma GCC unroll 6
        for (int j = 0; j < columns; j++) {
            if (j < from || j >= to) { first[j] = vzero(); continue; }
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++) d[i] = vload(row[i] + j * step);
            first[j] = input_end(rows, last, d);
        }
        store_input(columns, first, v + 30 * last * element, element);
    }
}

/* A times a column of `out`. */
VINLINE void transform_gradient(int out, const vf y[OUT], vf v[SIDE]) {
    v[0] = y[0];
    v[5] = y[out - 1];
    if (out == 2) {
        v[1] = vfma(vset(A), y[1], y[0]);
        v[2] = vfnma(vset(A), y[1], y[0]);
        if (TAPS == 3) return;
        v[3] = vfma(vset(B), y[1], y[0]);
        v[4] = vfnma(vset(B), y[1], y[0]);
        return;
    }
    const vf even_a = vfma(vset(A2), y[2], y[0]), odd_a = out == 3 ? y[1] : vfma(vset(A2), y[OUT - 1], y[1]);
    const vf even_b = vfma(vset(B2), y[2], y[0]), odd_b = out == 3 ? y[1] : vfma(vset(B2), y[OUT - 1], y[1]);
    v[1] = vfma(vset(A), odd_a, even_a);
    v[2] = vfma(vset(-A), odd_a, even_a);
    v[3] = vfma(vset(B), odd_b, even_b);
    if (out == OUT) v[4] = vfma(vset(-B), odd_b, even_b);
}

/* G' times a column of six. */
VINLINE void transform_weight_gradient(const vf u[SIDE], vf g[TAPS]) {
    const vf scale_a = vset(1 / (2 * A2 * (A2 - B2))), scale_b = vset(1 / (2 * B2 * (B2 - A2)));
    vf sum_a = scale_a * (u[1] + u[2]), difference_a = scale_a * vset(A) * (u[1] - u[2]);
    vf sum_b = scale_b * (u[3] + u[4]), difference_b = scale_b * vset(B) * (u[3] - u[4]);
    g[0] = vfma(vset(1 / (A2 * B2)), u[0], sum_a + sum_b);
    g[1] = difference_a + difference_b;
    g[2] = vfma(vset(A2), sum_a, TAPS == 3 ? vfma(vset(B2), sum_b, u[5]) : vset(B2) * sum_b);
    if (TAPS == 4) g[FOURTH] = vfma(vset(A2), difference_a, vfma(vset(B2), difference_b, u[5]));
    if (TAPS < 5) return;
    g[FOURTH] = vfma(vset(A2), difference_a, vset(B2) * difference_b);
    g[FIFTH] = vfma(vset(A2 * A2), sum_a, vfma(vset(B2 * B2), sum_b, u[5]));
}

static void weight_gradient(ptrdiff_t columns, const float *u, ptrdiff_t stride, float *w, ptrdiff_t tap, int stream) {
    for (ptrdiff_t c = 0; c < columns; c += VL) {
        const ptrdiff_t n = columns - c;
        vf half[TAPS][SIDE], column[SIDE], out[TAPS];
#pragma GCC unroll 1
        for (int j = 0; j < SIDE; j++) {
#pragma GCC unroll 6
            for (int i = 0; i < SIDE; i++) column[i] = vload(u + (SIDE * i + j) * stride + c);
            transform_weight_gradient(column, out);
#pragma GCC unroll 5
            for (int i = 0; i < TAPS; i++) half[i][j] = out[i];
        }
#pragma GCC unroll 1
        for (int i = 0; i < TAPS; i++) {
            transform_weight_gradient(half[i], out);
#pragma GCC unroll 5
            for (int j = 0; j < TAPS; j++) store_weight(w + (TAPS * i + j) * tap + c, out[j], n, stream);
        }
    }
}

VINLINE vf sum_of(int rows, const vf *y) {
    return rows == 2 ? y[0] + y[1] : (y[0] + y[1]) + (rows == 3 ? y[2] : y[2] + y[3]);
}

VINLINE vf gradient_tile(int rows, int columns, const float *const *row, ptrdiff_t step, float *v, ptrdiff_t element,
                         int sum) {
    vf half[SIDE][OUT], out[SIDE], total = vzero();
#pragma GCC unroll 4
    for (int j = 0; j < columns; j++) {
        vf y[OUT];
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) y[i] = vload(row[i] + j * step);
        transform_gradient(rows, y, out);
        if (sum) total += sum_of(rows, y);
#pragma GCC unroll 6
        for (int i = 0; i < SIDE; i++) if (has(SIDE, rows + TAPS - 1, i)) half[i][j] = out[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < SIDE; i++) {
        if (!has(SIDE, rows + TAPS - 1, i)) continue;
        transform_gradient(columns, half[i], out);
#pragma GCC unroll 6
        for (int j = 0; j < SIDE; j++)
            if (has(SIDE, columns + TAPS - 1, j)) vstore(v + (SIDE * i + j) * element, out[j]);
    }
    return total;
}

VINLINE void gradient_of(int rows, int columns, const cnn_winograd_source *s, float *sum, int summed) {
    _Alignas(64) float copy[OUT * OUT * VL];
    for (ptrdiff_t c = 0; c < s->channels; c += VL) {
        const ptrdiff_t n = s->channels - c < VL ? s->channels - c : VL;
        float *v = s->v + c / VL * s->plane;
        vf total = vzero();
        for (ptrdiff_t t = 0; t < s->tiles; t++, v += VL) {
            const ptrdiff_t first = s->first + columns * t;
            const float *row[OUT];
            const int whole = n == VL && first + columns <= s->columns;
            if (!whole) copy_pixels(s, rows, columns, first, c, n, copy, columns);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) row[i] = whole ? s->row[i] + first * s->step + c : copy + i * columns * VL;
            if (s->far && whole) ask_for_next(row, rows, 0, columns, s->step);
            total += gradient_tile(rows, columns, row, whole ? s->step : VL, v, s->element, summed);
        }
        if (summed) vstore_upto(sum + c, vload_upto(sum + c, n) + total, n);
    }
}

VINLINE void gradient(int rows, int columns, const cnn_winograd_source *s, float *sum) {
    if (sum) gradient_of(rows, columns, s, sum, 1);
    else gradient_of(rows, columns, s, NULL, 0);
}

