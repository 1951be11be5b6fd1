/* Growing arrays; cnn_alloc and cnn_free are declared in cnncore.h. */
#ifndef CNN_RUNTIME_MEMORY_H
#define CNN_RUNTIME_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Makes room for `wanted` elements in an array from cnn_grow or NULL. Returns -1 when out of memory; the array is then
 * as before. It ends with free. */
int cnn_grow(void **array, int64_t *capacity, int64_t wanted, size_t element_bytes);

#endif
