#include "weight_gradient_parts.h"

int64_t cnn_weight_gradient_parts_bytes(int64_t groups, int64_t count, int64_t out_channels, int bias) {
    return (groups - 1) * count * (int64_t)sizeof(float) + CNN_ALIGNMENT
        + (bias ? groups * out_channels * (int64_t)sizeof(double) : 0);
}

cnn_weight_gradient_parts cnn_weight_gradient_parts_of(const cnn_exec *e, int64_t groups, int64_t depth,
                                                       int64_t out_channels, float *grad_w, float *grad_bias) {
    double *bias_sums = (double *)e->workspace;                           /* [groups][out_channels] */
    return (cnn_weight_gradient_parts){
        .groups = groups, .depth = depth, .out_channels = out_channels, .grad_w = grad_w, .grad_bias = grad_bias,
        .bias_sums = bias_sums, .partial = (float *)(bias_sums + (grad_bias ? groups * out_channels : 0))};
}

void cnn_weight_gradient_combine(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_parts *p) {
    const int64_t count = p->depth * p->out_channels;
    int64_t begin, end;
    if (p->groups == 1 && !p->grad_bias) return;
    cnn_barrier(e);
    cnn_share_grain(e, count, 64, &begin, &end);                          /* parallel over the elements of grad_w */
    if (p->groups > 1 && begin < end)
        c->kernels->gemm->add_parts(p->groups - 1, count, end - begin, p->partial + begin, p->grad_w + begin);
    if (!p->grad_bias) return;
    cnn_share_grain(e, p->out_channels, 16, &begin, &end);                /* parallel over output channels */
    for (int64_t i = begin; i < end; i++) {
        double sum = 0;
        for (int64_t group = 0; group < p->groups; group++) sum += p->bias_sums[group * p->out_channels + i];
        p->grad_bias[i] = (float)sum;
    }
}
