/* affine: scale and offset, from any element type to float32; how images of bytes come in. */
#include "attributes.h"

enum { SCALE, OFFSET };
static const cnn_attr_def attrs[] = {
    CNN_FLOAT_ATTR("scale", 1, -INFINITY, INFINITY), CNN_FLOAT_ATTR("offset", 0, -INFINITY, INFINITY), CNN_END_OF_ATTRS
};

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    (void)error;
    cnn_like(out, c->in[0]);
    return 0;
}
static void run(const cnn_call *c, const cnn_exec *e) {
    int64_t begin, end;
    cnn_share_grain(e, cnn_count(c->out[0]), 1024, &begin, &end);
    const void *x = cnn_data(e, c->in[0]);
    float *y = (float *)cnn_data(e, c->out[0]) + begin, scale = cnn_float(c, SCALE), offset = cnn_float(c, OFFSET);
    const cnn_elementwise_kernels *kernels = c->kernels->elementwise;
    if (begin >= end) return;
    switch (c->in[0]->dtype) {
    case CNN_U8: kernels->affine_u8(end - begin, (const uint8_t *)x + begin, scale, offset, y); break;
    case CNN_I32: kernels->affine_i32(end - begin, (const int32_t *)x + begin, scale, offset, y); break;
    default: kernels->affine_f32(end - begin, (const float *)x + begin, scale, offset, y);
    }
}
static double flops(const cnn_call *c) { return 2.0 * (double)cnn_count(c->out[0]); }

const cnn_op cnn_op_affine = {
    .name = "affine", .summary = "y = x scale + offset, in float32", .inputs = "x", .outputs = "y", .attrs = attrs,
    .infer = infer, .flops = flops,
    .run = run, .in_place = 1,
};
