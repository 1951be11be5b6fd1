/* Fuzzing the reader of model files with libFuzzer; run it by fuzz_model_file.sh. */
#include "../src_c/include/cnncore.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void require(int condition) {
    if (!condition) abort();
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Whatever opens must be what the interface promises: names that are found again, sizes that follow from shapes,
 * tensors one after another. */
static void check(const cnn_file *file) {
    static const int element_bytes[CNN_DTYPES] = {[CNN_F32] = 4, [CNN_U8] = 1, [CNN_I32] = 4};
    int64_t end = 0;
    unsigned sum = 0;                 /* every byte is read, and the sum is used, so that the reading is not left out */
    for (int i = 0; i < cnn_file_tensor_count(file); i++) {
        const cnn_file_tensor *t = cnn_file_get_tensor(file, i);
        require(t->dtype >= 0 && t->dtype < CNN_DTYPES && t->rank >= 1 && t->rank <= CNN_MAX_RANK && *t->name);
        int64_t bytes = element_bytes[t->dtype];
        for (int d = 0; d < t->rank; d++) bytes *= t->dims[d];
        require(bytes == t->bytes && t->offset == end && (uintptr_t)t->data % (unsigned)element_bytes[t->dtype] == 0);
        require(cnn_file_find_tensor(file, t->name) == t);
        for (int64_t j = 0; j < t->bytes; j++) sum += ((const unsigned char *)t->data)[j];
        end += t->bytes;
    }
    for (int i = 0; i < cnn_file_metadata_count(file); i++) {
        const char *key = cnn_file_metadata_key(file, i), *value = cnn_file_metadata(file, key);
        require(value != NULL);
        sum += (unsigned)strlen(value);
    }
    require(!cnn_file_get_tensor(file, -1) && !cnn_file_get_tensor(file, cnn_file_tensor_count(file)));
    require(!cnn_file_metadata_key(file, cnn_file_metadata_count(file)));
    require(sum != UINT_MAX || end > 0);
}

/* The linker puts these in the place of aligned_alloc and realloc in the library (--wrap); allocation number `failing`
 * fails. */
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_realloc(void *memory, size_t size);
static int failing, allocations;
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return ++allocations == failing ? NULL : __real_aligned_alloc(alignment, size);
}
void *__wrap_realloc(void *memory, size_t size) {
    return ++allocations == failing ? NULL : __real_realloc(memory, size);
}

/* Opens as it is, then again with each allocation failing in turn. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cnn_error error;
    allocations = failing = 0;
    cnn_file *file = cnn_file_open_memory(data, size, &error);
    int wanted = allocations, reason = errno;
    if (file) check(file);
    else require(reason == 0 && strlen(error.text) > 20);
    cnn_file_close(file);
    for (failing = 1; failing <= wanted; failing++) {
        allocations = 0;
        file = cnn_file_open_memory(data, size, &error);
        require(!file && errno == ENOMEM && strstr(error.text, "out of memory"));
    }
    return 0;
}

/* Half of the time only the header is changed and its length put right, so that mutations reach the parser. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    if (size <= 8 || max_size <= 8 || seed % 2) return LLVMFuzzerMutate(data, size, max_size);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | data[i];
    if (length > size - 8) length = size - 8;
    size_t tail = size - 8 - (size_t)length, room = max_size - 8 - tail;
    uint8_t *header = malloc(room + 1);
    if (!header) return size;
    memcpy(header, data + 8, (size_t)length);
    size_t changed = LLVMFuzzerMutate(header, (size_t)length, room);
    memmove(data + 8 + changed, data + 8 + length, tail);
    memcpy(data + 8, header, changed);
    for (int i = 0; i < 8; i++) data[i] = (uint8_t)((uint64_t)changed >> 8 * i);
    free(header);
    return 8 + changed + tail;
}
