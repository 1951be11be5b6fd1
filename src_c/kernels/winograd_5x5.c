/* The transforms of F(2x2, 5x5). The contract and the matrices are in winograd.h. */
#define TAPS 5
#include "winograd_six_points.inc.h"

#define FORM(name) name##_of_5x5
#define TRANSFORM_WEIGHTS transform_weights
#include "winograd_weights.inc.h"
#define INPUT_TILE(...) input_tile(SIDE, SIDE, __VA_ARGS__)
#define TRANSFORM_OUTPUT transform_output
#define OUT_H OUT
#define OUT_W OUT
#include "winograd_form.inc.h"

static void gradient_of_5x5(const cnn_winograd_source *s, float *sum) { gradient(OUT, OUT, s, sum); }

extern const cnn_winograd_form KERNEL(cnn_winograd_5x5);
const cnn_winograd_form KERNEL(cnn_winograd_5x5) = {
    .weights = weights_of_5x5, .input = ONLY(input_of_5x5), .output = ONLY(output_of_5x5),
    .gradient = ONLY(gradient_of_5x5), .weight_gradient = weight_gradient};
