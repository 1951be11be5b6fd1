/* The transforms of a tile with stride 2, forward and backwards: ROWS x COLUMNS results, or the gradients of twice as
 * many pixels along each axis. Included by winograd_strided.c once a size. */
#define SIZE(stem) TILE_NAME(stem, ROWS, COLUMNS)                  /* input_strided_4x4 */
#define HALF 9                                                     /* columns that the rows' transform leaves */

static void SIZE(input_strided)(const cnn_winograd_source *s) { strided_input_of(ROWS, COLUMNS, 2, 1, s); }
static void SIZE(input_back_0)(const cnn_winograd_source *s) { strided_input_of(ROWS, COLUMNS, 1, 1, s); }
static void SIZE(input_back_1)(const cnn_winograd_source *s) { strided_input_of(ROWS, COLUMNS, 1, 0, s); }
static void SIZE(gradient_strided)(const cnn_winograd_source *s, float *sum) {
    strided_gradient_of(ROWS, COLUMNS, s, sum);
}

#define OUT_H ROWS
#define OUT_W COLUMNS
#define FORM(name) SIZE(name##_strided)
VINLINE void FORM(output_columns)(const cnn_winograd_result *r, const float *m, ptrdiff_t plane, vf half[OUT_H][HALF]) {
    strided_columns(ROWS, COLUMNS, 0, r, m, plane, half);
}
VINLINE void FORM(output_row)(const vf half[HALF], vf y[OUT_W]) { strided_row(COLUMNS, half, y); }
#include "winograd_output.inc.h"
#undef FORM
#undef OUT_H
#undef OUT_W

#define BACKWARDS
#define OUT_H (2 * ROWS)
#define OUT_W (2 * COLUMNS)
#define FORM(name) SIZE(name##_back)
VINLINE void FORM(output_columns)(const cnn_winograd_result *r, const float *m, ptrdiff_t plane, vf half[OUT_H][HALF]) {
    strided_columns(ROWS, COLUMNS, 1, r, m, plane, half);
}
VINLINE void FORM(output_row)(const vf half[HALF], vf y[OUT_W]) { back_row(COLUMNS, half, y); }
#include "winograd_output.inc.h"
#undef FORM
#undef OUT_H
#undef OUT_W
#undef BACKWARDS

#undef HALF
#undef SIZE
