/* Sentences for what went wrong, and the checks that most shape rules share. */
#include "op.h"

#include <stdarg.h>
#include <stdio.h>

int cnn_fail(cnn_error *error, const char *format, ...) {
    if (error) {
        va_list args;
        va_start(args, format);
        vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
    }
    return -1;
}

const char *cnn_shape_text(const cnn_tensor *tensor, char *text64) {
    int at = snprintf(text64, 64, "(");
    for (int i = 0; i < tensor->rank && at < 64; i++)
        at += snprintf(text64 + at, (size_t)(64 - at), i ? ", %lld" : "%lld", (long long)tensor->dims[i]);
    if (at < 64) snprintf(text64 + at, (size_t)(64 - at), tensor->rank == 1 ? ",)" : ")");
    return text64;
}

static const char *const dtype_names[CNN_DTYPES] = {"float32", "uint8", "int32"};

int cnn_expect(const cnn_tensor *tensor, const char *what, int rank, int dtype, cnn_error *error) {
    char shape[64];
    if (tensor->dtype != dtype)
        return cnn_fail(error, "%s must be %s, got %s", what, dtype_names[dtype], dtype_names[tensor->dtype]);
    if (rank >= 0 && tensor->rank != rank)
        return cnn_fail(error, "%s must have %d dimensions, got shape %s", what, rank, cnn_shape_text(tensor, shape));
    return 0;
}

int cnn_expect_vector(const cnn_tensor *tensor, const char *what, int64_t length, cnn_error *error) {
    char shape[64];
    if (!tensor) return 0;
    if (tensor->dtype != CNN_F32 || tensor->rank != 1 || tensor->dims[0] != length)
        return cnn_fail(error, "%s must be float32 of shape (%lld,), got %s %s", what, (long long)length,
                        dtype_names[tensor->dtype], cnn_shape_text(tensor, shape));
    return 0;
}

int cnn_expect_packable(const cnn_tensor *weight, const char *what, cnn_error *error) {
    if (weight->storage != CNN_ARENA) return 0;
    return cnn_fail(error, "%s must not be computed within the run, because it is packed before it; compute it in the "
                    "prepare section or pass it from outside", what);
}
