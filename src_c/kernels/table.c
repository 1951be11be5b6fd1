/* The kernel table of one instruction set. */
#include "kernels.h"
#include "vec.h"

#define CNN_STRING_(text) #text
#define CNN_STRING(text) CNN_STRING_(text)

/* Ten independent chains of multiply-adds in registers: what the processor can do at most. The asm keeps the compiler
 * from seeing through. */
static double peak(long rounds) {
    vf a0 = vset(1), a1 = vset(2), a2 = vset(3), a3 = vset(4), a4 = vset(5), a5 = vset(6), a6 = vset(7), a7 = vset(8),
       a8 = vset(9), a9 = vset(10);
    vf scale = vset(0.5f), offset = vset(1);
#if defined(__x86_64__)
#define CNN_OPAQUE(v) __asm__ volatile("" : "+x"(v))
#if defined(CNN_ISA_AVX512)
#undef CNN_OPAQUE
#define CNN_OPAQUE(v) __asm__ volatile("" : "+v"(v))
#endif
#elif defined(__aarch64__)
#define CNN_OPAQUE(v) __asm__ volatile("" : "+w"(v))
#else
#define CNN_OPAQUE(v) __asm__ volatile("" : "+m"(v))
#endif
    CNN_OPAQUE(scale);
    CNN_OPAQUE(offset);
    for (long i = 0; i < rounds; i++) {
        a0 = vfma(a0, scale, offset);
        a1 = vfma(a1, scale, offset);
        a2 = vfma(a2, scale, offset);
        a3 = vfma(a3, scale, offset);
        a4 = vfma(a4, scale, offset);
        a5 = vfma(a5, scale, offset);
        a6 = vfma(a6, scale, offset);
        a7 = vfma(a7, scale, offset);
        a8 = vfma(a8, scale, offset); a9 = vfma(a9, scale, offset);
        CNN_OPAQUE(a0);
    }
    vf sum = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9;
    CNN_OPAQUE(sum);
    return (double)rounds * 10 * VL * 2;
}

#define DECLARE(family) extern const cnn_##family##_kernels KERNEL(cnn_##family)
DECLARE(elementwise);
DECLARE(random);
DECLARE(reduce);
DECLARE(softmax);
DECLARE(upsample);
DECLARE(loss);
DECLARE(optimizer);
DECLARE(gemm);
DECLARE(few_rows);
DECLARE(winograd);
DECLARE(batchnorm);
DECLARE(pool);
DECLARE(depthwise);
DECLARE(depthwise_normalised);
DECLARE(depthwise_backward);
DECLARE(augment);
DECLARE(image);
DECLARE(preprocess);

extern const cnn_kernels KERNEL(cnn_kernels);
const cnn_kernels KERNEL(cnn_kernels) = {
    .isa = CNN_STRING(CNN_ISA_SUFFIX),
    .vector = VL,
    .elementwise = &KERNEL(cnn_elementwise),
    .random = &KERNEL(cnn_random),
    .reduce = &KERNEL(cnn_reduce),
    .softmax = &KERNEL(cnn_softmax),
    .upsample = &KERNEL(cnn_upsample),
    .loss = &KERNEL(cnn_loss),
    .optimizer = &KERNEL(cnn_optimizer),
    .gemm = &KERNEL(cnn_gemm),
    .few_rows = &KERNEL(cnn_few_rows),
    .winograd = &KERNEL(cnn_winograd),
    .batchnorm = &KERNEL(cnn_batchnorm),
    .pool = &KERNEL(cnn_pool),
    .depthwise = &KERNEL(cnn_depthwise),
    .depthwise_normalised = &KERNEL(cnn_depthwise_normalised),
    .depthwise_backward = &KERNEL(cnn_depthwise_backward),
    .augment = &KERNEL(cnn_augment),
    .image = &KERNEL(cnn_image),
    .preprocess = &KERNEL(cnn_preprocess),
    .peak = peak,
};
