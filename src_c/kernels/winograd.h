/* Leaves of Winograd's convolution F(4x4, 3x3): a tile of 4x4 results of a 3x3 convolution from 6x6 pixels with 36
 * products in place of 144.
 *
 *     y = A' [ (G g G') o (B' d B) ] A,   o element by element (Winograd 1980; Lavin and Gray 2016, arXiv:1509.09308)
 *
 * with the Toom-Cook interpolation points 0, +-a, +-b and infinity, a = 5/8 and b = 3/2, which lose fewer digits than
 * the textbook's 0, +-1, +-2 (Barabasz et al. 2020, arXiv:1803.10986). With the powers of x as rows and M(x) = x (x^2 -
 * a^2)(x^2 - b^2):
 *
 *     A' row i:  the powers p^i of the points, and 1 at infinity for i = 3
 *     G  row p:  (1, p, p^2) / product over the other points q of (p - q), and (0, 0, 1) at infinity
 *     B' row p:  the coefficients of M(x) / (x - p), and of M(x) at infinity
 *
 * Element e = 6 i + j, 0 to 35, of a transformed tile or kernel is kept apart: the sum over channels is a matrix
 * product for each e. */
#ifndef CNN_KERNELS_WINOGRAD_H
#define CNN_KERNELS_WINOGRAD_H

#include <stddef.h>

enum { CNN_WINOGRAD_OUT = 4, CNN_WINOGRAD_IN = 6, CNN_WINOGRAD_ELEMENTS = 36 };

typedef struct cnn_winograd_kernels {
    /* v[e * stride + c] = element e of B' d B, d[i][j] = pixels[6 i + j][c], for `channels` channels. Writes up to a
     * whole vector beyond. */
    void (*input)(ptrdiff_t channels, const float *const *pixels, float *v, ptrdiff_t stride);
    /* u[e * stride + n] = element e of G g G', g[i][j] = w[(3 i + j) * tap + n], for `width` columns, a multiple of VL.
     * flip: g[2 - i][2 - j]. */
    void (*weights)(ptrdiff_t width, const float *w, ptrdiff_t tap, int flip, float *u, ptrdiff_t stride);
    /* y[at[4 i + j] + n] = clamp(row i, column j of A' m A + bias[n] + added[at[4 i + j] + n]), m having element e at
     * m[e * stride + n], for `columns` columns; at < 0: there is no such pixel. bias and added may be NULL. Reads m up
     * to a whole vector beyond. */
    void (*output)(ptrdiff_t columns, const float *m, ptrdiff_t stride, const float *bias, const float *added, float *y,
                   const ptrdiff_t *at, float low, float high);
    /* The two transforms of the weight gradient G' [ sum over tiles of (B' d B) o (A dy A') ] G:
     * v[e * stride + n] = element e of A dy A', dy[i][j] = pixels[4 i + j][n], for `columns` columns. Writes up to a
     * whole vector beyond. */
    void (*gradient)(ptrdiff_t columns, const float *const *pixels, float *v, ptrdiff_t stride);
    /* w[(3 i + j) * tap + n] = row i, column j of G' u G, u having element e at u[e * stride + n], for `columns`
     * columns. Reads u up to a vector beyond. */
    void (*weight_gradient)(ptrdiff_t columns, const float *u, ptrdiff_t stride, float *w, ptrdiff_t tap);
} cnn_winograd_kernels;

#endif
