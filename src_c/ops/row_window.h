/* Rows of an image that an operation makes for itself, in a thread's buffer: a window that moves down the image, so
 * that each row is made once and is in the second cache when it is read. */
#ifndef CNN_OPS_ROW_WINDOW_H
#define CNN_OPS_ROW_WINDOW_H

#include <string.h>
#include "../runtime/op.h"

typedef struct cnn_row_window {
    int64_t capacity, row;            /* rows in the buffer at most; floats of a row */
    int64_t image, begin, end;        /* of the rows that are there */
    float *buffer;
} cnn_row_window;

/* Moves the window so that it can hold rows begin..end of the image, at most `capacity`; it starts anew where
 * `begin` is before that of the last call, or beyond its end. Returns how many rows are missing; they are to be
 * written to *missing, the first of them being row window->end, and then window->end is to be moved. */
static inline int64_t cnn_row_window_move(cnn_row_window *w, int64_t image, int64_t begin, int64_t end,
                                          float **missing) {
    if (w->image != image || begin < w->begin || begin > w->end) {
        w->image = image;
        w->begin = w->end = begin;
    }
    if (end > w->begin + w->capacity) {                              /* what is still needed moves to the front */
        memmove(w->buffer, w->buffer + (begin - w->begin) * w->row,
                (size_t)((w->end - begin) * w->row) * sizeof *w->buffer);
        w->begin = begin;
    }
    *missing = w->buffer + (w->end - w->begin) * w->row;
    return cnn_max(0, end - w->end);
}

static inline const float *cnn_row_window_at(const cnn_row_window *w, int64_t row) {
    return w->buffer + (row - w->begin) * w->row;
}

#endif
