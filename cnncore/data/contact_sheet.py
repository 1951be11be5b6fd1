"""Pictures of many small pictures, to look at what the model will see."""

import math

import numpy as np

from .. import checks
from .dataset import as_array, checked_dataset, checked_size
from .resize import resized

_GAP, _CAPTION = 4, 14  # pixels between tiles, and for the line below each
_PAPER, _INK = (255, 255, 255), (0, 0, 0)


def contact_sheet(images, labels=None, class_names=None, captions=None, columns=None, tile=128):
    """Lay images out in rows, each with a caption below.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels), or sequence of images
        uint8, or floats: in 0..1 or 0..255 as they are, and otherwise stretched to the range of the image. With 1, 3 or
        4 channels; alpha is laid over white. Images may have different sizes.
    labels : array_like, optional
        Class numbers, or rows of shares (one-hot or mixed), which become captions.
    class_names : list of str, optional
    captions : list of str, optional
        Instead of `labels`.
    columns : int, optional
        Default: as makes a square.
    tile : int
        Side in pixels of the square in which each image is fitted; default 128.

    Returns
    -------
    PIL.Image.Image
        RGB; ``sheet.save("sheet.png")``.
    """
    from PIL import Image, ImageDraw, ImageFont

    images = [_picture(image) for image in images]
    if not images:
        raise ValueError("contact_sheet: images must hold at least one image, got none")
    if captions is not None and labels is not None:
        raise ValueError("contact_sheet: captions must be left out with labels")
    if captions is None:
        captions = [""] * len(images) if labels is None else [_label(label, class_names) for label in labels]
    if len(captions) != len(images):
        raise ValueError(
            f"contact_sheet: there must be a caption or label for each of the {len(images)} images, got {len(captions)}"
        )
    tile = checks.integer("contact_sheet", "tile", tile, 8)
    columns = (
        math.ceil(math.sqrt(len(images))) if columns is None else checks.integer("contact_sheet", "columns", columns, 1)
    )
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    step_x, step_y = tile + _GAP, tile + _GAP + (_CAPTION if any(captions) else 0)
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for i, (image, caption) in enumerate(zip(images, captions)):
        left, top = _GAP + i % columns * step_x, _GAP + i // columns * step_y
        scale = tile / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = resized(image, (height, width), "stretch", "nearest" if scale > 2 else "bilinear")
        sheet.paste(image, (left + (tile - width) // 2, top + (tile - height) // 2))
        if caption:
            draw.text((left, top + tile + 1), _fitted(draw, font, caption, tile), _INK, font)
    return sheet


def augmentation_sheet(dataset, transform, count=6, variants=5, image_size=None, tile=128, seed=0):
    """Lay out images before and after augmentation: in each row one image as it is, then as it comes in some epochs.

    Parameters
    ----------
    dataset : Dataset
    transform : callable
        As for `Loader`.
    count : int
        Images, evenly spaced over the data set; default 6.
    variants : int
        Epochs 0 to variants - 1 are shown; default 5.
    image_size : int or (int, int), optional
        (height, width) to which images are brought before the transform, as by `Loader`.
    tile, seed : int

    Returns
    -------
    PIL.Image.Image
    """
    checked_dataset("augmentation_sheet", dataset)
    count = min(checks.integer("augmentation_sheet", "count", count, 1), len(dataset))
    variants = checks.integer("augmentation_sheet", "variants", variants, 1)
    size = None if image_size is None else checked_size("augmentation_sheet", "image_size", image_size)
    images, captions = [], []
    for index in np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist():
        image = dataset.image(index, size)
        image = image if size is None else resized(image, size)
        images += [image, *(transform(image, seed=seed, epoch=epoch, index=index) for epoch in range(variants))]
        label = "as it is" if dataset.labels is None else _label(dataset.labels[index], dataset.class_names)
        captions += [label, *(f"epoch {epoch}" for epoch in range(variants))]
    return contact_sheet(images, captions=captions, columns=1 + variants, tile=tile)


def _picture(image):
    """An RGB picture of an image."""
    from PIL import Image

    if isinstance(image, np.ndarray) or not hasattr(image, "convert"):
        array = as_array(image)
        if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
            raise ValueError(
                f"contact_sheet: an image must have the shape (height, width, 1, 3 or 4), got {array.shape}"
            )
        image = Image.fromarray(_bytes(array[..., 0] if array.shape[2] == 1 else array))
    if image.mode == "RGBA":
        return Image.alpha_composite(Image.new("RGBA", image.size, (*_PAPER, 255)), image).convert("RGB")
    return image.convert("RGB")


def _bytes(array):
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    array = np.nan_to_num(array.astype(np.float64))
    low, high = array.min(), array.max()
    if low >= 0 and high <= 1:
        array = array * 255
    elif not (low >= 0 and high <= 255):
        array = (array - low) * (255 / (high - low) if high > low else 0)
    return np.rint(array).astype(np.uint8)


def _label(label, class_names):
    """A class number, or a row of shares, in words."""
    label = np.asarray(label)
    name = lambda k: str(k) if class_names is None or not 0 <= k < len(class_names) else class_names[k]
    if label.size == 1:
        value = label.reshape(-1)[0]
        return name(int(value)) if value == int(value) else f"{value:.3g}"
    shares = label.reshape(-1)
    best = [k for k in np.argsort(-shares, kind="stable")[:2].tolist() if shares[k] > 0]
    return ", ".join(name(k) if shares[k] > 0.995 else f"{name(k)} {100 * shares[k]:.0f}%" for k in best)


def _fitted(draw, font, text, width):
    """Text that the font can draw, cut to a width in pixels."""
    try:
        draw.textlength(text, font)
    except UnicodeEncodeError:  # Pillow's built-in bitmap font
        text = text.encode("latin-1", "replace").decode("latin-1")
    while len(text) > 1 and draw.textlength(text, font) > width:
        text = text[:-1]
    return text
