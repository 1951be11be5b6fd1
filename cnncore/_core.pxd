"""What _core.pyx uses of C: the public header, and of the runtime what the library does not export."""
from libc.stdint cimport int32_t, int64_t, uint64_t

cdef extern from "Python.h":
    int PyErr_CheckSignals() nogil

cdef extern from "cnncore.h" nogil:
    enum: CNN_MAX_RANK, CNN_MAX_STORAGES, CNN_MAX_THREADS, CNN_ALIGNMENT
    enum: CNN_ARENA, CNN_PREPARED, CNN_FIRST_FREE, CNN_PREPARE, CNN_COMPUTE, CNN_UPDATE, CNN_REUSE_MEMORY, CNN_EXACT
    enum: CNN_TRAINS
    enum: CNN_INT, CNN_FLOAT
    const char *CNN_VERSION
    ctypedef struct cnn_error:
        char text[512]
    ctypedef struct cnn_tensor:
        int32_t storage, dtype, rank
        int64_t dims[4]
        int64_t offset
    ctypedef struct cnn_attr_def:
        const char *name
        int type
        double default_value, min, max
    ctypedef struct cnn_program:
        pass
    ctypedef struct cnn_op_info:
        int op, section
        const char *kernel
        double flops, bytes
        int64_t workspace_bytes, packed_bytes
        int packed_before, n_inputs, n_outputs
        const int32_t *inputs
        const int32_t *outputs
        const double *attributes
    ctypedef struct cnn_run:
        void **bases
        int threads, sections
        uint64_t seed, step
        int (*cancelled)(void *context) noexcept nogil
        void *context
        double *seconds
    int cnn_op_count()
    const char *cnn_op_name(int)
    const char *cnn_op_summary(int)
    const char *cnn_op_inputs(int)
    const char *cnn_op_outputs(int)
    const cnn_attr_def *cnn_op_attributes(int)
    int cnn_op_infer(int, const cnn_tensor **, int, const double *, cnn_tensor *, int, cnn_error *)
    cnn_program *cnn_program_new()
    void cnn_program_free(cnn_program *)
    int cnn_program_tensor(cnn_program *, int, int, int, const int64_t *, int64_t, cnn_error *)
    int cnn_program_op(cnn_program *, int, int, const int32_t *, int, const double *, int32_t *, int, cnn_error *)
    int cnn_program_keep(cnn_program *, int, cnn_error *)
    int cnn_program_plan(cnn_program *, int, int, cnn_error *)
    int64_t cnn_program_arena_bytes(const cnn_program *, int)
    int64_t cnn_program_prepared_bytes(const cnn_program *)
    int cnn_program_op_count(const cnn_program *)
    int cnn_program_tensor_count(const cnn_program *)
    const cnn_tensor *cnn_program_get_tensor(const cnn_program *, int)
    int cnn_program_op_info(const cnn_program *, int, cnn_op_info *)
    int cnn_program_run(const cnn_program *, const cnn_run *, cnn_error *)
    void *cnn_alloc(size_t)
    void cnn_free(void *)
    int64_t cnn_allocations()
    void cnn_trim()
    int cnn_has_openmp()
    int cnn_get_threads()
    int cnn_set_threads(int)
    int cnn_isa_count()
    const char *cnn_isa_name(int)
    int cnn_isa_available(int)
    int cnn_isa_in_use()
    int cnn_set_isa(int)
    const char *cnn_compiler()
    double cnn_measure_peak(int, double)
    enum: CNN_FILE_MAX_HEADER_BYTES, CNN_FILE_MAX_TENSORS, CNN_FILE_MAX_METADATA
    ctypedef struct cnn_file:
        pass
    ctypedef struct cnn_file_tensor:
        const char *name
        int dtype, rank
        int64_t dims[4]
        int64_t offset, bytes
        const void *data
    cnn_file *cnn_file_open(const char *, cnn_error *)
    cnn_file *cnn_file_begin(const char *, cnn_error *)
    int cnn_file_read(cnn_file *, void *const *, cnn_error *)
    cnn_file *cnn_file_open_memory(const void *, size_t, cnn_error *)
    void cnn_file_close(cnn_file *)
    int cnn_file_tensor_count(const cnn_file *)
    const cnn_file_tensor *cnn_file_get_tensor(const cnn_file *, int)
    int cnn_file_metadata_count(const cnn_file *)
    const char *cnn_file_metadata_key(const cnn_file *, int)
    const char *cnn_file_metadata(const cnn_file *, const char *)

cdef extern from "../runtime/augment.h" nogil:
    ctypedef struct cnn_augment_recipe:
        int dtype, border
        int64_t h, w, c, pad_h, pad_w, out_h, out_w
        double flip, flip_vertical, cutout, mixup
        int64_t cutout_h, cutout_w
        const float *scale
        const float *offset
        const float *border_value
        const float *cutout_value
    ctypedef struct cnn_augment_draw:
        int64_t number
    int64_t cnn_augment_workspace_bytes(const cnn_augment_recipe *, int)
    int cnn_augment_batch(const cnn_augment_recipe *, const void *, int64_t, int64_t, const int64_t *, uint64_t,
                          uint64_t, int, int, void *, cnn_augment_draw *, float *, cnn_error *)

cdef extern from "../runtime/image.h" nogil:
    ctypedef struct cnn_picture:
        const unsigned char *data
        int64_t h, w, channels, row, pixel
    ctypedef struct cnn_resize:
        cnn_picture x
        float box[4]
        int64_t out_h, out_w
        int filter, flip_x, flip_y
    int64_t cnn_resize_workspace_bytes(const cnn_resize *)
    void cnn_resize_run(const cnn_resize *, int, void *, unsigned char *)
    int64_t cnn_luma_sum(const cnn_picture *, int)
    void cnn_color_mix(const cnn_picture *, const float *, int, unsigned char *)
