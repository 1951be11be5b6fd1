"""Augmentation: random changes of images that leave their labels true.

    from cnncore import augment

    pipeline = augment.Compose([
        augment.RandomResizedCrop(224),
        augment.Rotation(15, fill_mode="reflect"),
        augment.HorizontalFlip(),
        augment.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4),
    ])
    image = pipeline(image)                                      # a Pillow image or an array: the same kind comes back
    image = pipeline(image, seed=1, epoch=3, index=42)           # repeatable: the same bytes in any order
    batch = pipeline(batch, seed=1, epoch=3, indices=numbers)    # an array (count, height, width, channels)
    moved = pipeline(image, mask=mask, boxes=boxes, keypoints=points)
    stored = augment.serialize(pipeline)                         # plain data; augment.deserialize(stored)

    recipe = augment.BatchAugment(flip=0.5, shift=4, cutout=16)  # small images in memory, in one pass of the engine

Parameters are ranges, (smallest, largest), drawn uniformly; what a single number stands for is said at each class.
`p` is the probability with which a transform is done at all.
"""

from ..registry import Registry
from . import draws
from .base import Augmented, Sample, Transform
from .batch import BatchAugment
from .color import (
    AutoContrast,
    Brightness,
    ColorJitter,
    Contrast,
    Equalize,
    Gamma,
    GaussianBlur,
    Grayscale,
    Hue,
    JpegQuality,
    Posterize,
    Saturation,
    Sharpness,
    Solarize,
)
from .compose import Compose, Identity, LabelWarning, OneOf, RandomApply, check
from .elastic import ElasticDeformation
from .erase import Cutout, RandomErasing
from .geometry import (
    CenterCrop,
    HorizontalFlip,
    Pad,
    Perspective,
    RandomCrop,
    RandomResizedCrop,
    Resize,
    Rotation,
    Scale,
    Shear,
    Stretch,
    Translation,
    Transpose,
    VerticalFlip,
)
from .lens import LensDistortion
from .mix import CutMix, MixUp, cutmix, mixup
from .noise import GaussianNoise, SaltAndPepperNoise, SpeckleNoise
from .policies import RandAugment, TrivialAugment

_TRANSFORMS = (
    AutoContrast,
    Brightness,
    CenterCrop,
    ColorJitter,
    Compose,
    Contrast,
    Cutout,
    ElasticDeformation,
    Equalize,
    Gamma,
    GaussianBlur,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    Hue,
    Identity,
    JpegQuality,
    LensDistortion,
    OneOf,
    Pad,
    Perspective,
    Posterize,
    RandAugment,
    RandomApply,
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
    Resize,
    Rotation,
    SaltAndPepperNoise,
    Saturation,
    Scale,
    Sharpness,
    Shear,
    Solarize,
    SpeckleNoise,
    Stretch,
    Translation,
    Transpose,
    TrivialAugment,
    VerticalFlip,
)
_REGISTRY = Registry("augmentation", (*_TRANSFORMS, BatchAugment, CutMix, MixUp))

__all__ = sorted(
    [cls.__name__ for cls in _TRANSFORMS]
    + [
        "Augmented",
        "BatchAugment",
        "CutMix",
        "LabelWarning",
        "MixUp",
        "Sample",
        "Transform",
        "check",
        "cutmix",
        "deserialize",
        "get",
        "mixup",
        "serialize",
    ]
)


def serialize(transform):
    """Return ``{"class_name": ..., "config": ...}`` for a transform, which JSON can hold."""
    return _REGISTRY.serialize(transform)


def deserialize(config, custom_objects=None):
    """Return the transform that `config` describes.

    Parameters
    ----------
    config : dict
        What `serialize` returned.
    custom_objects : dict, optional
        The caller's own classes by name.
    """
    arguments = config.get("config") if isinstance(config, dict) else None
    if isinstance(arguments, dict):  # what is held first, for it may be of the caller's classes
        opened = dict(arguments)
        if isinstance(opened.get("transforms"), list):
            opened["transforms"] = [get(child, custom_objects) for child in opened["transforms"]]
        if isinstance(opened.get("transform"), (dict, str)):
            opened["transform"] = get(opened["transform"], custom_objects)
        config = {**config, "config": opened}
    return _REGISTRY.deserialize(config, custom_objects)


def get(identifier, custom_objects=None):
    """Return the transform for an identifier: a name, a configuration, or a transform (as it is). The caller's own
    classes are found by their names in `custom_objects`.
    """
    if isinstance(identifier, str):
        identifier = {"class_name": identifier, "config": {}}
    transform = deserialize(identifier, custom_objects) if isinstance(identifier, dict) else identifier
    if not isinstance(transform, Transform):
        raise ValueError(f"augmentation: a transform must be a Transform, its name or its config, got {identifier!r}")
    return transform
