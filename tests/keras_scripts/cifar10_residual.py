"""CIFAR-10 with a residual network: functional API, a learning-rate schedule, callbacks, the best model loaded
again."""

import os
import pathlib
import tempfile

import keras
import numpy as np
from keras import layers, regularizers
from keras.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint
from keras.optimizers.schedules import CosineDecay

EPOCHS = int(os.environ.get("SCRIPT_EPOCHS", 5))
IMAGES = int(os.environ.get("SCRIPT_IMAGES", 8000))
BATCH = 64

# The data, from the original files: a label byte and a planar image of 3 x 32 x 32 a record.
folder = pathlib.Path(os.environ["CNNCORE_DATA"]) / "cifar-10-batches-bin"


def read(names):
    records = np.concatenate([np.fromfile(folder / name, np.uint8) for name in names]).reshape(-1, 3073)
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, :1]


x_train, y_train = read([f"data_batch_{i}.bin" for i in range(1, 6)])
x_test, y_test = read(["test_batch.bin"])
x_valid, y_valid = x_train[-2000:], y_train[-2000:]
x_train, y_train = x_train[:IMAGES], y_train[:IMAGES]


def conv_block(x, filters, strides=1):
    x = layers.Conv2D(
        filters,
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=regularizers.l2(1e-4),
    )(x)
    return layers.BatchNormalization()(x)


def residual_block(x, filters, strides=1):
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = layers.Conv2D(
            filters,
            1,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=regularizers.l2(1e-4),
        )(x)
        shortcut = layers.BatchNormalization()(shortcut)
    x = conv_block(x, filters, strides)
    x = layers.Activation("relu")(x)
    x = conv_block(x, filters)
    x = layers.add([x, shortcut])
    return layers.Activation("relu")(x)


keras.utils.set_random_seed(1)
inputs = keras.Input(shape=(32, 32, 3))
x = layers.Rescaling(1.0 / 255)(inputs)
x = conv_block(x, 16)
x = layers.Activation("relu")(x)
for filters, strides in ((16, 1), (32, 2), (64, 2)):
    x = residual_block(x, filters, strides)
x = layers.GlobalAveragePooling2D()(x)
outputs = layers.Dense(10, name="logits")(x)
model = keras.Model(inputs=inputs, outputs=outputs, name="small_resnet")
model.summary()

steps = len(x_train) // BATCH
schedule = CosineDecay(0.0, decay_steps=EPOCHS * steps, warmup_target=0.1, warmup_steps=steps)
model.compile(
    optimizer=keras.optimizers.SGD(learning_rate=schedule, momentum=0.9, nesterov=True),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(k=3, name="top3")],
)

with tempfile.TemporaryDirectory() as output:
    best = os.path.join(output, "best.keras")
    log = os.path.join(output, "log.csv")
    history = model.fit(
        x_train,
        y_train,
        batch_size=BATCH,
        epochs=EPOCHS,
        validation_data=(x_valid, y_valid),
        verbose=2,
        callbacks=[
            ModelCheckpoint(best, monitor="val_loss", save_best_only=True),
            EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True),
            CSVLogger(log),
        ],
    )
    print("History:", sorted(history.history))
    print("Log:", pathlib.Path(log).read_text().splitlines()[0])
    model = keras.models.load_model(best)

scores = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
agreement = np.mean(np.argmax(model.predict(x_test, verbose=0), axis=-1) == y_test[:, 0])
assert abs(agreement - scores["accuracy"]) < 1e-3
print("Test top 3:", scores["top3"])
print("Test loss:", scores["loss"])
print("Test accuracy:", scores["accuracy"])
