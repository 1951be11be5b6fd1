# Programs of the engine, and single operations run as programs.

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
