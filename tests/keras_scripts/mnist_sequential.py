"""MNIST with a small convolutional network: Sequential, string arguments, one-hot labels, a validation split."""

import gzip
import os
import pathlib

import keras
import numpy as np
from keras import layers

EPOCHS = int(os.environ.get("SCRIPT_EPOCHS", 4))
IMAGES = int(os.environ.get("SCRIPT_IMAGES", 10000))

# The data, from the original files.
folder = pathlib.Path(os.environ["CNNCORE_DATA"]) / "mnist"


def read(name, header):
    return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=header)


x_train = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)[:IMAGES]
y_train = read("train-labels-idx1-ubyte.gz", 8)[:IMAGES]
x_test = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
y_test = read("t10k-labels-idx1-ubyte.gz", 8)

num_classes = 10
x_train = np.expand_dims(x_train.astype("float32") / 255, -1)
x_test = np.expand_dims(x_test.astype("float32") / 255, -1)
y_train = keras.utils.to_categorical(y_train, num_classes)
y_test = keras.utils.to_categorical(y_test, num_classes)

keras.utils.set_random_seed(1)
model = keras.Sequential(
    [
        keras.Input(shape=(28, 28, 1)),
        layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(num_classes, activation="softmax"),
    ]
)
model.summary()

model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=64, epochs=EPOCHS, validation_split=0.1, verbose=2)
print("History:", sorted(history.history))

score = model.evaluate(x_test, y_test, verbose=0)
print("Test loss:", score[0])
print("Test accuracy:", score[1])
