/* The only place where the library takes memory, so that it can be counted and refused. */
#include "memory.h"
#include "../include/cnncore.h"

#include <stdatomic.h>
#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

static _Atomic int64_t allocations;

int64_t cnn_allocations(void) { return allocations; }

void *cnn_alloc(size_t bytes) {
    size_t huge = (size_t)2 << 20; /* large arenas start on a huge page: fewer faults, fewer TLB misses */
    size_t alignment = bytes >= huge / 2 ? huge : CNN_ALIGNMENT;
    if (bytes > (size_t)PTRDIFF_MAX - 2 * alignment) return NULL;
    size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    /* What the system has zeroed calloc does not zero again: such pages come when they are first used. Where the block
     * begins that it gave is written in front of the memory. */
    char *block = calloc(1, rounded + alignment);
    if (!block) return NULL;
    char *memory = block + alignment - (uintptr_t)block % alignment;
    ((void **)memory)[-1] = block;
    allocations++;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (alignment == huge) (void)madvise(memory, rounded, MADV_HUGEPAGE); /* advice: no harm where it is not taken */
#endif
    return memory;
}

void cnn_free(void *memory) {
    if (memory) free(((void **)memory)[-1]);
}

void cnn_trim(void) {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

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
