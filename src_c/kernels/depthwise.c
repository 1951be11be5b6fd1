/* Depthwise convolution leaves; the contract is in depthwise.h. */
#include "kernels.h"
#include "relu.h"
#include "vec.h"

#define TILE 8                         /* neighbouring outputs of one channel vector that share each weight they load */

extern const cnn_elementwise_kernels KERNEL(cnn_elementwise);     /* for the activations that are not applied in registers */

typedef struct range { ptrdiff_t begin, end; } range;

/* The outputs all of whose taps j_begin..j_end lie inside the row. */
static range interior(const cnn_depthwise_row *g, ptrdiff_t j_begin, ptrdiff_t j_end) {
    ptrdiff_t a = g->offset + j_begin * g->step, b = g->offset + (j_end - 1) * g->step;
    ptrdiff_t low = a < b ? a : b, high = g->in_w - 1 - (a < b ? b : a);             /* q * stride + low >= 0, q * stride <= high */
    ptrdiff_t begin = low < 0 ? (g->stride - 1 - low) / g->stride : 0, end = high < 0 ? 0 : high / g->stride + 1;
    if (end > g->out_w) end = g->out_w;
    if (begin > end) begin = end;
    return (range){begin, end};
}

/* ---- forward, and backward in the input ---- */

/* `outputs` neighbours whose taps are all inside. x: the first one's first tap. */
VINLINE void row_tile(int outputs, ptrdiff_t n, const cnn_depthwise_row *g, const float *x, const float *w, vf bias, const relu_constants *act, float *y) {
    vf sum[TILE];
    for (int q = 0; q < outputs; q++) sum[q] = bias;
    for (ptrdiff_t i = 0; i < g->taps_h; i++)
        for (ptrdiff_t j = 0; j < g->taps_w; j++) {
            vf weight = vload_upto(w + i * g->w_row + j * g->w_tap, n);
            const float *from = x + i * g->x_row + j * g->step * g->x_pixel;
            for (int q = 0; q < outputs; q++) sum[q] = vfma(vload_upto(from + q * g->stride * g->x_pixel, n), weight, sum[q]);
        }
    for (int q = 0; q < outputs; q++) vstore_upto(y + q * g->y_pixel, relu(act->kind, sum[q], act->slope, act->max_value), n);
}

/* One output at the border: taps outside are left out. x: the row's first column. */
VINLINE void border_output(ptrdiff_t n, const cnn_depthwise_row *g, ptrdiff_t q, const float *x, const float *w, vf bias, const relu_constants *act, float *y) {
    vf sum = bias;
    for (ptrdiff_t j = 0; j < g->taps_w; j++) {
        ptrdiff_t column = q * g->stride + g->offset + j * g->step;
        if (column < 0 || column >= g->in_w) continue;
        for (ptrdiff_t i = 0; i < g->taps_h; i++)
            sum = vfma(vload_upto(x + i * g->x_row + column * g->x_pixel, n), vload_upto(w + i * g->w_row + j * g->w_tap, n), sum);
    }
    vstore_upto(y, relu(act->kind, sum, act->slope, act->max_value), n);
}

VINLINE void tile_channels(int outputs, const cnn_depthwise_row *g, ptrdiff_t q, const float *x, const float *w, const float *bias, const relu_constants *act,
                           float *y) {
    const float *from = x + (q * g->stride + g->offset) * g->x_pixel;
    float *to = y + q * g->y_pixel;
    ptrdiff_t c = 0;
    for (; c + VL <= g->channels; c += VL) row_tile(outputs, VL, g, from + c, w + c, bias ? vload(bias + c) : vzero(), act, to + c);
    ptrdiff_t n = g->channels - c;
    if (n) row_tile(outputs, n, g, from + c, w + c, bias ? vload_n(bias + c, n) : vzero(), act, to + c);
}

static void border_channels(const cnn_depthwise_row *g, ptrdiff_t q, const float *x, const float *w, const float *bias, const relu_constants *act, float *y) {
    float *to = y + q * g->y_pixel;
    ptrdiff_t c = 0;
    for (; c + VL <= g->channels; c += VL) border_output(VL, g, q, x + c, w + c, bias ? vload(bias + c) : vzero(), act, to + c);
    ptrdiff_t n = g->channels - c;
    if (n) border_output(n, g, q, x + c, w + c, bias ? vload_n(bias + c, n) : vzero(), act, to + c);
}

/* Tiles of outputs > channel vectors > taps: input and output are walked through in the order of memory. */
static void row(const cnn_depthwise_row *g, const float *x, const float *w, const float *bias, cnn_act act, float *y) {
    const relu_constants in_registers = relu_of(&act);
    range inside = interior(g, 0, g->taps_w);
    ptrdiff_t q = 0;
    for (; q < inside.begin; q++) border_channels(g, q, x, w, bias, &in_registers, y);
    for (; q + 8 <= inside.end; q += 8) tile_channels(8, g, q, x, w, bias, &in_registers, y);
    if (q + 4 <= inside.end) { tile_channels(4, g, q, x, w, bias, &in_registers, y); q += 4; }
    if (q + 2 <= inside.end) { tile_channels(2, g, q, x, w, bias, &in_registers, y); q += 2; }
    if (q + 1 <= inside.end) { tile_channels(1, g, q, x, w, bias, &in_registers, y); q += 1; }
    for (; q < g->out_w; q++) border_channels(g, q, x, w, bias, &in_registers, y);
    if (in_registers.kind == RELU_NONE && act.kind != CNN_LINEAR)
        for (q = 0; q < g->out_w; q++) KERNEL(cnn_elementwise).activate(act, g->channels, y + q * g->y_pixel, y + q * g->y_pixel);
}

/* ---- backward in the weights ---- */

#define TAPS 3                         /* taps along either axis whose sums are in registers */

/* Sums of rows x columns taps of one channel vector over a row of outputs; x and w: the first of these taps. */
VINLINE void weight_tile(int rows, int columns, ptrdiff_t n, const cnn_depthwise_row *g, range inside, ptrdiff_t offset, const float *x, const float *grad_y,
                         float *grad_w) {
    vf sum[TAPS][TAPS];
    ptrdiff_t q = 0;
    for (int i = 0; i < rows; i++) for (int j = 0; j < columns; j++) sum[i][j] = vzero();
    for (; q < inside.begin; q++)
        for (int j = 0; j < columns; j++) {
            ptrdiff_t column = q * g->stride + offset + j * g->step;
            if (column < 0 || column >= g->in_w) continue;
            for (int i = 0; i < rows; i++)
                sum[i][j] = vfma(vload_upto(x + i * g->x_row + column * g->x_pixel, n), vload_upto(grad_y + q * g->y_pixel, n), sum[i][j]);
        }
    for (; q < inside.end; q++) {
        vf g_y = vload_upto(grad_y + q * g->y_pixel, n);
        const float *from = x + (q * g->stride + offset) * g->x_pixel;
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) sum[i][j] = vfma(vload_upto(from + i * g->x_row + j * g->step * g->x_pixel, n), g_y, sum[i][j]);
    }
    for (; q < g->out_w; q++)
        for (int j = 0; j < columns; j++) {
            ptrdiff_t column = q * g->stride + offset + j * g->step;
            if (column < 0 || column >= g->in_w) continue;
            for (int i = 0; i < rows; i++)
                sum[i][j] = vfma(vload_upto(x + i * g->x_row + column * g->x_pixel, n), vload_upto(grad_y + q * g->y_pixel, n), sum[i][j]);
        }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            float *to = grad_w + i * g->w_row + j * g->w_tap;
            vstore_upto(to, vload_upto(to, n) + sum[i][j], n);
        }
}

VINLINE void weight_channels(int rows, int columns, const cnn_depthwise_row *g, ptrdiff_t i, ptrdiff_t j, const float *x, const float *grad_y, float *grad_w) {
    range inside = interior(g, j, j + columns);
    ptrdiff_t c = 0, offset = g->offset + j * g->step;
    x += i * g->x_row;
    grad_w += i * g->w_row + j * g->w_tap;
    for (; c + VL <= g->channels; c += VL) weight_tile(rows, columns, VL, g, inside, offset, x + c, grad_y + c, grad_w + c);
    if (c < g->channels) weight_tile(rows, columns, g->channels - c, g, inside, offset, x + c, grad_y + c, grad_w + c);
}

static void weight_row(const cnn_depthwise_row *g, const float *x, const float *grad_y, float *grad_w) {
    for (ptrdiff_t i = 0; i < g->taps_h; i += TAPS)
        for (ptrdiff_t j = 0; j < g->taps_w; j += TAPS) {
            ptrdiff_t rows = g->taps_h - i < TAPS ? g->taps_h - i : TAPS, columns = g->taps_w - j < TAPS ? g->taps_w - j : TAPS;
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

VINLINE void add_vector(ptrdiff_t n, ptrdiff_t pixels, ptrdiff_t channels, const float *x, float *sum) {
    vf total = vzero();
    for (ptrdiff_t p = 0; p < pixels; p++) total += vload_upto(x + p * channels, n);
    vstore_upto(sum, vload_upto(sum, n) + total, n);
}

static void add_pixels(ptrdiff_t pixels, ptrdiff_t channels, const float *x, float *sum) {
    ptrdiff_t c = 0;
    for (; c + VL <= channels; c += VL) add_vector(VL, pixels, channels, x + c, sum + c);
    if (c < channels) add_vector(channels - c, pixels, channels, x + c, sum + c);
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

static void repeat(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t m, const float *restrict x, float *restrict y) {
    for (ptrdiff_t i = 0; i < pixels * channels; i++)
        for (ptrdiff_t j = 0; j < m; j++) y[i * m + j] = x[i];
}

static void contract(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t m, const float *restrict x, float *restrict y) {
    for (ptrdiff_t i = 0; i < pixels * channels; i++) {
        float sum = x[i * m];
        for (ptrdiff_t j = 1; j < m; j++) sum += x[i * m + j];
        y[i] = sum;
    }
}

extern const cnn_depthwise_kernels KERNEL(cnn_depthwise);
const cnn_depthwise_kernels KERNEL(cnn_depthwise) = { row, weight_row, add_pixels, combine, repeat, contract };
