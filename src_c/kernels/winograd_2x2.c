/* The transforms of F(2x2, 3x3): the points 0, 1, -1 and infinity. The contract is in winograd.h. */
#include "winograd_transform.h"

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

/* As input_tile of winograd_six_points.inc.h: v[4 i + j] = element (i, j). */
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

#define SIDE 4
#define TAPS 3
#define OUT_H 2
#define OUT_W 2
#define FORM(name) name##_2
#define TRANSFORM_WEIGHTS transform_weights_2
#define INPUT_TILE input_tile_2
#define TRANSFORM_OUTPUT(out, m, y) transform_output_2(m, y)
#include "winograd_weights.inc.h"
#include "winograd_form.inc.h"
#undef SIDE
#undef TAPS
#undef OUT_H
#undef OUT_W
#undef FORM
#undef TRANSFORM_WEIGHTS
#undef INPUT_TILE
#undef TRANSFORM_OUTPUT

extern const cnn_winograd_form KERNEL(cnn_winograd_2x2);
const cnn_winograd_form KERNEL(cnn_winograd_2x2) = {
    .weights = weights_2, .input = ONLY(input_2), .output = ONLY(output_2)};
