/* Matrix products in register tiles: the leaves of convolution and dense layers.
 *
 * Two families of tiles, one instance for every size of rows x vectors that fits the registers. What a tile holds is
 * never stored before its sum is complete, so the inner loop has only loads and multiply-adds:
 *
 *   tile    a few pixels x a panel of output channels:
 *           y[m][n] = sum over taps t, channels c of x[t][m][c] * w[t][c][n]
 *   outer   a few input channels x a panel of output channels:
 *           w[c][n] = sum over pixels p of x[p][c] * grad_y[p][n]
 *
 * A PANEL is `vectors` SIMD vectors of adjacent output channels, width = vectors * VL floats. Rows (pixels) come by
 * pointers, so any stride, padding and dilation is a table of pointers, and activations are never copied. */
#ifndef CNN_KERNELS_GEMM_H
#define CNN_KERNELS_GEMM_H

#include <stddef.h>
#include <stdint.h>
#include "batchnorm.h"

enum { CNN_GEMM_ROWS = 16, CNN_GEMM_VECTORS = 4 };    /* the largest tile of any instruction set, in either direction */
enum { CNN_GEMM_WINDOW = 4 };                         /* pixels of a window that is pooled in registers */
enum { CNN_GEMM_PIECE = 8 };                          /* floats moved at a time, at most */
/* Tiles of a call, where they can be several: a call costs as much time as some ten terms of a tile's sums. */
enum { CNN_GEMM_STRIP = 4 };

typedef struct cnn_gemm_tile {
    ptrdiff_t runs, channels;         /* terms of the sum: runs of taps, any number from 0; channels of a tap, from 1 */
    /* [runs][rows] where the first tap of a run is read; its other taps follow, `channels` floats each. Where the rows
     * are equally far apart, `apart` floats, not 0, [runs]: of the first row alone. */
    const float *const *x;
    ptrdiff_t apart;
    ptrdiff_t channel;                /* the first channel used of every pixel in x */
    /* [runs] number within w of the first tap of a run, and how many taps it has; taps may be left out */
    const int32_t *tap, *length;
    const float *w;                   /* [...][channels][width], aligned to a vector */
    /* What is asked for while the sum is computed, a line each for the i-th term: at near + i * near_step, into the
     * first cache, and at far + i * far_step, into the second, which a processor that is busy may leave. Never read,
     * so both may be NULL or lie beyond the array. */
    const float *near, *far;
    ptrdiff_t near_step, far_step;
    const float *bias;                /* [width - VL + last], or NULL */
    /* NULL, or what is added, row m from added + added_at[m] on: a residual, y itself to continue its sum. May overlap
     * y exactly. */
    const float *added;
    float *y;                         /* row m is at y + at[m] */
    const ptrdiff_t *at, *added_at;   /* [rows] */
    /* So many tiles follow that differ in their pixels alone, not pooled: their x, at and added_at are behind this
     * one's, and what is asked for goes on. */
    ptrdiff_t more;
    /* columns that exist in the last vector, 1 to VL; the others are neither read nor written */
    ptrdiff_t last;
    float low, high;                  /* the result is clamped to low..high; NaN stays NaN */
    const cnn_moment_sums *moments;   /* NULL, or added to */
    int start;                        /* set `moments` up: the first row becomes the shift, the sums are zero */
    /* NULL, or the result is a gradient that goes through this, without limits: y, x and the vectors begin with the
     * panel, row m of y and x is at at[m]. Where it asks for sums, `moments` holds them, sum g in `sum` and sum g (x -
     * mean) in `square`. */
    const cnn_gradient_epilogue *gradient;
    /* the result is too large to be in a cache when it is read: whole lines are written past them all; end with
     * stream_end */
    int stream;
    /* The rows, a multiple of CNN_GEMM_WINDOW, are the pixels of pooling windows: instead of them window m's maximum is
     * written to y + at[m] and, unless place is NULL, its place (see pool.h) to place + at[m]. */
    int pooled;
    uint8_t *place;
} cnn_gemm_tile;

typedef struct cnn_gemm_outer {
    ptrdiff_t pixels;                 /* terms of the sum, any number from 0 */
    const float *const *x;            /* [pixels] */
    /* [pixels] a row of grad_y each: row i is at grad_y + i * grad_y_stride, `width` floats, aligned to a vector */
    const int32_t *row;
    const float *grad_y;
    ptrdiff_t grad_y_stride;
    /* NULL, or the rows that are read go there as well, one after the other, aligned to a vector; only where `last` is
     * a whole vector */
    float *copy;
    ptrdiff_t channel;                /* the first channel used of every pixel in x */
    const float *added;               /* NULL, or what is added, row c at added + c * added_stride; may be w */
    float *w;                         /* row c is at w + c * stride */
    ptrdiff_t added_stride, stride, last;      /* last: as above */
    /* What is needed soon comes to the second cache: `lines` lines for each pixel p, from ahead + p * ahead_step on.
     * Never read, so it may be NULL or lie beyond the array. */
    const float *ahead;
    ptrdiff_t ahead_step, lines;
} cnn_gemm_outer;

typedef void (*cnn_gemm_tile_function)(const cnn_gemm_tile *tile);
typedef void (*cnn_gemm_outer_function)(const cnn_gemm_outer *outer);

typedef struct cnn_gemm_kernels {
    int vectors;                                                        /* widest panel, in vectors */
    int rows[CNN_GEMM_VECTORS + 1];                                     /* most rows beside so many vectors */
    const cnn_gemm_tile_function *tile[CNN_GEMM_VECTORS + 1];           /* [vectors][rows] */
    const cnn_gemm_outer_function *outer[CNN_GEMM_VECTORS + 1];
    /* Can tiles be streamed? Then whole vectors are lines of the cache, and results must be aligned to one. */
    int streams;
    void (*stream_end)(void);                                          /* before other threads read what was streamed */

    /* panel[r][0..width) = source[r][0..columns), then zeros; width is a multiple of VL. */
    void (*pack)(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t width, const float *source, ptrdiff_t stride,
                 float *panel);
    /* The same of a transposed source: panel[r][n] = source[n][r]. */
    void (*pack_transposed)(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t width, const float *source, ptrdiff_t stride,
                            float *panel);
    /* to[n * to_stride + r] = source[r * stride + n], for as many rows and columns of the source. */
    void (*transpose)(ptrdiff_t rows, ptrdiff_t columns, const float *source, ptrdiff_t stride, float *to,
                      ptrdiff_t to_stride);
    /* The windows of neighbouring pixels, `rows` rows of `span` floats each, one row after the other:
     *
     *     to[q * pitch + r * span + i] = from[q * step + r * row + i]
     *
     * In whole pieces of up to CNN_GEMM_PIECE floats: less than one more than a row has may be read, and written behind
     * it before what comes next is. */
    void (*gather)(ptrdiff_t windows, ptrdiff_t rows, ptrdiff_t span, const float *from, ptrdiff_t step, ptrdiff_t row,
                   ptrdiff_t pitch, float *to);
    /* Cuts rows into tiles of columns: the first `larger` have size + 1 columns, the others `size`. Row r of tile t is
     * at to + t * tile_stride + r * pitch; behind a tile's rows there must be VL floats of room. */
    void (*cut)(ptrdiff_t rows, ptrdiff_t tiles, ptrdiff_t size, ptrdiff_t larger, ptrdiff_t pitch,
                const float *source, ptrdiff_t stride, ptrdiff_t tile_stride, float *to);
    /* sum[n] += sum over r of panel[r][n]: float within the call, so rows should be some hundreds at most, double
     * across calls. */
    void (*add_rows)(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t width, const float *panel, double *sum);
    /* mean[n] and squares[n] = sum of squared deviations from it, of y[at[r]][n] over r. Deviations are from the
     * first row, so a mean that is large beside the deviation costs no digits. */
    void (*moments)(ptrdiff_t rows, ptrdiff_t columns, const float *y, const ptrdiff_t *at, double *mean,
                    double *squares);
    /* Mean and biased variance (each unless NULL) over all rows from those of `parts` pieces: counts[p] rows with
     * mean[p * stride + n] and squares[p * stride + n]. Chan, Golub and LeVeque 1979, in double. */
    void (*combine_moments)(ptrdiff_t parts, ptrdiff_t stride, ptrdiff_t columns, const double *counts,
                            const double *mean, const double *squares,
                            float *total_mean, float *total_var);
    /* y[i] += sum over p of part[p * stride + i], in that order. */
    void (*add_parts)(ptrdiff_t parts, ptrdiff_t stride, ptrdiff_t n, const float *part, float *y);
} cnn_gemm_kernels;

#endif
