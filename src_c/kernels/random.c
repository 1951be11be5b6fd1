/* Leaves that draw random numbers; the contract is in random.h. */
#include "kernels.h"
#include "philox.h"
#include "vec_math.h"

VINLINE vf keep(const uint32_t *word, uint32_t threshold, vf kept) {
    vu w;
    memcpy(&w, word, sizeof w);
    return vselect((vi)(w >= threshold), kept, vzero());
}

static void dropout(const cnn_random_key *key, uint64_t begin, ptrdiff_t n, const float *x, uint32_t threshold,
                    float scale, float *y) {
    uint32_t words[CNN_RANDOM_GROUP];
    vf factor = vset(scale);
    for (ptrdiff_t at = 0; at < n; at += CNN_RANDOM_GROUP) {
        ptrdiff_t count = n - at < CNN_RANDOM_GROUP ? n - at : CNN_RANDOM_GROUP, i = 0;
        philox_group(key, (begin + (uint64_t)at) / CNN_RANDOM_GROUP, words);
        for (; i + VL <= count; i += VL) vstore(y + at + i, keep(words + i, threshold, vload(x + at + i) * factor));
        if (i < count) {
            ptrdiff_t rest = count - i;
            vstore_n(y + at + i, keep(words + i, threshold, vload_n(x + at + i, rest) * factor), rest);
        }
    }
}

/* Two groups of 16 normal numbers from two groups of 16 words. */
static void box_muller(const uint32_t *words, float *z) {
    for (int i = 0; i < 16; i += VL) {
        vi first, second;
        memcpy(&first, words + i, sizeof first);
        memcpy(&second, words + 16 + i, sizeof second);
        vf u = (vfrom_int((first >> 1) & 0x7fffffff) + vset(0.5f)) * vset(4.65661287e-10f);
        vf r = vsqrt(vset(-2.0f) * vlog(u)), c, s = vsincos_turns(vfrom_int(second) * vset(2.32830644e-10f), &c);
        vstore(z + i, r * c);
        vstore(z + 16 + i, r * s);
    }
}

static void gaussian_noise(const cnn_random_key *key, uint64_t begin, ptrdiff_t n, const float *x, float stddev,
                           float *y) {
    uint32_t words[CNN_RANDOM_GROUP];
    float z[CNN_RANDOM_GROUP];
    for (ptrdiff_t at = 0; at < n; at += CNN_RANDOM_GROUP) {
        ptrdiff_t count = n - at < CNN_RANDOM_GROUP ? n - at : CNN_RANDOM_GROUP;
        philox_group(key, (begin + (uint64_t)at) / CNN_RANDOM_GROUP, words);
        box_muller(words, z);
        box_muller(words + 32, z + 32);
        for (ptrdiff_t i = 0; i < count; i++) y[at + i] = x[at + i] + stddev * z[i];
    }
}

extern const cnn_random_kernels KERNEL(cnn_random);
const cnn_random_kernels KERNEL(cnn_random) = { .dropout = dropout, .gaussian_noise = gaussian_noise };
