"""Image files for the tests of cnncore.data, good and bad. Damage is made from bytes; 16-bit RGB is written by hand."""

import io
import os
import struct
import zlib

import numpy as np
from PIL import Image


def pattern(height, width, channels=3, seed=0):
    """A smooth uint8 picture without symmetry, which survives JPEG."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        127 + 60 * np.sin((seed + 1 + c) * (x / width + 0.3) * 3) + 60 * np.cos((seed + 2 + c) * y / height * 4)
        for c in range(channels)
    ]
    return np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)


def encoded(array, image_format="PNG", **options):
    """The bytes of an image file."""
    image = Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def png(width, height, depth, colour_type, rows, extra=()):
    """A PNG file by its specification; `rows` holds the raw bytes of each row."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(*e) for e in extra)
        + chunk(b"IDAT", body)
        + chunk(b"IEND", b"")
    )


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def bad_files(folder):
    """Write files that cannot be read: {path: part of the reason}."""
    photo, drawing = encoded(pattern(40, 60), "JPEG"), encoded(pattern(40, 60), "PNG")
    files = {
        "empty.jpg": (b"", "no image"),
        "text.jpg": (b"this is no photo\n" * 40, "no image"),
        "page.png": (b"<!DOCTYPE html><html><body>404</body></html>", "no image"),
        "header-only.jpg": (photo[:20], "no image"),
        "truncated.jpg": (photo[: len(photo) * 9 // 10], "truncated"),
        "truncated.png": (drawing[: len(drawing) // 2], "truncated"),
        "checksum.png": (drawing[:20] + b"\xff" + drawing[21:], "header is damaged"),
        "truncated.gif": (encoded(pattern(40, 60), "GIF")[:900], "damaged"),
        "truncated.webp": (encoded(pattern(40, 60), "WEBP")[:200], ""),
        "truncated.bmp": (encoded(pattern(40, 60), "BMP")[:300], "truncated"),
        "truncated.tiff": (encoded(pattern(40, 60), "TIFF")[:300], ""),
        "bomb.png": (png(60000, 60000, 8, 0, [b""]), "too large"),
        "huge.png": (png(10000, 9500, 8, 0, [b""]), "more than max_pixels"),
        "drawing.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n", "format EPS"),
        "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n", "format EPS"),
        "float.tiff": (encoded(np.array([[0, 300]], np.float32), "TIFF"), "only 0 to 1"),
        "nan.tiff": (encoded(np.array([[0, np.nan]], np.float32), "TIFF"), "only 0 to 1"),
        "int32.tiff": (encoded(np.array([[0, 70000]], np.int32), "TIFF"), "only 0 to 65535"),
    }
    result = {str(write(folder / name, data)): reason for name, (data, reason) in files.items()}
    os.symlink(folder / "nowhere", folder / "broken-link.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return {**result, str(folder / "broken-link.jpg"): "No such file", str(folder / "pipe.jpg"): "not a file"}


def photo_folder(folder, classes=("cat", "dog", "emu"), each=8, size=(40, 56), suffix=".jpg"):
    """A folder of small JPEG files, each with a picture of its own."""
    for k, name in enumerate(classes):
        for i in range(each):
            data = encoded(pattern(size[0] + i, size[1], seed=13 * k + i), "JPEG" if suffix == ".jpg" else "PNG")
            write(folder / name / f"{i:03}{suffix}", data)
    return folder
