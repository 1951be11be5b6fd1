/* pad2d and crop2d: a border of zeros around the image, and the image without a border; each is the other's
 * gradient. Rows of y are shared out. */
#include "attributes.h"
#include "copy.h"

#include <string.h>

enum { TOP, LEFT, BOTTOM, RIGHT };
static const cnn_attr_def attrs[] = { CNN_PADDING_ATTRS, CNN_END_OF_ATTRS };
static const cnn_attr_def crop_attrs[] = {
    CNN_INT_ATTR("crop_top", 0, 0, 1 << 20), CNN_INT_ATTR("crop_left", 0, 0, 1 << 20),
    CNN_INT_ATTR("crop_bottom", 0, 0, 1 << 20),
    CNN_INT_ATTR("crop_right", 0, 0, 1 << 20), CNN_END_OF_ATTRS
};

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[0];
    if (cnn_expect(x, "x", 4, x->dtype, error)) return -1;
    out->dtype = x->dtype;
    cnn_set_shape(out, 4, x->dims[0], x->dims[1] + cnn_int(c, TOP) + cnn_int(c, BOTTOM),
                  x->dims[2] + cnn_int(c, LEFT) + cnn_int(c, RIGHT), x->dims[3]);
    return 0;
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_tensor *x = c->in[0], *y = c->out[0];
    int64_t pixel = cnn_axis_bytes(x, 2), h = x->dims[1], from = x->dims[2] * pixel, to = y->dims[2] * pixel;
    int64_t left = cnn_int(c, LEFT) * pixel, right = cnn_int(c, RIGHT) * pixel, begin, end;
    const char *source = cnn_data(e, x);
    char *target = cnn_data(e, y);
    cnn_share(e, y->dims[0] * y->dims[1], &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        int64_t image = row / y->dims[1], i = row % y->dims[1] - cnn_int(c, TOP);
        char *p = target + row * to;
        if (i < 0 || i >= h) { memset(p, 0, (size_t)to); continue; }
        memset(p, 0, (size_t)left);
        memcpy(p + left, source + (image * h + i) * from, (size_t)from);
        memset(p + left + from, 0, (size_t)right);
    }
}

const cnn_op cnn_op_pad2d = {
    .name = "pad2d", .summary = "y = x with a border of zeros", .inputs = "x", .outputs = "y", .attrs = attrs,
    .infer = infer, .flops = cnn_no_flops, .run = run,
};

static int infer_crop(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    char shape[64];
    const cnn_tensor *x = c->in[0];
    if (cnn_expect(x, "x", 4, x->dtype, error)) return -1;
    int64_t h = x->dims[1] - cnn_int(c, TOP) - cnn_int(c, BOTTOM),
        w = x->dims[2] - cnn_int(c, LEFT) - cnn_int(c, RIGHT);
    if (h < 1 || w < 1)
        return cnn_fail(error, "cropping must leave at least one row and one column of x %s, got crop_top %d, "
                        "crop_left %d, crop_bottom %d, crop_right %d", cnn_shape_text(x, shape), (int)cnn_int(c, TOP),
                        (int)cnn_int(c, LEFT), (int)cnn_int(c, BOTTOM), (int)cnn_int(c, RIGHT));
    out->dtype = x->dtype;
    cnn_set_shape(out, 4, x->dims[0], h, w, x->dims[3]);
    return 0;
}

static void run_crop(const cnn_call *c, const cnn_exec *e) {
    const cnn_tensor *x = c->in[0], *y = c->out[0];
    int64_t pixel = cnn_axis_bytes(x, 2), from = x->dims[2] * pixel, to = y->dims[2] * pixel, begin, end;
    const char *source = (const char *)cnn_data(e, x) + cnn_int(c, TOP) * from + cnn_int(c, LEFT) * pixel;
    char *target = cnn_data(e, y);
    cnn_share(e, y->dims[0] * y->dims[1], &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        int64_t image = row / y->dims[1], i = row % y->dims[1];
        memcpy(target + row * to, source + (image * x->dims[1] + i) * from, (size_t)to);
    }
}

const cnn_op cnn_op_crop2d = {
    .name = "crop2d", .summary = "y = x without its border", .inputs = "x", .outputs = "y", .attrs = crop_attrs,
    .infer = infer_crop, .flops = cnn_no_flops,
    .run = run_crop,
};
