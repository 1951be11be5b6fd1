/* Leaves of Winograd's convolution; the contract and the matrices are in winograd.h. */
#include "kernels.h"
#include "output_gradient.h"
#include "register_tiles.h"
#include "vec.h"

/* A copy of the pixels of a tile that is not all inside the image, or of fewer channels than a vector has. */
static __attribute__((noinline)) void padded_copy(const cnn_winograd_source *s, int rows, ptrdiff_t first, ptrdiff_t c,
                                                  ptrdiff_t n, float *copy) {
    for (int i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < rows; j++) {
            const ptrdiff_t column = first + j;
            const int inside = column >= 0 && column < s->columns;
            vstore(copy + (i * rows + j) * VL, inside ? vload_upto(s->row[i] + column * s->step + c, n) : vzero());
        }
}

/* ---- F(2x2, 3x3): the points 0, 1, -1 and infinity ---- */

/* B' times a column of four. */
VINLINE void transform_input_2(const vf d[4], vf v[4]) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
}

/* G times a column of three. */
VINLINE void transform_weights_2(const vf g[3], vf u[4]) {
    const vf ends = g[0] + g[2];
    u[0] = g[0];
    u[1] = vset(0.5f) * (ends + g[1]);
    u[2] = vset(0.5f) * (ends - g[1]);
    u[3] = g[2];
}

/* A' times a column of four. */
VINLINE void transform_output_2(const vf m[4], vf y[2]) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
}

/* As input_tile_4: v[4 i + j] = element (i, j). */
VINLINE void input_tile_2(const float *const row[4], ptrdiff_t step, int from, int to, float *v, ptrdiff_t element) {
    vf half[4][4], out[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        vf column[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) column[i] = j < from || j >= to ? vzero() : vload(row[i] + j * step);
        transform_input_2(column, out);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) half[i][j] = out[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        transform_input_2(half[i], out);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) vstore(v + (4 * i + j) * element, out[j]);
    }
}

#define OUT 2
#define IN 4
#define FORM(name) name##_2
#include "winograd_form.inc.h"
#undef OUT
#undef IN
#undef FORM

/* ---- F(4x4, 3x3) ---- */

#define OUT 4
#define IN 6

/* The points a and b, and what follows from them. */
#define A 0.625f
#define B 1.5f
#define A2 (A * A)
#define B2 (B * B)

/* The first and the last row of B' alone have three terms: of rows 0, 2, 4 and of rows 1, 3, 5. */
VINLINE vf input_end(vf a, vf b, vf c) { return vfma(vset(A2 * B2), a, vfnma(vset(A2 + B2), b, c)); }

/* B' times a column of six. */
VINLINE void transform_input(const vf d[IN], vf v[IN]) {
    const vf even_a = vfnma(vset(B2), d[2], d[4]), odd_a = vfnma(vset(B2), d[1], d[3]);
    const vf even_b = vfnma(vset(A2), d[2], d[4]), odd_b = vfnma(vset(A2), d[1], d[3]);
    v[0] = input_end(d[0], d[2], d[4]);
    v[1] = vfma(vset(A), odd_a, even_a);
    v[2] = vfnma(vset(A), odd_a, even_a);
    v[3] = vfma(vset(B), odd_b, even_b);
    v[4] = vfnma(vset(B), odd_b, even_b);
    v[5] = input_end(d[1], d[3], d[5]);
}

/* G times a column of three. */
VINLINE void transform_weights_4(const vf g[3], vf u[IN]) {
    const vf scale_a = vset(1 / (2 * A2 * (A2 - B2))), scale_b = vset(1 / (2 * B2 * (B2 - A2)));
    vf even_a = scale_a * vfma(vset(A2), g[2], g[0]), odd_a = scale_a * vset(A) * g[1];
    vf even_b = scale_b * vfma(vset(B2), g[2], g[0]), odd_b = scale_b * vset(B) * g[1];
    u[0] = vset(1 / (A2 * B2)) * g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[2];
}

/* A' times a column of six. */
VINLINE void transform_output_4(const vf m[IN], vf y[OUT]) {
    const vf sum_a = m[1] + m[2], difference_a = m[1] - m[2], sum_b = m[3] + m[4], difference_b = m[3] - m[4];
    y[0] = m[0] + sum_a + sum_b;
    y[1] = vfma(vset(B), difference_b, vset(A) * difference_a);
    y[2] = vfma(vset(B2), sum_b, vset(A2) * sum_a);
    y[3] = vfma(vset(A * A2), difference_a, vfma(vset(B * B2), difference_b, m[5]));
}

/* One tile and vector of channels: v[6 i + j] = element (i, j), from pixels (i, j) at row[i] + j * step, those of
 * columns from .. to - 1, constants, being inside the image. The rows of B' d are taken one or two at a time, those
 * that have terms in common, so that all is in registers. */
VINLINE void input_tile_4(const float *const row[IN], ptrdiff_t step, int from, int to, float *v, ptrdiff_t element) {
    vf first[IN], second[IN], out[IN];
#pragma GCC unroll 2
    for (int pair = 0; pair < 2; pair++) {
        const vf point = vset(pair ? B : A), other = vset(pair ? A2 : B2);
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++) {
            if (j < from || j >= to) { first[j] = second[j] = vzero(); continue; }
            const vf even = vfnma(other, vload(row[2] + j * step), vload(row[4] + j * step));
            const vf odd = vfnma(other, vload(row[1] + j * step), vload(row[3] + j * step));
            first[j] = vfma(point, odd, even);
            second[j] = vfnma(point, odd, even);
        }
        transform_input(first, out);
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++) vstore(v + (6 + 12 * pair + j) * element, out[j]);
        transform_input(second, out);
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++) vstore(v + (12 + 12 * pair + j) * element, out[j]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++)
            first[j] = j < from || j >= to ? vzero()
                : input_end(vload(row[i] + j * step), vload(row[i + 2] + j * step), vload(row[i + 4] + j * step));
        transform_input(first, out);
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++) vstore(v + (30 * i + j) * element, out[j]);
    }
}

#define FORM(name) name##_4
#include "winograd_form.inc.h"
#undef FORM

/* A times a column of four. */
VINLINE void transform_gradient(const vf y[OUT], vf v[IN]) {
    const vf even_a = vfma(vset(A2), y[2], y[0]), odd_a = vfma(vset(A2), y[3], y[1]);
    const vf even_b = vfma(vset(B2), y[2], y[0]), odd_b = vfma(vset(B2), y[3], y[1]);
    v[0] = y[0];
    v[1] = vfma(vset(A), odd_a, even_a);
    v[2] = vfma(vset(-A), odd_a, even_a);
    v[3] = vfma(vset(B), odd_b, even_b);
    v[4] = vfma(vset(-B), odd_b, even_b);
    v[5] = y[3];
}

/* G' times a column of six. */
VINLINE void transform_weight_gradient(const vf u[IN], vf g[3]) {
    const vf scale_a = vset(1 / (2 * A2 * (A2 - B2))), scale_b = vset(1 / (2 * B2 * (B2 - A2)));
    vf sum_a = scale_a * (u[1] + u[2]), difference_a = scale_a * vset(A) * (u[1] - u[2]);
    vf sum_b = scale_b * (u[3] + u[4]), difference_b = scale_b * vset(B) * (u[3] - u[4]);
    g[0] = vfma(vset(1 / (A2 * B2)), u[0], sum_a + sum_b);
    g[1] = difference_a + difference_b;
    g[2] = vfma(vset(A2), sum_a, vfma(vset(B2), sum_b, u[5]));
}

/* A vector of a weight's gradient, of which n columns exist. */
VINLINE void store_weight(float *w, vf value, ptrdiff_t n, int stream) {
    if (stream) vstream(w, value);
    else if (n >= VL) vstore(w, value);
    else vstore_n(w, value, n);
}

static void weight_gradient(ptrdiff_t columns, const float *u, ptrdiff_t stride, float *w, ptrdiff_t tap, int stream) {
    for (ptrdiff_t c = 0; c < columns; c += VL) {
        const ptrdiff_t n = columns - c;
        vf half[3][IN], column[IN], out[3];
        for (int j = 0; j < IN; j++) {
#pragma GCC unroll 6
            for (int i = 0; i < IN; i++) column[i] = vload(u + (IN * i + j) * stride + c);
            transform_weight_gradient(column, out);
#pragma GCC unroll 3
            for (int i = 0; i < 3; i++) half[i][j] = out[i];
        }
        for (int i = 0; i < 3; i++) {
            transform_weight_gradient(half[i], out);
#pragma GCC unroll 3
            for (int j = 0; j < 3; j++) store_weight(w + (3 * i + j) * tap + c, out[j], n, stream);
        }
    }
}

VINLINE vf gradient_tile(const float *const row[OUT], ptrdiff_t step, float *v, ptrdiff_t element, int sum) {
    vf half[IN][OUT], out[IN], total = vzero();
#pragma GCC unroll 4
    for (int j = 0; j < OUT; j++) {
        vf y[OUT];
#pragma GCC unroll 4
        for (int i = 0; i < OUT; i++) y[i] = vload(row[i] + j * step);
        transform_gradient(y, out);
        if (sum) total += (y[0] + y[1]) + (y[2] + y[3]);
#pragma GCC unroll 6
        for (int i = 0; i < IN; i++) half[i][j] = out[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < IN; i++) {
        transform_gradient(half[i], out);
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++) vstore(v + (IN * i + j) * element, out[j]);
    }
    return total;
}

VINLINE void gradient_of(const cnn_winograd_source *s, float *sum, int summed) {
    _Alignas(64) float copy[OUT * OUT * VL];
    for (ptrdiff_t c = 0; c < s->channels; c += VL) {
        const ptrdiff_t n = s->channels - c < VL ? s->channels - c : VL;
        float *v = s->v + c / VL * s->plane;
        vf total = vzero();
        for (ptrdiff_t t = 0; t < s->tiles; t++, v += VL) {
            const ptrdiff_t first = s->first + OUT * t;
            const float *row[OUT];
            const int whole = n == VL && first + OUT <= s->columns;
            if (!whole) padded_copy(s, OUT, first, c, n, copy);
#pragma GCC unroll 4
            for (int i = 0; i < OUT; i++) row[i] = whole ? s->row[i] + first * s->step + c : copy + i * OUT * VL;
            total += gradient_tile(row, whole ? s->step : VL, v, s->element, summed);
        }
        if (summed) vstore_upto(sum + c, vload_upto(sum + c, n) + total, n);
    }
}

static void gradient(const cnn_winograd_source *s, float *sum) {
    if (sum) gradient_of(s, sum, 1);
    else gradient_of(s, NULL, 0);
}

#undef OUT
#undef IN

#include "winograd_strided.inc.h"

/* The products: register tiles of the sizes of gemm.c. */
#define VECTORS 1
#include "winograd_panel.inc.h"
#undef VECTORS
#define VECTORS 2
#include "winograd_panel.inc.h"
#undef VECTORS
#define VECTORS 3
#include "winograd_panel.inc.h"
#undef VECTORS
#if VREGISTERS >= 32
#define VECTORS 4
#include "winograd_panel.inc.h"
#undef VECTORS
#endif

extern const cnn_winograd_kernels KERNEL(cnn_winograd);
const cnn_winograd_kernels KERNEL(cnn_winograd) = {
    .form = {{input_2, weights_2, output_2}, {input_4, weights_4, output_4},
             {input_strided, weights_strided, output_strided}, {input_back_0, weights_strided, output_back_0},
             {input_back_1, weights_strided, output_back_1}},
    .gradient = {gradient, gradient_strided}, .weight_gradient = {weight_gradient, weight_gradient_strided},
#if VREGISTERS >= 32
    .product = {NULL, product_1, product_2, product_3, product_4},
    .outer = {NULL, outer_1, outer_2, outer_3, outer_4},
    .outer_channels = {0, CHANNELS_1, CHANNELS_2, CHANNELS_3, CHANNELS_4},
#else
    .product = {NULL, product_1, product_2, product_3},
    .outer = {NULL, outer_1, outer_2, outer_3},
    .outer_channels = {0, CHANNELS_1, CHANNELS_2, CHANNELS_3},
#endif
};
