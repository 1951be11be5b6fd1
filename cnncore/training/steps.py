"""What happens to one batch: a program is found or compiled, arrays are bound to it, and it runs in one call into the
engine; a large batch that is predicted, in a call for each part of it.
"""

import functools
import itertools
from _thread import RLock  # what threading offers, without half a millisecond of importing it

import numpy as np

from .. import _core, checks, random
from ..compiler.programs import LossProgram, ProgramCache, environment, inference_program, samples_of_part
from ..lazy import LazyModule
from ..variables import Changes, store_of

losses, metrics, conversion = LazyModule("losses"), LazyModule("metrics"), LazyModule("training.conversion")

_WHOLE_STEP = _core.PREPARE | _core.COMPUTE | _core.UPDATE


class Steps:
    """The part of a model that owns its programs, and runs one batch: a training step, evaluation, or prediction."""

    def __init__(self):
        self._lock = RLock()
        self._programs = ProgramCache()
        self._known_store, self._changes = None, 0
        self._step_seed = self._shuffle_generator = None
        self._predictions = itertools.count(1)
        self.optimizer, self.compiled_losses = None, []

    @functools.cached_property
    def _total(self):
        """The running mean of the whole loss."""
        return metrics.Mean(name="loss")

    # -- programs --

    def _forget_programs(self):
        self._programs.clear()

    def _store(self):
        """The store of all weights, looked for again only where it may be another one."""
        if self._known_store is None or self._known_store.retired or self._changes != Changes.count:
            self._known_store, self._changes = store_of(self.variables), Changes.count
        return self._known_store

    def _frozen(self):
        """Which layers are frozen: part of what a training program depends on."""
        return tuple([i for i, layer in enumerate(_all_layers(self)) if not layer._trainable])

    def _inference(self, n, dtypes):
        """(executable of prediction, store) for n samples of these types, or for a part of them."""
        store = self._store()

        def make():
            part = samples_of_part(self, n)
            if part < n:
                return self._inference(part, dtypes)[0]
            return inference_program(self, store, self._programs.arena, n, dtypes)

        return self._programs.get(("predict", n, dtypes, store, environment()), make), store

    def _loss_program(self, n, dtypes, targets, weighted, train):
        """(LossProgram, store) for n samples; see LossProgram for `targets` and `weighted`."""
        store = self._store()
        optimizer = self.optimizer if train else None
        predictions = any([plan.slow_metrics for plan in self.compiled_losses])
        key = (
            "train" if train else "test",
            n,
            dtypes,
            tuple(targets),
            tuple(weighted),
            predictions,
            store,
            environment(),
            self._frozen(),
            optimizer.signature() if train else None,
        )
        if train:
            optimizer.build(store)
        arena = self._programs.arena
        make = lambda: LossProgram(self, store, arena, n, dtypes, targets, weighted, predictions, optimizer)
        return self._programs.get(key, make), store

    def _program_for(self, batch_size, training, dtypes=None):
        """The executable for a batch size, made if need be; of inputs of the declared types, or of others."""
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
        return self._loss_program(n, dtypes, targets, [None] * len(targets), True)[0].executable

    def _run_prepared(self, executable, store, threads, seed=0, step=0):
        """Run inference or evaluation; weights are packed and folded first where they have changed."""
        version = store, store.version
        prepare = 0 if executable.prepared_version == version else _core.PREPARE
        executable.run(threads, prepare | _core.COMPUTE, seed, step)
        executable.prepared_version = version

    # -- one batch --

    def _convert_targets(self, y):
        return conversion.convert_targets(self, y)

    def _step(self, batch, train, threads):
        """One training step, or one batch of evaluation; updates the running means."""
        n = len(batch.inputs[0])
        weights = [
            plan.loss.batch_weights(target, weight)
            for plan, target, weight in zip(self.compiled_losses, batch.targets, batch.weights)
        ]
        with self._lock:
            program, store = self._loss_program(
                n,
                tuple([_core.DTYPE_NAMES[array.dtype] for array in batch.inputs]),
                [(_core.DTYPE_NAMES[target.dtype], target.shape[1:]) for target in batch.targets],
                [None if weight is None else weight.shape[1:] for weight in weights],
                train,
            )
            inputs = [*batch.inputs, *batch.targets, *[weight for weight in weights if weight is not None]]
            predictions = [np.empty(shape, np.float32) for shape in program.outputs]
            program.executable.bind_arrays(inputs, predictions)
            if train:
                self._run_training(program, store, threads)
            else:
                self._run_prepared(program.executable, store, threads)
            self._update_means(program, batch, predictions)

    def _run_training(self, program, store, threads):
        executable = program.executable
        self.optimizer.write_hyper(program.hyper)
        updates = executable.updates
        try:
            executable.run(threads, _WHOLE_STEP, self._step_seed, self.optimizer.iterations)
        finally:  # where Ctrl-C came, either the whole step was done or nothing of it
            if executable.updates != updates:
                store.version += 1
                self.optimizer.iterations += 1

    def _predict(self, arrays, threads):
        """The outputs for arrays that the engine takes, as a list."""
        n = len(arrays[0])
        outputs = [np.empty((n,) + tensor.shape[1:], np.float32) for tensor in self.outputs]
        with self._lock:
            executable, store = self._inference(n, tuple([_core.DTYPE_NAMES[a.dtype] for a in arrays]))
            if self._step_seed is None:
                self._step_seed = random.next_seed()
            count = next(self._predictions)  # layers called with training=True draw anew each time
            for begin in range(0, n, executable.samples):
                if executable.samples == n:
                    executable.bind_arrays(arrays, outputs)
                else:
                    part = slice(begin, begin + executable.samples)
                    executable.bind_arrays([array[part] for array in arrays], [output[part] for output in outputs])
                self._run_prepared(executable, store, threads, self._step_seed, count)
        return outputs

    # -- running means of losses and metrics --

    def _update_means(self, program, batch, predictions):
        """Add a batch's losses and metrics, as the program has computed them, to the running means."""
        n, results = len(batch.inputs[0]), program.results.arrays
        _add(self._total, float(results["total"][0]) * n, n)
        for k, plan in enumerate(self.compiled_losses):
            _add(plan.mean, float(results["loss", k][0]) * n, n)
            for metric in plan.fast_metrics:
                matches = results["matches", k, plan.names[metric]]
                weight = batch.weights[k] if metric in plan.weighted_metrics else None
                if weight is None:
                    _add(metric, _sum_of_means(matches, n), n)
                else:
                    weight = weight.astype(np.float64).reshape(matches.shape)
                    _add(metric, _sum_of_means(matches * weight, n), _sum_of_means(weight, n))
            for metric in plan.slow_metrics:
                weight = batch.weights[k] if metric in plan.weighted_metrics else None
                metric.update_state(batch.raw_targets[k], predictions[plan.output], weight)

    def reset_metrics(self):
        """Forget the running means of losses and metrics."""
        self._total.reset_state()
        for plan in self.compiled_losses:
            plan.reset_state()

    def _logs(self):
        """The running means by name. With several outputs their names come first: "head_loss", "head_accuracy"."""
        several = len(self.outputs) > 1
        logs = {"loss": self._total.result()}
        if several:
            logs.update((f"{plan.name}_loss", plan.mean.result()) for plan in self.compiled_losses)
        for plan in self.compiled_losses:
            for metric in plan.all_metrics:
                name = plan.names[metric]
                logs[f"{plan.name}_{name}" if several else name] = metric.result()
        return logs


def randomness(seed):
    """(the seed of dropout and noise, the generator of the order of samples) that follow from a seed."""
    seed = random.next_seed() if seed is None else random.checked_seed(seed, 64)
    return seed, np.random.Generator(np.random.PCG64(seed))


def _add(mean, total, count):
    """Add to a running mean what was summed elsewhere."""
    mean.total += total
    mean.count += count


def _sum_of_means(values, n):
    """The sum over n samples of the mean of each one's values."""
    return float(np.add.reduce(values, axis=None, dtype=np.float64)) / (values.size // n)


def _all_layers(model):
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _all_layers(layer)
