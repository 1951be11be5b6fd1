/* Softmax leaves; the contract is in softmax.h. A row ends in a partial vector whose missing lanes count as -inf. */
#include "kernels.h"
#include "vec_math.h"

VINLINE vi first_lanes(ptrdiff_t n) {
    static const int32_t lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return (vi)*(const vi_unaligned *)lane < viset((int32_t)n);
}

static void softmax(ptrdiff_t rows, ptrdiff_t k, const float *x, float *y) {
    ptrdiff_t whole = k / VL * VL, rest = k - whole;
    vi mask = first_lanes(rest);
    vf low = vset(-__builtin_inff());
    for (ptrdiff_t r = 0; r < rows; r++, x += k, y += k) {
        vf highest = rest ? vselect(mask, vload_n(x + whole, rest), low) : low, total = vzero();
        for (ptrdiff_t i = 0; i < whole; i += VL) highest = vmax(highest, vload(x + i));
        vf shift = vset(vmax_lane(highest));
        for (ptrdiff_t i = 0; i < whole; i += VL) {
            vf e = vexp(vload(x + i) - shift);
            vstore(y + i, e);
            total += e;
        }
        vf last = vzero();
        if (rest) total += last = vfrom_bits(vbits(vexp(vload_n(x + whole, rest) - shift)) & mask);
        vf sum = vset(vsum(total));
        for (ptrdiff_t i = 0; i < whole; i += VL) vstore(y + i, vload(y + i) / sum);
        if (rest) vstore_n(y + whole, last / sum, rest);
    }
}

static void softmax_backward(ptrdiff_t rows, ptrdiff_t k, const float *grad_y, const float *y, float *grad_x) {
    ptrdiff_t whole = k / VL * VL, rest = k - whole;
    for (ptrdiff_t r = 0; r < rows; r++, grad_y += k, y += k, grad_x += k) {
        vf total = vzero();
        for (ptrdiff_t i = 0; i < whole; i += VL) total = vfma(vload(grad_y + i), vload(y + i), total);
        if (rest) total = vfma(vload_n(grad_y + whole, rest), vload_n(y + whole, rest), total);
        vf mean = vset(vsum(total));
        for (ptrdiff_t i = 0; i < whole; i += VL) vstore(grad_x + i, vload(y + i) * (vload(grad_y + i) - mean));
        if (rest) vstore_n(grad_x + whole, vload_n(y + whole, rest) * (vload_n(grad_y + whole, rest) - mean), rest);
    }
}

extern const cnn_softmax_kernels KERNEL(cnn_softmax);
const cnn_softmax_kernels KERNEL(cnn_softmax) = { .softmax = softmax, .softmax_backward = softmax_backward };
