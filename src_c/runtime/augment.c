/* Augmentation of batches; what is done and which random number decides it is in augment.h. Parallel axis: images. */
#include "augment.h"
#include "isa.h"
#include "op.h"
#include "threads.h"

#include <math.h>
#include <string.h>

enum { GRAIN = 1 << 19 };         /* elements that are worth a thread: half a millisecond, what waking it may cost */

/* One call, as all threads see it. */
typedef struct job {
    const cnn_augment_recipe *r;
    const cnn_augment_kernels *k;
    const char *images;
    int64_t count, n, pixel, row;     /* bytes of a pixel and of an image's row */
    const int64_t *numbers;
    cnn_random_key key;
    cnn_augment_draw *draws;
    float *y;
    float *scale, *offset;            /* repeated for a whole row of the window */
    float *border;                    /* a row of the constant border, converted */
    float *partner;                   /* per thread: a row of the partner */
    char *reversed;                   /* per thread: a row of pixels */
    int32_t *source_row, *source_column;  /* of the bordered image: which of the image it shows, -1 for the constant */
} job;

/* ---- what is drawn ---- */

static int happens(uint32_t word, double probability) { return (double)word < probability * 4294967296.0; }
static int64_t below(uint32_t word, int64_t k) { return (int64_t)(((uint64_t)word * (uint64_t)k) >> 32); }

static float beta_share(uint32_t first, uint32_t second, double alpha) {
    double u = ((double)first + 0.5) / 4294967296.0, c = cos(6.283185307179586 * (double)second / 4294967296.0);
    return (float)(0.5 * (1 + c / sqrt(1 / expm1(-log(u) / alpha) + c * c)));
}

/* A box of `size` around `center`, inside 0..limit. */
static void box(int64_t center, int64_t size, int64_t limit, int32_t *begin, int32_t *end) {
    int64_t from = center - size / 2;
    *begin = (int32_t)cnn_max(from, 0);
    *end = (int32_t)cnn_min(from + size, limit);
}

static cnn_augment_draw draw(const job *j, int64_t number, int mixed) {
    const cnn_augment_recipe *r = j->r;
    uint32_t word[CNN_RANDOM_GROUP];
    j->k->draw(&j->key, (uint64_t)number, word);
    cnn_augment_draw d = {.number = number, .partner = -1, .share = 1};
    d.flip = happens(word[0], r->flip);
    d.flip_vertical = happens(word[1], r->flip_vertical);
    d.top = (int32_t)below(word[2], r->h + 2 * r->pad_h - r->out_h + 1);
    d.left = (int32_t)below(word[3], r->w + 2 * r->pad_w - r->out_w + 1);
    if (happens(word[4], r->cutout)) {
        box(below(word[5], r->out_h), r->cutout_h, r->out_h, &d.cut_top, &d.cut_bottom);
        box(below(word[6], r->out_w), r->cutout_w, r->out_w, &d.cut_left, &d.cut_right);
    }
    if (mixed) {
        d.partner = below(word[7], j->count);
        d.share = beta_share(word[8], word[9], r->mixup);
    }
    return d;
}

/* ---- the pixels ---- */

/* Which row (column) of an image of `size` the bordered one shows at i; -1: none. */
static int32_t source(int border, int64_t i, int64_t size) {
    if (i >= 0 && i < size) return (int32_t)i;
    switch (border) {
    case CNN_BORDER_EDGE: return (int32_t)(i < 0 ? 0 : size - 1);
    case CNN_BORDER_REFLECT: return (int32_t)(i < 0 ? -i : 2 * (size - 1) - i);
    case CNN_BORDER_SYMMETRIC: return (int32_t)(i < 0 ? -1 - i : 2 * size - 1 - i);
    case CNN_BORDER_WRAP: return (int32_t)(i < 0 ? i + size : i - size);
    default: return -1;
    }
}

static void convert(const job *j, int64_t n, const char *x, float *y) {
    if (j->r->dtype == CNN_U8) j->k->convert_u8(n, (const uint8_t *)x, j->scale, j->offset, y);
    else j->k->convert_f32(n, (const float *)x, j->scale, j->offset, y);
}

/* Row i of the window of one image, converted, flipped and erased. */
static void window_row(const job *j, const cnn_augment_draw *d, int64_t i, char *reversed, float *y) {
    const cnn_augment_recipe *r = j->r;
    int64_t c = r->c, w = r->out_w, shift = r->pad_w - d->left;       /* column i of the image is column i + shift */
    int32_t from = j->source_row[d->top + (d->flip_vertical ? r->out_h - 1 - i : i)];
    if (from < 0) {
        memcpy(y, j->border, (size_t)(w * c) * sizeof *y);
    } else {
        const char *row = j->images + (d->number * r->h + from) * j->row;
        int64_t begin = cnn_min(cnn_max(shift, 0), w), end = cnn_max(cnn_min(r->w + shift, w), begin);
        const char *inside = row + (end > begin ? begin - shift : 0) * j->pixel;
        if (d->flip) j->k->reverse(end - begin, j->pixel, (const uint8_t *)inside, (uint8_t *)reversed);
        convert(j, (end - begin) * c, d->flip ? reversed : inside, y + (d->flip ? w - end : begin) * c);
        for (int64_t column = begin > 0 ? 0 : end; column < w; column++) {
            if (column == begin && end > begin) column = end;
            if (column >= w) break;
            int32_t at = j->source_column[d->left + column];
            float *pixel = y + (d->flip ? w - 1 - column : column) * c;
            if (at < 0) memcpy(pixel, j->border, (size_t)c * sizeof *pixel);
            else convert(j, c, row + at * j->pixel, pixel);
        }
    }
    if (i >= d->cut_top && i < d->cut_bottom)
        for (int64_t column = d->cut_left; column < d->cut_right; column++)
            memcpy(y + column * c, r->cutout_value, (size_t)c * sizeof *y);
}

static void work(void *context, cnn_team *team, int thread, int threads) {
    const job *j = context;
    const cnn_augment_recipe *r = j->r;
    (void)team;
    int64_t width = r->out_w * r->c, size = r->out_h * width;
    float *partner_row = j->partner + thread * width;
    char *reversed = j->reversed + thread * r->out_w * j->pixel;
    for (int64_t i = j->n * thread / threads; i < j->n * (thread + 1) / threads; i++) {
        cnn_augment_draw *d = &j->draws[i], *p = &j->draws[i + j->n];
        *d = draw(j, j->numbers[i], r->mixup > 0);
        if (r->mixup > 0) *p = draw(j, d->partner, 0);
        for (int64_t row = 0; row < r->out_h; row++) {
            float *y = j->y + i * size + row * width;
            window_row(j, d, row, reversed, y);
            if (r->mixup > 0) {
                window_row(j, p, row, reversed, partner_row);
                j->k->blend(width, d->share, partner_row, 1 - d->share, y);
            }
        }
    }
}

/* The workspace: rows of scale, offset, border and of each thread's partner, as floats; the sources; each thread's
 * reversed row. */
typedef struct workspace { int64_t width, floats, rows, columns, reversed; } workspace;

static workspace lay_out(const cnn_augment_recipe *r, int threads) {
    workspace w = {.width = r->out_w * r->c, .rows = r->h + 2 * r->pad_h, .columns = r->w + 2 * r->pad_w};
    w.floats = w.width * (3 + threads);
    w.reversed = w.width * cnn_dtype_bytes(r->dtype) * threads;
    return w;
}

int64_t cnn_augment_workspace_bytes(const cnn_augment_recipe *r, int threads) {
    workspace w = lay_out(r, threads);
    return w.floats * (int64_t)sizeof(float) + (w.rows + w.columns) * (int64_t)sizeof(int32_t) + w.reversed;
}

int cnn_augment_batch(const cnn_augment_recipe *r, const void *images, int64_t count, int64_t n, const int64_t *numbers,
                      uint64_t seed, uint64_t epoch, int threads, int isa, void *memory, cnn_augment_draw *draws,
                      float *y, cnn_error *error) {
    for (int64_t i = 0; i < n; i++)
        if (numbers[i] < 0 || numbers[i] >= count)
            return cnn_fail(error, "augment: the numbers of the images must be 0 to %lld, got %lld",
                            (long long)count - 1, (long long)numbers[i]);
    workspace space = lay_out(r, threads);
    int64_t pixel = r->c * cnn_dtype_bytes(r->dtype), width = space.width;
    job j = {.r = r, .k = cnn_isa_kernels(isa < 0 ? cnn_isa_in_use() : isa)->augment,
             .images = images, .count = count, .n = n, .pixel = pixel, .row = r->w * pixel, .numbers = numbers,
             .key = {.seed = seed, .step = epoch, .stream = CNN_AUGMENT_STREAM}, .draws = draws, .y = y};
    j.scale = memory;
    j.offset = j.scale + width;
    j.border = j.offset + width;
    j.partner = j.border + width;
    j.source_row = (int32_t *)(j.scale + space.floats);
    j.source_column = j.source_row + space.rows;
    j.reversed = (char *)(j.source_column + space.columns);
    for (int64_t i = 0; i < width; i++) {
        j.scale[i] = r->scale[i % r->c];
        j.offset[i] = r->offset[i % r->c];
    }
    for (int64_t i = 0; i < width && r->border == CNN_BORDER_CONSTANT; i++)
        j.border[i] = r->border_value[i % r->c] * j.scale[i] + j.offset[i];
    for (int64_t i = 0; i < space.rows; i++) j.source_row[i] = source(r->border, i - r->pad_h, r->h);
    for (int64_t i = 0; i < space.columns; i++) j.source_column[i] = source(r->border, i - r->pad_w, r->w);
    int64_t most = cnn_min(n, cnn_ceil_div(n * r->out_h * width, GRAIN));
    cnn_team_run((int)cnn_max(1, cnn_min(threads, most)), work, &j);
    return 0;
}
