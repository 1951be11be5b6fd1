/* Convolutions of few channels, as the first layer is. The WINDOW of an output pixel is what lies under the kernel:
 * kernel_h rows of kernel_w * channels values, each row one piece of memory. So it is a convolution of kernel_h taps
 * with so many channels, whose pixels overlap, and its inner loop runs over a row of the window instead of a handful of
 * channels. Windows are read where they lie; those that touch the border are copied with their padding, and so are
 * those of bytes, which are rescaled meanwhile: they are never written as floats. */
#ifndef CNN_OPS_CONV2D_WINDOWS_H
#define CNN_OPS_CONV2D_WINDOWS_H

#include "conv2d_source.h"

/* The convolution that is left to compute, of one long row of output pixels. */
cnn_conv2d_geometry cnn_conv2d_windowed(const cnn_conv2d_geometry *g);

/* The windows of output pixels, one after the other. */
typedef struct cnn_windows {
    const cnn_conv2d_geometry *g;
    const cnn_conv2d_images *images;
    int64_t left;                     /* pixels */
    int64_t n, i, j;                  /* the next one: image, row, column */
    int64_t spare;                    /* floats that can be read behind a window's row */
    float *memory;                    /* for the next copy */
    const float *band;                /* of narrow images: the copy for output rows from `band_row` on of image n */
    int64_t band_row;
} cnn_windows;

/* Floats of memory for what is copied of any `pixels` adjacent output pixels. */
int64_t cnn_windows_floats(const cnn_conv2d_geometry *g, int64_t pixels, int64_t spare);

/* Of the output pixels begin .. end - 1, counted over all images; with memory of as many floats as said above. */
cnn_windows cnn_windows_of(const cnn_conv2d_geometry *g, const cnn_conv2d_images *x, int64_t begin, int64_t end,
                           int64_t spare, float *memory);

/* Windows of `count` adjacent output pixels in one row, `apart` floats apart; their next rows are `row` floats
 * further. */
typedef struct cnn_window_row { const float *first; ptrdiff_t apart, row; int64_t count; } cnn_window_row;

/* The next ones, at most so many. */
cnn_window_row cnn_windows_next(cnn_windows *w, int64_t most);

/* Pointers to row h of the windows. */
static inline void cnn_window_row_point(const cnn_window_row *w, int64_t h, const float **to) {
    const float *x = w->first + h * w->row;
    const int64_t count = w->count;
    const ptrdiff_t apart = w->apart;
    for (int64_t k = 0; k < count; k++, x += apart) to[k] = x;
}

#endif
