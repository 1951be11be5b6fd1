/* replace_nan: values for what is missing. With value = grad_y and a fallback of zero it is its own gradient.
 * Parallel axis: rows, all but the last dimension; the elements where there is one value for all. */
#include "attributes.h"

enum { GRAIN = 1024 };                /* elements of a thread's smallest piece */

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64], other[64];
    const cnn_tensor *x = c->in[0], *fallback = c->in[1], *value = c->n_in > 2 ? c->in[2] : NULL;
    if (cnn_expect(x, "x", -1, CNN_F32, error) || cnn_expect(fallback, "fallback", 1, CNN_F32, error)) return -1;
    if (fallback->dims[0] != 1 && fallback->dims[0] != cnn_last(x))
        return cnn_fail(error, "fallback must have one value, or one for each of the %lld along the last axis of x, "
                        "got %lld", (long long)cnn_last(x), (long long)fallback->dims[0]);
    if (value && cnn_expect(value, "value", -1, CNN_F32, error)) return -1;
    if (value && !cnn_same_shape(x, value))
        return cnn_fail(error, "value must have the shape of x %s, got %s", cnn_shape_text(x, shape),
                        cnn_shape_text(value, other));
    cnn_like(out, x);
    return 0;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const float *x = cnn_data(e, c->in[0]), *fallback = cnn_data(e, c->in[1]);
    const float *value = c->n_in > 2 && c->in[2] ? cnn_data(e, c->in[2]) : x;
    float *y = cnn_data(e, c->out[0]);
    int64_t begin, end, one = c->in[1]->dims[0] == 1, n = cnn_last(c->in[0]), rows = cnn_rows(c->in[0]);
    if (one) {                        /* one value for all: the array is cut anywhere */
        cnn_share_grain(e, n * rows, GRAIN, &begin, &end);
        if (begin >= end) return;
        c->kernels->preprocess->replace_nan(1, end - begin, x + begin, fallback, 0, value + begin, y + begin);
        return;
    }
    cnn_share(e, rows, &begin, &end);
    c->kernels->preprocess->replace_nan(end - begin, n, x + begin * n, fallback, 1, value + begin * n, y + begin * n);
}

const cnn_op cnn_op_replace_nan = {
    .name = "replace_nan", .summary = "y = fallback where x is NaN, else value (x itself where it is absent)",
    .inputs = "x fallback [value]", .outputs = "y", .infer = infer, .run = run, .in_place = 5,
};
