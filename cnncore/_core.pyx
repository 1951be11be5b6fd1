# cython: language_level=3, boundscheck=False, wraparound=False
"""The only bridge to C: the table of operations, programs, memory, threads and instruction sets.

Everything here takes and gives plain Python objects and NumPy arrays; sentences of errors come from C. What is used of
C is declared in _core.pxd, which Cython reads first.
"""
import os

import numpy as np

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.exc cimport PyErr_Occurred
from libc.errno cimport ENOMEM, errno
from libc.stdint cimport int32_t, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

VERSION = CNN_VERSION.decode()
MAX_RANK, MAX_STORAGES, MAX_THREADS, ALIGNMENT = CNN_MAX_RANK, CNN_MAX_STORAGES, CNN_MAX_THREADS, CNN_ALIGNMENT
ARENA, PREPARED, FIRST_FREE = CNN_ARENA, CNN_PREPARED, CNN_FIRST_FREE
PREPARE, COMPUTE, UPDATE = CNN_PREPARE, CNN_COMPUTE, CNN_UPDATE
UNWANTED, ABSENT = -2, -1

DTYPES = ("float32", "uint8", "int32")
DTYPE_NAMES = {np.dtype(name): name for name in DTYPES}            # faster than dtype.name
_dtype_number = {name: i for i, name in enumerate(DTYPES)}
_dtype_bytes = (4, 1, 4)


# ---- the operations ----

class Operation:
    """One row of the table of operations: its number, name, summary, operand names and attributes."""
    __slots__ = ("number", "name", "summary", "inputs", "outputs", "attributes", "positions", "defaults")

    def __init__(self, int number):
        self.number = number
        self.name = cnn_op_name(number).decode()
        self.summary = cnn_op_summary(number).decode()
        self.inputs = tuple(cnn_op_inputs(number).decode().split())
        self.outputs = tuple(cnn_op_outputs(number).decode().split())
        self.attributes = {}
        cdef const cnn_attr_def *a = cnn_op_attributes(number)
        while a.name != NULL:
            self.attributes[a.name.decode()] = ("int" if a.type == CNN_INT else "float", a.default_value)
            a += 1
        self.positions = {name: i for i, name in enumerate(self.attributes)}
        self.defaults = tuple(default for _, default in self.attributes.values())

    def values(self, attributes):
        """All attribute values in the table's order, defaults filled in. Raises ValueError for an unknown name."""
        if not attributes:
            return self.defaults
        values = list(self.defaults)
        for name, value in attributes.items():
            position = self.positions.get(name)
            if position is None:
                known = ", ".join(self.attributes) or "none"
                raise ValueError(f"{self.name}: there is no attribute {name!r}; it has {known}")
            values[position] = float(value)
        return tuple(values)


OPERATIONS = {op.name: op for op in (Operation(i) for i in range(cnn_op_count()))}
_by_number = tuple(OPERATIONS.values())


def op_table():
    """The operations: name -> {"summary", "inputs", "outputs", "attributes": {name: (type, default)}}."""
    return {op.name: {"summary": op.summary, "inputs": op.inputs, "outputs": op.outputs,
                      "attributes": dict(op.attributes)}
            for op in OPERATIONS.values()}


cdef int fill_tensor(cnn_tensor *t, dtype, shape) except -1:
    cdef int i, rank = len(shape)
    if rank > CNN_MAX_RANK:
        raise ValueError(f"a tensor has at most {CNN_MAX_RANK} dimensions, got shape {tuple(shape)}")
    memset(t, 0, sizeof(cnn_tensor))
    t.dtype = _dtype_number[dtype]
    t.rank = rank
    for i in range(rank):
        t.dims[i] = shape[i]
    return 0


cdef tuple shape_of(const cnn_tensor *t):
    return tuple([t.dims[i] for i in range(t.rank)])


cdef struct operands:
    double *attributes
    cnn_tensor *tensors
    const cnn_tensor **inputs


def infer(operation, inputs, attributes, int n_outputs):
    """The (dtype, shape) of every output; None for an output that does not exist for these inputs.

    operation: an Operation; inputs: (dtype, shape) pairs or None; attributes: values in the table's order.
    """
    cdef int n = len(inputs), i
    cdef cnn_error error
    cdef cnn_tensor *tensors = <cnn_tensor *>malloc((n + n_outputs + 1) * sizeof(cnn_tensor))
    cdef const cnn_tensor **pointers = <const cnn_tensor **>malloc((n + 1) * sizeof(void *))
    cdef double *values = <double *>malloc((len(attributes) + 1) * sizeof(double))
    try:
        if tensors == NULL or pointers == NULL or values == NULL:
            raise MemoryError()
        for i in range(n):
            pointers[i] = NULL
            if inputs[i] is not None:
                fill_tensor(&tensors[i], inputs[i][0], inputs[i][1])
                pointers[i] = &tensors[i]
        for i in range(len(attributes)):
            values[i] = attributes[i]
        if cnn_op_infer(operation.number, pointers, n, values, tensors + n, n_outputs, &error):
            raise ValueError(error.text.decode())
        return [(DTYPES[tensors[n + i].dtype], shape_of(&tensors[n + i])) if tensors[n + i].rank else None
                for i in range(n_outputs)]
    finally:
        free(tensors)
        free(pointers)
        free(values)


# ---- memory ----

cdef class Memory:
    """Aligned, zeroed memory of the library's, as a writable buffer of bytes. Raises MemoryError."""
    cdef void *data
    cdef readonly Py_ssize_t nbytes
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]

    def __cinit__(self, Py_ssize_t nbytes):
        if nbytes < 0:
            raise ValueError("a number of bytes must not be negative")
        self.data = cnn_alloc(nbytes)
        if self.data == NULL:
            raise MemoryError(f"{nbytes:,} bytes are not to be had")
        self.nbytes = nbytes
        self.shape[0] = nbytes
        self.strides[0] = 1

    def __dealloc__(self):
        cnn_free(self.data)

    def __getbuffer__(self, Py_buffer *view, int flags):
        view.buf, view.obj, view.len, view.itemsize, view.readonly, view.ndim = self.data, self, self.nbytes, 1, 0, 1
        view.format, view.shape, view.strides = b"B", self.shape, self.strides
        view.suboffsets, view.internal = NULL, NULL


def aligned_zeros(shape, dtype=np.float32):
    """A zeroed NumPy array in aligned memory of the library's."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(Memory(max(1, count * dtype.itemsize)), dtype, count).reshape(shape)


cdef void *memory_of(array) except? NULL:
    """Where a contiguous array's elements are. Raises ValueError for another array."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS)
    cdef void *at = view.buf
    PyBuffer_Release(&view)
    return at


def allocations():
    """How many times the library has taken memory since it was loaded."""
    return cnn_allocations()


def trim():
    """Give the system back memory that was freed and kept, where there is a way to."""
    with nogil:
        cnn_trim()


# ---- programs ----

cdef int interrupted(void *context) noexcept nogil:
    """Called now and then between operations: has Ctrl-C been pressed?"""
    with gil:
        return PyErr_CheckSignals() != 0

cdef int pass_on_exception() except -1:
    return -1 if PyErr_Occurred() else 0


cdef class Program:
    """A program of the engine, with what its storages are; see cnncore.h for the life of one."""
    cdef cnn_program *p
    cdef void *bases[CNN_MAX_STORAGES]
    cdef list arrays                    # of the storages, kept alive; all but the arena
    cdef readonly bint planned
    # how many runs have done their update section: counted before Python sees a Ctrl-C
    cdef readonly uint64_t updates

    def __cinit__(self):
        self.p = cnn_program_new()
        if self.p == NULL:
            raise MemoryError()
        self.arrays = [None] * CNN_MAX_STORAGES

    def __dealloc__(self):
        cnn_program_free(self.p)

    def tensor(self, int storage, dtype, shape, int64_t offset=0):
        """Declares a tensor in a storage of the caller's; returns its number."""
        cdef cnn_error error
        cdef cnn_tensor t
        fill_tensor(&t, dtype, shape)
        number = cnn_program_tensor(self.p, storage, t.dtype, t.rank, t.dims, offset, &error)
        if number < 0:
            raise ValueError(error.text.decode())
        return number

    def op(self, operation, int section, inputs, attributes, outputs):
        """Appends an operation; returns the numbers of its outputs.

        inputs: tensor numbers (ABSENT for none); attributes: values in the table's order; outputs: ABSENT for a new
        tensor, UNWANTED, or the number of a declared tensor."""
        cdef int n_in = len(inputs), n_out = len(outputs), n_attr = len(attributes), i
        cdef cnn_error error
        cdef int32_t *ids = <int32_t *>malloc((n_in + n_out + 1) * sizeof(int32_t) + (n_attr + 1) * sizeof(double) + 8)
        if ids == NULL:
            raise MemoryError()
        cdef double *values = <double *>((<uintptr_t>(ids + n_in + n_out) + 7) // 8 * 8)
        try:
            for i in range(n_in):
                ids[i] = inputs[i]
            for i in range(n_out):
                ids[n_in + i] = outputs[i]
            for i in range(n_attr):
                values[i] = attributes[i]
            if cnn_program_op(self.p, operation.number, section, ids, n_in, values, ids + n_in, n_out, &error) < 0:
                raise ValueError(error.text.decode())
            return [ids[n_in + i] for i in range(n_out)]
        finally:
            free(ids)

    def keep(self, int tensor):
        """Keeps a tensor of the arena readable after the run."""
        cdef cnn_error error
        if cnn_program_keep(self.p, tensor, &error):
            raise ValueError(error.text.decode())

    def plan(self, int isa=-1, bint reuse_memory=True, exact=None, bint trains=False):
        """Chooses kernels and lays out memory; after it the program can be run. exact: direct convolution only; None:
        as set_exact said. trains: for weights that are others in every run, as where there is an update section.
        """
        cdef cnn_error error
        cdef int flags = (CNN_REUSE_MEMORY if reuse_memory else 0) | (CNN_TRAINS if trains else 0)
        if get_exact() if exact is None else exact:
            flags |= CNN_EXACT
        if cnn_program_plan(self.p, isa, flags, &error):
            raise ValueError(error.text.decode())
        self.planned = True

    def arena_bytes(self, int threads):
        return cnn_program_arena_bytes(self.p, threads)

    @property
    def prepared_bytes(self):
        return cnn_program_prepared_bytes(self.p)

    def tensor_info(self, int tensor):
        """(storage, dtype, shape, offset in bytes)."""
        cdef const cnn_tensor *t = cnn_program_get_tensor(self.p, tensor)
        if t == NULL:
            raise IndexError(tensor)
        return t.storage, DTYPES[t.dtype], shape_of(t), t.offset

    def operations(self):
        """What the plan made of every operation, as dictionaries."""
        cdef cnn_op_info info
        rows = []
        for i in range(cnn_program_op_count(self.p)):
            if cnn_program_op_info(self.p, i, &info):
                raise ValueError("the program is not planned yet")
            op = _by_number[info.op]
            rows.append({
                "op": op.name, "section": info.section, "kernel": info.kernel.decode(),
                "flops": info.flops, "bytes": info.bytes,
                "workspace_bytes": info.workspace_bytes, "packed_bytes": info.packed_bytes,
                "packed_before": info.packed_before,
                "inputs": [info.inputs[j] for j in range(info.n_inputs)],
                "outputs": [info.outputs[j] for j in range(info.n_outputs)],
                "attributes": {name: info.attributes[j] for j, name in enumerate(op.attributes)}})
        return rows

    def bind(self, int first, arrays):
        """Lets the storages first, first + 1, ... be the memory of these contiguous arrays, until they are bound again.
        """
        cdef int storage = first
        for array in arrays:
            if not 0 <= storage < CNN_MAX_STORAGES or storage == CNN_ARENA:
                raise ValueError(f"a storage that is bound must be 0 to {CNN_MAX_STORAGES - 1} and not the arena, got "
                                 f"{storage}")
            self.bases[storage] = memory_of(array)
            self.arrays[storage] = array
            storage += 1

    def bound(self, int storage):
        """The array that a storage is, or None."""
        return self.arrays[storage]

    def allocate(self, int threads):
        """Takes what is prepared memory of its own; returns an arena for so many threads."""
        self.bind(CNN_PREPARED, [Memory(max(CNN_ALIGNMENT, self.prepared_bytes))])
        return Memory(max(CNN_ALIGNMENT, self.arena_bytes(threads)))

    def run(self, Memory arena not None, int threads=0, int sections=CNN_COMPUTE, uint64_t seed=0, uint64_t step=0,
            seconds=None):
        """Runs without the GIL. arena: of at least arena_bytes(threads). seconds: None, or a float64 array of one slot
        per operation and one for packing, added to. Ctrl-C stops the run before the update section."""
        cdef double[::1] slots
        cdef cnn_error error
        cdef cnn_run r
        cdef int status
        threads = threads or cnn_get_threads()
        if arena.nbytes < cnn_program_arena_bytes(self.p, threads):
            raise ValueError(f"the arena must have {cnn_program_arena_bytes(self.p, threads):,} bytes for {threads} "
                             f"threads, got {arena.nbytes:,}")
        self.bases[CNN_ARENA] = arena.data
        r.bases, r.threads, r.sections, r.seed, r.step = self.bases, threads, sections, seed, step
        r.cancelled, r.context, r.seconds = interrupted, NULL, NULL
        if seconds is not None:
            slots = seconds
            if slots.shape[0] != cnn_program_op_count(self.p) + 1:
                raise ValueError("seconds must have one slot per operation and one for packing")
            r.seconds = &slots[0]
        with nogil:
            status = cnn_program_run(self.p, &r, &error)
        if status == 1:
            pass_on_exception()
        if status:
            raise ValueError(error.text.decode())
        if sections & CNN_UPDATE:
            self.updates += 1


def run_op(name, inputs, attributes=None, threads=1, isa=None, outputs=None, seed=0, step=0, exact=False,
           trains=False):
    """Runs one operation on NumPy arrays: for tests and experiments.

    inputs: arrays of float32, uint8 or int32 (None where optional and absent). outputs: a tuple of bools that tells
    which outputs are wanted (None: all that exist). exact: direct convolution only. trains: with the algorithms of
    a program that trains. Returns the wanted outputs; what works in place returns new arrays and leaves the inputs as
    they were.
    """
    op = OPERATIONS.get(name)
    if op is None:
        raise ValueError(f"there is no operation {name!r}; there are {', '.join(OPERATIONS)}")
    arrays = [None if a is None else np.array(a, order="C", copy=True) for a in inputs]
    for a in arrays:
        if a is not None and a.dtype.name not in _dtype_number:
            raise ValueError(f"{name}: arrays must be {', '.join(DTYPES)}, got {a.dtype.name}")
    values = op.values(attributes)
    described = [None if a is None else (a.dtype.name, a.shape) for a in arrays]
    wanted = outputs if outputs is not None else (True,) * len(op.outputs)
    inferred = infer(op, described, values, len(wanted))
    program = Program()
    ids = []
    for i, a in enumerate(arrays):
        ids.append(ABSENT if a is None else program.tensor(FIRST_FREE + i, a.dtype.name, a.shape))
        if a is not None:
            program.bind(FIRST_FREE + i, [a])
    names = [n.strip("[]") for n in op.inputs]
    results, targets = [], []
    for i, want in enumerate(wanted):
        position = names.index(op.outputs[i].strip("[]")) if op.outputs[i].strip("[]") in names else None
        if position is not None:                                       # works in place on this input
            present = position < len(ids) and ids[position] >= 0
            targets.append(ids[position] if present else UNWANTED)
            results.append(arrays[position] if present else None)
        elif want and inferred[i] is not None:
            dtype, shape = inferred[i]
            # Large ones are aligned, as all results in the arena are: only those can be written past the caches.
            results.append((aligned_zeros if np.prod(shape) >= 1 << 20 else np.zeros)(shape, dtype))
            storage = FIRST_FREE + len(arrays) + i
            targets.append(program.tensor(storage, dtype, shape))
            program.bind(storage, [results[i]])
        else:
            targets.append(UNWANTED)
            results.append(None)
    if op.name == "reshape":
        return [arrays[0].reshape(inferred[0][1])]
    program.op(op, COMPUTE, ids, values, targets)
    program.plan(-1 if isa is None else isa_number(isa), exact=exact, trains=trains)
    program.run(program.allocate(threads), threads, CNN_PREPARE | CNN_COMPUTE, seed, step)
    return [r for r in results if r is not None]


# ---- augmentation of batches ----

BORDERS = ("constant", "edge", "reflect", "symmetric", "wrap")
DRAWS = np.dtype([("number", np.int64), ("flip", np.int32), ("flip_vertical", np.int32), ("top", np.int32),
                  ("left", np.int32), ("cut_top", np.int32), ("cut_left", np.int32), ("cut_bottom", np.int32),
                  ("cut_right", np.int32), ("partner", np.int64), ("share", np.float32), ("unused", np.int32)])


def augment_batch(images, const int64_t[::1] numbers, float[:, :, :, ::1] out, pad, *, border="constant", double flip=0,
                  double flip_vertical=0, double cutout=0, cutout_size=(0, 0), double mixup=0,
                  const float[::1] scale, const float[::1] offset, const float[::1] border_value,
                  const float[::1] cutout_value, uint64_t seed=0, uint64_t epoch=0, int threads=0, isa=None):
    """Augments images[numbers] into `out`, without the GIL; what is done is in augment.h. Returns what was drawn, an
    array of DRAWS: of the images and, with mixup, after them of their partners.

    images: uint8 or float32 (n, h, w, c), contiguous; out: (len(numbers), out_h, out_w, c); pad, cutout_size: (h, w);
    the vectors have c entries.
    """
    cdef cnn_augment_recipe r
    cdef cnn_error error
    if images.dtype.name not in ("float32", "uint8") or images.ndim != 4 or not images.flags.c_contiguous:
        raise ValueError("augment: images must be a contiguous uint8 or float32 array (n, h, w, c), "
                         f"got {images.dtype} of {images.shape}")
    r.dtype, r.border = _dtype_number[images.dtype.name], BORDERS.index(border)
    count, r.h, r.w, r.c = images.shape
    r.pad_h, r.pad_w = pad
    r.out_h, r.out_w = out.shape[1], out.shape[2]
    r.flip, r.flip_vertical, r.cutout, r.mixup = flip, flip_vertical, cutout, mixup
    r.cutout_h, r.cutout_w = cutout_size
    for what, vector in (("scale", scale), ("offset", offset), ("border_value", border_value),
                         ("cutout_value", cutout_value)):
        if len(vector) != r.c:
            raise ValueError(f"augment: {what} must have one value per channel, {r.c}, got {len(vector)}")
    reaches = {"reflect": (r.h - 1, r.w - 1), "symmetric": (r.h, r.w), "wrap": (r.h, r.w)}
    reach_h, reach_w = reaches.get(border, (2**30, 2**30))
    if not (0 <= r.pad_h <= reach_h and 0 <= r.pad_w <= reach_w):
        raise ValueError(f"augment: a border filled with {border!r} must be at most {(reach_h, reach_w)} pixels wide "
                         f"for images of {(r.h, r.w)}, got {tuple(pad)}")
    if out.shape[0] != numbers.shape[0] or out.shape[3] != r.c or not (
            1 <= r.out_h <= r.h + 2 * r.pad_h and 1 <= r.out_w <= r.w + 2 * r.pad_w):
        raise ValueError(f"augment: windows of {(out.shape[0], r.out_h, r.out_w, out.shape[3])} cannot be cut out of "
                         f"{images.shape} with a border of {tuple(pad)}")
    if not 1 <= count < 2**32 or threads < 0 or threads > CNN_MAX_THREADS:
        raise ValueError(f"augment: there must be 1 to 2**32 - 1 images and 0 to {CNN_MAX_THREADS} threads, "
                         f"got {count} and {threads}")
    r.scale, r.offset, r.border_value, r.cutout_value = &scale[0], &offset[0], &border_value[0], &cutout_value[0]
    cdef int64_t total = count, n = numbers.shape[0]
    cdef int number = -1 if isa is None else isa_number(isa), status
    threads = threads or cnn_get_threads()
    cdef float[::1] workspace = np.empty(cnn_augment_workspace_bytes(&r, threads) // 4 + 1, np.float32)
    draws = np.zeros(n * (2 if mixup > 0 else 1), DRAWS)
    if n == 0:
        return draws
    cdef const unsigned char[::1] pixels = images.reshape(-1).view(np.uint8)
    cdef unsigned char[::1] drawn = draws.view(np.uint8)
    if drawn.shape[0] < n * <int64_t>sizeof(cnn_augment_draw):
        raise RuntimeError("DRAWS does not describe cnn_augment_draw")
    with nogil:
        status = cnn_augment_batch(&r, &pixels[0], total, n, &numbers[0], seed, epoch, threads, number,
                                   &workspace[0], <cnn_augment_draw *>&drawn[0], &out[0, 0, 0, 0], &error)
    if status:
        raise ValueError(error.text.decode())
    return draws


# ---- photos one by one ----

FILTERS = ("box", "bilinear", "bicubic", "lanczos3")
MAX_SIDE = 1 << 20  # of a photo before and after, so that all sizes in image.c are far below 2**63


cdef int _picture(what, const unsigned char[:, :, :] x, cnn_picture *picture) except -1:
    """Describes an array (height, width, channels) whose channels are neighbours, each pixel behind the last."""
    picture.h, picture.w, picture.channels = x.shape[0], x.shape[1], x.shape[2]
    picture.row, picture.pixel = x.strides[0], x.strides[1]
    if not (1 <= picture.h <= MAX_SIDE and 1 <= picture.w <= MAX_SIDE and 1 <= picture.channels <= 4):
        raise ValueError(f"{what}: the image must have 1 to {MAX_SIDE} rows and columns of 1 to 4 channels, got "
                         f"{(picture.h, picture.w, picture.channels)}")
    if (picture.channels > 1 and x.strides[2] != 1) or picture.pixel < picture.channels:
        raise ValueError(f"{what}: the image's columns and channels must be in order, got the strides "
                         f"{(x.strides[0], x.strides[1], x.strides[2])}; copy it with numpy.ascontiguousarray")
    picture.data = &x[0, 0, 0]
    return 0


def resize_image(const unsigned char[:, :, :] x, box, size, filter="bilinear", bint flip_x=False, bint flip_y=False,
                 isa=None):
    """Returns the box (x0, y0, x1, y1) of an image of bytes (h, w, c), c <= 4, as an image of `size` (height, width),
    then turned; in the calling thread, without the GIL. What is done is in image.h.
    """
    cdef cnn_resize r
    _picture("resize", x, &r.x)
    r.box = box
    r.out_h, r.out_w = size
    r.filter, r.flip_x, r.flip_y = FILTERS.index(filter), flip_x, flip_y
    if not (0 <= r.box[0] < r.box[2] <= r.x.w and 0 <= r.box[1] < r.box[3] <= r.x.h):
        raise ValueError(f"resize: the box must lie within {r.x.w} x {r.x.h} pixels and not be empty, got "
                         f"{tuple(box)}")
    if not (1 <= r.out_h <= MAX_SIDE and 1 <= r.out_w <= MAX_SIDE):
        raise ValueError(f"resize: the size must be 1 to {MAX_SIDE} rows and columns, got {tuple(size)}")
    cdef int number = -1 if isa is None else isa_number(isa)
    cdef double[::1] workspace = np.empty(cnn_resize_workspace_bytes(&r) // 8 + 1)
    result = np.empty((r.out_h, r.out_w, r.x.channels), np.uint8)
    cdef unsigned char[:, :, ::1] y = result
    with nogil:
        cnn_resize_run(&r, number, &workspace[0], &y[0, 0, 0])
    return result


def luma_sum(const unsigned char[:, :, :] x, isa=None):
    """Returns the sum of the luma of an RGB image of bytes (h, w, 3), that of each pixel rounded; without the GIL."""
    cdef cnn_picture picture
    _rgb("luma", x, &picture)
    cdef int number = -1 if isa is None else isa_number(isa)
    cdef int64_t total
    with nogil:
        total = cnn_luma_sum(&picture, number)
    return total


def mix_colors(const unsigned char[:, :, :] x, const float[:, ::1] matrix, isa=None):
    """Returns matrix @ (R, G, B, 1) of each pixel of an RGB image of bytes (h, w, 3), rounded and cut; the matrix is
    3 x 4. Without the GIL.
    """
    cdef cnn_picture picture
    _rgb("mix", x, &picture)
    if matrix.shape[0] != 3 or matrix.shape[1] != 4:
        raise ValueError(f"mix: the matrix must be 3 x 4, got {matrix.shape[0]} x {matrix.shape[1]}")
    cdef int number = -1 if isa is None else isa_number(isa)
    result = np.empty((picture.h, picture.w, 3), np.uint8)
    cdef unsigned char[:, :, ::1] y = result
    with nogil:
        cnn_color_mix(&picture, &matrix[0, 0], number, &y[0, 0, 0])
    return result


cdef int _rgb(what, const unsigned char[:, :, :] x, cnn_picture *picture) except -1:
    _picture(what, x, picture)
    if picture.channels != 3:
        raise ValueError(f"{what}: the image must have 3 channels, got {picture.channels}")
    return 0


cdef extern from *:
    """
    /* The C data interface of Apache Arrow, by which Pillow lends its pixels. */
    struct arrow_array {
        int64_t length, null_count, offset, n_buffers, n_children;
        const void **buffers;
        struct arrow_array **children, *dictionary;
        void (*release)(struct arrow_array *);
        void *private_data;
    };
    struct arrow_schema { const char *format; };  /* its first member, all that is read */
    """
    struct arrow_array:
        int64_t length, offset, n_buffers, n_children
        const void **buffers
        arrow_array **children
    struct arrow_schema:
        const char *format


cdef class _Lent:
    """The quads of an image that another object owns, as a buffer."""
    cdef object owner
    cdef const unsigned char *data
    cdef Py_ssize_t shape[3]
    cdef Py_ssize_t strides[3]

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("the pixels of a Pillow image must not be written to")
        buffer.buf, buffer.obj, buffer.len = <void *>self.data, self, self.shape[0] * self.shape[1] * 4
        buffer.readonly, buffer.format, buffer.itemsize, buffer.ndim = True, b"B", 1, 3
        buffer.shape, buffer.strides, buffer.suboffsets, buffer.internal = self.shape, self.strides, NULL, NULL


def pillow_pixels(image):
    """Returns the pixels of a Pillow image of bytes as an array (height, width, channels) that must not be written to:
    of RGB and RGBA without a copy where Pillow lends them (11.3 and later, up to 16 MiB), else a copy.
    """
    cdef _Lent lent
    cdef arrow_array *array
    cdef int64_t count = <int64_t>image.width * image.height
    if count and image.mode in ("RGB", "RGBA") and hasattr(image, "__arrow_c_array__"):
        try:
            schema, owner = image.__arrow_c_array__()
        except ValueError:  # in several blocks of memory
            owner = None
        if owner is not None:
            array = <arrow_array *>PyCapsule_GetPointer(owner, "arrow_array")
            if (<arrow_schema *>PyCapsule_GetPointer(schema, "arrow_schema")).format == b"+w:4" and (
                    array.n_children == 1 and array.length == count and array.children[0].length == 4 * count):
                lent = _Lent()
                lent.owner = owner
                lent.data = <const unsigned char *>array.children[0].buffers[1]
                lent.shape[0], lent.shape[1], lent.shape[2] = image.height, image.width, 4
                lent.strides[0], lent.strides[1], lent.strides[2] = 4 * image.width, 4, 1
                return np.asarray(lent)[..., :len(image.getbands())]
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


# ---- threads and instruction sets ----

def has_openmp():
    return bool(cnn_has_openmp())

def get_threads():
    return cnn_get_threads()

def set_threads(int threads):
    if cnn_set_threads(threads):
        raise ValueError(f"threads must be 1 to {CNN_MAX_THREADS}, or 0 for the default, got {threads}")

def built_isas():
    return tuple(cnn_isa_name(i).decode() for i in range(cnn_isa_count()))

def available_isas():
    return tuple(cnn_isa_name(i).decode() for i in range(cnn_isa_count()) if cnn_isa_available(i))

def isa_number(name):
    """The number of an available instruction set; ValueError names the available ones."""
    for i in range(cnn_isa_count()):
        if cnn_isa_name(i).decode() == name and cnn_isa_available(i):
            return i
    raise ValueError(f"instruction set {name!r} is not available; this build on this processor has "
                     f"{', '.join(available_isas())}")

def get_isa():
    return cnn_isa_name(cnn_isa_in_use()).decode()

def set_isa(name):
    cnn_set_isa(isa_number(name))

_exact = os.environ.get("CNNCORE_EXACT") == "1"

def get_exact():
    return _exact

def set_exact(exact):
    global _exact
    if not isinstance(exact, bool):
        raise ValueError(f"exact must be True or False, got {exact!r}")
    _exact = exact

def compiler():
    return cnn_compiler().decode()

def measure_peak(isa=None, seconds=0.2):
    """Floating-point operations per second that one thread reaches in a loop of multiply-adds."""
    cdef int number = cnn_isa_in_use() if isa is None else isa_number(isa)
    cdef double s = seconds, peak
    with nogil:
        peak = cnn_measure_peak(number, s)
    return peak


# ---- model files ----

FILE_MAX_HEADER_BYTES = CNN_FILE_MAX_HEADER_BYTES
FILE_MAX_TENSORS, FILE_MAX_METADATA = CNN_FILE_MAX_TENSORS, CNN_FILE_MAX_METADATA


cdef int file_error(str sentence, int reason) except -1:
    """Raises what fits the system's reason; 0: the bytes are at fault."""
    if reason == ENOMEM:
        raise MemoryError(sentence)
    if reason:
        raise OSError(reason, sentence)
    raise ValueError(sentence)


cdef class ModelFile:
    """A model file (safetensors) that is open: the C reader's checks have passed and its bytes are in memory.

    Give `path`, or `data` (any contiguous buffer of bytes). Raises ValueError where the bytes are at fault, with a
    sentence that says how, OSError where the file cannot be read, MemoryError. The object is a read-only buffer of all
    the tensors' bytes, which `tensors` shows as arrays. With header_only=True those are not read; `entries` tells what
    there is, and `read_into` reads it.
    """
    cdef cnn_file *file
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]

    def __cinit__(self, path=None, *, const unsigned char[::1] data=None, bint header_only=False):
        cdef cnn_error error
        cdef bytes name
        cdef const char *c_name
        cdef const void *start = NULL
        cdef size_t size
        cdef int reason
        if (path is None) == (data is None):
            raise ValueError("a model file must be given by path or by data, and not by both")
        if header_only and path is None:
            raise ValueError("the header alone is read of a path only")
        if path is None:
            size = data.shape[0]
            if size:
                start = &data[0]
            with nogil:
                self.file = cnn_file_open_memory(start, size, &error)
                reason = errno
        else:
            name = os.fsencode(path)
            if b"\0" in name:
                raise ValueError("the path of a model file must not have the character 0")
            c_name = name
            with nogil:
                self.file = cnn_file_begin(c_name, &error) if header_only else cnn_file_open(c_name, &error)
                reason = errno
        if self.file == NULL:
            file_error(error.text.decode(), reason)
        self.strides[0] = 1
        self.shape[0] = 0
        for i in range(0 if header_only else cnn_file_tensor_count(self.file)):
            self.shape[0] += cnn_file_get_tensor(self.file, i).bytes

    def __dealloc__(self):
        cnn_file_close(self.file)

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("a model file's tensors are read-only")
        view.buf = <void *>cnn_file_get_tensor(self.file, 0).data if self.shape[0] else <void *>self.shape
        view.obj, view.len, view.itemsize, view.readonly, view.ndim = self, self.shape[0], 1, 1, 1
        view.format, view.shape, view.strides = b"B", self.shape, self.strides
        view.suboffsets, view.internal = NULL, NULL

    def entries(self):
        """name -> (dtype, shape) of every tensor, in the order of the file."""
        cdef const cnn_file_tensor *t
        found = {}
        for i in range(cnn_file_tensor_count(self.file)):
            t = cnn_file_get_tensor(self.file, i)
            found[t.name.decode()] = DTYPES[t.dtype], tuple([t.dims[j] for j in range(t.rank)])
        return found

    def read_into(self, arrays):
        """Reads tensors to where they shall lie: `arrays` maps names to writable contiguous arrays of their size. Once
        for a file that was opened with header_only=True."""
        cdef int n = cnn_file_tensor_count(self.file), status, reason
        cdef const cnn_file_tensor *t
        cdef cnn_error error
        cdef void **places = <void **>calloc(n + 1, sizeof(void *))
        if places == NULL:
            raise MemoryError()
        try:
            for i in range(n):
                t = cnn_file_get_tensor(self.file, i)
                array = arrays.get(t.name.decode())
                if array is not None:
                    if array.nbytes != t.bytes or not array.flags.writeable:
                        raise ValueError(f"tensor {t.name.decode()!r}: must be read to a writable array of "
                                         f"{t.bytes} bytes")
                    places[i] = memory_of(array)
            with nogil:
                status = cnn_file_read(self.file, places, &error)
                reason = errno
            if status:
                file_error(error.text.decode(), reason)
        finally:
            free(places)

    def tensors(self):
        """name -> read-only array in the file's memory, in the order of the file."""
        cdef const cnn_file_tensor *t
        arrays = {}
        for i in range(cnn_file_tensor_count(self.file)):
            t = cnn_file_get_tensor(self.file, i)
            shape = tuple([t.dims[j] for j in range(t.rank)])
            flat = np.frombuffer(self, DTYPES[t.dtype], t.bytes // _dtype_bytes[t.dtype], t.offset)
            arrays[t.name.decode()] = flat.reshape(shape)
        return arrays

    def metadata(self):
        """key -> value, both strings."""
        entries = {}
        for i in range(cnn_file_metadata_count(self.file)):
            key = cnn_file_metadata_key(self.file, i)
            entries[key.decode()] = cnn_file_metadata(self.file, key).decode()
        return entries
