/* All operations. The order is free: programs and files refer to operations by name. */
#include "../runtime/op.h"

#define CNN_OPERATIONS(X) \
    X(activation) X(activation_backward) \
    X(add) X(subtract) X(multiply) X(maximum) X(minimum) X(maximum_backward) X(minimum_backward) \
    \
    X(reshape)

#define DECLARE(name) extern const cnn_op cnn_op_##name;
CNN_OPERATIONS(DECLARE)

#define ENTRY(name) &cnn_op_##name,
const cnn_op *const cnn_ops[] = { CNN_OPERATIONS(ENTRY) };
const int cnn_ops_count = (int)(sizeof cnn_ops / sizeof *cnn_ops);
