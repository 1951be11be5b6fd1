/* Photos one by one; what is done is in image.h. */
#include "image.h"
#include "isa.h"
#include "op.h"

#include <math.h>
#include <string.h>

static const cnn_image_kernels *kernels_of(int isa) {
    return cnn_isa_kernels(isa < 0 ? cnn_isa_in_use() : isa)->image;
}

/* ---- filters ---- */

static double nearest_box(double x) { return x > -0.5 && x <= 0.5 ? 1 : 0; }
static double bilinear(double x) { return fmax(1 - fabs(x), 0); }
static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    return x < 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}
static double sinc(double x) {
    const double pi = 3.14159265358979323846;
    return x == 0 ? 1 : sin(x * pi) / (x * pi);
}
static double lanczos3(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }

static const struct { double (*at)(double); double reach; } filters[CNN_FILTERS] = {
    [CNN_FILTER_BOX] = {nearest_box, 0.5},
    [CNN_FILTER_BILINEAR] = {bilinear, 1},
    [CNN_FILTER_BICUBIC] = {bicubic, 2},
    [CNN_FILTER_LANCZOS3] = {lanczos3, 3},
};

/* ---- one axis ---- */

/* From box [from, to] of `in` pixels to `out`. */
typedef struct axis {
    double from, scale, reach;
    int64_t in, out, taps;        /* taps: pixels at most that count for one */
    int filter;
} axis;

static axis axis_of(float from, float to, int64_t in, int64_t out, int filter) {
    axis a = {.from = from, .scale = (double)(to - from) / (double)out, .in = in, .out = out, .filter = filter};
    a.reach = filters[filter].reach * fmax(a.scale, 1);
    a.taps = (int64_t)fmin((double)in, ceil(a.reach) * 2 + 1);
    return a;
}

/* The weights of every output pixel and the first pixel that they belong to; returns the number of taps that are in
 * use, of which those behind an output pixel's last have the weight 0. Lengths are a.taps in, the result out. */
static int64_t lay_out_weights(const axis *a, int reversed, double *exact, int32_t *first, int32_t *weights) {
    int64_t used = 1;
    for (int pass = 0; pass < 2; pass++) {       /* first the count, then the weights, packed by it */
        for (int64_t j = 0; j < a->out; j++) {
            double center = a->from + ((double)j + 0.5) * a->scale, sum = 0, shrink = 1 / fmax(a->scale, 1);
            int64_t begin = cnn_max((int64_t)(center - a->reach + 0.5), 0);
            int64_t end = cnn_min((int64_t)(center + a->reach + 0.5), a->in), taps = end - begin;
            if (pass == 0) {
                used = cnn_max(used, taps);
                continue;
            }
            int64_t at = reversed ? a->out - 1 - j : j;
            int32_t *w = weights + at * used;
            for (int64_t t = 0; t < taps; t++)
                sum += exact[t] = filters[a->filter].at(((double)(t + begin) - center + 0.5) * shrink);
            for (int64_t t = 0; t < taps; t++) {
                double share = (sum == 0 ? exact[t] : exact[t] / sum) * (1 << CNN_IMAGE_BITS);
                w[t] = (int32_t)(share < 0 ? share - 0.5 : share + 0.5);
            }
            for (int64_t t = cnn_max(taps, 0); t < used; t++) w[t] = 0;
            first[at] = (int32_t)begin;
        }
    }
    return used;
}

/* ---- resampling ---- */

/* The workspace. Rows come in groups of CNN_IMAGE_ROWS: read to `group`, quads of the rows interleaved, resampled along
 * x into the ring, from where those that a row of the result needs are resampled along y. */
typedef struct workspace {
    axis x, y;
    int64_t pitch, ring, group;   /* bytes of a resampled row, rows in the ring, quads in a row of the group */
    double *exact;
    const uint8_t **rows;         /* those that count for one row of the result */
    int32_t *first_x, *weights_x, *first_y, *weights_y;
    uint8_t *groups, *resampled, *line;
    int64_t bytes;
} workspace;

static workspace lay_out(const cnn_resize *r, void *memory) {
    workspace w = {.x = axis_of(r->box[0], r->box[2], r->x.w, r->out_w, r->filter),
                   .y = axis_of(r->box[1], r->box[3], r->x.h, r->out_h, r->filter)};
    w.pitch = cnn_round_up(4 * r->out_w, CNN_IMAGE_PAD);
    w.ring = cnn_round_up(w.y.taps + CNN_IMAGE_ROWS - 1, CNN_IMAGE_ROWS);
    w.group = r->x.w + w.x.taps;
    uintptr_t at = (uintptr_t)memory;             /* a number, for without memory only the size is asked for */
    w.exact = (double *)at, at += (uintptr_t)cnn_max(w.x.taps, w.y.taps) * sizeof(double);
    w.rows = (const uint8_t **)at, at += (uintptr_t)w.y.taps * sizeof(uint64_t);
    w.first_x = (int32_t *)at, at += (uintptr_t)r->out_w * sizeof(int32_t);
    w.weights_x = (int32_t *)at, at += (uintptr_t)(r->out_w * w.x.taps) * sizeof(int32_t);
    w.first_y = (int32_t *)at, at += (uintptr_t)r->out_h * sizeof(int32_t);
    w.weights_y = (int32_t *)at, at += (uintptr_t)(r->out_h * w.y.taps) * sizeof(int32_t);
    w.groups = (uint8_t *)at, at += (uintptr_t)(w.group * CNN_IMAGE_ROWS * 4);
    w.resampled = (uint8_t *)at, at += (uintptr_t)(w.ring * w.pitch);
    w.line = (uint8_t *)at, at += (uintptr_t)w.pitch;
    w.bytes = (int64_t)(at - (uintptr_t)memory);
    return w;
}

int64_t cnn_resize_workspace_bytes(const cnn_resize *r) { return lay_out(r, NULL).bytes; }

void cnn_resize_run(const cnn_resize *r, int isa, void *memory, uint8_t *y) {
    const cnn_image_kernels *k = kernels_of(isa);
    const cnn_picture *x = &r->x;
    workspace w = lay_out(r, memory);
    int64_t taps_x = lay_out_weights(&w.x, r->flip_x, w.exact, w.first_x, w.weights_x);
    int64_t taps_y = lay_out_weights(&w.y, 0, w.exact, w.first_y, w.weights_y);
    int64_t left = cnn_min(w.first_x[0], w.first_x[r->out_w - 1]);
    int64_t right = cnn_min(cnn_max(w.first_x[0], w.first_x[r->out_w - 1]) + taps_x, x->w);
    for (int64_t i = 0; i < r->out_w; i++) w.first_x[i] -= (int32_t)left;
    int64_t top = w.first_y[0], made = top;        /* rows below `made` are resampled along x, the last of them held */
    memset(w.groups, 0, (size_t)(w.group * CNN_IMAGE_ROWS * 4));
    for (int64_t i = 0; i < r->out_h; i++) {
        int64_t end = cnn_min(w.first_y[i] + taps_y, x->h);
        for (; made < end; made += CNN_IMAGE_ROWS) {
            for (int64_t row = 0; row < CNN_IMAGE_ROWS && made + row < x->h; row++)
                k->widen(right - left, x->channels, x->pixel, x->data + (made + row) * x->row + left * x->pixel,
                         4 * CNN_IMAGE_ROWS, w.groups + 4 * row);
            k->across(r->out_w, taps_x, w.first_x, w.weights_x, w.groups, w.pitch,
                      w.resampled + (made - top) % w.ring * w.pitch);
        }
        for (int64_t t = 0; t < taps_y; t++)       /* beyond the picture weights are 0: any row will do */
            w.rows[t] = w.resampled + (cnn_min(w.first_y[i] + t, end - 1) - top) % w.ring * w.pitch;
        k->down(w.pitch, taps_y, w.rows, w.weights_y + i * taps_y, w.line);
        k->narrow(r->out_w, x->channels, w.line, y + (r->flip_y ? r->out_h - 1 - i : i) * r->out_w * x->channels);
    }
}

/* ---- colours ---- */

int64_t cnn_luma_sum(const cnn_picture *x, int isa) {
    const cnn_image_kernels *k = kernels_of(isa);
    int64_t sum = 0;
    for (int64_t i = 0; i < x->h; i++) sum += k->luma(x->w, x->pixel, x->data + i * x->row);
    return sum;
}

void cnn_color_mix(const cnn_picture *x, const float m[12], int isa, uint8_t *y) {
    const cnn_image_kernels *k = kernels_of(isa);
    for (int64_t i = 0; i < x->h; i++) k->mix(x->w, m, x->pixel, x->data + i * x->row, y + i * x->w * 3);
}
