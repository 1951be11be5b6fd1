"""The engines that are compared, one file each; each imports its library when it is asked for something.

A module has

PACKAGES : tuple of str
    What must be installed.
inference(network, model, x, args)
    {name: function}: each function runs the network on the images x, float32 NHWC, and returns the logits. What can be
    done ahead (compiling, converting weights and images) is done ahead.
training(network, model, x, y, args)
    {name: Trainer}, of those that train: `step()` does a step of SGD with momentum on the cross-entropy and returns
    the loss; `gradients()`, after the first step, is {name of a layer: list of arrays in cnncore's layout}.

load(network, variant), Trainer(loaded, x, y, threads, variant), MEMORY_VARIANTS : of those that train
    The steps of `training` one by one, for a process that measures the memory of one of the named variants.

`model` is cnncore's, whose weights all engines take over; `args` has `threads` and `compile`.
"""

import importlib
import importlib.util

PEERS = ("pytorch", "onnxruntime", "openvino")
LEARNING_RATE, MOMENTUM = 1e-3, 0.9  # of the training steps


def load(name):
    """The module of an engine: "cnncore" or one of PEERS."""
    return importlib.import_module(f".{name}", __package__)


def missing(module):
    """The packages that an engine needs and that are not installed."""
    return [package for package in module.PACKAGES if importlib.util.find_spec(package) is None]
