/* Leaves that draw random numbers; see philox.h for which number an element gets. They work on the elements
 * [begin, begin + n) of a tensor, begin a multiple of CNN_RANDOM_GROUP; x and y point to element `begin` and may be
 * the same. */
#ifndef CNN_KERNELS_RANDOM_H
#define CNN_KERNELS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

enum { CNN_RANDOM_GROUP = 64 };               /* elements that are drawn together */

typedef struct cnn_random_key { uint64_t seed, step; uint32_t stream; } cnn_random_key;

typedef struct cnn_random_kernels {
    /* y[i] = x[i] * scale where the element's word is at least `threshold`, else 0, whatever x[i] is. */
    void (*dropout)(const cnn_random_key *key, uint64_t begin, ptrdiff_t n, const float *x, uint32_t threshold,
                    float scale, float *y);
    /* y[i] = x[i] + stddev z, z standard normal (Box and Muller 1958): words 0 and 1 of a block give elements of
     * word 0 and 1, r cos t and r sin t with r = sqrt(-2 log u), u = (floor(word_0 / 2) + 1/2) / 2^31, t = 2 pi
     * word_1 / 2^32; words 2 and 3 likewise. |z| < 6.7. The words are the same on all instruction sets, z within
     * rounding. */
    void (*gaussian_noise)(const cnn_random_key *key, uint64_t begin, ptrdiff_t n, const float *x, float stddev,
                           float *y);
} cnn_random_kernels;

#endif
