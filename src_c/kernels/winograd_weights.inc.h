/* The transform of a kernel of TAPS x TAPS taps to SIDE x SIDE elements. Included once a form, with those and
 * TRANSFORM_WEIGHTS(g, u). */
static void FORM(weights)(ptrdiff_t width, const float *w, ptrdiff_t tap, int flip, float *u, ptrdiff_t stride) {
    for (ptrdiff_t n = 0; n < width; n += VL) {
        vf half[SIDE][TAPS], column[TAPS], out[SIDE];
        for (int j = 0; j < TAPS; j++) {
#pragma GCC unroll 5
            for (int i = 0; i < TAPS; i++) {
                const int at = TAPS * i + j;
                column[i] = vload(w + (flip ? TAPS * TAPS - 1 - at : at) * tap + n);
            }
            TRANSFORM_WEIGHTS(column, out);
#pragma GCC unroll 6
            for (int i = 0; i < SIDE; i++) half[i][j] = out[i];
        }
        for (int i = 0; i < SIDE; i++) {
            TRANSFORM_WEIGHTS(half[i], out);
#pragma GCC unroll 6
            for (int j = 0; j < SIDE; j++) vstore(u + (SIDE * i + j) * stride + n, out[j]);
        }
    }
}
