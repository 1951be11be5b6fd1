/* Where the pixels are that a block of output pixels reads, tap by tap: for each tap a list of those that it finds
 * inside the image. */
#ifndef CNN_OPS_PIXEL_LISTS_H
#define CNN_OPS_PIXEL_LISTS_H

#include "conv2d_windows.h"
#include "layout.h"

typedef struct cnn_pixel_lists {
    int64_t taps, most;               /* most: pixels of a block */
    int32_t *count;                   /* [taps] pixels whose tap is inside */
    const float **x;                  /* [taps][most] where the tap reads */
    int32_t *pixel;                   /* [taps][most] their numbers in the block */
} cnn_pixel_lists;

static inline cnn_pixel_lists cnn_pixel_lists_take(cnn_layout *all, int64_t taps, int64_t most) {
    cnn_pixel_lists l = {.taps = taps, .most = most};
    l.count = cnn_take(all, taps * (int64_t)sizeof *l.count);
    l.x = cnn_take(all, taps * most * (int64_t)sizeof *l.x);
    l.pixel = cnn_take(all, taps * most * (int64_t)sizeof *l.pixel);
    return l;
}

/* Where pixels of x lie: pixel `first` at x, the others `pitch` floats apart. */
typedef struct cnn_pixel_place { const float *x; int64_t first, pitch; } cnn_pixel_place;

/* For the output pixels begin .. end - 1. h, w: the convolution's axes. */
void cnn_pixel_lists_fill(const cnn_pixel_lists *l, cnn_conv2d_axis h, cnn_conv2d_axis w, cnn_pixel_place x,
                          int64_t begin, int64_t end);

/* The same of windows, a tap being a row of the kernel: with their padding, so that all pixels are there. copy: memory
 * for what is copied of them. Their numbers are those of any block, and are noted once. */
void cnn_pixel_lists_fill_windows(const cnn_pixel_lists *l, const cnn_conv2d_geometry *g,
                                  const cnn_conv2d_images *images, float *copy, int64_t begin, int64_t end);
void cnn_pixel_lists_number(const cnn_pixel_lists *l);

/* The pixels of x from the first to the last that output pixels begin .. end - 1 read, or more. */
typedef struct cnn_pixel_span { int64_t begin, end; } cnn_pixel_span;
cnn_pixel_span cnn_pixel_span_of(cnn_conv2d_axis h, cnn_conv2d_axis w, int64_t begin, int64_t end);

#endif
