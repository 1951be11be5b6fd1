"""The DATA argument: a known data set by name or folder, or a folder with one folder of images per class."""

import pathlib
from collections import namedtuple

import numpy as np

HELP = (
    "digits (default; comes with the package); mnist, fashion-mnist, cifar10 or cifar100, whose files are looked for "
    "below the folder in the environment variable CNNCORE_DATA; the path of a folder with one of these; or the path of "
    "a folder of your own images, "
    "in one folder per class, if you like with train/ and val/ above them"
)

# Training and test images as cnncore.data.Dataset, with class numbers as labels, and the names of the classes. `kind`
# is the name of a known data set, whose images are arrays, or "folder".
Data = namedtuple("Data", "kind name train test classes")

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


def load(text, validation=None, seed=0):
    """What DATA names, to train and to test; the images of a folder are not read yet.

    Parameters
    ----------
    text : str
    validation : float, optional
        The fraction of each class that is kept for testing where a folder has no val/; default 0.2.
    seed : int
        Of that choice.

    Returns
    -------
    Data
    """
    name, folder = find(text)
    if name is None:
        return _folder(folder, validation, seed)
    if validation is not None:
        raise ValueError(
            f"--validation must be left out for {name}, which has its own test images; it is for folders of images"
        )
    return known(name, folder)


def load_test(text, input_shape, classes):
    """The test images that DATA names for a model with this input (height, width, channels) and these classes.

    Of a folder of images these are the ones in val/, or else all of them.

    Returns
    -------
    tuple
        (name, Dataset)
    """
    from .. import data

    name, folder = find(text)
    if name is None:
        test = part(folder, TEST_FOLDERS) or folder
        return folder.name, data.ImageFolder(test, class_names=classes, channels=input_shape[2])
    read = known(name, folder)
    shape = read.test.x.shape[1:]
    if shape != input_shape:
        raise ValueError(
            f"{name} has images of shape {shape}, but the model takes {input_shape}; give it the data it "
            "was trained for"
        )
    if len(classes) != len(read.classes):
        raise ValueError(
            f"{name} has {len(read.classes)} classes, but the model has {len(classes)}; give it the data "
            "it was trained for"
        )
    return name, read.test


def find(text):
    """(name, folder or None) of a known data set, or (None, folder) for a folder of images."""
    name, folder = _plain(text), pathlib.Path(text).expanduser()
    if name in KNOWN:
        return name, None
    if not folder.is_dir():
        raise ValueError(f"DATA must be one of {', '.join(KNOWN)} or the path of a folder, got {text!r}")
    return _recognised(folder), folder


def known(name, folder):
    """A known data set, from a folder or from where its files are looked for."""
    from .. import data, datasets

    module, names = KNOWN[name]
    parts = getattr(datasets, module).load_data(**({} if folder is None else {"path": folder}))
    if name == "digits":  # 0..16 -> 0..255, as in an image file
        parts = [(np.rint(x * (255 / 16)).astype(np.uint8), y) for x, y in parts]
    return Data(name, name, *(data.ArrayDataset(x, y.ravel(), names) for x, y in parts), names)


def part(folder, names):
    """The first folder in a folder with one of these names, or None."""
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _plain(text):
    """Spellings of the known names: "Fashion_MNIST", "cifar-10"."""
    folded = text.lower().replace("_", "-")
    return {"cifar-10": "cifar10", "cifar-100": "cifar100", "fashionmnist": "fashion-mnist"}.get(folded, folded)


def _recognised(folder):
    """The known data set whose files are in a folder, or None."""
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
        return None
    # MNIST and Fashion-MNIST have the same file names; the folder's name tells them apart.
    names = [name for name, _ in found]
    return "fashion-mnist" if "fashion" in str(found[0][1].name).lower() and "fashion-mnist" in names else names[-1]


def _folder(folder, validation, seed):
    from .. import data
    from ..data.decode import is_grey

    training, held_out = part(folder, TRAINING_FOLDERS) or folder, part(folder, TEST_FOLDERS)
    train = data.ImageFolder(training)
    names = train.class_names
    if len(names) < 2:
        raise ValueError(f'"{training}": must hold at least two folders with images, one per class, got {len(names)}')
    sets = [train]
    if held_out is not None:
        if validation is not None:
            raise ValueError(
                f'--validation must be left out where there are test images, got {validation} and "{held_out}"'
            )
        test = data.ImageFolder(held_out, class_names=names)
        sets.append(test)
    if all(is_grey(path) for files in sets for path in files.paths):
        for files in sets:
            files.decoder = data.Decoder(channels=1)
    if held_out is None:
        train, test = _divided(train, 0.2 if validation is None else validation, seed)
    return Data("folder", folder.name, train, test, names)


def _divided(dataset, fraction, seed):
    """(training, test): each class divided at random, with an image of it in both."""
    from .. import data

    if not 0 < fraction < 1:
        raise ValueError(f"--validation must be between 0 and 1, got {fraction}")
    for name, count in data.class_counts(dataset).items():
        if count < 2:
            raise ValueError(
                f'class "{name}" must have at least two images, one to train with and one to test with, got {count}'
            )
    return data.split(dataset, (1 - fraction, fraction), seed=seed)
