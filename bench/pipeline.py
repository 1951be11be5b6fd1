"""Photos to batches: images per second beside PyTorch's DataLoader, and what the pipeline costs a training step.

Random resized crop, flip and colour jitter to 224x224: cnncore's Loader with threads; PyTorch's DataLoader with as many
processes, the transforms done with Pillow, as torchvision does them, and with albumentations where it is installed.
Each candidate walks over all photos in turn; all draw crops from the same distribution. Then training steps on all
threads: with batches made ahead, and fed by the Loader from the same photos; for ResNet-20 on CIFAR-10, by
BatchAugment.
"""

import functools
import importlib.util
import os

import numpy as np

from . import timing

PACKAGES = ("cnncore", "pillow", "numpy", "torch", "albumentations", "opencv-python-headless")
JITTER = 0.4
TOLERANCE = 3.0  # grey levels, mean difference of one picture: peers round between steps, OpenCV does not average
CIFAR_RECIPE = {"flip": 0.5, "shift": 4, "cutout": 16}


def add_arguments(parser):
    parser.add_argument(
        "--photos", metavar="FOLDER", help="a folder of class folders (default: flowers/train below CNNCORE_DATA)"
    )
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="threads, or processes of PyTorch")
    parser.add_argument("--rounds", type=int, default=5, help="walks over the photos of each candidate")
    parser.add_argument("--what", choices=("pipeline", "steps", "both"), default="both")
    parser.add_argument(
        "--networks",
        nargs="*",
        default=["resnet18", "mobilenet_v2", "resnet20"],
        metavar="NAME",
        help="whose training steps are fed: of cnncore.models; resnet20 takes CIFAR-10",
    )
    parser.add_argument("--steps", type=int, default=6, help="in a timed block")


def recipe(size):
    """cnncore's transforms."""
    from cnncore import augment

    return augment.Compose(
        [augment.RandomResizedCrop(size), augment.HorizontalFlip(), augment.ColorJitter(JITTER, JITTER, JITTER)]
    )


def check(path, size):
    """Stop unless all sides make the same picture with fixed factors; returns {name: mean difference}."""
    from cnncore import augment, data

    factors = (1.2, 0.8, 1.3)
    photo = data.ImageFiles([path]).image(0)
    fixed = augment.Compose([augment.Resize((size, size)), augment.ColorJitter(*((f, f) for f in factors))])
    ours = np.asarray(fixed(photo), np.float64)
    found = {}
    if importlib.util.find_spec("torch"):
        from PIL import Image

        from . import peer_pipelines

        theirs = photo.resize((size, size), Image.Resampling.BILINEAR)
        for which, factor in enumerate(factors):
            theirs = peer_pipelines.enhanced(theirs, which, factor)
        found["torchvision's steps with Pillow"] = np.abs(np.asarray(theirs, np.float64) - ours).mean()
    if importlib.util.find_spec("albumentations"):
        import albumentations

        ranges = dict(zip(("brightness", "contrast", "saturation"), ((f, f) for f in factors)))
        steps = albumentations.Compose(
            [albumentations.Resize(size, size), albumentations.ColorJitter(**ranges, hue=(0, 0), p=1.0)]
        )
        pixels = np.asarray(photo)  # in an order that is drawn anew each time, of which one is ours
        made = (steps(image=pixels)["image"].astype(np.float64) for _ in range(50))
        found["albumentations"] = min(np.abs(theirs - ours).mean() for theirs in made)
    for name, difference in found.items():
        print(f"the same picture by {name}: mean difference {difference:.2f} grey levels")
        if not difference < TOLERANCE:
            raise SystemExit(
                f"pipeline: {name} must give the same picture to {TOLERANCE:g} grey levels; nothing is timed"
            )
    return found


def candidates(photos, args, workers):
    """{name: function that walks over all photos}."""
    from cnncore import data

    def ours(cache=None):
        loader = data.Loader(
            photos, args.batch, shuffle=True, seed=0, workers=workers, transform=recipe(args.size), cache=cache
        )
        return functools.partial(walk, loader)

    found = {"cnncore Loader": ours()}
    if importlib.util.find_spec("torch"):
        from . import peer_pipelines as peers

        labels = photos.labels.tolist()
        sets = {
            "PyTorch DataLoader, Pillow": peers.PillowPhotos(photos.paths, labels, args.size, JITTER),
            "PyTorch DataLoader, Pillow, floats": peers.PillowPhotos(photos.paths, labels, args.size, JITTER, True),
        }
        if importlib.util.find_spec("albumentations"):
            sets["PyTorch DataLoader, albumentations"] = peers.AlbumentationsPhotos(
                photos.paths, labels, args.size, JITTER
            )
        for name, dataset in sets.items():
            found[name] = functools.partial(walk, peers.loader(dataset, args.batch, workers))
    found["cnncore Loader, photos cached"] = ours(data.MemoryCache(1 << 30))
    return found


def walk(loader):
    for _ in loader:
        pass


def compare_pipelines(photos, args):
    for package in ("torch", "albumentations"):
        if not importlib.util.find_spec(package):
            print(f"{package} is not installed, and left out")
    check(photos.paths[0], args.size)
    for workers in args.workers:
        timings = timing.alternate(candidates(photos, args, workers), args.rounds, warmup=1)
        print(
            f"{len(photos)} photos to {args.size}x{args.size} in batches of {args.batch}, {workers} "
            f"{'thread or process' if workers == 1 else 'threads or processes'}, {args.rounds} walks each:"
        )
        rivals = [name for name in timings if not name.startswith("cnncore")]
        best = min(rivals, key=lambda name: timings[name].median_s, default=None)
        print(timing.report(timings, images=len(photos), reference=best), flush=True)


def fed_steps(name, photos, args):
    """(batch size, {name: function for args.steps batches})."""
    import cnncore as cc
    from cnncore import augment, data, datasets, models, preprocessing

    if name == "resnet20":
        batch, shape, classes = 128, (32, 32, 3), 10
        x, y = datasets.cifar10.load_data()[0]
        x, y = x[: args.steps * batch], y[: args.steps * batch].ravel()
        flow = augment.BatchAugment(**CIFAR_RECIPE, rescale=1 / 255).flow(x, y, batch, seed=0)
        network = models.build(name)
    else:
        batch, shape, classes = 16, (args.size, args.size, 3), len(photos.class_names)
        part = photos.subset(np.arange(args.steps * batch) % len(photos))
        flow = data.Loader(part, batch, shuffle=True, seed=0, transform=recipe(args.size))
        network = models.build(name, input_shape=shape, classes=classes)
        network = preprocessing.prepend(network, preprocessing.Rescale())
    network.compile(cc.optimizers.SGD(1e-4, momentum=0.9), loss="sparse_categorical_crossentropy")
    ahead = list(flow)

    def train(batches):
        for x, y in batches:
            network.train_on_batch(x, y)

    return batch, {
        "batches made ahead": functools.partial(train, ahead),
        "fed by the pipeline": functools.partial(train, flow),
        "pipeline alone": functools.partial(walk, flow),
    }


def share_of_steps(photos, args):
    for name in args.networks:
        batch, functions = fed_steps(name, photos, args)
        timings = timing.alternate(functions, args.rounds, warmup=1)
        ahead, fed, alone = (t.median_s / args.steps for t in timings.values())
        print(
            f"{name}, batch {batch}, {args.threads} threads: step {1e3 * ahead:.1f} ms with batches made ahead, "
            f"{1e3 * fed:.1f} ms fed by the pipeline: {100 * (1 - ahead / fed):.1f} % of the step; a batch takes "
            f"{1e3 * alone:.2f} ms where nothing is trained, {100 * alone / fed:.1f} % of the step",
            flush=True,
        )


def run(args):
    from cnncore import data

    folder = args.photos or os.path.join(os.environ.get("CNNCORE_DATA", ""), "flowers", "train")
    if not os.path.isdir(folder):
        raise SystemExit(f'pipeline: there is no folder "{folder}"; give --photos, or set CNNCORE_DATA')
    photos = data.ImageFolder(folder)
    print(timing.environment(args.threads, PACKAGES))
    if args.what != "steps":
        compare_pipelines(photos, args)
    if args.what != "pipeline":
        share_of_steps(photos, args)
    return 0
