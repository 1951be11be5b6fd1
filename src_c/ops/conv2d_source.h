/* What a convolution reads its pixels from.
 *
 * In place, the tensor itself, through pointers. Or a copy of a chunk's pixels, made in a thread's workspace:
 *
 * - normalised, of 1x1 convolutions: see cnn_normalised in indirect_gemm.h. Where others need it as well, there is no
 *   copy: it is made, and read, where they will read it. (Winograd's transforms have their own.)
 * - gathered, where a pixel has few channels (the first layer): all that lies under the kernel, kernel_h * kernel_w *
 *   channels values, one after the other for each output pixel, zeros for padding. The convolution then is a 1x1
 *   convolution of pixels with so many channels: its inner loop runs over all of them instead of a handful, and
 *   nothing is left of the borders. Images of bytes are rescaled meanwhile: they are never written as floats. */
#ifndef CNN_OPS_CONV2D_SOURCE_H
#define CNN_OPS_CONV2D_SOURCE_H

#include "conv2d_geometry.h"

typedef enum cnn_conv2d_source_kind { CNN_IN_PLACE, CNN_NORMALISED, CNN_GATHERED } cnn_conv2d_source_kind;

/* ", gathered" and the like, for the names of kernels; nothing for what is in place. */
static inline const char *cnn_conv2d_source_text(int kind) {
    return kind == CNN_GATHERED ? ", gathered" : kind == CNN_NORMALISED ? ", normalised" : "";
}

/* A product over one long row of pixels where it is one: a convolution that reads every pixel once and in order; also
 * after gathering. */
cnn_conv2d_geometry cnn_conv2d_flattened(cnn_conv2d_geometry g);
static inline int cnn_conv2d_is_flat(const cnn_conv2d_geometry *g) {
    return g->in_h == 1 && g->out_h == 1 && g->kernel_h == 1 && g->kernel_w == 1 && g->stride_w == 1 && g->groups == 1
        && g->in_w == g->out_w;
}

/* Does gathering pay, and what is left to compute then? */
int cnn_conv2d_gathers(const cnn_conv2d_geometry *g);
cnn_conv2d_geometry cnn_conv2d_gathered(const cnn_conv2d_geometry *g);

/* The images: float32; or, where they can be gathered, uint8, which are read as x scale + offset, like affine's result.
 * Padding is zeros thereafter. */
typedef struct cnn_rescaling { float scale, offset; } cnn_rescaling;
#define CNN_RESCALING_ATTRS \
    CNN_FLOAT_ATTR("x_scale", 1, -INFINITY, INFINITY), CNN_FLOAT_ATTR("x_offset", 0, -INFINITY, INFINITY)
static inline cnn_rescaling cnn_rescaling_of(const cnn_call *c, int first) {
    return (cnn_rescaling){cnn_float(c, first), cnn_float(c, first + 1)};
}
/* Fails unless x, the first input, is of one of the two kinds. first: where CNN_RESCALING_ATTRS begin in the table. */
int cnn_conv2d_check_images(const cnn_call *c, int first, cnn_error *error);

typedef struct cnn_conv2d_images {
    const cnn_kernels *kernels;
    const void *x;
    void (*rescale)(ptrdiff_t n, const uint8_t *x, float scale, float offset, float *y);  /* NULL: x is float32 */
    cnn_rescaling by;
} cnn_conv2d_images;
cnn_conv2d_images cnn_conv2d_images_of(const cnn_call *c, const cnn_exec *e, const cnn_tensor *x, cnn_rescaling by);
static inline cnn_conv2d_images cnn_conv2d_floats(const cnn_call *c, const float *x) {
    return (cnn_conv2d_images){.kernels = c->kernels, .x = x};
}

/* Floats of memory for gathering any `pixels` adjacent output pixels, each `pitch` floats from the last. */
int64_t cnn_conv2d_gather_floats(const cnn_conv2d_geometry *g, int64_t pixels, int64_t pitch);

/* Gathers for the output pixels begin .. end - 1, counted over all images, to the start of `memory`. pitch: at least
 * what a pixel has. */
void cnn_conv2d_gather(const cnn_conv2d_geometry *g, const cnn_conv2d_images *x, int64_t begin, int64_t end,
                       int64_t pitch, float *memory);

#endif
