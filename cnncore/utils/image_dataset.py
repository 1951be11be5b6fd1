"""``keras.utils.image_dataset_from_directory``: a folder of photos to train from in one line."""

import os

import numpy as np

from .. import checks, random
from .numerical import to_categorical

_COLOR_MODES = {"grayscale": 1, "rgb": 3, "rgba": 4}
_INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "area", "lanczos3")
_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def image_dataset_from_directory(
    directory,
    labels="inferred",
    label_mode="int",
    class_names=None,
    color_mode="rgb",
    batch_size=32,
    image_size=(256, 256),
    shuffle=True,
    seed=None,
    validation_split=None,
    subset=None,
    interpolation="bilinear",
    follow_links=False,
    crop_to_aspect_ratio=False,
    pad_to_aspect_ratio=False,
    data_format=None,
    verbose=True,
):
    """Make batches of the images in a folder that holds one folder for each class.

    With the same `seed` the same files go to training and to validation as with Keras. The images are resized by
    Pillow's filters, which do not alias when they shrink; Keras' do, so that pixels differ.

    Parameters
    ----------
    directory : str or os.PathLike
        Searched to any depth for .bmp, .gif, .jpeg, .jpg and .png files.
    labels : "inferred", None, list or tuple of int
        From the folders' names (default); none; or one for each file, in alphabetical order of the folders and of the
        files in each.
    label_mode : str or None
        ``"int"`` (default): int32 (n,), for sparse_categorical_crossentropy. ``"categorical"``: one-hot float32
        (n, classes). ``"binary"``: float32 (n, 1) of 0 and 1, for two classes. None: images only.
    class_names : list of str, optional
        Names of folders to use, in the order of their numbers. Default: all, sorted.
    color_mode : str
        ``"rgb"`` (default), ``"grayscale"`` or ``"rgba"``.
    batch_size : int or None
        Default 32. None: single images.
    image_size : int or (int, int)
        (height, width), default (256, 256).
    shuffle : bool
        Another order in each epoch; default True. Otherwise in alphabetical order.
    seed : int, optional
        0 <= seed < 2**32, of the order and the split.
    validation_split : float, optional
        The fraction, between 0 and 1, to keep for validation; needs `subset`.
    subset : str, optional
        ``"training"``, ``"validation"`` or ``"both"``.
    interpolation : str
        ``"bilinear"`` (default), ``"nearest"``, ``"bicubic"``, ``"area"`` or ``"lanczos3"``.
    follow_links : bool
        Enter folders that are symbolic links; default False.
    crop_to_aspect_ratio, pad_to_aspect_ratio : bool
        Crop around the centre, or pad with black, rather than distort; default False.
    data_format : str, optional
        None or ``"channels_last"``.
    verbose : bool
        Print the number of files and classes; default True.

    Returns
    -------
    cnncore.data.Loader, or a pair of them for ``subset="both"``
        Gives float32 images (n, height, width, channels) with values 0..255, and labels. Has ``class_names`` and
        ``file_paths``.

    Raises
    ------
    ValueError
        For arguments that do not go together, or a folder without images.

    Examples
    --------
    >>> train, val = utils.image_dataset_from_directory("photos", image_size=(96, 96), validation_split=0.2,
    ...                                                 subset="both", seed=1)    # doctest: +SKIP
    >>> model.fit(train, validation_data=val, epochs=10)                          # doctest: +SKIP
    """
    from .. import data

    owner = "image_dataset_from_directory"
    directory = os.fspath(directory)
    if labels is None or label_mode is None:
        labels = label_mode = None
    checks.choice(owner, "label_mode", label_mode, ("int", "categorical", "binary", None))
    channels = _COLOR_MODES[checks.choice(owner, "color_mode", color_mode, tuple(_COLOR_MODES))]
    interpolation = interpolation.lower() if isinstance(interpolation, str) else interpolation
    checks.choice(owner, "interpolation", interpolation, _INTERPOLATIONS)
    checks.choice(owner, "data_format", data_format, (None, "channels_last"))
    for name, value in (
        ("shuffle", shuffle),
        ("follow_links", follow_links),
        ("verbose", bool(verbose)),
        ("crop_to_aspect_ratio", crop_to_aspect_ratio),
        ("pad_to_aspect_ratio", pad_to_aspect_ratio),
    ):
        checks.boolean(owner, name, value)
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError(f"{owner}: crop_to_aspect_ratio and pad_to_aspect_ratio must not both be True")
    resize = "crop" if crop_to_aspect_ratio else "pad" if pad_to_aspect_ratio else "stretch"
    _check_split(owner, validation_split, subset, shuffle, seed)
    seed = random.next_seed() % 2**32 if seed is None else random.checked_seed(seed, 32)

    paths, labels, class_names = _index(owner, directory, labels, class_names, follow_links)
    if verbose:
        print(f"Found {len(paths)} files" + ("." if labels is None else f" belonging to {len(class_names)} classes."))
    if shuffle:  # as Keras does, so that a seed chooses the same files for validation
        order = np.arange(len(paths))
        np.random.RandomState(seed).shuffle(order)
        paths, labels = [paths[i] for i in order], None if labels is None else labels[order]
    if label_mode == "binary" and len(class_names) != 2:
        raise ValueError(f'{owner}: label_mode="binary" must be used with two classes, got {len(class_names)}')
    if label_mode == "categorical":
        labels = to_categorical(labels, len(class_names)).astype(np.float32)
    elif label_mode == "binary":
        labels = labels.astype(np.float32)[:, None]

    def loader(part, what):
        if what and verbose:
            print(f"Using {len(paths[part])} files for {what}.")
        files = data.ImageFiles(paths[part], None if labels is None else labels[part], class_names, channels)
        return data.Loader(
            files,
            batch_size,
            shuffle,
            seed=seed,
            image_size=image_size,
            resize=resize,
            interpolation=interpolation,
            dtype="float32",
        )

    held_out = int(validation_split * len(paths)) if validation_split else 0
    if validation_split and not 0 < held_out < len(paths):
        raise ValueError(f"{owner}: validation_split={validation_split} of {len(paths)} files leaves one part empty")
    training, validation = slice(0, len(paths) - held_out), slice(len(paths) - held_out, None)
    if subset == "both":
        return loader(training, "training"), loader(validation, "validation")
    return loader(validation if subset == "validation" else training, subset)


def _check_split(owner, validation_split, subset, shuffle, seed):
    checks.choice(owner, "subset", subset, ("training", "validation", "both", None))
    if (validation_split is None) != (subset is None):
        raise ValueError(
            f"{owner}: validation_split and subset must be given together, got {validation_split!r} and {subset!r}"
        )
    if validation_split is None:
        return
    checks.number(owner, "validation_split", validation_split, "be between 0 and 1", lambda v: 0 < v < 1)
    if subset != "both" and shuffle and seed is None:
        raise ValueError(
            f"{owner}: seed must be given with validation_split and shuffle, or the training and the "
            "validation images would overlap"
        )


def _index(owner, directory, labels, class_names, follow_links):
    """(paths, labels or None, names of the classes or None), in Keras' order."""
    if isinstance(labels, str) and labels == "inferred":
        from ..data.image_folder import subfolders

        present = subfolders(directory)
        missing = [name for name in class_names or () if name not in present]
        if missing:
            raise ValueError(
                f'{owner}: class_names must be folders of "{directory}", got '
                f"{', '.join(map(repr, missing))}; there are {', '.join(present) or 'none'}"
            )
        names = list(class_names or present)
        by_class = [_files(os.path.join(directory, name), follow_links) for name in names]
        paths = [path for found in by_class for path in found]
        labels = np.repeat(np.arange(len(names), dtype=np.int32), [len(found) for found in by_class])
    else:
        if class_names is not None:
            raise ValueError(f'{owner}: class_names must be left out unless labels="inferred", got {class_names!r}')
        paths, names = _files(directory, follow_links), None
        if labels is not None:
            if not isinstance(labels, (list, tuple)) or len(labels) != len(paths):
                got = f"{len(labels)}" if isinstance(labels, (list, tuple)) else repr(labels)
                raise ValueError(
                    f'{owner}: labels must be "inferred", None, or a list with one class number for each '
                    f"of the {len(paths)} files, got {got}"
                )
            labels = np.array([checks.integer(owner, "labels", label) for label in labels], np.int32)
            names = [str(label) for label in sorted(set(labels.tolist()))]
    if not paths:
        raise ValueError(
            f'{owner}: "{directory}" must hold {", ".join(_SUFFIXES)} files'
            + (", in one folder for each class" if names is not None else "")
            + ", got none"
        )
    return paths, labels, names


def _files(folder, follow_links):
    """The images below a folder, folders in the order of their paths, files in order of their names."""
    return [
        os.path.join(root, name)
        for root, _, files in sorted(os.walk(folder, followlinks=follow_links), key=lambda item: item[0])
        for name in sorted(files)
        if name.lower().endswith(_SUFFIXES)
    ]
