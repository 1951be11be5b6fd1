"""What all optimizers share: the learning rate, clipping, weight decay, and state in flat buffers."""

import functools
import operator
import re

from .. import _core, checks
from ..compiler.ir import UPDATE, Value
from ..registry import Configurable
from . import schedules


class Optimizer(Configurable):
    """Base of optimizers. One is lowered to update operations, each a single pass over a contiguous range of all
    weights.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        A schedule is a function of the number of steps done.
    weight_decay : float, optional
        Decoupled: before the update ``w -= learning_rate * weight_decay * w``. See also exclude_from_weight_decay.
        Unlike it, a kernel_regularizer=L2 acts through the gradient. (PyTorch's SGD weight_decay=d acts through the
        gradient too and equals L2(d / 2).)
    clipnorm : float, optional
        Each variable's gradient is scaled down to at most this L2 norm.
    clipvalue : float, optional
        Each element of the gradient is clipped to at most this magnitude.
    global_clipnorm : float, optional
        All gradients together are scaled down to at most this L2 norm: ``g * min(1, c / norm)`` (Pascanu et al. 2013).
        Only one of the three clippings may be given.
    name : str, optional

    Attributes
    ----------
    iterations : int
        Steps done.
    """

    slots = ()  # names of the state that there is for each weight

    def __init__(
        self, learning_rate, weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None, name=None
    ):
        self.name = name or type(self).__name__.lower()
        owner = type(self).__name__
        if sum(value is not None for value in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                f"{owner}: only one of clipnorm, clipvalue and global_clipnorm must be given, "
                f"got clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}"
            )
        self.weight_decay = None if weight_decay is None else checks.non_negative(owner, "weight_decay", weight_decay)
        self.clipnorm = None if clipnorm is None else checks.positive(owner, "clipnorm", clipnorm)
        self.clipvalue = None if clipvalue is None else checks.positive(owner, "clipvalue", clipvalue)
        self.global_clipnorm = (
            None if global_clipnorm is None else checks.positive(owner, "global_clipnorm", global_clipnorm)
        )
        self.iterations = 0
        self._excluded = set(), ()
        self._learning_rate = self._checked_rate(
            schedules.get(learning_rate) if isinstance(learning_rate, dict) else learning_rate
        )
        self._store, self.state = None, {}  # slot name -> flat buffer in the layout of the store's parameters

    def _checked_rate(self, value):
        if isinstance(value, schedules.LearningRateSchedule):
            return value
        return checks.non_negative(type(self).__name__, "learning_rate", value)

    @property
    def learning_rate(self):
        """The rate of the next step. Setting it replaces the number; where there is a schedule, that is an error."""
        rate = self._learning_rate
        return float(rate(self.iterations)) if isinstance(rate, schedules.LearningRateSchedule) else rate

    @learning_rate.setter
    def learning_rate(self, value):
        if isinstance(self._learning_rate, schedules.LearningRateSchedule) and not isinstance(
            value, schedules.LearningRateSchedule
        ):
            raise TypeError(
                f"{type(self).__name__}: the learning rate follows {self._learning_rate!r} and cannot be set; "
                "build the optimizer with a number to change it while training"
            )
        self._learning_rate = self._checked_rate(value)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Weights that do not decay: variables, or patterns found in their paths ("bias", "gamma")."""
        self._excluded = set(var_list or ()), tuple(var_names or ())

    def _decays(self, variable):
        variables, patterns = self._excluded
        return variable not in variables and not any(re.search(pattern, variable.path) for pattern in patterns)

    # -- state --

    def build(self, store):
        """Make the state for a store of weights; state of the variables that it had before is kept.

        Raises ValueError for the weights of another model: the steps and the state of two models would mix.
        """
        if store is self._store:
            return
        if self._store is not None and self._store.layout.keys().isdisjoint(store.layout):
            raise ValueError(
                f'optimizer "{self.name}": must serve one model, got the weights of a second one; compile each '
                "model with an optimizer "
                "of its own"
            )
        state = {slot: _core.aligned_zeros(store.parameters.size) for slot in self.slots}
        if self._store is not None:
            for variable, (buffer, offset) in store.layout.items():
                before = self._store.layout.get(variable)
                if buffer == "parameters" and before is not None:
                    for slot in self.slots:
                        store.view(state[slot], variable, offset)[...] = store.view(
                            self.state[slot], variable, before[1]
                        )
        self._store, self.state = store, state

    def write_hyper(self, hyper):
        """Write what changes from step to step: [learning rate, number of this step counting from 1, 0, 0]."""
        hyper[0], hyper[1] = self.learning_rate, self.iterations + 1

    # -- lowering --

    def lower(self, graph, store, gradients):
        """Append the update of variables from their gradients, {variable: Value}: one operation for each contiguous
        range of those in the storage "gradients" that is treated alike, and for each of the others.
        """
        groups = {}
        for variable in gradients:
            groups.setdefault(self.weight_decay if self.weight_decay and self._decays(variable) else 0.0, []).append(
                variable
            )
        hyper = Value("float32", (4,), storage="hyper", name="hyper")
        updates = []  # (gradient, offset of the parameters, decay)
        for decay, members in groups.items():
            alone = [v for v in members if self.clipnorm is not None or gradients[v].storage != "gradients"]
            updates += [(gradients[v], store.layout[v][1], decay) for v in alone]
            together = [v for v in members if v not in alone]
            first = {store.layout[v][1]: gradients[v].offset for v in together}
            for offset, count in store.ranges(together):  # contiguous in both, as their order is the same
                gradient = Value("float32", (count,), storage="gradients", offset=first[offset], name="gradients")
                updates.append((gradient, offset, decay))
        for (gradient, offset, decay), scale in zip(updates, self._scales(graph, updates), strict=True):
            parameters, *state = (
                Value("float32", gradient.shape, storage=storage, offset=offset, name=storage)
                for storage in ("parameters", *(f"slot{i}" for i in range(len(self.slots))))
            )
            self._lower(
                graph,
                parameters,
                gradient,
                hyper,
                state,
                scale,
                weight_decay=decay,
                clip_value=self.clipvalue or 0.0,
            )

    def _scales(self, graph, updates):
        """What clipping by norms multiplies each gradient by; None where there is none."""
        if self.clipnorm is None and self.global_clipnorm is None:
            return [None] * len(updates)
        squares = [graph.add("sum_of_squares", [gradient], section=UPDATE) for gradient, _, _ in updates]
        if self.clipnorm is not None:
            return [graph.add("clip_scale", [each], section=UPDATE, clip=self.clipnorm) for each in squares]
        return [graph.add("clip_scale", squares, section=UPDATE, clip=self.global_clipnorm)] * len(updates)

    def _lower(self, graph, parameter, gradient, hyper, state, scale, **attributes):
        raise NotImplementedError(f"{type(self).__name__} must override _lower()")

    @functools.cached_property
    def _arguments(self):
        """Reads the arguments that update operations depend on, which are attributes: every step asks for them."""
        return operator.attrgetter(*(name for name in self.get_config() if name not in ("learning_rate", "name")))

    def signature(self):
        """What the update operations depend on: a program made for another signature is not used."""
        variables, patterns = self._excluded
        return type(self).__name__, self._arguments(self), frozenset(variables), patterns

    def get_config(self):
        rate = self._learning_rate
        return {
            "name": self.name,
            "learning_rate": schedules.serialize(rate) if isinstance(rate, schedules.LearningRateSchedule) else rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            "global_clipnorm": self.global_clipnorm,
        }
