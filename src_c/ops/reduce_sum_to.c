/* reduce_sum_to: sums the axes along which a smaller shape was broadcast; the gradient of broadcasting.
 *
 * The plan merges neighbouring axes of one kind, which leaves x as [k0][r0][k1][r1][k2]: kept, reduced, kept,
 * reduced, kept (sizes 1 where absent). A unit of work is one (k0, k1), one slice of r1 and one chunk of k2; its
 * sums go to a slot of its own, [slice][k0][k1][k2] in doubles, and the slots are added in order. How r1 is sliced
 * follows from the shape. */
#include "attributes.h"

#include <string.h>

enum { RANK, D0 };
static const cnn_attr_def attrs[] = { CNN_RANK_DIMS_ATTRS, CNN_END_OF_ATTRS };

/* elements of k2 in a chunk; the work that is worth a unit; as many units as are wanted */
enum { CHUNK = 1024, UNIT = 16384, UNITS = 64 };
typedef struct geometry { int64_t k0, r0, k1, r1, k2, slices, chunks; } geometry;

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], target[64];
    const cnn_tensor *x = c->in[0];
    if (cnn_expect(x, "x", -1, CNN_F32, error)) return -1;
    cnn_set_shape(out, (int)cnn_int(c, RANK), cnn_int(c, D0), cnn_int(c, D0 + 1), cnn_int(c, D0 + 2),
                  cnn_int(c, D0 + 3));
    int missing = x->rank - out->rank, fits = missing >= 0;
    for (int i = 0; i < out->rank && fits; i++) fits = out->dims[i] == 1 || out->dims[i] == x->dims[i + missing];
    if (!fits)
        return cnn_fail(error, "the target shape %s must broadcast to x of shape %s", cnn_shape_text(out, target),
                        cnn_shape_text(x, shape));
    return 0;
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)error;
    const cnn_tensor *x = c->in[0], *y = c->out[0];
    int64_t size[6] = {1, 1, 1, 1, 1, 1};             /* k2, r1, k1, r0, k0: even places are kept, odd ones reduced */
    int place = 0, missing = x->rank - y->rank;
    for (int i = x->rank - 1; i >= 0; i--) {
        if (x->dims[i] == 1) continue;
        int reduced = i < missing || y->dims[i - missing] == 1;
        if (place % 2 != reduced) place++;
        size[place] *= x->dims[i];
    }
    geometry g = {.k2 = size[0], .r1 = size[1], .k1 = size[2], .r0 = size[3], .k0 = size[4]};
    g.chunks = cnn_ceil_div(g.k2, CHUNK);
    int64_t wanted = cnn_min(UNITS, cnn_max(1, cnn_count(x) / UNIT));
    g.slices = cnn_min(g.r1, cnn_ceil_div(wanted, g.k0 * g.k1 * g.chunks));
    choice->workspace_bytes = g.slices * cnn_count(y) * (int64_t)sizeof(double);
    memcpy(c->plan, &g, sizeof g);
    return 0;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const geometry *g = (const geometry *)c->plan;
    const cnn_reduce_kernels *kernels = c->kernels->reduce;
    const float *x = cnn_data(e, c->in[0]);
    double *partial = (double *)e->workspace;
    int64_t kept = g->k0 * g->k1, count = kept * g->k2, begin, end;

    cnn_share(e, kept * g->slices * g->chunks, &begin, &end);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t chunk = unit % g->chunks, slice = unit / g->chunks % g->slices, row = unit / (g->chunks * g->slices);
        int64_t from = g->r1 * slice / g->slices, rows = g->r1 * (slice + 1) / g->slices - from;
        int64_t j = chunk * CHUNK, n = cnn_min(CHUNK, g->k2 - j);
        double *sums = partial + slice * count + row * g->k2 + j;
        memset(sums, 0, (size_t)n * sizeof *sums);
        for (int64_t r = 0; r < g->r0; r++) {
            const float *p = x + (((row / g->k1 * g->r0 + r) * g->k1 + row % g->k1) * g->r1 + from) * g->k2 + j;
            if (g->k2 == 1) *sums += kernels->sum(rows, p);
            else kernels->sum_rows(rows, n, p, g->k2, sums);
        }
    }
    cnn_barrier(e);
    float *y = cnn_data(e, c->out[0]);
    cnn_share_grain(e, count, CHUNK, &begin, &end);
    if (begin < end) kernels->add_slots(g->slices, end - begin, partial + begin, count, y + begin);
}

static double flops(const cnn_call *c) { return (double)cnn_count(c->in[0]); }

const cnn_op cnn_op_reduce_sum_to = {
    .name = "reduce_sum_to", .summary = "y = x summed over the axes in which the target shape is 1 or missing",
    .inputs = "x", .outputs = "y",
    .attrs = attrs, .infer = infer, .plan = plan, .flops = flops, .run = run,
};
