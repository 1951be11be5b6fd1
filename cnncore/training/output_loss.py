"""The losses and metrics that compile() was given, by output."""

import numbers

from .. import checks, losses, metrics

# What the engine's operation "correct" calls these metrics.
_ACCURACY_MODES = {metrics.SparseCategoricalAccuracy: 0, metrics.CategoricalAccuracy: 1, metrics.BinaryAccuracy: 2}


class OutputLoss:
    """The loss of one output with its weight in the sum, and its metrics.

    Attributes
    ----------
    name : str
        Of the output.
    output : int
        Its number.
    loss : Loss
    weight : float
    metrics, weighted_metrics : list of Metric or None
        None until the first targets show which accuracy is meant.
    names : dict
        Metric to its name in logs.
    mean : Mean
        The running mean of the loss.
    fast_metrics, slow_metrics : list of Metric
        Those that the program computes, and those that Python computes from predictions.
    """

    def __init__(self, name, output, loss, weight):
        self.name, self.output, self.loss, self.weight = name, output, loss, weight
        self.identifiers, self.weighted_identifiers = [], []
        self.metrics, self.weighted_metrics = None, None
        self.names = {}
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
        same_shape = target_dtype == "float32" and target_shape == prediction_shape[1:]
        fits = {0: target_dtype == "int32", 1: same_shape, 2: same_shape}
        for metric in self.names:
            mode = _ACCURACY_MODES.get(type(metric))
            if fits.get(mode, False):
                metric.engine_attributes = {"mode": mode, **({"threshold": metric.threshold} if mode == 2 else {})}
                self.fast_metrics.append(metric)
            else:
                self.slow_metrics.append(metric)

    @property
    def all_metrics(self):
        """The metrics, then the weighted ones."""
        return list(self.names)

    def reset_state(self):
        """Forget the running means of the loss and the metrics."""
        self.mean.reset_state()
        for metric in self.all_metrics:
            metric.reset_state()


def output_losses(owner, names, loss, loss_weights, plain, weighted):
    """The OutputLoss of each output that has a loss.

    Parameters
    ----------
    owner : str
        For messages: 'model "digits"'.
    names : list of str
        Of the outputs.
    loss, loss_weights, plain, weighted
        What compile() was given; the last two are its metrics and weighted_metrics.

    Raises
    ------
    ValueError
        For unknown names, and for what does not fit the outputs.
    """
    plans = _losses(owner, names, loss, loss_weights)
    for what, value in (("metrics", plain), ("weighted_metrics", weighted)):
        for plan, wanted in _metrics_of_outputs(owner, names, plans, value, what):
            (plan.identifiers if what == "metrics" else plan.weighted_identifiers).extend(wanted)
    return plans


def _losses(owner, names, loss, loss_weights):
    if loss is None:
        raise ValueError(f'{owner}: loss must be given, for example compile(loss="sparse_categorical_crossentropy")')
    weights = [1.0] * len(names) if loss_weights is None else _by_output(owner, loss_weights, names, "loss_weights")
    if isinstance(loss_weights, numbers.Real) and len(names) > 1:
        raise ValueError(
            f"{owner}: loss_weights must be a list or a dict with a weight per output, got {loss_weights!r}"
        )
    plans = []
    for i, (name, one, weight) in enumerate(zip(names, _by_output(owner, loss, names, "loss"), weights)):
        if one is not None:
            weight = 1.0 if weight is None else checks.number(owner, f"the loss weight of {name}", weight)
            plans.append(OutputLoss(name, i, losses.get(one), weight))
    if not plans:
        raise ValueError(f"{owner}: at least one output must have a loss")
    return plans


def _metrics_of_outputs(owner, names, plans, value, what):
    """Yield (OutputLoss, list of identifiers) for what compile was given as metrics or weighted_metrics."""
    if value is None:
        return
    nested = isinstance(value, dict) or (
        isinstance(value, (list, tuple)) and any(isinstance(v, (list, tuple, dict)) for v in value)
    )
    per_output = _by_output(owner, value, names, what) if nested else [value] * len(names)
    plan_of = {plan.output: plan for plan in plans}
    for i, wanted in enumerate(per_output):
        wanted = [] if wanted is None else list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]
        if not wanted:
            continue
        if i in plan_of:
            metrics.resolve(wanted, (None, 1), (None, 2))  # unknown names are refused here rather than in fit
            yield plan_of[i], wanted
        elif nested:
            raise ValueError(f'{owner}: {what} must be of outputs that have a loss, got some for "{names[i]}"')


def _by_output(owner, value, names, what):
    """A list with one entry per output, from a list, a dict by name, or a single value."""
    if isinstance(value, dict):
        unknown = [key for key in value if key not in names]
        if unknown:
            raise ValueError(
                f"{owner}: {what} must name outputs, got {', '.join(map(repr, unknown))}; the outputs are "
                f"{', '.join(names)}"
            )
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(names):
            raise ValueError(f"{owner}: {what} must have one entry per output ({', '.join(names)}), got {len(value)}")
        return list(value)
    return [value] * len(names)
