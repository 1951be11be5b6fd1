"""Image files as arrays for a model, with Pillow."""

import pathlib

import numpy as np

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def files(folder):
    """The image files directly in a folder, by name."""
    return sorted(path for path in pathlib.Path(folder).iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def _open(path):
    from PIL import Image

    try:
        return Image.open(path)
    except OSError as error:
        if error.strerror:
            raise
        raise ValueError(f'"{path}": must be an image that Pillow can read, and is not') from error
    except Image.DecompressionBombError as error:
        raise ValueError(f'"{path}": {error}') from error


def is_grey(path):
    """Does the file hold grey values only, by its mode?"""
    with _open(path) as image:
        return image.mode in ("1", "L", "LA", "I", "I;16", "F")


def load(path, height, width, channels):
    """An image file as a uint8 array (height, width, channels), 1 channel for grey or 3 for RGB.

    The camera's orientation (EXIF) is applied. An image of another aspect ratio is cropped around its centre, then
    resized.
    """
    from PIL import Image, ImageOps

    with _open(path) as image:
        try:
            image = ImageOps.exif_transpose(image)
            if image.mode in ("I", "I;16"):  # 16 bits of grey: Pillow's own conversion would clip them
                image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
            image = image.convert("L" if channels == 1 else "RGB")
        except (OSError, SyntaxError, EOFError) as error:
            raise ValueError(f'"{path}": the image is damaged: {error}') from error
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(height, width, channels)


def load_all(paths, height, width, channels):
    """Image files as one uint8 array (n, height, width, channels)."""
    array = np.empty((len(paths), height, width, channels), np.uint8)
    for i, path in enumerate(paths):
        array[i] = load(path, height, width, channels)
    return array
