/* max_pool2d_backward: the gradient of each window goes to the place of its maximum (kernels/pool.h): what
 * max_pool2d wrote, or, where windows are too large for places, found by comparing x with y. Where an activation
 * made x, of the rectifiers, the gradient goes on through it at no cost: the pixel that gets the gradient equals y,
 * so the mask follows from y alone. Parallel over images, bands of input rows where the images are few, and blocks
 * of channels where both are. */
#include "pool.h"

enum { X, Y, GRAD_Y, PLACE };
enum { ACTIVATION = CNN_POOL_ATTR_COUNT, ALPHA, MAX_VALUE, IN_H, IN_W };
static const cnn_attr_def attrs[] = { /* in_h, in_w: of the image, where places stand for x */
    CNN_POOL_ATTRS, CNN_ACT_ATTRS, CNN_INT_ATTR("in_h", 0, 0, 2147483647), CNN_INT_ATTR("in_w", 0, 0, 2147483647),
    CNN_END_OF_ATTRS
};

static const cnn_tensor *places_of(const cnn_call *c) { return c->n_in > PLACE ? c->in[PLACE] : NULL; }

static int geometry(const cnn_call *c, cnn_pool *g, cnn_error *error) {
    const cnn_tensor *x = c->in[X];
    return cnn_pool_geometry(c, x ? x->dims[1] : cnn_int(c, IN_H), x ? x->dims[2] : cnn_int(c, IN_W),
                             c->in[GRAD_Y]->dims[3], g, error);
}

static int infer(const cnn_call *c, cnn_tensor *out, cnn_error *error) {
    const cnn_tensor *x = c->in[X], *place = places_of(c), *grad_y = c->in[GRAD_Y];
    cnn_pool g;
    if (!x == !place) return cnn_fail(error, "either x or place must be given, got %s", x ? "both" : "neither");
    if (!x && (!c->attr[IN_H] || !c->attr[IN_W]))
        return cnn_fail(error, "in_h and in_w must be given where x is not");
    if ((x && cnn_expect(x, "x", 4, CNN_F32, error)) || cnn_expect(grad_y, "grad_y", 4, CNN_F32, error) ||
        geometry(c, &g, error) ||
        cnn_pool_expect_output(c->in[Y], "y", CNN_F32, x ? x->dims[0] : grad_y->dims[0], &g, error) ||
        cnn_pool_expect_output(grad_y, "grad_y", CNN_F32, c->in[Y]->dims[0], &g, error) ||
        (place && cnn_pool_expect_output(place, "place", CNN_U8, grad_y->dims[0], &g, error)) ||
        cnn_expect_mask(c->attr[ACTIVATION], c->attr[ALPHA], error))
        return -1;
    if (place && g.pool_h * g.pool_w > CNN_POOL_PLACES)
        return cnn_fail(error, "a window with places must have at most %d pixels, got %lld; give x instead",
                        CNN_POOL_PLACES, (long long)(g.pool_h * g.pool_w));
    if (x && x->dims[3] != g.c)
        return cnn_fail(error, "x must have as many channels as y, got %lld and %lld", (long long)x->dims[3],
                        (long long)g.c);
    cnn_set_shape(out, 4, grad_y->dims[0], g.h, g.w, g.c);
    return 0;
}

/* Bands hold whole strides: where windows do not overlap, none crosses a boundary; where they do, those that cross one
 * are visited on both sides of it, so that there are fewer bands. */
static int plan(cnn_call *c, cnn_choice *choice, cnn_error *error) {
    (void)choice;
    const int64_t images = c->in[GRAD_Y]->dims[0];
    cnn_pool g;
    if (geometry(c, &g, error)) return -1;
    const int64_t units = g.pool_h > g.stride_h ? CNN_POOL_FEW_UNITS : CNN_POOL_UNITS;
    int64_t wanted = cnn_ceil_div(units, images), windows = cnn_ceil_div(g.out_h, wanted);
    cnn_pool_cut cut = cnn_pool_cut_of(&g, images, cnn_ceil_div(g.out_h, windows));
    memcpy(c->plan, &cut, sizeof cut);
    return 0;
}

static double flops(const cnn_call *c) {
    return c->attr[CNN_POOL_H] * c->attr[CNN_POOL_W] * (double)cnn_count(c->in[GRAD_Y]);
}

static void run(const cnn_call *c, const cnn_exec *e) {
    const cnn_pool_cut *cut = (const cnn_pool_cut *)c->plan;
    const cnn_pool *g = &cut->g;
    const float *x = cnn_data(e, c->in[X]), *y = cnn_data(e, c->in[Y]), *grad_y = cnn_data(e, c->in[GRAD_Y]);
    const uint8_t *place = cnn_data(e, places_of(c));
    const cnn_relu_mask mask = cnn_mask_of(c->attr[ACTIVATION], c->attr[ALPHA], c->attr[MAX_VALUE]);
    float *grad_x = cnn_data(e, c->out[0]);
    const int64_t height = cnn_ceil_div(g->out_h, cut->bands) * g->stride_h;
    cnn_work work = cnn_share_work(e, cnn_pool_units(cut));
    for (int64_t i; (i = cnn_work_next(&work)) >= 0;) {
        cnn_pool_unit u = cnn_pool_unit_at(cut, i);
        int64_t input = u.image * g->h * g->w * g->c, output = u.image * g->out_h * g->out_w * g->c;
        int64_t top = cnn_max(0, u.band * height - g->pad_top),
                bottom = u.band == cut->bands - 1 ? g->h : cnn_max(0, (u.band + 1) * height - g->pad_top);
        c->kernels->pool->max_backward_rows(g, top, bottom, u.c_begin, u.c_end, x ? x + input : NULL,
                                            place ? place + output : NULL, y + output, grad_y + output, mask,
                                            grad_x + input);
    }
}

const cnn_op cnn_op_max_pool2d_backward = {
    .name = "max_pool2d_backward",
    .summary = "grad_x = grad_y act'(y) at the first maximum of each window",
    .inputs = "[x] y grad_y [place]",
    .outputs = "grad_x",
    .attrs = attrs,
    .infer = infer,
    .plan = plan,
    .flops = flops,
    .run = run,
};
