/* expansion_moments: mean and biased variance of every channel of z = t w, a 1x1 convolution with few channels in and
 * many out, without z: they follow from the mean m and the covariance S of the few,
 *
 *     mean(z_k) = m w_k,    var(z_k) = w_k^T S w_k,    S = sum (t - m) (t - m)^T / rows
 *
 * t is x, or x in_scale + in_shift. Pixels are cut into blocks, whose deviations are taken from the block's own mean,
 * in groups, the unit of parallel work; the blocks' means make up for it (Chan, Golub and LeVeque 1979), in double. */
#include "batchnorm.h"
#include "narrow.h"
#include "rows_product.h"

enum { X, W, IN_SCALE, IN_SHIFT };
enum { MEAN, VAR, X_MEAN, X_COVARIANCE };
static const cnn_attr_def attrs[] = {CNN_END_OF_ATTRS};

enum {
    BLOCK_PIXELS = 448,
    GROUPS = 64,                      /* wanted: for so many threads */
};

typedef struct moments_plan { int64_t pixels, channels, blocks, groups; } moments_plan;

static const cnn_tensor *operand(const cnn_call *c, int i) { return i < c->n_in ? c->in[i] : NULL; }
static const cnn_tensor *result(const cnn_call *c, int i) { return i < c->n_out ? c->out[i] : NULL; }

static cnn_narrow_operands narrow_of(const cnn_call *c) {
    return (cnn_narrow_operands){c->in[X], operand(c, IN_SCALE), operand(c, IN_SHIFT)};
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[X], *w = c->in[W];
    const cnn_narrow_operands narrow = narrow_of(c);
    char shape[64], other[64];
    if (cnn_expect(x, "x", 4, CNN_F32, error) || cnn_expect(w, "w", 4, CNN_F32, error)
        || cnn_narrow_check(&narrow, error)) return -1;
    if (w->dims[0] != 1 || w->dims[1] != 1 || w->dims[2] != cnn_last(x))
        return cnn_fail(error, "w must have shape (1, 1, %lld, channels) for x of shape %s, got %s",
                        (long long)cnn_last(x), cnn_shape_text(x, shape), cnn_shape_text(w, other));
    for (int i = 0; i < c->n_out; i++) cnn_set_shape(&out[i], 1, i < X_MEAN ? cnn_last(w) : cnn_last(x), 1, 1, 1);
    if (c->n_out > X_COVARIANCE) cnn_set_shape(&out[X_COVARIANCE], 2, cnn_last(x), cnn_last(x), 1, 1);
    return 0;
}

/* ---- memory ---- */

typedef struct thread_memory {
    cnn_narrow narrow;
    float *one, *zero, *minus_mean;            /* [channel] */
    float *deviations;                         /* [pixel][channel], `pitch` apart */
    int64_t pitch;
    float *scratch;                            /* of the kernel that takes means */
    double *squares;
    const float **rows;
    int32_t *number;
} thread_memory;

static int64_t thread_layout(thread_memory *m, char *memory, const cnn_call *c) {
    const cnn_narrow_operands operands = narrow_of(c);
    cnn_layout all = {.memory = memory};
    m->narrow = cnn_narrow_layout(&all, &operands, BLOCK_PIXELS);
    const int64_t floats = m->narrow.channels * (int64_t)sizeof(float), wide = m->narrow.fold * floats;
    m->pitch = cnn_round_up(m->narrow.channels, c->kernels->vector);
    m->one = cnn_take(&all, floats);
    m->zero = cnn_take(&all, floats);
    m->minus_mean = cnn_take(&all, floats);
    m->deviations = cnn_take(&all, BLOCK_PIXELS * m->pitch * (int64_t)sizeof(float));
    m->scratch = cnn_take(&all, 3 * wide);
    m->squares = cnn_take(&all, m->narrow.channels * (int64_t)sizeof(double));
    m->rows = cnn_take(&all, BLOCK_PIXELS * (int64_t)sizeof *m->rows);
    m->number = cnn_take(&all, BLOCK_PIXELS * (int64_t)sizeof *m->number);
    return all.bytes;
}

typedef struct shared_memory {
    double *means;                    /* [block][channel] */
    float *products;                  /* [group][channel][channel] of deviations */
    double *mean, *covariance;        /* [channel]; [channel][channel] */
} shared_memory;

static int64_t shared_layout(shared_memory *m, char *memory, const moments_plan *p) {
    const int64_t n = p->channels;
    cnn_layout all = {.memory = memory};
    m->means = cnn_take(&all, p->blocks * n * (int64_t)sizeof(double));
    m->products = cnn_take(&all, p->groups * n * n * (int64_t)sizeof(float));
    m->mean = cnn_take(&all, n * (int64_t)sizeof(double));
    m->covariance = cnn_take(&all, n * n * (int64_t)sizeof(double));
    return all.bytes;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)error;
    moments_plan *p = (moments_plan *)c->plan;
    thread_memory own;
    shared_memory shared;
    *p = (moments_plan){.pixels = cnn_rows(c->in[X]), .channels = cnn_last(c->in[X])};
    p->blocks = cnn_ceil_div(p->pixels, BLOCK_PIXELS);
    p->groups = cnn_min(p->blocks, GROUPS);
    choice->kernel = "from the covariance of the narrow tensor";
    choice->workspace_bytes = shared_layout(&shared, NULL, p);
    choice->thread_workspace_bytes = thread_layout(&own, NULL, c);
    return 0;
}

static double flops(const cnn_call *c) {
    const double in = (double)cnn_last(c->in[X]);
    return 2 * in * ((double)cnn_count(c->in[X]) + in * (double)cnn_last(c->in[W]));
}

/* ---- run ---- */

/* Row `channel` of the covariance. */
static void covariance_row(const moments_plan *p, const shared_memory *s, int64_t channel) {
    const int64_t n = p->channels;
    double *row = s->covariance + channel * n;
    memset(row, 0, (size_t)n * sizeof *row);
    for (int64_t group = 0; group < p->groups; group++)
        for (int64_t i = 0; i < n; i++) row[i] += s->products[(group * n + channel) * n + i];
    for (int64_t block = 0; block < p->blocks; block++) {
        const double *mean = s->means + block * n,
                     rows = (double)cnn_min(BLOCK_PIXELS, p->pixels - block * BLOCK_PIXELS),
                     off = rows * (mean[channel] - s->mean[channel]);
        for (int64_t i = 0; i < n; i++) row[i] += off * (mean[i] - s->mean[i]);
    }
    for (int64_t i = 0; i < n; i++) row[i] /= (double)p->pixels;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const moments_plan *p = (const moments_plan *)c->plan;
    const cnn_narrow_operands operands = narrow_of(c);
    const cnn_batchnorm_kernels *k = c->kernels->batchnorm;
    const int64_t n = p->channels;
    thread_memory m;
    shared_memory s;
    thread_layout(&m, e->thread_workspace, c);
    shared_layout(&s, e->workspace, p);
    cnn_narrow_begin(e, &operands, &m.narrow);
    for (int64_t i = 0; i < n; i++) m.one[i] = 1;
    memset(m.zero, 0, (size_t)n * sizeof *m.zero);
    memset(m.deviations, 0, (size_t)(BLOCK_PIXELS * m.pitch) * sizeof *m.deviations);   /* also what no channel fills */
    for (int64_t i = 0; i < BLOCK_PIXELS; i++) {
        m.number[i] = (int32_t)i;
        m.rows[i] = m.deviations + i * m.pitch;
    }

    cnn_work work = cnn_share_work(e, p->groups);
    for (int64_t group; (group = cnn_work_next(&work)) >= 0;) {
        const int64_t from = p->blocks * group / p->groups, to = p->blocks * (group + 1) / p->groups;
        for (int64_t block = from; block < to; block++) {
            const int64_t first = block * BLOCK_PIXELS, pixels = cnn_min(BLOCK_PIXELS, p->pixels - first);
            const float *t = cnn_narrow_at(c->kernels, &m.narrow, first, pixels);
            double *mean = s.means + block * n;
            k->moments(pixels, n, m.narrow.fold, t, m.scratch, mean, m.squares);
            for (int64_t i = 0; i < n; i++) m.minus_mean[i] = (float)-mean[i];
            k->gradient_columns(pixels, n, m.one, m.zero, m.minus_mean, t, t, n, m.deviations, m.pitch);
            cnn_rows_outer(c->kernels, pixels, n, m.rows, m.number, n, m.deviations, m.pitch, block > from,
                           s.products + group * n * n);
        }
    }
    cnn_barrier(e);
    int64_t begin, end;
    cnn_share_channels(e, n, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        s.mean[i] = 0;
        for (int64_t block = 0; block < p->blocks; block++)
            s.mean[i] += s.means[block * n + i] * (double)cnn_min(BLOCK_PIXELS, p->pixels - block * BLOCK_PIXELS);
        s.mean[i] /= (double)p->pixels;
    }
    cnn_barrier(e);
    cnn_share(e, n, &begin, &end);
    for (int64_t i = begin; i < end; i++) covariance_row(p, &s, i);
    cnn_barrier(e);
    float *x_mean = cnn_data(e, result(c, X_MEAN)), *x_covariance = cnn_data(e, result(c, X_COVARIANCE));
    for (int64_t i = begin; x_mean && i < end; i++) x_mean[i] = (float)s.mean[i];
    for (int64_t i = begin * n; x_covariance && i < end * n; i++) x_covariance[i] = (float)s.covariance[i];

    const int64_t wide = cnn_last(c->in[W]);
    const float *w = cnn_data(e, c->in[W]);
    float *mean = cnn_data(e, c->out[MEAN]), *var = cnn_data(e, result(c, VAR));
    cnn_share_channels(e, wide, &begin, &end);
    for (int64_t z = begin; z < end; z++) {
        double m1 = 0, m2 = 0;
        for (int64_t i = 0; i < n; i++) {
            double product = 0;                                       /* (S w_z)_i */
            for (int64_t j = 0; j < n; j++) product += s.covariance[i * n + j] * w[j * wide + z];
            m1 += s.mean[i] * w[i * wide + z];
            m2 += product * w[i * wide + z];
        }
        if (mean) mean[z] = (float)m1;
        if (var) var[z] = (float)(m2 < 0 ? 0 : m2);                   /* by rounding */
    }
}

const cnn_op cnn_op_expansion_moments = {
    .name = "expansion_moments",
    .summary = "mean, var: biased moments of z = t w with t = x in_scale + in_shift, without z; x_mean, x_covariance: "
               "those of t, of which they are made",
    .inputs = "x w [in_scale] [in_shift]",
    .outputs = "mean var [x_mean] [x_covariance]",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
};
