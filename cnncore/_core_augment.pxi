# Augmentation of batches of images.

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
