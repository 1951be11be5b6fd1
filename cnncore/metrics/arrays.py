"""Targets, predictions and weights as arrays that fit together, and the refusal of those that do not."""

import numpy as np

# Probabilities are kept this far from 0 and 1 before their logarithm is taken; also what Keras adds to denominators.
EPSILON = 1e-7


def finite_weights(name, sample_weight):
    """Return the weights in float64, or raise ValueError where one is NaN or infinite."""
    weights = np.asarray(sample_weight, dtype=np.float64)
    if not np.all(np.isfinite(weights)):
        raise ValueError(f'metric "{name}": sample_weight must be finite, got {first_bad(weights)}')
    return weights


def spread_weights(name, weights, shape):
    """Return the weights, which have the leading axes of `shape`, repeated over its further axes."""
    try:
        return np.broadcast_to(weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim)), shape)
    except ValueError:
        raise ValueError(
            f'metric "{name}": sample_weight must have one weight for each sample of an array of shape '
            f"{shape}, got the shape {weights.shape}"
        ) from None


def first_bad(array):
    """Return the first NaN or infinity and where it is, for messages."""
    bad = np.argwhere(~np.isfinite(array))[0]
    return f"{array[tuple(bad)]} at index {tuple(int(i) for i in bad)}"


def divide_or_zero(numerator, denominator):
    """Return the quotient in float64, 0 where the denominator is 0 (but NaN where either is NaN)."""
    if isinstance(numerator, float) and isinstance(denominator, float):  # every step asks for a mean
        return numerator / denominator if denominator else numerator if numerator != numerator else 0.0
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    quotient = np.where(np.isnan(numerator), np.nan, 0.0)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def same_rank(a, b):
    """Drop or add a last axis of length 1 so that ``(n,)`` and ``(n, 1)`` agree."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b[..., None]) if b.ndim == 1 else (a[..., 0], b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (a[..., None], b) if a.ndim == 1 else (a, b[..., 0])
    return a, b


def same_shape(name, y_true, y_pred):
    """Return targets and predictions as arrays of one shape, or raise ValueError."""
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    a, b = same_rank(y_true, y_pred)
    if a.shape != b.shape:
        raise ValueError(f"{name}: y_true must have the shape of y_pred, got {y_true.shape} and {y_pred.shape}")
    if a.dtype.kind == "f" and np.isnan(a).any():
        raise ValueError(f"{name}: y_true must not contain NaN, got {first_bad(a)}")
    return a, b


def class_numbers(name, y_true, y_pred):
    """Return class numbers as integers of shape ``y_pred.shape[:-1]``, and the predictions."""
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_pred.ndim == 0:
        raise ValueError(f"{name}: y_pred must have a last axis of classes, got a scalar")
    labels = y_true[..., 0] if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1 else y_true
    if labels.shape != y_pred.shape[:-1]:
        hint = "; one-hot targets belong to the metric without 'sparse'" if labels.shape == y_pred.shape else ""
        raise ValueError(
            f"{name}: y_true must hold one class number for each prediction, shape {y_pred.shape[:-1]}, "
            f"got {y_true.shape}{hint}"
        )
    if labels.dtype.kind not in "iub":
        whole = labels.astype(np.int64) if labels.dtype.kind == "f" and np.isfinite(labels).all() else None
        if whole is None or (whole != labels).any():
            raise ValueError(
                f"{name}: y_true must hold whole class numbers, got values of type {labels.dtype} that are not whole"
            )
        labels = whole
    return labels, y_pred


def nan_where_predicted(y_pred, matches):
    """Return matches as float64 with NaN where the predictions of the sample contain NaN."""
    matches = matches.astype(np.float64)
    if y_pred.dtype.kind == "f":
        nan = np.isnan(y_pred)
        if nan.any():
            matches[np.any(nan, axis=-1) if nan.ndim > matches.ndim else nan] = np.nan
    return matches
