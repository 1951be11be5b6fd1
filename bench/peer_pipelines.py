"""The input pipelines that cnncore's is compared with: PyTorch's DataLoader over two data sets of photos.

Both do what torchvision's reference recipe does: random resized crop, flip, and brightness, contrast and saturation in
a random order; one with Pillow, written as torchvision writes it, one with albumentations, which works on OpenCV.
Images are handed out as bytes; `as_floats` adds ToTensor's conversion to float32 with the channels first.
"""

import math
import random

import numpy as np
import torch


class PillowPhotos(torch.utils.data.Dataset):
    """Photos through the transforms of torchvision on Pillow images.

    Parameters
    ----------
    paths : list of str
    labels : sequence of int
    size : int
        Of the crop's sides, after resizing.
    jitter : float
        Factors are drawn from 1 - jitter to 1 + jitter.
    as_floats : bool
    """

    def __init__(self, paths, labels, size, jitter, as_floats=False):
        self.paths, self.labels, self.size, self.jitter, self.as_floats = paths, labels, size, jitter, as_floats

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        from PIL import Image

        with open(self.paths[index], "rb") as file:  # as torchvision.datasets.folder.pil_loader
            image = Image.open(file).convert("RGB")
        left, top, width, height = crop_box(image.size)
        image = image.crop((left, top, left + width, top + height))
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        factors = [random.uniform(1 - self.jitter, 1 + self.jitter) for _ in range(3)]
        for which in random.sample(range(3), 3):
            image = enhanced(image, which, factors[which])
        pixels = torch.from_numpy(np.array(image))
        if self.as_floats:
            pixels = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        return pixels, self.labels[index]


def crop_box(size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
    """(left, top, width, height) as torchvision.transforms.RandomResizedCrop.get_params draws them."""
    full_width, full_height = size
    for _ in range(10):
        area = full_width * full_height * random.uniform(*scale)
        shape = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        width, height = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < width <= full_width and 0 < height <= full_height:
            return random.randint(0, full_width - width), random.randint(0, full_height - height), width, height
    side = min(size)
    return (full_width - side) // 2, (full_height - side) // 2, side, side


def enhanced(image, which, factor):
    """Brightness (0), contrast (1) or saturation (2), as torchvision does them on Pillow images."""
    from PIL import ImageEnhance

    return (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[which](image).enhance(factor)


class AlbumentationsPhotos(torch.utils.data.Dataset):
    """The same with albumentations on OpenCV."""

    def __init__(self, paths, labels, size, jitter):
        import albumentations

        self.paths, self.labels = paths, labels
        factors = (1 - jitter, 1 + jitter)
        self.transform = albumentations.Compose(
            [
                albumentations.RandomResizedCrop((size, size), scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
                albumentations.HorizontalFlip(p=0.5),
                albumentations.ColorJitter(brightness=factors, contrast=factors, saturation=factors, hue=(0, 0), p=1.0),
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        import cv2

        image = cv2.cvtColor(cv2.imread(self.paths[index], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return torch.from_numpy(self.transform(image=image)["image"]), self.labels[index]


def one_thread(worker):
    """Each worker process is one thread, as DataLoader sees to for PyTorch itself."""
    torch.set_num_threads(1)
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(0)


def loader(dataset, batch_size, workers):
    """The DataLoader, whose worker processes stay from epoch to epoch."""
    return torch.utils.data.DataLoader(
        dataset,
        batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
        worker_init_fn=one_thread,
        multiprocessing_context="fork",
    )
