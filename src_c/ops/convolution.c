#include "convolution.h"
#include "winograd_gradient.h"

static int winograd(const cnn_call *c) { return *(const cnn_algorithm *)c->plan == CNN_WINOGRAD; }

/* Does Winograd's algorithm take x, and what grad_y is computed from (NULL: nothing)? First layers may have images of
 * bytes, and such a gradient: the folded form alone is for those. */
static int takes(const cnn_conv2d_geometry *g, const cnn_tensor *x, const cnn_tensor *out) {
    return (x->dtype == CNN_F32 && !out) || cnn_winograd_form_for(g) == CNN_WINOGRAD_FOLDED;
}

/* And the residual: one of every other row and column has other ones than the phases that dilation makes. */
static int takes_residual(const cnn_conv2d_geometry *g, const cnn_indirect_gemm_operands *t) {
    return !t->residual || cnn_same_shape(t->residual, t->y) || (g->dilation_h == 1 && g->dilation_w == 1);
}

int cnn_convolution_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g, cnn_act act,
                         const cnn_indirect_gemm_operands *t, cnn_error *error) {
    if (!c->exact && cnn_winograd_form_for(g) != CNN_NO_WINOGRAD && takes(g, t->x, NULL) && takes_residual(g, t))
        return cnn_winograd_plan(c, choice, g, act, t, error);
    return cnn_indirect_gemm_plan(c, choice, g, act, t, error);
}

void cnn_convolution_pack(const cnn_call *c, const cnn_exec *e, const cnn_tensor *w) {
    if (winograd(c)) cnn_winograd_pack(c, e, w);
    else cnn_indirect_gemm_pack(c, e, w);
}

void cnn_convolution_run(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *t) {
    if (winograd(c)) cnn_winograd_run(c, e, t);
    else cnn_indirect_gemm_run(c, e, t);
}

double cnn_convolution_flops(const cnn_call *c) {
    return winograd(c) ? cnn_winograd_flops(c) : cnn_indirect_gemm_flops(c);
}

int cnn_convolution_weight_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g,
                                const cnn_weight_gradient_operands *o, cnn_error *error) {
    if (!c->exact && cnn_winograd_gradient_suits(g) && takes(g, o->x, o->gradient.out))
        return cnn_winograd_gradient_plan(c, choice, g, o, error);
    return cnn_weight_gradient_plan(c, choice, g, o, error);
}

void cnn_convolution_weight_run(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o) {
    if (winograd(c)) cnn_winograd_gradient_run(c, e, o);
    else cnn_weight_gradient_run(c, e, o);
}

double cnn_convolution_weight_flops(const cnn_call *c) {
    return winograd(c) ? cnn_winograd_gradient_flops(c) : cnn_weight_gradient_flops(c);
}

int cnn_convolution_normalises(const cnn_conv2d_geometry *g) {
    const cnn_conv2d_geometry flat = cnn_conv2d_flattened(*g);
    return cnn_conv2d_is_flat(&flat)
        || (g->groups == 1 && cnn_winograd_form_for(g) != CNN_WINOGRAD_FOLDED && cnn_winograd_gradient_suits(g));
}
