"""One call that seeds every generator a training script may draw from."""

import random as python_random

import numpy as np

from .. import random as engine_random


def set_random_seed(seed):
    """Seed Python's `random`, NumPy's global generator and cnncore's own.

    With it as its first line a training script draws the same numbers in every run: initial weights, shuffling,
    dropout, augmentation.

    Parameters
    ----------
    seed : int
        0 <= seed < 2**32, the range of NumPy's global generator.

    Raises
    ------
    ValueError
        If `seed` is not an integer in that range; no generator is changed then.

    Examples
    --------
    >>> from cnncore import utils
    >>> utils.set_random_seed(7)
    """
    seed = engine_random.checked_seed(seed, 32)
    python_random.seed(seed)
    np.random.seed(seed)
    engine_random.set_seed(seed)
