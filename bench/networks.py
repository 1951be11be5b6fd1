"""The networks that are compared: their images, their batches, and what they compute."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Network:
    """A network of `cnncore.models` as it is compared.

    Attributes
    ----------
    name : str
        In `cnncore.models.names()`.
    shape : tuple of int
        (height, width, channels) of an image.
    training, inference : tuple of int
        Batch sizes.
    arguments : dict
        For the builder. There is no dropout, so that every engine computes the same in training.
    """

    name: str
    shape: tuple
    training: tuple = ()
    inference: tuple = ()
    arguments: dict = field(default_factory=dict)

    def batch(self, n, classes, seed=0):
        """Random images, float32 NHWC, and labels, int32."""
        rng = np.random.default_rng(seed)
        return rng.normal(size=(n, *self.shape)).astype(np.float32), rng.integers(0, classes, n).astype(np.int32)


_NO_DROPOUT = {"dropout": 0.0}
NETWORKS = {
    network.name: network
    for network in (
        Network("lenet", (28, 28, 1), training=(64,), inference=(1,)),
        Network("vgg_cifar", (32, 32, 3), training=(64,), inference=(1, 64)),
        Network("resnet18_cifar", (32, 32, 3), training=(64,), inference=(1, 64)),
        Network("resnet20", (32, 32, 3), training=(128,), inference=(1,)),
        Network("mobilenet_v2", (224, 224, 3), training=(16,), inference=(1, 16), arguments=_NO_DROPOUT),
        Network("resnet50", (224, 224, 3), training=(16,), inference=(1, 16)),
        Network("vgg16", (224, 224, 3), inference=(1,), arguments=_NO_DROPOUT),
        Network("squeezenet", (224, 224, 3), training=(16,), inference=(1, 16), arguments=_NO_DROPOUT),
    )
}


def checked(command, names):
    """The networks of these names, all if there are none; SystemExit for a name that there is not."""
    for name in names:
        if name not in NETWORKS:
            raise SystemExit(f"{command}: NAME must be one of {', '.join(NETWORKS)}, got {name!r}")
    return [NETWORKS[name] for name in names] or list(NETWORKS.values())


def build(network, seed=0):
    """The cnncore model of a network, which returns logits, with random weights.

    Batch normalisations get moments and scales that differ from channel to channel, as after training, so that an
    engine which folds them wrongly is found out.
    """
    import cnncore as cc
    from cnncore import layers, models

    cc.utils.set_random_seed(seed)
    model = models.build(network.name, input_shape=network.shape, classifier_activation=None, **network.arguments)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            gamma, variance = rng.uniform(0.5, 1.5, (2, *layer.gamma.shape)).astype(np.float32)
            beta, mean = rng.normal(0, 0.1, (2, *layer.gamma.shape)).astype(np.float32)
            layer.set_weights([gamma, beta, mean, variance])
    return model


def lowered(model, batch):
    """What a model computes in inference, before any compiler pass.

    Returns
    -------
    operations : list of cnncore.compiler.ir.Operation
    source : cnncore.compiler.ir.Value
        The images.
    weights : dict
        Value of a weight: its array.
    result : Value
    """
    from cnncore.compiler.ir import Value
    from cnncore.layers.base import Lowering

    lowering = Lowering()
    source = Value("float32", (batch, *model.inputs[0].shape[1:]), storage="input0", name="images")
    (result,) = model.lower(lowering, source)
    weights = {value: np.array(variable) for variable, value in lowering.weights.items()}
    return lowering.graph.operations, source, weights, result


def products(kind, kernel, y):
    """Floating-point operations of a convolution or dense layer, two for a multiply-add.

    Those of the direct algorithm, with the products that fall into the padding, whatever an engine does.

    Parameters
    ----------
    kind : {"conv2d", "depthwise_conv2d", "dense"}
    kernel, y : tuple of int
        Shapes of weights and result.
    """
    terms = kernel[:2] if kind == "depthwise_conv2d" else kernel[:-1]
    return 2 * int(np.prod(terms)) * int(np.prod(y))


def flops(model, batch, training):
    """Operations of a batch in inference, or of a training step: three times as many, less the gradient of the images,
    which nobody needs."""
    operations, images, _, _ = lowered(model, batch)
    counted = [
        (products(operation.name, operation.inputs[1].shape, operation.outputs[0].shape), operation.inputs[0])
        for operation in operations
        if operation.name in ("conv2d", "depthwise_conv2d", "dense")
    ]
    forward = sum(count for count, _ in counted)
    return 3 * forward - sum(count for count, x in counted if x is images) if training else forward
