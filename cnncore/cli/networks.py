"""The --model argument: a network of cnncore.models by name, or a Python file."""

import pathlib
import runpy

from ..layers import Rescaling
from ..model import Input, Model

HELP = (
    "a name of cnncore.models.names(), or FILE.py: a Python file that defines build(input_shape, classes), which "
    "returns a Model; the network "
    "gets pixels scaled to 0..1 and must end in probabilities (softmax)"
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


def classifier(build, input_shape, class_names):
    """A new model from uint8 images to probabilities: the scaling of the pixels, then what `build` makes."""
    network = build(input_shape, len(class_names))
    if not isinstance(network, Model):
        raise ValueError(f"--model: build(input_shape, classes) must return a Model, got {type(network).__name__}")
    inputs = Input(input_shape, dtype="uint8", name="pixels")
    model = Model(inputs, network(Rescaling(1 / 255, name="scale")(inputs)), name=f"{network.name}_classifier")
    if model.output_shape != (None, len(class_names)):
        raise ValueError(
            f"--model: the network must have one output of shape {(None, len(class_names))}, one score per class, "
            f"got {model.output_shape}"
        )
    model.class_names = class_names
    return model
