"""Image data sets in their original file formats, with the shapes and types that ``keras.datasets`` returns.

======================  =======================================================  =========================
module                  images (training, test)                                  files
======================  =======================================================  =========================
`digits`                1,437 and 360 of (8, 8, 1), values 0 .. 16               inside the package
`mnist`                 60,000 and 10,000 of (28, 28)                            IDX, gzip or plain
`fashion_mnist`         60,000 and 10,000 of (28, 28)                            IDX, gzip or plain
`cifar10`               50,000 and 10,000 of (32, 32, 3)                         binary or Python version
`cifar100`              50,000 and 10,000 of (32, 32, 3), 100 or 20 classes      binary or Python version
======================  =======================================================  =========================

Each module has ``load_data()``, which returns ``(x_train, y_train), (x_test, y_test)`` as uint8 arrays. Nothing
is downloaded: the files are looked for below the folder in the environment variable ``CNNCORE_DATA``, below
``~/.cnncore/datasets`` if that is not set, or where ``path=`` points; the error for a missing file says where
it was looked for and where to get it.
"""

from . import cifar10, cifar100, digits, fashion_mnist, mnist
from .digits import load_data as load_digits

__all__ = ["cifar10", "cifar100", "digits", "fashion_mnist", "load_digits", "mnist"]
