"""Data and models that the tests of training share."""

import numpy as np

import cnncore as cc
from cnncore import layers

_RNG = np.random.default_rng(0)
N = 50
X = _RNG.normal(size=(N, 8, 8, 2)).astype(np.float32)
LABELS = _RNG.integers(0, 3, N)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
WEIGHTS = _RNG.random(N).astype(np.float32) * 2


def net(package=cc, regularizer=None, activation="softmax"):
    L = package.layers
    inputs = package.Input((8, 8, 2))
    x = L.Conv2D(4, 3, padding="same", use_bias=False, kernel_regularizer=regularizer)(inputs)
    x = L.BatchNormalization(momentum=0.9)(x)
    x = L.ReLU()(x)
    y = L.Conv2D(4, 3, padding="same", use_bias=False)(x)
    x = L.Add()([x, L.BatchNormalization()(y)])
    x = L.Activation("gelu")(x)
    x = L.MaxPooling2D(2)(x)
    return package.Model(
        inputs, L.Dense(3, activation=activation, kernel_regularizer=regularizer, name="head")(L.Flatten()(x))
    )


def two_heads(package=cc):
    L = package.layers
    inputs = package.Input((8, 8, 2))
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="relu")(inputs))
    return package.Model(inputs, [L.Dense(3, activation="softmax", name="kind")(x), L.Dense(2, name="size")(x)])


def compiled(seed=1, **arguments):
    cc.utils.set_random_seed(4)
    model = net()
    model.compile(
        cc.optimizers.SGD(0.05, momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        seed=seed,
        **arguments,
    )
    return model


def noisy(seed=None):
    inputs = cc.Input((8, 8, 2))
    x = layers.GaussianNoise(0.1)(inputs)
    for _ in range(2):
        y = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.Dropout(0.2)(y)
        y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(y))
        x = layers.ReLU()(layers.Add()([layers.Conv2D(8, 1)(x), y]))
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3)(x)))
    model = cc.Model(inputs, layers.Dense(3, activation="softmax")(x))
    model.compile(
        cc.optimizers.SGD(0.05, momentum=0.9, global_clipnorm=1.0),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        seed=seed,
    )
    return model
