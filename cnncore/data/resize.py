"""Bringing images to one size."""

import numpy as np

from .dataset import as_array

RESIZES = ("crop", "stretch", "pad")
# By Keras' names. When shrinking, Pillow widens each filter by the factor, so that nothing is aliased.
INTERPOLATIONS = {
    "nearest": "NEAREST",
    "bilinear": "BILINEAR",
    "bicubic": "BICUBIC",
    "area": "BOX",
    "lanczos3": "LANCZOS",
}


def resized(image, size, resize="crop", interpolation="bilinear"):
    """Bring an image to a size.

    Parameters
    ----------
    image : PIL.Image.Image or ndarray of shape (height, width, channels)
        Mode L, RGB or RGBA; uint8 or floats.
    size : (int, int)
        (height, width).
    resize : str
        ``"crop"``: the largest part around the centre that has the aspect ratio of `size` is resized.
        ``"stretch"``: all of the image is resized, and so distorted. ``"pad"``: all of it is resized as far as it fits,
        and centred on black.
    interpolation : str
        ``"nearest"``, ``"bilinear"``, ``"bicubic"``, ``"area"`` or ``"lanczos3"``.

    Returns
    -------
    PIL.Image.Image or ndarray
        As was given; the image itself if it has that size.
    """
    from PIL import Image

    if isinstance(image, np.ndarray):
        return image if image.shape[:2] == tuple(size) else _resized_array(image, size, resize, interpolation)
    (width, height), (rows, columns) = image.size, size
    if (height, width) == (rows, columns):
        return image
    method = Image.Resampling[INTERPOLATIONS[interpolation]]
    if resize == "stretch":
        return image.resize((columns, rows), method)
    if resize == "crop":
        scale = min(width / columns, height / rows)
        left, top = (width - columns * scale) / 2, (height - rows * scale) / 2
        box = max(0.0, left), max(0.0, top), min(float(width), width - left), min(float(height), height - top)
        return image.resize((columns, rows), method, box)
    scale = min(columns / width, rows / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = Image.new(image.mode, (columns, rows))
    canvas.paste(image.resize(inner, method), ((columns - inner[0]) // 2, (rows - inner[1]) // 2))
    return canvas


def _resized_array(array, size, resize, interpolation):
    from PIL import Image

    if array.dtype == np.uint8 and array.shape[2] in (1, 3):
        image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
        return as_array(resized(image, size, resize, interpolation))
    planes = [
        np.asarray(
            resized(Image.fromarray(np.ascontiguousarray(array[..., c], np.float32)), size, resize, interpolation)
        )
        for c in range(array.shape[2])
    ]
    result = np.stack(planes, axis=2)
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        result = np.rint(result).clip(limits.min, limits.max)
    return result.astype(array.dtype)
