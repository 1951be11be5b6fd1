/* Elementwise leaves; the contract is in elementwise.h. */
#include "kernels.h"
#include "vec.h"

static void add(ptrdiff_t n, const float *a, const float *b, float *y) {
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) vstore(y + i, vload(a + i) + vload(b + i));
    if (i < n) vstore_n(y + i, vload_n(a + i, n - i) + vload_n(b + i, n - i), n - i);
}

extern const cnn_elementwise_kernels KERNEL(cnn_elementwise);
const cnn_elementwise_kernels KERNEL(cnn_elementwise) = { add };
