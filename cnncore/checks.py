"""Checks of arguments, each raising one sentence: ``<owner>: <argument> must <rule>, got <value>``."""

import math
import numbers


def is_integer(value):
    """Is `value` an integer, Python's or NumPy's, but not a bool?"""
    return type(value) is int or (isinstance(value, numbers.Integral) and not isinstance(value, bool))


def _is_real(value):
    return type(value) is float or (isinstance(value, numbers.Real) and not isinstance(value, bool))


def number(owner, name, value, rule="be a finite number", accept=math.isfinite):
    """Return `value` as a float, or raise ValueError if it is not a real number for which `accept` holds."""
    if not _is_real(value) or not accept(value):
        raise ValueError(f"{owner}: {name} must {rule}, got {value!r}")
    return float(value)


def positive(owner, name, value):
    """Return `value` as a float; it must be finite and greater than 0."""
    return number(owner, name, value, "be a finite number > 0", lambda v: math.isfinite(v) and v > 0)


def non_negative(owner, name, value):
    """Return `value` as a float; it must be finite and not below 0."""
    return number(owner, name, value, "be a finite number >= 0", lambda v: math.isfinite(v) and v >= 0)


def integer(owner, name, value, minimum=0):
    """Return `value` as an int; it must be an integer (a NumPy integer too) of at least `minimum`."""
    if not is_integer(value) or value < minimum:
        raise ValueError(f"{owner}: {name} must be an integer >= {minimum}, got {value!r}")
    return int(value)


def boolean(owner, name, value):
    """Return `value`, which must be True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{owner}: {name} must be True or False, got {value!r}")
    return value


def choice(owner, name, value, valid):
    """Return `value`, which must be one of `valid`; the error names them and the nearest."""
    if not any(type(value) is type(v) and value == v for v in valid):
        listing = ", ".join(repr(v) for v in valid)
        raise ValueError(f"{owner}: {name} must be one of {listing}, got {value!r}{suggestion(value, valid)}")
    return value


def suggestion(value, valid):
    """Return `` (did you mean ...?)`` for a name near to one of `valid`, else an empty string."""
    if not isinstance(value, str):
        return ""
    import difflib  # here, because only what is wrong needs it

    near = difflib.get_close_matches(value, [v for v in valid if isinstance(v, str)], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
