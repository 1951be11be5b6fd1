/* The contract is in depthwise_backward.h. Channel vectors > columns > tap rows > taps; weights, their gradients and
 * the columns of grad_y that slide along stay in registers as far as there are enough. */
#include "kernels.h"
#include "relu.h"
#include "vec.h"

enum { LINE = 16 };                    /* floats in a cache line */

typedef struct strip {
    vf weight[3][3], grad_w[3][3], seen[3][3];         /* [tap row][tap]; seen[i][k]: grad_y of output column q - k */
    vf scale, shift, mean, sum_g, sum_gx;
    const float *x, *grad_y[3];                        /* the next columns */
    float *grad_x;
    ptrdiff_t x_ahead, grad_x_ahead;                   /* from a column to the one asked for with it */
    const float *coming;
    ptrdiff_t coming_second;                           /* bytes from there to that of the other tensor */
} strip;

/* The next column of x, `offset` columns behind q * stride - pad: it meets taps `offset`, `offset` + stride, ... Where
 * `checked`, output columns that do not exist are left out: not times 0, as y may be infinite. */
VINLINE void column(int rows, int stride, int kind, int checked, ptrdiff_t n, const cnn_depthwise_backward *b,
                    ptrdiff_t q, int offset, const relu_constants *act, strip *s) {
    const vf x = vload_upto(s->x, n), y = relu(kind, vfma(x, s->scale, s->shift), act->slope, act->max_value);
    vf g = vzero();
    __builtin_prefetch(s->x + s->x_ahead, 0, 2);
    s->x += b->pixel;
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int tap = offset, k = 0; tap < 3; tap += stride, k++) {
            if (checked && (q - k < 0 || q - k >= b->out_w)) continue;
            g = vfma(s->seen[i][k], s->weight[i][tap], g);
            s->grad_w[i][tap] = vfma(s->seen[i][k], y, s->grad_w[i][tap]);
        }
    g = relu_masked_of(kind, g, y, act);
    s->sum_g += g;
    s->sum_gx = vfma(g, x - s->mean, s->sum_gx);
    if (VL == LINE && n == VL && b->stream) {
        vstream(s->grad_x, g);
    } else {
        __builtin_prefetch(s->grad_x + s->grad_x_ahead, 1, 3);
        vstore_upto(s->grad_x, g, n);
    }
    s->grad_x += b->pixel;
}

/* The columns of x that begin with q * stride - pad. */
VINLINE void columns(int rows, int stride, int kind, int checked, ptrdiff_t n, const cnn_depthwise_backward *b,
                     ptrdiff_t q, const relu_constants *act, strip *s) {
    __builtin_prefetch(s->coming, 0, 2);
    __builtin_prefetch((const char *)s->coming + s->coming_second, 0, 2);
    s->coming += b->pixel;
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++) {
        s->seen[i][2] = s->seen[i][1];
        s->seen[i][1] = s->seen[i][0];
        s->seen[i][0] = !checked || q < b->out_w ? vload_upto(s->grad_y[i], n) : vzero();
        s->grad_y[i] += b->grad_y_pixel;
    }
#pragma GCC unroll 2
    for (int offset = 0; offset < stride; offset++) {
        const ptrdiff_t j = q * stride - b->pad + offset;
        if (!checked || (j >= 0 && j < b->in_w)) column(rows, stride, kind, checked, n, b, q, offset, act, s);
    }
}

VINLINE void channel_strip(int rows, int stride, int kind, ptrdiff_t n, const cnn_depthwise_backward *b, ptrdiff_t c,
                           const relu_constants *act) {
    /* Asked for is what the next row of x needs (of grad_y, what only it needs), or, where rows are so short that
     * memory is too slow for that, what the next channels of this row do. */
    const int across = b->lines > 3;
    strip s = {.scale = vload_upto(b->scale + c, n), .shift = vload_upto(b->shift + c, n),
               .mean = vload_upto(b->mean + c, n), .x_ahead = across ? VL : b->in_w * b->pixel,
               .coming_second = (const char *)b->coming[1] - (const char *)b->coming[0],
               .grad_x_ahead = across ? VL : 4 * b->pixel};
    for (int i = 0; i < rows; i++)
        for (int tap = 0; tap < 3; tap++) s.weight[i][tap] = vload_upto(b->w[i] + tap * b->pixel + c, n);
    /* Output columns q - k of all taps exist, and so do the columns of x. */
    const ptrdiff_t before = 2 / stride, first = (b->pad + stride - 1) / stride;
    const ptrdiff_t begin = before > first ? before : first, whole = (b->in_w + b->pad) / stride;
    const ptrdiff_t end = whole < b->out_w ? whole : b->out_w, last = (b->in_w - 1 + b->pad) / stride + 1;
    for (ptrdiff_t line = 0; line < b->lines; line++) {
        s.x = b->x + line * b->in_w * b->pixel + c;
        s.grad_x = b->grad_x + line * b->in_w * b->pixel + c;
        s.coming = b->coming[0] + line * b->out_w * b->pixel + c + (across ? VL : 0);
#pragma GCC unroll 3
        for (int i = 0; i < rows; i++) s.grad_y[i] = b->grad_y[i] + line * b->out_w * b->grad_y_pixel + c;
        for (ptrdiff_t q = 0; q < last; q++) {
            if (q == begin)
                for (; q < end; q++) columns(rows, stride, kind, 0, n, b, q, act, &s);
            if (q < last) columns(rows, stride, kind, 1, n, b, q, act, &s);
        }
    }
    for (int i = 0; i < rows; i++)
        for (int tap = 0; tap < 3; tap++) {
            float *to = b->grad_w[i] + tap * b->pixel + c;
            vstore_upto(to, vload_upto(to, n) + s.grad_w[i][tap], n);
        }
    float g[VL], gx[VL];
    vstore(g, s.sum_g);
    vstore(gx, s.sum_gx);
    for (ptrdiff_t i = 0; i < n; i++) b->sum_g[c + i] += g[i];
    for (ptrdiff_t i = 0; i < n; i++) b->sum_gx[c + i] += gx[i];
}

VINLINE void rows_of(int rows, int stride, int kind, const cnn_depthwise_backward *b, const relu_constants *act) {
    ptrdiff_t c = 0;
    for (; !VLEAN && c + VL <= b->channels; c += VL) channel_strip(rows, stride, kind, VL, b, c, act);
    for (; c < b->channels; c += VL) {
        const ptrdiff_t left = b->channels - c;
        channel_strip(rows, stride, kind, left < VL ? left : VL, b, c, act);
    }
}

VINLINE void rows_of_kind(int rows, int stride, const cnn_depthwise_backward *b) {
    const relu_constants act = relu_of(&b->act);
    if (act.kind == RELU_PLAIN) rows_of(rows, stride, RELU_PLAIN, b, &act);
    else rows_of(rows, stride, RELU_SLOPE, b, &act);    /* linear: slope 1, no maximum */
}

static void rows(const cnn_depthwise_backward *given) {
    const cnn_depthwise_backward copy = *given, *b = &copy;        /* which no store can change */
    switch (2 * b->rows + b->stride) {
    case 2 + 1: rows_of_kind(1, 1, b); break;
    case 2 + 2: rows_of_kind(1, 2, b); break;
    case 4 + 1: rows_of_kind(2, 1, b); break;
    case 4 + 2: rows_of_kind(2, 2, b); break;
    case 6 + 1: rows_of_kind(3, 1, b); break;
    default: rows_of_kind(3, 2, b);
    }
    if (b->stream) vstream_end();
}

extern const cnn_depthwise_backward_kernels KERNEL(cnn_depthwise_backward);
const cnn_depthwise_backward_kernels KERNEL(cnn_depthwise_backward) = {rows};
