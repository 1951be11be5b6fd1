/* VL rows of VL floats, transposed in registers: bit by bit the number of a float's row and that of its lane are
 * exchanged. */
#ifndef CNN_KERNELS_TRANSPOSE_H
#define CNN_KERNELS_TRANSPOSE_H

#include "vec.h"

/* The lanes of a pair of rows, `BIT` apart, whose numbers have that bit clear in the row, or set: from both. */
#if VL == 16
#define CLEAR_1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define SET_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define CLEAR_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define SET_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define CLEAR_4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define SET_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define CLEAR_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define SET_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#elif VL == 8
#define CLEAR_1 0, 8, 2, 10, 4, 12, 6, 14
#define SET_1 1, 9, 3, 11, 5, 13, 7, 15
#define CLEAR_2 0, 1, 8, 9, 4, 5, 12, 13
#define SET_2 2, 3, 10, 11, 6, 7, 14, 15
#define CLEAR_4 0, 1, 2, 3, 8, 9, 10, 11
#define SET_4 4, 5, 6, 7, 12, 13, 14, 15
#elif VL == 4
#define CLEAR_1 0, 4, 2, 6
#define SET_1 1, 5, 3, 7
#define CLEAR_2 0, 1, 4, 5
#define SET_2 2, 3, 6, 7
#endif

#define EXCHANGE_BIT(BIT)                                                             \
    _Pragma("GCC unroll 16") for (int i = 0; i < VL; i++) {                           \
        if (i & BIT) continue;                                                        \
        const vf clear = row[i], set = row[i + BIT];                                  \
        row[i] = __builtin_shufflevector(clear, set, CLEAR_##BIT);                    \
        row[i + BIT] = __builtin_shufflevector(clear, set, SET_##BIT);                \
    }

VINLINE void transpose(vf row[VL]) {
    EXCHANGE_BIT(1)
    EXCHANGE_BIT(2)
#if VL >= 8
    EXCHANGE_BIT(4)
#endif
#if VL >= 16
    EXCHANGE_BIT(8)
#endif
}

#undef EXCHANGE_BIT

#endif
