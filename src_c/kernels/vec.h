/* SIMD vectors of float, one source for every instruction set. Files in kernels/ are compiled once per set with one of
 * CNN_ISA_AVX512, CNN_ISA_AVX2, CNN_ISA_NEON or CNN_ISA_GENERIC defined; they see VL, the number of floats in a vector,
 * VREGISTERS, the number of vectors in registers, and the operations below. Arithmetic (+ - * /) and comparisons work
 * on vectors as on numbers; a comparison gives a mask for vselect. */
#ifndef CNN_KERNELS_VEC_H
#define CNN_KERNELS_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(CNN_ISA_AVX512)
#include <immintrin.h>
#define VL 16
#define VREGISTERS 32
#define CNN_ISA_SUFFIX avx512
#elif defined(CNN_ISA_AVX2)
#include <immintrin.h>
#define VL 8
#define VREGISTERS 16
#define CNN_ISA_SUFFIX avx2
#elif defined(CNN_ISA_NEON)
#include <arm_neon.h>
#define VL 4
#define VREGISTERS 32
#define CNN_ISA_SUFFIX neon
#elif defined(CNN_ISA_GENERIC)
#define VL 4
#define VREGISTERS 14 /* 16 where it matters, x86; without a fused multiply-add products need registers too */
#define CNN_ISA_SUFFIX generic
#else
#error "compile this file once per instruction set, with CNN_ISA_... defined (see setup.py)"
#endif

/* KERNEL(name) is the name of this instruction set's copy: name_avx2, ... */
#define CNN_PASTE_(name, suffix) name##_##suffix
#define CNN_PASTE(name, suffix) CNN_PASTE_(name, suffix)
#define KERNEL(name) CNN_PASTE(name, CNN_ISA_SUFFIX)

/* The baseline, which hardly a processor needs, is to be small: of what others have in several variants, one. */
#if defined(CNN_ISA_GENERIC)
#define VLEAN 1
#else
#define VLEAN 0
#endif

#define VINLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
/* Unsigned: for arithmetic that may wrap, as on the bits of a NaN. */
typedef uint32_t vu __attribute__((vector_size(VL * 4)));
typedef uint64_t vul __attribute__((vector_size(VL * 4)));
typedef float vf_unaligned __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int32_t vi_unaligned __attribute__((vector_size(VL * 4), aligned(4), may_alias));

VINLINE vf vload(const float *p) { return (vf)*(const vf_unaligned *)p; }
VINLINE void vstore(float *p, vf v) { *(vf_unaligned *)p = (vf_unaligned)v; }
VINLINE vf vset(float value) { return value - (vf){0}; }
VINLINE vf vzero(void) { return (vf){0}; }
VINLINE vi viset(int32_t value) { return value - (vi){0}; }
VINLINE vi vbits(vf v) { return (vi)v; }
VINLINE vf vfrom_bits(vi v) { return (vf)v; }

/* yes where the mask is set, else no. Masks are vectors of 0 and -1, as comparisons give. */
VINLINE vf vselect(vi mask, vf yes, vf no) { return (vf)(((vi)yes & mask) | ((vi)no & ~mask)); }

#if defined(CNN_ISA_AVX512)
VINLINE vf vfma(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }     /* a * b + c */
VINLINE vf vfnma(vf a, vf b, vf c) { return (vf)_mm512_fnmadd_ps((__m512)a, (__m512)b, (__m512)c); }   /* c - a * b */
VINLINE vf vmax(vf a, vf b) {
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
} /* a > b ? a : b, so b where either is NaN */
VINLINE vf vmin(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); } /* a < b ? a : b */
VINLINE vf vsqrt(vf a) { return (vf)_mm512_sqrt_ps((__m512)a); }
VINLINE vf vround(vf a) { return (vf)_mm512_roundscale_ps((__m512)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
VINLINE vi vto_int(vf a) { return (vi)_mm512_cvttps_epi32((__m512)a); } /* towards zero */
VINLINE vf vfrom_int(vi a) { return (vf)_mm512_cvtepi32_ps((__m512i)a); }
/* The products of the low halves of the 64-bit lanes. */
VINLINE vul vmul_low_halves(vul a, vul b) { return (vul)_mm512_mul_epu32((__m512i)a, (__m512i)b); }
VINLINE vf vload_n(const float *p, ptrdiff_t n) {
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
} /* the first n < VL, then zeros */
VINLINE void vstore_n(float *p, vf v, ptrdiff_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
#elif defined(CNN_ISA_AVX2)
VINLINE vf vfma(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
VINLINE vf vfnma(vf a, vf b, vf c) { return (vf)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c); }
VINLINE vf vmax(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
VINLINE vf vmin(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
VINLINE vf vsqrt(vf a) { return (vf)_mm256_sqrt_ps((__m256)a); }
VINLINE vf vround(vf a) { return (vf)_mm256_round_ps((__m256)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
VINLINE vi vto_int(vf a) { return (vi)_mm256_cvttps_epi32((__m256)a); }
VINLINE vf vfrom_int(vi a) { return (vf)_mm256_cvtepi32_ps((__m256i)a); }
VINLINE vul vmul_low_halves(vul a, vul b) { return (vul)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
VINLINE __m256i vmask_n(ptrdiff_t n) {
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(ones + 8 - n));
}
VINLINE vf vload_n(const float *p, ptrdiff_t n) { return (vf)_mm256_maskload_ps(p, vmask_n(n)); }
VINLINE void vstore_n(float *p, vf v, ptrdiff_t n) { _mm256_maskstore_ps(p, vmask_n(n), (__m256)v); }
#else
#if defined(CNN_ISA_NEON)
VINLINE vf vfma(vf a, vf b, vf c) { return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
VINLINE vf vfnma(vf a, vf b, vf c) { return (vf)vfmsq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
VINLINE vf vsqrt(vf a) { return (vf)vsqrtq_f32((float32x4_t)a); }
VINLINE vf vround(vf a) { return (vf)vrndnq_f32((float32x4_t)a); }
#else
VINLINE vf vfma(vf a, vf b, vf c) { return a * b + c; } /* two roundings: the portable set has no fused multiply-add */
VINLINE vf vfnma(vf a, vf b, vf c) { return c - a * b; }
VINLINE vf vsqrt(vf a) { for (int i = 0; i < VL; i++) a[i] = __builtin_sqrtf(a[i]); return a; }
VINLINE vf vround(vf a) { /* to even; adding 1.5 * 2^23 rounds |a| < 2^22, larger floats are clamped by the callers */
    vf big = vset(12582912.0f);
    return (a + big) - big;
}
#endif
VINLINE vf vmax(vf a, vf b) { return vselect(a > b, a, b); }
VINLINE vf vmin(vf a, vf b) { return vselect(a < b, a, b); }
VINLINE vul vmul_low_halves(vul a, vul b) { return (a & 0xffffffff) * (b & 0xffffffff); }
VINLINE vi vto_int(vf a) { return __builtin_convertvector(a, vi); }
VINLINE vf vfrom_int(vi a) { return __builtin_convertvector(a, vf); }
VINLINE vf vload_n(const float *p, ptrdiff_t n) { vf v = vzero(); memcpy(&v, p, (size_t)n * 4); return v; }
VINLINE void vstore_n(float *p, vf v, ptrdiff_t n) { memcpy(p, &v, (size_t)n * 4); }
#endif

/* VL bytes as numbers, and numbers as bytes, cut at 0 and 255. VL pixels of three bytes as quads, with a 0 behind
 * them, and back. */
#if defined(CNN_ISA_AVX512)
VINLINE vi vload_u8(const uint8_t *p) { return (vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)); }
VINLINE void vstore_u8(uint8_t *p, vi v) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtusepi32_epi8(_mm512_max_epi32((__m512i)v, _mm512_setzero_si512())));
}
VINLINE vi vload_rgb(const uint8_t *p) {
    __m512i packed = _mm512_maskz_loadu_epi32(0x0fff, p);
    __m512i thirds = _mm512_setr_epi32(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0);
    __m512i lanes = _mm512_permutexvar_epi32(thirds, packed);
    return (vi)_mm512_shuffle_epi8(lanes, _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1)));
}
VINLINE void vstore_rgb(uint8_t *p, vi v) {
    __m512i lanes = _mm512_shuffle_epi8((__m512i)v, _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1)));
    _mm512_mask_storeu_epi32(p, 0x0fff, _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 0, 0, 0, 0), lanes));
}
#elif defined(CNN_ISA_AVX2)
VINLINE vi vload_u8(const uint8_t *p) { return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
VINLINE void vstore_u8(uint8_t *p, vi v) {
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(words, words));
}
VINLINE vi vload_rgb(const uint8_t *p) {
    __m256i packed = _mm256_maskload_epi32((const int *)p, _mm256_setr_epi32(-1, -1, -1, -1, -1, -1, 0, 0));
    __m256i lanes = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 1, 2, 0, 3, 4, 5, 0));
    return (vi)_mm256_shuffle_epi8(lanes, _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1)));
}
VINLINE void vstore_rgb(uint8_t *p, vi v) {
    __m256i lanes = _mm256_shuffle_epi8((__m256i)v, _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1)));
    _mm256_maskstore_epi32((int *)p, _mm256_setr_epi32(-1, -1, -1, -1, -1, -1, 0, 0),
                           _mm256_permutevar8x32_epi32(lanes, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 0, 0)));
}
#else
VINLINE vi vload_u8(const uint8_t *p) { return (vi){p[0], p[1], p[2], p[3]}; }
VINLINE void vstore_u8(uint8_t *p, vi v) {
    for (int i = 0; i < VL; i++) p[i] = (uint8_t)(v[i] < 0 ? 0 : v[i] > 255 ? 255 : v[i]);
}
VINLINE vi vload_rgb(const uint8_t *p) {
    vi v = {0};
    for (int i = 0; i < VL; i++) v[i] = p[3 * i] | p[3 * i + 1] << 8 | p[3 * i + 2] << 16;
    return v;
}
VINLINE void vstore_rgb(uint8_t *p, vi v) {
    for (int i = 0; i < VL; i++) memcpy(p + 3 * i, (char *)&v + 4 * i, 3);
}
#endif

/* The low half of a vector. VLOW_IS_FASTER: are there processors that compute with it in less time? Zen 4 takes two
 * turns for 512 bits; elsewhere it costs as much as the whole, no more. What it is multiplied with is the low half of
 * what the other vectors are: read once more, as a part of the multiply-add, it is 12 % faster on Zen 4 and 28 % slower
 * on Zen 5, which then waits for its loads. */
#if defined(CNN_ISA_AVX512)
#define VLOW_IS_FASTER 1
typedef float vlow __attribute__((vector_size(VL * 2)));
VINLINE vlow vlow_of(vf v) { return (vlow)_mm512_castps512_ps256((__m512)v); }
VINLINE vlow vlow_set(float a) { return (vlow)_mm256_set1_ps(a); }
VINLINE vf vwhole_of(vlow v) { return (vf)_mm512_zextps256_ps512((__m256)v); }
VINLINE vlow vlow_fma(vlow a, vlow b, vlow c) { return (vlow)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
#else
#define VLOW_IS_FASTER 0
typedef vf vlow;
VINLINE vlow vlow_of(vf v) { return v; }
VINLINE vlow vlow_set(float a) { return vset(a); }
VINLINE vf vwhole_of(vlow v) { return v; }
VINLINE vlow vlow_fma(vlow a, vlow b, vlow c) { return vfma(a, b, c); }
#endif

/* For bodies that serve whole vectors (n == VL, a constant, which makes them the plain load and store) and the tail (n
 * < VL). */
VINLINE vf vload_upto(const float *p, ptrdiff_t n) { return n == VL ? vload(p) : vload_n(p, n); }
VINLINE void vstore_upto(float *p, vf v, ptrdiff_t n) { if (n == VL) vstore(p, v); else vstore_n(p, v, n); }
VINLINE vi vload_u8_upto(const uint8_t *p, ptrdiff_t n) {
    uint8_t bytes[VL] = {0};
    if (n == VL) return vload_u8(p);
    memcpy(bytes, p, (size_t)n);
    return vload_u8(bytes);
}
VINLINE void vstore_u8_upto(uint8_t *p, vi v, ptrdiff_t n) {
    uint8_t bytes[VL];
    if (n == VL) { vstore_u8(p, v); return; }
    vstore_u8(bytes, v);
    memcpy(p, bytes, (size_t)n);
}

/* One step of a maximum with its place: where the value is larger than *best, or the first NaN, it becomes *best, and
 * its number *at. Comparing with "not less or equal" asks for a NaN in the value as well. */
#if defined(CNN_ISA_AVX512)
VINLINE void vtake_larger(vf value, int32_t number, vf *best, vi *at) {
    const __mmask16 open = _mm512_cmp_ps_mask((__m512)*best, (__m512)*best, _CMP_ORD_Q);
    const __mmask16 larger = _mm512_mask_cmp_ps_mask(open, (__m512)value, (__m512)*best, _CMP_NLE_UQ);
    *best = (vf)_mm512_mask_mov_ps((__m512)*best, larger, (__m512)value);
    *at = (vi)_mm512_mask_mov_epi32((__m512i)*at, larger, _mm512_set1_epi32(number));
}
#else
VINLINE void vtake_larger(vf value, int32_t number, vf *best, vi *at) {
    const vi larger = ~(value <= *best) & (*best == *best);
    *best = vselect(larger, value, *best);
    *at = (vi)vselect(larger, (vf)viset(number), (vf)*at);
}
#endif
/* The larger; NaN where either is. vmax gives its second operand where one is NaN, so only a NaN in a must be kept. */
VINLINE vf vmax_or_nan(vf a, vf b) { return vselect(a == a, vmax(a, b), a); }

/* Where VLOOKS_UP: element index[i] of the 2 VL floats a, b. */
#if defined(CNN_ISA_AVX512)
#define VLOOKS_UP 1
VINLINE vf vlookup(vf a, vf b, vi index) {
    return (vf)_mm512_permutex2var_ps((__m512)a, (__m512i)index, (__m512)b);
}
#else
#define VLOOKS_UP 0
#endif

/* Stores past the caches, for what is too large to be there when it is read: nothing is read before it is written over,
 * and nothing else is driven out. p is aligned to the vector. Before another thread reads it, vstream_end(). */
#if defined(CNN_ISA_AVX512)
VINLINE void vstream(float *p, vf v) { _mm512_stream_ps(p, (__m512)v); }
VINLINE void vstream_end(void) { _mm_sfence(); }
#elif defined(CNN_ISA_AVX2)
VINLINE void vstream(float *p, vf v) { _mm256_stream_ps(p, (__m256)v); }
VINLINE void vstream_end(void) { _mm_sfence(); }
#else
VINLINE void vstream(float *p, vf v) { vstore(p, v); }
VINLINE void vstream_end(void) {}
#endif

/* A loaded vector that is to stay in its register: compilers like to load it again in every instruction that uses it.
 */
VINLINE vf vkeep(vf v) {
#if defined(CNN_ISA_AVX512)
    __asm__("" : "+v"(v));
#elif defined(__x86_64__)
    __asm__("" : "+x"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#endif
    return v;
}

/* From here on what *p says is read again. Compilers else keep it over a loop that fills all registers in those of
 * vectors, and what comes back from those waits in line behind the multiply-adds: 10 ns on Zen 5. */
#define VREAD_AGAIN(p) __asm__("" : "+r"(p))

/* An address that is to be in a register by itself: compilers like to add its parts anew for every element, from sums
 * of constants that take a register each. */
VINLINE const float *vkeep_address(const float *p) {
#if defined(__x86_64__) || defined(__aarch64__)
    __asm__("" : "+r"(p));
#endif
    return p;
}

/* Sums of the lanes, in a fixed order. */
VINLINE float vsum(vf v) {
    float lane[VL];
    memcpy(lane, &v, sizeof lane);
    for (int width = VL / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lane[i] += lane[i + width];
    return lane[0];
}
VINLINE double vsum_double(vf v) {
    float lane[VL];
    double sum = 0;
    memcpy(lane, &v, sizeof lane);
    for (int i = 0; i < VL; i++) sum += lane[i];
    return sum;
}
VINLINE float vmax_lane(vf v) {
    float lane[VL], best;
    memcpy(lane, &v, sizeof lane);
    best = lane[0];
    for (int i = 1; i < VL; i++) if (lane[i] > best) best = lane[i];
    return best;
}

#endif
