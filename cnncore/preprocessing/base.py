"""What every preprocessing is: fitted on training data, applied by the engine, described by plain data and arrays."""

import math

import numpy as np

from .. import batches, checks
from ..registry import Configurable

CHUNK = 4_000_000  # elements that are taken to float64 at a time


class Preprocessor(Configurable):
    """Base of all preprocessing.

    A preprocessing is fitted once, on the training split only (statistics of test data would leak into training), and
    is then applied to all data alike::

        scaler = preprocessing.Standardize().fit(x_train)
        model = cnncore.Sequential([cnncore.Input((32, 32, 3), dtype="uint8"), scaler.layer(), ...])

    Its place is inside the model: `layer` gives a layer with the fitted arrays as weights that no gradient reaches, so
    that they are stored in the model's file, and fit, evaluate and predict take raw data. `transform` runs the same
    operations of the engine on arrays. Data that do not fit into memory are fitted batch by batch, with `partial_fit`
    or by giving `fit` an iterable of batches.

    Subclasses name their arrays in `array_names`, collect statistics in `_update`, compute the arrays in `_finish`, and
    lower to operations in `lower`. Arguments of the constructor are attributes of the same name.
    """

    array_names = ()  # what fitting finds; nothing: there is nothing to fit
    needs_labels = False
    takes_nan = False
    accepts_bytes = False  # does `lower` take uint8 as it is?
    domain = (-math.inf, math.inf)  # of the data

    def __init__(self):
        self.sample_shape = None  # of the data that it was fitted on
        self._arrays = {}
        self._statistics = None

    # -- fitting --

    @property
    def fitted(self):
        """Whether transform can be called."""
        return not self.array_names or bool(self._arrays)

    def fit(self, x, y=None):
        """Fit to data, forgetting what was fitted before.

        Parameters
        ----------
        x : array of shape (n, ...), or an iterable of batches
            The training split. Batches are x, (x, y) or (x, y, weight), as of `Model.fit`; the weights are not looked
            at.
        y : array of shape (n,), optional
            Labels, which LDA needs; the others do not look at them.

        Returns
        -------
        Preprocessor
            Itself.

        Raises
        ------
        ValueError
            For no samples, NaN or infinity where they are not expected, and values outside the domain; nothing is
            changed then.
        """
        before = self.sample_shape, self._arrays, self._statistics
        self.sample_shape, self._arrays, self._statistics = None, {}, None
        try:
            for part, labels in self._parts(x, y):
                self._add(part, labels)
            if self.sample_shape is None:
                raise ValueError(f"{self._owner}: x must have at least one sample; an iterable of batches gave none")
            if self.array_names:
                self._arrays = self._checked_arrays(self._finish())
        except BaseException:
            self.sample_shape, self._arrays, self._statistics = before
            raise
        return self

    def partial_fit(self, x, y=None):
        """Add one batch to what was fitted so far; returns itself. The result is that of `fit` on all batches together.

        Raises
        ------
        ValueError
            As of fit, and for samples of another shape than before; nothing is changed then.
        """
        if self._arrays and self._statistics is None:
            raise ValueError(
                f"{self._owner}: partial_fit cannot go on from arrays alone, the statistics are not kept in a file; "
                "fit anew"
            )
        for part, labels in list(self._checked_parts(x, y)):
            self._add(part, labels)
        self._arrays = {}  # computed when they are next asked for
        return self

    def _parts(self, x, y):
        """Checked pieces (x, y) of an array, or of all batches of an iterable."""
        if not batches.is_iterable_of_batches(x, y):
            yield from self._checked_parts(x, y)
            return
        for item in batches.iterate(x):
            part, labels, _ = batches.split_batch(item, self.needs_labels)
            yield from self._checked_parts(part, labels if self.needs_labels else None)

    def _checked_parts(self, x, y):
        x = self._checked(x)
        if self.sample_shape is not None and x.shape[1:] != self.sample_shape:
            raise ValueError(
                f"{self._owner}: samples must have shape {self.sample_shape} as those before, got {x.shape[1:]}"
            )
        if self.needs_labels:
            y = self._checked_labels(y, len(x))
        step = max(1, CHUNK // max(1, math.prod(x.shape[1:])))
        for begin in range(0, len(x), step):
            part = x[begin : begin + step]
            yield part, y[begin : begin + step] if self.needs_labels else None

    def _checked(self, x):
        """x as an array of samples with all values in the domain, or ValueError."""
        x = batches.to_array(x, f"{self._owner}: x")
        if not 2 <= x.ndim <= 4:
            raise ValueError(
                f"{self._owner}: x must have shape (n, features), (n, h, c) or (n, h, w, c), got {x.shape}"
                + ("; give vectors as x[:, None], grey images as x[..., None]" if x.ndim == 1 else "")
            )
        if x.size == 0:
            raise ValueError(f"{self._owner}: x must have at least one sample and feature, got shape {x.shape}")
        low, high = self.domain
        if x.dtype.kind == "f":
            # min and max see NaN and infinity without a copy of x
            lowest, highest = (np.nanmin, np.nanmax) if self.takes_nan and not np.isnan(x).all() else (np.min, np.max)
            ends = float(lowest(x)), float(highest(x))
            if not self.takes_nan and math.isnan(ends[0]):
                raise ValueError(
                    f"{self._owner}: x must be finite, got NaN; replace what is missing first, with "
                    "preprocessing.Impute"
                )
            if math.isinf(ends[0]) or math.isinf(ends[1]):
                raise ValueError(f"{self._owner}: x must be finite, got an infinity")
        else:
            ends = float(x.min()), float(x.max())
        if ends[0] < low or ends[1] > high:
            raise ValueError(
                f"{self._owner}: x must be {f'>= {low:g}' if high == math.inf else f'in {low:g} to {high:g}'}, "
                f"got {ends[0] if ends[0] < low else ends[1]:g}{self._domain_remedy()}"
            )
        return x

    def _domain_remedy(self):
        return ""

    def _checked_labels(self, y, n):
        if y is None:
            raise ValueError(f"{self._owner}: y must be given, the class of each sample")
        y = batches.to_array(y, f"{self._owner}: y")
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if y.shape != (n,) or y.dtype.kind not in "iub":
            raise ValueError(
                f"{self._owner}: y must be {n} whole numbers, the class of each sample, got {y.dtype} of shape "
                f"{y.shape}"
            )
        return y

    def _add(self, x, y):
        if self.sample_shape is None:
            self._begin(x.shape[1:])
        if self.array_names:
            self._update(x, y)
        self.sample_shape = x.shape[1:]

    def _begin(self, shape):
        """Make empty statistics in self._statistics for samples of this shape."""

    def _update(self, x, y):
        """Add checked samples to self._statistics."""

    def _finish(self):
        """name -> array, from self._statistics."""
        return {}

    # -- what was fitted --

    @property
    def arrays(self):
        """What was fitted, name -> float32 array. Raises RuntimeError before."""
        if self.array_names and not self._arrays:
            if self._statistics is None:
                raise RuntimeError(f"{self._owner}: must be fitted first: fit(x_train)")
            self._arrays = self._checked_arrays(self._finish())
        return self._arrays

    def _checked_arrays(self, arrays):
        result = {}
        for name, value in arrays.items():
            with np.errstate(over="ignore"):
                result[name] = np.ascontiguousarray(value, np.float32).reshape(np.shape(value) or (1,))
            if not np.isfinite(result[name]).all():
                raise ValueError(
                    f"{self._owner}: {name} is beyond the range of float32; rescale the data first, with "
                    "preprocessing.Rescale"
                )
        return result

    def restore(self, sample_shape, arrays):
        """Put back what `sample_shape` and `arrays` were; returns itself.

        Raises
        ------
        ValueError
            Where the names or types of the arrays are not those of this preprocessing.
        """
        if set(arrays) != set(self.array_names) or not all(np.asarray(a).dtype == np.float32 for a in arrays.values()):
            raise ValueError(
                f"{self._owner}: arrays must be float32 and have the names {', '.join(self.array_names) or 'none'}, "
                f"got {', '.join(arrays) or 'none'}"
            )
        self.sample_shape = None if sample_shape is None else tuple(sample_shape)
        self._arrays, self._statistics = dict(arrays), None
        return self

    # -- applying --

    def lower(self, b, x, weights):
        """Append the operations to a `cnncore.layers.base.Lowering`.

        Parameters
        ----------
        b : Lowering
        x : Value
            (n, ...), float32; uint8 too where `accepts_bytes` is set.
        weights : dict
            Array name -> Value.

        Returns
        -------
        Value
        """
        raise NotImplementedError(f"{type(self).__name__} must override lower()")

    def layer(self, name=None):
        """A `cnncore.layers.Preprocessing` with a copy of what was fitted; goes first into a model, whose file then
        holds it."""
        from ..layers import Preprocessing

        return Preprocessing(self, name=name)

    def __call__(self, inputs):
        """Apply to a symbolic tensor, like a layer, or to an array, like transform."""
        from ..graph import Tensor

        return self.layer()(inputs) if isinstance(inputs, Tensor) else self.transform(inputs)

    def transform(self, x):
        """The preprocessed data: float32, computed by the engine exactly as inside a model.

        Parameters
        ----------
        x : array of shape (n, ...)

        Raises
        ------
        RuntimeError
            Before fitting.
        ValueError
            For samples of another shape than those fitted, NaN or infinity, and values outside the domain. (Inside a
            model, where data pass unseen, these give NaN or what the equation gives.)
        """
        x = self._checked(x)
        if self.array_names and self.arrays and not self._fits(x.shape[1:]):
            raise ValueError(
                f"{self._owner}: samples must have shape {self.sample_shape} as those fitted, got {x.shape[1:]}"
            )
        from ..model import Input, Model

        # with names given, so that those of the user's layers do not depend on it
        inputs = Input(x.shape[1:], dtype="uint8" if x.dtype == np.uint8 else "float32", name="x")
        model = Model(inputs, self.layer("transform")(inputs), name="transform")
        return model.predict(x, batch_size=max(1, CHUNK // math.prod(x.shape[1:])), verbose=0)

    def output_shape(self, shape):
        """The shape of a transformed sample, for a sample's shape."""
        return shape

    def _fits(self, shape):
        """Can samples of this shape be transformed?"""
        return shape == self.sample_shape

    def fit_transform(self, x, y=None):
        """``fit(x, y).transform(x)`` for an array."""
        return self.fit(x, y).transform(x)

    def inverse_transform(self, y):
        """The data from which transform made y, as far as it can be undone: float32.

        Raises
        ------
        ValueError
            Where there is no inverse.
        """
        raise ValueError(f"{self._owner}: has no inverse, {self._why_no_inverse()}")

    def _why_no_inverse(self):
        return "information is lost"

    def _inverse_input(self, y, shape):
        """y as float64 with samples of `shape`, or ValueError."""
        y = batches.to_array(y, f"{self._owner}: y")
        if y.shape[1:] != tuple(shape):
            raise ValueError(f"{self._owner}: y must have samples of shape {tuple(shape)}, got {y.shape[1:]}")
        return y.astype(np.float64)

    @property
    def _owner(self):
        return type(self).__name__


def features_last(x):
    """x as float64 of shape (n, features)."""
    return x.reshape(len(x), -1).astype(np.float64)


def flatten(b, x):
    """The Value x as (n, features)."""
    features = math.prod(x.shape[1:])
    return x if len(x.shape) == 2 else b.reshape(x, (x.shape[0], features))


def unflatten(b, x, shape):
    """The Value x (n, features) with samples of `shape`."""
    if len(shape) == 1:
        return x
    return b.reshape(x, (x.shape[0], *shape))


def per_choice(owner, per):
    """Check `per`: over what statistics are taken."""
    return checks.choice(owner, "per", per, ("feature", "channel", "all"))


def grouped(x, per):
    """x as float64 (rows, groups): a group is what has statistics of its own."""
    groups = {"feature": math.prod(x.shape[1:]), "channel": x.shape[-1], "all": 1}[per]
    return x.reshape(-1, groups).astype(np.float64)
