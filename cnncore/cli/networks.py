"""The --model argument: a network of cnncore.models by name, or a Python file."""

import pathlib
import runpy

from ..model import Input, Model

HELP = (
    "a name of cnncore.models.names(), or FILE.py: a Python file that defines build(input_shape, classes), which "
    "returns a Model; the network gets the pixels as --preprocess makes them and must end in probabilities (softmax)"
)


def is_file(name):
    return name.endswith(".py")


def builder(name):
    """The function (input_shape, classes) -> Model that --model names."""
    from .. import models

    if not is_file(name):
        if name not in models.names():
            raise ValueError(f"--model must be FILE.py or one of {', '.join(models.names())}, got {name!r}")
        return lambda input_shape, classes: models.build(name, input_shape=input_shape, classes=classes)
    if not pathlib.Path(name).is_file():
        raise ValueError(f'--model: there is no file "{name}"')
    build = runpy.run_path(name).get("build")
    if not callable(build):
        raise ValueError(f'--model: "{name}" must define a function build(input_shape, classes)')
    return build


def classifier(build, input_shape, class_names, preprocessing):
    """A new model from uint8 images to probabilities: fitted preprocessing, then what `build` makes."""
    inputs = Input(input_shape, dtype="uint8", name="pixels")
    prepared = preprocessing.layer("preprocessing")(inputs)
    network = build(prepared.shape[1:], len(class_names))
    if not isinstance(network, Model):
        raise ValueError(f"--model: build(input_shape, classes) must return a Model, got {type(network).__name__}")
    model = Model(inputs, network(prepared), name=f"{network.name}_classifier")
    if model.output_shape != (None, len(class_names)):
        raise ValueError(
            f"--model: the network must have one output of shape {(None, len(class_names))}, one score per class, "
            f"got {model.output_shape}"
        )
    model.class_names = class_names
    return model
