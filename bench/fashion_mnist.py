"""A small network on Fashion-MNIST: test accuracy after five epochs, and images per second beside PyTorch's.

First cnncore trains with `Model.fit`. Then, in the same run, both sides do training steps of the same network, with
the same initial weights, batches and optimizer, in turn, after a check that their first losses agree. PyTorch runs
twice, in its default memory format and in channels_last, each side with the same number of threads, and the faster
one counts.
"""

import time

import numpy as np

from . import schedule, timing

TARGET = 0.91
PEAK = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
DROPOUT = 0.3


def add_arguments(parser):
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=50, help="training steps in a timed block")
    parser.add_argument("--rounds", type=int, default=7, help="timed blocks of each side")
    parser.add_argument("--images", type=int, default=60000, help="train on the first of them only, for a quick look")
    parser.add_argument("--train-peer", action="store_true", help="train PyTorch's network to the end too")
    parser.add_argument("--no-peer", action="store_true", help="cnncore alone")


def network(dropout=DROPOUT):
    """32 | 64, 64 channels of 3x3 convolutions with batch normalisation and ReLU, max-pooling, dropout, ten classes."""
    from cnncore import Input, Model, layers
    from cnncore.models.blocks import classifier, conv_bn

    inputs = x = Input(shape=(28, 28, 1), name="image")
    for i, filters in enumerate((32, 64, 64), start=1):
        x = conv_bn(x, filters, 3, weight_decay=WEIGHT_DECAY, conv=f"conv{i}", bn=f"bn{i}")
        x = layers.ReLU(name=f"relu{i}")(x)
        if i != 2:
            x = layers.MaxPooling2D(2, name=f"pool{i}")(x)
    x = layers.Flatten(name="flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return Model(inputs, classifier(x, 10, "softmax", weight_decay=WEIGHT_DECAY), name="small_cnn")


def compiled(steps, dropout=DROPOUT):
    """The network with its optimizer: one cycle of `steps` steps."""
    import cnncore as cc

    model = network(dropout)
    rate = schedule.cosine_decay(cc, steps, PEAK, steps // 5)
    model.compile(
        optimizer=cc.optimizers.SGD(rate, momentum=MOMENTUM, nesterov=True),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def train_peer(model, x, y, x_test, y_test, args):
    """PyTorch from the weights of `model`, same optimizer and schedule: (test accuracy, images per second)."""
    import torch

    from . import torch_networks, torch_training

    net = torch_networks.SmallCNN(DROPOUT)
    torch_networks.copy_weights(model, net)
    trainer = torch_training.Trainer(net, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, threads=args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    epoch_steps = -(-len(x) // args.batch)
    steps = args.epochs * epoch_steps
    start = time.perf_counter()
    for step in range(steps):
        if step % epoch_steps == 0:
            order = rng.permutation(len(x))
        at = step % epoch_steps * args.batch
        batch = order[at : at + args.batch]
        rate = schedule.warmup_cosine(step, steps, PEAK, steps // 5)
        trainer.step(trainer.images(x[batch]), trainer.labels(y[batch]), rate)
    speed = args.epochs * len(x) / (time.perf_counter() - start)
    return float((trainer.predict(x_test).argmax(axis=1) == y_test).mean()), speed


def compare_speed(x, y, args):
    """Blocks of training steps, cnncore and PyTorch in turn."""
    from . import torch_networks, torch_training

    batches = [
        (np.ascontiguousarray(x[i : i + args.batch]), y[i : i + args.batch].astype(np.int32))
        for i in range(0, min(len(x), 50 * args.batch) - args.batch + 1, args.batch)
    ]
    # For the check dropout is off, as each side draws its own mask.
    model = compiled(steps=10**6, dropout=0.0)
    trainers = {}
    for name, channels_last in (("PyTorch", False), ("PyTorch channels_last", True)):
        net = torch_networks.SmallCNN(0.0)
        torch_networks.copy_weights(model, net)
        trainers[name] = torch_training.Trainer(net, PEAK, MOMENTUM, WEIGHT_DECAY, channels_last, args.threads)
    ours = float(model.train_on_batch(*batches[0], return_dict=True)["loss"])
    for name, trainer in trainers.items():
        theirs = trainer.penalty()
        theirs += float(trainer.step(trainer.images(batches[0][0]), trainer.labels(batches[0][1])))
        difference = abs(ours - theirs) / theirs
        print(f"first loss: cnncore {ours:.7f}, {name} {theirs:.7f}, relative difference {difference:.1e}")
        if not difference < 1e-4:
            raise SystemExit(f"fashion-mnist: the first losses of cnncore and {name} must agree; nothing is timed")

    model = compiled(steps=10**6)
    for trainer in trainers.values():
        trainer.net.dropout.p = DROPOUT

    def block_of(step, prepared):
        def block():
            for i in range(args.steps):
                step(*prepared[i % len(prepared)])

        return block

    candidates = {"cnncore": block_of(model.train_on_batch, batches)}
    for name, trainer in trainers.items():
        candidates[name] = block_of(trainer.step, [(trainer.images(a), trainer.labels(b)) for a, b in batches])
    timings = timing.alternate(candidates, rounds=args.rounds, warmup=1)
    print(f"{args.steps} training steps of batch {args.batch}:")
    print(timing.report(timings, images=args.steps * args.batch))


def run(args):
    import cnncore as cc
    from cnncore import datasets

    (x, y), (x_test, y_test) = datasets.fashion_mnist.load_data()
    x, y, x_test = x[: args.images, ..., None], y[: args.images], x_test[..., None]
    mean, std = x.mean(), x.std()
    x, x_test = ((images.astype(np.float32) - np.float32(mean)) / np.float32(std) for images in (x, x_test))
    cc.utils.set_random_seed(args.seed)
    model = compiled(args.epochs * -(-len(x) // args.batch))
    initial = model.get_weights()
    start = time.perf_counter()
    model.fit(x, y.astype(np.int32), batch_size=args.batch, epochs=args.epochs, verbose=2)
    elapsed = time.perf_counter() - start
    accuracy = float(np.mean(np.argmax(model.predict(x_test, batch_size=1000, verbose=0), axis=1) == y_test))
    print(timing.environment(args.threads))
    print(
        f"cnncore: test accuracy {accuracy:.4f} after {args.epochs} epochs in {elapsed:.1f} s, "
        f"{args.epochs * len(x) / elapsed:.0f} images/s with all that fit does"
    )
    if not args.no_peer:
        if args.train_peer:
            model.set_weights(initial)
            peer_accuracy, speed = train_peer(model, x, y, x_test, y_test, args)
            print(f"PyTorch channels_last: test accuracy {peer_accuracy:.4f}, {speed:.0f} images/s in a plain loop")
        compare_speed(x, y, args)
    if accuracy < TARGET:
        print(f"the target is {TARGET}")
        return 1
    return 0
