/* standardize: the mean of each sample becomes 0 and its deviation 1, for the whole sample or each of its channels,
 * and the gradient. With scale, ridge and epsilon this is global contrast normalisation (Coates, Ng and Lee 2011, An
 * analysis of single-layer networks in unsupervised feature learning). Parallel axis: samples, the first dimension.
 *
 * The leaves are those of batch normalisation: a sample is a matrix (rows, channels), with one channel where the whole
 * sample is meant. */
#include "attributes.h"

#include <string.h>

enum { SCALE, RIDGE, EPSILON, PER_CHANNEL, DIVIDE };
static const cnn_attr_def attrs[] = {
    CNN_FLOAT_ATTR("scale", 1, -INFINITY, INFINITY), CNN_FLOAT_ATTR("ridge", 0, 0, INFINITY),
    CNN_FLOAT_ATTR("epsilon", 1e-8, 1e-30, INFINITY),
    CNN_INT_ATTR("per_channel", 0, 0, 1), CNN_INT_ATTR("divide", 1, 0, 1), CNN_END_OF_ATTRS
};

typedef struct geometry { int64_t samples, rows, channels, fold, width; } geometry;
_Static_assert(sizeof(geometry) <= CNN_PLAN_BYTES, "the geometry must fit into the plan");

static geometry geometry_of(const cnn_call *c) {
    const cnn_tensor *x = c->in[c->n_in - 1];
    geometry g = {.samples = x->dims[0], .channels = cnn_int(c, PER_CHANNEL) ? cnn_last(x) : 1};
    g.rows = cnn_count(x) / g.samples / g.channels;
    g.fold = cnn_batchnorm_fold_rows(g.channels);
    g.width = g.fold * g.channels;
    return g;
}

static int check(const cnn_tensor *x, const char *what, cnn_error *error) {
    if (cnn_expect(x, what, -1, CNN_F32, error)) return -1;
    if (x->rank >= 2) return 0;
    return cnn_fail(error, "%s must have at least 2 dimensions (samples first), got %d", what, (int)x->rank);
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    cnn_like(out, c->in[0]);
    return check(c->in[0], "x", error);
}

static int infer_backward(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], other[64];
    if (check(c->in[0], "grad_y", error) || check(c->in[1], "x", error)) return -1;
    if (!cnn_same_shape(c->in[0], c->in[1]))
        return cnn_fail(error, "x must have the shape of grad_y %s, got %s", cnn_shape_text(c->in[0], shape),
                        cnn_shape_text(c->in[1], other));
    cnn_like(out, c->in[0]);
    return 0;
}

/* Each thread's scratch: doubles of the channels, then wide arrays. */
enum { DOUBLES = 4, WIDE = 7 };

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)error;
    geometry g = geometry_of(c);
    memcpy(c->plan, &g, sizeof g);
    choice->kernel = cnn_int(c, PER_CHANNEL) ? "channels" : "samples";
    choice->thread_workspace_bytes = DOUBLES * g.channels * (int64_t)sizeof(double)
                                   + WIDE * g.width * (int64_t)sizeof(float);
    return 0;
}

static double flops(const cnn_call *c) { return 6.0 * (double)cnn_count(c->out[0]); }

/* The deviation by which a variance is divided, and whether it moves with the variance or is held by epsilon. */
static double deviation(const cnn_call *c, double variance, int *moves) {
    *moves = 0;
    if (!cnn_int(c, DIVIDE)) return 1;
    double d = sqrt(c->attr[RIDGE] + variance);
    *moves = d > c->attr[EPSILON];
    return d < c->attr[EPSILON] ? c->attr[EPSILON] : d;            /* NaN stays */
}

static void repeat(const geometry *g, float *wide) {
    for (int64_t k = 1; k < g->fold; k++) memcpy(wide + k * g->channels, wide, (size_t)g->channels * sizeof *wide);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const geometry *g = (const geometry *)c->plan;
    double *mean = (double *)e->thread_workspace, *m2 = mean + g->channels;
    float *center = (float *)(mean + DOUBLES * g->channels), *scale = center + g->width, *scratch = scale + g->width;
    int64_t begin, end, size = g->rows * g->channels;
    int moves;
    cnn_share(e, g->samples, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const float *x = (const float *)cnn_data(e, c->in[0]) + i * size;
        float *y = (float *)cnn_data(e, c->out[0]) + i * size;
        c->kernels->batchnorm->moments(g->rows, g->channels, g->fold, x, scratch, mean, m2);
        for (int64_t k = 0; k < g->channels; k++) {
            center[k] = (float)mean[k];
            scale[k] = (float)(c->attr[SCALE] / deviation(c, m2[k] / (double)g->rows, &moves));
        }
        repeat(g, center);
        repeat(g, scale);
        c->kernels->preprocess->center_scale(size, g->width, x, center, scale, y);
    }
}

/* With d the deviation, r = scale / d and xhat = (x - mean) / d: grad_x = r (g - mean(g) - xhat mean(g xhat)), as of
 * batch normalisation; the last term falls away where d does not move with x. */
static void run_backward(const cnn_call *c, const cnn_exec *e) {
    const geometry *g = (const geometry *)c->plan;
    double *mean = (double *)e->thread_workspace, *m2 = mean + g->channels;
    double *sum_g = m2 + g->channels, *sum_gx = sum_g + g->channels;
    float *center = (float *)(mean + DOUBLES * g->channels), *p = center + g->width, *q = p + g->width;
    float *s = q + g->width, *scratch = s + g->width;
    const cnn_relu_mask unmasked = {.slope = 1, .max_value = INFINITY};
    const cnn_batchnorm_kernels *k = c->kernels->batchnorm;
    int64_t begin, end, size = g->rows * g->channels;
    int moves;
    cnn_share(e, g->samples, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const float *grad_y = (const float *)cnn_data(e, c->in[0]) + i * size;
        const float *x = (const float *)cnn_data(e, c->in[1]) + i * size;
        float *grad_x = (float *)cnn_data(e, c->out[0]) + i * size;
        k->moments(g->rows, g->channels, g->fold, x, scratch, mean, m2);
        for (int64_t j = 0; j < g->channels; j++) center[j] = (float)mean[j];
        repeat(g, center);
        k->gradient_sums(g->rows, g->channels, g->fold, grad_y, NULL, unmasked, x, center, NULL, NULL, NULL,
                         scratch, sum_g, sum_gx);
        for (int64_t j = 0; j < g->channels; j++) {
            double n = (double)g->rows, d = deviation(c, m2[j] / n, &moves), r = c->attr[SCALE] / d;
            double slope = moves ? -r * sum_gx[j] / (n * d * d) : 0;
            p[j] = (float)r;
            q[j] = (float)slope;
            s[j] = (float)(-r * sum_g[j] / n - slope * (double)center[j]);
        }
        repeat(g, p);
        repeat(g, q);
        repeat(g, s);
        k->gradient(g->rows, g->channels, g->fold, grad_y, NULL, unmasked, x, NULL, NULL, p, q, s, grad_x,
                    NULL);
    }
}

const cnn_op cnn_op_standardize = {
    .name = "standardize",
    .summary = "y = scale (x - mean) / max(epsilon, sqrt(ridge + var)) of each sample (and channel); "
               "divide=0: no quotient",
    .inputs = "x", .outputs = "y", .attrs = attrs,
    .infer = infer, .plan = plan, .flops = flops, .run = run, .in_place = 1,
};
const cnn_op cnn_op_standardize_backward = {
    .name = "standardize_backward",
    .summary = "the gradient of standardize; epsilon is a constant where it holds the deviation",
    .inputs = "grad_y x", .outputs = "grad_x", .attrs = attrs,
    .infer = infer_backward, .plan = plan, .flops = flops, .run = run_backward, .in_place = 3,
};
