"""cnncore train: learn to classify images."""

import time
from functools import partial

from . import arguments, networks
from . import data as data_module

HELP = "train a network on images and save it"
DESCRIPTION = """\
Train a network to classify images, test it on images it has not seen, and save it.

Everything prediction needs is in the saved file: the network, its weights, the scaling of the pixels and the names of
the classes. The same --seed gives the same weights, bit for bit, on any number of threads. All images are held in
memory."""
EXAMPLES = """\
  cnncore train                                          the handwritten digits that come with the package
  CNNCORE_DATA=~/data cnncore train fashion-mnist --model lenet --epochs 10
  cnncore train photos/ --image-size 96x96 --output photos.cnn
  cnncore train photos/ --model mynet.py --optimizer adamw --learning-rate 0.002
"""

# Epochs, batch size and learning rate of SGD by data set; "folder" is for one's own images.
DEFAULTS = {
    "digits": (15, 16, 0.05),
    "mnist": (5, 64, 0.01),
    "fashion-mnist": (8, 64, 0.01),
    "cifar10": (20, 64, 0.01),
    "cifar100": (30, 64, 0.01),
    "folder": (20, 32, 0.01),
}
ADAM_LEARNING_RATE = 0.001
WEIGHT_DECAY = 0.01  # decoupled, of SGD and AdamW
OPTIMIZERS = ("sgd", "adam", "adamw")


def add_arguments(parser):
    parser.add_argument("data", nargs="?", default="digits", metavar="DATA", help=data_module.HELP)
    parser.add_argument("--model", default="small", metavar="NAME", help=f"{networks.HELP} (default: small)")
    parser.add_argument(
        "--epochs",
        type=arguments.positive_integer,
        metavar="N",
        help="passes over the training images (default: by data set, 5 to 30)",
    )
    parser.add_argument(
        "--batch-size",
        type=arguments.positive_integer,
        metavar="N",
        help="images per step (default: by data set, 16 to 64)",
    )
    parser.add_argument(
        "--optimizer",
        choices=OPTIMIZERS,
        default="sgd",
        help=f"sgd (default; with Nesterov momentum 0.9 and decoupled weight decay {WEIGHT_DECAY}), adam, or adamw "
        "(with the same decay)",
    )
    parser.add_argument(
        "--learning-rate",
        type=arguments.positive_number,
        metavar="RATE",
        help="at the beginning; it falls to 0 along a cosine (default: sgd 0.01 or 0.05 by data set, adam and adamw "
        f"{ADAM_LEARNING_RATE})",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of initial weights, shuffling, dropout and the choice of test images (default: 0)",
    )
    parser.add_argument(
        "--image-size",
        type=arguments.image_size,
        metavar="HxW",
        help="to which a folder's images are cropped and resized (default: 64x64)",
    )
    parser.add_argument(
        "--validation",
        type=float,
        metavar="FRACTION",
        help="of a folder's images to test with, where it has no val/ (default: 0.2)",
    )
    parser.add_argument(
        "--output", default="model.cnn", metavar="FILE", help="where the model is saved (default: model.cnn)"
    )
    parser.add_argument("--quiet", action="store_true", help="print the test accuracy and the file only")


def run(args):
    from ..utils import set_random_seed

    arguments.check_output(args.output)
    build = networks.builder(args.model)
    set_random_seed(args.seed)
    data = data_module.load(args.data, args.image_size, args.validation, args.seed)
    say = (lambda text: None) if args.quiet else partial(print, flush=True)
    shape = data.x_train.shape[1:]
    say(
        f"{data.name}: {len(data.x_train):,} images to train with, {len(data.x_test):,} to test with, "
        f"{'x'.join(map(str, shape))}, {len(data.classes)} classes"
    )
    model = networks.classifier(build, shape, data.classes)
    epochs, batch_size, rate = DEFAULTS[data.kind]
    epochs, batch_size = args.epochs or epochs, args.batch_size or batch_size
    steps = epochs * -(-len(data.x_train) // batch_size)
    model.compile(
        _optimizer(args, rate, steps), loss="sparse_categorical_crossentropy", metrics=["accuracy"], seed=args.seed
    )
    begin = time.perf_counter()
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=(data.x_test, data.y_test),
        verbose=0 if args.quiet else "auto",
    )
    say(f"trained {model.count_params():,} weights in {time.perf_counter() - begin:.1f} s")
    scores = model.evaluate(data.x_test, data.y_test, batch_size=64, verbose=0, return_dict=True)
    print(f"test accuracy {scores['accuracy']:.4f} on {len(data.x_test):,} images")
    model.save(args.output)
    print(f"saved to {args.output}")
    say(f"next: cnncore predict {args.output} IMAGE...    or    cnncore info {args.output}")


def _optimizer(args, rate, steps):
    from .. import optimizers

    schedule = optimizers.schedules.CosineDecay(
        args.learning_rate or (rate if args.optimizer == "sgd" else ADAM_LEARNING_RATE), steps
    )
    if args.optimizer == "sgd":
        return optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY)
    return (
        optimizers.Adam(schedule) if args.optimizer == "adam" else optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY)
    )
