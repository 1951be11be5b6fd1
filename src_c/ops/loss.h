/* What the losses share. A loss has one value for each position: the shape of its first input x without the last axis.
 * The rows are shared out among the threads in blocks of 16 values. */
#ifndef CNN_OPS_LOSS_H
#define CNN_OPS_LOSS_H

#include "attributes.h"

enum { CNN_SMOOTHING, CNN_IGNORE_CLASS };                            /* attributes of the losses that have them */
#define CNN_SMOOTHING_ATTR CNN_FLOAT_ATTR("label_smoothing", 0, 0, 1)

static inline int cnn_expect_like(const cnn_tensor *t, const char *what, const cnn_tensor *x, const char *name,
                                  cnn_error *error) {
    char a[64], b[64];
    if (cnn_expect(t, what, -1, CNN_F32, error)) return -1;
    if (!cnn_same_shape(t, x))
        return cnn_fail(error, "%s must have the shape of %s, %s, got %s", what, name, cnn_shape_text(x, b),
                        cnn_shape_text(t, a));
    return 0;
}

/* `t` has one value for each position of x. */
static inline int cnn_expect_per_row(const cnn_tensor *t, const char *what, int dtype, const cnn_tensor *x,
                                     cnn_error *error) {
    char a[64], b[64];
    cnn_tensor rows = *x;
    rows.rank--;
    if (cnn_expect(t, what, -1, dtype, error)) return -1;
    if (!cnn_same_shape(t, &rows))
        return cnn_fail(error, "%s must have shape %s, one value for each position of the inputs, got %s", what,
                        cnn_shape_text(&rows, b), cnn_shape_text(t, a));
    return 0;
}

static inline int cnn_expect_rows(const cnn_tensor *x, const char *what, cnn_error *error) {
    char shape[64];
    if (cnn_expect(x, what, -1, CNN_F32, error)) return -1;
    if (x->rank < 2)
        return cnn_fail(error,
                        "%s must have at least 2 dimensions, (batch, ..., values), got shape %s; reshape it to (n, 1)",
                        what, cnn_shape_text(x, shape));
    return 0;
}

static inline void cnn_set_rows(cnn_tensor *out, const cnn_tensor *x) {
    cnn_like(out, x);
    out->rank--;
}

/* Shape rule of x target [grad_loss]: backward where grad_loss is there. */
static inline int cnn_infer_mean_loss(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[0];
    if (cnn_expect_rows(x, "the prediction", error) || cnn_expect_like(c->in[1], "target", x, "the prediction", error))
        return -1;
    if (c->n_in < 3) {
        cnn_set_rows(out, x);
        return 0;
    }
    if (cnn_expect_per_row(c->in[2], "grad_loss", CNN_F32, x, error)) return -1;
    cnn_like(out, x);
    return 0;
}

static inline void cnn_run_mean_loss(const cnn_call *c, const cnn_exec *e, cnn_mean_loss *kernel, float smoothing) {
    const float *x = cnn_data(e, c->in[0]), *target = cnn_data(e, c->in[1]);
    float *loss = cnn_data(e, c->out[0]);
    int64_t k = cnn_last(c->in[0]), begin, end;
    cnn_share_grain(e, cnn_rows(c->in[0]), 16, &begin, &end);
    if (begin < end) kernel(end - begin, k, x + begin * k, target + begin * k, smoothing, loss + begin);
}

static inline void cnn_run_mean_loss_backward(const cnn_call *c, const cnn_exec *e, cnn_mean_loss_backward *kernel,
                                              float smoothing) {
    const float *x = cnn_data(e, c->in[0]), *target = cnn_data(e, c->in[1]), *grad_loss = cnn_data(e, c->in[2]);
    float *grad_x = cnn_data(e, c->out[0]);
    int64_t k = cnn_last(c->in[0]), begin, end;
    cnn_share_grain(e, cnn_rows(c->in[0]), 16, &begin, &end);
    if (begin < end)
        kernel(end - begin, k, x + begin * k, target + begin * k, smoothing, grad_loss + begin, grad_x + begin * k);
}

/* The same for losses over classes, whose target is int32 class numbers (...) or float32 probabilities (..., k). */
#define CNN_CLASS_LOSS_ATTRS CNN_SMOOTHING_ATTR, CNN_INT_ATTR("ignore_class", INT32_MIN, INT32_MIN, INT32_MAX)

static inline int cnn_infer_class_loss(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[0], *target = c->in[1];
    if (cnn_expect_rows(x, "the prediction", error)) return -1;
    if (target->dtype == CNN_I32) {
        if (cnn_expect_per_row(target, "a target of class numbers", CNN_I32, x, error)) return -1;
    } else {
        if (cnn_expect_like(target, "a target of class probabilities", x, "the prediction", error)) return -1;
        if (c->attr[CNN_IGNORE_CLASS] != INT32_MIN)
            return cnn_fail(error, "ignore_class must go with int32 class numbers, got a float32 target; give class "
                                   "numbers or weights that are 0");
    }
    if (c->n_in < 3) {
        cnn_set_rows(out, x);
        return 0;
    }
    if (cnn_expect_per_row(c->in[2], "grad_loss", CNN_F32, x, error)) return -1;
    cnn_like(out, x);
    return 0;
}

static inline cnn_class_target cnn_target_from(const cnn_call *c, const cnn_exec *e, int64_t row) {
    cnn_class_target t = { .smoothing = cnn_float(c, CNN_SMOOTHING), .ignore = (int32_t)c->attr[CNN_IGNORE_CLASS] };
    if (c->in[1]->dtype == CNN_I32) t.label = (const int32_t *)cnn_data(e, c->in[1]) + row;
    else t.dense = (const float *)cnn_data(e, c->in[1]) + row * cnn_last(c->in[0]);
    return t;
}

static inline void cnn_run_class_loss(const cnn_call *c, const cnn_exec *e, cnn_class_loss *kernel) {
    const float *x = cnn_data(e, c->in[0]);
    float *loss = cnn_data(e, c->out[0]);
    int64_t k = cnn_last(c->in[0]), begin, end;
    cnn_share_grain(e, cnn_rows(c->in[0]), 16, &begin, &end);
    cnn_class_target target = cnn_target_from(c, e, begin);
    if (begin < end) kernel(end - begin, k, x + begin * k, &target, loss + begin);
}

static inline void cnn_run_class_loss_backward(const cnn_call *c, const cnn_exec *e, cnn_class_loss_backward *kernel) {
    const float *x = cnn_data(e, c->in[0]), *grad_loss = cnn_data(e, c->in[2]);
    float *grad_x = cnn_data(e, c->out[0]);
    int64_t k = cnn_last(c->in[0]), begin, end;
    cnn_share_grain(e, cnn_rows(c->in[0]), 16, &begin, &end);
    cnn_class_target target = cnn_target_from(c, e, begin);
    if (begin < end) kernel(end - begin, k, x + begin * k, &target, grad_loss + begin, grad_x + begin * k);
}

/* ---- sums over a whole array ---- */

/* Blocks of this many elements are summed on their own; each has its slot in the workspace, and thread 0 adds the slots
 * in order. */
#define CNN_SUM_BLOCK 16384

static inline int64_t cnn_sum_blocks(const cnn_tensor *x) { return cnn_ceil_div(cnn_count(x), CNN_SUM_BLOCK); }

static inline int cnn_plan_sum(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)error;
    choice->workspace_bytes = cnn_sum_blocks(c->in[0]) * (int64_t)sizeof(double);
    return 0;
}

static inline double cnn_total_of_blocks(const cnn_call *c, const cnn_exec *e) {
    double total = 0;
    for (int64_t i = 0; i < cnn_sum_blocks(c->in[0]); i++) total += ((const double *)e->workspace)[i];
    return total;
}

static inline int cnn_infer_scalar(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    if (cnn_expect(c->in[0], "the input", -1, CNN_F32, error)) return -1;
    cnn_set_shape(out, 1, 1, 0, 0, 0);
    return 0;
}

#endif
