"""Everything public is documented: classes, functions, methods and properties have a docstring, and the parameters that
it lists are those of the signature.
"""

import importlib
import inspect
import re

import pytest

import cnncore

# Where users look; the other modules are for those who work on cnncore.
NAMESPACES = (
    "activations",
    "augment",
    "callbacks",
    "data",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "optimizers.schedules",
    "preprocessing",
    "regularizers",
    "utils",
)


def _public():
    """Qualified name -> object, of the classes and functions that the package and its namespaces offer."""
    found = {}
    for module in (cnncore, *(importlib.import_module(f"cnncore.{name}") for name in NAMESPACES)):
        for name in dir(module):
            value = getattr(module, name)
            if name.startswith("_") or not (inspect.isclass(value) or inspect.isroutine(value)):
                continue
            if (getattr(value, "__module__", None) or "").startswith("cnncore."):
                found.setdefault(value, f"{module.__name__}.{name}")
    return {name: value for value, name in found.items()}


PUBLIC = _public()


def _members(cls):
    """(name, function or property) of the public methods and properties that a class defines itself."""
    for name, value in vars(cls).items():
        value = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            yield name, value


def _listed(doc):
    """The names in the section "Parameters" of a docstring; None where it has no such section."""
    match = re.search(r"^Parameters\n-+\n(.*?)(?=\n\n\S|\Z)", inspect.cleandoc(doc), re.S | re.M)
    if match is None:
        return None
    heads = [line.split(" : ")[0] for line in match[1].split("\n") if line and not line.startswith(" ")]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def _parameters(function):
    """(all names, those that a docstring must explain) of the signature."""
    parameters = inspect.signature(function).parameters
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [name for name, p in parameters.items() if p.kind not in variable and name not in ("self", "cls")]
    return list(parameters), named


def _check(name, function, doc, more=""):
    """What `doc` lists are parameters, and every parameter is listed, or explained in `more` (of the base classes)."""
    everything, named = _parameters(function)
    listed = _listed(doc)
    inherited = set(re.findall(r"\w+", more))
    assert not set(listed or ()) - set(everything) - inherited, f"{name} lists what is no parameter of {everything}"
    explained = set(listed) if listed is not None else set(re.findall(r"\w+", doc))
    missing = [p for p in named if p not in explained | inherited]
    assert not missing, f"{name} does not explain {missing}"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_there_is_a_docstring(name):
    value = PUBLIC[name]
    assert (value.__doc__ or "").strip(), name
    for member, _ in _members(value) if inspect.isclass(value) else ():
        assert inspect.getdoc(getattr(value, member)), f"{name}.{member}"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_parameters_are_those_of_the_signature(name):
    value = PUBLIC[name]
    if not inspect.isclass(value):
        return _check(name, value, value.__doc__)
    bases = " ".join(base.__doc__ or "" for base in value.__mro__[1:])
    if inspect.isfunction(value.__init__):
        _check(name, value.__init__, value.__doc__, bases)
    for member, function in _members(value):
        if inspect.isfunction(function) and function.__doc__ and _listed(function.__doc__) is not None:
            _check(f"{name}.{member}", function, function.__doc__)


@pytest.mark.parametrize("name", [n for n, f in _members(cnncore.Model) if inspect.isfunction(f)])
def test_methods_of_models_explain_their_parameters(name):
    _check(name, getattr(cnncore.Model, name), inspect.getdoc(getattr(cnncore.Model, name)))
