/* Elementary functions on vectors of float. The coefficients are weighted least-squares fits made for this file,
 * iterated towards the least maximum error (Lawson 1961) and rounded to float from the lowest power upwards.
 *
 * Each function states its range, its values at the ends, and the largest error in units in the last place (ulp) of
 * normal results, measured against double precision at every 211th float: with a fused multiply-add / on the
 * portable set. Denormal results are within 1.5 units of 2^-149. Nothing here depends on the rounding mode, sets
 * errno or branches. */
#ifndef CNN_KERNELS_VEC_MATH_H
#define CNN_KERNELS_VEC_MATH_H

#include "vec.h"

VINLINE vf vabs(vf x) { return vfrom_bits(vbits(x) & 0x7fffffff); }
VINLINE vf vcopysign(vf magnitude, vf sign) {
    return vfrom_bits((vbits(magnitude) & 0x7fffffff) | (vbits(sign) & INT32_MIN));
}
/* Into lo..hi; NaN stays NaN, since vmin and vmax return their second argument where either is NaN. */
VINLINE vf vclamp(vf x, float lo, float hi) { return vmin(vset(hi), vmax(vset(lo), x)); }
/* 2^n for -126 <= n <= 127. */
VINLINE vf vpow2(vi n) { return vfrom_bits((vi)(((vu)n + 127u) << 23)); }

/* hi + lo = n ln 2 + r with |r| <= 0.35; returns e^r - 1 = r + r^2 P(r), P of degree 4 (relative error of e^r
 * 3.4e-9). The constant ln 2 is split so that n times its first part is exact for |n| < 2^14 (Cody and Waite 1980);
 * |hi| is at most 150. */
VINLINE vf vexp_reduced(vf hi, vf lo, vi *n) {
    vf k = vround(hi * vset(1.44269504f));
    vf r = vfma(k, vset(2.12194440e-4f), vfma(k, vset(-0.693359375f), hi)) + lo;
    vf p = vset(0.00138204684f);
    p = vfma(p, r, vset(0.00836925022f));
    p = vfma(p, r, vset(0.0416682847f));
    p = vfma(p, r, vset(0.166665167f));
    p = vfma(p, r, vset(0.49999994f));
    *n = vto_int(k);
    return vfma(p, r * r, r);
}
/* x 2^n in two steps, so that both powers are normal numbers and a denormal result is rounded once. */
VINLINE vf vscale(vf x, vi n) {
    vi half = n >> 1;
    return x * vpow2(half) * vpow2(n - half);
}

/* e^x. All x: +inf from 88.73 on, denormal results below -87.34, 0 below -103.98; NaN gives NaN. 1.01 / 0.98 ulp. */
VINLINE vf vexp(vf x) {
    vi n;
    vf q = vexp_reduced(vclamp(x, -104.0f, 89.0f), vzero(), &n);
    return vscale(q + vset(1.0f), n);
}

/* e^x - 1. All x: -1 below -17.4, +inf from 88.73 on; NaN gives NaN. 1.41 / 1.55 ulp. */
VINLINE vf vexpm1(vf x) {
    vi n;
    vf q = vexp_reduced(vclamp(x, -20.0f, 89.0f), vzero(), &n);
    vf half = vpow2((vi)((vu)n - 1u));                           /* half of 2^n: finite where e^x overflows */
    return (vfma(half, q, half - vset(0.5f))) * vset(2.0f);
}

/* k ln 2 + log(1 + f) for sqrt(1/2) - 1 <= f <= sqrt(2) - 1: f - f^2/2 + f^3 P(f), P of degree 7 (relative error
 * 6.0e-9). */
VINLINE vf vlog_reduced(vf f, vf k) {
    vf p = vset(-0.0764514953f);
    p = vfma(p, f, vset(0.127783552f));
    p = vfma(p, f, vset(-0.131642282f));
    p = vfma(p, f, vset(0.141998321f));
    p = vfma(p, f, vset(-0.166227743f));
    p = vfma(p, f, vset(0.200012848f));
    p = vfma(p, f, vset(-0.250008374f));
    p = vfma(p, f, vset(0.333333313f));
    vf square = f * f;
    vf tail = vfma(p, square * f, vfma(k, vset(-2.12194440e-4f), vset(-0.5f) * square));
    return vfma(k, vset(0.693359375f), f + tail);
}
/* k with sqrt(1/2) <= x 2^-k < sqrt(2), for normal x > 0. */
VINLINE vi vlog_exponent(vf x) { return (vi)((vu)vbits(x) - 0x3f3504f3u) >> 23; }

/* log x. Denormals are numbers, 0 gives -inf, +inf gives +inf, x < 0 and NaN give NaN. 0.85 / 0.88 ulp. */
VINLINE vf vlog(vf x) {
    vi tiny = x < vset(1.17549435e-38f);
    vf scaled = vselect(tiny, x * vset(8388608.0f), x);
    vi k = vlog_exponent(scaled);
    vf f = vfrom_bits((vi)((vu)vbits(scaled) - ((vu)k << 23))) - vset(1.0f);
    vf y = vlog_reduced(f, vfrom_int(k - (tiny & 23)));
    y = vselect(x == vset(__builtin_inff()), x, y);
    y = vselect(x == vzero(), vset(-__builtin_inff()), y);
    return vselect((x < vzero()) | (x != x), vset(__builtin_nanf("")), y);
}

/* log(1 + x) for -1 < x <= 2^125; NaN gives NaN. With 1 + x = 2^k (1 + f), f = x 2^-k + (2^-k - 1) has one small
 * rounding error. 1.43 ulp. */
VINLINE vf vlog1p(vf x) {
    vi k = vlog_exponent(x + vset(1.0f));
    vf scale = vpow2(-k);
    vf y = vlog_reduced(vfma(x, scale, scale - vset(1.0f)), vfrom_int(k));
    return vselect(x == x, y, x);
}

/* tanh x = (e^2|x| - 1) / (e^2|x| + 1) with the sign of x. All x: +-1 beyond 9.02; NaN gives NaN.
 * 2.5 / 2.7 ulp. */
VINLINE vf vtanh(vf x) {
    vf e = vexpm1(vset(2.0f) * vmin(vset(10.0f), vabs(x)));
    vf y = e / (e + vset(2.0f));
    return vselect(x == x, vcopysign(y, x), x);
}

/* s = 1 / (1 + e^-x) and its derivative s (1 - s), both without cancellation. All x: s is denormal below -87.34, 0
 * below -103.98; NaN gives NaN. 2.3 ulp, the derivative 4.6 ulp. */
VINLINE vf vsigmoid_slope(vf x, vf *slope) {
    vf e = vexp(-vabs(x)), d = vset(1.0f) / (vset(1.0f) + e), small = e * d;
    *slope = small * d;
    return vselect(x < vzero(), small, d);
}
VINLINE vf vsigmoid(vf x) {
    vf e = vexp(-vabs(x));
    return vselect(x < vzero(), e, vset(1.0f)) / (vset(1.0f) + e);
}

/* log(1 + e^x) = max(x, 0) + log1p(e^-|x|). All x; NaN gives NaN. 1.7 ulp. */
VINLINE vf vsoftplus(vf x) { return vmax(vzero(), x) + vlog1p(vexp(-vabs(x))); }

/* The distribution function of the normal law, Phi(x) = (1 + erf(x / sqrt 2)) / 2, and its density. For t = |x| the
 * tail is Phi(-t) = e^(-t^2/2) d P(d) with d = 1 / (t + 3), P of degree 9 (relative error 2.1e-8 for t <= 14.5); t^2
 * is taken in two parts, so that the tail keeps its relative error down to its underflow at -13.2. All x: beyond
 * 14.5 it is 0 or 1; NaN gives NaN. 5.7 / 6.1 ulp, the density 2.1 ulp. */
VINLINE vf vnormal(vf x, vf *density) {
    vf t = vmin(vset(14.5f), vabs(x));
    vf top = vfrom_bits(vbits(t) & ~0xfff);           /* 12 significant bits: its square is exact */
    vi n;
    vf q = vexp_reduced(vset(-0.5f) * top * top, vset(-0.5f) * (t - top) * (t + top), &n) + vset(1.0f);
    vf d = vset(1.0f) / (t + vset(3.0f)), p = vset(-522.756409f);
    p = vfma(p, d, vset(441.698181f));
    p = vfma(p, d, vset(198.858688f));
    p = vfma(p, d, vset(-324.796509f));
    p = vfma(p, d, vset(91.1590576f));
    p = vfma(p, d, vset(-1.80235827f));
    p = vfma(p, d, vset(8.55094242f));
    p = vfma(p, d, vset(3.10955763f));
    p = vfma(p, d, vset(1.19953561f));
    p = vfma(p, d, vset(0.398904413f));
    *density = vscale(q * vset(0.398942280f), n);
    vf tail = vscale(q * (p * d), n);
    return vselect(x < vzero(), tail, vset(1.0f) - tail);
}

/* arctan x. t = |x| is folded at tan(pi/8) and tan(3 pi/8) onto r = t, (t - 1) / (t + 1) or -1 / t, |r| <= tan(pi/8),
 * where arctan r = r + r^3 P(r^2), P of degree 4 (relative error 7.0e-10); the low part of the folded angle is added
 * first. All x: +-pi/2 at +-inf; NaN gives NaN. 1.82 ulp. */
VINLINE vf varctan(vf x) {
    vf t = vabs(x), one = vset(1.0f), zero = vzero();
    vi far = t > vset(2.41421356f), middle = t > vset(0.414213562f);
    vf r = vselect(far, -one, vselect(middle, t - one, t)) / vselect(far, t, vselect(middle, t + one, one));
    vf angle = vselect(far, vset(1.57079637f), vselect(middle, vset(0.785398185f), zero));
    vf low = vselect(far, vset(-4.37113883e-8f), vselect(middle, vset(-2.18556941e-8f), zero));
    vf square = r * r, p = vset(-0.0608882755f);
    p = vfma(p, square, vset(0.105987519f));
    p = vfma(p, square, vset(-0.142443463f));
    p = vfma(p, square, vset(0.199985266f));
    p = vfma(p, square, vset(-0.333333164f));
    vf y = angle + (r + vfma(p, square * r, low));
    return vselect(x == x, vcopysign(y, x), x);
}

/* sin and cos of 2 pi t for |t| <= 1/2: the nearest quarter turn is taken off exactly, then odd and even polynomials
 * on +-pi/4. Absolute error 9e-8. */
VINLINE vf vsincos_turns(vf t, vf *cosine) {
    vf quarter = vround(vset(4.0f) * t), r = vfma(quarter, vset(-0.25f), t), square = r * r;
    vf s = vset(-76.8297501f), c = vset(58.5568848f);
    s = vfma(s, square, vset(81.6266708f));
    s = vfma(s, square, vset(-41.3418694f));
    s = vfma(s, square, vset(6.28318548f)) * r;
    c = vfma(c, square, vset(-85.4230652f));
    c = vfma(c, square, vset(64.9391403f));
    c = vfma(c, square, vset(-19.7392082f));
    c = vfma(c, square, vset(1.0f));
    vi k = vto_int(quarter), odd = -(k & 1);
    vf sine = vselect(odd, c, s);
    *cosine = vselect(odd, s, c);
    /* sin is negative in quarters 2 and 3, cos in 1 and 2 */
    sine = vfrom_bits(vbits(sine) ^ ((k & 2) << 30));
    *cosine = vfrom_bits(vbits(*cosine) ^ (((k + 1) & 2) << 30));
    return sine;
}

#endif
