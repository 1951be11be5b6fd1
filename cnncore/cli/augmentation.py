"""The --augment argument: augmentations as they are written in Python, or from a file, without running any code."""

import json
import pathlib
import warnings

from . import specification

HELP = (
    "augmentations, one after the other, with their arguments as in Python: "
    '"HorizontalFlip, Rotation(15), ColorJitter(0.4, 0.4)"; or a .json file with what cnncore.augment.serialize gives'
)


def parse(text):
    """Return the transform that a text names: of several, a Compose.

    Raises
    ------
    ValueError
        For what is no list of augmentations, names that do not exist, and arguments that they refuse.
    """
    from .. import augment

    if text.endswith(".json"):
        return augment.deserialize(json.loads(pathlib.Path(text).read_text(encoding="utf-8")))
    public = {name: getattr(augment, name) for name in augment.__all__ if name != "Transform"}
    known = {
        name: value
        for name, value in public.items()
        if isinstance(value, type) and issubclass(value, augment.Transform)
    }
    transforms = specification.parse("--augment", text, known, "augmentation")
    return transforms[0] if len(transforms) == 1 else augment.Compose(transforms)


def label_warnings(transform, kind):
    """A sentence for each augmentation that changes the labels of a kind of data."""
    from .. import augment

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", augment.LabelWarning)  # they are printed instead
        return augment.check(transform, kind)
