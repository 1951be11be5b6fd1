/* What photos go through one by one, each in the thread that calls: resampling of a box, and a matrix for the colours.
 * Bytes in, bytes out; the same bytes on every instruction set. Nothing is allocated and nothing can fail: sizes are
 * the caller's responsibility. */
#ifndef CNN_RUNTIME_IMAGE_H
#define CNN_RUNTIME_IMAGE_H

#include <stdint.h>

/* A picture of h x w pixels of 1 to 4 channels; `row` and `pixel` are the distances in bytes, pixel >= channels. */
typedef struct cnn_picture {
    const uint8_t *data;
    int64_t h, w, channels, row, pixel;
} cnn_picture;

/* Filters f(x) by which a pixel at distance x counts, and how far they reach: 1/2, 1, 2 (Keys 1981, a = -1/2), 3. */
enum { CNN_FILTER_BOX, CNN_FILTER_BILINEAR, CNN_FILTER_BICUBIC, CNN_FILTER_LANCZOS3, CNN_FILTERS };

/* The box (x0, y0, x1, y1) of the picture, in pixels from its corner, 0 <= x0 < x1 <= w, 0 <= y0 < y1 <= h, as an image
 * of out_h x out_w, turned afterwards. Along x, then along y, each pixel is
 *
 *     round(sum_i w_i x_i),  w_i = f((i + 1/2 - c) / s) / sum,  c = x0 + (j + 1/2) (x1 - x0) / out_w
 *
 * over the picture's pixels with |i + 1/2 - c| within s times the filter's reach, where s = max(1, (x1 - x0) / out_w):
 * pixels outside the box count too, those outside the picture do not. Weights have 22 bits of fraction. */
typedef struct cnn_resize {
    cnn_picture x;
    float box[4];
    int64_t out_h, out_w;
    int filter, flip_x, flip_y;
} cnn_resize;

/* The size of the memory that `cnn_resize_run` works in. */
int64_t cnn_resize_workspace_bytes(const cnn_resize *r);

/* y: out_h x out_w x channels bytes; workspace: aligned to 8 bytes. isa -1: the one in use. */
void cnn_resize_run(const cnn_resize *r, int isa, void *workspace, uint8_t *y);

/* The sum over the pixels of an RGB picture of round((19595 R + 38470 G + 7471 B) / 65536). */
int64_t cnn_luma_sum(const cnn_picture *x, int isa);

/* y = m (R, G, B, 1), rounded half up and cut at 0 and 255; m is 3 x 4 by rows; y: h x w x 3 bytes. */
void cnn_color_mix(const cnn_picture *x, const float m[12], int isa, uint8_t *y);

#endif
