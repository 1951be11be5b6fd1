/* The only place where the library takes memory, so that it can be counted and refused. */
#include "memory.h"
#include "../include/cnncore.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

static _Atomic int64_t allocations;

int64_t cnn_allocations(void) { return allocations; }

void *cnn_alloc(size_t bytes) {
    size_t huge = (size_t)2 << 20; /* large arenas start on a huge page: fewer faults, fewer TLB misses */
    size_t alignment = bytes >= 2 * huge ? huge : CNN_ALIGNMENT;
    if (bytes > (size_t)PTRDIFF_MAX - alignment) return NULL;
    size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void *memory = aligned_alloc(alignment, rounded ? rounded : alignment);
    if (!memory) return NULL;
    allocations++;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (alignment == huge) (void)madvise(memory, rounded, MADV_HUGEPAGE); /* advice: no harm where it is not taken */
#endif
    memset(memory, 0, rounded ? rounded : alignment);
    return memory;
}

void cnn_free(void *memory) { free(memory); }

int cnn_grow(void **array, int64_t *capacity, int64_t wanted, size_t element_bytes) {
    if (wanted <= *capacity) return 0;
    int64_t size = *capacity < 8 ? 8 : *capacity * 2;
    if (size < wanted) size = wanted;
    void *bigger = realloc(*array, (size_t)size * element_bytes);
    if (!bigger) return -1;
    allocations++;
    *array = bigger;
    *capacity = size;
    return 0;
}
