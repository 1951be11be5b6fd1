"""Training step and inference of the zoo's networks beside PyTorch: same weights, same images, same number of threads.

PyTorch runs in its default memory format and in channels_last; the faster one counts. The results are compared before
anything is timed.
"""

import numpy as np

from . import timing

SHAPES = {
    "lenet": (28, 28, 1), "vgg_cifar": (32, 32, 3), "resnet18_cifar": (32, 32, 3), "resnet20": (32, 32, 3),
    "vgg16": (224, 224, 3), "resnet18": (224, 224, 3), "resnet50": (224, 224, 3), "mobilenet_v2": (224, 224, 3),
}
TOLERANCE = 1e-3  # of the largest logit, for a check that both sides compute the same network


def add_arguments(parser):
    parser.add_argument("names", nargs="*", default=["lenet", "vgg_cifar", "resnet20"], metavar="NAME",
                        help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--what", choices=("training", "inference", "both"), default="both")
    parser.add_argument("--rounds", type=int, default=9, help="timed blocks of each side")
    parser.add_argument("--block-s", type=float, default=0.3, help="least duration of a timed block, in seconds")


def repeated(function, count):
    def block():
        for _ in range(count):
            function()
    return block


def race(title, candidates, batch, args):
    """Time the candidates in blocks of equally many calls and print the table, a call at a time."""
    first = timing.alternate(candidates, rounds=1, warmup=2)
    count = max(1, int(args.block_s / max(t.min_s for t in first.values())))
    timings = timing.alternate({name: repeated(f, count) for name, f in candidates.items()}, args.rounds, warmup=1)
    for t in timings.values():
        t.seconds = [s / count for s in t.seconds]
    print(f"{title}, batch {batch}, {args.rounds} rounds of {count}:")
    print(timing.report(timings, images=batch), flush=True)


def run(args):
    import cnncore as cc
    from cnncore import models
    import torch

    from . import peers_torch

    for name in args.names:
        if name not in SHAPES:
            raise SystemExit(f"networks: NAME must be one of {', '.join(SHAPES)}, got {name!r}")
    print(timing.environment(args.threads))
    for name in args.names:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(args.batch, *SHAPES[name])).astype(np.float32)
        # No dropout: both sides do the same.
        dropout = {"dropout": 0.0} if name in ("vgg16", "mobilenet_v2") else {}
        model = models.build(name, input_shape=SHAPES[name], classifier_activation=None, **dropout)
        classes = model.outputs[0].shape[-1]
        y = rng.integers(0, classes, args.batch).astype(np.int32)
        model.compile(optimizer=cc.optimizers.SGD(1e-3, momentum=0.9, nesterov=True),
                      loss=cc.losses.SparseCategoricalCrossentropy(from_logits=True))
        trainers = {}
        for peer, channels_last in (("PyTorch", False), ("PyTorch channels_last", True)):
            net = peers_torch.NETWORKS[name](**dropout)
            peers_torch.copy_weights(model, net)
            trainers[peer] = peers_torch.Trainer(net, 1e-3, 0.9, channels_last=channels_last, threads=args.threads)
        ours = np.asarray(model.predict_on_batch(x))
        for peer, trainer in trainers.items():
            theirs = trainer.predict(x)
            difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
            print(f"{name}: logits of cnncore and {peer} differ by {difference:.1e} of the largest")
            if not difference < TOLERANCE:
                raise SystemExit(f"networks: the logits of {name} must agree to {TOLERANCE}; nothing is timed")
        if args.what != "training":
            candidates = {"cnncore": lambda: model.predict_on_batch(x)}
            for peer, trainer in trainers.items():
                candidates[peer] = inference(torch, trainer, trainer.images(x))
            race(f"{name} inference", candidates, args.batch, args)
        if args.what != "inference":
            candidates = {"cnncore": lambda: model.train_on_batch(x, y)}
            for peer, trainer in trainers.items():
                candidates[peer] = training(trainer, trainer.images(x), trainer.labels(y))
            race(f"{name} training step", candidates, args.batch, args)
    return 0


def inference(torch, trainer, images):
    def call():
        trainer.net.eval()
        with torch.inference_mode():
            trainer.net(images)
    return call


def training(trainer, images, labels):
    return lambda: trainer.step(images, labels)
