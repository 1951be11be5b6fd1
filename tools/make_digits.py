#!/usr/bin/env python3
"""Build cnncore/datasets/digits.npz from scikit-learn's copy of the UCI digits: make_digits.py [OUTPUT].

The result is the same file, byte for byte, for the same versions of NumPy and zlib, and the same arrays for
any. Needs scikit-learn.
"""

import pathlib
import sys

import numpy as np

TEST_IMAGES = 360
SPLIT_SEED = 1998
TEXTS = {
    "title": "Optical Recognition of Handwritten Digits, test set: 1,797 images of 8x8 pixels, values 0 to 16",
    "attribution": "E. Alpaydin and C. Kaynak (1998). Optical Recognition of Handwritten Digits. "
    "UCI Machine Learning Repository. https://doi.org/10.24432/C50P49",
    "license": "Creative Commons Attribution 4.0 International (CC BY 4.0), "
    "https://creativecommons.org/licenses/by/4.0/",
    "changes": "Pixel values and labels are unchanged; images are stored as uint8 of shape (8, 8, 1), "
    "reordered by one fixed permutation and divided into 1,437 training and 360 test images, "
    "each class in proportion to its frequency.",
}


def test_quotas(counts, total):
    """How many test images each class gives: in proportion to its frequency, rounded by largest remainder."""
    exact = total * counts  # in units of 1 / counts.sum(), so that no rounding enters
    quotas = exact // counts.sum()
    by_remainder = np.argsort(-(exact % counts.sum()), kind="stable")
    quotas[by_remainder[: total - quotas.sum()]] += 1
    return quotas


def build():
    """All arrays of the file, by name."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images.astype(np.uint8)[..., None]
    labels = digits.target.astype(np.uint8)
    assert (images[..., 0] == digits.images).all() and len(images) == 1797 and images.max() == 16

    order = np.random.RandomState(SPLIT_SEED).permutation(len(labels))  # RandomState: its stream is frozen for ever
    images, labels = images[order], labels[order]
    quotas = test_quotas(np.bincount(labels), TEST_IMAGES)
    is_test = np.zeros(len(labels), bool)
    for digit, quota in enumerate(quotas):
        is_test[np.flatnonzero(labels == digit)[:quota]] = True

    arrays = {name: np.array(text) for name, text in TEXTS.items()}
    arrays.update(x_train=images[~is_test], y_train=labels[~is_test], x_test=images[is_test], y_test=labels[is_test])
    return arrays


if __name__ == "__main__":
    default = pathlib.Path(__file__).resolve().parent.parent / "cnncore" / "datasets" / "digits.npz"
    output = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    np.savez_compressed(output, **build())
    print(f"{output}: {output.stat().st_size} bytes")
