/* The transforms of F(4x4, 3x3) and of its narrow tiles. The contract and the matrices are in winograd.h. */
#define TAPS 3
#include "winograd_six_points.inc.h"

#define FORM(name) name##_4
#define TRANSFORM_WEIGHTS transform_weights
#include "winograd_weights.inc.h"
#undef FORM
#define INPUT_TILE(...) input_tile(IN_H, IN_W, __VA_ARGS__)
#define TRANSFORM_OUTPUT transform_output
#define OUT_H 4
#define OUT_W 4
#define FORM(name) name##_4x4
#include "winograd_form.inc.h"
#undef FORM
#undef OUT_W
#define OUT_W 3
#define FORM(name) name##_4x3
#include "winograd_form.inc.h"
#undef FORM
#undef OUT_W
#define OUT_W 2
#define FORM(name) name##_4x2
#include "winograd_form.inc.h"
#undef FORM
#undef OUT_H
#define OUT_H 2
#define FORM(name) name##_2x2
#include "winograd_form.inc.h"
#undef FORM
#undef OUT_W
#define OUT_W 4
#define FORM(name) name##_2x4
#include "winograd_form.inc.h"
#undef FORM
#undef OUT_H
#define OUT_H 3
#define FORM(name) name##_3x4
#include "winograd_form.inc.h"
#undef FORM
#undef OUT_W
#define OUT_W 3
#define FORM(name) name##_3x3
#include "winograd_form.inc.h"
#undef FORM
#undef OUT_H
#undef OUT_W
#undef INPUT_TILE
#undef TRANSFORM_OUTPUT

static void gradient_4x4(const cnn_winograd_source *s, float *sum) { gradient(4, 4, s, sum); }
static void gradient_4x3(const cnn_winograd_source *s, float *sum) { gradient(4, 3, s, sum); }
static void gradient_4x2(const cnn_winograd_source *s, float *sum) { gradient(4, 2, s, sum); }
static void gradient_3x4(const cnn_winograd_source *s, float *sum) { gradient(3, 4, s, sum); }
static void gradient_3x3(const cnn_winograd_source *s, float *sum) { gradient(3, 3, s, sum); }
static void gradient_2x4(const cnn_winograd_source *s, float *sum) { gradient(2, 4, s, sum); }
static void gradient_2x2(const cnn_winograd_source *s, float *sum) { gradient(2, 2, s, sum); }

extern const cnn_winograd_form KERNEL(cnn_winograd_4x4);
const cnn_winograd_form KERNEL(cnn_winograd_4x4) = {
    .weights = weights_4, .input = EVERY(input), .output = EVERY(output), .gradient = EVERY(gradient),
    .weight_gradient = weight_gradient};
