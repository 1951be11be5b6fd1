#include "few_rows.h"

#include <stdio.h>

enum {
    PIECES = 16,                      /* wanted, for so many threads */
    LEAST_PIECE_BYTES = 32 << 10,     /* of the matrix: reading it takes longer than to wait for others */
    /* Of x, up to which it is faster in training than packing beforehand: at 1 row three to four times, at these 1.3 to
     * 1.5 times, from some 32 rows on, backward from some 12, no more. Large matrices, which are packed on the way
     * (indirect_gemm.c), are as fast that way from some 8 rows on. */
    MOST_ROWS = 16, MOST_ROWS_BACKWARD = 8,
    GRAIN = 16,                       /* of the rows of a piece: whole vectors and lines of what is made of them */
};

typedef struct few_rows_plan {
    cnn_algorithm algorithm;          /* common to all plans of products, see indirect_gemm.h */
    int32_t transposed, pieces;
    int64_t rows, inner, columns;     /* of x; of the matrix */
    cnn_act act;
    char text[64];
} few_rows_plan;
_Static_assert(sizeof(few_rows_plan) <= CNN_PLAN_BYTES, "the plan must fit");

int cnn_few_rows_suit(const cnn_call *c, int64_t rows, int transposed) {
    return c->trains && rows <= (transposed ? MOST_ROWS_BACKWARD : MOST_ROWS);
}

/* The first row of the matrix that is a piece's. */
static int64_t piece_begin(const few_rows_plan *p, int64_t piece) {
    return cnn_min(p->inner, cnn_ceil_div(p->inner, GRAIN) * piece / p->pieces * GRAIN);
}

int cnn_few_rows_plan(cnn_call *c, cnn_choice *choice, int transposed, cnn_act act,
                      const cnn_indirect_gemm_operands *t, cnn_error *error) {
    few_rows_plan *p = (few_rows_plan *)c->plan;
    if (cnn_expect_packable(t->w, "w", error)) return -1;
    *p = (few_rows_plan){.algorithm = CNN_FEW_ROWS, .transposed = transposed, .rows = cnn_rows(t->x),
                         .inner = t->w->dims[0], .columns = t->w->dims[1], .act = act};
    const int64_t most = cnn_min(cnn_bytes(t->w) / LEAST_PIECE_BYTES, cnn_ceil_div(p->inner, GRAIN));
    p->pieces = (int32_t)cnn_max(1, cnn_min(PIECES, most));
    choice->workspace_bytes = transposed ? cnn_gradient_epilogue_bytes(&t->gradient, p->inner, 1)
                                         : p->pieces * p->rows * p->columns * (int64_t)sizeof(float);
    snprintf(p->text, sizeof p->text, "direct, few rows, %d pieces", p->pieces);
    choice->kernel = p->text;
    return 0;
}

static void run_forward(const cnn_call *c, const cnn_exec *e, const few_rows_plan *p,
                        const cnn_indirect_gemm_operands *t) {
    const float *x = cnn_data(e, t->x), *w = cnn_data(e, t->w), *bias = cnn_data(e, t->bias),
                *residual = cnn_data(e, t->residual);
    float *y = cnn_data(e, t->y), *partial = (float *)e->workspace;
    const int64_t results = p->rows * p->columns;
    cnn_work work = cnn_share_work(e, p->pieces);
    for (int64_t piece; (piece = cnn_work_next(&work)) >= 0;) {
        const int64_t begin = piece_begin(p, piece), inner = piece_begin(p, piece + 1) - begin;
        c->kernels->few_rows->product(p->rows, inner, p->columns, x + begin, p->inner, w + begin * p->columns,
                                      partial + piece * results);
    }
    cnn_barrier(e);
    int64_t from, to;
    cnn_share_grain(e, p->columns, GRAIN, &from, &to);
    for (int64_t r = 0; r < p->rows && from < to; r++) {
        const int64_t at = r * p->columns + from;
        c->kernels->few_rows->combine(p->pieces, to - from, partial + at, results, bias ? bias + from : NULL,
                                      residual ? residual + at : NULL, y + at);
        cnn_activate_pixels(c, p->act, 1, to - from, p->columns, y + at);
    }
}

static void run_backward(const cnn_call *c, const cnn_exec *e, const few_rows_plan *p,
                         const cnn_indirect_gemm_operands *t) {
    const float *x = cnn_data(e, t->x), *w = cnn_data(e, t->w), *residual = cnn_data(e, t->residual);
    float *y = cnn_data(e, t->y);
    ptrdiff_t at[MOST_ROWS_BACKWARD];
    for (int64_t r = 0; r < p->rows; r++) at[r] = r * p->inner;
    cnn_work work = cnn_share_work(e, p->pieces);
    for (int64_t piece; (piece = cnn_work_next(&work)) >= 0;) {
        const int64_t begin = piece_begin(p, piece), inner = piece_begin(p, piece + 1) - begin;
        c->kernels->few_rows->product_transposed(p->rows, inner, p->columns, x, w + begin * p->columns,
                                                 residual ? residual + begin : NULL, y + begin, p->inner);
        if (cnn_gradient_epilogue_wanted(&t->gradient))
            cnn_gradient_epilogue_apply(c, e, &t->gradient, p->inner, 0, p->rows, 0, begin, inner, y, at);
    }
    if (cnn_gradient_epilogue_sums(&t->gradient)) cnn_gradient_epilogue_combine(c, e, &t->gradient, p->inner, 1);
}

void cnn_few_rows_run(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *t) {
    const few_rows_plan *p = (const few_rows_plan *)c->plan;
    if (p->transposed) run_backward(c, e, p, t);
    else run_forward(c, e, p, t);
}
