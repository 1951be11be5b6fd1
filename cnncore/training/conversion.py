"""Inputs, targets, sample weights and class weights: checked, and as the engine takes them."""

from collections import namedtuple

import numpy as np

from .. import _core, batches

# What a step takes: lists of arrays. `targets`, `raw_targets` (as the user gave them, for metrics in Python) and
# `weights` have an entry for each output with a loss; a weight may be None.
Batch = namedtuple("Batch", "inputs targets raw_targets weights")
Targets = namedtuple("Targets", "raw converted")


def checked_batch(model, x, y, sample_weight=None, class_weight=None):
    """A Batch of data of any length. The inputs are checked, but left in their type; see `engine_batch`.

    Raises
    ------
    ValueError
        For data that do not fit the model or each other.
    """
    model._require_built(x)
    inputs = batches.check_inputs(model, x)
    targets = convert_targets(model, y)
    n = len(inputs[0])
    for plan, target in zip(model.compiled_losses, targets):
        if len(target.converted) != n:
            raise ValueError(
                f'model "{model.name}": x and y must have the same number of samples, '
                f'got {n} and, for output "{plan.name}", {len(target.converted)}'
            )
    weights = _convert_weights(model, sample_weight, class_weight, targets, n)
    return Batch(inputs, [t.converted for t in targets], [t.raw for t in targets], weights)


def engine_batch(batch):
    """The Batch with its inputs as the engine takes them, too."""
    return Batch([batches.engine_array(a) for a in batch.inputs], *batch[1:])


def convert_targets(model, y):
    """The Targets of each output that has a loss; where they are the first, they decide what "accuracy" means."""
    names = [plan.name for plan in model.compiled_losses]
    values = batches.structure_to_list(y, names, f'model "{model.name}": y')
    result = []
    for plan, value in zip(model.compiled_losses, values):
        owner, prediction_shape = f'output "{plan.name}"', model.outputs[plan.output].shape
        raw = batches.to_array(value, f"{owner}: targets")
        if raw.ndim == 0 or len(raw) == 0:
            raise ValueError(f"{owner}: targets must have at least one sample, got shape {raw.shape}")
        converted = plan.loss.targets(raw, prediction_shape, owner)
        if plan.metrics is None:
            plan.resolve_metrics(_core.DTYPE_NAMES[converted.dtype], converted.shape[1:], raw.shape, prediction_shape)
        result.append(Targets(raw, converted))
    return result


def _convert_weights(model, sample_weight, class_weight, targets, n):
    """The weights of each output that has a loss, float32 of the shape of its values, or None."""
    per_output = [None] * len(targets)
    if sample_weight is not None:
        names = [plan.name for plan in model.compiled_losses]
        several = isinstance(sample_weight, (dict, list, tuple)) and len(names) > 1
        values = (
            batches.structure_to_list(sample_weight, names, "sample_weight")
            if several
            else [sample_weight] * len(names)
        )
        for k, (plan, value) in enumerate(zip(model.compiled_losses, values)):
            if value is not None:
                shape = model.outputs[plan.output].shape[1:-1]
                per_output[k] = batches.expand_weights(value, n, shape, f'output "{plan.name}"')
    if class_weight is not None:
        if len(targets) != 1:
            raise ValueError(
                f'model "{model.name}": class_weight must be used with one output, this model has '
                f"{len(targets)}; use sample_weight"
            )
        weights = _weights_of_classes(model, class_weight, targets[0].converted, n)
        per_output[0] = weights if per_output[0] is None else per_output[0] * weights
    return per_output


def _weights_of_classes(model, class_weight, target, n):
    """The weights of n samples (of their positions, where each is labelled) by their classes."""
    shape = model.outputs[model.compiled_losses[0].output].shape
    if target.dtype == np.int32:
        labels = np.clip(target, 0, shape[-1] - 1)  # an ignored class may lie outside
    elif target.ndim == 2 and target.shape[1] > 1:
        labels = target.argmax(axis=1)
    else:
        labels = np.rint(target.reshape(n, -1)[:, 0]).astype(np.int64)
    owner = f'model "{model.name}"'
    weights = batches.class_weights(class_weight, labels, max(shape[-1], 2), owner)
    return batches.expand_weights(weights, n, shape[1:-1], owner)
