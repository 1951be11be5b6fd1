"""The base of callbacks: what may be done at each turn of training, evaluation and prediction."""


class Callback:
    """Base of callbacks; override the hooks of interest.

    Attributes
    ----------
    model : Model
        The model in training. Setting ``model.stop_training = True`` ends `fit` after the current step of it.
    params : dict
        What `fit`, `evaluate` or `predict` was asked for: "verbose", "epochs", "steps".

    Notes
    -----
    `epoch` and `batch` count from 0. `logs` holds the quantities known at that moment, by name: after a training
    batch the means over the epoch so far, after an epoch the final ones and, with validation data, those with
    the prefix ``val_``. At the end of an epoch all callbacks share one dictionary, in which later ones see what
    earlier ones added.
    """

    def __init__(self):
        self.params = None
        self._model = None

    @property
    def model(self):
        """The model that is trained, evaluated or asked; None before."""
        return self._model

    def set_params(self, params):
        """Remember `params`; called before training, evaluation or prediction begins."""
        self.params = params

    def set_model(self, model):
        """Remember the model; called before training, evaluation or prediction begins."""
        self._model = model

    def on_train_begin(self, logs=None):
        """Called once before the first epoch."""

    def on_train_end(self, logs=None):
        """Called once after the last epoch, with the logs of that epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        """Called before the first batch of an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        """Called after an epoch and its validation."""

    def on_train_batch_begin(self, batch, logs=None):
        """Called before each training batch."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch, logs=None):
        """Called after each training batch."""
        self.on_batch_end(batch, logs=logs)

    def on_batch_begin(self, batch, logs=None):
        """Another name for `on_train_batch_begin`."""

    def on_batch_end(self, batch, logs=None):
        """Another name for `on_train_batch_end`."""

    def on_test_begin(self, logs=None):
        """Called before evaluation, also before the validation of each epoch."""

    def on_test_end(self, logs=None):
        """Called after evaluation, also after the validation of each epoch."""

    def on_test_batch_begin(self, batch, logs=None):
        """Called before each batch of evaluation or validation."""

    def on_test_batch_end(self, batch, logs=None):
        """Called after each batch of evaluation or validation."""

    def on_predict_begin(self, logs=None):
        """Called before prediction."""

    def on_predict_end(self, logs=None):
        """Called after prediction."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Called before each batch of prediction."""

    def on_predict_batch_end(self, batch, logs=None):
        """Called after each batch of prediction, with ``logs={"outputs": ...}``."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
