/* All products with panels of VECTORS vectors. Included by winograd.c. */
#define ITEM "winograd_product.inc.h"
#include "gemm_sizes.inc.h"
#undef ITEM

#define ITEM "gemm_entry.inc.h"
#define FAMILY product
static const cnn_winograd_product_function PANEL(product)[CNN_GEMM_ROWS + 1] = {
#include "gemm_sizes.inc.h"
};
#undef FAMILY
#undef ITEM

/* Channels beside a panel: a power of two, so that they lie in one plane, as large as registers allow. */
enum {
    PANEL(CHANNELS) = VL >= 16 && ROWS_THAT_FIT(VECTORS) >= 16 ? 16
        : VL >= 8 && ROWS_THAT_FIT(VECTORS) >= 8 ? 8
        : ROWS_THAT_FIT(VECTORS) >= 4 ? 4
        : 2
};

static void PANEL(outer)(const cnn_winograd_outer *o) {
    enum { ROWS = PANEL(CHANNELS), WIDTH = VECTORS * VL };
    const char *ahead = o->ahead, *ahead_v = o->ahead_v;
    for (ptrdiff_t c = 0; c < o->channels; c += ROWS) {
        VREAD_AGAIN(o);
        for (ptrdiff_t line = 0; line < o->lines; line++, ahead += CNN_WINOGRAD_LINE) __builtin_prefetch(ahead, 0, 3);
        for (ptrdiff_t line = 0; line < o->lines_v; line++, ahead_v += CNN_WINOGRAD_LINE)
            __builtin_prefetch(ahead_v, 0, 3);
        const float *v = o->v + c / VL * o->v_plane + c % VL, *d = o->d;
        float *sums = o->sums + c * WIDTH;
        vf sum[ROWS][VECTORS];
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
            for (int k = 0; k < VECTORS; k++) sum[r][k] = o->accumulate ? *(vf *)(sums + r * WIDTH + k * VL) : vzero();
#pragma GCC unroll 4
        for (ptrdiff_t t = 0; t < o->tiles; t++) {
            vf column[VECTORS];
#pragma GCC unroll 4
            for (int k = 0; k < VECTORS; k++) column[k] = vload(d + k * o->d_plane + t * VL);
#pragma GCC unroll 16
            for (int r = 0; r < ROWS; r++) {
                const vf value = vset(v[t * VL + r]);
#pragma GCC unroll 4
                for (int k = 0; k < VECTORS; k++) sum[r][k] = vfma(value, column[k], sum[r][k]);
            }
        }
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
            for (int k = 0; k < VECTORS; k++) *(vf *)(sums + r * WIDTH + k * VL) = sum[r][k];
    }
}
