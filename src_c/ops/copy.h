/* What the operations that only move elements share. */
#ifndef CNN_OPS_COPY_H
#define CNN_OPS_COPY_H

#include <string.h>
#include "../runtime/op.h"

enum { CNN_COPY_GRAIN = 4096 };       /* bytes of a thread's smallest piece */

/* The bytes of t[.., i, ..] for one i along `axis`. */
static inline int64_t cnn_axis_bytes(const cnn_tensor *t, int axis) {
    int64_t bytes = cnn_dtype_bytes(t->dtype);
    for (int i = axis + 1; i < t->rank; i++) bytes *= t->dims[i];
    return bytes;
}

static inline double cnn_no_flops(const cnn_call *c) { (void)c; return 0; }

#endif
