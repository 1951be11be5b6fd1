/* Losses, penalties and metrics; the contract is in loss.h. Functions that take a term or a slope as an argument are
 * inlined with it. */
#include "kernels.h"
#include "vec_math.h"

#include <math.h>

#define CLIP_LOW 1e-7f /* Keras keeps probabilities in [1e-7, 1 - 1e-7] */
#define CLIP_HIGH (1.0f - 1e-7f)

VINLINE vf load(const float *p, ptrdiff_t n) { return n >= VL ? vload(p) : vload_n(p, n); } /* n > 0 floats are left */
VINLINE void store(float *p, vf v, ptrdiff_t n) {
    if (n >= VL) vstore(p, v);
    else vstore_n(p, v, n);
}
VINLINE vf first(vf v, ptrdiff_t n) { /* the first n lanes, then zeros */
    float lane[VL];
    if (n >= VL) return v;
    vstore(lane, v);
    return vload_n(lane, n);
}
VINLINE float log_of(float x) { return vlog(vset(x))[0]; }
VINLINE vf vclip(vf p) { return vclamp(p, CLIP_LOW, CLIP_HIGH); }
VINLINE vi voutside(vf p) { return (p < vset(CLIP_LOW)) | (p > vset(CLIP_HIGH)); }

/* ---- losses over classes ---- */

/* Of the numbers in the row: a NaN is seen in the sum of exponentials. */
VINLINE float row_max(ptrdiff_t k, const float *x) {
    vf best = vset(-INFINITY);
    ptrdiff_t j = 0;
    for (; j + VL <= k; j += VL) best = vmax(vload(x + j), best);
    float m = vmax_lane(best);
    for (; j < k; j++)
        if (x[j] > m) m = x[j];
    return m;
}

VINLINE float row_sum(ptrdiff_t k, const float *x) {
    vf sum = vzero();
    for (ptrdiff_t j = 0; j < k; j += VL) sum += load(x + j, k - j);
    return vsum(sum);
}

/* What a row's label asks for. */
enum { COUNTS, IGNORED, NO_CLASS };
VINLINE int kind_of(const cnn_class_target *t, ptrdiff_t row, ptrdiff_t k) {
    if (!t->label) return COUNTS;
    int32_t label = t->label[row];
    return label == t->ignore && t->ignore != INT32_MIN ? IGNORED : label < 0 || label >= k ? NO_CLASS : COUNTS;
}

/* sum_j t_j term(x_j, a, b) of a row, where t is the dense target with its smoothing, or the smoothing alone. */
VINLINE float weighted_row(ptrdiff_t k, const float *x, const float *dense, float smoothing, vf a, vf b,
                           vf (*term)(vf x, vf a, vf b)) {
    vf sum = vzero(), keep = vset(1.0f - smoothing), uniform = vset(smoothing / (float)k);
    for (ptrdiff_t j = 0; j < k; j += VL) {
        vf t = dense ? vfma(load(dense + j, k - j), keep, uniform) : uniform;
        sum += first(t * term(load(x + j, k - j), a, b), k - j);
    }
    return vsum(sum);
}

/* log softmax(z) = (z - max) - log sum e^(z - max) */
VINLINE vf log_softmax(vf z, vf max, vf log_sum) { return (z - max) - log_sum; }

static void softmax_cross_entropy(ptrdiff_t rows, ptrdiff_t k, const float *x, const cnn_class_target *t, float *loss) {
    for (ptrdiff_t i = 0; i < rows; i++, x += k) {
        int kind = kind_of(t, i, k);
        if (kind != COUNTS) {
            loss[i] = kind == IGNORED ? 0.0f : NAN;
            continue;
        }
        float max = row_max(k, x);
        vf sum = vzero(), shift = vset(max);
        for (ptrdiff_t j = 0; j < k; j += VL) sum += first(vexp(load(x + j, k - j) - shift), k - j);
        float log_sum = log_of(vsum(sum)), value = 0;
        if (t->label) value += (1.0f - t->smoothing) * ((max - x[t->label[i]]) + log_sum);
        if (t->dense || t->smoothing != 0)
            value -=
                weighted_row(k, x, t->dense ? t->dense + i * k : NULL, t->smoothing, shift, vset(log_sum), log_softmax);
        loss[i] = value;
    }
}

/* grad_x = (softmax(x) sum_j t_j - t) grad_loss */
static void softmax_cross_entropy_backward(ptrdiff_t rows, ptrdiff_t k, const float *x, const cnn_class_target *t,
                                           const float *grad_loss, float *grad_x) {
    vf keep = vset(1.0f - t->smoothing), uniform = vset(t->smoothing / (float)k);
    for (ptrdiff_t i = 0; i < rows; i++, x += k, grad_x += k) {
        if (kind_of(t, i, k) != COUNTS) {
            memset(grad_x, 0, (size_t)k * sizeof *grad_x);
            continue;
        }
        vf sum = vzero(), shift = vset(row_max(k, x)), g = vset(grad_loss[i]);
        for (ptrdiff_t j = 0; j < k; j += VL) {
            vf e = vexp(load(x + j, k - j) - shift);
            sum += first(e, k - j);
            store(grad_x + j, e, k - j);
        }
        const float *dense = t->dense ? t->dense + i * k : NULL;
        float total = dense ? (1.0f - t->smoothing) * row_sum(k, dense) + t->smoothing : 1.0f;
        vf to_p = vset(total / vsum(sum));
        float label_p = t->label ? grad_x[t->label[i]] * to_p[0] : 0;
        for (ptrdiff_t j = 0; j < k; j += VL) {
            vf target = dense ? vfma(load(dense + j, k - j), keep, uniform) : uniform;
            store(grad_x + j, (load(grad_x + j, k - j) * to_p - target) * g, k - j);
        }
        if (t->label)
            grad_x[t->label[i]] = (label_p - ((1.0f - t->smoothing) + t->smoothing / (float)k)) * grad_loss[i];
    }
}

VINLINE vf log_share(vf p, vf total, vf unused) {
    (void)unused;
    return vlog(vclip(p / total));
}

static void categorical_cross_entropy(ptrdiff_t rows, ptrdiff_t k, const float *x, const cnn_class_target *t,
                                      float *loss) {
    for (ptrdiff_t i = 0; i < rows; i++, x += k) {
        int kind = kind_of(t, i, k);
        if (kind != COUNTS) {
            loss[i] = kind == IGNORED ? 0.0f : NAN;
            continue;
        }
        vf total = vset(row_sum(k, x));
        float value = 0;
        if (t->label) value -= (1.0f - t->smoothing) * log_share(vset(x[t->label[i]]), total, total)[0];
        if (t->dense || t->smoothing != 0)
            value -= weighted_row(k, x, t->dense ? t->dense + i * k : NULL, t->smoothing, total, total, log_share);
        loss[i] = value;
    }
}

/* With q = p / S, S = sum p, and r_j = -t_j / q_j inside the clip, 0 outside: grad_p = (r - sum_j r_j q_j) / S
 * grad_loss, and -sum_j r_j q_j is the sum of t inside the clip. */
static void categorical_cross_entropy_backward(ptrdiff_t rows, ptrdiff_t k, const float *x, const cnn_class_target *t,
                                               const float *grad_loss, float *grad_x) {
    float keep = 1.0f - t->smoothing, uniform = t->smoothing / (float)k;
    for (ptrdiff_t i = 0; i < rows; i++, x += k, grad_x += k) {
        if (kind_of(t, i, k) != COUNTS) {
            memset(grad_x, 0, (size_t)k * sizeof *grad_x);
            continue;
        }
        const float *dense = t->dense ? t->dense + i * k : NULL;
        float S = row_sum(k, x);
        vf total = vset(S), inside = vzero();
        float label_q = t->label ? x[t->label[i]] / S : 0,
              label_t = label_q < CLIP_LOW || label_q > CLIP_HIGH ? 0 : keep;
        if (dense || t->smoothing != 0)
            for (ptrdiff_t j = 0; j < k; j += VL) {
                vf target = dense ? vfma(load(dense + j, k - j), vset(keep), vset(uniform)) : vset(uniform);
                inside += first(vselect(voutside(load(x + j, k - j) / total), vzero(), target), k - j);
            }
        float sum_t = vsum(inside) + (t->label ? label_t : 0), to_grad = grad_loss[i] / S;
        for (ptrdiff_t j = 0; j < k; j += VL) {
            vf q = load(x + j, k - j) / total,
               target = dense ? vfma(load(dense + j, k - j), vset(keep), vset(uniform)) : vset(uniform);
            vi zero = voutside(q);
            store(grad_x + j,
                  (vset(sum_t) - vselect(zero, vzero(), target / vselect(zero, vset(1), q))) * vset(to_grad), k - j);
        }
        if (t->label && label_t != 0) grad_x[t->label[i]] = (sum_t - (label_t + uniform) / label_q) * to_grad;
    }
}

/* ---- means over the row ---- */

VINLINE void mean_loss(ptrdiff_t rows, ptrdiff_t k, const float *x, const float *target, float smoothing, float *loss,
                       vf (*term)(vf x, vf t)) {
    vf keep = vset(1.0f - smoothing), half = vset(0.5f * smoothing);
    if (k == 1) { /* the rows are the vector */
        for (ptrdiff_t i = 0; i < rows; i += VL)
            store(loss + i, term(load(x + i, rows - i), vfma(load(target + i, rows - i), keep, half)), rows - i);
        return;
    }
    for (ptrdiff_t i = 0; i < rows; i++, x += k, target += k) {
        vf sum = vzero();
        for (ptrdiff_t j = 0; j < k; j += VL)
            sum += first(term(load(x + j, k - j), vfma(load(target + j, k - j), keep, half)), k - j);
        loss[i] = vsum(sum) / (float)k;
    }
}

VINLINE void mean_loss_backward(ptrdiff_t rows, ptrdiff_t k, const float *x, const float *target, float smoothing,
                                const float *grad_loss, float *grad_x, vf (*slope)(vf x, vf t)) {
    vf keep = vset(1.0f - smoothing), half = vset(0.5f * smoothing);
    if (k == 1) {
        for (ptrdiff_t i = 0; i < rows; i += VL)
            store(grad_x + i,
                  slope(load(x + i, rows - i), vfma(load(target + i, rows - i), keep, half))
                      * load(grad_loss + i, rows - i),
                  rows - i);
        return;
    }
    for (ptrdiff_t i = 0; i < rows; i++, x += k, target += k, grad_x += k) {
        vf g = vset(grad_loss[i] / (float)k);
        for (ptrdiff_t j = 0; j < k; j += VL)
            store(grad_x + j, slope(load(x + j, k - j), vfma(load(target + j, k - j), keep, half)) * g, k - j);
    }
}

/* max(z, 0) - z t + log(1 + e^-|z|) = softplus(z) - z t */
VINLINE vf sigmoid_term(vf z, vf t) { return vsoftplus(z) - z * t; }
VINLINE vf sigmoid_slope(vf z, vf t) { return vsigmoid(z) - t; }
VINLINE vf binary_term(vf p, vf t) {
    p = vclip(p);
    return -(t * vlog(p) + (vset(1) - t) * vlog1p(-p));
}
VINLINE vf binary_slope(vf p, vf t) {
    vi outside = voutside(p);
    vf q = vselect(outside, vset(0.5f), p);
    return vselect(outside, vzero(), (vset(1) - t) / (vset(1) - q) - t / q);
}
VINLINE vf squared_term(vf p, vf t) {
    vf d = p - t;
    return d * d;
}
VINLINE vf squared_slope(vf p, vf t) { return (p - t) * vset(2); }
VINLINE vf absolute_term(vf p, vf t) { return vabs(p - t); }
VINLINE vf vsign(vf d) { return vselect(d > vzero(), vset(1), vselect(d < vzero(), vset(-1), d)); } /* 0 and NaN stay */
VINLINE vf absolute_slope(vf p, vf t) { return vsign(p - t); }

static void sigmoid_cross_entropy(ptrdiff_t rows, ptrdiff_t k, const float *x, const float *target, float smoothing,
                                  float *loss) {
    mean_loss(rows, k, x, target, smoothing, loss, sigmoid_term);
}
static void sigmoid_cross_entropy_backward(ptrdiff_t rows, ptrdiff_t k, const float *x, const float *target,
                                           float smoothing, const float *grad_loss, float *grad_x) {
    mean_loss_backward(rows, k, x, target, smoothing, grad_loss, grad_x, sigmoid_slope);
}
static void binary_cross_entropy(ptrdiff_t rows, ptrdiff_t k, const float *x, const float *target, float smoothing,
                                 float *loss) {
    mean_loss(rows, k, x, target, smoothing, loss, binary_term);
}
static void binary_cross_entropy_backward(ptrdiff_t rows, ptrdiff_t k, const float *x, const float *target,
                                          float smoothing, const float *grad_loss, float *grad_x) {
    mean_loss_backward(rows, k, x, target, smoothing, grad_loss, grad_x, binary_slope);
}
static void squared_error(ptrdiff_t rows, ptrdiff_t k, const float *x, const float *target, float smoothing,
                          float *loss) {
    mean_loss(rows, k, x, target, smoothing, loss, squared_term);
}
static void squared_error_backward(ptrdiff_t rows, ptrdiff_t k, const float *x, const float *target, float smoothing,
                                   const float *grad_loss, float *grad_x) {
    mean_loss_backward(rows, k, x, target, smoothing, grad_loss, grad_x, squared_slope);
}
static void absolute_error(ptrdiff_t rows, ptrdiff_t k, const float *x, const float *target, float smoothing,
                           float *loss) {
    mean_loss(rows, k, x, target, smoothing, loss, absolute_term);
}
static void absolute_error_backward(ptrdiff_t rows, ptrdiff_t k, const float *x, const float *target, float smoothing,
                                    const float *grad_loss, float *grad_x) {
    mean_loss_backward(rows, k, x, target, smoothing, grad_loss, grad_x, absolute_slope);
}

/* ---- sums in double ---- */

enum { LANES = 16 };

VINLINE double sum_of(ptrdiff_t n, const float *x, const float *weights, double (*term)(double x, double weight)) {
    double lane[LANES] = { 0 };
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += term((double)x[i + l], weights ? (double)weights[i + l] : 1.0);
    for (int l = 0; i < n; i++, l++) lane[l] += term((double)x[i], weights ? (double)weights[i] : 1.0);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++) lane[l] += lane[l + width];
    return lane[0];
}
VINLINE double product(double x, double weight) { return x * weight; }
VINLINE double square(double x, double unused) {
    (void)unused;
    return x * x;
}
VINLINE double magnitude(double x, double unused) {
    (void)unused;
    return fabs(x);
}

static double sum(ptrdiff_t n, const float *x, const float *weights) {
    return weights ? sum_of(n, x, weights, product) : sum_of(n, x, NULL, product);
}
static double sum_of_squares(ptrdiff_t n, const float *x) { return sum_of(n, x, NULL, square); }
static double sum_of_magnitudes(ptrdiff_t n, const float *x) { return sum_of(n, x, NULL, magnitude); }

/* ---- their gradients ---- */

static void scaled_weights(ptrdiff_t n, float scale, const float *weights, float *y) {
    for (ptrdiff_t i = 0; i < n; i += VL)
        store(y + i, weights ? load(weights + i, n - i) * vset(scale) : vset(scale), n - i);
}

static void l1_l2_backward(ptrdiff_t n, float l1, float l2, const float *w, const float *residual, float *y) {
    for (ptrdiff_t i = 0; i < n; i += VL) {
        vf x = load(w + i, n - i), slope = vfma(x, vset(2.0f * l2), vsign(x) * vset(l1));
        store(y + i, residual ? slope + load(residual + i, n - i) : slope, n - i);
    }
}

/* ---- metrics ---- */

/* The label is the first maximum iff all before it are smaller and all after it not larger; a NaN fails every
 * comparison. */
VINLINE float is_first_max(ptrdiff_t k, const float *x, ptrdiff_t label) {
    float value = x[label];
    int wrong = 0;
    for (ptrdiff_t j = 0; j < label; j++) wrong |= !(x[j] < value);
    for (ptrdiff_t j = label; j < k; j++) wrong |= !(x[j] <= value);
    return wrong ? 0.0f : 1.0f;
}

static void correct_label(ptrdiff_t rows, ptrdiff_t k, const float *prediction, const int32_t *label, float *matches) {
    for (ptrdiff_t i = 0; i < rows; i++, prediction += k)
        matches[i] = label[i] < 0 || label[i] >= k ? 0.0f : is_first_max(k, prediction, label[i]);
}

static void correct_dense(ptrdiff_t rows, ptrdiff_t k, const float *prediction, const float *target, float *matches) {
    for (ptrdiff_t i = 0; i < rows; i++, prediction += k, target += k) {
        ptrdiff_t label = 0;
        for (ptrdiff_t j = 1; j < k; j++)
            if (target[j] > target[label]) label = j;
        matches[i] = is_first_max(k, prediction, label);
    }
}

static void correct_threshold(ptrdiff_t rows, ptrdiff_t k, const float *prediction, const float *target,
                              float threshold, float *matches) {
    for (ptrdiff_t i = 0; i < rows; i++, prediction += k, target += k) {
        ptrdiff_t right = 0;
        for (ptrdiff_t j = 0; j < k; j++) right += (prediction[j] > threshold ? 1.0f : 0.0f) == target[j];
        matches[i] = (float)((double)right / (double)k);
    }
}

extern const cnn_loss_kernels KERNEL(cnn_loss);
const cnn_loss_kernels KERNEL(cnn_loss) = {
    .softmax_cross_entropy = softmax_cross_entropy,
    .softmax_cross_entropy_backward = softmax_cross_entropy_backward,
    .categorical_cross_entropy = categorical_cross_entropy,
    .categorical_cross_entropy_backward = categorical_cross_entropy_backward,
    .sigmoid_cross_entropy = sigmoid_cross_entropy,
    .sigmoid_cross_entropy_backward = sigmoid_cross_entropy_backward,
    .binary_cross_entropy = binary_cross_entropy,
    .binary_cross_entropy_backward = binary_cross_entropy_backward,
    .squared_error = squared_error,
    .squared_error_backward = squared_error_backward,
    .absolute_error = absolute_error,
    .absolute_error_backward = absolute_error_backward,
    .sum = sum,
    .sum_of_squares = sum_of_squares,
    .sum_of_magnitudes = sum_of_magnitudes,
    .scaled_weights = scaled_weights,
    .l1_l2_backward = l1_l2_backward,
    .correct_label = correct_label,
    .correct_dense = correct_dense,
    .correct_threshold = correct_threshold,
};
