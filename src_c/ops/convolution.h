/* The choice between the algorithms of convolution, made when an operation is planned, from the shapes alone. */
#ifndef CNN_OPS_CONVOLUTION_H
#define CNN_OPS_CONVOLUTION_H

#include "weight_gradient.h"

int cnn_convolution_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g, cnn_act act,
                         const cnn_indirect_gemm_operands *t, cnn_error *error);
void cnn_convolution_pack(const cnn_call *c, const cnn_exec *e, const cnn_tensor *w);
void cnn_convolution_run(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *t);
double cnn_convolution_flops(const cnn_call *c);     /* of the direct algorithm, whichever runs */

/* The same for the gradient in the weights. */
int cnn_convolution_weight_plan(cnn_call *c, cnn_choice *choice, const cnn_conv2d_geometry *g,
                                const cnn_weight_gradient_operands *o, cnn_error *error);
void cnn_convolution_weight_run(const cnn_call *c, const cnn_exec *e, const cnn_weight_gradient_operands *o);
double cnn_convolution_weight_flops(const cnn_call *c);

/* Can both take normalised operands (cnn_normalised in indirect_gemm.h)? Unless they are to keep to direct sums. */
int cnn_convolution_normalises(const cnn_conv2d_geometry *g);

#endif
