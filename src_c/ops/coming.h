/* What the next chunk of a product will touch of memory, besides what its tiles read in place. It comes from memory, so
 * it is asked for evenly while the chunk before is computed: a processor has only so many requests under way, and waits
 * where more come at once. */
#ifndef CNN_OPS_COMING_H
#define CNN_OPS_COMING_H

#include "../runtime/op.h"

typedef struct cnn_coming {
    struct { const float *from; int64_t floats; } piece[7];
    int pieces;
    int64_t floats;                   /* of all pieces */
    int64_t tile, share;              /* tiles that have asked before this panel's; floats for each tile */
} cnn_coming;

/* Adds pixels first_pixel and on of a tensor, or nothing where it is NULL. */
static inline void cnn_coming_add(cnn_coming *next, const float *tensor, int64_t first_pixel, int64_t pixels,
                                  int64_t channels) {
    if (!tensor) return;
    next->piece[next->pieces].from = tensor + first_pixel * channels;
    next->piece[next->pieces++].floats = pixels * channels;
    next->floats += pixels * channels;
}

/* Lets tile number i of the panel ask for its share, lines `step` floats apart. Pixels that are read in place are in
 * the second cache sooner. */
static inline void cnn_coming_ask(const cnn_coming *next, int64_t i, int64_t step, int in_place, cnn_gemm_tile *tile) {
    int64_t begin = next->share * (next->tile + i);
    int piece = 0;
    while (begin >= next->piece[piece].floats) begin -= next->piece[piece++].floats;
    if (in_place) {
        tile->far = tile->near;
        tile->far_step = tile->near_step;
    }
    tile->near = next->piece[piece].from + begin;
    tile->near_step = step;
}

/* From so many bytes on a tensor is not in a last cache when it is read. */
enum { CNN_FROM_MEMORY_BYTES = 16 << 20 };

/* Reads what is used next, a line of the cache at a time, in order. For loops that do much with each line of several
 * rows at once: the processor sees too late what they will read, and hardly waits for what it reads in order. */
static inline void cnn_bring(const float *from, const float *end) {
    enum { LINE = 16 };
    for (; from < end; from += LINE) (void)*(const volatile float *)from;
}

/* Several tensors of which the next block reads equally many floats in a row, for kernels that ask for a part of one of
 * them each call. */
typedef struct cnn_streams {
    const float *tensor[4];
    int64_t count, floats;
    int64_t calls, part;              /* for each tensor; floats for a call */
    int64_t now, done;                /* the tensor whose turn it is, and how many calls have asked for it */
} cnn_streams;

static inline void cnn_streams_add(cnn_streams *s, const float *tensor, int64_t begin) {
    if (tensor && s->floats) s->tensor[s->count++] = tensor + begin;
}

/* Cuts all into parts for so many calls. */
static inline void cnn_streams_cut(cnn_streams *s, int64_t calls) {
    s->calls = cnn_max(1, calls / cnn_max(1, s->count));
    s->part = cnn_ceil_div(s->floats, s->calls);
}

/* Where the parts of the next `calls` calls begin; NULL where there is nothing left. */
static inline const float *cnn_streams_next(cnn_streams *s, int64_t calls) {
    if (s->now == s->count) return NULL;
    const float *at = s->tensor[s->now] + s->done * s->part;
    s->done += calls;
    if (s->done >= s->calls) {
        s->now++;
        s->done = 0;
    }
    return at;
}

#endif
