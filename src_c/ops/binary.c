/* add, subtract, multiply, maximum, minimum with NumPy's broadcasting, and the gradients of the last two.
 *
 * The plan writes the result's shape as few dimensions as possible: neighbours are merged where both operands run
 * through them contiguously or both stand still, so equal shapes become one long row, and (n, h, w, c) with (c)
 * becomes rows of c. */
#include "attributes.h"

#include <string.h>

enum { GRAIN = 1024, REPEAT = 256 };

typedef struct geometry {
    int rank;
    /* sizes, outermost first, and the operands' strides */
    int64_t dims[CNN_MAX_RANK], a[CNN_MAX_RANK], b[CNN_MAX_RANK];
} geometry;
_Static_assert(sizeof(geometry) <= CNN_PLAN_BYTES, "the geometry must fit into the plan");

/* Size of a tensor along axis i of `rank` axes, aligned at the end. */
static int64_t aligned_dim(const cnn_tensor *t, int rank, int i) {
    return i < rank - t->rank ? 1 : t->dims[i - (rank - t->rank)];
}

static int broadcast(const cnn_tensor *a, const cnn_tensor *b, cnn_tensor *out, cnn_error *error) {
    char shape[64], other[64];
    if (cnn_expect(a, "a", -1, CNN_F32, error) || cnn_expect(b, "b", -1, CNN_F32, error)) return -1;
    out->rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 0; i < out->rank; i++) {
        int64_t p = aligned_dim(a, out->rank, i), q = aligned_dim(b, out->rank, i);
        if (p != q && p != 1 && q != 1)
            return cnn_fail(error, "the shapes of a and b must broadcast (equal, or 1, counted from the last axis), "
                            "got %s and %s", cnn_shape_text(a, shape), cnn_shape_text(b, other));
        out->dims[i] = cnn_max(p, q);
    }
    return 0;
}

static geometry collapse(const cnn_tensor *a, const cnn_tensor *b, const cnn_tensor *y) {
    geometry g = {0};
    int64_t a_stride = 1, b_stride = 1, dims[CNN_MAX_RANK], as[CNN_MAX_RANK], bs[CNN_MAX_RANK];
    int n = 0;                            /* innermost first */
    for (int i = y->rank - 1; i >= 0; i--) {
        int64_t p = aligned_dim(a, y->rank, i), q = aligned_dim(b, y->rank, i);
        int64_t sa = p == 1 ? 0 : a_stride, sb = q == 1 ? 0 : b_stride;
        if (y->dims[i] > 1) {
            if (n && sa == as[n - 1] * dims[n - 1] && sb == bs[n - 1] * dims[n - 1]) dims[n - 1] *= y->dims[i];
            else { dims[n] = y->dims[i]; as[n] = sa; bs[n] = sb; n++; }
        }
        a_stride *= p;
        b_stride *= q;
    }
    if (n == 0) { dims[0] = 1; as[0] = bs[0] = 1; n = 1; }
    g.rank = n;
    for (int i = 0; i < n; i++) { g.dims[i] = dims[n - 1 - i]; g.a[i] = as[n - 1 - i]; g.b[i] = bs[n - 1 - i]; }
    return g;
}

/* One piece of the work: rows [at, at + rows) of the result, which have constant row strides. */
typedef struct piece { int64_t at, rows, n; cnn_operand a, b; } piece;

/* The next piece of [*row, end); 0 at the end. A row is the innermost dimension, or a thread's part of it where
 * there is only one. */
static int next_piece(const geometry *g, const float *a, const float *b, int64_t *row, int64_t end, piece *p) {
    if (*row >= end) return 0;
    int last = g->rank - 1;
    p->at = *row;
    p->n = g->dims[last];
    p->a = (cnn_operand){.p = a, .row = last ? g->a[last - 1] : 0, .step = (int)g->a[last]};
    p->b = (cnn_operand){.p = b, .row = last ? g->b[last - 1] : 0, .step = (int)g->b[last]};
    int64_t rest = *row, inside = 0;
    for (int i = last - 1; i >= 0; i--) {
        int64_t index = rest % g->dims[i];
        rest /= g->dims[i];
        p->a.p += index * g->a[i];
        p->b.p += index * g->b[i];
        if (i == last - 1) inside = index;
    }
    p->rows = last ? cnn_min(end - *row, g->dims[last - 1] - inside) : 1;
    *row += p->rows;
    return 1;
}

/* This thread's share of the rows; a single long row is cut in blocks, which `whole` then describes. Returns the
 * offset of its first element. */
static int64_t share(const geometry *g, const cnn_exec *e, geometry *whole, int64_t *begin, int64_t *end) {
    *whole = *g;
    if (g->rank > 1) {
        int64_t rows = 1;
        for (int i = 0; i < g->rank - 1; i++) rows *= g->dims[i];
        cnn_share(e, rows, begin, end);
        return 0;
    }
    int64_t from, to;
    cnn_share_grain(e, g->dims[0], GRAIN, &from, &to);
    whole->dims[0] = to - from;
    *begin = 0;
    *end = from < to;
    return from;
}

/* Many short rows of which one operand is the same in each (a bias of few channels): the operand is repeated in
 * `buffer`, so that several rows become one. Changes the piece to whole groups of rows and returns the number of
 * rows left over. */
static int64_t repeat_short_rows(piece *p, float *buffer) {
    int64_t times = p->n > 0 ? REPEAT / p->n : 0;
    cnn_operand *still = p->a.row == 0 ? &p->a : &p->b, *moving = p->a.row == 0 ? &p->b : &p->a;
    if (times < 4 || p->rows < 2 * times || still->row != 0 || still->step != 1) return 0;
    if (moving->row != p->n || moving->step != 1) return 0;
    for (int64_t k = 0; k < times; k++) memcpy(buffer + k * p->n, still->p, (size_t)p->n * sizeof(float));
    int64_t left = p->rows % times;
    still->p = buffer;
    moving->row = p->n * times;
    p->rows /= times;
    p->n *= times;
    return left;
}

static void run(const cnn_call *c, const cnn_exec *e, int op) {
    geometry g;
    int64_t row, end, offset = share((const geometry *)c->plan, e, &g, &row, &end);
    const float *a = (const float *)cnn_data(e, c->in[0]) + (g.rank == 1 ? offset * g.a[0] : 0);
    const float *b = (const float *)cnn_data(e, c->in[1]) + (g.rank == 1 ? offset * g.b[0] : 0);
    float *y = (float *)cnn_data(e, c->out[0]) + offset, buffer[REPEAT];
    piece p;
    while (next_piece(&g, a, b, &row, end, &p)) {
        int64_t n = p.n, at = p.at * n, left = repeat_short_rows(&p, buffer);
        c->kernels->elementwise->binary(op, p.rows, p.n, p.a, p.b, y + at);
        row -= left;                      /* too few for a group: the next piece */
    }
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    return broadcast(c->in[0], c->in[1], out, error);
}

static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)error;
    geometry g = collapse(c->in[0], c->in[1], c->out[0]);
    memcpy(c->plan, &g, sizeof g);
    choice->kernel = g.rank == 1 ? "flat" : "rows";
    return 0;
}

static void run_add(const cnn_call *c, const cnn_exec *e) { run(c, e, CNN_ADD); }
static void run_subtract(const cnn_call *c, const cnn_exec *e) { run(c, e, CNN_SUBTRACT); }
static void run_multiply(const cnn_call *c, const cnn_exec *e) { run(c, e, CNN_MULTIPLY); }
static void run_maximum(const cnn_call *c, const cnn_exec *e) { run(c, e, CNN_MAXIMUM); }
static void run_minimum(const cnn_call *c, const cnn_exec *e) { run(c, e, CNN_MINIMUM); }

const cnn_op cnn_op_add = {
    .name = "add", .summary = "y = a + b", .inputs = "a b", .outputs = "y", .infer = infer, .plan = plan,
    .run = run_add, .in_place = 3,
};
const cnn_op cnn_op_subtract = {
    .name = "subtract", .summary = "y = a - b", .inputs = "a b", .outputs = "y", .infer = infer, .plan = plan,
    .run = run_subtract, .in_place = 3,
};
const cnn_op cnn_op_multiply = {
    .name = "multiply", .summary = "y = a b", .inputs = "a b", .outputs = "y", .infer = infer, .plan = plan,
    .run = run_multiply, .in_place = 3,
};
const cnn_op cnn_op_maximum = {
    .name = "maximum", .summary = "y = max(a, b)", .inputs = "a b", .outputs = "y", .infer = infer, .plan = plan,
    .run = run_maximum, .in_place = 3,
};
const cnn_op cnn_op_minimum = {
    .name = "minimum", .summary = "y = min(a, b)", .inputs = "a b", .outputs = "y", .infer = infer, .plan = plan,
    .run = run_minimum, .in_place = 3,
};

/* ---- gradients of maximum and minimum; both results have the broadcast shape ---- */

static int infer_backward(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], other[64];
    cnn_tensor y = {0};
    if (cnn_expect(c->in[0], "grad_y", -1, CNN_F32, error) || broadcast(c->in[1], c->in[2], &y, error)) return -1;
    if (!cnn_same_shape(c->in[0], &y))
        return cnn_fail(error, "grad_y must have the broadcast shape of a and b %s, got %s", cnn_shape_text(&y, shape),
                        cnn_shape_text(c->in[0], other));
    for (int i = 0; i < c->n_out; i++) cnn_like(&out[i], &y);
    return 0;
}

static int plan_backward(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)error, (void)choice;
    geometry g = collapse(c->in[1], c->in[2], c->in[0]);
    memcpy(c->plan, &g, sizeof g);
    return 0;
}

static void run_backward(const cnn_call *c, const cnn_exec *e, int op) {
    geometry g;
    int64_t row, end, offset = share((const geometry *)c->plan, e, &g, &row, &end);
    const float *grad_y = (const float *)cnn_data(e, c->in[0]) + offset;
    const float *a = (const float *)cnn_data(e, c->in[1]) + (g.rank == 1 ? offset * g.a[0] : 0);
    const float *b = (const float *)cnn_data(e, c->in[2]) + (g.rank == 1 ? offset * g.b[0] : 0);
    float *grad_a = cnn_data(e, c->out[0]), *grad_b = c->n_out > 1 ? cnn_data(e, c->out[1]) : NULL;
    piece p;
    while (next_piece(&g, a, b, &row, end, &p)) {
        int64_t at = p.at * p.n;
        c->kernels->elementwise->choice_backward(op, p.rows, p.n, grad_y + at, p.a, p.b,
                                                 grad_a ? grad_a + offset + at : NULL,
                                                 grad_b ? grad_b + offset + at : NULL);
    }
}
static void run_maximum_backward(const cnn_call *c, const cnn_exec *e) { run_backward(c, e, CNN_MAXIMUM); }
static void run_minimum_backward(const cnn_call *c, const cnn_exec *e) { run_backward(c, e, CNN_MINIMUM); }

const cnn_op cnn_op_maximum_backward = {
    .name = "maximum_backward",
    .summary = "grad_a = grad_y where a > b, grad_b = grad_y where b > a, half to each where they tie",
    .inputs = "grad_y a b", .outputs = "[grad_a] [grad_b]", .infer = infer_backward, .plan = plan_backward,
    .run = run_maximum_backward, .in_place = 7,
};
const cnn_op cnn_op_minimum_backward = {
    .name = "minimum_backward",
    .summary = "grad_a = grad_y where a < b, grad_b = grad_y where b < a, half to each where they tie",
    .inputs = "grad_y a b", .outputs = "[grad_a] [grad_b]", .infer = infer_backward, .plan = plan_backward,
    .run = run_minimum_backward, .in_place = 7,
};
