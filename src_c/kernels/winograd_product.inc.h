/* The product of ROWS tiles x VECTORS vectors of output channels, included through gemm_sizes.inc.h once per size: with
 * the sizes as constants all loops over them unroll and the sums stay in registers. Loop order: groups of tiles, input
 * channels outside; rows, vectors inside. */

/* An input channel: v of the tiles, u of the panel. */
VINLINE void TILE(add_channel)(const float *v, const float *u, vf sum[ROWS][VECTORS]) {
    vf column[VECTORS];
#pragma GCC unroll 4
    for (int k = 0; k < VECTORS; k++) column[k] = *(const vf *)(u + k * VL);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) {
        const vf value = vset(v[r * VL]);
#pragma GCC unroll 4
        for (int k = 0; k < VECTORS; k++) sum[r][k] = vfma(value, column[k], sum[r][k]);
    }
}

static void TILE(product)(const cnn_winograd_product *p) {
    const char *ahead = p->ahead, *ahead_v = p->ahead_v;
    const ptrdiff_t planes = p->channels / VL, last = p->channels % VL;
    for (ptrdiff_t group = 0; group < p->groups; group++) {
        float *m = p->m + group * (ROWS * VL);
        vf sum[ROWS][VECTORS];
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
            for (int k = 0; k < VECTORS; k++) sum[r][k] = vzero();
        const float *u = p->u, *v = p->v + group * (ROWS * VL);
        for (ptrdiff_t plane = 0; plane < planes; plane++, v += p->v_plane, u += VL * VECTORS * VL) {
            ahead = fetch(ahead, p->lines);
            ahead_v = fetch(ahead_v, p->lines_v);
#pragma GCC unroll 4
            for (int c = 0; c < VL; c++) TILE(add_channel)(v + c, u + c * VECTORS * VL, sum);
        }
        if (__builtin_expect(last != 0, 0)) {         /* out of the way: most have whole vectors */
            ahead = fetch(ahead, p->lines);
            ahead_v = fetch(ahead_v, p->lines_v);
            for (ptrdiff_t c = 0; c < last; c++) TILE(add_channel)(v + c, u + c * VECTORS * VL, sum);
        }
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
            for (int k = 0; k < VECTORS; k++) vstore(m + k * p->m_plane + r * VL, sum[r][k]);
    }
}
