/* Leaves of the augmentation of batches; the contract is in augment.h. */
#include "kernels.h"
#include "philox.h"

static void convert_u8(ptrdiff_t n, const uint8_t *restrict x, const float *restrict scale,
                       const float *restrict offset, float *restrict y) {
    for (ptrdiff_t i = 0; i < n; i++) y[i] = (float)x[i] * scale[i] + offset[i];
}
static void convert_f32(ptrdiff_t n, const float *restrict x, const float *restrict scale,
                        const float *restrict offset, float *restrict y) {
    for (ptrdiff_t i = 0; i < n; i++) y[i] = x[i] * scale[i] + offset[i];
}

VINLINE void reverse_pixels(ptrdiff_t pixels, size_t bytes, const uint8_t *restrict x, uint8_t *restrict y) {
    x += (size_t)pixels * bytes;
    for (ptrdiff_t i = 0; i < pixels; i++, y += bytes) memcpy(y, x -= bytes, bytes);
}

/* The usual sizes (1, 3 and 4 channels of bytes and of floats) as constants, so that a pixel is moved in registers. */
static void reverse(ptrdiff_t pixels, ptrdiff_t bytes, const uint8_t *x, uint8_t *y) {
    switch (bytes) {
    case 1: reverse_pixels(pixels, 1, x, y); break;
    case 3: reverse_pixels(pixels, 3, x, y); break;
    case 4: reverse_pixels(pixels, 4, x, y); break;
    case 12: reverse_pixels(pixels, 12, x, y); break;
    case 16: reverse_pixels(pixels, 16, x, y); break;
    default: reverse_pixels(pixels, (size_t)bytes, x, y);
    }
}

static void blend(ptrdiff_t n, float a, const float *restrict x, float b, float *restrict y) {
    for (ptrdiff_t i = 0; i < n; i++) y[i] = a * y[i] + b * x[i];
}

static void draw(const cnn_random_key *key, uint64_t group, uint32_t words[CNN_RANDOM_GROUP]) {
    philox_group(key, group, words);
}

extern const cnn_augment_kernels KERNEL(cnn_augment);
const cnn_augment_kernels KERNEL(cnn_augment) = {
    .convert_u8 = convert_u8, .convert_f32 = convert_f32, .reverse = reverse, .blend = blend, .draw = draw,
};
