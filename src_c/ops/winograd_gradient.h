/* The gradient in the weights of a 3x3 convolution with stride 1, by Winograd's F(4x4, 3x3) seen backwards, or with
 * stride 2 by its relative (kernels/winograd.h), where a sum is over all slots of the element, or of folded pixels by
 * F(3x3, 4x4), whose grad_y may be computed where it is read (normalised_gradient.h):
 *
 *     grad_w[..][c][o] = G' [ sum over tiles of (B' x B)[c] o (A grad_y A')[o] ] G
 *
 * with the matrices A and B of each tile: narrow ones add to the elements that they have, as G is the same.
 *
 * For each of the 36 elements the sum over tiles is a product of a few input channels x a panel of output channels, as
 * in weight_gradient.h.
 *
 * The work is cut, by shapes alone, into parts of the tiles (each with partial gradients, added in order afterwards;
 * the first part's are grad_w itself), panels, and ranges of input channels, so that the 36 sums of a unit stay in L2.
 *
 * Every unit of a range needs the same tiles of x, every unit of a panel the same of grad_y. Where channels are many,
 * all tiles are transformed first, and kept; loop order in a unit: element, block of tiles, tile of channels. Where
 * tiles are so many as well that they do not stay near until they are used, x is transformed in two halves of its
 * channels, unless threads are so many that half of the units are too few; where they do not even stay in a last cache
 * from unit to unit, elements are outside: each is multiplied for all units, and the units make gradients of their
 * sums afterwards. Where channels are few, a unit transforms what it needs, in L2: block of tiles, element, tile of
 * channels.
 *
 * Of a grouped convolution each bundle (winograd.h) is treated so by itself, and of its sums those between channels of
 * the same group become gradients. */
#ifndef CNN_OPS_WINOGRAD_GRADIENT_H
#define CNN_OPS_WINOGRAD_GRADIENT_H

#include "weight_gradient.h"
#include "winograd.h"

/* Is it faster than the direct product? Decided by the shapes alone. */
int cnn_winograd_gradient_suits(const cnn_conv2d_geometry *g);

int cnn_winograd_gradient_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g,
                               const cnn_weight_gradient_operands *o, cnn_error *error);
void cnn_winograd_gradient_run(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o);
double cnn_winograd_gradient_flops(const cnn_call *c);

#endif
