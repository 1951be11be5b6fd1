"""The --augment argument: augmentations as they are written in Python, or from a file, without running any code."""

import ast
import json
import pathlib

HELP = (
    "augmentations, one after the other, with their arguments as in Python: "
    '"HorizontalFlip, Rotation(15), ColorJitter(0.4, 0.4)"; or a .json file with what cnncore.augment.serialize gives'
)


def parse(text):
    """Return the transform that a text names: of several, a Compose.

    Raises
    ------
    ValueError
        For what is no list of augmentations, names that do not exist, and arguments that they refuse.
    """
    from .. import augment

    if text.endswith(".json"):
        return augment.deserialize(json.loads(pathlib.Path(text).read_text(encoding="utf-8")))
    try:
        tree = ast.parse(f"[{text}\n]", mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(
            f'--augment must be names of augmentations with commas between them, such as "HorizontalFlip, '
            f'Rotation(15)", got {text!r}'
        ) from error
    transforms = _value(tree)
    for transform in transforms:
        if not isinstance(transform, augment.Transform):
            raise ValueError(f"--augment must name augmentations, got {transform!r}")
    if not transforms:
        raise ValueError("--augment must name at least one augmentation, got none")
    return transforms[0] if len(transforms) == 1 else augment.Compose(transforms)


def _value(node):
    """The value of a name or call of an augmentation, a list or tuple, or a literal; nothing else is understood."""
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [_value(child) for child in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)
    if isinstance(node, ast.Name):
        return _class(node)()
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and all(k.arg for k in node.keywords):
        arguments = [_value(child) for child in node.args]
        keywords = {keyword.arg: _value(keyword.value) for keyword in node.keywords}
        try:
            return _class(node.func)(*arguments, **keywords)
        except TypeError as error:  # the wrong number of arguments, or an unknown one
            raise ValueError(f"--augment: {ast.unparse(node)}: {error}") from error
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"--augment: {ast.unparse(node)!r} must be a number, a text, a list or an augmentation"
        ) from error


def _class(name):
    from .. import augment
    from ..checks import suggestion

    public = {n: getattr(augment, n) for n in augment.__all__ if n != "Transform"}
    known = {
        n: value for n, value in public.items() if isinstance(value, type) and issubclass(value, augment.Transform)
    }
    if name.id not in known:
        raise ValueError(
            f"--augment: there is no augmentation {name.id!r}{suggestion(name.id, known)}; there are {', '.join(known)}"
        )
    return known[name.id]
