# Photos one by one: resizing, colors, and the pixels that Pillow lends.

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
