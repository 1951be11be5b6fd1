/* The kernel's transform of a form with stride 1, to SIDE x SIDE elements. Included once a form, with SIDE and
 * FORM(transform_weights). */
static void FORM(weights)(ptrdiff_t width, const float *w, ptrdiff_t tap, int flip, float *u, ptrdiff_t stride) {
    for (ptrdiff_t n = 0; n < width; n += VL) {
        vf half[SIDE][3], column[3], out[SIDE];
        for (int j = 0; j < 3; j++) {
#pragma GCC unroll 3
            for (int i = 0; i < 3; i++) column[i] = vload(w + (flip ? 8 - 3 * i - j : 3 * i + j) * tap + n);
            FORM(transform_weights)(column, out);
#pragma GCC unroll 6
            for (int i = 0; i < SIDE; i++) half[i][j] = out[i];
        }
        for (int i = 0; i < SIDE; i++) {
            FORM(transform_weights)(half[i], out);
#pragma GCC unroll 6
            for (int j = 0; j < SIDE; j++) vstore(u + (SIDE * i + j) * stride + n, out[j]);
        }
    }
}
