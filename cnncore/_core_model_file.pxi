# Model files, read by the C reader.

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
