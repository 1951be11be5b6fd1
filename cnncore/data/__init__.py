"""From images on disk or in memory to batches for `Model.fit`, and a look at what is in them.

photos = data.ImageFolder("photos")
train, val = data.split(photos, (0.8, 0.2), seed=1)
model.fit(data.Loader(train, shuffle=True, image_size=(96, 96)),
          validation_data=data.Loader(val, image_size=(96, 96)))
"""

from .array_dataset import ArrayDataset
from .cache import FileCache, MemoryCache
from .contact_sheet import augmentation_sheet, contact_sheet
from .dataset import Dataset, Subset
from .decode import Decoder, UnreadableImage
from .image_files import ImageFiles
from .image_folder import ImageFolder
from .kfold import KFold
from .loader import Loader
from .report import channel_statistics, check_files, class_counts, find_duplicates
from .resize import resized
from .sampling import BalancedSampler, SequentialSampler, ShuffledSampler, WeightedSampler, balanced_class_weight
from .split import split
from .table import ImageTable

__all__ = [
    "ArrayDataset",
    "BalancedSampler",
    "Dataset",
    "Decoder",
    "FileCache",
    "ImageFiles",
    "ImageFolder",
    "ImageTable",
    "KFold",
    "Loader",
    "MemoryCache",
    "SequentialSampler",
    "ShuffledSampler",
    "Subset",
    "UnreadableImage",
    "WeightedSampler",
    "augmentation_sheet",
    "balanced_class_weight",
    "channel_statistics",
    "check_files",
    "class_counts",
    "contact_sheet",
    "find_duplicates",
    "resized",
    "split",
]
