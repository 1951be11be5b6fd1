/* The gradient in what a batch normalisation read, as the gradients of the convolution before it read it:
 *
 *     d = p grad_y + q out + s
 *
 * with the constants of batchnorm_backward_constants, computed for a block of pixels at a time and never written to
 * memory. grad_y: the gradient in what the normalisation gave; out: what it read. */
#ifndef CNN_OPS_NORMALISED_GRADIENT_H
#define CNN_OPS_NORMALISED_GRADIENT_H

#include "../runtime/op.h"

#define CNN_NORMALISED_GRADIENT_INPUTS "out p q s"

/* out NULL: d is grad_y itself. */
typedef struct cnn_normalised_gradient { const cnn_tensor *grad_y, *out, *p, *q, *s; } cnn_normalised_gradient;

/* Of a call whose input number `out` is out, if it has so many; p, q and s follow. */
cnn_normalised_gradient cnn_normalised_gradient_of(const cnn_call *c, const cnn_tensor *grad_y, int out);

int cnn_normalised_gradient_check(const cnn_normalised_gradient *g, cnn_error *error);

/* d of channels column .. column + columns - 1 of pixels first .. first + pixels - 1, to rows `pitch` floats apart. */
void cnn_normalised_gradient_load(const cnn_call *c, const cnn_exec *e, const cnn_normalised_gradient *g, int64_t first,
                                  int64_t pixels, int64_t column, int64_t columns, float *d, int64_t pitch);

#endif
