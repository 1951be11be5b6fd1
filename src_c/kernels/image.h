/* Leaves of the work on photos: bytes in, bytes out, integers or single roundings in between, so that every instruction
 * set gives the same bytes. Resampling works on quads, pixels of four bytes of which an image may use fewer. Arrays do
 * not overlap. */
#ifndef CNN_KERNELS_IMAGE_H
#define CNN_KERNELS_IMAGE_H

#include <stddef.h>
#include <stdint.h>

enum {
    CNN_IMAGE_ROWS = 4,   /* that `across` resamples together */
    CNN_IMAGE_PAD = 16,   /* bytes in a row that `down` takes are a multiple of it */
    CNN_IMAGE_BITS = 22,  /* of the fraction of a weight; 255 times the weights' magnitudes must stay below 2^31 */
};

typedef struct cnn_image_kernels {
    /* Quad y + i * step = the `channels` bytes at x + i * pixel, 1 <= channels <= 4; its other bytes hold any value. */
    void (*widen)(ptrdiff_t n, ptrdiff_t channels, ptrdiff_t pixel, const uint8_t *x, ptrdiff_t step, uint8_t *y);
    /* The `channels` bytes at y + i * channels = those of quad x + 4 i. */
    void (*narrow)(ptrdiff_t n, ptrdiff_t channels, const uint8_t *x, uint8_t *y);
    /* Resamples CNN_IMAGE_ROWS rows along x. Quad i of row r of y (rows `pitch` bytes apart) is the sum over t < taps
     * of weights[i * taps + t] times quad first[i] + t of row r of x, rounded and cut; quad j of row r of x is at
     * x + 4 (CNN_IMAGE_ROWS j + r). */
    void (*across)(ptrdiff_t n, ptrdiff_t taps, const int32_t *first, const int32_t *weights, const uint8_t *x,
                   ptrdiff_t pitch, uint8_t *y);
    /* y = the sum over t < taps of weights[t] x[t], rounded and cut, for n bytes. */
    void (*down)(ptrdiff_t n, ptrdiff_t taps, const uint8_t *const *x, const int32_t *weights, uint8_t *y);
    /* The sum of n pixels' luma, each (19595 R + 38470 G + 7471 B) / 65536 rounded (ITU-R BT.601). A pixel's R, G and B
     * are the first of `pixel` bytes. */
    int64_t (*luma)(ptrdiff_t n, ptrdiff_t pixel, const uint8_t *x);
    /* y, 3 bytes to a pixel, = m (R, G, B, 1), rounded half up and cut; m is 3 x 4 by rows, its terms are added from
     * left to right. */
    void (*mix)(ptrdiff_t n, const float *m, ptrdiff_t pixel, const uint8_t *x, uint8_t *y);
} cnn_image_kernels;

#endif
