/* Leaves of Winograd's convolution; the contract and the matrices are in winograd.h. */
#include "kernels.h"
#include "vec.h"

enum { IN = CNN_WINOGRAD_IN, OUT = CNN_WINOGRAD_OUT };

/* The points a and b, and what follows from them. */
#define A 0.625f
#define B 1.5f
#define A2 (A * A)
#define B2 (B * B)

/* B' times a column of six. */
VINLINE void transform_input(const vf d[IN], vf v[IN]) {
    vf even_a = d[4] - vset(B2) * d[2], odd_a = vset(A) * (d[3] - vset(B2) * d[1]);
    vf even_b = d[4] - vset(A2) * d[2], odd_b = vset(B) * (d[3] - vset(A2) * d[1]);
    v[0] = vfma(vset(A2 * B2), d[0], vfma(vset(-(A2 + B2)), d[2], d[4]));
    v[1] = even_a + odd_a;
    v[2] = even_a - odd_a;
    v[3] = even_b + odd_b;
    v[4] = even_b - odd_b;
    v[5] = vfma(vset(A2 * B2), d[1], vfma(vset(-(A2 + B2)), d[3], d[5]));
}

/* G times a column of three. */
VINLINE void transform_weights(const vf g[3], vf u[IN]) {
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
VINLINE void transform_output(const vf m[IN], vf y[OUT]) {
    vf sum_a = m[1] + m[2], difference_a = vset(A) * (m[1] - m[2]), sum_b = m[3] + m[4],
       difference_b = vset(B) * (m[3] - m[4]);
    y[0] = m[0] + sum_a + sum_b;
    y[1] = difference_a + difference_b;
    y[2] = vfma(vset(A2), sum_a, vset(B2) * sum_b);
    y[3] = vfma(vset(A2), difference_a, vfma(vset(B2), difference_b, m[5]));
}

static void input(ptrdiff_t channels, const float *const *pixels, float *v, ptrdiff_t stride) {
    for (ptrdiff_t c = 0; c < channels; c += VL) {
        const ptrdiff_t n = channels - c;
        vf half[IN][IN], column[IN], out[IN];                 /* half[i][j]: transformed along the rows of a column */
        for (int j = 0; j < IN; j++) {
#pragma GCC unroll 6
            for (int i = 0; i < IN; i++)
                column[i] = n >= VL ? vload(pixels[IN * i + j] + c) : vload_n(pixels[IN * i + j] + c, n);
            transform_input(column, out);
#pragma GCC unroll 6
            for (int i = 0; i < IN; i++) half[i][j] = out[i];
        }
        for (int i = 0; i < IN; i++) {
            transform_input(half[i], out);
#pragma GCC unroll 6
            for (int j = 0; j < IN; j++) vstore(v + (IN * i + j) * stride + c, out[j]);
        }
    }
}

static void weights(ptrdiff_t width, const float *w, ptrdiff_t tap, int flip, float *u, ptrdiff_t stride) {
    for (ptrdiff_t n = 0; n < width; n += VL) {
        vf half[IN][3], column[3], out[IN];
        for (int j = 0; j < 3; j++) {
#pragma GCC unroll 3
            for (int i = 0; i < 3; i++) column[i] = vload(w + (flip ? 8 - 3 * i - j : 3 * i + j) * tap + n);
            transform_weights(column, out);
#pragma GCC unroll 6
            for (int i = 0; i < IN; i++) half[i][j] = out[i];
        }
        for (int i = 0; i < IN; i++) {
            transform_weights(half[i], out);
#pragma GCC unroll 6
            for (int j = 0; j < IN; j++) vstore(u + (IN * i + j) * stride + n, out[j]);
        }
    }
}

static void output(ptrdiff_t columns, const float *m, ptrdiff_t stride, const float *bias, const float *added, float *y,
                   const ptrdiff_t *at, float low, float high) {
    const vf lowest = vset(low), highest = vset(high);
    for (ptrdiff_t c = 0; c < columns; c += VL) {
        const ptrdiff_t n = columns - c;
        const vf start = !bias ? vzero() : n >= VL ? vload(bias + c) : vload_n(bias + c, n);
        vf half[OUT][IN], column[IN], out[OUT];
        for (int j = 0; j < IN; j++) {
#pragma GCC unroll 6
            for (int i = 0; i < IN; i++) column[i] = vload(m + (IN * i + j) * stride + c);
            transform_output(column, out);
#pragma GCC unroll 4
            for (int i = 0; i < OUT; i++) half[i][j] = out[i];
        }
        for (int i = 0; i < OUT; i++) {
            transform_output(half[i], out);
#pragma GCC unroll 4
            for (int j = 0; j < OUT; j++) {
                const ptrdiff_t to = at[OUT * i + j];
                if (to < 0) continue;
                vf value = out[j] + start;
                if (added) value += n >= VL ? vload(added + to + c) : vload_n(added + to + c, n);
                value = vmin(highest, vmax(lowest, value));
                if (n >= VL) vstore(y + to + c, value);
                else vstore_n(y + to + c, value, n);
            }
        }
    }
}

/* A times a column of four. */
VINLINE void transform_gradient(const vf y[OUT], vf v[IN]) {
    vf even_a = vfma(vset(A2), y[2], y[0]), odd_a = vset(A) * vfma(vset(A2), y[3], y[1]);
    vf even_b = vfma(vset(B2), y[2], y[0]), odd_b = vset(B) * vfma(vset(B2), y[3], y[1]);
    v[0] = y[0];
    v[1] = even_a + odd_a;
    v[2] = even_a - odd_a;
    v[3] = even_b + odd_b;
    v[4] = even_b - odd_b;
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

static void gradient(ptrdiff_t columns, const float *const *pixels, float *v, ptrdiff_t stride) {
    for (ptrdiff_t c = 0; c < columns; c += VL) {
        const ptrdiff_t n = columns - c;
        vf half[IN][OUT], column[OUT], out[IN];
        for (int j = 0; j < OUT; j++) {
#pragma GCC unroll 4
            for (int i = 0; i < OUT; i++)
                column[i] = n >= VL ? vload(pixels[OUT * i + j] + c) : vload_n(pixels[OUT * i + j] + c, n);
            transform_gradient(column, out);
#pragma GCC unroll 6
            for (int i = 0; i < IN; i++) half[i][j] = out[i];
        }
        for (int i = 0; i < IN; i++) {
            transform_gradient(half[i], out);
#pragma GCC unroll 6
            for (int j = 0; j < IN; j++) vstore(v + (IN * i + j) * stride + c, out[j]);
        }
    }
}

static void weight_gradient(ptrdiff_t columns, const float *u, ptrdiff_t stride, float *w, ptrdiff_t tap) {
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
            for (int j = 0; j < 3; j++) {
                if (n >= VL) vstore(w + (3 * i + j) * tap + c, out[j]);
                else vstore_n(w + (3 * i + j) * tap + c, out[j], n);
            }
        }
    }
}

extern const cnn_winograd_kernels KERNEL(cnn_winograd);
const cnn_winograd_kernels KERNEL(cnn_winograd) = {
    .input = input, .weights = weights, .output = output, .gradient = gradient, .weight_gradient = weight_gradient,
};
