"""A table (CSV) of image paths and labels."""

import csv
import math
import os

import numpy as np

from .. import checks
from .decode import MAX_PIXELS
from .image_files import ImageFiles


class ImageTable(ImageFiles):
    """Image files that are listed, with their labels, in a CSV file in UTF-8.

    Parameters
    ----------
    file : str or os.PathLike
    path_column, label_column : str or int
        Name of the column, where the first line holds names, or its number from 0 where it does not. Defaults
        ``"path"`` and ``"label"``. `label_column` may be None, or a list of columns with ``label_kind="number"``.
    label_kind : str
        ``"class"`` (default): labels are names of classes, and become numbers in the order of `class_names`.
        ``"number"``: labels are numbers, and become a float32 array (n,), or (n, columns) for a list of columns.
    class_names : list of str, optional
        The classes and their order. Default: the names in the file, sorted; by value if all are integers.
    folder : str or os.PathLike, optional
        To which the paths are relative. Default: that of `file`.
    delimiter : str
        Default ``","``.
    channels, background, max_pixels
        See `ImageFiles`.

    Raises
    ------
    ValueError
        With the line's number: columns that are missing, labels that are no number or not in `class_names`.
    """

    def __init__(
        self,
        file,
        path_column="path",
        label_column="label",
        label_kind="class",
        class_names=None,
        folder=None,
        delimiter=",",
        channels=3,
        background=(255, 255, 255),
        max_pixels=MAX_PIXELS,
    ):
        file = os.fspath(file)
        owner = f'ImageTable "{file}"'
        checks.choice(owner, "label_kind", label_kind, ("class", "number"))
        several = isinstance(label_column, (list, tuple))
        if several and label_kind == "class":
            raise ValueError(f'{owner}: label_column must be one column with label_kind="class", got {label_column!r}')
        if class_names is not None and (label_kind == "number" or label_column is None):
            raise ValueError(
                f'{owner}: class_names must be left out without labels of label_kind="class", got {class_names!r}'
            )
        columns = [path_column, *(label_column if several else [] if label_column is None else [label_column])]
        rows = list(_rows(owner, file, columns, delimiter))
        if not rows:
            raise ValueError(f"{owner}: must list at least one image, got none")
        root = os.path.dirname(file) if folder is None else os.fspath(folder)
        labels = None
        if label_column is not None and label_kind == "number":
            labels = np.array([[_number(owner, line, text) for text in texts[1:]] for line, texts in rows], np.float32)
            labels = labels if several else labels[:, 0]
        elif label_column is not None:
            labels, class_names = _classes(owner, [(line, texts[1]) for line, texts in rows], class_names)
        super().__init__(
            [os.path.join(root, texts[0]) for _, texts in rows], labels, class_names, channels, background, max_pixels
        )


def _rows(owner, file, columns, delimiter):
    """Yield (line number, texts of the wanted columns)."""
    named = isinstance(columns[0], str)
    for column in columns:
        if isinstance(column, str) != named:
            raise ValueError(f"{owner}: columns must be all names or all numbers, got {columns!r}")
        if not named:
            checks.integer(owner, "columns", column)
    with open(file, newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        try:
            if named:
                header = [name.strip() for name in next(reader, [])]
                missing = [name for name in columns if name not in header]
                if missing:
                    raise ValueError(
                        f"{owner}: the first line must name the columns {', '.join(columns)}, got "
                        f"{', '.join(header) or 'nothing'}; where it holds no names, give numbers of "
                        "columns"
                    )
                columns = [header.index(name) for name in columns]
            for row in reader:
                if not row:
                    continue
                if len(row) <= max(columns):
                    raise ValueError(
                        f"{owner}: line {reader.line_num} must have at least {max(columns) + 1} columns, got {len(row)}"
                    )
                texts = [row[column].strip() for column in columns]
                if not texts[0] or "\0" in texts[0]:
                    raise ValueError(f"{owner}: line {reader.line_num} must have a path, got {texts[0]!r}")
                yield reader.line_num, texts
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{owner}: must be a table in UTF-8, and is not after line {reader.line_num}: {error}"
            ) from error


def _number(owner, line, text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(
            f"{owner}: line {line} must have a finite number as label, got {text!r}; for names of "
            f'classes use label_kind="class"'
        )
    return value


def _classes(owner, labels, class_names):
    """Class numbers of (line, name) pairs, and the names."""
    if class_names is None:
        names = {name for _, name in labels}
        class_names = sorted(names, key=int) if all(n.isascii() and n.isdigit() for n in names) else sorted(names)
    numbers = {name: i for i, name in enumerate(class_names)}
    for line, name in labels:
        if name not in numbers:
            raise ValueError(
                f"{owner}: line {line} must have a label of class_names, got {name!r}"
                f"{checks.suggestion(name, class_names)}"
            )
    return np.array([numbers[name] for _, name in labels], np.int64), list(class_names)
