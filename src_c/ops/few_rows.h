/* Dense layers of a few rows in training: forward and backward to the input, with the matrix as it lies
 * (kernels/few_rows.h). It has changed since the last step, and packing it, which reads and writes all of it, would
 * take longer than the product. (Where it does not change, what is packed is read a quarter faster from memory.)
 *
 * The matrix's rows are cut, by its shape alone, into pieces, the unit of parallel work, so that each thread reads a
 * part of memory from front to back, and in training the part that it has updated. Forward each piece has sums of its
 * own, which are added in order; backward it has results of its own. */
#ifndef CNN_OPS_FEW_ROWS_H
#define CNN_OPS_FEW_ROWS_H

#include "indirect_gemm.h"

/* Is the product of so many rows faster this way? transposed: backward. */
int cnn_few_rows_suit(const cnn_call *c, int64_t rows, int transposed);

/* As the functions of the same names in indirect_gemm.h, for dense layers. */
int cnn_few_rows_plan(cnn_call *c, cnn_choice *choice, int transposed, cnn_act act,
                      const cnn_indirect_gemm_operands *t, cnn_error *error);
void cnn_few_rows_run(const cnn_call *c, const cnn_exec *e, const cnn_indirect_gemm_operands *t);

#endif
