/* Leaves of Winograd's convolution, of 3x3 and 5x5 kernels and of first layers. Of 3x3 kernels with stride 1 in two
 * forms: F(4x4, 3x3), a tile of 4x4 results from 6x6 pixels with 36 products in place of 144, and F(2x2, 3x3), 2x2
 * results from 4x4 pixels with 16 products in place of 36, for small maps, where larger tiles would be few or hang over
 * the edges.
 *
 *     y = A' [ (G g G') o (B' d B) ] A,   o element by element (Winograd 1980; Lavin and Gray 2016, arXiv:1509.09308)
 *
 * with the Toom-Cook interpolation points 0, +-1 and infinity for F(2x2, 3x3), whose error is that of the direct
 * sum, and 0, +-a, +-b and infinity, a = 5/8 and b = 3/2, for F(4x4, 3x3), which lose fewer digits than the
 * textbook's 0, +-1, +-2 (Barabasz et al. 2020, arXiv:1803.10986). With the powers of x as rows and M(x) = x (x^2 -
 * a^2)(x^2 - b^2):
 *
 *     A' row i:  the powers p^i of the points, and 1 at infinity for i = 3
 *     G  row p:  (1, p, p^2) / product over the other points q of (p - q), and (0, 0, 1) at infinity
 *     B' row p:  the coefficients of M(x) / (x - p), and of M(x) at infinity
 *
 * (F(2x2, 3x3): up to the signs of rows of B' and A', which cancel.)
 *
 * Where 1 or 2 of a map's columns are left for the last tile of a row, F(4x4, 3x3) takes a NARROW one, of 2 results
 * from 4 pixels, where 3 are left one of 3 from 5, and so for the rows. F(2, 3) with the points 0, +-a and infinity, or
 * F(3, 3) with b as well, has products with the same transformed kernel: F(4, 3) divides row p of G by r(p) = p^2 - b^2
 * more, or by p + b, and a narrow tile's B' makes up for it; with M(x) = x (x^2 - a^2), or that times x - b:
 *
 *     A' row i:  the powers p^i of the points, and 1 at infinity for the last i
 *     B' row p:  r(p) times the coefficients of M(x) / (x - p), and those of M(x) at infinity
 *
 * and its rows (columns) of elements are those of its points among the six of 0, a, -a, b, -b and infinity. So an axis
 * of 14 results takes 3 * 6 + 4 = 22 rows of products, not 24, and one of 7 takes 6 + 5 = 11. The narrow tiles of a map
 * are all of one size.
 *
 * With stride 2 the even pixels of a row meet taps 0 and 2 of the kernel, the odd ones tap 1:
 *
 *     y[i] = w[0] d[2 i] + w[2] d[2 i + 2] + w[1] d[2 i + 1],
 *
 * a convolution of two taps with stride 1, by F(4, 2) with the points +-3/8, +-9/8 and infinity, and a product. In two
 * dimensions 4x4 results take 5x5 + 5x4 + 4x5 + 4x4 = 81 products in place of 144. The products of an odd row or column
 * all have the same factor of the kernel, so that there are 36 ELEMENTS again, (i, j) with i and j from 0 to 5, where 5
 * stands for the odd one: such an element has 4 SLOTS, (5, 5) has 16, one for each product: slot k of (i, 5) is that of
 * column k, of (5, j) that of row k, slot 4 k + l of (5, 5) that of row k and column l. Backwards the same: the
 * gradients of 8x8 pixels from 5x5 of the results.
 *
 * Its narrow tiles are of 2 or 3 results as well (or gradients of 4 or 6 pixels), F(2, 2) with the points +-P and
 * infinity, F(3, 2) with Q as well, where F(4, 2) has P = 3/8 and Q = 9/8: r(p) = p^2 - Q^2, or p + Q, and M(x) = x^2 -
 * P^2, or that times x - Q, make A' and B' as above. They have n of the 4 slots of a row or column, the first ones. So
 * an axis of 14 results takes 3 * 9 + 5 = 32 rows of products, not 36, and one of 7 takes 9 + 7 = 16.
 *
 * FOLDED is the form of the first layer of networks for large images, a kernel of 7x7 (or one that has 7 or 8 rows and
 * columns with the zeros that make its padding even) with stride 2 and few channels. Four pixels (2 i + dy, 2 j + dx)
 * are taken for one, pixel (i, j), of four times the channels, (2 dy + dx) channels + c. The convolution of these is
 * one of 4x4 taps with stride 1, by F(3x3, 4x4): 3x3 results from 6x6 folded pixels with 36 products of four channels
 * in place of 441 of one. It has the points and B' of F(4x4, 3x3), with A' for three results and G for four taps.
 *
 * Of 5x5 kernels with stride 1 there is F(2x2, 5x5), with the points and B' of F(4x4, 3x3), A' for two results and G
 * for five taps: 2x2 results from 6x6 pixels with 36 products in place of 100.
 *
 * Element e = 6 i + j, 0 to 35 (or 4 i + j, 0 to 15), of a transformed tile or kernel is kept apart: the sum over
 * channels is a matrix product for each e.
 *
 * A BLOCK of transformed tiles is an array [element][vector of channels][slot][tile][VL]: channel c of tile t in slot k
 * of element e is at first_slot(e) * element + (c / VL) * slots(e) * plane + k * slot + t * VL + c % VL. What a product
 * reads for a few tiles and VL channels is then adjacent in memory, and every offset in its inner loop is a constant.
 * Channels that do not exist are zeros. Tiles are of one KIND after the other, in the order of cnn_winograd_kind: those
 * that have any element are then neighbours, the narrow and the whole, the whole and the low, the whole, or all. */
#ifndef CNN_KERNELS_WINOGRAD_H
#define CNN_KERNELS_WINOGRAD_H

#include <stddef.h>
#include "batchnorm.h"

enum { CNN_WINOGRAD_IN = 12 /* of the largest form */, CNN_WINOGRAD_LINE = 64 /* bytes */ };

/* The forms, of 3x3 kernels but for 5X5 and FOLDED; the last two are the strided one backwards, for a padding of 0 and
 * of 1 before the image. */
typedef enum cnn_winograd_form_number {
    CNN_WINOGRAD_2X2, CNN_WINOGRAD_4X4, CNN_WINOGRAD_5X5, CNN_WINOGRAD_FOLDED, CNN_WINOGRAD_STRIDED,
    CNN_WINOGRAD_BACK_0, CNN_WINOGRAD_BACK_1, CNN_WINOGRAD_FORMS
} cnn_winograd_form_number;

/* Kinds of tiles: all are whole but the narrow ones of tiles of 4x4, which have 4 rows of n results (NARROW), n rows of
 * 4 (LOW) or n rows of n (SMALL), n being 2 or 3; backwards with stride 2 twice as many. */
typedef enum cnn_winograd_kind {
    CNN_WINOGRAD_NARROW, CNN_WINOGRAD_WHOLE, CNN_WINOGRAD_LOW, CNN_WINOGRAD_SMALL, CNN_WINOGRAD_KINDS
} cnn_winograd_kind;

/* A tile of `out` x `out` results is made from `in` x `in` pixels; the next tile's are `step` pixels on. */
typedef struct cnn_winograd_shape { int out, in, step, elements, slots; } cnn_winograd_shape;
static inline cnn_winograd_shape cnn_winograd_shape_of(int form) {
    static const cnn_winograd_shape shapes[CNN_WINOGRAD_FORMS] = {
        {2, 4, 2, 16, 16}, {4, 6, 4, 36, 36}, {2, 6, 2, 36, 36}, {3, 12, 6, 36, 36}, {4, 9, 8, 36, 81},
        {8, 5, 4, 36, 81}, {8, 5, 4, 36, 81}};
    return shapes[form];
}

/* Do narrow tiles of n results have row or column i of the elements? */
static inline int cnn_winograd_narrow_has(int n, int i) { return i < 3 || i == 5 || (i == 3 && n == 3); }
static inline int cnn_winograd_strided_narrow_has(int n, int i) { return i < 2 || i > 3 || (i == 2 && n == 3); }

/* Slots of element e, and of all before it. */
static inline int cnn_winograd_slots(int strided, int e) {
    return strided ? (e / 6 == 5 ? 4 : 1) * (e % 6 == 5 ? 4 : 1) : 1;
}
static inline int cnn_winograd_first_slot(int strided, int e) {
    return !strided ? e : e / 6 < 5 ? 9 * (e / 6) + e % 6 : 45 + 4 * (e % 6);
}

/* Tiles of one kind that are neighbours in a row of an image, to be transformed into a block. */
typedef struct cnn_winograd_source {
    ptrdiff_t tiles, channels;        /* channels: of a pixel, before it is folded */
    /* Pixel row i of the tiles, at column 0 of the image. For a row outside the image column `first` is at zeros, as
     * many as the pixels of `tiles` tiles. */
    const float *row[CNN_WINOGRAD_IN];
    ptrdiff_t step;                   /* floats from one pixel to the next */
    ptrdiff_t first, columns;         /* column of the first tile's first pixel, may be negative; columns that exist */
    ptrdiff_t top, bottom;            /* rows top .. bottom - 1 are inside the image */
    cnn_normalising norm;             /* of what is inside: outside all is zero */
    int far;                          /* it comes from beyond the second cache: the next channels are asked for */
    float *v;                         /* the first tile in the block */
    ptrdiff_t element, plane, slot;   /* floats, see above */
} cnn_winograd_source;

/* Neighbouring tiles of one kind whose results go to an image. */
typedef struct cnn_winograd_result {
    ptrdiff_t tiles, channels;
    const float *m;                   /* the first tile in the block */
    ptrdiff_t element, plane, slot;
    const float *bias, *added;        /* NULL, or [channels]; NULL, or laid out as y. May overlap y exactly. */
    /* `added` is of every other row and column alone, from the first on, rows `sparse_row` floats apart */
    int sparse;
    ptrdiff_t sparse_row;
    float *y;                         /* the first tile's first pixel */
    ptrdiff_t row, step;              /* floats from one row of pixels to the next, from one pixel to the next */
    ptrdiff_t rows, columns;          /* rows of pixels that exist, from 1; columns */
    int far;                          /* as above, of y, added and the gradient's */
    int odd;                          /* backwards with stride 2: the odd rows and columns are those transformed */
    int clamp;                        /* clamp to low..high; NaN stays NaN */
    float low, high;
    const cnn_moment_sums *moments;   /* NULL, or added to */
    int start;                        /* set `moments` up: the first result becomes the shift, the sums are zero */
    /* NULL, or the results are gradients that go through this; its x and y are those of the first tile's first
     * pixel, its sums are added to. Not with moments or clamp. */
    const cnn_gradient_epilogue *gradient;
} cnn_winograd_result;

/* M[e] = V[e] U[e] of `groups` x ROWS adjacent tiles and a panel of VECTORS vectors of output channels. */
typedef struct cnn_winograd_product {
    ptrdiff_t groups, channels;       /* channels: input channels */
    const float *v, *u;               /* tiles of an element; [planes * VL][VECTORS * VL], aligned to a vector */
    float *m;                         /* may be v where the panel is all output channels */
    ptrdiff_t v_plane, m_plane;
    /* What is needed soon: for each group and vector of channels `lines` lines from here on are fetched ahead into L2;
     * the same of V. */
    const char *ahead, *ahead_v;
    ptrdiff_t lines, lines_v;
} cnn_winograd_product;

/* sums[c][n] = sum over tiles of V[c][tile] * D[tile][n], for one element. */
typedef struct cnn_winograd_outer {
    ptrdiff_t tiles, channels;        /* channels are rounded up to whole tiles of registers: at most to a vector */
    const float *v, *d;
    ptrdiff_t v_plane, d_plane;
    float *sums;                      /* [channels][VECTORS * VL], aligned to a vector */
    int accumulate;                   /* add to sums; otherwise they are written */
    const char *ahead, *ahead_v;      /* as above, for each tile of registers, and into L1 */
    ptrdiff_t lines, lines_v;
} cnn_winograd_outer;

typedef void (*cnn_winograd_product_function)(const cnn_winograd_product *product);
typedef void (*cnn_winograd_outer_function)(const cnn_winograd_outer *outer);

typedef void (*cnn_winograd_input_function)(const cnn_winograd_source *source);
typedef void (*cnn_winograd_gradient_function)(const cnn_winograd_source *source, float *sum);
typedef void (*cnn_winograd_output_function)(const cnn_winograd_result *result);

/* The transforms of tiles, [0] where narrow ones have 2 results and [1] where they have 3, for each kind that there
 * is. */
typedef cnn_winograd_input_function cnn_winograd_inputs_by_kind[2][CNN_WINOGRAD_KINDS];
typedef cnn_winograd_gradient_function cnn_winograd_gradients_by_kind[2][CNN_WINOGRAD_KINDS];
typedef cnn_winograd_output_function cnn_winograd_outputs_by_kind[2][CNN_WINOGRAD_KINDS];

/* The transforms of a form. */
typedef struct cnn_winograd_form {
    /* u[e * stride + n] = element e of G g G', g[i][j] = w[(T i + j) * tap + n], for `width` columns, a
     * multiple of VL, T being the taps along a side, 4 of the folded form. flip: g[T - 1 - i][T - 1 - j]. */
    void (*weights)(ptrdiff_t width, const float *w, ptrdiff_t tap, int flip, float *u, ptrdiff_t stride);
    /* Element e of B' d B, d being the tile's pixels. */
    cnn_winograd_inputs_by_kind input;
    /* clamp(A' m A + bias + added). */
    cnn_winograd_outputs_by_kind output;
    /* The two transforms of the weight gradient G' [ sum over tiles of (B' d B) o (A dy A') ] G, of all forms
     * but 2X2 and those backwards. Element e of A dy A', dy being the tile's results, 4x4 or fewer, so many rows of the
     * source are read; if `sum`, sum[n] += the sum of the pixels of column n. */
    cnn_winograd_gradients_by_kind gradient;
    /* w[(T i + j) * tap + n] = row i, column j of G' u G, u having element e at u[e * stride + n], for
     * `columns` columns. Reads u up to a vector beyond. stream: w goes past the caches: whole vectors, aligned; end
     * with cnn_gemm_kernels' stream_end. */
    void (*weight_gradient)(ptrdiff_t columns, const float *u, ptrdiff_t stride, float *w, ptrdiff_t tap, int stream);
} cnn_winograd_form;

typedef struct cnn_winograd_kernels {
    const cnn_winograd_form *form[CNN_WINOGRAD_FORMS];
    const cnn_winograd_product_function *product[5];      /* [vectors][rows], as the tiles of gemm.h */
    cnn_winograd_outer_function outer[5];                 /* [vectors] */
    int outer_channels[5];                                /* input channels of a tile of registers beside so many */
} cnn_winograd_kernels;

#endif
