/* Winograd's convolution: the products, and what each form consists of; its transforms are in winograd_2x2.c,
 * winograd_4x4.c, winograd_5x5.c, winograd_folded.c and winograd_strided.c. The contract is in winograd.h. */
#include "kernels.h"
#include "register_tiles.h"
#include "vec.h"

/* Asks for so many lines, to the second cache; where they end. */
VINLINE const char *fetch(const char *from, ptrdiff_t lines) {
    for (; lines > 0; lines--, from += CNN_WINOGRAD_LINE) __builtin_prefetch(from, 0, 2);
    return from;
}

/* Register tiles of the sizes of gemm.c. */
#define VECTORS 1
#include "winograd_panel.inc.h"
#undef VECTORS
#define VECTORS 2
#include "winograd_panel.inc.h"
#undef VECTORS
#define VECTORS 3
#include "winograd_panel.inc.h"
#undef VECTORS
#if VREGISTERS >= 32
#define VECTORS 4
#include "winograd_panel.inc.h"
#undef VECTORS
#endif

extern const cnn_winograd_form KERNEL(cnn_winograd_2x2), KERNEL(cnn_winograd_4x4), KERNEL(cnn_winograd_5x5),
    KERNEL(cnn_winograd_folded), KERNEL(cnn_winograd_strided), KERNEL(cnn_winograd_back_0), KERNEL(cnn_winograd_back_1);
extern const cnn_winograd_kernels KERNEL(cnn_winograd);
const cnn_winograd_kernels KERNEL(cnn_winograd) = {
    .form = {[CNN_WINOGRAD_2X2] = &KERNEL(cnn_winograd_2x2),
             [CNN_WINOGRAD_4X4] = &KERNEL(cnn_winograd_4x4),
             [CNN_WINOGRAD_5X5] = &KERNEL(cnn_winograd_5x5),
             [CNN_WINOGRAD_FOLDED] = &KERNEL(cnn_winograd_folded),
             [CNN_WINOGRAD_STRIDED] = &KERNEL(cnn_winograd_strided),
             [CNN_WINOGRAD_BACK_0] = &KERNEL(cnn_winograd_back_0),
             [CNN_WINOGRAD_BACK_1] = &KERNEL(cnn_winograd_back_1)},
#if VREGISTERS >= 32
    .product = {NULL, product_1, product_2, product_3, product_4},
    .outer = {NULL, outer_1, outer_2, outer_3, outer_4},
    .outer_channels = {0, CHANNELS_1, CHANNELS_2, CHANNELS_3, CHANNELS_4},
#else
    .product = {NULL, product_1, product_2, product_3},
    .outer = {NULL, outer_1, outer_2, outer_3},
    .outer_channels = {0, CHANNELS_1, CHANNELS_2, CHANNELS_3},
#endif
};
