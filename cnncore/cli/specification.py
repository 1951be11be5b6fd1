"""Objects written as in Python, such as "HorizontalFlip, Rotation(15)", read without running any code."""

import ast


def parse(option, text, known, kind):
    """Return the list of objects that a text names.

    Parameters
    ----------
    option : str
        Of the command line, for messages.
    text : str
        Names with commas between them, with arguments in parentheses: numbers, texts, lists, tuples, or such objects.
    known : dict of str to type
        The classes that may be named.
    kind : str
        What they are, for messages: "augmentation".

    Raises
    ------
    ValueError
        For what is no list of such objects, names that do not exist, and arguments that they refuse.
    """
    try:
        tree = ast.parse(f"[{text}\n]", mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(
            f'{option} must be names of {kind}s with commas between them, such as "{_example(known)}", got {text!r}'
        ) from error
    objects = _Reader(option, known, kind).value(tree)
    for made in objects:
        if not isinstance(made, tuple(known.values())):
            raise ValueError(f"{option} must name {kind}s, got {made!r}")
    if not objects:
        raise ValueError(f"{option} must name at least one {kind}, got none")
    return objects


def _example(known):
    return "HorizontalFlip, Rotation(15)" if "Rotation" in known else next(iter(known))


class _Reader:
    """The values of a parsed text; nothing but literals, lists, tuples and calls of known classes is understood."""

    def __init__(self, option, known, kind):
        self._option, self._known, self._kind = option, known, kind

    def value(self, node):
        if isinstance(node, (ast.List, ast.Tuple)):
            values = [self.value(child) for child in node.elts]
            return values if isinstance(node, ast.List) else tuple(values)
        if isinstance(node, ast.Name):
            return self._call(node, node, [], {})
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and all(k.arg for k in node.keywords):
            arguments = [self.value(child) for child in node.args]
            keywords = {keyword.arg: self.value(keyword.value) for keyword in node.keywords}
            return self._call(node, node.func, arguments, keywords)
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError) as error:
            article = "an" if self._kind[0] in "aeiou" else "a"
            raise ValueError(
                f"{self._option}: {ast.unparse(node)!r} must be a number, a text, a list or {article} {self._kind}"
            ) from error

    def _call(self, node, name, arguments, keywords):
        from ..checks import suggestion

        if name.id not in self._known:
            raise ValueError(
                f"{self._option}: there is no {self._kind} {name.id!r}"
                f"{suggestion(name.id, self._known)}; there are {', '.join(self._known)}"
            )
        try:
            return self._known[name.id](*arguments, **keywords)
        except TypeError as error:  # the wrong number of arguments, or an unknown one
            raise ValueError(f"{self._option}: {ast.unparse(node)}: {error}") from error
