/* What the operations that only move elements share. */
#ifndef CNN_OPS_COPY_H
#define CNN_OPS_COPY_H

#include "../runtime/op.h"

enum {
    CNN_COPY_GRAIN = 4096,            /* bytes of a thread's smallest piece */
    CNN_COPY_LONG = 64 << 10,         /* bytes of a row from which on threads share out each row, not rows */
};

/* The bytes of t[.., i, ..] for one i along `axis`. */
static inline int64_t cnn_axis_bytes(const cnn_tensor *t, int axis) {
    int64_t bytes = cnn_dtype_bytes(t->dtype);
    for (int i = axis + 1; i < t->rank; i++) bytes *= t->dims[i];
    return bytes;
}

/* A thread's share of rows of so many bytes: some of them, or, where they are long, a part of each. */
typedef struct cnn_copy_share { int64_t begin, end; int parts; } cnn_copy_share;
static inline cnn_copy_share cnn_copy_share_of(const cnn_exec *e, int64_t rows, int64_t bytes) {
    cnn_copy_share s = {.begin = 0, .end = rows, .parts = bytes >= CNN_COPY_LONG};
    if (!s.parts) cnn_share_grain(e, rows, cnn_ceil_div(CNN_COPY_GRAIN, bytes), &s.begin, &s.end);
    return s;
}

/* Copies the share's part of `rows` rows of `bytes` bytes, which are from_step and to_step bytes apart. */
static inline void cnn_copy(const cnn_call *c, const cnn_exec *e, const cnn_copy_share *s, int64_t rows, int64_t bytes,
                            const char *from, int64_t from_step, char *to, int64_t to_step) {
    int64_t begin = 0, end = bytes;
    if (s->parts) cnn_share_grain(e, bytes, CNN_COPY_GRAIN, &begin, &end);
    if (begin < end) c->kernels->elementwise->copy_rows(rows, end - begin, from + begin, from_step, to + begin,
                                                        to_step);
}

static inline double cnn_no_flops(const cnn_call *c) { (void)c; return 0; }

#endif
