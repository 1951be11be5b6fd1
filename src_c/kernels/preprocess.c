/* Leaves that prepare data; the contract is in preprocess.h. */
#include "kernels.h"
#include "vec_math.h"

VINLINE vf function_of(int kind, vf x) { return kind == CNN_LOG ? vlog(x) : varctan(x); }

VINLINE vf derivative_of(int kind, vf x) {
    vf one = vset(1.0f);
    if (kind == CNN_LOG) return one / x;
    /* 1 / (1 + x^2); beyond 1 as x^-2 / (1 + x^-2), which cannot overflow */
    vf inverse = one / x, square = inverse * inverse;
    return vselect(vabs(x) > one, square / (one + square), one / vfma(x, x, one));
}

VINLINE void map(int kind, ptrdiff_t n, const float *x, float *y) {
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) vstore(y + i, function_of(kind, vload(x + i)));
    if (i < n) vstore_n(y + i, function_of(kind, vload_n(x + i, n - i)), n - i);
}

VINLINE void map_backward(int kind, ptrdiff_t n, const float *grad_y, const float *x, float *grad_x) {
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) vstore(grad_x + i, vload(grad_y + i) * derivative_of(kind, vload(x + i)));
    if (i < n) vstore_n(grad_x + i, vload_n(grad_y + i, n - i) * derivative_of(kind, vload_n(x + i, n - i)), n - i);
}

static void function(int kind, ptrdiff_t n, const float *x, float *y) {
    if (kind == CNN_LOG) map(CNN_LOG, n, x, y);
    else map(CNN_ARCTAN, n, x, y);
}

static void function_backward(int kind, ptrdiff_t n, const float *grad_y, const float *x, float *grad_x) {
    if (kind == CNN_LOG) map_backward(CNN_LOG, n, grad_y, x, grad_x);
    else map_backward(CNN_ARCTAN, n, grad_y, x, grad_x);
}

static void replace_nan(ptrdiff_t rows, ptrdiff_t n, const float *x, const float *fallback, int step,
                        const float *value, float *y) {
    vf one_for_all = vset(*fallback);
    for (ptrdiff_t i = 0; i < rows; i++, x += n, value += n, y += n) {
        for (ptrdiff_t j = 0; j < n; j += VL) {
            ptrdiff_t count = n - j < VL ? n - j : VL;
            vf v = vload_upto(x + j, count), f = step ? vload_upto(fallback + j, count) : one_for_all;
            vstore_upto(y + j, vselect(v == v, vload_upto(value + j, count), f), count);
        }
    }
}

static void center_scale(ptrdiff_t n, ptrdiff_t width, const float *x, const float *mean, const float *scale,
                         float *y) {
    for (; n > 0; n -= width, x += width, y += width) {
        ptrdiff_t length = n < width ? n : width;
        for (ptrdiff_t j = 0; j < length; j++) y[j] = (x[j] - mean[j]) * scale[j];
    }
}

extern const cnn_preprocess_kernels KERNEL(cnn_preprocess);
const cnn_preprocess_kernels KERNEL(cnn_preprocess) = {
    .function = function, .function_backward = function_backward, .replace_nan = replace_nan,
    .center_scale = center_scale,
};
