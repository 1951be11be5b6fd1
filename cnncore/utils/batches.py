"""The tuples ``x``, ``(x, y)`` and ``(x, y, sample_weight)`` in which data travels to `Model.fit`."""


def pack_x_y_sample_weight(x, y=None, sample_weight=None):
    """Pack what is given into the shortest form that `Model.fit` understands.

    Parameters
    ----------
    x : array or list or tuple or dict
        Inputs of the model.
    y : array or list or tuple or dict, optional
        Targets.
    sample_weight : array, optional
        One weight a sample. Needs `y`.

    Returns
    -------
    object
        ``x`` alone, wrapped as ``(x,)`` if it is itself a list or tuple; or ``(x, y)``; or ``(x, y, sample_weight)``.

    Raises
    ------
    ValueError
        If `sample_weight` is given without `y`: there would be nothing to weigh.
    """
    if y is None:
        if sample_weight is not None:
            raise ValueError("pack_x_y_sample_weight: sample_weight must come with targets, got y=None; pass y too")
        return (x,) if isinstance(x, (list, tuple)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data):
    """Unpack one batch of data into inputs, targets and weights.

    Parameters
    ----------
    data : object
        ``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``; a list counts as a tuple.

    Returns
    -------
    tuple
        ``(x, y, sample_weight)`` with None for what is missing.

    Raises
    ------
    ValueError
        If the tuple is empty or has more than three entries.
    """
    if not isinstance(data, (list, tuple)):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(
            "unpack_x_y_sample_weight: data must be x, (x,), (x, y) or (x, y, sample_weight), "
            f"got {len(data)} entries; wrap several inputs as one entry, ((x1, x2), y)"
        )
    return tuple(data) + (None,) * (3 - len(data))
