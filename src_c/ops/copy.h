/* Moving rows of bytes: what concat and slice share. */
#ifndef CNN_OPS_COPY_H
#define CNN_OPS_COPY_H

#include <string.h>
#include "../runtime/op.h"

/* This thread's part of copying `rows` rows of `bytes` bytes, whose starts are src_stride and dst_stride bytes apart. */
static inline void cnn_copy_rows(const cnn_exec *e, int64_t rows, int64_t bytes, const char *src, int64_t src_stride, char *dst, int64_t dst_stride) {
    int64_t at, end;
    cnn_share_grain(e, rows * bytes, 4096, &at, &end);
    while (at < end) {
        int64_t row = at / bytes, inside = at % bytes, n = cnn_min(bytes - inside, end - at);
        memcpy(dst + row * dst_stride + inside, src + row * src_stride + inside, (size_t)n);
        at += n;
    }
}

/* Elements in one step along `axis`, times the element's size: the bytes of t[.., i, ..] for one i. */
static inline int64_t cnn_axis_bytes(const cnn_tensor *t, int axis) {
    int64_t bytes = cnn_dtype_bytes(t->dtype);
    for (int i = axis + 1; i < t->rank; i++) bytes *= t->dims[i];
    return bytes;
}

static inline double cnn_no_flops(const cnn_call *c) { (void)c; return 0; }

#endif
