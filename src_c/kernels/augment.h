/* Leaves of the augmentation of batches: rows of pixels become rows of float32. Arrays do not overlap. */
#ifndef CNN_KERNELS_AUGMENT_H
#define CNN_KERNELS_AUGMENT_H

#include <stddef.h>
#include <stdint.h>
#include "random.h"

typedef struct cnn_augment_kernels {
    /* y[i] = x[i] * scale[i] + offset[i], two roundings; x of one of the element types. */
    void (*convert_u8)(ptrdiff_t n, const uint8_t *x, const float *scale, const float *offset, float *y);
    void (*convert_f32)(ptrdiff_t n, const float *x, const float *scale, const float *offset, float *y);
    /* y = x with the order of its `pixels` reversed, each of `bytes` bytes. */
    void (*reverse)(ptrdiff_t pixels, ptrdiff_t bytes, const uint8_t *x, uint8_t *y);
    /* y[i] = a y[i] + b x[i], three roundings. */
    void (*blend)(ptrdiff_t n, float a, const float *x, float b, float *y);
    /* The random words of the elements CNN_RANDOM_GROUP * group and following; see philox.h. */
    void (*draw)(const cnn_random_key *key, uint64_t group, uint32_t words[CNN_RANDOM_GROUP]);
} cnn_augment_kernels;

#endif
