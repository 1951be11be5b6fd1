/* How an operation is declared. One file in ops/ holds each operation: its attributes, shape rule, plan, cost and run;
 * registry.c lists it. The shape inference of the compiler, describe(), profile(), the memory planner and the loader's
 * checks all read these declarations. */
#ifndef CNN_RUNTIME_OP_H
#define CNN_RUNTIME_OP_H

#include "../include/cnncore.h"
#include "../kernels/kernels.h"
#include "threads.h"

#define CNN_PLAN_BYTES 304            /* room for what an operation's plan remembers for its run */

/* An operation with its tensors and attributes: the argument of every function below. Absent optional tensors are NULL.
 */
typedef struct cnn_call {
    const double *attr;               /* in the order of the operation's attribute table */
    int n_in, n_out;
    const cnn_tensor *const *in;
    const cnn_tensor *const *out;
    int exact; /* keep to algorithms that multiply every weight with every pixel it meets (no Winograd) */
    int trains;                       /* the program changes its weights in every run */
    const cnn_kernels *kernels;       /* of the planned instruction set; NULL while inferring */
    _Alignas(16) unsigned char plan[CNN_PLAN_BYTES];   /* written by plan(), read by run() and pack() */
} cnn_call;

/* What plan() decides. Work must be cut by shapes alone, never by the number of threads (results must not depend on
 * it). */
typedef struct cnn_choice {
    const char *kernel;               /* describes the kernel chosen; static, or in the call's plan */
    int64_t workspace_bytes;          /* scratch within one run, shared by all threads of the operation */
    int64_t thread_workspace_bytes;   /* scratch of each thread */
    int64_t packed_bytes; /* weights in the kernel's layout, written by pack() after the weights have changed */
} cnn_choice;

/* What run() and pack() get, one per thread. All threads of the team call the function together (SPMD) and share out
 * the work. */
typedef struct cnn_exec {
    int thread, threads;
    cnn_team *team;
    char *const *base;                /* of the storages */
    char *workspace;                  /* workspace_bytes, shared */
    char *thread_workspace;           /* this thread's own */
    char *packed;                     /* packed_bytes */
    uint64_t seed, step;
} cnn_exec;

typedef struct cnn_op {
    const char *name, *summary, *inputs, *outputs;    /* see cnncore.h */
    const cnn_attr_def *attrs;
    /* Out: n_out tensors; set dtype (preset CNN_F32), rank, dims. */
    int (*infer)(const cnn_call *call, cnn_tensor *out, cnn_error *error);
    int (*plan)(cnn_call *call, cnn_choice *choice, cnn_error *error);      /* may be NULL */
    double (*flops)(const cnn_call *call);            /* may be NULL: one per output element */
    /* May be NULL; needed where packed_bytes > 0; must not use the barrier or workspaces. */
    void (*pack)(const cnn_call *call, const cnn_exec *exec);
    /* Bit i: where packed_bytes > 0, input i is read by pack() and not by run(), which need not find it there. For one
     * input at most. */
    unsigned packs;
    /* NULL only for views: the output shares the first input's memory. */
    void (*run)(const cnn_call *call, const cnn_exec *exec);
    unsigned in_place; /* bit i: output 0 may share the memory of input i when that input is not read again */
    unsigned updates; /* bit i: input i is changed by the operation; such outputs name the same tensors in order of the
                         bits */
} cnn_op;

extern const cnn_op *const cnn_ops[];
extern const int cnn_ops_count;

/* ---- helpers for operations ---- */

int cnn_fail(cnn_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));    /* returns -1 */
/* "(2, 8, 8, 3)" into a caller's buffer of 64 bytes; returns it. */
const char *cnn_shape_text(const cnn_tensor *tensor, char *text64);

static inline int64_t cnn_count(const cnn_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dims[i];
    return n;
}
static inline int64_t cnn_dtype_bytes(int dtype) { return dtype == CNN_U8 ? 1 : 4; }
static inline int64_t cnn_bytes(const cnn_tensor *t) { return cnn_count(t) * cnn_dtype_bytes(t->dtype); }
static inline int64_t cnn_last(const cnn_tensor *t) { return t->dims[t->rank - 1]; }
static inline int64_t cnn_rows(const cnn_tensor *t) {
    return cnn_count(t) / cnn_last(t);
} /* all but the last dimension */
static inline int cnn_same_shape(const cnn_tensor *a, const cnn_tensor *b) {
    if (a->rank != b->rank) return 0;
    for (int i = 0; i < a->rank; i++) if (a->dims[i] != b->dims[i]) return 0;
    return 1;
}
static inline void cnn_set_shape(cnn_tensor *t, int rank, int64_t d0, int64_t d1, int64_t d2, int64_t d3) {
    t->rank = rank; t->dims[0] = d0; t->dims[1] = d1; t->dims[2] = d2; t->dims[3] = d3;
}
static inline void cnn_like(cnn_tensor *t, const cnn_tensor *model) {     /* shape only; dtype is left */
    t->rank = model->rank;
    for (int i = 0; i < CNN_MAX_RANK; i++) t->dims[i] = model->dims[i];
}
/* Fails unless `tensor`, called `what`, has the wanted rank (or any, -1) and dtype. */
int cnn_expect(const cnn_tensor *tensor, const char *what, int rank, int dtype, cnn_error *error);
/* Fails unless an optional vector (a bias, a scale) is absent or float32 of shape (length). */
int cnn_expect_vector(const cnn_tensor *tensor, const char *what, int64_t length, cnn_error *error);
/* Fails where a weight that pack() reads is computed within the run: a check of plan(), which knows the storage. */
int cnn_expect_packable(const cnn_tensor *weight, const char *what, cnn_error *error);

static inline int64_t cnn_int(const cnn_call *c, int attr) { return (int64_t)c->attr[attr]; }
static inline float cnn_float(const cnn_call *c, int attr) { return (float)c->attr[attr]; }

/* The tensor's memory in this run; NULL for NULL. */
static inline void *cnn_data(const cnn_exec *e, const cnn_tensor *t) {
    return t ? e->base[t->storage] + t->offset : NULL;
}

/* The share [*begin, *end) of `count` units that belongs to this thread: contiguous, the same in every operation, so
 * that a thread finds its images in its own cache. The units themselves must follow from the shapes alone wherever a
 * sum is cut. */
static inline void cnn_share(const cnn_exec *e, int64_t count, int64_t *begin, int64_t *end) {
    *begin = count * e->thread / e->threads;
    *end = count * (e->thread + 1) / e->threads;
}
/* Units of work that take long or are many: see threads.h. */
static inline cnn_work cnn_share_work(const cnn_exec *e, int64_t count) {
    return cnn_work_begin(e->team, e->thread, count);
}
/* The same for elements of an array, in whole blocks of `grain` elements (no false sharing, no tails inside). */
static inline void cnn_share_grain(const cnn_exec *e, int64_t count, int64_t grain, int64_t *begin, int64_t *end) {
    cnn_share(e, (count + grain - 1) / grain, begin, end);
    *begin *= grain;
    *end = *end * grain < count ? *end * grain : count;
    if (*begin > count) *begin = count;
}
static inline void cnn_barrier(const cnn_exec *e) {
    cnn_team_barrier(e->team, e->thread);
} /* all threads must come here */

/* Bytes. The memory of each thread begins a page of the arena: where it lay in one, by chance, changed operations by
 * several per cent from one build to the next. (Processors compare the low 12 bits of addresses first; that this is the
 * reason was not measured.) */
enum { CNN_PAGE = 4096 };

static inline int64_t cnn_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t cnn_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t cnn_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t cnn_round_up(int64_t a, int64_t b) { return cnn_ceil_div(a, b) * b; }

#endif
