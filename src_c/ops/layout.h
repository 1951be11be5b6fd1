/* Arrays one after the other in a workspace. The same function lays them out twice: in plan() without memory, for the
 * bytes, and in run(). */
#ifndef CNN_OPS_LAYOUT_H
#define CNN_OPS_LAYOUT_H

#include "../runtime/op.h"

typedef struct cnn_layout {
    char *memory;                     /* NULL: only the bytes are counted */
    int64_t bytes;                    /* taken so far */
} cnn_layout;

/* The next array, aligned; NULL where it has no bytes, or there is no memory. */
static inline void *cnn_take(cnn_layout *l, int64_t bytes) {
    void *at = l->memory && bytes ? l->memory + l->bytes : NULL;
    l->bytes += cnn_round_up(bytes, CNN_ALIGNMENT);
    return at;
}

#endif
