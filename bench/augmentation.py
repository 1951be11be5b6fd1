"""What augmentation is worth: ResNet-20 on CIFAR-10 with the same budget, with and without it; test accuracy by seed.

All variants see the same number of images in as many steps, with the same learning rates; only what BatchAugment does
to the batches differs. Cutout (DeVries and Taylor 2017) and mixup (Zhang et al. 2018) come on top of flips and shifts.
"""

import json
import pathlib
import statistics
import time

import numpy as np

from . import schedule, timing
from .cifar10 import MEAN, MOMENTUM, STD, normalised

FLIP_AND_SHIFT = {"flip": 0.5, "shift": 4}
VARIANTS = {
    "none": {},
    "flip+shift": FLIP_AND_SHIFT,
    "+cutout": {**FLIP_AND_SHIFT, "cutout": 16},
    "+mixup": {**FLIP_AND_SHIFT, "mixup": 0.2},
}
BUDGET = ("images", "epochs", "batch", "learning_rate", "weight_decay")  # the same for all variants of a table


def add_arguments(parser):
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=VARIANTS,
        default=list(VARIANTS),
        metavar="NAME",
        help=f"of {', '.join(VARIANTS)} (default: all)",
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each variant, with the seeds 0, 1, ...")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--images", type=int, default=50000, help="train on the first of them only")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.2, help="the peak, after a fifth of the run")
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument(
        "--results",
        metavar="FILE",
        help="one JSON object a line: runs that are there already are not "
        "repeated, new ones are added, so that an interrupted study goes on",
    )


def train(variant, seed, args, training, test):
    """Train one network; returns what is to be noted of it."""
    import cnncore as cc
    from cnncore import augment, models

    cc.utils.set_random_seed(seed)
    recipe = augment.BatchAugment(**VARIANTS[variant], rescale=1 / 255, mean=MEAN.tolist(), std=STD.tolist())
    batches = recipe.flow(*training, batch_size=args.batch, seed=seed, threads=args.threads)
    steps = args.epochs * len(batches)
    rate = schedule.cosine_decay(cc, steps, args.learning_rate, max(1, steps // 5), args.learning_rate / 10)
    model = models.resnet_cifar(20, weight_decay=args.weight_decay)
    model.compile(
        cc.optimizers.SGD(rate, momentum=MOMENTUM, nesterov=True),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
        seed=seed,
    )
    start = time.perf_counter()
    history = model.fit(batches, epochs=args.epochs, verbose=0, threads=args.threads).history
    seconds = time.perf_counter() - start
    accuracy = model.evaluate(*test, batch_size=500, verbose=0, return_dict=True)["accuracy"]
    return {
        "variant": variant,
        "seed": seed,
        **{name: getattr(args, name) for name in BUDGET},
        "accuracy": float(accuracy),
        "loss": history["loss"][-1],
        "seconds": round(seconds, 1),
    }


def line(run):
    return (
        f"{run['variant']:<10}  seed {run['seed']}  test accuracy {run['accuracy']:.4f}  training loss "
        f"{run['loss']:.4f}  {run['seconds']:.0f} s"
    )


def markdown(runs):
    """A table of the mean test accuracy and its standard deviation over the seeds."""
    lines = ["| augmentation | test accuracy | runs | lowest | highest |", "| --- | ---: | ---: | ---: | ---: |"]
    for variant in VARIANTS:
        found = [run["accuracy"] for run in runs if run["variant"] == variant]
        if found:
            spread = f" ± {100 * statistics.stdev(found):.2f}" if len(found) > 1 else ""
            lines.append(
                f"| {variant} | {100 * statistics.mean(found):.2f}{spread} % | {len(found)} | "
                f"{100 * min(found):.2f} % | {100 * max(found):.2f} % |"
            )
    return "\n".join(lines)


def earlier(args):
    """Runs of --results with this budget."""
    if not args.results or not pathlib.Path(args.results).exists():
        return []
    runs = [json.loads(text) for text in pathlib.Path(args.results).read_text(encoding="utf-8").splitlines()]
    return [run for run in runs if all(run[name] == getattr(args, name) for name in BUDGET)]


def run(args):
    from cnncore import datasets, utils

    print(timing.environment(args.threads, ("cnncore", "numpy")))
    (x, y), (x_test, y_test) = datasets.cifar10.load_data()
    y, y_test = (utils.to_categorical(labels, 10).astype(np.float32) for labels in (y, y_test))
    training, test = (x[: args.images], y[: args.images]), (normalised(x_test), y_test)
    runs = earlier(args)
    done = {(run["variant"], run["seed"]) for run in runs}
    for found in runs:
        print(f"{line(found)}  (from {args.results})")
    for seed in range(args.seeds):
        for variant in args.variants:
            if (variant, seed) in done:
                continue
            runs.append(train(variant, seed, args, training, test))
            print(line(runs[-1]), flush=True)
            if args.results:
                with open(args.results, "a", encoding="utf-8") as file:
                    file.write(json.dumps(runs[-1]) + "\n")
    print(f"\nResNet-20, CIFAR-10, {len(training[0]):,} images, {args.epochs} epochs, batch {args.batch}:\n")
    print(markdown(runs))
    return 0
