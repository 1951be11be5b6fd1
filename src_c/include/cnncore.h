/* cnncore: convolutional neural networks on CPUs. The C interface.
 *
 * A PROGRAM is a list of operations over numbered tensors. Inference and training are both just programs. The life of
 * one:
 *
 *     cnn_program *p = cnn_program_new();
 *     int x = cnn_program_tensor(p, storage, CNN_F32, 4, dims, offset_bytes, &error);    what comes from outside
 *     cnn_program_op(p, cnn_op_find("conv2d"), CNN_COMPUTE, inputs, 2, attributes, outputs, 1, &error);
 *                                                             the outputs' shapes follow from the operation's rules
 *     cnn_program_plan(p, isa, CNN_REUSE_MEMORY, &error);     kernels are chosen and memory is laid out
 *     cnn_program_run(p, &run, &error);                       as often as wanted; allocates nothing
 *     cnn_program_free(p);
 *
 * STORAGE. A tensor lives at a byte offset of a numbered storage; the caller passes one base pointer per storage to
 * every run, aligned to CNN_ALIGNMENT for the arena and the prepared storage and to the element's size for the rest.
 * Storage CNN_ARENA holds what lives within one run, CNN_PREPARED what is derived from the weights and stays until they
 * change (packed and folded weights); their sizes follow from the plan. All other storages (parameters, gradients,
 * inputs, ...) belong to the caller, who numbers them from CNN_FIRST_FREE.
 *
 * SECTIONS. CNN_PREPARE operations run once after the weights have changed, CNN_COMPUTE operations in every run,
 * CNN_UPDATE operations after them: whatever changes state that outlives the run is in CNN_UPDATE, so a run that is
 * cancelled leaves no half-made step.
 *
 * DIMENSIONS. n images, h rows, w columns, c channels, o output channels, k classes. Layout is NHWC, convolution
 * weights are HWIO. Counts are elements; names of byte counts end in _bytes, of seconds in _s.
 *
 * LARGE BATCHES. A program for some eight images, run again and again with the base pointers of inputs and outputs
 * moved on, takes less memory than one for many, and less time where images are large: what an operation writes is
 * still in the caches when the next one reads it.
 *
 * THREADS. A program is not changed by running it: several threads may run it at once, each with its own arena. The
 * results do not depend on the number of threads, bit for bit. A run that is short takes no more threads than find
 * a processor, while other programs are running; one that is shorter than to wake threads up, after a pause, only its
 * caller's. A program whose runs are short is timed on one thread and on all now and then, and takes the faster way.
 *
 * NUMBERS. float32; within a run numbers below 2^-126 (1.2e-38) count as zero, as operands and as results, because they
 * cost a processor a hundred cycles each and a network that has converged is full of them. The caller's floating-point
 * mode is as before when a run returns. NaN and infinities pass through every operation.
 *
 * ERRORS. Functions that can fail take a cnn_error and return 0, or -1 and a sentence in it; nothing here prints, exits
 * or aborts. */
#ifndef CNNCORE_H
#define CNNCORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CNN_VERSION "0.1.0"
#define CNN_ALIGNMENT 64      /* bytes: of the arena, the prepared storage and every tensor in them */
#define CNN_MAX_RANK 4
#define CNN_MAX_STORAGES 64
#define CNN_MAX_THREADS 256

typedef struct cnn_error { char text[512]; } cnn_error;

enum { CNN_F32, CNN_U8, CNN_I32, CNN_DTYPES };                        /* element types */
enum { CNN_ARENA, CNN_PREPARED, CNN_FIRST_FREE };                     /* storages */
enum { CNN_PREPARE = 1, CNN_COMPUTE = 2, CNN_UPDATE = 4 };            /* sections: also the bits of cnn_run.sections */
/* Plan flags. CNN_EXACT: direct convolution only, no Winograd. CNN_TRAINS: weights are others in every run, as where
 * there is an update section, which implies it: where they are packed, they are so anew in every run. */
enum { CNN_REUSE_MEMORY = 1, CNN_EXACT = 2, CNN_TRAINS = 4 };

typedef struct cnn_tensor {
    int32_t storage, dtype, rank;
    int64_t dims[CNN_MAX_RANK];       /* the first `rank` are used, all at least 1 */
    int64_t offset; /* bytes from the storage's base; chosen by the plan for CNN_ARENA and CNN_PREPARED */
} cnn_tensor;

/* ---- the operations, as a table ---- */

enum { CNN_INT, CNN_FLOAT };

typedef struct cnn_attr_def {
    const char *name;                 /* NULL ends a table */
    int type;                         /* CNN_INT or CNN_FLOAT */
    double default_value, min, max;   /* a value outside min..max, or a fraction for CNN_INT, is refused */
} cnn_attr_def;

int cnn_op_count(void);
const char *cnn_op_name(int op);
const char *cnn_op_summary(int op);            /* one line with the equation */
const char *cnn_op_inputs(int op); /* names, optional ones in brackets: "x w [bias]"; a name followed by ... repeats */
const char *cnn_op_outputs(int op);
const cnn_attr_def *cnn_op_attributes(int op);
int cnn_op_find(const char *name);             /* -1 if there is none */

/* The shapes and types of an operation's outputs. `inputs` may hold NULL where an input is optional and absent;
 * `attributes` has a value for every entry of the operation's table. Writes n_outputs tensors (storage and offset are
 * left 0). */
int cnn_op_infer(int op, const cnn_tensor *const *inputs, int n_inputs, const double *attributes,
                 cnn_tensor *outputs, int n_outputs, cnn_error *error);

/* ---- programs ---- */

typedef struct cnn_program cnn_program;

cnn_program *cnn_program_new(void);            /* NULL when out of memory */
void cnn_program_free(cnn_program *program);

/* Declares a tensor in a storage of the caller's. Returns its number, or -1. */
int cnn_program_tensor(cnn_program *program, int storage, int dtype, int rank, const int64_t *dims,
                       int64_t offset_bytes, cnn_error *error);

/* Appends an operation. inputs: tensor numbers, -1 where an optional one is absent. outputs: on entry a tensor's number
 * where the result goes to a declared tensor (shapes must agree), -1 for a new tensor in the arena (in CNN_PREPARE: in
 * the prepared storage), -2 where an optional output is not wanted; on return the tensor's number. Returns the
 * operation's number, or -1 (the program is then unchanged). */
int cnn_program_op(cnn_program *program, int op, int section, const int32_t *inputs, int n_inputs,
                   const double *attributes, int32_t *outputs, int n_outputs, cnn_error *error);

/* Keeps a tensor of the arena readable after the run. */
int cnn_program_keep(cnn_program *program, int tensor, cnn_error *error);

/* Chooses the kernels for `isa` (a number below cnn_isa_count; -1: the one in use) and lays out memory. Call once,
 * after the last operation. */
int cnn_program_plan(cnn_program *program, int isa, int flags, cnn_error *error);

int64_t cnn_program_arena_bytes(const cnn_program *program, int threads);   /* each thread adds its own scratch */
int64_t cnn_program_prepared_bytes(const cnn_program *program);
int cnn_program_op_count(const cnn_program *program);
int cnn_program_tensor_count(const cnn_program *program);
const cnn_tensor *cnn_program_get_tensor(const cnn_program *program, int tensor);

typedef struct cnn_op_info {
    int op, section;
    const char *kernel;               /* the kernel chosen, "" where there is no choice */
    double flops;                     /* multiply-adds count two; of the direct algorithm, whatever the kernel does */
    double bytes;                     /* read and written, each tensor once */
    int64_t workspace_bytes, packed_bytes;
    int packed_before;                /* the operation before which its weights are packed, where they have changed */
    int n_inputs, n_outputs;
    const int32_t *inputs, *outputs;  /* tensor numbers, negative where absent */
    const double *attributes;
} cnn_op_info;
int cnn_program_op_info(const cnn_program *program, int index, cnn_op_info *info);

typedef struct cnn_run {
    void *const *bases;               /* one pointer per storage, CNN_MAX_STORAGES of them; unused ones NULL */
    int threads;                      /* at most; 0: cnn_get_threads() */
    int sections;                     /* CNN_PREPARE | CNN_COMPUTE | CNN_UPDATE, run in this order */
    uint64_t seed, step;              /* the key of the random operations */
    int (*cancelled)(void *context); /* NULL, or called on the calling thread between operations, every 20 ms at most:
                                        non-zero stops the run before CNN_UPDATE */
    void *context;
    double *seconds; /* NULL, or one slot per operation, to which its time is added (with cnn_program_op_count() + 1
                        slots: the last is packing) */
} cnn_run;

/* Runs the sections asked for. Returns 0, or -1 with a sentence, or 1 when cancelled (nothing of CNN_UPDATE was run
 * then). */
int cnn_program_run(const cnn_program *program, const cnn_run *run, cnn_error *error);

/* ---- model files ----
 *
 * A model file (.cnn) is a safetensors file: 8 bytes with the length of the header (little-endian), the header (JSON,
 * padded with spaces), then the tensors' bytes. The header maps names to {"dtype", "shape", "data_offsets": [begin,
 * end]}, offsets counted from the end of the header, and "__metadata__" to a map of strings to strings.
 *
 * The reader takes any bytes, however damaged or hostile, and either opens the file or says what is wrong with it. It
 * refuses: a header that is over CNN_FILE_MAX_HEADER_BYTES, is not that JSON or not UTF-8, has unknown or repeated
 * keys, or characters that are 0; more than CNN_FILE_MAX_TENSORS tensors or CNN_FILE_MAX_METADATA entries; element
 * types other than F32, U8 and I32; ranks other than 1 to CNN_MAX_RANK; dimensions below 1 or above 2147483647; sizes
 * that do not follow from shape and type; tensors that overlap, leave a hole, are not aligned to their elements, or do
 * not end where the file ends. It reads the file into memory of its own, which is little more than the file's size (a
 * mapped file that somebody else shortens would end the process), or the tensors to where the caller wants them, and
 * never follows anything a file says to another file. */

#define CNN_FILE_MAX_HEADER_BYTES 100000000
#define CNN_FILE_MAX_TENSORS 65536
#define CNN_FILE_MAX_METADATA 4096

typedef struct cnn_file cnn_file;
typedef struct cnn_file_tensor {
    const char *name;                 /* UTF-8, ends with 0 */
    int dtype, rank;                  /* CNN_F32, ...; 1 to CNN_MAX_RANK */
    int64_t dims[CNN_MAX_RANK];
    int64_t offset, bytes;            /* offset from the first tensor */
    const void *data;                 /* the first tensor's is aligned to CNN_ALIGNMENT, all to their elements */
} cnn_file_tensor;

/* NULL and a sentence in *error where the file cannot be opened; errno is then the system's reason, 0 where the bytes
 * are at fault. */
cnn_file *cnn_file_open(const char *path, cnn_error *error);
cnn_file *cnn_file_open_memory(const void *bytes, size_t size, cnn_error *error);       /* copies what it needs */
/* The same in two steps, for tensors that shall lie elsewhere: the first reads and checks everything but the tensors'
 * bytes, and their `data` are NULL. The second reads tensor i, of places[i] != NULL, to places[i], which has room for
 * its bytes; once for a file. Returns 0, or -1 with a sentence and errno as above; the places' contents are undefined
 * then. */
cnn_file *cnn_file_begin(const char *path, cnn_error *error);
int cnn_file_read(cnn_file *file, void *const *places, cnn_error *error);
void cnn_file_close(cnn_file *file); /* ends the life of all that the functions below have returned; NULL is allowed */

int cnn_file_tensor_count(const cnn_file *file);
/* In the order of their data; NULL if out of range. */
const cnn_file_tensor *cnn_file_get_tensor(const cnn_file *file, int index);
const cnn_file_tensor *cnn_file_find_tensor(const cnn_file *file, const char *name);    /* NULL if there is none */
int cnn_file_metadata_count(const cnn_file *file);
const char *cnn_file_metadata_key(const cnn_file *file, int index); /* in the order of the keys; NULL if out of range */
const char *cnn_file_metadata(const cnn_file *file, const char *key); /* the value, UTF-8; NULL if there is none */

/* ---- memory, threads, instruction sets ---- */

void *cnn_alloc(size_t bytes);                 /* zeroed, aligned to CNN_ALIGNMENT; NULL when out of memory */
void cnn_free(void *memory);
/* How many times the library has taken memory since it was loaded: flat in the steady state. */
int64_t cnn_allocations(void);
/* Gives the system back what the process has freed and its C library kept, where there is a way to: glibc alone. For a
 * caller that has just let go of much memory in pieces. */
void cnn_trim(void);

int cnn_has_openmp(void);
/* CNNCORE_NUM_THREADS or OMP_NUM_THREADS, else one for each core, as far as affinity and container quota allow. */
int cnn_get_threads(void);
int cnn_set_threads(int threads);              /* 0: back to the default; -1 if out of range */

int cnn_isa_count(void);                       /* instruction sets built in, ascending; 0 is the portable one */
const char *cnn_isa_name(int isa);
int cnn_isa_available(int isa);                /* can this processor run it? */
int cnn_isa_in_use(void);                      /* CNNCORE_ISA, else the highest available */
int cnn_set_isa(int isa);                      /* -1 if not available; programs planned before keep theirs */
const char *cnn_compiler(void);
/* Multiply-add rate of one thread, in FLOP/s, measured for about that long. */
double cnn_measure_peak(int isa, double seconds);

#ifdef __cplusplus
}
#endif
#endif
