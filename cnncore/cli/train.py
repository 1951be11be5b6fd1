"""cnncore train: learn to classify images."""

import math
import sys
import time
from functools import partial

from . import arguments, augmentation, data as data_module, networks, reading, specification

HELP = "train a network on images and save it"
DESCRIPTION = """\
Train a network to classify images, test it on images it has not seen, and save it.

Everything prediction needs is in the saved file: the network, its weights, the preprocessing, which is fitted to the
training images alone, and the names of the classes. The same --seed gives the same weights, bit for bit, on any number
of threads and workers.

The photos of a folder are read once before the training, to find those that cannot be read and to fit the
preprocessing, and are then decoded, resized and augmented by threads while the network trains; only the cache and a few
batches are held in memory."""
EXAMPLES = """\
  cnncore train                                          the handwritten digits that come with the package
  CNNCORE_DATA=~/data cnncore train fashion-mnist --model lenet --epochs 10
  cnncore train photos/ --image-size 96x96 --output photos.cnn
  cnncore train photos/ --augment "HorizontalFlip, Rotation(15), ColorJitter(0.4, 0.4, 0.4)"
  cnncore train photos/ --image-size 128 --load-size 160 --augment "RandomResizedCrop(128), HorizontalFlip"
  cnncore train photos/ --model mynet.py --optimizer adamw --learning-rate 0.002 --cache disk:20G
"""

# Epochs, batch size and learning rate of SGD by data set; "folder" is for one's own images.
DEFAULTS = {
    "digits": (15, 16, 0.05),
    "mnist": (5, 64, 0.01),
    "fashion-mnist": (8, 64, 0.01),
    "cifar10": (20, 64, 0.01),
    "cifar100": (30, 64, 0.01),
    "folder": (20, 32, 0.002),
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
        help="at the beginning; it falls to 0 along a cosine (default: sgd 0.002 to 0.05 by data set, adam and adamw "
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
    parser.add_argument("--augment", metavar="TRANSFORMS", help=f"of the training images: {augmentation.HELP}")
    parser.add_argument(
        "--load-size",
        type=arguments.image_size,
        metavar="HxW",
        help="to which training images are cropped and resized before --augment, larger than --image-size for "
        "augmentations that cut pieces out (default: --image-size); what comes out is resized to --image-size",
    )
    parser.add_argument(
        "--preprocess",
        default="Standardize",
        metavar="STEPS",
        help="classes of cnncore.preprocessing, with their arguments as in Python, fitted to the training images and "
        'stored in the model, such as "Rescale" or "GlobalContrastNormalization, MeanImage" (default: Standardize)',
    )
    parser.add_argument(
        "--cache",
        type=arguments.cache,
        default="512M",
        metavar="SIZE",
        help="of decoded and resized images that are kept for the next epoch: bytes with K, M or G, in memory, or in a "
        "temporary file as disk:SIZE; 0: none (default: 512M)",
    )
    parser.add_argument(
        "--workers",
        type=arguments.natural_number,
        metavar="N",
        help="threads that decode and augment images (default: as many as --threads, at most 8); 0: none of their own",
    )
    parser.add_argument(
        "--strict", action="store_true", help="stop at a file that cannot be read; by default such files are left out"
    )
    parser.add_argument(
        "--output", default="model.cnn", metavar="FILE", help="where the model is saved (default: model.cnn)"
    )
    parser.add_argument("--quiet", action="store_true", help="print the test accuracy and the file only")


def run(args):
    from ..utils import set_random_seed

    arguments.check_output(args.output)
    if args.load_size is not None and args.augment is None:
        raise ValueError("--load-size needs --augment; give it too, or only --image-size")
    build = networks.builder(args.model)
    preprocessing = _preprocessing(args.preprocess)
    transform = None if args.augment is None else augmentation.parse(args.augment)
    set_random_seed(args.seed)
    read = data_module.load(args.data, args.validation, args.seed)
    size = _image_size(args, read)
    say = (lambda text: None) if args.quiet else partial(print, flush=True)
    for sentence in augmentation.label_warnings(transform, read.kind) if transform else ():
        say(f"warning: {sentence}")
    epochs, batch_size, rate = DEFAULTS[read.kind]
    epochs, batch_size = args.epochs or epochs, args.batch_size or batch_size
    with reading.without_warnings():
        train, test = _loaders(args, read, size, batch_size, transform, preprocessing)
        shape = preprocessing.sample_shape
        say(
            f"{read.name}: {len(train.dataset):,} images to train with, {len(test.dataset):,} to test with, "
            f"{'x'.join(map(str, shape))}, {len(read.classes)} classes"
        )
        model = networks.classifier(build, shape, read.classes, preprocessing)
        model.compile(
            _optimizer(args, rate, epochs * len(train)),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            seed=args.seed,
        )
        begin = time.perf_counter()
        history = model.fit(train, epochs=epochs, validation_data=test, verbose=0 if args.quiet else "auto").history
    for line in reading.skipped_lines({**train.skipped, **test.skipped}):  # what has been damaged or removed since
        print(line, file=sys.stderr)
    weights = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    say(f"trained {weights:,} weights in {time.perf_counter() - begin:.1f} s")
    print(f"test accuracy {history['val_accuracy'][-1]:.4f} on {len(test.dataset):,} images")
    model.save(args.output)
    print(f"saved to {args.output}")
    say(f"next: cnncore predict {args.output} IMAGE...    or    cnncore info {args.output}")


def _preprocessing(text):
    from .. import preprocessing

    public = {name: getattr(preprocessing, name) for name in preprocessing.__all__ if name != "Preprocessor"}
    known = {name: value for name, value in public.items() if isinstance(value, type)}
    steps = specification.parse("--preprocess", text, known, "preprocessing step")
    return steps[0] if len(steps) == 1 else preprocessing.Pipeline(steps)


def _image_size(args, read):
    if read.kind == "folder":
        return args.image_size or (64, 64)
    for option, value in (("--image-size", args.image_size), ("--load-size", args.load_size)):
        if value is not None:
            raise ValueError(
                f"{option} must be left out for {read.name}, which has a size of its own; it is for folders of images"
            )
    return read.train.x.shape[1:3]


def _loaders(args, read, size, batch_size, transform, preprocessing):
    """Loaders of the training and the test images that can be read; the preprocessing is fitted on the way."""
    from .. import augment, data

    loader = partial(
        data.Loader,
        batch_size=batch_size,
        seed=args.seed,
        workers=args.workers,
        cache=args.cache,
        on_error="raise" if args.strict else "skip",
    )
    parts = []
    for name, part in (("training", read.train), ("test", read.test)):
        walk = reading.Walk(loader(part, image_size=size), f"Reading {name} images", 0 if args.quiet else "auto")
        if part is read.train:
            preprocessing.fit(walk)
        elif part.path(0) is not None:  # arrays can be read
            walk.to_the_end()
        parts.append(walk.readable())
    if transform is not None:  # where the size is right already, the last step does nothing
        transform = augment.Compose([transform, augment.Resize(size)])
    train, test = parts
    return (
        loader(train, shuffle=True, image_size=args.load_size or size, transform=transform),
        loader(test, image_size=size),
    )


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
