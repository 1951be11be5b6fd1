/* The tiles of one size of a form with stride 1: OUT_H x OUT_W results from OUT_H + TAPS - 1 rows and OUT_W + TAPS - 1
 * columns of pixels. Included once a size, with these, with SIDE, how many rows and columns of elements the form's
 * largest tiles have, and with INPUT_TILE(row, step, from, to, v, element) and TRANSFORM_OUTPUT(results, m, y); what
 * becomes of the results is in winograd_output.inc.h. */

#define IN_H (OUT_H + TAPS - 1)
#define IN_W (OUT_W + TAPS - 1)
#define EDGE (TAPS / 2)               /* columns of the padding that is most common, "same" */

static void FORM(input)(const cnn_winograd_source *s) {
    enum { PITCH = OUT_W * COPIED_TILES + TAPS - 1 };
    _Alignas(64) float copy[IN_H * PITCH * VL];
    const int normalised = s->norm.scale != NULL;
    for (ptrdiff_t c = 0; c < s->channels; c += VL) {
        const ptrdiff_t n = s->channels - c < VL ? s->channels - c : VL;
        const int as_it_lies = !VLEAN && !normalised && n == VL;
        float *v = s->v + c / VL * s->plane;
        for (ptrdiff_t t = 0; t < s->tiles; t++, v += VL) {
            const ptrdiff_t first = s->first + OUT_W * t, left = s->columns - first;
            const float *row[IN_H];
#pragma GCC unroll 6
            for (int i = 0; i < IN_H; i++) row[i] = s->row[i] + c + first * s->step;
            /* The first columns are the last ones of the tile before. */
            if (s->far && as_it_lies && left >= IN_W - EDGE) ask_for_next(row, IN_H, TAPS - 1, IN_W - EDGE, s->step);
            if (as_it_lies && first >= 0 && left >= IN_W) INPUT_TILE(row, s->step, 0, IN_W, v, s->element);
            else if (as_it_lies && first == -EDGE && left >= IN_W)
                INPUT_TILE(row, s->step, EDGE, IN_W, v, s->element);
            else if (as_it_lies && first == -EDGE && left == IN_W - EDGE)
                INPUT_TILE(row, s->step, EDGE, IN_W - EDGE, v, s->element);
            else if (as_it_lies && first >= 0 && left == IN_W - EDGE)
                INPUT_TILE(row, s->step, 0, IN_W - EDGE, v, s->element);
            else {
                const ptrdiff_t at = normalised ? t % COPIED_TILES : 0;
                if (at == 0)
                    copy_pixels(s, IN_H, OUT_W * copied_tiles(s, t, COPIED_TILES) + TAPS - 1, first, c, n, copy, PITCH);
#pragma GCC unroll 6
                for (int i = 0; i < IN_H; i++) row[i] = copy + (i * PITCH + at * OUT_W) * VL;
                INPUT_TILE(row, VL, 0, IN_W, v, s->element);
            }
        }
    }
}

/* A' m of one tile. */
VINLINE void FORM(output_columns)(const cnn_winograd_result *r, const float *m, ptrdiff_t plane,
                                  vf half[OUT_H][SIDE]) {
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; j++) {
        if (!has(SIDE, IN_W, j)) continue;
        vf column[SIDE], out[SIDE];
#pragma GCC unroll 6
        for (int i = 0; i < SIDE; i++)
            if (has(SIDE, IN_H, i)) column[i] = vload(m + plane + (SIDE * i + j) * r->element);
        TRANSFORM_OUTPUT(OUT_H, column, out);
#pragma GCC unroll 4
        for (int i = 0; i < OUT_H; i++) half[i][j] = out[i];
    }
}

VINLINE void FORM(output_row)(const vf half[SIDE], vf y[OUT_W]) { TRANSFORM_OUTPUT(OUT_W, half, y); }

#define HALF SIDE
#include "winograd_output.inc.h"
#undef HALF
#undef IN_H
#undef IN_W
#undef EDGE
