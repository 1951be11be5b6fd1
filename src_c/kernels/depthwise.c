/* Depthwise convolution leaves; the contract is in depthwise.h. */
#include "kernels.h"
#include "relu.h"
#include "vec.h"

#define TILE 8                         /* neighbouring outputs of one channel vector that share the weights they load */
#define MOST_TAPS 9                    /* in a row, of the kernels with a fixed number of taps */
#define SOME_TAPS 7                    /* of a longer row, taken at once */

/* For the activations that are not applied in registers. */
extern const cnn_elementwise_kernels KERNEL(cnn_elementwise);

typedef struct range { ptrdiff_t begin, end; } range;

/* The outputs all of whose taps j_begin..j_end lie inside the row. */
static range interior(const cnn_depthwise_row *g, ptrdiff_t j_begin, ptrdiff_t j_end) {
    ptrdiff_t a = g->offset + j_begin * g->step, b = g->offset + (j_end - 1) * g->step;
    ptrdiff_t low = a < b ? a : b, high = g->in_w - 1 - (a < b ? b : a); /* q * stride + low >= 0, q * stride <= high */
    ptrdiff_t begin = low < 0 ? (g->stride - 1 - low) / g->stride : 0, end = high < 0 ? 0 : high / g->stride + 1;
    if (end > g->out_w) end = g->out_w;
    if (begin > end) begin = end;
    return (range){begin, end};
}

/* ---- forward, and backward in the input ---- */

VINLINE vf bias_of(const float *bias, ptrdiff_t n) { return bias ? vload_upto(bias, n) : vzero(); }

/* Adds the products of so many taps next to each other to TILE neighbouring outputs. Every column is loaded once and
 * used by all outputs that read it; the weights stay in registers. Where `checked`, columns outside the row are left
 * out. x: column 0; first: the column of output 0, tap 0. */
VINLINE void add_taps(int taps, int stride, int checked, ptrdiff_t n, const cnn_depthwise_row *g, ptrdiff_t first,
                      const float *x, const float *w, vf sum[TILE]) {
    vf weight[MOST_TAPS];
    const float *from = x + first * g->x_pixel;
    for (int j = 0; j < taps; j++) weight[j] = vload_upto(w + j * g->w_tap, n);
#pragma GCC unroll 32
    for (int k = 0; k < (TILE - 1) * stride + taps; k++, from += g->x_pixel) {
        if (checked && (first + k < 0 || first + k >= g->in_w)) continue;
        vf v = vkeep(vload_upto(from, n));
#pragma GCC unroll 32
        for (int q = 0; q < TILE; q++)
            if (k >= q * stride && k < q * stride + taps) sum[q] = vfma(v, weight[k - q * stride], sum[q]);
    }
}

/* Where `checked`, only the first `count` outputs. */
VINLINE void store_tile(int checked, ptrdiff_t n, const cnn_depthwise_row *g, ptrdiff_t count, const vf sum[TILE],
                        const relu_constants *act, float *y) {
#pragma GCC unroll 32
    for (int q = 0; q < TILE; q++)
        if (!checked || q < count)
            vstore_upto(y + q * g->y_pixel, relu(act->kind, sum[q], act->slope, act->max_value), n);
}

/* TILE neighbouring outputs for a fixed number of taps per row, next to each other. x: column 0 of the first tap
 * row. */
VINLINE void fixed_tile(int taps, int stride, int checked, ptrdiff_t n, const cnn_depthwise_row *g, ptrdiff_t first,
                        ptrdiff_t count, const float *x, const float *w, vf bias, const relu_constants *act, float *y) {
    vf sum[TILE];
    for (int q = 0; q < TILE; q++) sum[q] = bias;
    for (ptrdiff_t i = 0; i < g->taps_h; i++)
        add_taps(taps, stride, checked, n, g, first, x + i * g->x_row, w + i * g->w_row, sum);
    store_tile(checked, n, g, count, sum, act, y);
}

/* Tiles of outputs > channel vectors > taps: input and output are walked through in the order of memory. */
VINLINE void fixed_row(int taps, int stride, const cnn_depthwise_row *g, const float *x, const float *w,
                       const float *bias, const relu_constants *act, float *y) {
    range inside = interior(g, 0, taps);
    for (ptrdiff_t q = 0; q < g->out_w; q += TILE) {
        ptrdiff_t c = 0, first = q * stride + g->offset, count = g->out_w - q < TILE ? g->out_w - q : TILE;
        float *to = y + q * g->y_pixel;
        if (q >= inside.begin && q + TILE <= inside.end)
            for (; c + VL <= g->channels; c += VL)
                fixed_tile(taps, stride, 0, VL, g, first, TILE, x + c, w + c, bias_of(bias ? bias + c : bias, VL), act,
                           to + c);
        for (; c < g->channels; c += VL) {
            ptrdiff_t n = g->channels - c < VL ? g->channels - c : VL;
            fixed_tile(taps, stride, 1, n, g, first, count, x + c, w + c, bias_of(bias ? bias + c : bias, n), act,
                       to + c);
        }
    }
}

/* Adds the products of one tap at any stride; first: the column of output 0. */
VINLINE void add_tap(int checked, ptrdiff_t n, const cnn_depthwise_row *g, ptrdiff_t first, const float *x, vf weight,
                     vf sum[TILE]) {
    const float *from = x + first * g->x_pixel;
    const ptrdiff_t next = g->stride * g->x_pixel;
    if (!checked || (first >= 0 && first + (TILE - 1) * g->stride < g->in_w)) {
        for (int q = 0; q < TILE; q++) sum[q] = vfma(vload_upto(from + q * next, n), weight, sum[q]);
        return;
    }
#pragma GCC unroll 32
    for (int q = 0; q < TILE; q++)
        if (first + q * g->stride >= 0 && first + q * g->stride < g->in_w)
            sum[q] = vfma(vload_upto(from + q * next, n), weight, sum[q]);
}

/* The same as fixed_tile for any number of taps and any dilation. */
VINLINE void any_tile(int checked, ptrdiff_t n, const cnn_depthwise_row *g, ptrdiff_t first, ptrdiff_t count,
                      const float *x, const float *w, vf bias, const relu_constants *act, float *y) {
    vf sum[TILE];
    for (int q = 0; q < TILE; q++) sum[q] = bias;
    for (ptrdiff_t i = 0; i < g->taps_h; i++, x += g->x_row, w += g->w_row) {
        ptrdiff_t j = 0;
        if (g->step == 1 && g->stride == 1)
            for (; j + SOME_TAPS <= g->taps_w; j += SOME_TAPS)
                add_taps(SOME_TAPS, 1, checked, n, g, first + j, x, w + j * g->w_tap, sum);
        for (; j < g->taps_w; j++)
            add_tap(checked, n, g, first + j * g->step, x, vload_upto(w + j * g->w_tap, n), sum);
    }
    store_tile(checked, n, g, count, sum, act, y);
}

static void any_row(const cnn_depthwise_row *g, const float *x, const float *w, const float *bias,
                    const relu_constants *act, float *y) {
    const range inside = interior(g, 0, g->taps_w);
    for (ptrdiff_t q = 0; q < g->out_w; q += TILE) {
        const ptrdiff_t first = q * g->stride + g->offset, count = g->out_w - q < TILE ? g->out_w - q : TILE;
        const int checked = q < inside.begin || q + TILE > inside.end;
        for (ptrdiff_t c = 0; c < g->channels; c += VL) {
            const ptrdiff_t n = g->channels - c < VL ? g->channels - c : VL;
            const vf b = bias_of(bias ? bias + c : bias, n);
            float *to = y + q * g->y_pixel + c;
            if (n < VL) any_tile(1, n, g, first, count, x + c, w + c, b, act, to);
            else if (checked) any_tile(1, VL, g, first, count, x + c, w + c, b, act, to);
            else any_tile(0, VL, g, first, TILE, x + c, w + c, b, act, to);
        }
    }
}

static void other_row(const cnn_depthwise_row *g, const float *x, const float *w, const float *bias,
                      const relu_constants *act, float *y) {
    switch (g->stride < 4 && (g->step == 1 || g->taps_w == 1) ? g->taps_w * 4 + g->stride : 0) {
    case 4 + 1: fixed_row(1, 1, g, x, w, bias, act, y); break;
    case 8 + 1: fixed_row(2, 1, g, x, w, bias, act, y); break;
    case 12 + 1: fixed_row(3, 1, g, x, w, bias, act, y); break;
    case 20 + 1: fixed_row(5, 1, g, x, w, bias, act, y); break;
    case 20 + 2: fixed_row(5, 2, g, x, w, bias, act, y); break;
    case 28 + 1: fixed_row(7, 1, g, x, w, bias, act, y); break;
    case 36 + 1: fixed_row(9, 1, g, x, w, bias, act, y); break;
    default: any_row(g, x, w, bias, act, y);
    }
}

/* Three taps next to each other in each of two or three rows, for one channel vector of one or two neighbouring rows of
 * outputs: all weights stay in registers, and so do the columns under the kernel, which slide along the rows.
 * `below`: tap rows from an output row to the next. */
VINLINE void sliding_border(int outputs, int below, int taps_h, int stride, const cnn_depthwise_row *g, ptrdiff_t q,
                            const float *x, const vf weight[3][3], vf bias, relu_constants act, float *y) {
    for (int r = 0; r < outputs; r++) {
        vf sum = bias;
#pragma GCC unroll 3
        for (int i = 0; i < taps_h; i++)
#pragma GCC unroll 3
            for (int j = 0; j < 3; j++) {
                const ptrdiff_t column = q * stride + g->offset + j;
                if (column >= 0 && column < g->in_w)
                    sum = vfma(vload(x + (r * below + i) * g->x_row + column * g->x_pixel), weight[i][j], sum);
            }
        vstore(y + r * g->y_row + q * g->y_pixel, relu(act.kind, sum, act.slope, act.max_value));
    }
}

VINLINE void sliding_strip(int outputs, int below, int taps_h, int stride, const cnn_depthwise_row *g, range inside,
                           const float *x, const float *w, vf bias, relu_constants act, float *y) {
    const ptrdiff_t x_row = g->x_row, x_pixel = g->x_pixel, y_row = g->y_row, y_pixel = g->y_pixel;
    const int lines = (outputs - 1) * below + taps_h, fetch = g->in_memory;
    vf weight[3][3], seen[5][3];
    ptrdiff_t q = 0;
    for (int i = 0; i < taps_h; i++)
        for (int j = 0; j < 3; j++) weight[i][j] = vkeep(vload(w + i * g->w_row + j * g->w_tap));
    for (; q < inside.begin; q++) sliding_border(outputs, below, taps_h, stride, g, q, x, weight, bias, act, y);
    if (q < inside.end) {
        const float *from = x + (q * stride + g->offset) * x_pixel;
        for (int j = 0; j < 3 - stride; j++, from += x_pixel)
            for (int i = 0; i < lines; i++) seen[i][j] = vload(from + i * x_row);
        for (; q < inside.end; q++) {
#pragma GCC unroll 3
            for (int j = 3 - stride; j < 3; j++, from += x_pixel) {
#pragma GCC unroll 5
                for (int i = 0; i < lines; i++) seen[i][j] = vload(from + i * x_row);
                if (fetch) /* the rows that the next output rows read first */
#pragma GCC unroll 4
                    for (int i = 0; i < outputs * below; i++) __builtin_prefetch(from + (lines + i) * x_row, 0, 2);
            }
#pragma GCC unroll 2
            for (int r = 0; r < outputs; r++) __builtin_prefetch(y + r * y_row + (q + 8) * y_pixel, 1, 3);
#pragma GCC unroll 2
            for (int r = 0; r < outputs; r++) {
                vf sum = bias;
#pragma GCC unroll 3
                for (int i = 0; i < taps_h; i++)
#pragma GCC unroll 3
                    for (int j = 0; j < 3; j++) sum = vfma(seen[r * below + i][j], weight[i][j], sum);
                vstore(y + r * y_row + q * y_pixel, relu(act.kind, sum, act.slope, act.max_value));
            }
#pragma GCC unroll 5
            for (int i = 0; i < lines; i++)
#pragma GCC unroll 3
                for (int j = 0; j < 3 - stride; j++) seen[i][j] = seen[i][j + stride];
        }
    }
    for (; q < g->out_w; q++) sliding_border(outputs, below, taps_h, stride, g, q, x, weight, bias, act, y);
}

VINLINE void sliding_rows(int outputs, int below, int taps_h, int stride, const cnn_depthwise_row *g, const float *x,
                          const float *w, const float *bias, const relu_constants *act, float *y) {
    const range inside = interior(g, 0, 3);
    ptrdiff_t c = 0;
    for (; c + VL <= g->channels; c += VL)
        sliding_strip(outputs, below, taps_h, stride, g, inside, x + c, w + c, bias_of(bias ? bias + c : bias, VL),
                      *act, y + c);
    if (c == g->channels) return;
    cnn_depthwise_row rest = *g;
    rest.channels -= c;
    for (int r = 0; r < outputs; r++)
        any_row(&rest, x + c + r * below * g->x_row, w + c, bias ? bias + c : bias, act, y + c + r * g->y_row);
}

/* Taps that are `step` >= 0 columns apart. */
static void forward_row(const cnn_depthwise_row *g, const float *x, const float *w, const float *bias,
                        const relu_constants *act, float *y) {
    const int three = g->taps_w == 3 && g->step == 1 && g->stride < 4 && (g->taps_h == 2 || g->taps_h == 3);
    if (g->outputs == 2 && g->stride == 1) sliding_rows(2, 1, 3, 1, g, x, w, bias, act, y);
    else if (g->outputs == 2) sliding_rows(2, 2, 3, 2, g, x, w, bias, act, y);
    else switch (three ? g->taps_h * 4 + g->stride : 0) {
    case 8 + 1: sliding_rows(1, 1, 2, 1, g, x, w, bias, act, y); break;
    case 8 + 2: sliding_rows(1, 1, 2, 2, g, x, w, bias, act, y); break;
    case 12 + 1: sliding_rows(1, 1, 3, 1, g, x, w, bias, act, y); break;
    case 12 + 2: sliding_rows(1, 1, 3, 2, g, x, w, bias, act, y); break;
    default: other_row(g, x, w, bias, act, y);
    }
}

/* With stride 1 and taps d columns apart, outputs d apart read columns d apart: d rows whose taps are neighbours. */
static void dilated_row(const cnn_depthwise_row *g, const float *x, const float *w, const float *bias,
                        const relu_constants *act, float *y) {
    for (ptrdiff_t first = 0; first < g->step && first < g->out_w; first++) {
        cnn_depthwise_row every = *g;
        const ptrdiff_t column = ((first + g->offset) % g->step + g->step) % g->step;
        every.in_w = column < g->in_w ? (g->in_w - 1 - column) / g->step + 1 : 0;
        every.out_w = (g->out_w - 1 - first) / g->step + 1;
        every.offset = (first + g->offset - column) / g->step;
        every.x_pixel *= g->step;
        every.y_pixel *= g->step;
        every.step = 1;
        forward_row(&every, x + column * g->x_pixel, w, bias, act, y + first * g->y_pixel);
    }
}

static void row(const cnn_depthwise_row *given, const float *x, const float *w, const float *bias, cnn_act act,
                float *y) {
    const relu_constants in_registers = relu_of(&act);
    cnn_depthwise_row turned = *given, *g = &turned;
    if (g->step < 0 && g->taps_w > 0) { /* taken from the last tap on, the taps walk forwards */
        w += (g->taps_w - 1) * g->w_tap;
        g->offset += (g->taps_w - 1) * g->step;
        g->w_tap = -g->w_tap;
        g->step = -g->step;
    }
    if (g->stride == 1 && g->step > 1 && g->taps_w > 1) dilated_row(g, x, w, bias, &in_registers, y);
    else forward_row(g, x, w, bias, &in_registers, y);
    if (in_registers.kind == RELU_NONE && act.kind != CNN_LINEAR)
        for (ptrdiff_t r = 0; r < g->outputs; r++)
            for (ptrdiff_t q = 0; q < g->out_w; q++) {
                float *at = y + r * g->y_row + q * g->y_pixel;
                KERNEL(cnn_elementwise).activate(act, g->channels, at, at);
            }
}

/* ---- backward in the weights ---- */

#define TAPS 3                         /* taps along either axis whose sums are in registers */

/* Sums of rows x columns taps of one channel vector over a row of outputs; x and w: the first of these taps. */
VINLINE void weight_tile(int rows, int columns, ptrdiff_t n, const cnn_depthwise_row *g, range inside, ptrdiff_t offset,
                         const float *x, const float *grad_y, float *grad_w) {
    vf sum[TAPS][TAPS];
    ptrdiff_t q = 0;
    for (int i = 0; i < rows; i++) for (int j = 0; j < columns; j++) sum[i][j] = vzero();
    for (; q < inside.begin; q++)
        for (int j = 0; j < columns; j++) {
            ptrdiff_t column = q * g->stride + offset + j * g->step;
            if (column < 0 || column >= g->in_w) continue;
            for (int i = 0; i < rows; i++)
                sum[i][j] = vfma(vload_upto(x + i * g->x_row + column * g->x_pixel, n),
                                 vload_upto(grad_y + q * g->y_pixel, n), sum[i][j]);
        }
    for (; q < inside.end; q++) {
        vf g_y = vload_upto(grad_y + q * g->y_pixel, n);
        const float *from = x + (q * g->stride + offset) * g->x_pixel;
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++)
                sum[i][j] = vfma(vload_upto(from + i * g->x_row + j * g->step * g->x_pixel, n), g_y, sum[i][j]);
    }
    for (; q < g->out_w; q++)
        for (int j = 0; j < columns; j++) {
            ptrdiff_t column = q * g->stride + offset + j * g->step;
            if (column < 0 || column >= g->in_w) continue;
            for (int i = 0; i < rows; i++)
                sum[i][j] = vfma(vload_upto(x + i * g->x_row + column * g->x_pixel, n),
                                 vload_upto(grad_y + q * g->y_pixel, n), sum[i][j]);
        }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            float *to = grad_w + i * g->w_row + j * g->w_tap;
            vstore_upto(to, vload_upto(to, n) + sum[i][j], n);
        }
}

/* The same for three taps next to each other and stride 1: every column of x meets the grad_y of three outputs, which
 * slide through registers. */
VINLINE void weight_sliding(int rows, ptrdiff_t n, const cnn_depthwise_row *g, ptrdiff_t offset, const float *x,
                            const float *grad_y, float *grad_w) {
    vf sum[TAPS][TAPS], g0, g1, g2; /* of the outputs that read the column with tap 0, 1, 2 */
    ptrdiff_t column = offset > 0 ? offset : 0, q = column - offset, end = g->out_w + 2 + offset;
    if (end > g->in_w) end = g->in_w;
    for (int i = 0; i < rows; i++) for (int j = 0; j < TAPS; j++) sum[i][j] = vzero();
    g0 = q >= 1 && q - 1 < g->out_w ? vload_upto(grad_y + (q - 1) * g->y_pixel, n) : vzero();
    g1 = q >= 2 && q - 2 < g->out_w ? vload_upto(grad_y + (q - 2) * g->y_pixel, n) : vzero();
    for (; column < end; column++, q++) {
        const float *from = x + column * g->x_pixel;
        g2 = g1;
        g1 = g0;
        g0 = q < g->out_w ? vload_upto(grad_y + q * g->y_pixel, n) : vzero();
        if (q >= 2 && q < g->out_w)
            for (int i = 0; i < rows; i++) {
                vf v = vkeep(vload_upto(from + i * g->x_row, n));
                sum[i][0] = vfma(v, g0, sum[i][0]);
                sum[i][1] = vfma(v, g1, sum[i][1]);
                sum[i][2] = vfma(v, g2, sum[i][2]);
            }
        else                                 /* not times 0: the column may hold an infinity or a NaN */
            for (int i = 0; i < rows; i++) {
                vf v = vkeep(vload_upto(from + i * g->x_row, n));
                if (q < g->out_w) sum[i][0] = vfma(v, g0, sum[i][0]);
                if (q >= 1 && q - 1 < g->out_w) sum[i][1] = vfma(v, g1, sum[i][1]);
                if (q >= 2 && q - 2 < g->out_w) sum[i][2] = vfma(v, g2, sum[i][2]);
            }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < TAPS; j++) {
            float *to = grad_w + i * g->w_row + j * g->w_tap;
            vstore_upto(to, vload_upto(to, n) + sum[i][j], n);
        }
}

VINLINE void weight_channels(int rows, int columns, const cnn_depthwise_row *g, ptrdiff_t i, ptrdiff_t j,
                             const float *x, const float *grad_y, float *grad_w) {
    range inside = interior(g, j, j + columns);
    ptrdiff_t c = 0, offset = g->offset + j * g->step;
    x += i * g->x_row;
    grad_w += i * g->w_row + j * g->w_tap;
    if (columns == TAPS && g->stride == 1 && g->step == 1)
        for (; c + VL <= g->channels; c += VL) weight_sliding(rows, VL, g, offset, x + c, grad_y + c, grad_w + c);
    for (; c + VL <= g->channels; c += VL)
        weight_tile(rows, columns, VL, g, inside, offset, x + c, grad_y + c, grad_w + c);
    if (c < g->channels) weight_tile(rows, columns, g->channels - c, g, inside, offset, x + c, grad_y + c, grad_w + c);
}

static void weight_row(const cnn_depthwise_row *g, const float *x, const float *grad_y, float *grad_w) {
    for (ptrdiff_t i = 0; i < g->taps_h; i += TAPS)
        for (ptrdiff_t j = 0; j < g->taps_w; j += TAPS) {
            ptrdiff_t rows = g->taps_h - i < TAPS ? g->taps_h - i : TAPS,
                      columns = g->taps_w - j < TAPS ? g->taps_w - j : TAPS;
            switch (rows * 4 + columns) {
            case 4 + 1: weight_channels(1, 1, g, i, j, x, grad_y, grad_w); break;
            case 4 + 2: weight_channels(1, 2, g, i, j, x, grad_y, grad_w); break;
            case 4 + 3: weight_channels(1, 3, g, i, j, x, grad_y, grad_w); break;
            case 8 + 1: weight_channels(2, 1, g, i, j, x, grad_y, grad_w); break;
            case 8 + 2: weight_channels(2, 2, g, i, j, x, grad_y, grad_w); break;
            case 8 + 3: weight_channels(2, 3, g, i, j, x, grad_y, grad_w); break;
            case 12 + 1: weight_channels(3, 1, g, i, j, x, grad_y, grad_w); break;
            case 12 + 2: weight_channels(3, 2, g, i, j, x, grad_y, grad_w); break;
            default: weight_channels(3, 3, g, i, j, x, grad_y, grad_w); break;
            }
        }
}

VINLINE void add_vector(ptrdiff_t n, ptrdiff_t pixels, ptrdiff_t x_pixel, const float *x, float *sum) {
    vf total = vzero();
    for (ptrdiff_t p = 0; p < pixels; p++) total += vload_upto(x + p * x_pixel, n);
    vstore_upto(sum, vload_upto(sum, n) + total, n);
}

static void add_pixels(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t x_pixel, const float *x, float *sum) {
    ptrdiff_t c = 0;
    for (; c + VL <= channels; c += VL) add_vector(VL, pixels, x_pixel, x + c, sum + c);
    if (c < channels) add_vector(channels - c, pixels, x_pixel, x + c, sum + c);
}

static void combine(ptrdiff_t n, ptrdiff_t blocks, const float *slots, ptrdiff_t stride, float *y) {
    for (ptrdiff_t begin = 0; begin < n; begin += 64) {
        ptrdiff_t count = n - begin < 64 ? n - begin : 64;
        double sum[64] = {0};
        for (ptrdiff_t b = 0; b < blocks; b++)
            for (ptrdiff_t i = 0; i < count; i++) sum[i] += slots[b * stride + begin + i];
        for (ptrdiff_t i = 0; i < count; i++) y[begin + i] = (float)sum[i];
    }
}

/* ---- channel multiplier ---- */

VINLINE void repeat_by(ptrdiff_t m, ptrdiff_t n, const float *restrict x, float *restrict y) {
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t j = 0; j < m; j++) y[i * m + j] = x[i];
}

VINLINE void contract_by(ptrdiff_t m, ptrdiff_t n, const float *restrict x, float *restrict y) {
    for (ptrdiff_t i = 0; i < n; i++) {
        float sum = x[i * m];
        for (ptrdiff_t j = 1; j < m; j++) sum += x[i * m + j];
        y[i] = sum;
    }
}

/* With m as a constant these are permutations of vectors. */
static void repeat(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t m, const float *x, float *y) {
    switch (m) {
    case 2: repeat_by(2, pixels * channels, x, y); break;
    case 4: repeat_by(4, pixels * channels, x, y); break;
    default: repeat_by(m, pixels * channels, x, y);
    }
}

static void contract(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t m, const float *x, float *y) {
    switch (m) {
    case 2: contract_by(2, pixels * channels, x, y); break;
    case 4: contract_by(4, pixels * channels, x, y); break;
    default: contract_by(m, pixels * channels, x, y);
    }
}

extern const cnn_depthwise_kernels KERNEL(cnn_depthwise);
const cnn_depthwise_kernels KERNEL(cnn_depthwise) = {
    VREGISTERS >= 32, row, weight_row, add_pixels, combine, repeat, contract
};
