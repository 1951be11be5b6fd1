/* t, the narrow tensor that a 1x1 convolution expands: x as it lies in memory, or x scale + shift, made a few pixels at
 * a time in a thread's memory. */
#ifndef CNN_OPS_NARROW_H
#define CNN_OPS_NARROW_H

#include "../runtime/op.h"
#include "layout.h"

typedef struct cnn_narrow {
    int64_t channels, fold;           /* fold: of wide rows, see kernels/batchnorm.h */
    const float *x;
    float *scale, *shift;             /* wide; NULL: t is x */
    float *pixels;                    /* room for those that are made */
} cnn_narrow;

/* The tensors: x, and scale and shift, both or none. */
typedef struct cnn_narrow_operands { const cnn_tensor *x, *scale, *shift; } cnn_narrow_operands;

int cnn_narrow_check(const cnn_narrow_operands *o, cnn_error *error);

/* Takes a thread's memory, for so many pixels at a time. */
cnn_narrow cnn_narrow_layout(cnn_layout *all, const cnn_narrow_operands *o, int64_t pixels);

/* Sets one up that has been laid out in memory. */
void cnn_narrow_begin(const cnn_exec *e, const cnn_narrow_operands *o, cnn_narrow *n);

/* So many pixels of t from pixel `first` on, until the next call. */
const float *cnn_narrow_at(const cnn_kernels *k, const cnn_narrow *n, int64_t first, int64_t pixels);

#endif
