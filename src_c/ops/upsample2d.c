/* upsample2d by whole factors, nearest or bilinear, and its gradient (the adjoint). Both directions gather: a thread
 * writes its own rows and reads what they need, so no two threads add to one element. The weights are in
 * kernels/upsample.h. */
#include "attributes.h"

#include <string.h>

enum { FACTOR_H, FACTOR_W, MODE };
static const cnn_attr_def attrs[] = {
    CNN_INT_ATTR("factor_h", 2, 1, 1 << 15), CNN_INT_ATTR("factor_w", 2, 1, 1 << 15),
    CNN_INT_ATTR("mode", CNN_NEAREST, CNN_NEAREST, CNN_BILINEAR),
    CNN_END_OF_ATTRS
};

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[0];
    if (cnn_expect(x, "x", 4, CNN_F32, error)) return -1;
    cnn_set_shape(out, 4, x->dims[0], x->dims[1] * cnn_int(c, FACTOR_H), x->dims[2] * cnn_int(c, FACTOR_W), x->dims[3]);
    return 0;
}

static void run_nearest(const cnn_call *c, const cnn_exec *e) {
    const cnn_tensor *x = c->in[0];
    int64_t factor_h = cnn_int(c, FACTOR_H), factor_w = cnn_int(c, FACTOR_W), from = x->dims[2] * x->dims[3],
        to = from * factor_w, begin, end;
    cnn_share(e, x->dims[0] * x->dims[1], &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        float *y = (float *)cnn_data(e, c->out[0]) + row * factor_h * to;
        c->kernels->upsample->repeat_pixels(x->dims[2], x->dims[3], factor_w,
                                            (const float *)cnn_data(e, x) + row * from, y);
        for (int64_t i = 1; i < factor_h; i++) memcpy(y + i * to, y, (size_t)to * sizeof *y);
    }
}

static void run_bilinear(const cnn_call *c, const cnn_exec *e) {
    const cnn_tensor *x = c->in[0], *y = c->out[0];
    int64_t h = x->dims[1], from = x->dims[2] * x->dims[3], to = y->dims[2] * y->dims[3], begin, end;
    cnn_share(e, y->dims[0] * y->dims[1], &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        const float *image = (const float *)cnn_data(e, x) + row / y->dims[1] * h * from;
        cnn_tap tap = cnn_upsample_tap(CNN_BILINEAR, row % y->dims[1], h, cnn_int(c, FACTOR_H));
        c->kernels->upsample->bilinear_row(x->dims[2], x->dims[3], cnn_int(c, FACTOR_W), image + tap.low * from,
                                           image + tap.high * from, tap.weight,
                                           (float *)cnn_data(e, y) + row * to);
    }
}

static void run(const cnn_call *c, const cnn_exec *e) {
    if (cnn_int(c, MODE) == CNN_NEAREST) run_nearest(c, e);
    else run_bilinear(c, e);
}

const cnn_op cnn_op_upsample2d = {
    .name = "upsample2d", .summary = "y = x enlarged by whole factors, nearest (mode 0) or bilinear (mode 1)",
    .inputs = "x", .outputs = "y",
    .attrs = attrs, .infer = infer, .run = run,
};

static int infer_backward(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64];
    const cnn_tensor *y = c->in[0];
    int64_t factor_h = cnn_int(c, FACTOR_H), factor_w = cnn_int(c, FACTOR_W);
    if (cnn_expect(y, "grad_y", 4, CNN_F32, error)) return -1;
    if (y->dims[1] % factor_h || y->dims[2] % factor_w)
        return cnn_fail(error, "the height and width of grad_y %s must be multiples of the factors %lld and %lld",
                        cnn_shape_text(y, shape),
                        (long long)factor_h, (long long)factor_w);
    cnn_set_shape(out, 4, y->dims[0], y->dims[1] / factor_h, y->dims[2] / factor_w, y->dims[3]);
    return 0;
}

static int plan_backward(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)error;
    /* a row of grad_y */
    choice->thread_workspace_bytes = c->in[0]->dims[2] * c->in[0]->dims[3] * (int64_t)sizeof(float);
    return 0;
}

static void run_backward(const cnn_call *c, const cnn_exec *e) {
    const cnn_tensor *gy = c->in[0], *gx = c->out[0];
    const cnn_upsample_kernels *kernels = c->kernels->upsample;
    int mode = (int)cnn_int(c, MODE);
    int64_t h = gx->dims[1], factor_h = cnn_int(c, FACTOR_H), to = gx->dims[2] * gx->dims[3],
        from = gy->dims[2] * gy->dims[3], begin, end;
    float *sum = (float *)e->thread_workspace;        /* the rows of grad_y that reach this row of grad_x, added up */
    cnn_share(e, gx->dims[0] * h, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        const float *image = (const float *)cnn_data(e, gy) + row / h * gy->dims[1] * from;
        ptrdiff_t first, last;
        int add = 0;
        cnn_upsample_range(mode, row % h, h, factor_h, &first, &last);
        for (ptrdiff_t p = first; p < last; p++) {
            float weight = cnn_upsample_weight(mode, p, row % h, h, factor_h);
            if (weight == 0) continue;
            kernels->accumulate(from, weight, image + p * from, add, sum);
            add = 1;
        }
        kernels->gather_row(mode, gx->dims[2], gx->dims[3], cnn_int(c, FACTOR_W), sum,
                            (float *)cnn_data(e, gx) + row * to);
    }
}

static double flops_backward(const cnn_call *c) { return 2.0 * (double)cnn_count(c->in[0]); }

const cnn_op cnn_op_upsample2d_backward = {
    .name = "upsample2d_backward", .summary = "grad_x = the adjoint of upsample2d", .inputs = "grad_y",
    .outputs = "grad_x", .attrs = attrs,
    .infer = infer_backward, .plan = plan_backward, .flops = flops_backward, .run = run_backward,
};
