"""The digits that come with the package: 1,797 handwritten digits of 8x8 pixels (Alpaydin and Kaynak, 1998)."""

import pathlib

import numpy as np

_PATH = pathlib.Path(__file__).with_name("digits.npz")


def load_data():
    """Load the handwritten digits that come with the package.

    There is no file to fetch, and a small network learns them in seconds.

    Returns
    -------
    tuple
        ``(x_train, y_train), (x_test, y_test)``, all uint8: images (1437, 8, 8, 1) and (360, 8, 8, 1) with
        values 0 .. 16 (the number of inked pixels in each 4x4 block of the scan), labels (1437,) and (360,) in
        0 .. 9. New arrays at every call.

    Notes
    -----
    The images are the test set of "Optical Recognition of Handwritten Digits", unchanged: E. Alpaydin and C.
    Kaynak, UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49, licensed CC BY 4.0
    (https://creativecommons.org/licenses/by/4.0/).

    The split is ours and fixed: one permutation of all images (``numpy.random.RandomState(1998)``), of which
    the first images of each class, in proportion to its frequency, are the test set. Both parts hold digits of
    the same 13 writers, so test accuracy says nothing about writers never seen.
    """
    with np.load(_PATH, allow_pickle=False) as file:
        return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
