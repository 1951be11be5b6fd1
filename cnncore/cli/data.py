"""The DATA argument: a known data set by name or folder, or a folder with one folder of images per class."""

import pathlib
from collections import namedtuple

import numpy as np

from . import images

HELP = (
    "digits (default; comes with the package); mnist, fashion-mnist, cifar10 or cifar100, whose files are looked for "
    "below the folder in the environment variable CNNCORE_DATA; the path of a folder with one of these; or the path of "
    "a folder of your own images, "
    "in one folder per class, if you like with train/ and val/ above them"
)

# Training and test images as uint8 (n, height, width, channels) with values 0..255, labels (n,), and the names of the
# classes. `kind` is the name of a known data set, or "folder".
Data = namedtuple("Data", "kind name x_train y_train x_test y_test classes")

_NUMERALS = [str(i) for i in range(10)]
_CLOTHES = ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
_OBJECTS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

# name -> (module of cnncore.datasets, names of the classes)
KNOWN = {
    "digits": ("digits", _NUMERALS),
    "fashion-mnist": ("fashion_mnist", _CLOTHES),
    "mnist": ("mnist", _NUMERALS),
    "cifar10": ("cifar10", _OBJECTS),
    "cifar100": ("cifar100", [str(i) for i in range(100)]),
}
TRAINING_FOLDERS, TEST_FOLDERS = ("train", "training"), ("val", "valid", "validation", "test")


def load(text, image_size=None, validation=None, seed=0):
    """Read what DATA names, to train and to test.

    Parameters
    ----------
    text : str
    image_size : (int, int), optional
        Height and width to which the images of a folder are brought; default 64, 64.
    validation : float, optional
        The fraction of each class that is kept for testing where a folder has no val/; default 0.2.
    seed : int
        Of that choice.
    """
    name, folder = find(text)
    if name is None:
        return _from_folder(folder, image_size or (64, 64), validation, seed)
    if validation is not None or image_size is not None:
        argument, reason = (
            ("validation", "its own test images") if validation is not None else ("image-size", "a size of its own")
        )
        raise ValueError(f"--{argument} must be left out for {name}, which has {reason}; it is for folders of images")
    return known(name, folder)


def load_test(text, input_shape, classes):
    """Read the test images that DATA names for a model with this input (height, width, channels) and these classes.

    Of a folder of images these are the ones in val/, or else all of them.

    Returns
    -------
    tuple
        (name, x, y)
    """
    name, folder = find(text)
    if name is not None:
        data = known(name, folder)
        if data.x_test.shape[1:] != input_shape:
            raise ValueError(
                f"{name} has images of shape {data.x_test.shape[1:]}, but the model takes {input_shape}; "
                "give it the data it was trained for"
            )
        if len(classes) != len(data.classes):
            raise ValueError(
                f"{name} has {len(data.classes)} classes, but the model has {len(classes)}; "
                "give it the data it was trained for"
            )
        return name, data.x_test, data.y_test
    test = part(folder, TEST_FOLDERS) or folder
    return (folder.name, *_arrays(test, _class_folders(test), classes, input_shape))


def find(text):
    """(name, folder or None) of a known data set, or (None, folder) for a folder of images."""
    name, folder = _plain(text), pathlib.Path(text).expanduser()
    if name in KNOWN:
        return name, None
    if not folder.is_dir():
        raise ValueError(f"DATA must be one of {', '.join(KNOWN)} or the path of a folder, got {text!r}")
    if _class_folders(part(folder, TRAINING_FOLDERS + TEST_FOLDERS) or folder):
        return None, folder
    return _recognise(folder), folder


def known(name, folder):
    """A known data set, from a folder or from where its files are looked for."""
    from .. import datasets

    module, names = KNOWN[name]
    (x_train, y_train), (x_test, y_test) = getattr(datasets, module).load_data(
        **({} if folder is None else {"path": folder})
    )
    if name == "digits":  # 0..16 -> 0..255, as in an image file
        x_train, x_test = (np.rint(x * (255 / 16)).astype(np.uint8) for x in (x_train, x_test))
    if x_train.ndim == 3:
        x_train, x_test = x_train[..., None], x_test[..., None]
    return Data(name, name, x_train, y_train.ravel(), x_test, y_test.ravel(), names)


def _plain(text):
    """Spellings of the known names: "Fashion_MNIST", "cifar-10"."""
    folded = text.lower().replace("_", "-")
    return {"cifar-10": "cifar10", "cifar-100": "cifar100", "fashionmnist": "fashion-mnist"}.get(folded, folded)


def _recognise(folder):
    """The known data set whose files are in a folder."""
    from .. import datasets
    from ..datasets._files import locate

    found = []
    for name, (module, _) in KNOWN.items():
        if name == "digits":
            continue
        try:
            _, paths = locate(getattr(datasets, module)._SOURCE, folder)
        except FileNotFoundError:
            continue
        found.append((name, paths[0].parent))
    if len({parent for _, parent in found}) > 1:
        raise ValueError(
            f'"{folder}": holds several data sets, {", ".join(name for name, _ in found)}; '
            f'give the folder of one of them, such as "{found[0][1]}"'
        )
    if not found:
        raise ValueError(
            f'"{folder}": must hold one folder of images per class ({", ".join(sorted(images.SUFFIXES))}), '
            f"or the files of {', '.join(n for n in KNOWN if n != 'digits')}"
        )
    # MNIST and Fashion-MNIST have the same file names; the folder's name tells them apart.
    names = [name for name, _ in found]
    return "fashion-mnist" if "fashion" in str(found[0][1].name).lower() and "fashion-mnist" in names else names[-1]


def part(folder, names):
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _class_folders(folder):
    """name -> image files, of the folders in a folder that hold images."""
    found = {}
    for child in sorted(folder.iterdir()):
        if child.is_dir() and not child.name.startswith("."):
            paths = images.files(child)
            if paths:
                found[child.name] = paths
    return found


def _from_folder(folder, image_size, validation, seed):
    training, test = part(folder, TRAINING_FOLDERS) or folder, part(folder, TEST_FOLDERS)
    train_files = _class_folders(training)
    if len(train_files) < 2:
        raise ValueError(
            f'"{training}": must hold at least two folders with images, one per class, got {len(train_files)}'
        )
    if test is not None and validation is not None:
        raise ValueError(f'--validation must be left out where there are test images, got {validation} and "{test}"')
    if test is not None:
        test_files = _class_folders(test)
    else:
        train_files, test_files = _split(training, train_files, 0.2 if validation is None else validation, seed)
    everything = [path for part in (train_files, test_files) for paths in part.values() for path in paths]
    shape = (*image_size, 1 if all(map(images.is_grey, everything)) else 3)
    names = list(train_files)
    return Data(
        "folder",
        folder.name,
        *_arrays(training, train_files, names, shape),
        *_arrays(test, test_files, names, shape),
        names,
    )


def _split(folder, files, fraction, seed):
    """Each class divided at random: (training files, test files)."""
    if not 0 < fraction < 1:
        raise ValueError(f"--validation must be between 0 and 1, got {fraction}")
    generator = np.random.default_rng(seed)
    train, test = {}, {}
    for name, paths in files.items():
        if len(paths) < 2:
            raise ValueError(
                f'"{folder / name}": must hold at least two images, one to train with and one to test with, '
                f"got {len(paths)}"
            )
        count = min(max(1, round(fraction * len(paths))), len(paths) - 1)
        order = generator.permutation(len(paths))
        test[name], train[name] = ([paths[i] for i in sorted(part)] for part in (order[:count], order[count:]))
    return train, test


def _arrays(folder, files, classes, shape):
    """Images and class numbers; the names of the folders must be among the classes."""
    for name in files:
        if name not in classes:
            raise ValueError(f'"{folder / name}": must be named after one of the classes, {", ".join(classes)}')
    labelled = [(path, classes.index(name)) for name, paths in files.items() for path in paths]
    if not labelled:
        raise ValueError(f'"{folder}": must hold folders with images, one per class, and has none')
    return images.load_all([path for path, _ in labelled], *shape), np.array([label for _, label in labelled], np.int64)
