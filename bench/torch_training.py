"""Training steps in PyTorch, by the equations of Keras' SGD."""

import numpy as np
import torch
from torch.nn import functional


class Trainer:
    """Training steps of a network on NHWC NumPy batches: cross-entropy, SGD with momentum, decay of the kernels.

    Parameters
    ----------
    net : torch.nn.Module
        Returns logits.
    learning_rate, momentum, weight_decay : float
        Of torch.optim.SGD (the fused one); the decay applies to convolution and dense kernels.
    channels_last : bool
        Memory format of images and weights; the batch is converted before `step`, by `images`.
    threads : int, optional
        Number of threads, of the whole process.
    nesterov : bool
    compiled : bool
        Compile network and loss by torch.compile, for one shape.
    """

    def __init__(
        self,
        net,
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=0.0,
        channels_last=True,
        threads=None,
        nesterov=True,
        compiled=False,
    ):
        if threads:
            torch.set_num_threads(threads)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.net = net.to(memory_format=self.memory_format)
        self.weight_decay = weight_decay
        self.kernels = [p for p in net.parameters() if p.ndim > 1]
        others = [p for p in net.parameters() if p.ndim == 1]
        self.optimizer = torch.optim.SGD(
            [{"params": self.kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=learning_rate,
            momentum=momentum,
            nesterov=nesterov and momentum > 0,
            fused=True,
        )
        self._loss = torch.compile(self._eager_loss, dynamic=False) if compiled else self._eager_loss

    def _eager_loss(self, x, y):
        return functional.cross_entropy(self.net(x), y)

    def images(self, x):
        """An NHWC NumPy batch as a tensor in this trainer's memory format."""
        return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=self.memory_format)

    def labels(self, y):
        return torch.from_numpy(np.asarray(y, np.int64))

    def step(self, x, y, learning_rate=None):
        """One training step on `images(...)` and `labels(...)`; returns the loss, a tensor, without the penalty."""
        if learning_rate is not None:
            self._set_learning_rate(learning_rate)
        self.net.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(x, y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _set_learning_rate(self, learning_rate):
        """Keras' velocity contains the learning rates of the steps it is made of, PyTorch's buffer does not: with a
        schedule the two are the same only if the buffer is scaled by old / new whenever the rate changes."""
        for group in self.optimizer.param_groups:
            if group["lr"] != learning_rate:
                buffers = [self.optimizer.state[p].get("momentum_buffer") for p in group["params"]]
                buffers = [buffer for buffer in buffers if buffer is not None]
                if buffers:
                    torch._foreach_mul_(buffers, group["lr"] / learning_rate)
                group["lr"] = learning_rate

    def penalty(self):
        """What the decay adds to the loss: weight_decay / 2 * sum of w^2."""
        with torch.no_grad():
            return 0.5 * self.weight_decay * sum(float(kernel.double().square().sum()) for kernel in self.kernels)

    def predict(self, x, batch_size=1000):
        """Logits of an NHWC NumPy array."""
        self.net.eval()
        with torch.no_grad():
            return np.concatenate(
                [self.net(self.images(x[i : i + batch_size])).numpy() for i in range(0, len(x), batch_size)]
            )
