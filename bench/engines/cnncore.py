"""cnncore itself, through its public functions."""

from .. import networks
from . import LEARNING_RATE, MOMENTUM

PACKAGES = ("cnncore",)
NAME = "cnncore"
MEMORY_VARIANTS = (NAME,)


def inference(network, model, x, args):
    return {NAME: lambda: model.predict_on_batch(x, threads=args.threads)}


def training(network, model, x, y, args):
    return {NAME: Trainer(model, x, y, args.threads)}


def load(network, variant):
    return networks.build(network)


class Trainer:
    """Steps on one batch."""

    def __init__(self, model, x, y, threads, variant=NAME):
        import cnncore as cc

        cc.set_threads(threads)
        model.compile(
            optimizer=cc.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM),
            loss=cc.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        self.model, self.x, self.y = model, x, y

    def step(self):
        return self.model.train_on_batch(self.x, self.y)

    def gradients(self):
        velocity = self.model.optimizer.state["velocity"]  # after one step: -learning rate * gradient
        return {
            layer.name: [v.store.view(velocity, v, v.offset) / -LEARNING_RATE for v in layer.trainable_variables]
            for layer in self.model.layers
            if layer.trainable_variables
        }
