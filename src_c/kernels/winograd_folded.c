/* The transforms of F(3x3, 4x4), of images whose pixels are folded. The contract and the matrices are in winograd.h. */
#define TAPS 4
#include "winograd_six_points.inc.h"

#include <string.h>

enum {
    LANES = 16,                       /* of a folded pixel in the copy: four pixels of at most four channels */
    COLUMNS = OUT * COPIED_TILES + TAPS - 1,
};

/* `columns` folded pixels of each row, from column `first` of the image on, which is even: four pixels of `channels`
 * channels each, those outside the image zeros. Rows of the copy are COLUMNS pixels of LANES floats; lanes beyond a
 * pixel's stay as they are. */
VINLINE void fold(int channels, const cnn_winograd_source *s, ptrdiff_t columns, ptrdiff_t first, float *copy) {
    const ptrdiff_t pair = 2 * channels, left = first < 0 ? -first : 0, right = s->columns - first;
    /* Pairs of pixels that are inside as a whole. */
    const ptrdiff_t begin = left < 2 * columns ? (left + 1) / 2 : columns;
    const ptrdiff_t end = right < 2 * columns ? (right > 0 ? right / 2 : 0) : columns;
    for (int i = 0; i < 2 * SIDE; i++) {
        const float *row = s->row[i] + first * channels;
        float *to = copy + i / 2 * COLUMNS * LANES + i % 2 * pair;
        for (ptrdiff_t j = 0; j < columns; j++, row += pair, to += LANES) {
            if (j >= begin && j < end) {
                memcpy(to, row, (size_t)pair * sizeof *to);
                continue;
            }
            for (ptrdiff_t k = 0; k < pair; k++) {
                const ptrdiff_t pixel = 2 * j + k / channels;
                to[k] = pixel >= left && pixel < right ? row[k] : 0;
            }
        }
    }
}

/* The transforms of `tiles` tiles from number `first` on, from the copy. By itself, that neither this nor the copying
 * takes registers from the other. */
static __attribute__((noinline)) void input_folded_3x3(const cnn_winograd_source *s, ptrdiff_t first, ptrdiff_t tiles,
                                                   const float *copy) {
    for (ptrdiff_t c = 0; c < 4 * s->channels; c += VL)
        for (ptrdiff_t t = 0; t < tiles; t++) {
            const float *row[SIDE];
#pragma GCC unroll 6
            for (int i = 0; i < SIDE; i++) row[i] = copy + (i * COLUMNS + t * OUT) * LANES + c;
            input_tile(SIDE, SIDE, row, LANES, 0, SIDE, s->v + c / VL * s->plane + (first + t) * VL, s->element);
        }
}

static void folded_input(const cnn_winograd_source *s) {
    _Alignas(64) float copy[SIDE * COLUMNS * LANES];
    memset(copy, 0, sizeof copy);
    for (ptrdiff_t first = 0; first < s->tiles; first += COPIED_TILES) {
        const ptrdiff_t left = s->tiles - first, tiles = left < COPIED_TILES ? left : COPIED_TILES;
        const ptrdiff_t columns = OUT * tiles + TAPS - 1, column = s->first + 2 * OUT * first;
        if (s->channels == 3) fold(3, s, columns, column, copy);
        else fold(4, s, columns, column, copy);
        input_folded_3x3(s, first, tiles, copy);
    }
}

#define FORM(name) name##_folded_3x3
#define TRANSFORM_WEIGHTS transform_weights
#include "winograd_weights.inc.h"

/* A' m of one tile. */
VINLINE void output_columns_folded_3x3(const cnn_winograd_result *r, const float *m, ptrdiff_t plane,
                                       vf half[OUT][SIDE]) {
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; j++) {
        vf column[SIDE], out[OUT];
#pragma GCC unroll 6
        for (int i = 0; i < SIDE; i++) column[i] = vload(m + plane + (SIDE * i + j) * r->element);
        transform_output(OUT, column, out);
#pragma GCC unroll 3
        for (int i = 0; i < OUT; i++) half[i][j] = out[i];
    }
}

VINLINE void output_row_folded_3x3(const vf half[SIDE], vf y[OUT]) { transform_output(OUT, half, y); }

#define OUT_H OUT
#define OUT_W OUT
#define HALF SIDE
#include "winograd_output.inc.h"

static void gradient_folded_3x3(const cnn_winograd_source *s, float *sum) { gradient(OUT, OUT, s, sum); }

extern const cnn_winograd_form KERNEL(cnn_winograd_folded);
const cnn_winograd_form KERNEL(cnn_winograd_folded) = {
    .weights = weights_folded_3x3, .input = ONLY(folded_input), .output = ONLY(output_folded_3x3),
    .gradient = ONLY(gradient_folded_3x3), .weight_gradient = weight_gradient};
