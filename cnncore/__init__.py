"""cnncore: convolutional neural networks on CPUs.

Train and run CNNs with the names of Keras 3; results are the same bits for any number of threads.

    import cnncore as cc
    from cnncore import layers

    model = cc.Sequential(
        [
            cc.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=5)  # x: (n, 28, 28, 1) float32 or uint8; y: (n,) class numbers
    model.save("model.cnn")
"""

import importlib

try:
    from . import _core
except ImportError as error:
    raise ImportError(
        f"cnncore: the extension in {__path__[0]} must be built before it is imported, or was not built for this "
        "Python; run `pip install -e .` beside that folder, or, where cnncore is installed, start Python elsewhere"
    ) from error

__version__ = _core.VERSION

# Modules are imported when they are first used, so that `import cnncore` is quick.
_MODULES = (
    "activations",
    "augment",
    "batches",
    "callbacks",
    "checks",
    "cli",
    "compiler",
    "config",
    "data",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "preprocessing",
    "progress",
    "random",
    "regularizers",
    "serialization",
    "utils",
)
_NAMES = {
    "Input": "model",
    "InputLayer": "model",
    "Model": "model",
    "Sequential": "sequential",
    "load_model": "serialization",
    "get_exact": "config",
    "get_isa": "config",
    "get_threads": "config",
    "set_exact": "config",
    "set_isa": "config",
    "set_threads": "config",
    "show_config": "config",
}


def __getattr__(name):
    if name in _NAMES:
        value = getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    elif name in _MODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_MODULES, *_NAMES})


__all__ = [
    "Input",
    "Model",
    "Sequential",
    "activations",
    "augment",
    "callbacks",
    "data",
    "datasets",
    "get_exact",
    "get_isa",
    "get_threads",
    "initializers",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "set_exact",
    "set_isa",
    "set_threads",
    "show_config",
    "utils",
]
