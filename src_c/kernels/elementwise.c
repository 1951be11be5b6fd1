/* Elementwise leaves; the contract is in elementwise.h. A switch picks the function once, then one loop runs with it
 * inlined. */
#include "kernels.h"
#include "vec_math.h"

/* ---- activations ---- */

#define SELU_SCALE 1.05070098735548049f       /* Klambauer et al. 2017, Self-normalizing neural networks */
#define SELU_ALPHA 1.67326324235437728f
/* sqrt(2 / pi); Hendrycks and Gimpel 2016, with the cubic term 0.044715 */
#define GELU_C 0.797884560802865356f

enum { PLAIN_RELU = CNN_ACTIVATIONS };        /* max(x, 0) */

/* An activation's parameters as vectors. has_slope: all ones where alpha is not 0, so that 0 * -inf is no NaN. */
typedef struct vact { vf alpha, max_value, threshold; vi has_slope; } vact;

static vact spread(cnn_act act) {
    return (vact){vset(act.alpha), vset(act.max_value), vset(act.threshold), viset(act.alpha != 0 ? -1 : 0)};
}

VINLINE vf relu6_shifted(vf x) { return vclamp(x + vset(3.0f), 0.0f, 6.0f) * vset(1.0f / 6); }

/* f(x), before max_value. The products x f with f -> 0 for x -> -inf keep x finite. */
VINLINE vf function(int kind, vf x, const vact *a) {
    vf zero = vzero(), one = vset(1.0f), slope;
    switch (kind) {
    case PLAIN_RELU: return vmax(zero, x);
    case CNN_RELU: return vselect(x < a->threshold, vfrom_bits(vbits(a->alpha * (x - a->threshold)) & a->has_slope), x);
    case CNN_SIGMOID: return vsigmoid(x);
    case CNN_TANH: return vtanh(x);
    case CNN_ELU: return vselect(x > zero, x, a->alpha * vexpm1(vmin(zero, x)));
    case CNN_SELU: return vset(SELU_SCALE) * vselect(x > zero, x, vset(SELU_ALPHA) * vexpm1(vmin(zero, x)));
    case CNN_GELU: return vmax(vset(-15.0f), x) * vnormal(x, &slope);
    case CNN_GELU_TANH: {                     /* (1 + tanh u) / 2 = sigmoid(2 u) */
        vf finite = vmax(vset(-100.0f), x);
        return finite * vsigmoid(vset(2 * GELU_C) * vfma(vset(0.044715f) * finite * finite, finite, finite));
    }
    case CNN_SILU: return vmax(vset(-104.0f), x) * vsigmoid(x);
    case CNN_SOFTPLUS: return vsoftplus(x);
    case CNN_HARD_SIGMOID: return relu6_shifted(x);
    case CNN_HARD_SILU: return vmax(vset(-3.0f), x) * relu6_shifted(x);
    case CNN_SOFTSIGN: {
        vf y = x / (one + vabs(x));
        return vselect(vabs(x) == vset(__builtin_inff()), vcopysign(one, x), y);
    }
    case CNN_EXPONENTIAL: return vexp(x);
    /* tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2), which is 1 from x = 20 on */
    case CNN_MISH: {
        vf e = vexp(vmin(vset(20.0f), x)), m = e * (e + vset(2.0f));
        return vmax(vset(-104.0f), x) * (m / (m + vset(2.0f)));
    }
    default: return x;
    }
}

/* f(x), at most max_value. A NaN is x's own: of the terms of a sum, NaN with either sign, compilers choose one here and
 * another where the same is done for the rest of a row. */
VINLINE vf activated(int kind, vf x, const vact *a) {
    const vf y = vmin(a->max_value, function(kind, x, a));
    return kind == PLAIN_RELU || kind == CNN_RELU || kind == CNN_LINEAR ? y : vselect(x == x, y, x);
}

/* f'(x) from x. */
VINLINE vf derivative(int kind, vf x, const vact *a) {
    vf zero = vzero(), one = vset(1.0f), slope;
    switch (kind) {
    case PLAIN_RELU: return vselect(x > zero, one, zero);
    case CNN_RELU: return vselect(x > a->threshold, one, a->alpha);
    case CNN_SIGMOID: vsigmoid_slope(x, &slope); return slope;
    case CNN_TANH: vsigmoid_slope(x + x, &slope); return vset(4.0f) * slope;       /* tanh x = 2 sigmoid(2x) - 1 */
    case CNN_ELU: return vselect(x > zero, one, a->alpha * vexp(vmin(zero, x)));
    case CNN_SELU: return vset(SELU_SCALE) * vselect(x > zero, one, vset(SELU_ALPHA) * vexp(vmin(zero, x)));
    case CNN_GELU: {
        vf density, p = vnormal(x, &density);
        return vfma(vclamp(x, -15.0f, 15.0f), density, p);
    }
    case CNN_GELU_TANH: {
        vf v = vclamp(x, -100.0f, 100.0f), square = v * v;
        vf s = vsigmoid_slope(vset(2 * GELU_C) * vfma(vset(0.044715f) * square, v, v), &slope);
        return vfma(v * slope, vset(2 * GELU_C) * vfma(vset(3 * 0.044715f), square, one), s);
    }
    case CNN_SILU: {
        vf s = vsigmoid_slope(x, &slope);
        return vfma(vclamp(x, -104.0f, 104.0f), slope, s);
    }
    case CNN_SOFTPLUS: return vsigmoid(x);
    case CNN_HARD_SIGMOID: return vselect((x > vset(-3.0f)) & (x < vset(3.0f)), vset(1.0f / 6), zero);
    case CNN_HARD_SILU: return vselect(x >= vset(3.0f), one,
                                       vselect(x <= vset(-3.0f), zero, vfma(x, vset(1.0f / 3), vset(0.5f))));
    case CNN_SOFTSIGN: { vf d = one / (one + vabs(x)); return d * d; }
    case CNN_EXPONENTIAL: return vexp(x);
    /* with t = tanh(softplus x), s = sigmoid x, D = e (e + 2) + 2: s (1 - t^2) = 4 e (1 + e) / D^2 */
    case CNN_MISH: {
        vf v = vclamp(x, -104.0f, 20.0f), e = vexp(v), m = e * (e + vset(2.0f)), d = one / (m + vset(2.0f));
        return vfma(v * (e * d), vset(4.0f) * (one + e) * d, m * d);
    }
    default: return one;
    }
}

/* f'(x) from y = f(x). */
VINLINE vf derivative_from_output(int kind, vf y, const vact *a) {
    vf zero = vzero(), one = vset(1.0f);
    switch (kind) {
    case PLAIN_RELU: return vselect(y > zero, one, zero);
    case CNN_RELU: return vselect(y > zero, one, a->alpha);
    case CNN_SIGMOID: return y * (one - y);
    case CNN_TANH: return (one - y) * (one + y);
    case CNN_ELU: return vselect(y > zero, one, y + a->alpha);
    case CNN_SELU: return vselect(y > zero, vset(SELU_SCALE), y + vset(SELU_SCALE * SELU_ALPHA));
    case CNN_SOFTPLUS: return -vexpm1(-y);
    case CNN_HARD_SIGMOID: return vselect((y > zero) & (y < one), vset(1.0f / 6), zero);
    case CNN_SOFTSIGN: { vf d = one - vabs(y); return d * d; }
    case CNN_EXPONENTIAL: return y;
    default: return one;
    }
}

VINLINE void map(int kind, cnn_act act, ptrdiff_t n, const float *x, float *y) {
    vact a = spread(act);
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) vstore(y + i, activated(kind, vload(x + i), &a));
    if (i < n) vstore_n(y + i, activated(kind, vload_n(x + i, n - i), &a), n - i);
}

/* bounded: max_value is finite, so that f(x) is needed beside f'(x). */
VINLINE vf gradient(int kind, int from_input, int bounded, vf grad_y, vf reference, const vact *a) {
    if (!from_input) return vselect(reference >= a->max_value, vzero(),
                                    grad_y * derivative_from_output(kind, reference, a));
    vf grad_x = grad_y * derivative(kind, reference, a);
    return bounded ? vselect(function(kind, reference, a) >= a->max_value, vzero(), grad_x) : grad_x;
}

VINLINE void map_backward(int kind, int from_input, cnn_act act, ptrdiff_t n, const float *grad_y,
                          const float *reference, float *grad_x) {
    vact a = spread(act);
    int bounded = act.max_value < __builtin_inff();
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) vstore(grad_x + i, gradient(kind, from_input, bounded, vload(grad_y + i),
                                                            vload(reference + i), &a));
    if (i < n) vstore_n(grad_x + i, gradient(kind, from_input, bounded, vload_n(grad_y + i, n - i),
                                             vload_n(reference + i, n - i), &a), n - i);
}

static void activate(cnn_act act, ptrdiff_t n, const float *x, float *y) {
    switch (act.kind) {
    case CNN_RELU:
        if (act.alpha == 0 && act.threshold == 0) map(PLAIN_RELU, act, n, x, y);
        else map(CNN_RELU, act, n, x, y);
        break;
    case CNN_SIGMOID: map(CNN_SIGMOID, act, n, x, y); break;
    case CNN_TANH: map(CNN_TANH, act, n, x, y); break;
    case CNN_ELU: map(CNN_ELU, act, n, x, y); break;
    case CNN_SELU: map(CNN_SELU, act, n, x, y); break;
    case CNN_GELU: map(CNN_GELU, act, n, x, y); break;
    case CNN_GELU_TANH: map(CNN_GELU_TANH, act, n, x, y); break;
    case CNN_SILU: map(CNN_SILU, act, n, x, y); break;
    case CNN_SOFTPLUS: map(CNN_SOFTPLUS, act, n, x, y); break;
    case CNN_HARD_SIGMOID: map(CNN_HARD_SIGMOID, act, n, x, y); break;
    case CNN_HARD_SILU: map(CNN_HARD_SILU, act, n, x, y); break;
    case CNN_SOFTSIGN: map(CNN_SOFTSIGN, act, n, x, y); break;
    case CNN_EXPONENTIAL: map(CNN_EXPONENTIAL, act, n, x, y); break;
    case CNN_MISH: map(CNN_MISH, act, n, x, y); break;
    default: map(CNN_LINEAR, act, n, x, y);
    }
}

static void backward_from_input(cnn_act act, ptrdiff_t n, const float *grad_y, const float *x, float *grad_x) {
    switch (act.kind) {
    case CNN_RELU:
        if (act.alpha == 0 && act.threshold == 0) map_backward(PLAIN_RELU, 1, act, n, grad_y, x, grad_x);
        else map_backward(CNN_RELU, 1, act, n, grad_y, x, grad_x);
        break;
    case CNN_SIGMOID: map_backward(CNN_SIGMOID, 1, act, n, grad_y, x, grad_x); break;
    case CNN_TANH: map_backward(CNN_TANH, 1, act, n, grad_y, x, grad_x); break;
    case CNN_ELU: map_backward(CNN_ELU, 1, act, n, grad_y, x, grad_x); break;
    case CNN_SELU: map_backward(CNN_SELU, 1, act, n, grad_y, x, grad_x); break;
    case CNN_GELU: map_backward(CNN_GELU, 1, act, n, grad_y, x, grad_x); break;
    case CNN_GELU_TANH: map_backward(CNN_GELU_TANH, 1, act, n, grad_y, x, grad_x); break;
    case CNN_SILU: map_backward(CNN_SILU, 1, act, n, grad_y, x, grad_x); break;
    case CNN_SOFTPLUS: map_backward(CNN_SOFTPLUS, 1, act, n, grad_y, x, grad_x); break;
    case CNN_HARD_SIGMOID: map_backward(CNN_HARD_SIGMOID, 1, act, n, grad_y, x, grad_x); break;
    case CNN_HARD_SILU: map_backward(CNN_HARD_SILU, 1, act, n, grad_y, x, grad_x); break;
    case CNN_SOFTSIGN: map_backward(CNN_SOFTSIGN, 1, act, n, grad_y, x, grad_x); break;
    case CNN_EXPONENTIAL: map_backward(CNN_EXPONENTIAL, 1, act, n, grad_y, x, grad_x); break;
    case CNN_MISH: map_backward(CNN_MISH, 1, act, n, grad_y, x, grad_x); break;
    default: map_backward(CNN_LINEAR, 1, act, n, grad_y, x, grad_x);
    }
}

static void backward_from_output(cnn_act act, ptrdiff_t n, const float *grad_y, const float *y, float *grad_x) {
    switch (act.kind) {
    case CNN_RELU:
        if (act.alpha == 0) map_backward(PLAIN_RELU, 0, act, n, grad_y, y, grad_x);
        else map_backward(CNN_RELU, 0, act, n, grad_y, y, grad_x);
        break;
    case CNN_SIGMOID: map_backward(CNN_SIGMOID, 0, act, n, grad_y, y, grad_x); break;
    case CNN_TANH: map_backward(CNN_TANH, 0, act, n, grad_y, y, grad_x); break;
    case CNN_ELU: map_backward(CNN_ELU, 0, act, n, grad_y, y, grad_x); break;
    case CNN_SELU: map_backward(CNN_SELU, 0, act, n, grad_y, y, grad_x); break;
    case CNN_SOFTPLUS: map_backward(CNN_SOFTPLUS, 0, act, n, grad_y, y, grad_x); break;
    case CNN_HARD_SIGMOID: map_backward(CNN_HARD_SIGMOID, 0, act, n, grad_y, y, grad_x); break;
    case CNN_SOFTSIGN: map_backward(CNN_SOFTSIGN, 0, act, n, grad_y, y, grad_x); break;
    case CNN_EXPONENTIAL: map_backward(CNN_EXPONENTIAL, 0, act, n, grad_y, y, grad_x); break;
    default: map_backward(CNN_LINEAR, 0, act, n, grad_y, y, grad_x);
    }
}

static void activate_backward(cnn_act act, int reference_is_input, ptrdiff_t n, const float *grad_y,
                              const float *reference, float *grad_x) {
    if (reference_is_input) backward_from_input(act, n, grad_y, reference, grad_x);
    else backward_from_output(act, n, grad_y, reference, grad_x);
}

/* ---- two operands ---- */

VINLINE vf combine(int op, vf a, vf b) {
    switch (op) {
    case CNN_ADD: return a + b;
    case CNN_SUBTRACT: return a - b;
    case CNN_MULTIPLY: return a * b;
    case CNN_MAXIMUM: return vselect((a > b) | (a != a), a, b);
    default: return vselect((a < b) | (a != a), a, b);
    }
}

VINLINE void combine_rows(int op, int a_step, int b_step, ptrdiff_t rows, ptrdiff_t n, cnn_operand a, cnn_operand b,
                          float *y) {
    for (ptrdiff_t i = 0; i < rows; i++, y += n) {
        const float *p = a.p + i * a.row, *q = b.p + i * b.row;
        vf va = vset(*p), vb = vset(*q);
        ptrdiff_t j = 0;
        for (; j + VL <= n; j += VL) vstore(y + j, combine(op, a_step ? vload(p + j) : va, b_step ? vload(q + j) : vb));
        if (j < n) vstore_n(y + j, combine(op, a_step ? vload_n(p + j, n - j) : va,
                                           b_step ? vload_n(q + j, n - j) : vb), n - j);
    }
}

VINLINE void combine_steps(int op, ptrdiff_t rows, ptrdiff_t n, cnn_operand a, cnn_operand b, float *y) {
    if (!b.step) combine_rows(op, 1, 0, rows, n, a, b, y);
    else if (!a.step) combine_rows(op, 0, 1, rows, n, a, b, y);
    else combine_rows(op, 1, 1, rows, n, a, b, y);
}

static void binary(int op, ptrdiff_t rows, ptrdiff_t n, cnn_operand a, cnn_operand b, float *y) {
    switch (op) {
    case CNN_ADD: combine_steps(CNN_ADD, rows, n, a, b, y); break;
    case CNN_SUBTRACT: combine_steps(CNN_SUBTRACT, rows, n, a, b, y); break;
    case CNN_MULTIPLY: combine_steps(CNN_MULTIPLY, rows, n, a, b, y); break;
    case CNN_MAXIMUM: combine_steps(CNN_MAXIMUM, rows, n, a, b, y); break;
    default: combine_steps(CNN_MINIMUM, rows, n, a, b, y);
    }
}

/* `count` elements of an operand from column j on. */
VINLINE vf columns(const float *p, int step, ptrdiff_t j, ptrdiff_t count) {
    if (!step) return vset(*p);
    return count < VL ? vload_n(p + j, count) : vload(p + j);
}

static void choice_backward(int op, ptrdiff_t rows, ptrdiff_t n, const float *grad_y, cnn_operand a, cnn_operand b,
                            float *grad_a, float *grad_b) {
    for (ptrdiff_t i = 0; i < rows; i++) {
        for (ptrdiff_t j = 0; j < n; j += VL) {
            ptrdiff_t at = i * n + j, count = n - j < VL ? n - j : VL;
            vf g = count < VL ? vload_n(grad_y + at, count) : vload(grad_y + at), half = g * vset(0.5f);
            vf va = columns(a.p + i * a.row, a.step, j, count), vb = columns(b.p + i * b.row, b.step, j, count);
            vi to_a = op == CNN_MAXIMUM ? va > vb : va < vb, to_b = op == CNN_MAXIMUM ? vb > va : vb < va;
            vf ga = vselect(to_a, g, vselect(to_b, vzero(), half)), gb = vselect(to_b, g, vselect(to_a, vzero(), half));
            if (grad_a && count < VL) vstore_n(grad_a + at, ga, count);
            else if (grad_a) vstore(grad_a + at, ga);
            if (grad_b && count < VL) vstore_n(grad_b + at, gb, count);
            else if (grad_b) vstore(grad_b + at, gb);
        }
    }
}

/* ---- conversion ---- */

static void affine_f32(ptrdiff_t n, const float *x, float scale, float offset, float *y) {
    for (ptrdiff_t i = 0; i < n; i++) y[i] = x[i] * scale + offset;
}

/* The rows of a convolution's images are short: pieces leave nothing to a loop over single elements, the last one
 * begins within the one before it. */
enum { PIECE = 16 };
VINLINE void affine_piece(const uint8_t *restrict x, float scale, float offset, float *restrict y) {
    for (int i = 0; i < PIECE; i++) y[i] = (float)x[i] * scale + offset;
}
static void affine_u8(ptrdiff_t n, const uint8_t *restrict x, float scale, float offset, float *restrict y) {
    ptrdiff_t i = 0;
    for (; i + PIECE <= n; i += PIECE) affine_piece(x + i, scale, offset, y + i);
    if (n >= PIECE) affine_piece(x + n - PIECE, scale, offset, y + n - PIECE);
    else for (; i < n; i++) y[i] = (float)x[i] * scale + offset;
}

static void affine_i32(ptrdiff_t n, const int32_t *x, float scale, float offset, float *y) {
    typedef int32_t __attribute__((may_alias)) shared;               /* y may lie in the memory of x */
    for (ptrdiff_t i = 0; i < n; i++) y[i] = (float)((const shared *)x)[i] * scale + offset;
}
static void fill(ptrdiff_t n, float value, float *y) {
    for (ptrdiff_t i = 0; i < n; i++) y[i] = value;
}

/* piece: a constant of at most `bytes` bytes. The last piece of a row may overlap the one before. */
VINLINE void copy_pieces(int piece, ptrdiff_t rows, ptrdiff_t bytes, const char *from, ptrdiff_t from_step, char *to,
                         ptrdiff_t to_step) {
    const ptrdiff_t last = bytes - piece;
    for (; rows > 0; rows--, from += from_step, to += to_step) {
        for (ptrdiff_t at = 0; at < last; at += piece) __builtin_memcpy(to + at, from + at, (size_t)piece);
        __builtin_memcpy(to + last, from + last, (size_t)piece);
    }
}

static void copy_rows(ptrdiff_t rows, ptrdiff_t bytes, const char *from, ptrdiff_t from_step, char *to,
                      ptrdiff_t to_step) {
    if (bytes >= 32) copy_pieces(32, rows, bytes, from, from_step, to, to_step);
    else if (bytes >= 16) copy_pieces(16, rows, bytes, from, from_step, to, to_step);
    else if (bytes >= 4) copy_pieces(4, rows, bytes, from, from_step, to, to_step);
    else copy_pieces(1, rows, bytes, from, from_step, to, to_step);
}

extern const cnn_elementwise_kernels KERNEL(cnn_elementwise);
const cnn_elementwise_kernels KERNEL(cnn_elementwise) = {
    .activate = activate, .activate_backward = activate_backward, .binary = binary, .choice_backward = choice_backward,
    .affine_f32 = affine_f32, .affine_u8 = affine_u8, .affine_i32 = affine_i32, .fill = fill,
    .copy_rows = copy_rows,
};
