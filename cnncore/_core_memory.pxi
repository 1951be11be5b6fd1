# Memory of the library's as Python buffers and NumPy arrays.

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
