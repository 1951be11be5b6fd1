"""Stochastic gradient descent."""

from .. import checks
from .base import Optimizer


class SGD(Optimizer):
    """``w -= learning_rate * g``; with momentum m (Polyak 1964) ``v = m * v - learning_rate * g; w += v``; with
    nesterov=True (Nesterov 1983, in the form of Sutskever et al. 2013) ``w += m * v - learning_rate * g`` with the new
    v.

    The velocity holds the learning rate, as in Keras; PyTorch's does not, which is the same while the rate is constant.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Default 0.01.
    momentum : float
        In 0 to 1, default 0.
    nesterov : bool
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        As of Optimizer.
    """

    def __init__(
        self,
        learning_rate=0.01,
        momentum=0.0,
        nesterov=False,
        weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        name="SGD",
    ):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        self.momentum = checks.number("SGD", "momentum", momentum, "be in 0 to 1", lambda v: 0 <= v <= 1)
        self.nesterov = checks.boolean("SGD", "nesterov", nesterov)

    @property
    def slots(self):
        return ("velocity",) if self.momentum else ()

    def _lower(self, graph, parameter, gradient, hyper, state, scale, **attributes):
        velocity = state[0] if state else None
        graph.update(
            "sgd",
            [parameter, gradient, hyper, velocity, scale],
            momentum=self.momentum,
            nesterov=int(self.nesterov),
            **attributes,
        )

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
