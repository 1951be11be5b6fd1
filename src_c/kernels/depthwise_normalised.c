/* The contract is in depthwise_normalised.h. Channel vectors > columns > rows of outputs > taps; the weights and the
 * columns under the kernel stay in registers and slide along the rows as far as there are enough. */
#include "kernels.h"
#include "relu.h"
#include "vec.h"

enum { LINE = 16 };                    /* floats in a cache line */
enum { LINES = 5 };                    /* rows of x under two rows of outputs, at most */

typedef struct strip {
    vf weight[3][3], seen[LINES][3];           /* [tap row][tap]; [row of x][column under the kernel] */
    vf scale, shift, origin, sum, square;      /* the last three: of the moments */
    const float *x;                            /* the next column of x, of the first row */
    float *y;                                  /* the next output */
} strip;

/* The next column of x under all rows of the kernel, normalised; `inside`: it exists. */
VINLINE void take(int lines, int kind, int inside, ptrdiff_t n, const cnn_depthwise_normalised *d, int to,
                  const relu_constants *act, strip *s) {
    const ptrdiff_t row = d->in_w * d->pixel;
#pragma GCC unroll 5
    for (int i = 0; i < lines; i++)
        s->seen[i][to] = inside
            ? relu(kind, vfma(vload_upto(s->x + i * row, n), s->scale, s->shift), act->slope, act->max_value) : vzero();
    s->x += d->pixel;
}

/* The outputs of all rows that read column `column` of x first. Where `checked`, columns that do not exist are left
 * out: not times 0, as a weight may be infinite. */
VINLINE void output(int outputs, int taps, int stride, int kind, int checked, ptrdiff_t n,
                    const cnn_depthwise_normalised *d, ptrdiff_t column, const relu_constants *act, strip *s) {
    const int lines = (outputs - 1) * stride + taps;
#pragma GCC unroll 2
    for (int j = 3 - stride; j < 3; j++) {
        /* the rows that the next output rows read first */
        if (!checked)
#pragma GCC unroll 4
            for (int i = 0; i < outputs * stride; i++)
                __builtin_prefetch(s->x + (lines + i) * d->in_w * d->pixel, 0, 2);
        take(lines, kind, !checked || (column + j >= 0 && column + j < d->in_w), n, d, j, act, s);
    }
#pragma GCC unroll 2
    for (int r = 0; r < outputs; r++) {
        float *y = s->y + r * d->out_w * d->pixel;
        vf sum = vzero();
#pragma GCC unroll 3
        for (int i = 0; i < taps; i++)
#pragma GCC unroll 3
            for (int j = 0; j < 3; j++)
                if (!checked || (column + j >= 0 && column + j < d->in_w))
                    sum = vfma(s->seen[r * stride + i][j], s->weight[i][j], sum);
        if (checked && d->start && r == 0 && column == -d->pad) s->origin = sum;
        s->sum += sum - s->origin;
        s->square = vfma(sum - s->origin, sum - s->origin, s->square);
        if (VL == LINE && n == VL && d->stream) {
            vstream(y, sum);
        } else {
            __builtin_prefetch(y + 8 * d->pixel, 1, 3);
            vstore_upto(y, sum, n);
        }
    }
    s->y += d->pixel;
#pragma GCC unroll 5
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 3
        for (int j = 0; j < 3 - stride; j++) s->seen[i][j] = s->seen[i][j + stride];
}

VINLINE void channel_strip(int outputs, int taps, int stride, int kind, ptrdiff_t n, const cnn_depthwise_normalised *d,
                           ptrdiff_t c, const relu_constants *act) {
    strip s = {.scale = vload_upto(d->scale + c, n),
               .shift = vload_upto(d->shift + c, n),
               .x = d->x + c - d->pad * d->pixel,
               .y = d->y + c};
    const cnn_moment_sums *m = d->moments;
    for (int i = 0; i < taps; i++)
        for (int j = 0; j < 3; j++) s.weight[i][j] = vkeep(vload_upto(d->w + (3 * i + j) * d->pixel + c, n));
    if (m && !d->start) {
        s.origin = vload_upto(m->shift + c, n);
        s.sum = vload_upto(m->sum + c, n);
        s.square = vload_upto(m->square + c, n);
    }
    for (int j = 0; j < 3 - stride; j++)
        take((outputs - 1) * stride + taps, kind, j >= d->pad && j - d->pad < d->in_w, n, d, j, act, &s);
    /* Where all columns exist, but for the first output, which the moments may begin with. */
    const ptrdiff_t begin = d->pad > stride ? (d->pad + stride - 1) / stride : 1;
    const ptrdiff_t whole = d->in_w + d->pad >= 3 ? (d->in_w + d->pad - 3) / stride + 1 : 0;
    const ptrdiff_t end = whole < d->out_w ? whole : d->out_w;
    for (ptrdiff_t q = 0; q < d->out_w; q++) {
        if (q == begin)
            for (; q < end; q++) output(outputs, taps, stride, kind, 0, n, d, 0, act, &s);
        if (q < d->out_w) output(outputs, taps, stride, kind, 1, n, d, q * stride - d->pad, act, &s);
    }
    if (!m) return;
    vstore_upto(m->shift + c, s.origin, n);
    vstore_upto(m->sum + c, s.sum, n);
    vstore_upto(m->square + c, s.square, n);
}

VINLINE void rows_of(int outputs, int taps, int stride, int kind, const cnn_depthwise_normalised *d,
                     const relu_constants *act) {
    ptrdiff_t c = 0;
    for (; !VLEAN && c + VL <= d->channels; c += VL) channel_strip(outputs, taps, stride, kind, VL, d, c, act);
    for (; c < d->channels; c += VL) {
        const ptrdiff_t left = d->channels - c;
        channel_strip(outputs, taps, stride, kind, left < VL ? left : VL, d, c, act);
    }
}

VINLINE void rows_of_kind(int outputs, int taps, int stride, const cnn_depthwise_normalised *d) {
    const relu_constants act = relu_of(&d->act);
    if (act.kind == RELU_PLAIN) rows_of(outputs, taps, stride, RELU_PLAIN, d, &act);
    else rows_of(outputs, taps, stride, RELU_SLOPE, d, &act);    /* linear: slope 1, no maximum */
}

static void rows(const cnn_depthwise_normalised *given) {
    const cnn_depthwise_normalised copy = *given, *d = &copy;      /* which no store can change */
    switch (d->outputs == 2 ? 8 + d->stride : 2 * d->taps + d->stride - 1) {
    case 0: case 1: rows_of_kind(1, 0, 1, d); break;
    case 2: rows_of_kind(1, 1, 1, d); break;
    case 3: rows_of_kind(1, 1, 2, d); break;
    case 4: rows_of_kind(1, 2, 1, d); break;
    case 5: rows_of_kind(1, 2, 2, d); break;
    case 6: rows_of_kind(1, 3, 1, d); break;
    case 7: rows_of_kind(1, 3, 2, d); break;
    case 8 + 1: rows_of_kind(2, 3, 1, d); break;
    default: rows_of_kind(2, 3, 2, d);
    }
    if (d->stream) vstream_end();
}

extern const cnn_depthwise_normalised_kernels KERNEL(cnn_depthwise_normalised);
const cnn_depthwise_normalised_kernels KERNEL(cnn_depthwise_normalised) = {VREGISTERS >= 32, rows};
