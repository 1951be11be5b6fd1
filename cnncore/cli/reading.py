"""Reading a data set once before it is used: which files cannot be read, and the preprocessing fitted on the way."""

import contextlib
import sys
import warnings

from ..data.decode import shown
from ..data.slow_bar import SlowBar

_MOST_LINES = 20


class Walk:
    """A loader whose walks show a progress bar when they take longer than a second. ValueError if nothing can be read.

    Parameters
    ----------
    loader : cnncore.data.Loader
    label : str
    verbose : "auto" or 0
    """

    def __init__(self, loader, label, verbose):
        self._loader, self._label, self._verbose = loader, label, verbose

    def __iter__(self):
        with SlowBar(self._label, len(self._loader), "batches", self._verbose) as bar:
            for batch in self._loader:
                bar.update()
                yield batch
        skipped = self._loader.skipped
        if len(skipped) == len(self._loader.dataset):
            path, reason = next(iter(skipped.items()))
            raise ValueError(f'no image can be read; of the first, "{shown(path)}", the reason is: {reason}')

    def to_the_end(self):
        """Read all that can be read."""
        for _ in self:
            pass

    def readable(self):
        """The data set without the files that could not be read, of which there is a line on stderr each."""
        dataset, skipped = self._loader.dataset, self._loader.skipped
        if not skipped:
            return dataset
        for line in skipped_lines(skipped):
            print(line, file=sys.stderr)
        return dataset.subset([i for i in range(len(dataset)) if dataset.path(i) not in skipped])


@contextlib.contextmanager
def without_warnings():
    """What a loader skips, and Pillow warns of, is reported in a line for each file instead."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Loader: skipped")
        warnings.filterwarnings("ignore", r"Image size .* exceeds limit")
        yield


def skipped_lines(skipped):
    """Yield a line for each file that was skipped, and for all that are too many to be listed one.

    Parameters
    ----------
    skipped : dict
        Path to reason.
    """
    for path, reason in list(skipped.items())[:_MOST_LINES]:
        yield f'skipped "{shown(path)}": {reason}'
    if len(skipped) > _MOST_LINES:
        yield f"skipped {len(skipped) - _MOST_LINES:,} more files; cnncore show lists them all"
