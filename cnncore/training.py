"""Compile, fit, evaluate, predict: what a model does besides being a graph. The loops are here; each step is one call
into the engine.
"""

import contextlib
import math
import numbers
import threading
from collections import namedtuple

import numpy as np

from . import _core, batches, callbacks as callbacks_module, checks, losses, metrics, optimizers, random
from .compiler import report
from .compiler.programs import LossProgram, ProgramCache, environment, inference_program
from .graph import flatten
from .progress import ProgressBar
from .variables import Changes, store_of

_EVERYTHING = _core.PREPARE | _core.COMPUTE | _core.UPDATE
_ACCURACY_MODES = {metrics.SparseCategoricalAccuracy: 0, metrics.CategoricalAccuracy: 1, metrics.BinaryAccuracy: 2}


class OutputLoss:
    """The loss of one output with its weight in the sum, and its metrics. `fast_metrics` are computed inside the
    program.
    """

    def __init__(self, name, output, loss, weight):
        self.name, self.output, self.loss, self.weight = name, output, loss, weight
        self.identifiers, self.weighted_identifiers = [], []
        self.metrics, self.weighted_metrics = None, None  # made when the first targets show which accuracy is meant
        self.names = {}  # metric -> its name in logs
        self.mean = metrics.Mean(name="loss")
        self.fast_metrics, self.slow_metrics = [], []

    def resolve_metrics(self, target_dtype, target_shape, raw_shape, prediction_shape):
        """Make the metrics for targets like these; afterwards they stay."""
        if self.metrics is not None:
            return
        self.metrics = metrics.resolve(self.identifiers, raw_shape, prediction_shape)
        self.weighted_metrics = metrics.resolve(self.weighted_identifiers, raw_shape, prediction_shape)
        plain = {metric.name for metric in self.metrics}
        self.names = {metric: metric.name for metric in self.metrics}
        self.names.update(
            (metric, f"weighted_{metric.name}" if metric.name in plain else metric.name)
            for metric in self.weighted_metrics
        )
        for metric in self.names:
            mode = _ACCURACY_MODES.get(type(metric))
            fits = {
                0: target_dtype == "int32",
                1: target_dtype == "float32" and target_shape == prediction_shape[1:],
                2: target_dtype == "float32" and target_shape == prediction_shape[1:],
            }.get(mode, False)
            if fits:
                metric.engine_attributes = {"mode": mode, **({"threshold": metric.threshold} if mode == 2 else {})}
                self.fast_metrics.append(metric)
            else:
                self.slow_metrics.append(metric)

    @property
    def all_metrics(self):
        return list(self.names)


Targets = namedtuple("Targets", "raw converted")


class Trainer:
    """The part of Model that trains; see Model."""

    def __init__(self):
        self._programs = ProgramCache()
        self._known_store, self._changes = None, 0
        self._lock = threading.RLock()
        self._gradients = self._gradients_store = (
            None  # the gradients of the last step, in the layout of the store's parameters
        )
        self._step_seed, self._predict_count = None, 0
        self.optimizer, self.compiled_losses, self._compile_arguments = None, [], None
        self.stop_training, self.history = False, None
        self._total = metrics.Mean(name="loss")

    # ------------------------------------------------------------------------------------------------ compile

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
        chosen = optimizers.get(optimizer)
        if chosen is None:
            raise ValueError(f'model "{self.name}": optimizer must not be None')
        names = self.output_names if self.built else ["output"]
        compiled = self._compile_losses(names, loss, loss_weights)
        self._assign_metrics(compiled, names, metrics, "metrics")
        self._assign_metrics(compiled, names, weighted_metrics, "weighted_metrics")
        self._step_seed = random.next_seed() if seed is None else random.checked_seed(seed, 64)
        self._shuffle_generator = np.random.Generator(np.random.PCG64(self._step_seed))
        self.optimizer, self.compiled_losses = chosen, compiled
        self._compile_arguments = dict(
            loss=loss, loss_weights=loss_weights, metrics=metrics, weighted_metrics=weighted_metrics
        )
        self._programs.clear()
        self._gradients = self._gradients_store = None
        self._total.reset_state()

    def _by_output(self, value, names, what):
        """A list with one entry per output, from a list, a dict by name, or a single value."""
        if isinstance(value, dict):
            unknown = [key for key in value if key not in names]
            if unknown:
                raise ValueError(
                    f'model "{self.name}": {what} must name outputs, got {", ".join(map(repr, unknown))}; the '
                    f"outputs are {', '.join(names)}"
                )
            return [value.get(name) for name in names]
        if isinstance(value, (list, tuple)):
            if len(value) != len(names):
                raise ValueError(
                    f'model "{self.name}": {what} must have one entry per output ({", ".join(names)}), got {len(value)}'
                )
            return list(value)
        return [value] * len(names)

    def _compile_losses(self, names, loss, loss_weights):
        if loss is None:
            raise ValueError(
                f'model "{self.name}": loss must be given, for example compile(loss="sparse_categorical_crossentropy")'
            )
        weights = [1.0] * len(names) if loss_weights is None else self._by_output(loss_weights, names, "loss_weights")
        if isinstance(loss_weights, numbers.Real) and len(names) > 1:
            raise ValueError(
                f'model "{self.name}": loss_weights must be a list or a dict with a weight per output, got '
                f"{loss_weights!r}"
            )
        compiled = []
        for i, (name, one, weight) in enumerate(zip(names, self._by_output(loss, names, "loss"), weights)):
            if one is not None:
                weight = (
                    1.0
                    if weight is None
                    else checks.number(f'model "{self.name}"', f"the loss weight of {name}", weight)
                )
                compiled.append(OutputLoss(name, i, losses.get(one), weight))
        if not compiled:
            raise ValueError(f'model "{self.name}": at least one output must have a loss')
        return compiled

    def _assign_metrics(self, compiled, names, value, what):
        if value is None:
            return
        nested = isinstance(value, dict) or (
            isinstance(value, (list, tuple)) and any(isinstance(v, (list, tuple, dict)) for v in value)
        )
        per_output = self._by_output(value, names, what) if nested else [value] * len(names)
        by_output = {plan.output: plan for plan in compiled}
        for i, wanted in enumerate(per_output):
            wanted = [] if wanted is None else list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]
            if not wanted:
                continue
            if i not in by_output:
                if nested:
                    raise ValueError(
                        f'model "{self.name}": {what} must be of outputs that have a loss, got some for "{names[i]}"'
                    )
                continue
            metrics.resolve(list(wanted), (None, 1), (None, 2))  # unknown names are refused here rather than in fit
            by_output[i].identifiers.extend(wanted) if what == "metrics" else by_output[i].weighted_identifiers.extend(
                wanted
            )

    def _require_compiled(self):
        if self.optimizer is None:
            raise RuntimeError(
                f'model "{self.name}": must be compiled first: model.compile(optimizer="adam", loss=...)'
            )

    def _require_built(self, x=None):
        """A Sequential model without an input shape is built by its first data."""
        if self.built:
            return
        owner = f'model "{self.name}"'
        if x is None:
            raise ValueError(
                f"{owner}: has no shape yet; begin it with Input(shape), or call fit or predict with data first"
            )
        if isinstance(x, dict):
            raise ValueError(
                f"{owner}: has no named inputs yet, got a dict of {', '.join(map(str, x))}; begin it with "
                "Input(shape, name=...)"
            )
        array = batches.to_array(
            x[0] if isinstance(x, (list, tuple)) and len(x) == 1 and np.ndim(x[0]) > 1 else x, f"{owner}: x"
        )
        shape = array.shape
        self.build((None, *(shape[1:] if len(shape) != 3 or self._takes_vectors() else (*shape[1:], 1))))

    def _takes_vectors(self):
        return type(self.layers[0]).__name__ in ("Dense", "Flatten", "Reshape") if self.layers else True

    # ------------------------------------------------------------------------------------------------ programs

    def _store(self):
        """The store of all weights, looked for again only where it may be another one."""
        if self._known_store is None or self._known_store.retired or self._changes != Changes.count:
            self._known_store, self._changes = store_of(self.variables), Changes.count
        return self._known_store

    def _frozen(self):
        """Which layers are frozen: part of what a training program depends on."""
        return tuple(i for i, layer in enumerate(_all_layers(self)) if not layer._trainable)

    def _inference(self, n, dtypes):
        store = self._store()
        key = ("predict", n, dtypes, store, environment())
        return self._programs.get(key, lambda: inference_program(self, store, self._programs.arena, n, dtypes)), store

    def _loss_program(self, n, dtypes, targets, weighted, train, outputs):
        store = self._store()
        key = (
            "train" if train else "test",
            n,
            dtypes,
            tuple(targets),
            tuple(weighted),
            outputs,
            store,
            environment(),
            self._frozen(),
            self.optimizer.signature() if train else None,
        )
        if train:
            self.optimizer.build(store)
            if self._gradients_store is not store:
                self._gradients, self._gradients_store = _core.aligned_zeros(store.parameters.size), store
        return self._programs.get(
            key,
            lambda: LossProgram(
                self,
                store,
                self._programs.arena,
                n,
                dtypes,
                targets,
                weighted,
                outputs,
                self.optimizer if train else None,
            ),
        ), store

    def _run_prepared(self, executable, store, threads, seed=0, step=0):
        """Run inference or evaluation; weights are packed and folded first where they have changed."""
        if executable.prepared_version != (store, store.version):
            executable.run(threads, _core.PREPARE, seed, step)
            executable.prepared_version = store, store.version
        executable.run(threads, _core.COMPUTE, seed, step)

    # ------------------------------------------------------------------------------------------------ one batch

    def _convert_targets(self, y):
        """The targets of each output that has a loss: as given, and as the engine takes them."""
        names = [plan.name for plan in self.compiled_losses]
        values = y if isinstance(y, dict) else batches.structure_to_list(y, names, f'model "{self.name}": y')
        if isinstance(values, dict):
            values = batches.structure_to_list(values, names, f'model "{self.name}": y')
        result = []
        for plan, value in zip(self.compiled_losses, values):
            owner = f'output "{plan.name}"'
            raw = batches.to_array(value, f"{owner}: targets")
            if raw.ndim == 0 or len(raw) == 0:
                raise ValueError(f"{owner}: targets must have at least one sample, got shape {raw.shape}")
            converted = plan.loss.targets(raw, self.outputs[plan.output].shape, owner)
            plan.resolve_metrics(converted.dtype.name, converted.shape[1:], raw.shape, self.outputs[plan.output].shape)
            result.append(Targets(raw, converted))
        return result

    def _convert_weights(self, sample_weight, class_weight, targets, n):
        """Sample weights of each output that has a loss, or None."""
        per_output = [None] * len(targets)
        if sample_weight is not None:
            names = [plan.name for plan in self.compiled_losses]
            several = isinstance(sample_weight, (dict, list, tuple)) and len(names) > 1
            values = (
                batches.structure_to_list(sample_weight, names, "sample_weight")
                if several
                else [sample_weight] * len(names)
            )
            for k, (plan, value, target) in enumerate(zip(self.compiled_losses, values, targets)):
                if value is not None:
                    per_output[k] = batches.expand_weights(value, n, self._loss_shape(plan), f'output "{plan.name}"')
        if class_weight is not None:
            if len(targets) != 1:
                raise ValueError(
                    f'model "{self.name}": class_weight must be used with one output, this model has '
                    f"{len(targets)}; use sample_weight"
                )
            plan, target = self.compiled_losses[0], targets[0].converted
            if target.dtype == np.int32:
                labels = np.clip(target, 0, self.outputs[plan.output].shape[-1] - 1)  # an ignored class may lie outside
            elif target.ndim == 2 and target.shape[1] > 1:
                labels = target.argmax(axis=1)
            else:
                labels = np.rint(target.reshape(n, -1)[:, 0]).astype(np.int64)
            owner = f'model "{self.name}"'
            weights = batches.expand_weights(
                batches.class_weights(class_weight, labels, max(self.outputs[plan.output].shape[-1], 2), owner),
                n,
                self._loss_shape(plan),
                owner,
            )
            per_output[0] = weights if per_output[0] is None else per_output[0] * weights
        return per_output

    def _loss_shape(self, plan):
        """Shape, without the batch, of the values that a loss gives."""
        return self.outputs[plan.output].shape[1:-1]

    def _step(self, inputs, targets, raw, weights, train, threads):
        """One training step, or one batch of evaluation, on converted arrays; updates the running means."""
        n = len(inputs[0])
        loss_weights = [
            plan.loss.batch_weights(target, w) for plan, target, w in zip(self.compiled_losses, targets, weights)
        ]
        outputs = any(plan.slow_metrics for plan in self.compiled_losses)
        with self._lock:
            program, store = self._loss_program(
                n,
                tuple(a.dtype.name for a in inputs),
                [(t.dtype.name, t.shape[1:]) for t in targets],
                [None if w is None else w.shape[1:] for w in loss_weights],
                train,
                outputs,
            )
            executable = program.executable
            for i, array in enumerate((*inputs, *targets, *(w for w in loss_weights if w is not None))):
                executable.bind(f"input{i}", array)
            predictions = []
            for i, shape in enumerate(program.outputs):
                predictions.append(np.empty(shape, np.float32))
                executable.bind(f"output{i}", predictions[i])
            if train:
                program.hyper[:] = self.optimizer.hyper()
                updates = executable.updates
                try:
                    executable.run(threads, _EVERYTHING, self._step_seed, self.optimizer.iterations)
                finally:  # where Ctrl-C came, either the whole step was done or nothing of it
                    if executable.updates != updates:
                        store.version += 1
                        self.optimizer.iterations += 1
            else:
                self._run_prepared(executable, store, threads)
            self._update_metrics(program, n, raw, weights, predictions)

    def _update_metrics(self, program, n, raw, weights, predictions):
        arrays = program.results.arrays
        _add(self._total, float(arrays["total"][0]) * n, n)
        for k, plan in enumerate(self.compiled_losses):
            _add(plan.mean, float(arrays["loss", k][0]) * n, n)
            for metric in plan.fast_metrics:
                matches = arrays["matches", k, plan.names[metric]].reshape(n, -1)
                weight = weights[k] if metric in plan.weighted_metrics else None
                if weight is None:
                    _add(metric, float(matches.mean(axis=1, dtype=np.float64).sum()), n)
                else:
                    weight = weight.reshape(n, -1).astype(np.float64)
                    _add(metric, float((matches * weight).mean(axis=1).sum()), float(weight.mean(axis=1).sum()))
            for metric in plan.slow_metrics:
                weight = weights[k] if metric in plan.weighted_metrics else None
                metric.update_state(raw[k], predictions[plan.output], weight)

    def reset_metrics(self):
        """Forget the running means of losses and metrics."""
        self._total.reset_state()
        for plan in self.compiled_losses:
            plan.mean.reset_state()
            for metric in plan.all_metrics:
                metric.reset_state()

    def _logs(self, prefix=""):
        """The running means by name. With several outputs their names come first: "head_loss", "head_accuracy"."""
        several = len(self.outputs) > 1
        logs = {prefix + "loss": self._total.result()}
        if several:
            for plan in self.compiled_losses:
                logs[f"{prefix}{plan.name}_loss"] = plan.mean.result()
        for plan in self.compiled_losses:
            for metric in plan.all_metrics:
                logs[prefix + (f"{plan.name}_{plan.names[metric]}" if several else plan.names[metric])] = (
                    metric.result()
                )
        return logs

    @property
    def metrics_names(self):
        """The names of what evaluate() returns; complete once the model has seen targets."""
        return list(self._logs())

    def _one_batch(self, x, y, sample_weight, class_weight, train, threads):
        self._require_compiled()
        self._require_built(x)
        if y is None:
            raise ValueError(f'model "{self.name}": y must be given')
        inputs = batches.check_inputs(self, x)
        targets = self._convert_targets(y)
        self._check_lengths(inputs, targets)
        weights = self._convert_weights(sample_weight, class_weight, targets, len(inputs[0]))
        self._step(
            [batches.engine_array(a) for a in inputs],
            [t.converted for t in targets],
            [t.raw for t in targets],
            weights,
            train,
            threads,
        )

    def _check_lengths(self, inputs, targets):
        for plan, target in zip(self.compiled_losses, targets):
            if len(target.converted) != len(inputs[0]):
                raise ValueError(
                    f'model "{self.name}": x and y must have the same number of samples, '
                    f'got {len(inputs[0])} and, for output "{plan.name}", {len(target.converted)}'
                )

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False, threads=0):
        """One step on one batch. Returns the loss, or [loss, metrics...] of this batch (before the step), or a dict by
        name.
        """
        self.reset_metrics()
        self._one_batch(x, y, sample_weight, class_weight, True, threads)
        return self._returned(return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False, threads=0):
        """The loss and metrics of one batch, without training; returned as by train_on_batch."""
        self.reset_metrics()
        self._one_batch(x, y, sample_weight, None, False, threads)
        return self._returned(return_dict)

    def _returned(self, return_dict):
        logs = self._logs()
        if return_dict:
            return logs
        return logs["loss"] if len(logs) == 1 else list(logs.values())

    # ------------------------------------------------------------------------------------------------ fit

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
            generator, an object that can be
            iterated anew in each epoch, or one with len() and [i].
        batch_size : int, optional
            Default 32. A last smaller batch is used too.
        epochs, initial_epoch : int
            Train from epoch `initial_epoch` (counting from 0) to `epochs`.
        verbose : "auto", 0, 1 or 2
            1 (auto): a progress bar; 2: a line per epoch; 0: nothing.
        callbacks : list of Callback, optional
        validation_split : float
            The last part of the arrays, before shuffling, is kept for validation.
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
        shuffle = checks.boolean(owner, "shuffle", shuffle)
        if seed is not None:
            self._step_seed = random.checked_seed(seed, 64)
            self._shuffle_generator = np.random.Generator(np.random.PCG64(self._step_seed))
        source, held_out = self._training_source(
            x, y, batch_size, shuffle, class_weight, sample_weight, validation_split
        )
        if validation_data is not None:
            validation = self._validation_source(validation_data, validation_batch_size or batch_size)
        else:
            validation = held_out
        steps = steps_per_epoch if steps_per_epoch is not None else source.steps
        callback_list = callbacks_module.CallbackList(
            callbacks, add_history=True, model=self, verbose=verbose, epochs=epochs, steps=steps
        )
        self.stop_training = False
        logs = {}
        callback_list.on_train_begin()
        stream = _Stream(source, steps_per_epoch)
        for epoch in range(initial_epoch, epochs):
            self.reset_metrics()
            callback_list.on_epoch_begin(epoch)
            bar = ProgressBar(steps, epoch + 1, epochs, verbose=verbose)
            with _closing(bar):
                for step, batch in enumerate(stream.epoch()):
                    callback_list.on_train_batch_begin(step)
                    self._step(*batch, True, threads)
                    logs = self._logs()
                    callback_list.on_train_batch_end(step, logs)
                    bar.update(len(batch[0][0]), logs)
                    if self.stop_training:
                        break
                if bar.batches == 0:
                    raise ValueError(
                        f"{owner}: the iterable of batches gave none in epoch {epoch + 1}; a generator can be "
                        "walked only once: give "
                        "steps_per_epoch, or an object that can be iterated anew"
                    )
                logs = dict(self._logs())
                if validation is not None and _due(validation_freq, epoch + 1):
                    logs.update(self._evaluate(validation, validation_steps, callback_list, threads, prefix="val_"))
                bar.finish(logs)
            callback_list.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        callback_list.on_train_end(logs)
        return callback_list.history

    def _training_source(self, x, y, batch_size, shuffle, class_weight, sample_weight, validation_split):
        """(source of training batches, source of the held-out part or None)."""
        if batches.is_iterable_of_batches(x, y):
            for name, value in (
                ("batch_size", batch_size),
                ("sample_weight", sample_weight),
                ("validation_split", validation_split or None),
            ):
                if value is not None:
                    raise ValueError(
                        f'model "{self.name}": {name} must be left out where x is an iterable of batches, got {value!r}'
                    )
            return _Iterable(self, x, class_weight), None
        split = checks.number(
            f'model "{self.name}"',
            "validation_split",
            validation_split,
            "be in 0 to 1 (1 not included)",
            lambda v: 0 <= v < 1,
        )
        inputs, targets, weights = self._check_arrays(x, y, sample_weight, class_weight)
        arrays = [
            *inputs,
            *(t.converted for t in targets),
            *(t.raw for t in targets),
            *(w for w in weights if w is not None),
        ]
        cut = len(inputs[0])
        if split:
            cut = int(math.floor(cut * (1 - split)))
            if not 0 < cut < len(inputs[0]):
                raise ValueError(
                    f'model "{self.name}": validation_split={split} of {len(inputs[0])} samples leaves one part empty'
                )
        make = lambda part, shuffled: _Arrays(
            self, part, len(inputs), weights, 32 if batch_size is None else batch_size, shuffled
        )
        return make([a[:cut] for a in arrays], shuffle), make([a[cut:] for a in arrays], False) if split else None

    def _check_arrays(self, x, y, sample_weight, class_weight=None):
        if x is None or y is None:
            raise ValueError(f'model "{self.name}": x and y must be given, or x an iterable of batches (x, y)')
        self._require_built(x)
        inputs = batches.check_inputs(self, x)
        targets = self._convert_targets(y)
        self._check_lengths(inputs, targets)
        return inputs, targets, self._convert_weights(sample_weight, class_weight, targets, len(inputs[0]))

    def _validation_source(self, data, batch_size):
        if isinstance(data, (tuple, list)):
            if len(data) not in (2, 3):
                raise ValueError(
                    f'model "{self.name}": validation_data must be (x, y) or (x, y, sample_weight), got '
                    f"{len(data)} parts"
                )
            x, y, weight = (*data, None)[:3]
            return self._evaluation_source(x, y, batch_size, weight)
        return self._evaluation_source(data, None, None, None)

    def _evaluation_source(self, x, y, batch_size, sample_weight):
        if batches.is_iterable_of_batches(x, y):
            return _Iterable(self, x, None)
        inputs, targets, weights = self._check_arrays(x, y, sample_weight)
        arrays = [
            *inputs,
            *(t.converted for t in targets),
            *(t.raw for t in targets),
            *(w for w in weights if w is not None),
        ]
        return _Arrays(self, arrays, len(inputs), weights, 32 if batch_size is None else batch_size, False)

    # ------------------------------------------------------------------------------------------------ evaluate and
    # predict

    def _evaluate(self, source, steps, callback_list, threads, prefix="", bar=None):
        """Walk over a source without training; returns the logs. The running means of training are forgotten."""
        self.reset_metrics()
        callback_list.on_test_begin()
        for step, batch in enumerate(source.batches()):
            if steps is not None and step >= steps:
                break
            callback_list.on_test_batch_begin(step)
            self._step(*batch, False, threads)
            logs = self._logs()
            callback_list.on_test_batch_end(step, logs)
            if bar is not None:
                bar.update(len(batch[0][0]), logs)
        logs = self._logs()
        callback_list.on_test_end(logs)
        return {prefix + name: value for name, value in logs.items()}

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
        source = self._evaluation_source(x, y, batch_size, sample_weight)
        total = steps if steps is not None else source.steps
        callback_list = callbacks_module.CallbackList(callbacks, model=self, verbose=verbose, steps=total)
        bar = ProgressBar(total, label="Evaluate", verbose=verbose)
        with _closing(bar):
            self._evaluate(source, steps, callback_list, threads, bar=bar)
            if bar.batches == 0:
                raise ValueError(f'model "{self.name}": the iterable of batches gave none')
            bar.finish(self._logs())
        return self._returned(return_dict)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None, threads=0):
        """The outputs for many samples: an array, or a list or dict of arrays as the model was built.

        Parameters
        ----------
        x : arrays, lists or dicts of arrays, or an iterable of batches
        batch_size : int, optional
            Default 32.
        verbose, callbacks, threads
            As of fit.
        steps : int, optional
            Batches to take from an iterable.
        """
        iterable = batches.is_iterable_of_batches(x, None)
        if not iterable:
            self._require_built(x)
            arrays = batches.check_inputs(self, x)
            source = batches.ArrayBatches(arrays, len(arrays), 32 if batch_size is None else batch_size)
            total = len(source) if steps is None else min(steps, len(source))
        else:
            if batch_size is not None:
                raise ValueError(
                    f'model "{self.name}": batch_size must be left out where x is an iterable of batches, got '
                    f"{batch_size!r}"
                )
            total = steps if steps is not None else len(x) if hasattr(x, "__len__") else None
            source = self._input_batches(x)
        callback_list = callbacks_module.CallbackList(callbacks, model=self, verbose=verbose, steps=total)
        bar = ProgressBar(total, label="Predict", verbose=verbose)
        parts = []
        callback_list.on_predict_begin()
        with _closing(bar):
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

    def _input_batches(self, source):
        for item in batches.iterate(source):
            x = batches.split_batch(item, False)[0]
            self._require_built(x)
            yield [batches.engine_array(a) for a in batches.check_inputs(self, x)]

    def _predict(self, arrays, threads):
        n = len(arrays[0])
        outputs = [np.empty((n, *tensor.shape[1:]), np.float32) for tensor in self.outputs]
        with self._lock:
            executable, store = self._inference(n, tuple(a.dtype.name for a in arrays))
            for i, array in enumerate(arrays):
                executable.bind(f"input{i}", array)
            for i, output in enumerate(outputs):
                executable.bind(f"output{i}", output)
            if self._step_seed is None:
                self._step_seed = random.next_seed()
            self._predict_count += 1  # layers called with training=True draw anew each time
            self._run_prepared(executable, store, threads, self._step_seed, self._predict_count)
        return outputs

    def predict_on_batch(self, x, threads=0):
        """The outputs for one batch, in one call into the engine."""
        self._require_built(x)
        return self._as_built(self._predict([batches.engine_array(a) for a in batches.check_inputs(self, x)], threads))

    def _as_built(self, outputs):
        structure = self._structure[1]
        if isinstance(structure, dict):
            return dict(zip(structure, outputs))
        return list(outputs) if isinstance(structure, (list, tuple)) else outputs[0]

    # ------------------------------------------------------------------------------------------------ files and reports

    def save(self, filepath, overwrite=True, include_optimizer=True):
        """Write the model to one file, atomically: graph, weights and, where compiled, losses, metrics and the
        optimizer with its state.

        Parameters
        ----------
        filepath : str or path
            By custom ending in ".cnn"; the content is the same under any name.
        overwrite : bool
            False: an existing file is an error.
        include_optimizer : bool
            False leaves out what only continued training needs.
        """
        from . import serialization

        serialization.save_model(self, filepath, overwrite, include_optimizer)

    def save_weights(self, filepath, overwrite=True):
        """Write the weights alone, atomically, to a file of the same layout."""
        from . import serialization

        serialization.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath, skip_mismatch=False):
        """Read weights from a file of save or save_weights: by name, or in order where all names differ.

        Parameters
        ----------
        skip_mismatch : bool
            Leave weights alone whose name or shape is not in the file, with a warning; otherwise that is an error and
            nothing is changed.
        """
        from . import serialization

        serialization.load_weights(self, filepath, skip_mismatch)

    def summary(self, line_length=None, print_fn=None, expand_nested=False, show_trainable=False):
        """Print a table of the layers: output shapes, numbers of weights, connections."""
        report.summary(self, line_length, print_fn or print, expand_nested, show_trainable)

    def describe(self, batch_size=1, training=False):
        """The program as text: every operation with its kernel, shapes, bytes and FLOPs, what was fused, and the memory
        that is planned.

        Parameters
        ----------
        batch_size : int
        training : bool
            The training program (the model must be compiled) rather than that of predict.
        """
        return report.describe(self, self._program_for(batch_size, training))

    def profile(self, x=None, y=None, batch_size=32, training=False, repeats=5, threads=0):
        """Time per operation: milliseconds (the best of `repeats` runs), GFLOP/s, share of the peak that is measured
        beside it.

        Parameters
        ----------
        x, y : arrays, optional
            One batch; random numbers by default. The weights are left as they are.
        batch_size, training
            As of describe.
        """
        self._require_built(x)
        return report.profile(self, x, y, batch_size, training, repeats, threads)

    def memory(self, batch_size=32, training=False, threads=None):
        """Bytes that running will take, by purpose, before anything runs: a dict with "parameters", "state",
        "gradients", "optimizer",
        "arena", "packed_weights" and "total"."""
        return report.memory(self, self._program_for(batch_size, training), training, threads)

    def _program_for(self, batch_size, training, dtypes=None):
        """The executable for a batch size, made if need be; inputs of the types that the model declares, or of others."""
        n = checks.integer(f'model "{self.name}"', "batch_size", batch_size, 1)
        self._require_built()
        dtypes = tuple(dtypes or (tensor.dtype for tensor in self.inputs))
        if not training:
            return self._inference(n, dtypes)[0]
        self._require_compiled()
        targets = []
        for plan in self.compiled_losses:
            shape = self.outputs[plan.output].shape[1:]
            sparse = isinstance(plan.loss, losses.SparseCategoricalCrossentropy)
            target = ("int32", shape[:-1]) if sparse else ("float32", shape)
            plan.resolve_metrics(*target, (n, *target[1]), (None, *shape))
            targets.append(target)
        return self._loss_program(
            n, dtypes, targets, [None] * len(targets), True, any(plan.slow_metrics for plan in self.compiled_losses)
        )[0].executable


class _Arrays:
    """Checked arrays as a source of batches (inputs, targets, raw targets, weights)."""

    def __init__(self, model, arrays, n_inputs, weights, batch_size, shuffle):
        self._targets, self._inputs = len(model.compiled_losses), n_inputs
        self._weighted = [weight is not None for weight in weights]
        self._batches = batches.ArrayBatches(
            arrays, n_inputs, batch_size, shuffle, getattr(model, "_shuffle_generator", None)
        )
        self.steps = len(self._batches)

    def batches(self):
        for batch in self._batches:
            a, b, c = self._inputs, self._inputs + self._targets, self._inputs + 2 * self._targets
            weights = iter(batch[c:])
            yield (
                batch[:a],
                batch[a:b],
                batch[b:c],
                [next(weights) if weighted else None for weighted in self._weighted],
            )


class _Iterable:
    """An iterable of batches as a source; every batch is checked as it comes."""

    def __init__(self, model, source, class_weight):
        self._model, self._source, self._class_weight = model, source, class_weight
        self.steps = len(source) if hasattr(source, "__len__") else None

    def batches(self):
        model = self._model
        for item in batches.iterate(self._source):
            x, y, weight = batches.split_batch(item, True)
            inputs, targets, weights = model._check_arrays(x, y, weight, self._class_weight)
            yield (
                [batches.engine_array(a) for a in inputs],
                [t.converted for t in targets],
                [t.raw for t in targets],
                weights,
            )
        if hasattr(self._source, "on_epoch_end"):
            self._source.on_epoch_end()


class _Stream:
    """Cuts a source into epochs of a fixed number of steps, beginning anew where it ends; or takes each walk over it
    as an epoch.
    """

    def __init__(self, source, steps):
        self._source, self._steps, self._running = source, steps, None

    def epoch(self):
        if self._steps is None:
            yield from self._source.batches()
            return
        for _ in range(self._steps):
            batch = None if self._running is None else next(self._running, None)
            if batch is None:
                self._running = self._source.batches()
                batch = next(self._running, None)
                if batch is None:
                    return
            yield batch


def _due(frequency, epoch):
    """Is there validation after this epoch (counting from 1)?"""
    return epoch in frequency if isinstance(frequency, (list, tuple, set)) else epoch % frequency == 0


def _add(mean, total, count):
    """Add to a running mean what was summed elsewhere."""
    mean.total += total
    mean.count += count


@contextlib.contextmanager
def _closing(bar):
    try:
        yield
    finally:
        bar.close()


def _all_layers(model):
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _all_layers(layer)
