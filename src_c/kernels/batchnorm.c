/* Batch normalisation leaves; the contract is in batchnorm.h. Parallel axis of the callers: rows. */
#include "kernels.h"
#include "relu.h"
#include "vec.h"

/* For the activations that are not applied in registers. */
extern const cnn_elementwise_kernels KERNEL(cnn_elementwise);

#define GROUP 4 /* wide rows added at a time: the running sums are loaded and stored once per group */
#define STRIP 64                       /* channels combined at a time */
#define COLUMNS 512 /* of wide rows summed at a time, so that the running sums stay in the first cache */

/* Sums the `fold` copies of each channel of a wide array. */
static void fold_sums(ptrdiff_t channels, ptrdiff_t fold, const float *restrict wide, double *restrict sums) {
    for (ptrdiff_t c = 0; c < channels; c++) sums[c] = wide[c];
    for (ptrdiff_t k = 1; k < fold; k++)
        for (ptrdiff_t c = 0; c < channels; c++) sums[c] += wide[k * channels + c];
}

/* ---- moments ---- */

VINLINE void moments_vector(int rows, ptrdiff_t n, const float *x, ptrdiff_t width, const float *shift, float *sum,
                            float *square) {
    vf middle = vload_upto(shift, n), s = vload_upto(sum, n), q = vload_upto(square, n);
    for (int r = 0; r < rows; r++) {
        vf d = vload_upto(x + r * width, n) - middle;
        s += d;
        q = vfma(d, d, q);
    }
    vstore_upto(sum, s, n);
    vstore_upto(square, q, n);
}

VINLINE void moments_rows(int rows, ptrdiff_t length, const float *x, ptrdiff_t width, const float *shift, float *sum,
                          float *square) {
    ptrdiff_t j = 0;
    for (; j + VL <= length; j += VL) moments_vector(rows, VL, x + j, width, shift + j, sum + j, square + j);
    if (j < length) moments_vector(rows, length - j, x + j, width, shift + j, sum + j, square + j);
}

/* One reading of x: sums of d = x - shift and d^2. The shift is the mean of the block's first rows, s of its n: as it
 * is a mean of the data, its distance from the true mean is at most sqrt(var n / s), so subtracting (sum d)^2 / n
 * cancels at most log2(1 + n / s) bits, however far the mean is from 0. */
static void moments(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t fold, const float *x, float *scratch, double *mean,
                    double *m2) {
    ptrdiff_t width = fold * channels, wide = rows / fold, rest = rows % fold * channels;
    float *shift = scratch, *sum = scratch + width, *square = scratch + 2 * width;
    ptrdiff_t sample = wide ? (wide < GROUP ? wide : GROUP) * fold : rows;           /* rows that make the shift */
    memset(scratch, 0, (size_t)width * 3 * sizeof *scratch);
    for (ptrdiff_t r = 0; r < sample; r += fold)                                     /* shift is 0 here: plain sums */
        moments_rows(1, wide ? width : rest, x + r * channels, width, shift, sum, square);
    fold_sums(channels, fold, sum, mean);
    for (ptrdiff_t c = 0; c < channels; c++) shift[c] = (float)(mean[c] / (double)sample);
    for (ptrdiff_t k = 1; k < fold; k++) memcpy(shift + k * channels, shift, (size_t)channels * sizeof *shift);

    memset(sum, 0, (size_t)width * 2 * sizeof *sum);
    for (ptrdiff_t j = 0; j < width; j += COLUMNS) {
        ptrdiff_t length = width - j < COLUMNS ? width - j : COLUMNS, r = 0;
        for (; r + GROUP <= wide; r += GROUP)
            moments_rows(GROUP, length, x + r * width + j, width, shift + j, sum + j, square + j);
        for (; r < wide; r++) moments_rows(1, length, x + r * width + j, width, shift + j, sum + j, square + j);
    }
    if (rest) moments_rows(1, rest, x + wide * width, width, shift, sum, square);
    fold_sums(channels, fold, sum, mean);
    fold_sums(channels, fold, square, m2);
    double n = (double)rows;
    for (ptrdiff_t c = 0; c < channels; c++) {
        double s = mean[c], corrected = m2[c] - s * s / n;
        m2[c] = corrected < 0 ? 0 : corrected;                                       /* NaN stays */
        mean[c] = shift[c] + s / n;
    }
}

/* Chan, Golub and LeVeque 1983: m2 = sum_b m2_b + n_b (mean_b - mean)^2. */
static void combine_moments(ptrdiff_t channels, ptrdiff_t rows, ptrdiff_t rows_per_block, const double *slots,
                            ptrdiff_t stride, ptrdiff_t m2_offset, float *mean, float *var) {
    ptrdiff_t blocks = (rows + rows_per_block - 1) / rows_per_block;
    for (ptrdiff_t begin = 0; begin < channels; begin += STRIP) {
        ptrdiff_t n = channels - begin < STRIP ? channels - begin : STRIP;
        double middle[STRIP] = {0}, m2[STRIP] = {0};
        for (ptrdiff_t b = 0; b < blocks; b++) {
            const double *block_mean = slots + b * stride + begin;
            double share = (double)(b < blocks - 1 ? rows_per_block : rows - b * rows_per_block) / (double)rows;
            for (ptrdiff_t c = 0; c < n; c++) middle[c] += share * block_mean[c];
        }
        for (ptrdiff_t b = 0; b < blocks; b++) {
            const double *block_mean = slots + b * stride + begin, *block_m2 = block_mean + m2_offset;
            double count = (double)(b < blocks - 1 ? rows_per_block : rows - b * rows_per_block);
            for (ptrdiff_t c = 0; c < n; c++) {
                double d = block_mean[c] - middle[c];
                m2[c] += block_m2[c] + count * d * d;
            }
        }
        for (ptrdiff_t c = 0; c < n; c++) {
            mean[begin + c] = (float)middle[c];
            var[begin + c] = (float)(m2[c] / (double)rows);
        }
    }
}

/* ---- forward ---- */

static void constants(ptrdiff_t channels, const float *bias, const float *mean, const float *var, const float *gamma,
                      const float *beta, double epsilon, float *scale, float *shift) {
    for (ptrdiff_t c = 0; c < channels; c++) {
        double a = (gamma ? gamma[c] : 1.0) / __builtin_sqrt(var[c] + epsilon);
        scale[c] = (float)a;
        shift[c] = (float)((beta ? beta[c] : 0.0) + ((bias ? bias[c] : 0.0) - mean[c]) * a);
    }
}

VINLINE void apply_vector(int kind, int shifted, int added, ptrdiff_t n, const float *x, const float *scale,
                          const float *shift, const float *residual, vf slope, vf max_value, float *y) {
    vf v = vload_upto(x, n), a = vload_upto(scale, n);
    v = shifted ? vfma(v, a, vload_upto(shift, n)) : v * a;
    if (added) v += vload_upto(residual, n);
    vstore_upto(y, relu(kind, v, slope, max_value), n);
}

VINLINE void apply_rows(int kind, int shifted, int added, ptrdiff_t count, ptrdiff_t width, const float *x,
                        const float *scale, const float *shift, const float *residual, const cnn_act *act, float *y) {
    relu_constants r = relu_of(act);
    for (ptrdiff_t at = 0; at < count; at += width) {
        ptrdiff_t length = count - at < width ? count - at : width, j = 0;
        for (; j + VL <= length; j += VL)
            apply_vector(kind, shifted, added, VL, x + at + j, scale + j, shift + j, residual + at + j, r.slope,
                         r.max_value, y + at + j);
        if (j < length)
            apply_vector(kind, shifted, added, length - j, x + at + j, scale + j, shift + j, residual + at + j, r.slope,
                         r.max_value, y + at + j);
        if (kind == RELU_NONE && act->kind != CNN_LINEAR)
            KERNEL(cnn_elementwise).activate(*act, length, y + at, y + at); /* while it is hot */
    }
}

static void apply(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t fold, const float *x, const float *scale,
                  const float *shift, const float *residual, cnn_act act, float *y) {
    ptrdiff_t count = rows * channels, width = fold * channels;
    int kind = relu_of(&act).kind;
    if (!shift) apply_rows(RELU_NONE, 0, 0, count, width, x, scale, scale, x, &act, y);
    else if (!residual && kind == RELU_NONE) apply_rows(RELU_NONE, 1, 0, count, width, x, scale, shift, x, &act, y);
    else if (!residual && kind == RELU_PLAIN) apply_rows(RELU_PLAIN, 1, 0, count, width, x, scale, shift, x, &act, y);
    else if (!residual) apply_rows(RELU_SLOPE, 1, 0, count, width, x, scale, shift, x, &act, y);
    else if (kind == RELU_NONE) apply_rows(RELU_NONE, 1, 1, count, width, x, scale, shift, residual, &act, y);
    else if (kind == RELU_PLAIN) apply_rows(RELU_PLAIN, 1, 1, count, width, x, scale, shift, residual, &act, y);
    else apply_rows(RELU_SLOPE, 1, 1, count, width, x, scale, shift, residual, &act, y);
}

/* ---- backward ---- */

typedef struct lanes { vf slope, max_value; } lanes;

/* grad_y times the activation's derivative. */
VINLINE vf masked(int with_mask, ptrdiff_t n, const float *grad_y, const float *y, lanes mask) {
    vf g = vload_upto(grad_y, n);
    if (!with_mask) return g;
    vf out = vload_upto(y, n);
    g = vselect(out > vzero(), g, mask.slope * g);
    return vselect(out < mask.max_value, g, vzero());
}

VINLINE void sums_vector(int with_mask, int store, int rows, ptrdiff_t n, ptrdiff_t width, const float *grad_y,
                         const float *y, lanes mask, const float *x, const float *mean, float *grad_residual,
                         float *sum, float *product) {
    vf middle = vload_upto(mean, n), s = vload_upto(sum, n), p = vload_upto(product, n);
    for (int r = 0; r < rows; r++) {
        vf g = masked(with_mask, n, grad_y + r * width, y + r * width, mask);
        if (store) vstore_upto(grad_residual + r * width, g, n);
        s += g;
        p = vfma(g, vload_upto(x + r * width, n) - middle, p);
    }
    vstore_upto(sum, s, n);
    vstore_upto(product, p, n);
}

VINLINE void sums_rows(int with_mask, int store, int rows, ptrdiff_t length, ptrdiff_t width, const float *grad_y,
                       const float *y, lanes mask, const float *x, const float *mean, float *grad_residual, float *sum,
                       float *product) {
    ptrdiff_t j = 0;
    for (; j + VL <= length; j += VL)
        sums_vector(with_mask, store, rows, VL, width, grad_y + j, y + j, mask, x + j, mean + j, grad_residual + j,
                    sum + j, product + j);
    if (j < length)
        sums_vector(with_mask, store, rows, length - j, width, grad_y + j, y + j, mask, x + j, mean + j,
                    grad_residual + j, sum + j, product + j);
}

VINLINE void sums_block(int with_mask, int store, ptrdiff_t count, ptrdiff_t width, const float *grad_y, const float *y,
                        lanes mask, const float *x, const float *mean, float *grad_residual, float *sum,
                        float *product) {
    ptrdiff_t whole = count - count % width;
    for (ptrdiff_t j = 0; j < width; j += COLUMNS) {
        ptrdiff_t length = width - j < COLUMNS ? width - j : COLUMNS, at = j;
        for (; at + (GROUP - 1) * width < whole; at += GROUP * width)
            sums_rows(with_mask, store, GROUP, length, width, grad_y + at, y + at, mask, x + at, mean + j,
                      grad_residual + at, sum + j, product + j);
        for (; at < whole; at += width)
            sums_rows(with_mask, store, 1, length, width, grad_y + at, y + at, mask, x + at, mean + j,
                      grad_residual + at, sum + j, product + j);
    }
    if (whole < count)
        sums_rows(with_mask, store, 1, count - whole, width, grad_y + whole, y + whole, mask, x + whole, mean,
                  grad_residual + whole, sum, product);
}

static void gradient_sums(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t fold, const float *grad_y, const float *y,
                          cnn_batchnorm_mask mask, const float *x, const float *mean, float *grad_residual,
                          float *scratch, double *sum_g, double *sum_gx) {
    ptrdiff_t width = fold * channels, count = rows * channels;
    float *sum = scratch, *product = scratch + width;
    lanes m = {vset(mask.slope), vset(mask.max_value)};
    memset(scratch, 0, (size_t)width * 2 * sizeof *scratch);
    if (!y && !grad_residual) sums_block(0, 0, count, width, grad_y, x, m, x, mean, sum, sum, product);
    else if (!y) sums_block(0, 1, count, width, grad_y, x, m, x, mean, grad_residual, sum, product);
    else if (!grad_residual) sums_block(1, 0, count, width, grad_y, y, m, x, mean, sum, sum, product);
    else sums_block(1, 1, count, width, grad_y, y, m, x, mean, grad_residual, sum, product);
    fold_sums(channels, fold, sum, sum_g);
    fold_sums(channels, fold, product, sum_gx);
}

static void combine_sums(ptrdiff_t channels, ptrdiff_t blocks, const double *restrict slots, ptrdiff_t stride,
                         double *restrict sums) {
    for (ptrdiff_t c = 0; c < channels; c++) sums[c] = slots[c];
    for (ptrdiff_t b = 1; b < blocks; b++)
        for (ptrdiff_t c = 0; c < channels; c++) sums[c] += slots[b * stride + c];
}

static void gradient_constants(ptrdiff_t channels, double n, const float *mean, const float *var, const float *gamma,
                               double epsilon, const double *sum_g, const double *sum_gx, float *p, float *q, float *s,
                               float *grad_gamma, float *grad_beta) {
    for (ptrdiff_t c = 0; c < channels; c++) {
        double r = 1 / __builtin_sqrt(var[c] + epsilon), scale = gamma ? gamma[c] * r : r,
               slope = -scale * r * r * sum_gx[c] / n;
        p[c] = (float)scale;
        q[c] = (float)slope;
        s[c] = (float)(-scale * sum_g[c] / n - slope * mean[c]);
    }
    for (ptrdiff_t c = 0; grad_gamma && c < channels; c++)
        grad_gamma[c] = (float)(sum_gx[c] / __builtin_sqrt(var[c] + epsilon));
    for (ptrdiff_t c = 0; grad_beta && c < channels; c++) grad_beta[c] = (float)sum_g[c];
}

VINLINE void gradient_vector(int with_mask, int with_x, int store, ptrdiff_t n, const float *grad_y, const float *y,
                             lanes mask, const float *x, const float *p, const float *q, const float *s, float *grad_x,
                             float *grad_residual) {
    vf g = masked(with_mask, n, grad_y, y, mask), scale = vload_upto(p, n);
    vf value = with_x ? vfma(scale, g, vfma(vload_upto(q, n), vload_upto(x, n), vload_upto(s, n))) : scale * g;
    if (store) vstore_upto(grad_residual, g, n);
    vstore_upto(grad_x, value, n);
}

VINLINE void gradient_rows(int with_mask, int with_x, int store, ptrdiff_t count, ptrdiff_t width, const float *grad_y,
                           const float *y, lanes mask, const float *x, const float *p, const float *q, const float *s,
                           float *grad_x, float *grad_residual) {
    for (ptrdiff_t at = 0; at < count; at += width) {
        ptrdiff_t length = count - at < width ? count - at : width, j = 0;
        for (; j + VL <= length; j += VL)
            gradient_vector(with_mask, with_x, store, VL, grad_y + at + j, y + at + j, mask, x + at + j, p + j, q + j,
                            s + j, grad_x + at + j, grad_residual + at + j);
        if (j < length)
            gradient_vector(with_mask, with_x, store, length - j, grad_y + at + j, y + at + j, mask, x + at + j, p + j,
                            q + j, s + j, grad_x + at + j, grad_residual + at + j);
    }
}

static void gradient(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t fold, const float *grad_y, const float *y,
                     cnn_batchnorm_mask mask, const float *x, const float *p, const float *q, const float *s,
                     float *grad_x, float *grad_residual) {
    ptrdiff_t count = rows * channels, width = fold * channels;
    lanes m = {vset(mask.slope), vset(mask.max_value)};
    if (x && y && grad_residual) gradient_rows(1, 1, 1, count, width, grad_y, y, m, x, p, q, s, grad_x, grad_residual);
    else if (x && y) gradient_rows(1, 1, 0, count, width, grad_y, y, m, x, p, q, s, grad_x, grad_x);
    else if (x && grad_residual)
        gradient_rows(0, 1, 1, count, width, grad_y, grad_y, m, x, p, q, s, grad_x, grad_residual);
    else if (x) gradient_rows(0, 1, 0, count, width, grad_y, grad_y, m, x, p, q, s, grad_x, grad_x);
    else if (y && grad_residual)
        gradient_rows(1, 0, 1, count, width, grad_y, y, m, grad_y, p, p, p, grad_x, grad_residual);
    else if (y) gradient_rows(1, 0, 0, count, width, grad_y, y, m, grad_y, p, p, p, grad_x, grad_x);
    else if (grad_residual)
        gradient_rows(0, 0, 1, count, width, grad_y, grad_y, m, grad_y, p, p, p, grad_x, grad_residual);
    else gradient_rows(0, 0, 0, count, width, grad_y, grad_y, m, grad_y, p, p, p, grad_x, grad_x);
}

static void moving_average(ptrdiff_t n, double momentum, float *state, const float *sample) {
    for (ptrdiff_t i = 0; i < n; i++) state[i] = (float)(momentum * state[i] + (1 - momentum) * sample[i]);
}

extern const cnn_batchnorm_kernels KERNEL(cnn_batchnorm);
const cnn_batchnorm_kernels KERNEL(cnn_batchnorm) = {
    moments,      combine_moments,    constants, apply,          gradient_sums,
    combine_sums, gradient_constants, gradient,  moving_average,
};
