/* What a convolution reads its pixels from.
 *
 * In place, the tensor itself, through pointers. Or, of 1x1 convolutions, NORMALISED: a copy of a chunk's pixels, made
 * in a thread's workspace, see cnn_normalised in indirect_gemm.h. Where others need it as well, there is no copy: it is
 * made, and read, where they will read it. (Winograd's transforms have their own.) Or, where pixels have few channels:
 * WINDOWS, see conv2d_windows.h, or GATHERED, see conv2d_gather.h. */
#ifndef CNN_OPS_CONV2D_SOURCE_H
#define CNN_OPS_CONV2D_SOURCE_H

#include "conv2d_geometry.h"

typedef enum cnn_conv2d_source_kind { CNN_IN_PLACE, CNN_NORMALISED, CNN_GATHERED, CNN_WINDOWS } cnn_conv2d_source_kind;

/* ", gathered" and the like, for the names of kernels; nothing for what is in place. */
static inline const char *cnn_conv2d_source_text(int kind) {
    return kind == CNN_GATHERED ? ", gathered" : kind == CNN_NORMALISED ? ", normalised"
        : kind == CNN_WINDOWS ? ", windows" : "";
}

/* A product over one long row of pixels where it is one: a convolution that reads every pixel once and in order. */
cnn_conv2d_geometry cnn_conv2d_flattened(cnn_conv2d_geometry g);
static inline int cnn_conv2d_is_flat(const cnn_conv2d_geometry *g) {
    return g->in_h == 1 && g->out_h == 1 && g->kernel_h == 1 && g->kernel_w == 1 && g->stride_w == 1 && g->groups == 1
        && g->in_w == g->out_w;
}

/* Has a pixel so few channels that it is read by windows? */
int cnn_conv2d_has_windows(const cnn_conv2d_geometry *g);

/* The images: float32; or, where they have windows, uint8, which are read as x scale + offset, like affine's result.
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

#endif
