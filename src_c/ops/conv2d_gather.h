/* Windows (conv2d_windows.h) whose rows are too short for an inner loop each: all values of a window are copied one
 * after the other. The convolution then is a 1x1 convolution of pixels with kernel_h * kernel_w * channels values. */
#ifndef CNN_OPS_CONV2D_GATHER_H
#define CNN_OPS_CONV2D_GATHER_H

#include "conv2d_windows.h"

/* The convolution that is left to compute. */
cnn_conv2d_geometry cnn_conv2d_gathered(const cnn_conv2d_geometry *g);

/* Floats of memory for gathering any `pixels` adjacent output pixels, each `pitch` floats from the last. */
int64_t cnn_conv2d_gather_floats(const cnn_conv2d_geometry *g, int64_t pixels, int64_t pitch);

/* Gathers for the output pixels begin .. end - 1, counted over all images, to the start of `memory`. pitch: at least
 * what a pixel has. */
void cnn_conv2d_gather(const cnn_conv2d_geometry *g, const cnn_conv2d_images *x, int64_t begin, int64_t end,
                       int64_t pitch, float *memory);

#endif
