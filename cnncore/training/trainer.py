"""The loops: compile, fit, evaluate, predict."""

from contextlib import closing

import numpy as np

from .. import batches, checks
from ..lazy import LazyModule
from .steps import Steps, randomness

optimizers, progress, callbacks_module = LazyModule("optimizers"), LazyModule("progress"), LazyModule("callbacks")
conversion, sources = LazyModule("training.conversion"), LazyModule("training.sources")
output_loss = LazyModule("training.output_loss")


class Trainer(Steps):
    """The part of Model that trains; see Model."""

    def __init__(self):
        super().__init__()
        self._compile_arguments = None
        self.stop_training, self.history = False, None

    # -- compile --

    def compile(self, optimizer, loss=None, loss_weights=None, metrics=None, weighted_metrics=None, seed=None):
        """Say how to train.

        Parameters
        ----------
        optimizer : str or Optimizer
            "sgd", "adam" or "adamw", or an object.
        loss : str or Loss, list or dict of them
            One for each output; None for an output without a loss. A single one serves all outputs.
        loss_weights : list or dict of float, optional
            Of the outputs' losses in the sum that is minimised; default 1.
        metrics, weighted_metrics : list of str or Metric, or list or dict of such lists, by output
            "accuracy" means what loss and shapes make of it. The weighted ones take sample weights into account.
        seed : int, optional
            Of dropout, noise and shuffling. With the same seed and weights a run repeats itself bit for bit, whatever
            the number of threads.

        Raises
        ------
        ValueError
            For unknown names, and for losses, weights or metrics that do not fit the outputs.
        """
        owner = f'model "{self.name}"'
        chosen = optimizers.get(optimizer)
        if chosen is None:
            raise ValueError(f"{owner}: optimizer must not be None")
        names = self.output_names if self.built else ["output"]
        plans = output_loss.output_losses(owner, names, loss, loss_weights, metrics, weighted_metrics)
        self._step_seed, self._shuffle_generator = randomness(seed)
        self.optimizer, self.compiled_losses = chosen, plans
        self._compile_arguments = dict(
            loss=loss, loss_weights=loss_weights, metrics=metrics, weighted_metrics=weighted_metrics
        )
        self._forget_programs()
        self._total.reset_state()

    def _require_compiled(self):
        if self.optimizer is None:
            raise RuntimeError(
                f'model "{self.name}": must be compiled first: model.compile(optimizer="adam", loss=...)'
            )

    def _require_built(self, x=None):
        """A model of inputs and outputs is built from the beginning; Sequential may be built by its first data."""

    # -- fit --

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
        seed=None,
        threads=0,
    ):
        """Train for a number of epochs.

        Parameters
        ----------
        x, y : arrays, lists or dicts of arrays; or x an iterable of batches
            Samples along the first axis. An iterable gives tuples (x, y) or (x, y, sample_weight); it may be a
            generator, an object that can be iterated anew in each epoch, or one with len() and [i].
        batch_size : int, optional
            Default 32. A last smaller batch is used too.
        epochs, initial_epoch : int
            Train from epoch `initial_epoch` (counting from 0) to `epochs`.
        verbose : "auto", 0, 1 or 2
            1 (auto): a progress bar; 2: a line per epoch; 0: nothing.
        callbacks : list of Callback, optional
        validation_split : float
            The last part of the arrays, before shuffling, is kept for validation; not where validation_data is given.
        validation_data : tuple or iterable, optional
            (x, y), (x, y, sample_weight) or an iterable of batches.
        shuffle : bool
            Draw a new order of the arrays in each epoch.
        class_weight : dict, optional
            Class number to weight of its samples.
        sample_weight : array, optional
            (n,), or one per loss value.
        steps_per_epoch, validation_steps : int, optional
            Batches per epoch; needed where an iterable never ends.
        validation_batch_size, validation_freq : int
            Default batch_size and every epoch; a list of epochs (counting from 1) is possible too.
        seed : int, optional
            Begin the sequence of dropout, noise and shuffling anew.
        threads : int
            0: all that get_threads() tells. The results do not depend on it.

        Returns
        -------
        History
            `history.history` maps names to values per epoch.

        Raises
        ------
        ValueError
            Before anything is changed, for data that do not fit the model: shapes, types, labels out of range, NaN
            among the targets, no samples.
        RuntimeError
            If the model is not compiled.
        KeyboardInterrupt
            Ctrl-C; the weights are those after the last whole step.
        """
        self._require_compiled()
        owner = f'model "{self.name}"'
        epochs = checks.integer(owner, "epochs", epochs)
        initial_epoch = checks.integer(owner, "initial_epoch", initial_epoch)
        if steps_per_epoch is not None:
            steps_per_epoch = checks.integer(owner, "steps_per_epoch", steps_per_epoch, 1)
        if validation_steps is not None:
            validation_steps = checks.integer(owner, "validation_steps", validation_steps, 1)
        if not isinstance(validation_freq, (list, tuple, set)):
            validation_freq = checks.integer(owner, "validation_freq", validation_freq, 1)
        rule = "be in 0 to 1 (1 not included)"
        split = checks.number(owner, "validation_split", validation_split, rule, lambda v: 0 <= v < 1)
        shuffle = checks.boolean(owner, "shuffle", shuffle)
        split = split if validation_data is None else 0.0
        step_seed, generator = (self._step_seed, self._shuffle_generator) if seed is None else randomness(seed)
        source, validation = sources.training_source(
            self, x, y, batch_size, generator if shuffle else None, class_weight, sample_weight, split
        )
        if validation_data is not None:
            validation = sources.validation_source(self, validation_data, validation_batch_size or batch_size)
        self._step_seed, self._shuffle_generator = step_seed, generator
        steps = steps_per_epoch if steps_per_epoch is not None else source.steps
        callback_list = callbacks_module.CallbackList(
            callbacks, add_history=True, model=self, verbose=verbose, epochs=epochs, steps=steps
        )
        self.stop_training = False
        logs = {}
        callback_list.on_train_begin()
        stream = sources.Epochs(source, steps_per_epoch)
        for epoch in range(initial_epoch, epochs):
            self.reset_metrics()
            callback_list.on_epoch_begin(epoch)
            with closing(progress.ProgressBar(steps, epoch + 1, epochs, verbose=verbose)) as bar:
                self._train_epoch(stream.epoch(), callback_list, bar, threads)
                if bar.batches == 0:
                    raise ValueError(
                        f"{owner}: the iterable of batches gave none in epoch {epoch + 1}; a generator can be "
                        "walked only once: give steps_per_epoch, or an object that can be iterated anew"
                    )
                logs = self._logs()
                if validation is not None and _due(validation_freq, epoch + 1):
                    measured = self._evaluate(validation, validation_steps, callback_list, threads)
                    logs.update((f"val_{name}", value) for name, value in measured.items())
                bar.finish(logs)
            callback_list.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        callback_list.on_train_end(logs)
        return callback_list.history

    def _train_epoch(self, batches_of_epoch, callback_list, bar, threads):
        for step, batch in enumerate(batches_of_epoch):
            callback_list.on_train_batch_begin(step)
            self._step(batch, True, threads)
            logs = self._logs()
            callback_list.on_train_batch_end(step, logs)
            bar.update(len(batch.inputs[0]), logs)
            if self.stop_training:
                break

    # -- evaluate --

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        threads=0,
    ):
        """The loss and metrics over data, in inference mode.

        Parameters are those of fit. Returns the loss, or [loss, metrics...] in the order of `metrics_names`, or with
        return_dict=True a dict.
        """
        self._require_compiled()
        source = sources.evaluation_source(self, x, y, batch_size, sample_weight)
        total = steps if steps is not None else source.steps
        callback_list = callbacks_module.CallbackList(callbacks, model=self, verbose=verbose, steps=total)
        with closing(progress.ProgressBar(total, label="Evaluate", verbose=verbose)) as bar:
            logs = self._evaluate(source, steps, callback_list, threads, bar)
            if bar.batches == 0:
                raise ValueError(f'model "{self.name}": the iterable of batches gave none')
            bar.finish(logs)
        return self._returned(return_dict)

    def _evaluate(self, source, steps, callback_list, threads, bar=None):
        """Walk over a source without training; returns the logs. The running means of training are forgotten."""
        self.reset_metrics()
        callback_list.on_test_begin()
        for step, batch in enumerate(source.batches()):
            if steps is not None and step >= steps:
                break
            callback_list.on_test_batch_begin(step)
            self._step(batch, False, threads)
            logs = self._logs()
            callback_list.on_test_batch_end(step, logs)
            if bar is not None:
                bar.update(len(batch.inputs[0]), logs)
        logs = self._logs()
        callback_list.on_test_end(logs)
        return logs

    @property
    def metrics_names(self):
        """The names of what evaluate() returns; complete once the model has seen targets."""
        return list(self._logs())

    def _returned(self, return_dict):
        logs = self._logs()
        if return_dict:
            return logs
        return logs["loss"] if len(logs) == 1 else list(logs.values())

    # -- predict --

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None, threads=0):
        """The outputs for many samples: an array, or a list or dict of arrays as the model was built.

        Parameters
        ----------
        x : arrays, lists or dicts of arrays, or an iterable of batches
        batch_size : int, optional
            Default 32. A large batch runs in equal parts, which takes less memory and mostly less time.
        verbose, callbacks, threads
            As of fit.
        steps : int, optional
            Batches to take from an iterable.
        """
        source, total = self._prediction_source(x, batch_size, steps)
        callback_list = callbacks_module.CallbackList(callbacks, model=self, verbose=verbose, steps=total)
        parts = []
        callback_list.on_predict_begin()
        with closing(progress.ProgressBar(total, label="Predict", verbose=verbose)) as bar:
            for step, batch in enumerate(source):
                if steps is not None and step >= steps:
                    break
                callback_list.on_predict_batch_begin(step)
                parts.append(self._predict(batch, threads))
                callback_list.on_predict_batch_end(step, {"outputs": self._as_built(parts[-1])})
                bar.update(len(batch[0]))
            bar.finish()
        callback_list.on_predict_end()
        if not parts:
            raise ValueError(f'model "{self.name}": the iterable of batches gave none')
        return self._as_built([outputs[0] if len(outputs) == 1 else np.concatenate(outputs) for outputs in zip(*parts)])

    def _prediction_source(self, x, batch_size, steps):
        """(iterable of lists of input arrays, how many there are or None)."""
        if batches.is_iterable_of_batches(x, None):
            sources.refuse_with_iterable(self, batch_size=batch_size)
            total = steps if steps is not None else len(x) if hasattr(x, "__len__") else None
            return sources.input_batches(self, x), total
        self._require_built(x)
        arrays = batches.check_inputs(self, x)
        size = sources.DEFAULT_BATCH_SIZE if batch_size is None else batch_size
        source = batches.ArrayBatches(arrays, len(arrays), size)
        return source, len(source) if steps is None else min(steps, len(source))

    def _as_built(self, outputs):
        """A list of outputs in the structure that the model was built with."""
        structure = self._structure[1]
        if isinstance(structure, dict):
            return dict(zip(structure, outputs))
        return list(outputs) if isinstance(structure, (list, tuple)) else outputs[0]

    # -- one batch --

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False, threads=0):
        """One step on one batch; the arguments are those of fit. Returns the loss, or [loss, metrics...] of this batch
        (before the step), or with return_dict=True a dict by name.
        """
        return self._on_batch(x, y, sample_weight, class_weight, True, return_dict, threads)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False, threads=0):
        """The loss and metrics of one batch, without training; returned as by train_on_batch."""
        return self._on_batch(x, y, sample_weight, None, False, return_dict, threads)

    def _on_batch(self, x, y, sample_weight, class_weight, train, return_dict, threads):
        self.reset_metrics()
        self._require_compiled()
        if y is None:
            raise ValueError(f'model "{self.name}": y must be given')
        batch = conversion.checked_batch(self, x, y, sample_weight, class_weight)
        self._step(conversion.engine_batch(batch), train, threads)
        return self._returned(return_dict)

    def predict_on_batch(self, x, threads=0):
        """The outputs for one batch. A large one runs in equal parts: less memory, and mostly less time."""
        self._require_built(x)
        return self._as_built(self._predict([batches.engine_array(a) for a in batches.check_inputs(self, x)], threads))


def _due(frequency, epoch):
    """Is there validation after this epoch (counting from 1)?"""
    return epoch in frequency if isinstance(frequency, (list, tuple, set)) else epoch % frequency == 0
