/* Leaves of the work on photos; the contract is in image.h. */
#include "kernels.h"
#include "vec.h"

enum { BLOCK = CNN_IMAGE_ROWS * 4 / VL };      /* vectors that hold a quad of each of the rows */

VINLINE void copy_pixels(ptrdiff_t n, size_t bytes, const uint8_t *restrict x, ptrdiff_t from, uint8_t *restrict y,
                         ptrdiff_t to) {
    for (ptrdiff_t i = 0; i < n; i++) memcpy(y + i * to, x + i * from, bytes);
}

/* Three bytes are moved as four where that reads or writes no further than the next pixel. */
static void widen(ptrdiff_t n, ptrdiff_t channels, ptrdiff_t pixel, const uint8_t *x, ptrdiff_t step, uint8_t *y) {
    switch (channels) {
    case 1: copy_pixels(n, 1, x, pixel, y, step); break;
    case 2: copy_pixels(n, 2, x, pixel, y, step); break;
    case 3:
        copy_pixels(n - 1, 4, x, pixel, y, step);
        copy_pixels(1, 3, x + (n - 1) * pixel, pixel, y + (n - 1) * step, step);
        break;
    default: copy_pixels(n, 4, x, pixel, y, step);
    }
}

VINLINE vi load_quads(const uint8_t *x) {
    vi v;
    memcpy(&v, x, sizeof v);
    return v;
}

static void narrow(ptrdiff_t n, ptrdiff_t channels, const uint8_t *x, uint8_t *y) {
    switch (channels) {
    case 1: copy_pixels(n, 1, x, 4, y, 1); break;
    case 2: copy_pixels(n, 2, x, 4, y, 2); break;
    case 3: {
        ptrdiff_t whole = n / VL * VL;
        for (ptrdiff_t i = 0; i < whole; i += VL) vstore_rgb(y + 3 * i, load_quads(x + 4 * i));
        copy_pixels(n - whole, 3, x + 4 * whole, 4, y + 3 * whole, 3);
        break;
    }
    default: memcpy(y, x, (size_t)n * 4);
    }
}

/* Sums of weights times bytes as bytes: half is already added. */
VINLINE void store_sum(uint8_t *y, vi sum) {
    vstore_u8(y, sum >> CNN_IMAGE_BITS);
}

VINLINE void across_by(ptrdiff_t n, ptrdiff_t taps, const int32_t *restrict first, const int32_t *restrict weights,
                       const uint8_t *restrict x, ptrdiff_t pitch, uint8_t *restrict y) {
    for (ptrdiff_t i = 0; i < n; i++, weights += taps) {
        const uint8_t *quads = x + (ptrdiff_t)first[i] * CNN_IMAGE_ROWS * 4;
        vi sum[BLOCK];
        for (int k = 0; k < BLOCK; k++) sum[k] = viset(1 << (CNN_IMAGE_BITS - 1));
        for (ptrdiff_t t = 0; t < taps; t++, quads += CNN_IMAGE_ROWS * 4) {
            vi weight = viset(weights[t]);
            for (int k = 0; k < BLOCK; k++) sum[k] += vload_u8(quads + k * VL) * weight;
        }
        uint8_t made[CNN_IMAGE_ROWS * 4];
        for (int k = 0; k < BLOCK; k++) store_sum(made + k * VL, sum[k]);
        for (int r = 0; r < CNN_IMAGE_ROWS; r++) memcpy(y + r * pitch + 4 * i, made + 4 * r, 4);
    }
}

/* The numbers of taps of usual resizes as constants, here and below. */
static void across(ptrdiff_t n, ptrdiff_t taps, const int32_t *first, const int32_t *weights, const uint8_t *x,
                   ptrdiff_t pitch, uint8_t *y) {
    switch (taps) {
    case 2: across_by(n, 2, first, weights, x, pitch, y); break;
    case 3: across_by(n, 3, first, weights, x, pitch, y); break;
    case 4: across_by(n, 4, first, weights, x, pitch, y); break;
    default: across_by(n, taps, first, weights, x, pitch, y);
    }
}

VINLINE void down_by(ptrdiff_t n, ptrdiff_t taps, const uint8_t *const *x, const int32_t *restrict weights,
                     uint8_t *restrict y) {
    for (ptrdiff_t j = 0; j < n; j += VL) {
        vi sum = viset(1 << (CNN_IMAGE_BITS - 1));
        for (ptrdiff_t t = 0; t < taps; t++) sum += vload_u8(x[t] + j) * viset(weights[t]);
        store_sum(y + j, sum);
    }
}

static void down(ptrdiff_t n, ptrdiff_t taps, const uint8_t *const *x, const int32_t *weights, uint8_t *y) {
    switch (taps) {
    case 2: down_by(n, 2, (const uint8_t *const[]){x[0], x[1]}, weights, y); break;
    case 3: down_by(n, 3, (const uint8_t *const[]){x[0], x[1], x[2]}, weights, y); break;
    case 4: down_by(n, 4, (const uint8_t *const[]){x[0], x[1], x[2], x[3]}, weights, y); break;
    default: down_by(n, taps, x, weights, y);
    }
}

/* VL pixels as quads. */
VINLINE vi load_pixels(ptrdiff_t pixel, const uint8_t *x) {
    if (pixel == 3) return vload_rgb(x);
    if (pixel == 4) return load_quads(x);
    uint8_t quads[4 * VL];
    copy_pixels(VL, 3, x, pixel, quads, 4);
    return load_quads(quads);
}

/* The last n < VL pixels, the rest 0. */
VINLINE vi load_last(ptrdiff_t n, ptrdiff_t pixel, const uint8_t *x) {
    uint8_t quads[4 * VL] = {0};
    copy_pixels(n, 3, x, pixel, quads, 4);
    return load_quads(quads);
}

VINLINE vi luma_of(vi quads) {
    vi red = quads & 255, green = (quads >> 8) & 255, blue = (quads >> 16) & 255;
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

static int64_t luma(ptrdiff_t n, ptrdiff_t pixel, const uint8_t *x) {
    const ptrdiff_t piece = 1 << 16;                           /* so that 32 bits hold the sums */
    int64_t total = 0;
    for (ptrdiff_t begin = 0; begin < n; begin += piece) {
        ptrdiff_t end = n - begin < piece ? n : begin + piece, i = begin;
        vi sum = {0};
        for (; i + VL <= end; i += VL) sum += luma_of(load_pixels(pixel, x + i * pixel));
        sum += luma_of(load_last(end - i, pixel, x + i * pixel));  /* black counts 0 */
        for (int k = 0; k < VL; k++) total += sum[k];
    }
    return total;
}

/* One row of the matrix, as a number 0 to 255. */
VINLINE vi mixed(const float *m, vf red, vf green, vf blue) {
    vf v = m[0] * red + m[1] * green + m[2] * blue + m[3] + 0.5f;
    return vto_int(vmin(vmax(v, vzero()), vset(255)));
}

VINLINE vi mixed_quads(const float *m, vi quads) {
    vf red = vfrom_int(quads & 255), green = vfrom_int((quads >> 8) & 255), blue = vfrom_int((quads >> 16) & 255);
    return mixed(m, red, green, blue) | mixed(m + 4, red, green, blue) << 8 | mixed(m + 8, red, green, blue) << 16;
}

static void mix(ptrdiff_t n, const float *m, ptrdiff_t pixel, const uint8_t *restrict x, uint8_t *restrict y) {
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) vstore_rgb(y + 3 * i, mixed_quads(m, load_pixels(pixel, x + i * pixel)));
    uint8_t last[3 * VL];
    vstore_rgb(last, mixed_quads(m, load_last(n - i, pixel, x + i * pixel)));
    memcpy(y + 3 * i, last, (size_t)(n - i) * 3);
}

extern const cnn_image_kernels KERNEL(cnn_image);
const cnn_image_kernels KERNEL(cnn_image) = {
    .widen = widen, .narrow = narrow, .across = across, .down = down, .luma = luma, .mix = mix,
};
