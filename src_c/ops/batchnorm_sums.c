/* The sums of a normalisation's gradient, for the operations that take them; the contract is in batchnorm.h. Parallel
 * over blocks of rows, then over channels. */
#include "batchnorm.h"

void cnn_batchnorm_gradient_sums(const cnn_call *c, const cnn_exec *e, const cnn_batchnorm_cut *cut,
                                 const cnn_batchnorm_gradient *g, double *slots, double *sums) {
    const cnn_batchnorm_kernels *k = c->kernels->batchnorm;
    const int64_t n = cut->channels;
    int64_t begin, end;
    cnn_work work = cnn_share_work(e, cut->blocks);
    for (int64_t b; (b = cnn_work_next(&work)) >= 0;) {
        const int64_t at = b * cut->block * n;
        double *slot = slots + b * 2 * n;
        k->gradient_sums(cnn_batchnorm_rows(cut, b), n, cut->fold, g->grad_y + at, g->y ? g->y + at : NULL, g->mask,
                         g->x + at, g->mean, g->scale, g->shift, g->grad_residual ? g->grad_residual + at : NULL,
                         (float *)e->thread_workspace, slot, slot + n);
    }
    cnn_barrier(e);
    cnn_share_channels(e, n, &begin, &end);
    for (int i = 0; i < 2 && begin < end; i++)
        k->combine_sums(end - begin, cut->blocks, slots + i * n + begin, 2 * n, sums + i * n + begin);
}
