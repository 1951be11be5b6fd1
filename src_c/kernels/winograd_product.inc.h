/* The product of ROWS tiles x VECTORS vectors of output channels, included through gemm_sizes.inc.h once per size: with
 * the sizes as constants all loops over them unroll and the sums stay in registers. Loop order: groups of tiles, input
 * channels outside; rows, vectors inside. */
static void TILE(product)(const cnn_winograd_product *p) {
    const char *ahead = p->ahead, *ahead_v = p->ahead_v;
    for (ptrdiff_t group = 0; group < p->groups; group++) {
        float *m = p->m + group * (ROWS * VL);
        vf sum[ROWS][VECTORS];
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
            for (int k = 0; k < VECTORS; k++) sum[r][k] = vzero();
        const float *u = p->u, *v = p->v + group * (ROWS * VL);
        for (ptrdiff_t step = 0; step < p->steps; step++, v += CNN_WINOGRAD_STEP, u += CNN_WINOGRAD_STEP * VECTORS * VL) {
            if (step % (VL / CNN_WINOGRAD_STEP) == 0) {
                if (step > 0) v += p->v_plane - VL;
                for (ptrdiff_t line = 0; line < p->lines; line++, ahead += CNN_WINOGRAD_LINE)
                    __builtin_prefetch(ahead, 0, 2);
                for (ptrdiff_t line = 0; line < p->lines_v; line++, ahead_v += CNN_WINOGRAD_LINE)
                    __builtin_prefetch(ahead_v, 0, 2);
            }
#pragma GCC unroll 4
            for (int c = 0; c < CNN_WINOGRAD_STEP; c++) {
                vf column[VECTORS];
#pragma GCC unroll 4
                for (int k = 0; k < VECTORS; k++) column[k] = *(const vf *)(u + (c * VECTORS + k) * VL);
#pragma GCC unroll 16
                for (int r = 0; r < ROWS; r++) {
                    const vf value = vset(v[r * VL + c]);
#pragma GCC unroll 4
                    for (int k = 0; k < VECTORS; k++) sum[r][k] = vfma(value, column[k], sum[r][k]);
                }
            }
        }
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
            for (int k = 0; k < VECTORS; k++) vstore(m + k * p->m_plane + r * VL, sum[r][k]);
    }
}
