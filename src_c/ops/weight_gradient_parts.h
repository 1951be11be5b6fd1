/* Partial sums of a gradient in weights: of each group of pixels its own grad_w, [depth][out_channels], the first
 * group's being the result, and its own sums of grad_y in double; added in order once all are there. */
#ifndef CNN_OPS_WEIGHT_GRADIENT_PARTS_H
#define CNN_OPS_WEIGHT_GRADIENT_PARTS_H

#include "../runtime/op.h"

typedef struct cnn_weight_gradient_parts {
    int64_t groups, depth, out_channels;
    float *grad_w, *partial, *grad_bias;         /* grad_bias NULL: none */
    double *bias_sums;
} cnn_weight_gradient_parts;

/* Of the workspace, for grad_w of so many elements. */
int64_t cnn_weight_gradient_parts_bytes(int64_t groups, int64_t count, int64_t out_channels, int bias);
cnn_weight_gradient_parts cnn_weight_gradient_parts_of(const cnn_exec *e, int64_t groups, int64_t depth,
                                                       int64_t out_channels, float *grad_w, float *grad_bias);
static inline float *cnn_weight_gradient_part(const cnn_weight_gradient_parts *p, int64_t group) {
    return group ? p->partial + (group - 1) * p->depth * p->out_channels : p->grad_w;
}
static inline double *cnn_weight_gradient_bias_part(const cnn_weight_gradient_parts *p, int64_t group) {
    return p->grad_bias ? p->bias_sums + group * p->out_channels : NULL;
}
/* Adds them, in order. All threads together, with a barrier before; parallel over elements. */
void cnn_weight_gradient_combine(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_parts *p);

#endif
