"""Makes the pictures of docs/ again: python tools/make_docs_pictures.py [FOLDER WITH THE FLOWER PHOTOS' CLASSES]

From the digits that come with the package, and from five of TensorFlow's flower photos (CC BY 2.0; their numbers are in
docs/augmentation.md), which are looked for in flowers/train below CNNCORE_DATA.
"""

import os
import pathlib
import sys

import numpy as np

from cnncore import augment, data, datasets, preprocessing

PICTURES = pathlib.Path(__file__).resolve().parents[1] / "docs" / "pictures"
PHOTOS = {
    "daisy": "3939135368_0af5c4982a_n.jpg",
    "dandelion": "3398195641_456872b48b_n.jpg",
    "roses": "15498482197_8878cdfb07_n.jpg",
    "sunflowers": "1008566138_6927679c8a.jpg",
    "tulips": "112334842_3ecf7585dd.jpg",
}
RECIPE = augment.Compose(
    [
        augment.RandomResizedCrop(160, scale=(0.35, 1)),
        augment.HorizontalFlip(),
        augment.Rotation(15, fill_mode="reflect"),
        augment.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4),
    ]
)
GEOMETRY = [
    augment.HorizontalFlip(1),
    augment.VerticalFlip(1),
    augment.Transpose(1),
    augment.Rotation((20, 20)),
    augment.Translation((0.2, 0.2), (0.1, 0.1)),
    augment.Scale((1.5, 1.5)),
    augment.Scale((0.7, 0.7)),
    augment.Shear((20, 20)),
    augment.Stretch((1.4, 1.4), (0.8, 0.8)),
    augment.Perspective(0.7),
    augment.RandomCrop(100),
    augment.RandomResizedCrop(160, scale=(0.2, 0.2)),
    augment.CenterCrop(100),
    augment.Pad(24),
    augment.ElasticDeformation(60, 6),
    augment.LensDistortion((0.4, 0.4)),
    augment.LensDistortion((-0.25, -0.25)),
]
COLOUR = [
    augment.Brightness((1.5, 1.5)),
    augment.Contrast((0.5, 0.5)),
    augment.Saturation((1.8, 1.8)),
    augment.Hue((0.15, 0.15)),
    augment.Gamma((0.5, 0.5)),
    augment.Sharpness((3, 3)),
    augment.Grayscale(1),
    augment.Posterize((2, 2)),
    augment.Solarize(128),
    augment.Equalize(1),
    augment.AutoContrast(1),
    augment.GaussianBlur((3, 3)),
    augment.JpegQuality(5),
    augment.GaussianNoise((0.1, 0.1)),
    augment.SaltAndPepperNoise((0.05, 0.05)),
    augment.SpeckleNoise((0.3, 0.3)),
    augment.Cutout(50),
    augment.RandomErasing(p=1),
    augment.RandAugment(),
    augment.TrivialAugment(),
]


def main(folder):
    paths = [os.path.join(folder, name, file) for name, file in PHOTOS.items()]
    photos = data.ImageFiles(paths, range(5), list(PHOTOS))
    squares = [data.resized(photos.image(i), (160, 160)) for i in range(5)]
    PICTURES.mkdir(exist_ok=True)
    for name, transforms in (("geometry", GEOMETRY), ("colour", COLOUR)):
        images = [squares[0], *(transform(squares[0], seed=3, index=0) for transform in transforms)]
        save(name, images, ["as it is", *map(title, transforms)], columns=6 if name == "geometry" else 7)
    modes = ("constant", "edge", "reflect", "symmetric", "wrap")
    turned = [
        augment.Compose([augment.Scale((0.5, 0.5), fill_mode=mode), augment.Rotation((15, 15), fill_mode=mode)])
        for mode in modes
    ]
    save("fill-modes", [step(squares[3], seed=0, index=0) for step in turned], modes, columns=5)
    sheet = data.augmentation_sheet(photos, RECIPE, count=5, variants=5, image_size=160, tile=112)
    sheet.save(PICTURES / "epochs.jpg", quality=85)
    batch, labels = np.stack([np.asarray(square) for square in squares]), np.arange(5)
    mixed = [
        mix(batch, labels, seed=2, indices=range(5))
        for mix in (augment.MixUp(1.0, "sample", 5), augment.CutMix(1.0, "sample", 5))
    ]
    sheet = data.contact_sheet(
        np.concatenate([x for x, _ in mixed]), np.concatenate([y for _, y in mixed]), list(PHOTOS), columns=5, tile=132
    )
    sheet.save(PICTURES / "mixing.jpg", quality=85)
    digits()
    prepared(folder)


def title(transform):
    """A transform's name, and the sign of what goes both ways."""
    name = type(transform).__name__
    return name + {(0.4, 0.4): " +", (-0.25, -0.25): " -"}.get(getattr(transform, "k", None), "")


def digits():
    (x, y), _ = datasets.load_digits()
    first = [int(np.argmax(y.ravel() == k)) for k in (2, 3, 5, 6, 8)]
    pixels = np.rint(x[first].reshape(5, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    images = np.stack([data.resized(image, (64, 64), "stretch", "bicubic") for image in pixels])
    recipe = augment.Compose(
        [
            augment.Rotation(12),
            augment.Shear(10),
            augment.Translation(0.08, 0.08),
            augment.Scale(0.1),
            augment.ElasticDeformation(40, 5),
        ],
        dataset="digits",
    )
    sheet = data.augmentation_sheet(data.ArrayDataset(images, y.ravel()[first]), recipe, count=5, variants=6, tile=72)
    sheet.save(PICTURES / "digits.png", optimize=True)


def prepared(folder):
    """What preprocessing, fitted to all photos, makes of five of them, each stretched to its own range."""
    files = data.ImageFolder(folder)
    x, _ = next(iter(data.Loader(files, len(files), image_size=24)))
    chosen = [next(i for i, path in enumerate(files.paths) if path.endswith(name)) for name in PHOTOS.values()]
    steps = [
        preprocessing.Standardize(),
        preprocessing.MeanImage(),
        preprocessing.GlobalContrastNormalization(),
        preprocessing.Pipeline([preprocessing.Rescale(), preprocessing.ZCAWhitening(0.01)]),
    ]
    images, captions = list(x[chosen]), list(PHOTOS)
    for step, caption in zip(steps, ("Standardize", "MeanImage", "GCN", "ZCA")):
        images += list(step.fit(x).transform(x[chosen]))
        captions += [caption] * 5
    save("preprocessing", images, captions, columns=5, tile=96)


def save(name, images, captions, columns, tile=112):
    sheet = data.contact_sheet(images, captions=list(captions), columns=columns, tile=tile)
    sheet.save(PICTURES / f"{name}.jpg", quality=85)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.environ["CNNCORE_DATA"], "flowers", "train"))
