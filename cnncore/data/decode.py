"""Image files as Pillow images with a wanted number of channels, eight bits each, the right way up.

Everything that can be wrong with a file ends in one exception, `UnreadableImage`, which names it.
"""

import contextlib
import math
import os
import stat

import numpy as np

from .. import checks

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_EXIF_ORIENTATION, _TIFF_BITS_PER_SAMPLE = 0x0112, 258
# Formats of which Pillow reads the header but leaves the pixels to another program (EPS: Ghostscript) or to a plugin.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_READ_BYTES = 1 << 16  # at a time: most photos, whose headers Pillow reads in small pieces, are read in one go
MAX_PIXELS = 89_478_485  # Pillow's own limit: 256 MiB of RGB


class UnreadableImage(ValueError):
    """A file that is missing, damaged, too large or no image.

    Attributes
    ----------
    path : str
    reason : str
    """

    def __init__(self, path, reason):
        self.path, self.reason = path, reason
        super().__init__(f'"{shown(path)}": {reason}')

    def __reduce__(self):
        return type(self), (self.path, self.reason)


def shown(path):
    """A path as text that can be printed: bytes that are no UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class Decoder:
    """Reads image files.

    The camera's orientation (EXIF) is applied. Palettes are looked up. 16 bits become 8 by ``round(v * 255 / 65535)``;
    floats must be in 0..1. Transparent pixels are laid over `background`, unless the alpha channel is wanted. Of an
    animation the first picture is taken. Grey is ``0.299 R + 0.587 G + 0.114 B`` (ITU-R BT.601).

    Parameters
    ----------
    channels : int
        1 (grey), 3 (RGB, default) or 4 (RGB and alpha).
    background : sequence of int
        (red, green, blue) in 0..255 behind transparent pixels; default white.
    max_pixels : int
        Larger pictures are refused before they are decoded; default 89,478,485. Whatever this says, Pillow refuses
        more than twice ``PIL.Image.MAX_IMAGE_PIXELS``.
    """

    def __init__(self, channels=3, background=(255, 255, 255), max_pixels=MAX_PIXELS):
        self.channels = checks.choice("Decoder", "channels", channels, (1, 3, 4))
        self.max_pixels = checks.integer("Decoder", "max_pixels", max_pixels, 1)
        valid = isinstance(background, (tuple, list)) and len(background) == 3
        if not valid or not all(0 <= checks.integer("Decoder", "background", v) <= 255 for v in background):
            raise ValueError(f"Decoder: background must be (red, green, blue) in 0..255, got {background!r}")
        self.background = tuple(background)

    @property
    def settings(self):
        """What the pixels depend on beside the file: a tuple that can be hashed."""
        return self.channels, self.background

    def read(self, path, at_least=None):
        """Decode a file.

        Parameters
        ----------
        path : str or os.PathLike
        at_least : (int, int), optional
            (height, width) that suffice. A JPEG file is then decoded at 1/8, 1/4 or 1/2 of its size, to
            (height // 8, width // 8) or so, the smallest of them that is at least that large in both directions;
            where there is none, and in every other format, at its full size. Each pixel is the average of 8 x 8, 4 x 4
            or 2 x 2 pixels that the low frequencies of the JPEG's cosine transform give, so that nothing is aliased,
            and most of the decoding is never done. What is left over at the right and at the bottom, less than 8
            pixels, is cut off.

        Returns
        -------
        PIL.Image.Image
            Mode L, RGB or RGBA.

        Raises
        ------
        UnreadableImage
        """
        with _failures_of(path), _opened(path, self.max_pixels) as image:
            return self._decoded(image, at_least)

    def _decoded(self, image, at_least):
        orientation = _orientation(image)
        if at_least is not None:
            height, width = at_least if orientation < 5 else at_least[::-1]
            drafted = image.draft(None, (width, height))
            if drafted is not None:  # (mode, (0, 0, width / k, height / k))
                image = image.crop((0, 0, *(math.floor(side) for side in drafted[1][2:])))
        image.load()
        return upright(self._converted(image), orientation)

    def _converted(self, image):
        from PIL import Image

        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            image = _eight_bits(image)
        if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
            if image.mode in ("La", "RGBa"):
                image = image.convert(image.mode.upper())
            image = _in_mode(image, "RGBA")
            if self.channels == 4:
                return image
            image = Image.alpha_composite(Image.new("RGBA", image.size, (*self.background, 255)), image)
        if self.channels == 1 and image.mode not in ("1", "L"):
            image = _in_mode(image, "RGB")
        return _in_mode(image, _MODES[self.channels])


def identify(path, max_pixels=MAX_PIXELS):
    """What the beginning of a file says, whatever its name: the format as Pillow calls it, "JPEG", "PNG", ...

    Raises
    ------
    UnreadableImage
        If it is no image that Pillow can decode, or too large.
    """
    with _failures_of(path), _opened(path, max_pixels) as image:
        return image.format


def is_grey(path):
    """Whether a file holds grey values only, by its mode; a file that cannot be read holds no colour."""
    try:
        with _failures_of(path), _opened(path, math.inf) as image:
            return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
    except UnreadableImage:
        return True


def is_mislabelled(path, image_format):
    """Whether a file's extension promises another format than the one it has; no extension promises nothing."""
    from PIL import Image

    suffix = os.path.splitext(path)[1].lower()
    promised = Image.registered_extensions().get(suffix)
    same = {"MPO": "JPEG", "DIB": "BMP"}
    return bool(suffix) and suffix != ".jfif" and same.get(promised, promised) != same.get(image_format, image_format)


def upright(image, orientation):
    """Turn a Pillow image as its EXIF orientation, 1 to 8, asks for."""
    from PIL import Image

    turns = Image.Transpose
    turn = (
        None,
        None,
        turns.FLIP_LEFT_RIGHT,
        turns.ROTATE_180,
        turns.FLIP_TOP_BOTTOM,
        turns.TRANSPOSE,
        turns.ROTATE_270,
        turns.TRANSVERSE,
        turns.ROTATE_90,
    )[orientation]
    return image if turn is None else image.transpose(turn)


class _Refused(Exception):
    """Its text is the reason of an UnreadableImage."""


@contextlib.contextmanager
def _failures_of(path):
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever the damage leads them to
        raise UnreadableImage(path, _reason(error)) from error


@contextlib.contextmanager
def _opened(path, max_pixels):
    """Open an image without decoding it."""
    from PIL import Image

    if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe would wait for ever
        raise _Refused("is not a file")
    with open(path, "rb", buffering=_READ_BYTES) as file, Image.open(file) as image:
        if image.width * image.height > max_pixels:
            raise _Refused(
                f"has {image.width} x {image.height} pixels, more than max_pixels={max_pixels}; make it "
                "smaller, or raise max_pixels if it is to be trusted"
            )
        if image.format in _NOT_DECODED:
            raise _Refused(f"is of the format {image.format}, whose pixels Pillow does not decode itself")
        yield image


def _orientation(image):
    """The EXIF orientation that is still to be applied, 1 for none."""
    if image.format == "TIFF":  # Pillow turns these itself when it loads them
        return 1
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged metadata, whatever Pillow makes of it, does not make the picture unreadable
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _in_mode(image, mode):
    """An image in a mode; itself if it has that mode."""
    if image.mode == mode:
        return image
    try:
        return image.convert(mode)
    except ValueError as error:
        raise _Refused(f"has the mode {image.mode}: {error}") from error


def _eight_bits(image):
    """Grey of more than eight bits (modes I;16, I, F) as mode L."""
    from PIL import Image

    values = np.asarray(image)
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if image.mode == "F":
        if not (low >= 0 and high <= 1):
            raise _Refused(
                f"has floats from {low:g} to {high:g}, only 0 to 1 are understood; give such data as an "
                "array to ArrayDataset"
            )
        return Image.fromarray(np.rint(values * np.float32(255)).astype(np.uint8))
    bits = (getattr(image, "tag_v2", {}).get(_TIFF_BITS_PER_SAMPLE) or (16,))[0]
    top = 4095 if bits == 12 else 65535
    if low < 0 or high > top:
        raise _Refused(
            f"has integers from {low} to {high}, only 0 to {top} are understood; give such data as an "
            "array to ArrayDataset"
        )
    return Image.fromarray(((values.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8))


def _reason(error):
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, _Refused):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "is no image that Pillow can read, or its header is damaged"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"is too large: {error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"is damaged: {str(error) or type(error).__name__}"
