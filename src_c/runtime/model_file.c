/* Reading model files; the format and what is refused are described in cnncore.h.
 *
 * The parser knows the header's grammar, three levels deep, and nothing else of JSON: there is no recursion. Strings
 * are decoded in place (the decoded form is never longer), so names and metadata are pointers into the header and a
 * hostile header cannot make the reader take more memory than its own length times a small constant. The tensors'
 * memory is taken after everything about them has been checked against the file's size. */
#include "memory.h"
#include "op.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct entry {
    const char *key, *value;
} entry;

/* Where the bytes come from. */
typedef struct source {
    int fd;                            /* -1: memory */
    const unsigned char *bytes;        /* what is left of the memory */
    int64_t size;                      /* of the whole */
} source;

struct cnn_file {
    source source;
    char *what;                       /* the file in sentences */
    char *header;
    unsigned char *data;
    cnn_file_tensor *tensors;         /* by offset */
    const cnn_file_tensor **by_name;
    entry *metadata;                  /* by key */
    int64_t n_tensors, tensor_capacity, n_metadata, metadata_capacity;
    int64_t data_bytes;
    int reason; /* the system's, where opening fails for lack of memory or in reading; else 0 */
};

typedef struct parser {
    char *begin, *at, *end;
    cnn_error *error;
} parser;

static int no_memory(cnn_file *f, cnn_error *error, const char *what) {
    f->reason = ENOMEM;
    return cnn_fail(error, "out of memory for %s", what);
}

/* ---- text ---- */

/* The length of the UTF-8 character at s, of which n > 0 bytes are there; 0 if it is none (Unicode 15, table 3-7: no
 * overlong forms, no surrogates). */
static int utf8_length(const char *s, int64_t n) {
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0x80) return 1;
    int length = u[0] >= 0xC2 && u[0] <= 0xDF   ? 2
                 : u[0] >= 0xE0 && u[0] <= 0xEF ? 3
                 : u[0] >= 0xF0 && u[0] <= 0xF4 ? 4
                                                : 0;
    if (length == 0 || n < length) return 0;
    for (int i = 1; i < length; i++)
        if ((u[i] & 0xC0) != 0x80) return 0;
    if ((u[0] == 0xE0 && u[1] < 0xA0) || (u[0] == 0xED && u[1] > 0x9F) || (u[0] == 0xF0 && u[1] < 0x90)
        || (u[0] == 0xF4 && u[1] > 0x8F))
        return 0;
    return length;
}

static char *put_utf8(char *to, uint32_t code) {
    if (code < 0x80) {
        *to++ = (char)code;
        return to;
    }
    if (code < 0x800) *to++ = (char)(0xC0 | code >> 6);
    else {
        if (code < 0x10000) *to++ = (char)(0xE0 | code >> 12);
        else {
            *to++ = (char)(0xF0 | code >> 18);
            *to++ = (char)(0x80 | (code >> 12 & 0x3F));
        }
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
    }
    *to++ = (char)(0x80 | (code & 0x3F));
    return to;
}

typedef struct quoted {
    char text[100];
} quoted;

/* `s` in quotes for a sentence: whole characters, at most 90 bytes, ? for what cannot be shown. */
static quoted quote(const char *s) {
    quoted q;
    int at = 0;
    int64_t left = (int64_t)strlen(s);
    q.text[at++] = '"';
    while (left > 0) {
        int n = utf8_length(s, left), hidden = n == 0 || (n == 1 && ((unsigned char)*s < 0x20 || *s == 0x7F));
        if (n == 0) n = 1;
        if (at + n > 90) {
            memcpy(q.text + at, "...", 3);
            at += 3;
            break;
        }
        if (hidden) q.text[at++] = '?';
        else {
            memcpy(q.text + at, s, (size_t)n);
            at += n;
        }
        s += n;
        left -= n;
    }
    q.text[at++] = '"';
    q.text[at] = 0;
    return q;
}

/* ---- the header's parts ---- */

static int fail_here(const parser *p, const char *expected) {
    long long at = (long long)(p->at - p->begin);
    if (p->at == p->end)
        return cnn_fail(p->error, "the header must have %s at byte %lld, but ends there", expected, at);
    unsigned char c = (unsigned char)*p->at;
    if (c > 0x20 && c < 0x7F)
        return cnn_fail(p->error, "the header must have %s at byte %lld, got '%c'", expected, at, c);
    return cnn_fail(p->error, "the header must have %s at byte %lld, got byte 0x%02x", expected, at, c);
}

static void skip_space(parser *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r')) p->at++;
}
static int next_is(parser *p, char c) {        /* and takes it */
    skip_space(p);
    if (p->at == p->end || *p->at != c) return 0;
    p->at++;
    return 1;
}
static int expect(parser *p, char c, const char *what) { return next_is(p, c) ? 0 : fail_here(p, what); }

/* Between the items of a list or map: *more is 1 after a comma, 0 after the closing character. */
static int separator(parser *p, char closing, const char *what, int *more) {
    *more = next_is(p, ',');
    return *more || next_is(p, closing) ? 0 : fail_here(p, what);
}

static int hex4(parser *p, uint32_t *code) {
    *code = 0;
    for (int i = 0; i < 4; i++) {
        char c = p->at < p->end ? *p->at : 0;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return fail_here(p, "four hexadecimal digits");
        *code = *code << 4 | (uint32_t)digit;
        p->at++;
    }
    return 0;
}

static int escape(parser *p, uint32_t *code) {
    static const char names[] = "\"\\/bfnrt", codes[] = "\"\\/\b\f\n\r\t";
    p->at++;
    const char *found = p->at < p->end && *p->at ? strchr(names, *p->at) : NULL;
    if (found) {
        *code = (uint32_t)codes[found - names];
        p->at++;
        return 0;
    }
    if (p->at == p->end || *p->at != 'u') return fail_here(p, "an escape of JSON");
    p->at++;
    if (hex4(p, code)) return -1;
    if (*code == 0)
        return cnn_fail(p->error, "the header must not have the character 0, got one before byte %lld",
                        (long long)(p->at - p->begin));
    if (*code < 0xD800 || *code > 0xDFFF) return 0;
    uint32_t low = 0;
    if (*code <= 0xDBFF && p->end - p->at >= 2 && p->at[0] == '\\' && p->at[1] == 'u') {
        p->at += 2;
        if (hex4(p, &low)) return -1;
    }
    if (low < 0xDC00 || low > 0xDFFF)
        return cnn_fail(p->error, "the header must have surrogates in pairs, got a single one before byte %lld",
                        (long long)(p->at - p->begin));
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return 0;
}

/* Decodes in place; *text ends with 0. */
static int string(parser *p, const char **text) {
    if (expect(p, '"', "a string")) return -1;
    char *to = p->at;
    *text = to;
    while (p->at < p->end && *p->at != '"') {
        unsigned char c = (unsigned char)*p->at;
        if (c < 0x20) return fail_here(p, "no control character in a string");
        if (c == '\\') {
            uint32_t code = 0;
            if (escape(p, &code)) return -1;
            to = put_utf8(to, code);
        } else {
            int n = utf8_length(p->at, p->end - p->at);
            if (n == 0) return fail_here(p, "UTF-8");
            memmove(to, p->at, (size_t)n);
            to += n;
            p->at += n;
        }
    }
    if (p->at == p->end) return fail_here(p, "the end of a string");
    p->at++;
    *to = 0;
    return 0;
}

/* A whole number from 0 to 2^63 - 1 in the form of JSON: no sign, no leading zeros, no fraction, no exponent. */
static int number(parser *p, int64_t *value) {
    skip_space(p);
    if (p->at == p->end || *p->at < '0' || *p->at > '9') return fail_here(p, "a whole number that is not negative");
    const char *first = p->at;
    *value = 0;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
        if (__builtin_mul_overflow(*value, (int64_t)10, value)
            || __builtin_add_overflow(*value, (int64_t)(*p->at - '0'), value))
            return fail_here(p, "a number below 2^63");
    if (*first == '0' && p->at - first > 1) {
        p->at = (char *)first;
        return fail_here(p, "a number without leading zeros");
    }
    if (p->at < p->end && (*p->at == '.' || *p->at == 'e' || *p->at == 'E')) return fail_here(p, "a whole number");
    return 0;
}

/* ---- tensors ---- */

static int set_dtype(parser *p, const char *name, const char *text, cnn_file_tensor *t) {
    static const char *const ours[CNN_DTYPES] = { [CNN_F32] = "F32", [CNN_U8] = "U8", [CNN_I32] = "I32" };
    static const char *const others[] = { "F64", "F16", "BF16", "I64", "I16", "I8", "U64", "U32", "U16", "BOOL" };
    for (int i = 0; i < CNN_DTYPES; i++)
        if (strcmp(text, ours[i]) == 0) {
            t->dtype = i;
            return 0;
        }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(text, others[i]) == 0)
            return cnn_fail(p->error, "tensor %s: dtype must be F32, U8 or I32, got %s; convert it before saving",
                            quote(name).text, text);
    return cnn_fail(p->error, "tensor %s: dtype must be F32, U8 or I32, got %s", quote(name).text, quote(text).text);
}

static int shape(parser *p, const char *name, cnn_file_tensor *t) {
    if (expect(p, '[', "[ before a shape")) return -1;
    if (next_is(p, ']'))
        return cnn_fail(p->error, "tensor %s: shape must have 1 to %d dimensions, got none", quote(name).text,
                        CNN_MAX_RANK);
    for (int more = 1; more;) {
        int64_t dim;
        if (number(p, &dim)) return -1;
        if (t->rank == CNN_MAX_RANK)
            return cnn_fail(p->error, "tensor %s: shape must have 1 to %d dimensions, got more", quote(name).text,
                            CNN_MAX_RANK);
        if (dim < 1 || dim > INT32_MAX)
            return cnn_fail(p->error, "tensor %s: every dimension must be 1 to 2147483647, got %lld", quote(name).text,
                            (long long)dim);
        t->dims[t->rank++] = dim;
        if (separator(p, ']', ", or ] in a shape", &more)) return -1;
    }
    return 0;
}

static int offsets(parser *p, cnn_file_tensor *t, int64_t *end) {
    return expect(p, '[', "[ before data_offsets") || number(p, &t->offset) || expect(p, ',', ", between data_offsets")
                   || number(p, end) || expect(p, ']', "] after two data_offsets")
               ? -1
               : 0;
}

/* The size that follows from shape and type must be the one the offsets tell. */
static int check_size(parser *p, cnn_file_tensor *t, int64_t end) {
    long long begin = (long long)t->offset;
    t->bytes = cnn_dtype_bytes(t->dtype);
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(t->bytes, t->dims[i], &t->bytes))
            return cnn_fail(p->error, "tensor %s: the shape has 2^63 bytes or more", quote(t->name).text);
    if (end < t->offset || end - t->offset != t->bytes)
        return cnn_fail(p->error,
                        "tensor %s: data_offsets must be %lld bytes apart, as shape and dtype say, got [%lld, %lld]",
                        quote(t->name).text, (long long)t->bytes, begin, (long long)end);
    if (t->offset % cnn_dtype_bytes(t->dtype))
        return cnn_fail(p->error,
                        "tensor %s: data_offsets must begin at a multiple of the element's %d bytes, got %lld",
                        quote(t->name).text, (int)cnn_dtype_bytes(t->dtype), begin);
    return 0;
}

static int tensor(parser *p, const char *name, cnn_file_tensor *t) {
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
    int seen = 0;
    int64_t end = 0;
    *t = (cnn_file_tensor){ .name = name };
    if (*name == 0) return cnn_fail(p->error, "every tensor must have a name, got \"\"");
    if (expect(p, '{', "{ before a tensor's properties")) return -1;
    for (int more = !next_is(p, '}'); more;) {
        const char *key, *text;
        if (string(p, &key) || expect(p, ':', ": after a key")) return -1;
        int property = strcmp(key, "dtype") == 0          ? DTYPE
                       : strcmp(key, "shape") == 0        ? SHAPE
                       : strcmp(key, "data_offsets") == 0 ? OFFSETS
                                                          : 0;
        if (!property || seen & property)
            return cnn_fail(p->error,
                            "tensor %s: the properties must be dtype, shape and data_offsets, once each, got %s%s",
                            quote(name).text, quote(key).text, property ? " twice" : "");
        seen |= property;
        if (property == DTYPE && (string(p, &text) || set_dtype(p, name, text, t))) return -1;
        if (property == SHAPE && shape(p, name, t)) return -1;
        if (property == OFFSETS && offsets(p, t, &end)) return -1;
        if (separator(p, '}', ", or } after a tensor's property", &more)) return -1;
    }
    if (seen != (DTYPE | SHAPE | OFFSETS))
        return cnn_fail(p->error, "tensor %s: %s is missing", quote(name).text,
                        !(seen & DTYPE)   ? "dtype"
                        : !(seen & SHAPE) ? "shape"
                                          : "data_offsets");
    return check_size(p, t, end);
}

static int metadata(parser *p, cnn_file *f) {
    if (expect(p, '{', "{ before the metadata")) return -1;
    for (int more = !next_is(p, '}'); more;) {
        if (f->n_metadata == CNN_FILE_MAX_METADATA)
            return cnn_fail(p->error, "the metadata must have at most %d entries, got more", CNN_FILE_MAX_METADATA);
        if (cnn_grow((void **)&f->metadata, &f->metadata_capacity, f->n_metadata + 1, sizeof *f->metadata))
            return no_memory(f, p->error, "an entry of the metadata");
        entry *e = &f->metadata[f->n_metadata];
        if (string(p, &e->key) || expect(p, ':', ": after a key") || string(p, &e->value)) return -1;
        f->n_metadata++;
        if (separator(p, '}', ", or } in the metadata", &more)) return -1;
    }
    return 0;
}

static int header(parser *p, cnn_file *f) {
    int has_metadata = 0;
    if (p->at == p->end || *p->at != '{') return fail_here(p, "{");
    p->at++;
    for (int more = !next_is(p, '}'); more;) {
        const char *name;
        if (string(p, &name) || expect(p, ':', ": after a name")) return -1;
        if (strcmp(name, "__metadata__") == 0) {
            if (has_metadata++) return cnn_fail(p->error, "the header must have __metadata__ once, got it twice");
            if (metadata(p, f)) return -1;
        } else {
            if (f->n_tensors == CNN_FILE_MAX_TENSORS)
                return cnn_fail(p->error, "a file must have at most %d tensors, got more", CNN_FILE_MAX_TENSORS);
            if (cnn_grow((void **)&f->tensors, &f->tensor_capacity, f->n_tensors + 1, sizeof *f->tensors))
                return no_memory(f, p->error, "the list of tensors");
            if (tensor(p, name, &f->tensors[f->n_tensors])) return -1;
            f->n_tensors++;
        }
        if (separator(p, '}', ", or } after a tensor", &more)) return -1;
    }
    skip_space(p);
    return p->at == p->end ? 0 : fail_here(p, "nothing after its }");
}

/* ---- the tensors together ---- */

static int compare_offsets(const void *a, const void *b) {
    const cnn_file_tensor *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}
static int compare_names(const void *a, const void *b) {
    return strcmp((*(const cnn_file_tensor *const *)a)->name, (*(const cnn_file_tensor *const *)b)->name);
}
static int compare_keys(const void *a, const void *b) {
    return strcmp(((const entry *)a)->key, ((const entry *)b)->key);
}

/* Sorts; refuses overlaps, holes and names that occur twice. data_bytes: what follows the header. */
static int arrange(cnn_file *f, int64_t data_bytes, cnn_error *error) {
    f->by_name = cnn_alloc((size_t)(f->n_tensors + 1) * sizeof *f->by_name);
    if (!f->by_name) return no_memory(f, error, "the list of names");
    if (f->n_tensors) qsort(f->tensors, (size_t)f->n_tensors, sizeof *f->tensors, compare_offsets);
    int64_t at = 0;
    for (int64_t i = 0; i < f->n_tensors; i++) {
        const cnn_file_tensor *t = &f->tensors[i];
        if (t->offset != at)
            return cnn_fail(
                error,
                "tensor %s: data_offsets must begin at %lld, where the tensor before it ends, got %lld, which %s",
                quote(t->name).text, (long long)at, (long long)t->offset,
                t->offset < at ? "overlaps it" : "leaves a hole");
        if (t->bytes > data_bytes - at)
            return cnn_fail(
                error,
                "tensor %s: the data must be within the %lld bytes that follow the header, got data_offsets up to %lld",
                quote(t->name).text, (long long)data_bytes, (long long)(at + t->bytes));
        at += t->bytes;
        f->by_name[i] = t;
    }
    if (at != data_bytes)
        return cnn_fail(error, "the tensors must fill the file, got %lld bytes of tensors and %lld after the header",
                        (long long)at, (long long)data_bytes);
    if (f->n_tensors) qsort(f->by_name, (size_t)f->n_tensors, sizeof *f->by_name, compare_names);
    for (int64_t i = 1; i < f->n_tensors; i++)
        if (strcmp(f->by_name[i - 1]->name, f->by_name[i]->name) == 0)
            return cnn_fail(error, "tensor %s: names must differ, got it twice", quote(f->by_name[i]->name).text);
    if (f->n_metadata) qsort(f->metadata, (size_t)f->n_metadata, sizeof *f->metadata, compare_keys);
    for (int64_t i = 1; i < f->n_metadata; i++)
        if (strcmp(f->metadata[i - 1].key, f->metadata[i].key) == 0)
            return cnn_fail(error, "metadata %s: keys must differ, got it twice", quote(f->metadata[i].key).text);
    return 0;
}

/* ---- the bytes ---- */

static int take(source *s, void *to, int64_t n, int *reason, cnn_error *error) {
    if (s->fd < 0) {
        if (n) memcpy(to, s->bytes, (size_t)n);
        s->bytes += n;
        return 0;
    }
    for (int64_t done = 0; done < n;) {
        ssize_t got = read(s->fd, (char *)to + done, (size_t)cnn_min(n - done, 1 << 30));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            *reason = errno;
            return cnn_fail(error, "cannot be read: %s", strerror(*reason));
        }
        if (got == 0)
            return cnn_fail(error, "became shorter than its %lld bytes while it was read", (long long)s->size);
        done += got;
    }
    return 0;
}

static int skip(source *s, int64_t n, int *reason, cnn_error *error) {
    if (s->fd < 0) s->bytes += n;
    else if (lseek(s->fd, (off_t)n, SEEK_CUR) < 0) {
        *reason = errno;
        return cnn_fail(error, "cannot be read: %s", strerror(*reason));
    }
    return 0;
}

static int read_header(cnn_file *f, cnn_error *error) {
    source *s = &f->source;
    unsigned char prefix[8];
    if (s->size < 8)
        return cnn_fail(error, "must begin with 8 bytes that tell the header's length, got %lld bytes in all",
                        (long long)s->size);
    if (take(s, prefix, 8, &f->reason, error)) return -1;
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | prefix[i];
    if (length > CNN_FILE_MAX_HEADER_BYTES)
        return cnn_fail(error, "the header must be at most %d bytes long, got %llu; it may not be a model file",
                        CNN_FILE_MAX_HEADER_BYTES, (unsigned long long)length);
    if ((int64_t)length > s->size - 8)
        return cnn_fail(error, "the header of %llu bytes must be within the file, got %lld bytes after its length",
                        (unsigned long long)length, (long long)(s->size - 8));
    f->header = cnn_alloc((size_t)length + 1);
    if (!f->header) return no_memory(f, error, "the header");
    if (take(s, f->header, (int64_t)length, &f->reason, error)) return -1;
    parser p = { .begin = f->header, .at = f->header, .end = f->header + length, .error = error };
    f->data_bytes = s->size - 8 - (int64_t)length;
    return header(&p, f) || arrange(f, f->data_bytes, error) ? -1 : 0;
}

static int read_all(cnn_file *f, cnn_error *error) {
    f->data = cnn_alloc((size_t)f->data_bytes);
    if (!f->data) return no_memory(f, error, "the tensors");
    if (take(&f->source, f->data, f->data_bytes, &f->reason, error)) return -1;
    for (int64_t i = 0; i < f->n_tensors; i++) f->tensors[i].data = f->data + f->tensors[i].offset;
    return 0;
}

static int read_into(cnn_file *f, void *const *places, cnn_error *error) {
    for (int64_t i = 0; i < f->n_tensors; i++) {
        const int64_t bytes = f->tensors[i].bytes;
        if (places[i] ? take(&f->source, places[i], bytes, &f->reason, error)
                      : skip(&f->source, bytes, &f->reason, error))
            return -1;
        f->tensors[i].data = places[i];
    }
    return 0;
}

/* Says what has gone wrong with the file; returns the system's reason. */
static int failed(const char *what, const cnn_error *inner, int reason, cnn_error *error) {
    cnn_fail(error, "model file %s: %.380s", what, inner->text);
    return errno = reason;
}

/* Takes over the source. `what` is the file in sentences. */
static cnn_file *begin(source s, const char *what, cnn_error *error) {
    cnn_error inner = { { 0 } };
    int reason = ENOMEM;
    cnn_file *f = cnn_alloc(sizeof *f);
    if (f) {
        f->source = s;
        f->what = cnn_alloc(strlen(what) + 1);
    }
    if (!f || !f->what) {
        cnn_fail(&inner, "out of memory");
        if (!f && s.fd >= 0) close(s.fd);
    } else {
        strcpy(f->what, what);
        if (read_header(f, &inner) == 0) return f;
        reason = f->reason;
    }
    cnn_file_close(f);
    failed(what, &inner, reason, error);
    return NULL;
}

/* The file with the tensors in memory of its own, and its source closed. */
static cnn_file *complete(cnn_file *f, cnn_error *error) {
    cnn_error inner = { { 0 } };
    if (!f) return NULL;
    if (read_all(f, &inner)) {
        const int reason = failed(f->what, &inner, f->reason, error);
        cnn_file_close(f);
        errno = reason;
        return NULL;
    }
    if (f->source.fd >= 0) close(f->source.fd);
    f->source.fd = -1;
    return f;
}

cnn_file *cnn_file_open_memory(const void *bytes, size_t size, cnn_error *error) {
    source s = { .fd = -1, .bytes = bytes, .size = (int64_t)size };    /* an object in C has fewer than 2^63 bytes */
    return complete(begin(s, "in memory", error), error);
}

cnn_file *cnn_file_begin(const char *path, cnn_error *error) {
    struct stat status;
    quoted name = quote(path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hold us; it is refused below */
    int reason = fd < 0 || fstat(fd, &status) ? errno : 0;
    if (reason) cnn_fail(error, "model file %s: cannot be opened: %s", name.text, strerror(reason));
    else if (!S_ISREG(status.st_mode)) {
        reason = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
        cnn_fail(error, "model file %s: must be a regular file", name.text);
    } else return begin((source){ .fd = fd, .size = status.st_size }, name.text, error);
    if (fd >= 0) close(fd);
    errno = reason;
    return NULL;
}

cnn_file *cnn_file_open(const char *path, cnn_error *error) { return complete(cnn_file_begin(path, error), error); }

int cnn_file_read(cnn_file *f, void *const *places, cnn_error *error) {
    cnn_error inner = { { 0 } };
    f->reason = 0;
    if (f->source.fd < 0) cnn_fail(&inner, "has been read already");
    else if (read_into(f, places, &inner) == 0) {
        close(f->source.fd);
        f->source.fd = -1;
        return 0;
    }
    failed(f->what, &inner, f->reason, error);
    return -1;
}

void cnn_file_close(cnn_file *f) {
    if (!f) return;
    if (f->source.fd >= 0) close(f->source.fd);
    cnn_free(f->what);
    cnn_free(f->header);
    cnn_free(f->data);
    free(f->tensors);
    cnn_free((void *)f->by_name);
    free(f->metadata);
    cnn_free(f);
}

/* ---- what is in it ---- */

int cnn_file_tensor_count(const cnn_file *f) { return (int)f->n_tensors; }
const cnn_file_tensor *cnn_file_get_tensor(const cnn_file *f, int index) {
    return index >= 0 && index < f->n_tensors ? &f->tensors[index] : NULL;
}
int cnn_file_metadata_count(const cnn_file *f) { return (int)f->n_metadata; }
const char *cnn_file_metadata_key(const cnn_file *f, int index) {
    return index >= 0 && index < f->n_metadata ? f->metadata[index].key : NULL;
}

const cnn_file_tensor *cnn_file_find_tensor(const cnn_file *f, const char *name) {
    cnn_file_tensor key = { .name = name };
    const cnn_file_tensor *wanted = &key;
    const cnn_file_tensor **found =
        f->n_tensors ? bsearch(&wanted, f->by_name, (size_t)f->n_tensors, sizeof *f->by_name, compare_names) : NULL;
    return found ? *found : NULL;
}

const char *cnn_file_metadata(const cnn_file *f, const char *key) {
    entry wanted = { .key = key };
    const entry *found =
        f->n_metadata ? bsearch(&wanted, f->metadata, (size_t)f->n_metadata, sizeof *f->metadata, compare_keys) : NULL;
    return found ? found->value : NULL;
}
