"""ResNet-20 on CIFAR-10: ten epochs with flips and shifts; or, with --compare-steps, its loss curve beside PyTorch's.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2: batch 128, SGD with
momentum 0.9 (here Nesterov's), decay 1e-4 in 200 epochs; shorter runs use 5e-4 and one cycle of the learning rate.
"""

import time

import numpy as np

from . import schedule, timing

TARGET = 0.80
MOMENTUM = 0.9
SHIFT = 4
# Of the channels of the training images, of 1.
MEAN = np.array([0.49139968, 0.48215841, 0.44653091], np.float32)
STD = np.array([0.24703223, 0.24348513, 0.26158784], np.float32)


def add_arguments(parser):
    parser.add_argument("--depth", type=int, default=20, help="20, 32, 44, 56 or 110")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.2, help="the peak, after a fifth of the run")
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=50000, help="train on the first of them only, for a quick look")
    parser.add_argument(
        "--compare-steps",
        type=int,
        default=0,
        metavar="N",
        help="train N steps beside PyTorch, same weights and batches, and compare the losses",
    )


def normalised(images):
    """uint8 to float32 with mean 0 and standard deviation 1 in each channel of the training images."""
    return (images * np.float32(1 / 255) - MEAN) / STD


class Batches:
    """Batches of an epoch in random order, each image shifted by at most 4 pixels either way and flipped half of the
    time.

    Parameters
    ----------
    images : numpy.ndarray
        uint8, (count, height, width, channels).
    labels : numpy.ndarray
    batch_size : int
        The last, smaller batch of an epoch is left out.
    rng : numpy.random.Generator
    """

    def __init__(self, images, labels, batch_size, rng):
        height, width = images.shape[1:3]
        padded = np.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
        # (count, 9, 9, channels, height, width): every shift of every image, without a copy.
        self.shifted = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
        self.labels = labels.astype(np.int32)
        self.batch_size = batch_size
        self.rng = rng

    def __len__(self):
        return len(self.labels) // self.batch_size

    def __iter__(self):
        order = self.rng.permutation(len(self.labels))
        for i in range(len(self)):
            chosen = order[i * self.batch_size : (i + 1) * self.batch_size]
            dy, dx = self.rng.integers(0, 2 * SHIFT + 1, (2, len(chosen)))
            x = self.shifted[chosen, dy, dx].transpose(0, 2, 3, 1)
            flip = self.rng.random(len(chosen)) < 0.5
            x[flip] = x[flip, :, ::-1]
            yield np.ascontiguousarray(normalised(x)), self.labels[chosen]


def compiled(args, steps):
    """The network with its optimizer, and the arguments of its learning rate for the peer."""
    import cnncore as cc
    from cnncore import models

    model = models.resnet_cifar(args.depth, weight_decay=args.weight_decay)
    peak = args.learning_rate
    rates = {"steps": steps, "peak": peak, "warmup_steps": max(1, steps // 5), "start": peak / 10}
    model.compile(
        optimizer=cc.optimizers.SGD(schedule.cosine_decay(cc, **rates), momentum=MOMENTUM, nesterov=True),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model, rates


def train(model, batches, args, x_test, y_test):
    """Train and report an epoch a line; returns the test accuracy."""
    for epoch in range(1, args.epochs + 1):
        start = time.perf_counter()
        model.reset_metrics()
        for x, y in batches:
            logs = model.train_on_batch(x, y, return_dict=True)
        elapsed = time.perf_counter() - start
        scores = model.evaluate(x_test, y_test, batch_size=500, verbose=0, return_dict=True)
        print(
            f"epoch {epoch:3d}  loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.4f}  test accuracy "
            f"{scores['accuracy']:.4f}  {len(batches) * args.batch / elapsed:.0f} images/s",
            flush=True,
        )
    return float(scores["accuracy"])


def compare(model, rates, batches, args):
    """The losses of the same steps on both sides; prints them and their relative differences.

    Rounding grows from step to step in any training; how fast, PyTorch beside itself in its other memory format shows.
    """
    from . import torch_networks, torch_training

    block = (args.depth - 2) // 6
    trainers = []
    for channels_last in (True, False):
        net = torch_networks.ResNet(torch_networks.BasicBlock, (16, 32, 64), (block, block, block), True)
        torch_networks.copy_weights(model, net)
        trainers.append(
            torch_training.Trainer(
                net,
                momentum=MOMENTUM,
                weight_decay=args.weight_decay,
                channels_last=channels_last,
                threads=args.threads,
            )
        )
    differences = []
    print("  step       cnncore       PyTorch  difference  PyTorch beside itself")
    while len(differences) < args.compare_steps:
        for x, y in batches:
            step = len(differences)
            model.reset_metrics()  # train_on_batch returns the mean since the last reset
            ours = float(model.train_on_batch(x, y, return_dict=True)["loss"])
            rate = schedule.warmup_cosine(step, **rates)
            theirs, control = (t.penalty() + float(t.step(t.images(x), t.labels(y), rate)) for t in trainers)
            differences.append((abs(ours - theirs) / abs(theirs), abs(control - theirs) / abs(theirs)))
            found, self_found = differences[-1]
            print(f"{step + 1:6d}  {ours:12.7f}  {theirs:12.7f}  {found:10.2e}  {self_found:10.2e}")
            if len(differences) == args.compare_steps:
                break
    for name, column in zip(("cnncore beside PyTorch", "PyTorch beside itself"), np.transpose(differences)):
        print(
            f"relative difference of the loss, {name}: first {column[0]:.2e}, median {np.median(column):.2e}, "
            f"maximum {column.max():.2e} (step {1 + int(np.argmax(column))})"
        )


def run(args):
    import cnncore as cc
    from cnncore import datasets

    (x, y), (x_test, y_test) = datasets.cifar10.load_data()
    y, y_test = y.ravel(), y_test.ravel()
    cc.utils.set_random_seed(args.seed)
    batches = Batches(x[: args.images], y[: args.images], args.batch, np.random.default_rng(args.seed))
    model, rates = compiled(args, args.epochs * len(batches))
    print(timing.environment(args.threads))
    if args.compare_steps:
        compare(model, rates, batches, args)
        return 0
    accuracy = train(model, batches, args, normalised(x_test), y_test.astype(np.int32))
    if accuracy < TARGET:
        print(f"the target is {TARGET} in ten epochs")
        return 1
    return 0
