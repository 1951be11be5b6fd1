#!/usr/bin/env python3
"""Write examples/digits/: the first test image of each class of the shipped digits, as image files."""

import pathlib

import numpy as np
from PIL import Image

from cnncore.cli import data

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "examples" / "digits"


def main():
    digits = data.load("digits")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for label, name in enumerate(digits.classes):
        image = digits.x_test[np.argmax(digits.y_test == label)]
        Image.fromarray(image[..., 0]).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
