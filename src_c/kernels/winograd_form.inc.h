/* One form of Winograd's convolution with stride 1, of tiles of OUT x OUT results from IN x IN pixels. Included by
 * winograd.c once a form, with these sizes and with FORM(transform_weights), FORM(transform_output) and
 * FORM(input_tile); what becomes of the results is in winograd_output.inc.h. */

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
VINLINE void FORM(output_columns)(const cnn_winograd_result *r, const float *m, ptrdiff_t plane, vf half[OUT][IN]) {
#pragma GCC unroll 6
    for (int j = 0; j < IN; j++) {
        vf column[IN], out[OUT];
#pragma GCC unroll 6
        for (int i = 0; i < IN; i++) column[i] = vload(m + plane + (IN * i + j) * r->element);
        FORM(transform_output)(column, out);
#pragma GCC unroll 4
        for (int i = 0; i < OUT; i++) half[i][j] = out[i];
    }
}

VINLINE void FORM(output_row)(const vf half[IN], vf y[OUT]) { FORM(transform_output)(half, y); }

#define HALF IN
#include "winograd_output.inc.h"
#undef HALF
