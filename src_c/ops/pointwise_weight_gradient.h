/* The gradient in the weights of 1x1 convolutions and dense layers with many channels on both sides: a product of two
 * matrices, grad_w = x^T grad_y, where weight_gradient.h has the general case.
 *
 * One of the two is PACKED, a panel of its channels at a time: a block of pixels of it is in the first cache. The other
 * is STREAMED: tiles of its channels are read where they lie, each line once for a panel, and come to the second cache
 * shortly before. Rows that are far apart fall into few sets of a cache, which then does not hold a block of them; it
 * need not. The sums of all streamed channels with the panel's do stay in the second cache, side by side, while the
 * blocks of pixels pass by; the last block's go to grad_w.
 *
 * Packed is grad_y, unless x has too few channels to stream, or so many that its pixels fall into one set: then it is
 * x, the sums are grad_w transposed, and are turned once they are complete. The first tile packs what it reads, if
 * kernels can read it where it lies. An x that is to be normalised, or that skips pixels, is so while it is packed; to
 * be streamed it is copied first, or packed after all where the copy would be too large for a cache. None of that
 * changes a bit: blocks and groups of pixels, with partial sums like weight_gradient.h's, depend on the shapes
 * alone. */
#ifndef CNN_OPS_POINTWISE_WEIGHT_GRADIENT_H
#define CNN_OPS_POINTWISE_WEIGHT_GRADIENT_H

#include "weight_gradient.h"

/* From 64 channels on both sides, of more pixels than a block, all inside the image. Where tiles are small, an x whose
 * pixels all fall into one set of the first cache, and that is not packed, keeps the general form, which cuts it. */
int cnn_pointwise_weight_gradient_suits(const cnn_kernels *k, const cnn_conv2d_geometry *g);
int cnn_pointwise_weight_gradient_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g,
                                       const cnn_weight_gradient_operands *o, cnn_error *error);
void cnn_pointwise_weight_gradient_run(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o);
double cnn_pointwise_weight_gradient_flops(const cnn_call *c);

#endif
