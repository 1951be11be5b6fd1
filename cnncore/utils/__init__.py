"""Small helpers around training, with the names and the meaning that they have in ``keras.utils``."""

from .batches import pack_x_y_sample_weight, unpack_x_y_sample_weight
from .image_dataset import image_dataset_from_directory
from .numerical import normalize, to_categorical
from .seeding import set_random_seed

__all__ = [
    "image_dataset_from_directory",
    "normalize",
    "pack_x_y_sample_weight",
    "set_random_seed",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
