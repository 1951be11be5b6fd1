/* What a gradient goes through where it is made, while it is in the cache: the derivative of the activation below, and
 * the sums that the batch normalisation below asks for. So neither takes a pass of its own over memory.
 *
 *     g = (what the operation computes + residual) * act'(y),   sum_g = sum g,   sum_gx = sum g (x - mean) per channel
 *
 * y: the activation's output, from which the derivative follows (see cnn_expect_mask). Where that is act(x scale +
 * shift) of a normalisation, scale and shift stand in its place: it is computed again from x, which is read for the
 * sums anyway. x, mean: what the normalisation read, and its mean.
 *
 * Every piece of the gradient has a slot for its sums, by its number, which follows from the shapes alone; the slots
 * are combined in order, in double, after a barrier. */
#ifndef CNN_OPS_GRADIENT_EPILOGUE_H
#define CNN_OPS_GRADIENT_EPILOGUE_H

#include "attributes.h"

/* The operands in an operation's lists of inputs and outputs, in this order; and CNN_ACT_ATTRS among its attributes. */
#define CNN_GRADIENT_INPUTS "[y] [x] [mean] [scale] [shift]"
#define CNN_GRADIENT_OUTPUTS "[sum_g] [sum_gx]"

typedef struct cnn_gradient_epilogue_operands {
    const cnn_tensor *y, *x, *mean, *scale, *shift; /* NULL where absent */
    const cnn_tensor *sum_g, *sum_gx;
    double activation, alpha, max_value;
} cnn_gradient_epilogue_operands;

/* Those of a call whose first such input is number `input`, first attribute number `attribute`; outputs 1 and 2. */
cnn_gradient_epilogue_operands cnn_gradient_epilogue_of(const cnn_call *c, int input, int attribute);

/* The checks; sets the shapes of the sums that are asked for, out[1] and out[2]. grad: shape of the gradient. */
int cnn_gradient_epilogue_infer(const cnn_call *c, const cnn_gradient_epilogue_operands *o, cnn_tensor *out,
                                cnn_error *error);

/* The check that a plan makes: what is asked for follows from what is given. */
int cnn_gradient_epilogue_check(const cnn_gradient_epilogue_operands *o, cnn_error *error);

/* Is there something to do, and are there sums? */
int cnn_gradient_epilogue_wanted(const cnn_gradient_epilogue_operands *o);
int cnn_gradient_epilogue_sums(const cnn_gradient_epilogue_operands *o);

/* Of the workspace, for the slots of so many pieces; 0 without sums. */
int64_t cnn_gradient_epilogue_bytes(const cnn_gradient_epilogue_operands *o, int64_t channels, int64_t pieces);

/* Channels from..from + columns of the pixels origin + at[0..pixels) of the gradient, those of a piece. Once for
 * each of them. */
void cnn_gradient_epilogue_apply(const cnn_call *c, const cnn_exec *e, const cnn_gradient_epilogue_operands *o,
                                 int64_t channels, int64_t piece, int64_t pixels, int64_t origin, int64_t from,
                                 int64_t columns, float *grad, const ptrdiff_t *at);

/* The same for a kernel that has the gradient in registers: what it needs for channels from `from` on of a piece, whose
 * sums, of `columns` channels, are set to zero. x and y are those of the first pixel of the tensor. */
cnn_gradient_epilogue cnn_gradient_epilogue_in_registers(const cnn_exec *e, const cnn_gradient_epilogue_operands *o,
                                                         int64_t channels, int64_t piece, int64_t from,
                                                         int64_t columns);

/* Where such a kernel has its sums as floats: notes them, sum g in `sum` and sum g (x - mean) in `square`. */
static inline void cnn_gradient_epilogue_note(const cnn_gradient_epilogue *g, int64_t columns,
                                              const cnn_moment_sums *sums) {
    for (int64_t i = 0; i < columns; i++) g->sum_g[i] = sums->sum[i];
    for (int64_t i = 0; i < columns; i++) g->sum_gx[i] = sums->square[i];
}

/* All threads together, with a barrier before; parallel over channels. */
void cnn_gradient_epilogue_combine(const cnn_call *c, const cnn_exec *e, const cnn_gradient_epilogue_operands *o,
                                   int64_t channels, int64_t pieces);

#endif
