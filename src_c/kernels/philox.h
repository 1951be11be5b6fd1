/* Philox4x32-10, a counter-based random generator (Salmon, Moraes, Dror and Shaw 2011, Parallel random numbers: as easy as 1, 2, 3):
 * ten rounds of multiplications turn a counter of four words under a key of two into four random words. Every number is a pure
 * function of (seed, step, stream, element), so it depends neither on threads nor on the instruction set, and the backward pass draws
 * the forward pass' numbers again instead of storing them.
 *
 * LAYOUT. key = the seed's low and high word. Counter of block b = (b mod 2^32, b / 2^32 + 2^8 (step / 2^32), step mod 2^32, stream),
 * for b < 2^40 and step < 2^56. A group of 64 elements takes 16 blocks: element e is word (e mod 64) / 16 of block 16 (e / 64) + e mod 16,
 * so that whole vectors of blocks give contiguous elements. */
#ifndef CNN_KERNELS_PHILOX_H
#define CNN_KERNELS_PHILOX_H

#include <stdint.h>

enum { CNN_RANDOM_GROUP = 64 };               /* elements that are drawn together */

typedef struct cnn_random_key { uint64_t seed, step; uint32_t stream; } cnn_random_key;

/* The words of elements 64 group .. 64 group + 63. The lanes are loops of 16, which the compiler makes vectors of. */
static inline void cnn_philox_group(const cnn_random_key *key, uint64_t group, uint32_t words[CNN_RANDOM_GROUP]) {
    enum { LANES = 16 };
    uint32_t *restrict a = words, *restrict b = words + LANES, *restrict c = words + 2 * LANES, *restrict d = words + 3 * LANES;
    uint64_t block = group * LANES;           /* a multiple of 16, so the lanes share the high word */
    uint32_t high = (uint32_t)(block >> 32) + (uint32_t)(key->step >> 32 << 8);
    for (uint32_t i = 0; i < LANES; i++) {
        a[i] = (uint32_t)block + i;
        b[i] = high;
        c[i] = (uint32_t)key->step;
        d[i] = key->stream;
    }
    uint32_t k0 = (uint32_t)key->seed, k1 = (uint32_t)(key->seed >> 32);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < LANES; i++) {
            uint64_t p = (uint64_t)0xD2511F53u * a[i], q = (uint64_t)0xCD9E8D57u * c[i];
            uint32_t b_was = b[i], d_was = d[i];
            a[i] = (uint32_t)(q >> 32) ^ b_was ^ k0;
            b[i] = (uint32_t)q;
            c[i] = (uint32_t)(p >> 32) ^ d_was ^ k1;
            d[i] = (uint32_t)p;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

#endif
