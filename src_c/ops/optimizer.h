/* What the optimizers share. hyper = (learning_rate, step counted from 1, unused, unused), a tensor because it changes
 * from step to step. */
#ifndef CNN_OPS_OPTIMIZER_H
#define CNN_OPS_OPTIMIZER_H

#include "attributes.h"

#define CNN_DECAY_CLIP_ATTRS                                                                                           \
    CNN_FLOAT_ATTR("weight_decay", 0, 0, INFINITY), CNN_FLOAT_ATTR("clip_value", 0, 0, INFINITY)

static inline const cnn_tensor *cnn_optional(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }

/* An array of the optimizer's: like param. */
static inline int cnn_expect_state(const cnn_tensor *t, const char *what, const cnn_tensor *param, cnn_error *error) {
    char a[64], b[64];
    if (cnn_expect(t, what, -1, CNN_F32, error)) return -1;
    if (!cnn_same_shape(t, param))
        return cnn_fail(error, "%s must have the shape of param, %s, got %s", what, cnn_shape_text(param, b),
                        cnn_shape_text(t, a));
    return 0;
}

/* The attribute 0 stands for "no clipping". */
static inline float cnn_clip_of(const cnn_call *c, int attr) {
    return c->attr[attr] > 0 ? cnn_float(c, attr) : INFINITY;
}

#define CNN_OPTIMIZER_GRAIN 4096      /* elements: whole pages of every array go to one thread */

#endif
