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

#define CNN_PADDING_ATTRS \
    CNN_INT_ATTR("pad_top", 0, 0, 1 << 20), CNN_INT_ATTR("pad_left", 0, 0, 1 << 20), \
    CNN_INT_ATTR("pad_bottom", 0, 0, 1 << 20), CNN_INT_ATTR("pad_right", 0, 0, 1 << 20)

#define CNN_RANK_DIMS_ATTRS \
    CNN_INT_ATTR("rank", 1, 1, CNN_MAX_RANK), CNN_INT_ATTR("d0", 1, 1, 2147483647), CNN_INT_ATTR("d1", 1, 1, 2147483647), \
    CNN_INT_ATTR("d2", 1, 1, 2147483647), CNN_INT_ATTR("d3", 1, 1, 2147483647)

#endif
