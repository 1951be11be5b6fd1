"""A model that does nothing but remember, and a training without any: what drives the tests of callbacks."""

import numpy as np

from cnncore.callbacks import (
    CallbackList,
)

NAN = float("nan")


class Optimizer:
    def __init__(self, learning_rate=0.1):
        self.learning_rate = learning_rate


class Model:
    """What callbacks may use of a model. Its one weight is the number of the last epoch."""

    def __init__(self):
        self.stop_training = False
        self.optimizer = Optimizer()
        self.weight = np.array([-1.0])
        self.saved = []
        self.metrics = []

    def get_weights(self):
        return [self.weight]

    def set_weights(self, weights):
        self.weight = np.array(weights[0])

    def save(self, path):
        self.saved.append(path)
        with open(path, "w") as file:
            file.write(f"model {self.weight[0]:g}")

    def save_weights(self, path):
        self.saved.append(path)
        with open(path, "w") as file:
            file.write(f"weights {self.weight[0]:g}")


def fit(listeners, epochs, batches=(), model=None):
    """Run the hooks of a training with the given logs of each epoch; return the model."""
    model = model or Model()
    model.stop_training = False
    listed = CallbackList(listeners, add_history=True, model=model, epochs=len(epochs))
    listed.on_train_begin()
    logs = {}
    for epoch, logs in enumerate(epochs):
        listed.on_epoch_begin(epoch)
        for batch, batch_logs in enumerate(batches):
            listed.on_train_batch_begin(batch)
            listed.on_train_batch_end(batch, batch_logs)
            if model.stop_training:
                break
        model.weight[0] = epoch  # in place, as an engine updates its weights
        listed.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    listed.on_train_end(logs)
    return model


def losses(*values, name="val_loss"):
    return [{name: value} for value in values]
