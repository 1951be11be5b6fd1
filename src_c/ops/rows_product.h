/* y = x w + bias + added of pixels that lie one after the other, w in panels: a 1x1 convolution of what is in a cache,
 * for operations that make a tensor a few rows at a time. */
#ifndef CNN_OPS_ROWS_PRODUCT_H
#define CNN_OPS_ROWS_PRODUCT_H

#include "panels.h"

typedef struct cnn_rows_product {
    int64_t in, out;                  /* channels of x and y */
    const float *w;                   /* [panel][in][width], aligned */
    const float *bias;                /* [out], or NULL */
    const float *added;               /* NULL, or what is added, of y's shape; may be y */
    float low, high;                  /* y is clamped to low..high */
} cnn_rows_product;

/* Of w in panels. */
int64_t cnn_rows_product_bytes(const cnn_kernels *k, int64_t in, int64_t out);

/* Puts w, [in][out], in panels: panels begin..end of cnn_panels_of(k, out). */
void cnn_rows_product_pack(const cnn_kernels *k, int64_t in, int64_t out, const float *w, int64_t begin, int64_t end,
                           float *packed);

/* The same by all threads together, in the operation's packed weights: the pack() of an operation with such a w. */
void cnn_rows_product_pack_weights(const cnn_call *c, const cnn_exec *e, const cnn_tensor *w);

void cnn_rows_product_run(const cnn_kernels *k, const cnn_rows_product *p, int64_t pixels, const float *x, float *y);

/* sums = x^T y of such pixels, or, where add, += it: [in][out]. The pixels of x by pointers; those of y `pitch` floats
 * apart, aligned to a vector; number: 0, 1, ... */
void cnn_rows_outer(const cnn_kernels *k, int64_t pixels, int64_t in, const float *const *x, const int32_t *number,
                    int64_t out, const float *y, int64_t pitch, int add, float *sums);

#endif
