"""cnncore show: a look at the data."""

from . import arguments, augmentation, data as data_module, reading

HELP = "look at a data set: a sheet of its images, before and after augmentation, and what is wrong with it"
DESCRIPTION = """\
Print the classes of a data set, the statistics of its channels, and, of a folder, the files that cannot be read, have a
wrong extension or are in it twice, and draw a sheet of its images as a PNG file.

With --augment each row of the sheet is one image as it is, followed by what training would see of it in some epochs."""
EXAMPLES = """\
  cnncore show photos/
  cnncore show photos/ --augment "HorizontalFlip, Rotation(15), ColorJitter(0.4, 0.4, 0.4)" --output augmented.png
  cnncore show cifar10 --augment TrivialAugment --count 10
  cnncore show photos/ --no-check                        the sheet only
"""


def add_arguments(parser):
    parser.add_argument("data", nargs="?", default="digits", metavar="DATA", help=data_module.HELP)
    parser.add_argument("--augment", metavar="TRANSFORMS", help=augmentation.HELP)
    parser.add_argument(
        "--output", default="sheet.png", metavar="FILE", help="where the sheet is saved (default: sheet.png)"
    )
    parser.add_argument(
        "--count",
        type=arguments.positive_integer,
        metavar="N",
        help="images on the sheet (default: 36; with --augment 6)",
    )
    parser.add_argument(
        "--variants",
        type=arguments.positive_integer,
        metavar="N",
        help="with --augment, epochs shown of each image (default: 5)",
    )
    parser.add_argument(
        "--image-size",
        type=arguments.image_size,
        metavar="HxW",
        help="to which images are cropped and resized before they are augmented (default: as they are)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the augmentation (default: 0)")
    parser.add_argument(
        "--no-check", action="store_true", help="do not read all images for statistics and repeated or damaged ones"
    )


def run(args):
    from .. import data

    if args.variants is not None and args.augment is None:
        raise ValueError("--variants needs --augment; give it too")
    arguments.check_output(args.output)
    transform = None if args.augment is None else augmentation.parse(args.augment)
    kind, parts = _parts(args.data)
    if transform is not None:
        for sentence in augmentation.label_warnings(transform, kind):
            print(f"warning: {sentence}")
    for name, part in parts.items():
        counts = data.class_counts(part)
        print(
            f"{name}: {len(part):,} images, {len(counts)} classes: "
            + ", ".join(f"{k} {n:,}" for k, n in counts.items())
        )
    if not args.no_check:
        with reading.without_warnings():
            parts = _checked(parts)
    shown = next(iter(parts.values()))
    if transform is None:
        count = min(args.count or 36, len(shown))
        numbers = [i * len(shown) // count for i in range(count)]  # evenly spaced, so that all classes are seen
        images = [shown.image(i, args.image_size) for i in numbers]
        if args.image_size:
            images = [data.resized(image, args.image_size) for image in images]
        sheet = data.contact_sheet(images, shown.labels[numbers], shown.class_names)
    else:
        sheet = data.augmentation_sheet(
            shown, transform, args.count or 6, args.variants or 5, args.image_size, seed=args.seed
        )
    sheet.save(args.output, "PNG")
    print(f"saved to {args.output}")


def _parts(text):
    """(kind, {"train": ..., "test": ...}) of what DATA names, the second data set only where there is one."""
    from .. import data

    name, folder = data_module.find(text)
    if name is not None:
        known = data_module.known(name, folder)
        return name, {"train": known.train, "test": known.test}
    train = data.ImageFolder(data_module.part(folder, data_module.TRAINING_FOLDERS) or folder)
    test = data_module.part(folder, data_module.TEST_FOLDERS)
    if test is None:
        return "folder", {"train": train}
    return "folder", {"train": train, "test": data.ImageFolder(test, class_names=train.class_names)}


def _checked(parts):
    """Print what is to be known of the images; returns the parts without the files that cannot be read."""
    from .. import data

    readable = {}
    for name, part in parts.items():
        if part.path(0) is None:
            readable[name] = part
            continue
        report = data.check_files(part)
        for line in report.lines():
            print(f"{name}: {line}")
        if not len(report.readable):
            raise ValueError(f"{name}: no image can be read")
        readable[name] = part.subset(report.readable)
    found = data.channel_statistics(readable["train"])
    for what in ("mean", "std", "min", "max"):
        print(f"train: {what:4} of the channels " + " ".join(f"{value:8.3f}" for value in getattr(found, what)))
    repeated = data.find_duplicates(readable, distance=None if readable["train"].path(0) is None else 4)
    leaks = sum(len(entry.splits) > 1 for entry in repeated)
    print(f"images that are there more than once: {len(repeated)}; in training and in test: {leaks}")
    for entry in repeated:
        names = " and ".join(f'{member.split} "{member.name}"' for member in entry.members)
        print(f"{'same file' if entry.exact else 'look alike'}: {names}")
    return readable
