/* Attribute tables that several operations share, and the enumerations in them. */
#ifndef CNN_OPS_ATTRIBUTES_H
#define CNN_OPS_ATTRIBUTES_H

#include <math.h>
#include "../runtime/op.h"

#define CNN_END_OF_ATTRS {0}
#define CNN_INT_ATTR(name, value, min, max) {name, CNN_INT, value, min, max}
#define CNN_FLOAT_ATTR(name, value, min, max) {name, CNN_FLOAT, value, min, max}

/* Output activation of a fused operation; the activations are listed in kernels/elementwise.h. */
#define CNN_ACT_ATTRS \
    CNN_INT_ATTR("activation", 0, 0, CNN_ACTIVATIONS - 1), CNN_FLOAT_ATTR("alpha", 0, -INFINITY, INFINITY), \
    CNN_FLOAT_ATTR("max_value", INFINITY, -INFINITY, INFINITY)

/* Fails unless the activation is one through which a gradient passes as a mask that follows from the output: linear, or
 * relu with a slope that is not negative (the sign of the input follows from the output's then). */
static inline int cnn_expect_mask(double kind, double alpha, cnn_error *error) {
    if (kind != CNN_LINEAR && kind != CNN_RELU)
        return cnn_fail(
            error, "activation must be linear (0) or relu (1), got %g; make the activation an operation of its own",
            kind);
    if (kind == CNN_RELU && alpha < 0)
        return cnn_fail(error,
                        "alpha must not be negative, got %g, as the sign of x does not follow from y then; make the "
                        "activation an operation of its own",
                        alpha);
    return 0;
}

static inline cnn_relu_mask cnn_mask_of(double kind, double alpha, double max_value) {
    return (cnn_relu_mask){.slope = kind == CNN_RELU ? (float)alpha : 1, .max_value = (float)max_value};
}

/* Does the mask leave everything as it is? */
static inline int cnn_mask_is_one(cnn_relu_mask mask) { return mask.slope == 1 && mask.max_value == INFINITY; }

#define CNN_PADDING_ATTRS \
    CNN_INT_ATTR("pad_top", 0, 0, 1 << 20), CNN_INT_ATTR("pad_left", 0, 0, 1 << 20), \
    CNN_INT_ATTR("pad_bottom", 0, 0, 1 << 20), CNN_INT_ATTR("pad_right", 0, 0, 1 << 20)

#define CNN_RANK_DIMS_ATTRS \
    CNN_INT_ATTR("rank", 1, 1, CNN_MAX_RANK), CNN_INT_ATTR("d0", 1, 1, 2147483647), \
        CNN_INT_ATTR("d1", 1, 1, 2147483647), \
    CNN_INT_ATTR("d2", 1, 1, 2147483647), CNN_INT_ATTR("d3", 1, 1, 2147483647)

#endif
