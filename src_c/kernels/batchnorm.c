/* Batch normalisation leaves; the contract is in batchnorm.h. Parallel axis of the callers: rows. */
#include "kernels.h"
#include "relu.h"
#include "vec.h"

/* For the activations that are not applied in registers. */
extern const cnn_elementwise_kernels KERNEL(cnn_elementwise);

#define GROUP 4 /* wide rows added at a time: the running sums are loaded and stored once per group */
#define EPILOGUE_VECTORS 4             /* channel vectors of a gradient's epilogue taken together */
#define EPILOGUE_AHEAD 48              /* vectors by which its reading of x and y is ahead */
#define SUMS_COLUMNS 2048              /* of wide rows of gradients, so that their sums stay in the first cache */
#define SUMS_AHEAD 512                 /* floats by which their reading is ahead */
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

static void moments_of_sums(ptrdiff_t count, ptrdiff_t channels, const cnn_moment_sums *sums, double *mean,
                            double *m2) {
    for (ptrdiff_t c = 0; c < channels; c++) {
        const double offset = sums->sum[c] / (double)count;
        mean[c] = sums->shift[c] + offset;
        m2[c] = sums->square[c] - sums->sum[c] * offset;
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

/* What is added: nothing, a residual, or a residual that is normalised as well. */
enum { NOTHING, PLAIN_RESIDUAL, NORMALISED_RESIDUAL };

VINLINE cnn_batchnorm_residual residual_at(cnn_batchnorm_residual r, ptrdiff_t at, ptrdiff_t channel) {
    return (cnn_batchnorm_residual){r.x + at, r.scale + channel, r.shift + channel};
}

VINLINE void apply_vector(int kind, int shifted, int added, int stream, ptrdiff_t n, const float *x,
                          const float *scale, const float *shift, cnn_batchnorm_residual residual, vf slope,
                          vf max_value, float *y) {
    vf v = vload_upto(x, n), a = vload_upto(scale, n);
    v = shifted ? vfma(v, a, vload_upto(shift, n)) : v * a;
    if (added == PLAIN_RESIDUAL) v += vload_upto(residual.x, n);
    if (added == NORMALISED_RESIDUAL)
        v += vfma(vload_upto(residual.x, n), vload_upto(residual.scale, n), vload_upto(residual.shift, n));
    v = relu(kind, v, slope, max_value);
    if (stream) vstream(y, v);
    else vstore_upto(y, v, n);
}

VINLINE void apply_rows(int kind, int shifted, int added, int stream, ptrdiff_t count, ptrdiff_t width, const float *x,
                        const float *scale, const float *shift, cnn_batchnorm_residual residual, const cnn_act *act,
                        float *y) {
    relu_constants r = relu_of(act);
    for (ptrdiff_t at = 0; at < count; at += width) {
        ptrdiff_t length = count - at < width ? count - at : width, j = 0;
        for (; j + VL <= length; j += VL)
            apply_vector(kind, shifted, added, stream, VL, x + at + j, scale + j, shift + j,
                         residual_at(residual, at + j, j), r.slope, r.max_value, y + at + j);
        if (j < length)
            apply_vector(kind, shifted, added, 0, length - j, x + at + j, scale + j, shift + j,
                         residual_at(residual, at + j, j), r.slope, r.max_value, y + at + j);
        if (kind == RELU_NONE && act->kind != CNN_LINEAR)
            KERNEL(cnn_elementwise).activate(*act, length, y + at, y + at); /* while it is hot */
    }
    if (stream) vstream_end();
}

/* What is absent of the residual gets an address that is never read. */
VINLINE void apply_shifted(int kind, int stream, ptrdiff_t count, ptrdiff_t width, const float *x, const float *scale,
                           const float *shift, cnn_batchnorm_residual r, const cnn_act *act, float *y) {
    if (r.scale) apply_rows(kind, 1, NORMALISED_RESIDUAL, stream, count, width, x, scale, shift, r, act, y);
    else if (r.x)
        apply_rows(kind, 1, PLAIN_RESIDUAL, stream, count, width, x, scale, shift,
                   (cnn_batchnorm_residual){r.x, scale, shift}, act, y);
    else
        apply_rows(kind, 1, NOTHING, stream, count, width, x, scale, shift,
                   (cnn_batchnorm_residual){x, scale, shift}, act, y);
}

static void apply(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t fold, const float *x, const float *scale,
                  const float *shift, cnn_batchnorm_residual residual, cnn_act act, int stream, float *y) {
    ptrdiff_t count = rows * channels, width = fold * channels;
    int kind = relu_of(&act).kind;
    if ((uintptr_t)y % (VL * sizeof *y) || width % VL || (kind == RELU_NONE && act.kind != CNN_LINEAR)) stream = 0;
    if (!shift)
        apply_rows(RELU_NONE, 0, NOTHING, 0, count, width, x, scale, scale, (cnn_batchnorm_residual){x, scale, scale},
                   &act, y);
    else if (kind == RELU_NONE && stream) apply_shifted(RELU_NONE, 1, count, width, x, scale, shift, residual, &act, y);
    else if (kind == RELU_NONE) apply_shifted(RELU_NONE, 0, count, width, x, scale, shift, residual, &act, y);
    else if (kind == RELU_PLAIN && stream)
        apply_shifted(RELU_PLAIN, 1, count, width, x, scale, shift, residual, &act, y);
    else if (kind == RELU_PLAIN) apply_shifted(RELU_PLAIN, 0, count, width, x, scale, shift, residual, &act, y);
    else apply_shifted(RELU_SLOPE, 0, count, width, x, scale, shift, residual, &act, y);
}

/* ---- backward ---- */

/* Where the mask of a gradient comes from. */
enum { UNMASKED, FROM_Y, FROM_X };

typedef struct mask_source {
    relu_slopes slopes;
    const float *y, *x, *scale, *shift;
} mask_source;

VINLINE mask_source mask_at(mask_source m, ptrdiff_t at, ptrdiff_t channel) {
    return (mask_source){m.slopes, m.y + at, m.x + at, m.scale + channel, m.shift + channel};
}

/* grad_y times the activation's derivative. */
VINLINE vf masked(int from, ptrdiff_t n, vf g, const float *y, vf x, vf scale, vf shift, relu_slopes mask) {
    if (from == FROM_Y) return relu_masked(g, vload_upto(y, n), mask);
    return from == FROM_X ? relu_masked(g, vfma(x, scale, shift), mask) : g;
}

VINLINE void sums_vector(int from, int store, ptrdiff_t n, const float *grad_y, mask_source m, const float *x,
                         const float *mean, float *grad_residual, float *sum, float *product) {
    const vf scale = from == FROM_X ? vload_upto(m.scale, n) : vzero(),
             shift = from == FROM_X ? vload_upto(m.shift, n) : vzero(), value = vload_upto(x, n),
             g = masked(from, n, vload_upto(grad_y, n), m.y, value, scale, shift, m.slopes);
    __builtin_prefetch(x + SUMS_AHEAD);
    __builtin_prefetch(grad_y + SUMS_AHEAD);
    if (store) vstore_upto(grad_residual, g, n);
    vstore_upto(sum, vload_upto(sum, n) + g, n);
    vstore_upto(product, vfma(g, value - vload_upto(mean, n), vload_upto(product, n)), n);
}

VINLINE void sums_row(int from, int store, ptrdiff_t length, const float *grad_y, mask_source m, const float *x,
                      const float *mean, float *grad_residual, float *sum, float *product) {
    ptrdiff_t j = 0;
    for (; j + VL <= length; j += VL)
        sums_vector(from, store, VL, grad_y + j, mask_at(m, j, j), x + j, mean + j, grad_residual + j, sum + j,
                    product + j);
    if (j < length)
        sums_vector(from, store, length - j, grad_y + j, mask_at(m, j, j), x + j, mean + j, grad_residual + j, sum + j,
                    product + j);
}

/* Row after row, as they lie in memory, which is what this waits for: a group of rows taken together, which would spare
 * loads and stores of the sums, takes up to twice as long where x and grad_y come from there. */
VINLINE void sums_block(int from, int store, ptrdiff_t count, ptrdiff_t width, const float *grad_y, mask_source m,
                        const float *x, const float *mean, float *grad_residual, float *sum, float *product) {
    for (ptrdiff_t j = 0; j < width; j += SUMS_COLUMNS)
        for (ptrdiff_t at = j; at < count; at += width) {
            const ptrdiff_t row_end = at - j + width, end = row_end < count ? row_end : count;
            sums_row(from, store, end - at < SUMS_COLUMNS ? end - at : SUMS_COLUMNS, grad_y + at, mask_at(m, at, j),
                     x + at, mean + j, grad_residual + at, sum + j, product + j);
        }
}

/* What is absent gets an address that is never read. */
VINLINE mask_source mask_of(cnn_relu_mask mask, const float *y, const float *x, const float *scale,
                            const float *shift, const float *any) {
    return (mask_source){relu_slopes_of(mask), y ? y : any, x ? x : any, scale ? scale : any, shift ? shift : any};
}

static void gradient_sums(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t fold, const float *grad_y, const float *y,
                          cnn_relu_mask mask, const float *x, const float *mean, const float *scale,
                          const float *shift, float *grad_residual, float *scratch, double *sum_g, double *sum_gx) {
    ptrdiff_t width = fold * channels, count = rows * channels;
    float *sum = scratch, *product = scratch + width;
    mask_source m = mask_of(mask, y, x, scale, shift, x);
    int from = y ? FROM_Y : scale ? FROM_X : UNMASKED, store = grad_residual != NULL;
    if (!store) grad_residual = scratch;                                                  /* never written */
    memset(scratch, 0, (size_t)width * 2 * sizeof *scratch);
    switch (2 * from + store) {
    case 2 * UNMASKED: sums_block(UNMASKED, 0, count, width, grad_y, m, x, mean, grad_residual, sum, product); break;
    case 2 * UNMASKED + 1:
        sums_block(UNMASKED, 1, count, width, grad_y, m, x, mean, grad_residual, sum, product);
        break;
    case 2 * FROM_Y: sums_block(FROM_Y, 0, count, width, grad_y, m, x, mean, grad_residual, sum, product); break;
    case 2 * FROM_Y + 1: sums_block(FROM_Y, 1, count, width, grad_y, m, x, mean, grad_residual, sum, product); break;
    case 2 * FROM_X: sums_block(FROM_X, 0, count, width, grad_y, m, x, mean, grad_residual, sum, product); break;
    default: sums_block(FROM_X, 1, count, width, grad_y, m, x, mean, grad_residual, sum, product);
    }
    fold_sums(channels, fold, sum, sum_g);
    fold_sums(channels, fold, product, sum_gx);
}

/* Vectors of channels > rows: the sums stay in registers. */
VINLINE void epilogue_vectors(int from, int sums, int vectors, ptrdiff_t n, ptrdiff_t rows,
                              const ptrdiff_t *at, const cnn_gradient_epilogue *p, ptrdiff_t c, float *g) {
    const mask_source m = mask_at(mask_of(p->mask, p->y, p->x, p->scale, p->shift, g), c, c);
    vf s[EPILOGUE_VECTORS], q[EPILOGUE_VECTORS], middle[EPILOGUE_VECTORS], scale[EPILOGUE_VECTORS],
        shift[EPILOGUE_VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        s[v] = q[v] = vzero();
        middle[v] = sums ? vload_upto(p->mean + c + v * VL, n) : vzero();
        scale[v] = from == FROM_X ? vload_upto(m.scale + v * VL, n) : vzero();
        shift[v] = from == FROM_X ? vload_upto(m.shift + v * VL, n) : vzero();
    }
    const ptrdiff_t ahead = EPILOGUE_AHEAD / vectors;
    for (ptrdiff_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            ptrdiff_t i = at[r] + v * VL, next = at[r + ahead < rows ? r + ahead : rows - 1] + v * VL;
            if (sums || from == FROM_X) __builtin_prefetch(m.x + next);
            if (from == FROM_Y) __builtin_prefetch(m.y + next);
            vf x = sums || from == FROM_X ? vload_upto(m.x + i, n) : vzero();
            const vf value = masked(from, n, vload_upto(g + c + i, n), m.y + i, x, scale[v], shift[v], m.slopes);
            if (from != UNMASKED) vstore_upto(g + c + i, value, n);
            if (!sums) continue;
            s[v] += value;
            q[v] = vfma(value, x - middle[v], q[v]);
        }
#pragma GCC unroll 4
    for (int v = 0; v < vectors && sums; v++) {
        float sum[VL], product[VL];
        vstore(sum, s[v]);
        vstore(product, q[v]);
        for (ptrdiff_t i = 0; i < n; i++) {
            p->sum_g[c + v * VL + i] = sum[i];
            p->sum_gx[c + v * VL + i] = product[i];
        }
    }
}

VINLINE void epilogue_rows(int from, int sums, ptrdiff_t rows, ptrdiff_t columns, const ptrdiff_t *at,
                           const cnn_gradient_epilogue *p, float *g) {
    ptrdiff_t c = 0;
    for (; c + EPILOGUE_VECTORS * VL <= columns; c += EPILOGUE_VECTORS * VL)
        epilogue_vectors(from, sums, EPILOGUE_VECTORS, VL, rows, at, p, c, g);
    if (c + 3 * VL <= columns) {
        epilogue_vectors(from, sums, 3, VL, rows, at, p, c, g);
        c += 3 * VL;
    } else if (c + 2 * VL <= columns) {
        epilogue_vectors(from, sums, 2, VL, rows, at, p, c, g);
        c += 2 * VL;
    } else if (c + VL <= columns) {
        epilogue_vectors(from, sums, 1, VL, rows, at, p, c, g);
        c += VL;
    }
    if (c < columns) epilogue_vectors(from, sums, 1, columns - c, rows, at, p, c, g);
}

static void gradient_epilogue(ptrdiff_t rows, ptrdiff_t columns, const ptrdiff_t *at, const cnn_gradient_epilogue *p,
                              float *g) {
    switch (2 * (p->y ? FROM_Y : p->scale ? FROM_X : UNMASKED) + (p->sum_g != NULL)) {
    case 2 * UNMASKED: break;
    case 2 * UNMASKED + 1: epilogue_rows(UNMASKED, 1, rows, columns, at, p, g); break;
    case 2 * FROM_Y: epilogue_rows(FROM_Y, 0, rows, columns, at, p, g); break;
    case 2 * FROM_Y + 1: epilogue_rows(FROM_Y, 1, rows, columns, at, p, g); break;
    case 2 * FROM_X: epilogue_rows(FROM_X, 0, rows, columns, at, p, g); break;
    default: epilogue_rows(FROM_X, 1, rows, columns, at, p, g);
    }
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

VINLINE void gradient_vector(int from, int with_x, int store, ptrdiff_t n, const float *grad_y, mask_source m,
                             const float *p, const float *q, const float *s, float *grad_x, float *grad_residual) {
    vf x = with_x || from == FROM_X ? vload_upto(m.x, n) : vzero(), scale = vload_upto(p, n);
    vf g = masked(from, n, vload_upto(grad_y, n), m.y, x, from == FROM_X ? vload_upto(m.scale, n) : vzero(),
                  from == FROM_X ? vload_upto(m.shift, n) : vzero(), m.slopes);
    vf value = with_x ? vfma(scale, g, vfma(vload_upto(q, n), x, vload_upto(s, n))) : scale * g;
    if (store) vstore_upto(grad_residual, g, n);
    vstore_upto(grad_x, value, n);
}

VINLINE void gradient_rows(int from, int with_x, int store, ptrdiff_t count, ptrdiff_t width, const float *grad_y,
                           mask_source m, const float *p, const float *q, const float *s, float *grad_x,
                           float *grad_residual) {
    for (ptrdiff_t at = 0; at < count; at += width) {
        ptrdiff_t length = count - at < width ? count - at : width, j = 0;
        for (; j + VL <= length; j += VL)
            gradient_vector(from, with_x, store, VL, grad_y + at + j, mask_at(m, at + j, j), p + j, q + j, s + j,
                            grad_x + at + j, grad_residual + at + j);
        if (j < length)
            gradient_vector(from, with_x, store, length - j, grad_y + at + j, mask_at(m, at + j, j), p + j, q + j,
                            s + j, grad_x + at + j, grad_residual + at + j);
    }
}

VINLINE void gradient_stored(int from, int with_x, ptrdiff_t count, ptrdiff_t width, const float *grad_y,
                             mask_source m, const float *p, const float *q, const float *s, float *grad_x,
                             float *grad_residual) {
    if (grad_residual) gradient_rows(from, with_x, 1, count, width, grad_y, m, p, q, s, grad_x, grad_residual);
    else gradient_rows(from, with_x, 0, count, width, grad_y, m, p, q, s, grad_x, grad_x);
}

static void gradient(ptrdiff_t rows, ptrdiff_t channels, ptrdiff_t fold, const float *grad_y, const float *y,
                     cnn_relu_mask mask, const float *x, const float *scale, const float *shift, const float *p,
                     const float *q, const float *s, float *grad_x, float *grad_residual) {
    ptrdiff_t count = rows * channels, width = fold * channels;
    mask_source m = mask_of(mask, y, x, scale, shift, grad_y);
    switch (2 * (y ? FROM_Y : scale ? FROM_X : UNMASKED) + (q != NULL)) {
    case 2 * UNMASKED: gradient_stored(UNMASKED, 0, count, width, grad_y, m, p, p, p, grad_x, grad_residual); break;
    case 2 * UNMASKED + 1: gradient_stored(UNMASKED, 1, count, width, grad_y, m, p, q, s, grad_x, grad_residual); break;
    case 2 * FROM_Y: gradient_stored(FROM_Y, 0, count, width, grad_y, m, p, p, p, grad_x, grad_residual); break;
    case 2 * FROM_Y + 1: gradient_stored(FROM_Y, 1, count, width, grad_y, m, p, q, s, grad_x, grad_residual); break;
    case 2 * FROM_X: gradient_stored(FROM_X, 0, count, width, grad_y, m, p, p, p, grad_x, grad_residual); break;
    default: gradient_stored(FROM_X, 1, count, width, grad_y, m, p, q, s, grad_x, grad_residual);
    }
}

VINLINE void gradient_added_vector(ptrdiff_t n, const float *p, const float *q, const float *s, const float *grad_y,
                                   const float *x, const float *added, float *grad_x) {
    const vf part = vfma(vload_upto(q, n), vload_upto(x, n), vload_upto(s, n));
    vstore_upto(grad_x, vfma(vload_upto(p, n), vload_upto(grad_y, n), part) + vload_upto(added, n), n);
}

/* Row after row, as all of it lies in memory. */
static void gradient_added(ptrdiff_t rows, ptrdiff_t channels, const float *p, const float *q, const float *s,
                           const float *grad_y, const float *x, const float *added, ptrdiff_t added_stride,
                           float *grad_x) {
    for (ptrdiff_t r = 0; r < rows; r++, added += added_stride) {
        const ptrdiff_t at = r * channels;
        ptrdiff_t c = 0;
        for (; c + VL <= channels; c += VL)
            gradient_added_vector(VL, p + c, q + c, s + c, grad_y + at + c, x + at + c, added + c, grad_x + at + c);
        if (c < channels)
            gradient_added_vector(channels - c, p + c, q + c, s + c, grad_y + at + c, x + at + c, added + c,
                                  grad_x + at + c);
    }
}

/* `vectors`, a constant, of channels, whose constants stay in registers; n: channels of the last one. */
VINLINE void gradient_of_vectors(int vectors, ptrdiff_t n, ptrdiff_t rows, const float *p, const float *q,
                                 const float *s, const float *grad_y, const float *x, ptrdiff_t stride, float *grad_x,
                                 ptrdiff_t pitch) {
    vf constants[3][EPILOGUE_VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        constants[0][v] = vload_upto(p + v * VL, n);
        constants[1][v] = vload_upto(q + v * VL, n);
        constants[2][v] = vload_upto(s + v * VL, n);
    }
    for (ptrdiff_t r = 0; r < rows; r++, grad_y += stride, x += stride, grad_x += pitch)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            const vf part = vfma(constants[1][v], vload_upto(x + v * VL, n), constants[2][v]);
            vstore_upto(grad_x + v * VL, vfma(constants[0][v], vload_upto(grad_y + v * VL, n), part), n);
        }
}

static void gradient_columns(ptrdiff_t rows, ptrdiff_t columns, const float *p, const float *q, const float *s,
                             const float *grad_y, const float *x, ptrdiff_t stride, float *grad_x, ptrdiff_t pitch) {
    ptrdiff_t c = 0;
    for (; c + EPILOGUE_VECTORS * VL <= columns; c += EPILOGUE_VECTORS * VL)
        gradient_of_vectors(EPILOGUE_VECTORS, VL, rows, p + c, q + c, s + c, grad_y + c, x + c, stride, grad_x + c,
                            pitch);
    for (; c < columns; c += VL)
        gradient_of_vectors(1, columns - c < VL ? columns - c : VL, rows, p + c, q + c, s + c, grad_y + c, x + c,
                            stride, grad_x + c, pitch);
}

static void moving_average(ptrdiff_t n, double momentum, float *state, const float *sample) {
    for (ptrdiff_t i = 0; i < n; i++) state[i] = (float)(momentum * state[i] + (1 - momentum) * sample[i]);
}

extern const cnn_batchnorm_kernels KERNEL(cnn_batchnorm);
const cnn_batchnorm_kernels KERNEL(cnn_batchnorm) = {
    moments,      moments_of_sums,    combine_moments,    constants, apply,          gradient_sums, gradient_epilogue,
    combine_sums, gradient_constants, gradient,  gradient_added, gradient_columns,   moving_average,
};
