"""Arguments that several subcommands share."""

import argparse
import os
import pathlib
import re


def positive_integer(text):
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text!r}")
    return value


def natural_number(text):
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"must be an integer >= 0, got {text!r}")
    return int(text)


def positive_number(text):
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number > 0, got {text!r}")
    return value


def image_size(text):
    """ "96x128" or "96" -> (height, width)."""
    sizes = numbers(text)
    if len(sizes) not in (1, 2):
        raise argparse.ArgumentTypeError(f"must be HEIGHTxWIDTH in pixels, such as 64x96, got {text!r}")
    return sizes[0], sizes[-1]


def image_shape(text):
    """ "32x32x3" -> (height, width, channels)."""
    sizes = numbers(text)
    if len(sizes) != 3:
        raise argparse.ArgumentTypeError(f"must be HEIGHTxWIDTHxCHANNELS, such as 32x32x3, got {text!r}")
    return sizes


def cache(text):
    """ "512M" -> a MemoryCache, "disk:20G" -> a FileCache, "0" -> None."""
    from .. import data

    kind, _, size = text.rpartition(":")
    found = re.fullmatch(r"(\d+)([KMG]?)", size, re.ASCII | re.IGNORECASE)
    if kind not in ("", "disk", "memory") or not found:
        raise argparse.ArgumentTypeError(f"must be a number of bytes such as 512M, or disk:20G, got {text!r}")
    limit = int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2].upper()]
    return (data.FileCache if kind == "disk" else data.MemoryCache)(limit) if limit else None


def numbers(text):
    """ "2x3" -> (2, 3); an empty tuple for anything but positive integers with "x" between them."""
    parts = text.lower().split("x")
    return tuple(map(int, parts)) if all(p.isascii() and p.isdigit() and int(p) > 0 for p in parts) else ()


def load_classifier(path):
    """A saved model with one image input and one output of class scores; ValueError for another model.

    Returns
    -------
    tuple
        (model, names of its classes); their numbers where the file has no names.
    """
    from .. import load_model

    if not pathlib.Path(path).exists():
        raise ValueError(f'there is no model "{path}"; make one with cnncore train --output {path}')
    model = load_model(path)
    inputs, outputs = [t.shape for t in model.inputs], [t.shape for t in model.outputs]
    if (
        len(inputs) != 1
        or len(outputs) != 1
        or len(inputs[0]) != 4
        or len(outputs[0]) != 2
        or inputs[0][3] not in (1, 3)
    ):
        raise ValueError(
            f'"{path}": must be a model from one grey or RGB image to the scores of classes, but goes from '
            f"{', '.join(map(str, inputs))} to {', '.join(map(str, outputs))}"
        )
    return model, model.class_names or [str(i) for i in range(outputs[0][1])]


def check_output(path):
    """Refuse, before the work, a file that could not be written after it."""
    folder = pathlib.Path(path).absolute().parent
    if pathlib.Path(path).is_dir():
        raise ValueError(f'--output must be a file, and "{path}" is a folder')
    if not folder.is_dir():
        raise ValueError(f'--output: there is no folder "{folder}"; make it first')
    if not os.access(folder, os.W_OK):
        raise ValueError(f'--output: the folder "{folder}" cannot be written to')
