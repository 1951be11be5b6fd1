/* Philox4x32-10, a counter-based random generator (Salmon, Moraes, Dror and Shaw 2011, Parallel random numbers: as easy
 * as 1, 2, 3): ten rounds of multiplications turn a counter of four words under a key of two into four random words.
 * Every number is a pure function of (seed, step, stream, element), so it depends neither on threads nor on the
 * instruction set, and the backward pass draws the forward pass' numbers again instead of storing them.
 *
 * LAYOUT. key = the seed's low and high word. Counter of block b = (b mod 2^32, b / 2^32 + 2^8 (step / 2^32),
 * step mod 2^32, stream), for b < 2^40 and step < 2^56. A group of 64 elements takes 16 blocks: element e is word
 * (e mod 64) / 16 of block 16 (e / 64) + e mod 16, so that whole vectors of blocks give contiguous elements. */
#ifndef CNN_KERNELS_PHILOX_H
#define CNN_KERNELS_PHILOX_H

#include "random.h"
#include "vec.h"

typedef uint32_t vu __attribute__((vector_size(VL * 4)));

/* The high words of the 64-bit products of a with a constant; *low: their low words. */
VINLINE vu philox_multiply(vu a, uint32_t constant, vu *low) {
    vul factor = (vul){0} + constant;
    vul even = vmul_low_halves((vul)a, factor), odd = vmul_low_halves((vul)a >> 32, factor);
    *low = (vu)((even & 0xffffffff) | odd << 32);
    return (vu)(even >> 32 | (odd & ~(uint64_t)0xffffffff));
}

/* The words of elements CNN_RANDOM_GROUP * group and following. */
VINLINE void philox_group(const cnn_random_key *key, uint64_t group, uint32_t words[CNN_RANDOM_GROUP]) {
    enum { BLOCKS = CNN_RANDOM_GROUP / 4 };
    static const uint32_t lane[BLOCKS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint64_t block = group * BLOCKS;          /* a multiple of 16, so the blocks of a group share the high word */
    for (int i = 0; i < BLOCKS; i += VL) {
        uint32_t k0 = (uint32_t)key->seed, k1 = (uint32_t)(key->seed >> 32);
        vu a, zero = {0}, b = zero + ((uint32_t)(block >> 32) + (uint32_t)(key->step >> 32 << 8));
        vu c = zero + (uint32_t)key->step, d = zero + key->stream;
        memcpy(&a, lane + i, sizeof a);
        a += (uint32_t)block;
        for (int round = 0; round < 10; round++) {
            vu low_a, high_a = philox_multiply(a, 0xD2511F53u, &low_a);
            vu low_c, high_c = philox_multiply(c, 0xCD9E8D57u, &low_c);
            a = high_c ^ b ^ k0;
            b = low_c;
            c = high_a ^ d ^ k1;
            d = low_a;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        memcpy(words + i, &a, sizeof a);
        memcpy(words + BLOCKS + i, &b, sizeof b);
        memcpy(words + 2 * BLOCKS + i, &c, sizeof c);
        memcpy(words + 3 * BLOCKS + i, &d, sizeof d);
    }
}

#endif
