"""Closed tables from names to classes, by which configurations become objects.

A name that is not in its table is an error. Nothing is ever imported by name, so reading a
configuration from a file cannot run code that the reader did not already hold.
"""

from . import checks

_KEYS = frozenset({"class_name", "config", "module", "registered_name"})  # of a configuration
_STRING = frozenset({str})


def to_snake_case(name):
    """Return Keras' snake_case form of a class name: ``"HeNormal"`` gives ``"he_normal"``."""

    def begins_word(i):
        return i and name[i].isupper() and (name[i - 1].islower() or name[i + 1 : i + 2].islower())

    return "".join(f"_{letter}" if begins_word(i) else letter for i, letter in enumerate(name)).lower()


class Configurable:
    """Base of objects that are wholly described by the arguments of their constructor."""

    def get_config(self):
        """Return the constructor's arguments as a dictionary that JSON can hold."""
        return {}

    @classmethod
    def from_config(cls, config):
        """Return a new object made from what `get_config` returned."""
        try:
            return cls(**config)
        except TypeError as error:  # a wrong argument, or a value of a type that the constructor cannot take
            import inspect  # here, because it takes longer to import than a model to load

            raise ValueError(
                f"{cls.__name__}: config must match the arguments {inspect.signature(cls)}, got {config!r} ({error})"
            ) from error

    def __repr__(self):
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class Registry:
    """The classes of one kind, each known by its own name, its snake_case name and its aliases.

    Parameters
    ----------
    kind : str
        What the classes are, for error messages: ``"initializer"``.
    classes : sequence of type
    aliases : dict, optional
        Further names: ``{"zero": Zeros}``.
    """

    def __init__(self, kind, classes, aliases=None):
        self.kind = kind
        self._names = [cls.__name__ for cls in classes]
        self._table = {to_snake_case(cls.__name__): cls for cls in classes}
        self._table.update((cls.__name__, cls) for cls in classes)
        self._table.update(aliases or {})

    def lookup(self, name, custom_objects=None):
        """Return the class called `name`, or raise ValueError with the valid names."""
        if isinstance(name, str):
            if custom_objects and name in custom_objects:
                return custom_objects[name]
            if name in self._table:
                return self._table[name]
        raise ValueError(
            f"{self.kind} {name!r} is unknown; the valid names are {', '.join(sorted(self._names))}"
            f"{checks.suggestion(name, self._table)}"
        )

    def find(self, name):
        """Return the class called `name`, or None."""
        return self._table.get(name)

    def serialize(self, obj):
        """Return ``{"class_name": ..., "config": ...}`` for `obj`, which has `get_config`."""
        if isinstance(obj, type) or not hasattr(obj, "get_config"):
            raise ValueError(
                f"{self.kind}: only an object with get_config() can be serialized, got {obj!r}; "
                f"write it as a class with get_config() and pass it again in custom_objects"
            )
        return {"class_name": type(obj).__name__, "config": obj.get_config()}

    def deserialize(self, config, custom_objects=None):
        """Return the object that `config` describes.

        Parameters
        ----------
        config : dict
            ``{"class_name": str, "config": dict}``. The two further keys that Keras writes, "module" and
            "registered_name", may be there and decide nothing: the class name alone is looked up.
        custom_objects : dict, optional
            The caller's own classes by name.
        """
        if not isinstance(config, dict) or "class_name" not in config:
            raise ValueError(f'{self.kind}: config must be a dict with "class_name" and "config", got {config!r}')
        if not config.keys() <= _KEYS:
            raise ValueError(
                f'{self.kind}: config must hold "class_name" and "config" only, '
                f"got also {', '.join(sorted(map(repr, config.keys() - _KEYS)))}"
            )
        cls = self.lookup(config["class_name"], custom_objects)
        arguments = config.get("config", {})
        if not isinstance(arguments, dict) or not _STRING.issuperset(map(type, arguments)):
            raise ValueError(
                f"{self.kind} {config['class_name']!r}: config must be a dict of arguments by name, got {arguments!r}"
            )
        try:
            return cls.from_config(arguments)
        except TypeError as error:  # a wrong argument, or a value of a type that the constructor cannot take
            raise ValueError(
                f"{self.kind} {config['class_name']!r}: config must hold the arguments of its "
                f"constructor, got {arguments!r} ({error})"
            ) from error

    def get(self, identifier, custom_objects=None):
        """Return the object for a name, a configuration or a class (instantiated); an object or a callable as it is."""
        if identifier is None:
            return None
        if isinstance(identifier, str):
            return self.deserialize({"class_name": identifier, "config": {}}, custom_objects)
        if isinstance(identifier, dict):
            return self.deserialize(identifier, custom_objects)
        if isinstance(identifier, type):
            identifier = identifier.from_config({}) if hasattr(identifier, "from_config") else identifier()
        if isinstance(identifier, Configurable) or callable(identifier):
            return identifier
        raise ValueError(
            f"{self.kind}: the identifier must be a name, a config dict, a class, an object or a callable, "
            f"got {identifier!r}"
        )
