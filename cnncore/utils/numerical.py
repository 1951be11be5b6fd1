"""Plain array helpers: one-hot targets and unit norm."""

import numpy as np

from .. import checks


def to_categorical(x, num_classes=None):
    """Turn integer class labels into one-hot rows.

    ``result[..., k] = 1 if x[...] == k else 0``, for the loss ``categorical_crossentropy``;
    ``sparse_categorical_crossentropy`` takes the labels as they are.

    Parameters
    ----------
    x : array_like
        Labels in 0 .. num_classes - 1, of any shape; a last axis of length 1 is dropped. Floats must be whole
        numbers.
    num_classes : int, optional
        Length of the new last axis. Default: ``max(x) + 1``.

    Returns
    -------
    numpy.ndarray
        float64, shape ``x.shape + (num_classes,)``.

    Raises
    ------
    ValueError
        If `x` holds something other than numbers, a label is negative, not whole or not below `num_classes`,
        `num_classes` is not a positive integer, or `x` is empty and `num_classes` is missing.

    Examples
    --------
    >>> from cnncore import utils
    >>> utils.to_categorical([0, 2], num_classes=3)
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    x = np.asarray(x)
    if x.size and x.dtype.kind not in "biuf":
        raise ValueError(f"to_categorical: x must hold integer labels, got dtype {x.dtype}; number the classes first")
    labels = _whole(x)
    if num_classes is None:
        if labels.size == 0:
            raise ValueError("to_categorical: x must not be empty without num_classes, got no label; pass num_classes")
        num_classes = int(labels.max()) + 1
    else:
        num_classes = checks.integer("to_categorical", "num_classes", num_classes, minimum=1)
        if labels.size and labels.max() >= num_classes:
            raise ValueError(
                f"to_categorical: x must be below num_classes={num_classes}, got a label {labels.max()}; "
                f"pass num_classes={labels.max() + 1} or more, or number the classes from 0"
            )
    shape = labels.shape[:-1] if labels.ndim > 1 and labels.shape[-1] == 1 else labels.shape
    one_hot = np.zeros((labels.size, num_classes))
    one_hot[np.arange(labels.size), labels.reshape(-1)] = 1
    return one_hot.reshape(shape + (num_classes,))


def normalize(x, axis=-1, order=2):
    """Scale an array so that its vectors along an axis have norm 1.

    ``x / norm(x, order, axis)``; a vector of norm 0 stays as it is.

    Parameters
    ----------
    x : array_like
        Any shape with at least one dimension.
    axis : int, or tuple of two ints, or None
        Axis along which the norm is taken; two axes, or None for a matrix, give matrix norms as
        `numpy.linalg.norm` defines them.
    order : int, float or str
        Order of the norm as in `numpy.linalg.norm`: 1, 2, ``numpy.inf``, ... Default 2, the Euclidean norm.

    Returns
    -------
    numpy.ndarray
        Same shape as `x`; float32 stays float32, integers become float64.

    Raises
    ------
    ValueError
        If `axis` is not an axis of `x`, or `order` is not a norm for it.

    Examples
    --------
    >>> from cnncore import utils
    >>> utils.normalize([[3.0, 4.0]])
    array([[0.6, 0.8]])
    """
    x = np.asarray(x)
    norm = np.linalg.norm(x, order, axis, keepdims=True)
    return x / np.where(norm == 0, np.ones_like(norm), norm)


def _whole(x):
    """The labels as int64, or the error that says which one is not a label."""
    if x.size:
        values = x.astype(np.float64)
        bad = ~((values == np.floor(values)) & (np.abs(values) < 2**53))  # NaN and infinities are bad too
        if bad.any():
            value = x[bad].flat[0]
            raise ValueError(f"to_categorical: x must hold whole numbers below 2**53, got {value}; pass integer labels")
        if x.min() < 0:
            raise ValueError(f"to_categorical: x must not be negative, got {x.min()}; number the classes from 0")
    return x.astype(np.int64)
