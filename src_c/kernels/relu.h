/* The output activations that are applied in registers: none, relu with any slope, and a maximum. The others are
 * applied by elementwise->activate while the result is in the cache. NaN passes through. */
#ifndef CNN_KERNELS_RELU_H
#define CNN_KERNELS_RELU_H

#include "elementwise.h"
#include "vec.h"

enum { RELU_NONE, RELU_PLAIN, RELU_SLOPE };    /* RELU_SLOPE with slope 1 clips a linear result at max_value */

typedef struct relu_constants { int kind; vf slope, max_value; } relu_constants;

VINLINE relu_constants relu_of(const cnn_act *act) {
    relu_constants r = {RELU_NONE, vset(act->kind == CNN_RELU ? act->alpha : 1), vset(act->max_value)};
    if (act->kind == CNN_RELU) r.kind = act->alpha == 0 ? RELU_PLAIN : RELU_SLOPE;
    if (act->kind == CNN_LINEAR && act->max_value < __builtin_inff()) r.kind = RELU_SLOPE;
    return r;
}

/* vmax and vmin give their second operand where one is NaN. */
VINLINE vf relu(int kind, vf v, vf slope, vf max_value) {
    if (kind == RELU_NONE) return v;
    v = kind == RELU_PLAIN ? vmax(vzero(), v) : vfma(slope, vmin(vzero(), v), vmax(vzero(), v));
    return vmin(max_value, v);
}

/* The derivative, from the output y: a mask, spread over the lanes. */
typedef struct relu_slopes { vf slope, max_value; } relu_slopes;

VINLINE relu_slopes relu_slopes_of(cnn_relu_mask mask) {
    return (relu_slopes){vset(mask.slope), vset(mask.max_value)};
}

VINLINE vf relu_masked(vf grad_y, vf y, relu_slopes mask) {
    vf g = vselect(y > vzero(), grad_y, mask.slope * grad_y);
    return vselect(y < mask.max_value, g, vzero());
}

/* The same for an activation of a known kind: without the product where the slope is 0. */
VINLINE vf relu_masked_of(int kind, vf grad_y, vf y, const relu_constants *act) {
    if (kind != RELU_PLAIN) return relu_masked(grad_y, y, (relu_slopes){act->slope, act->max_value});
    return vselect(y < act->max_value, vselect(y > vzero(), grad_y, vzero()), vzero());
}

#endif
