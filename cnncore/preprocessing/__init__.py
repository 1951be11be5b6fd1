"""Preparing data: fitted on the training split, stored in the model's file, applied by fit, evaluate and predict.

======================================  ====================================================================
`Rescale`                               ``x scale + offset``
`Standardize`, `ZScore`, `MeanImage`    mean and deviation per channel, per feature; the mean image
`MinMax`                                the range of the data becomes 0..1
`PerImageCenter`,                       mean and deviation of each image
`PerImageStandardize`,
`GlobalContrastNormalization`
`Log`, `Arctan`                         functions of each value
`HounsfieldWindow`                      computed tomography
`PCA`, `PCAWhitening`, `ZCAWhitening`   principal components, with variance 1, as images again
`LDA`                                   the directions that tell classes apart
`Impute`                                mean, median or mode for what is missing
`Pipeline`                              several of them
======================================  ====================================================================

Fit on training data alone, then put it first into the model::

    scaler = preprocessing.Standardize().fit(x_train)
    model = cnncore.Sequential([cnncore.Input((32, 32, 3), dtype="uint8"), scaler.layer(), ...])

`prepend` does that for a model that exists already.
"""

from ..registry import Registry
from .base import Preprocessor
from .functions import Arctan, HounsfieldWindow, Log
from .imputation import Impute
from .per_image import GlobalContrastNormalization, PerImageCenter, PerImageStandardize
from .pipeline import Pipeline
from .projection import LDA, PCA, PCAWhitening, ZCAWhitening
from .scaling import MeanImage, MinMax, Rescale, Standardize, ZScore

_registry = Registry(
    "preprocessing",
    [
        Arctan,
        GlobalContrastNormalization,
        HounsfieldWindow,
        Impute,
        LDA,
        Log,
        MeanImage,
        MinMax,
        PCA,
        PCAWhitening,
        PerImageCenter,
        PerImageStandardize,
        Pipeline,
        Rescale,
        Standardize,
        ZCAWhitening,
        ZScore,
    ],
)

serialize = _registry.serialize


def deserialize(config, custom_objects=None):
    """The unfitted preprocessing that `serialize` described in `config`; `restore` puts the arrays back.

    The caller's own classes are found by their names in `custom_objects`.
    """
    return _registry.deserialize(config, custom_objects)


def prepend(model, preprocessor, input_shape=None, dtype="uint8"):
    """A model that takes raw data: the preprocessing, then `model`, whose weights it shares.

    Parameters
    ----------
    model : Model
        With one input, of the shape that the preprocessing gives.
    preprocessor : Preprocessor
        Fitted.
    input_shape : tuple of int, optional
        Of one raw sample; by default that of the data that it was fitted on, or else that of the model's input.
    dtype : "uint8" or "float32"
        Of the raw data.

    Returns
    -------
    Model
        Not compiled; with the class names of `model`.
    """
    from ..model import Input, Model

    model._require_built()
    if len(model.inputs) != 1:
        raise ValueError(f'prepend: model "{model.name}" must have one input, got {len(model.inputs)}')
    shape = input_shape if input_shape is not None else preprocessor.sample_shape or model.inputs[0].shape[1:]
    inputs = Input(tuple(shape), dtype=dtype)
    whole = Model(inputs, model(preprocessor.layer()(inputs)), name=f"raw_{model.name}")
    whole.class_names = model.class_names
    return whole


__all__ = [
    "Arctan",
    "GlobalContrastNormalization",
    "HounsfieldWindow",
    "Impute",
    "LDA",
    "Log",
    "MeanImage",
    "MinMax",
    "PCA",
    "PCAWhitening",
    "PerImageCenter",
    "PerImageStandardize",
    "Pipeline",
    "Preprocessor",
    "Rescale",
    "Standardize",
    "ZCAWhitening",
    "ZScore",
    "deserialize",
    "prepend",
    "serialize",
]
