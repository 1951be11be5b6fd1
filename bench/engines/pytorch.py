"""PyTorch: eager in both memory formats, and compiled in channels_last."""

from . import LEARNING_RATE, MOMENTUM

PACKAGES = ("torch",)
# Name: (channels_last, compiled)
VARIANTS = {"PyTorch": (False, False), "PyTorch channels_last": (True, False), "PyTorch compiled": (True, True)}
MEMORY_VARIANTS = ("PyTorch", "PyTorch channels_last")  # the compiler's own memory would be counted


def variants(args):
    """The names of those that are asked for."""
    return [name for name, (_, compiled) in VARIANTS.items() if args.compile or not compiled]


def inference(network, model, x, args):
    import torch

    torch.set_num_threads(args.threads)
    return {name: _inference(load(network, name, model), name, x) for name in variants(args)}


def _inference(net, variant, x):
    import torch

    channels_last, compiled = VARIANTS[variant]
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=memory_format)
    # Freezing makes constants of the weights: normalisations are folded, kernels packed ahead.
    net.eval()
    run = torch.compile(net, dynamic=False, options={"freezing": True}) if compiled else net

    def call():
        with torch.no_grad() if compiled else torch.inference_mode():
            return run(images)

    return call


def training(network, model, x, y, args):
    return {name: Trainer(load(network, name, model), x, y, args.threads, name) for name in variants(args)}


def load(network, variant, model=None):
    """The network with the weights of `model`, or random ones."""
    import torch

    from .. import torch_networks

    net = torch_networks.NETWORKS[network.name](**network.arguments)
    if model is not None:
        torch_networks.copy_weights(model, net)
    return net.to(memory_format=torch.channels_last) if VARIANTS[variant][0] else net


class Trainer:
    """Steps on one batch."""

    def __init__(self, net, x, y, threads, variant):
        from .. import torch_training

        channels_last, compiled = VARIANTS[variant]
        self._trainer = torch_training.Trainer(
            net,
            LEARNING_RATE,
            MOMENTUM,
            channels_last=channels_last,
            threads=threads,
            nesterov=False,
            compiled=compiled,
        )
        self._batch = self._trainer.images(x), self._trainer.labels(y)

    def step(self):
        return float(self._trainer.step(*self._batch))

    def gradients(self):
        from .. import torch_networks

        return torch_networks.gradients(self._trainer.net)
