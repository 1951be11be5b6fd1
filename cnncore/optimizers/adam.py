"""Adam and AdamW."""

from .. import checks
from .base import Optimizer


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), in Keras' form, where epsilon stands outside the root of the uncorrected moment
    ("epsilon hat")::

        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        w -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Default 0.001.
    beta_1, beta_2 : float
        In 0 to 1, default 0.9 and 0.999.
    epsilon : float
        Default 1e-7.
    amsgrad : bool
        Divide by the root of the largest v so far (Reddi et al. 2018).
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        As of Optimizer.
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
        weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        name="adam",
    ):
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name)
        owner = type(self).__name__
        self.beta_1 = checks.number(owner, "beta_1", beta_1, "be in 0 to 1 (1 not included)", lambda v: 0 <= v < 1)
        self.beta_2 = checks.number(owner, "beta_2", beta_2, "be in 0 to 1 (1 not included)", lambda v: 0 <= v < 1)
        self.epsilon = checks.positive(owner, "epsilon", epsilon)
        self.amsgrad = checks.boolean(owner, "amsgrad", amsgrad)

    @property
    def slots(self):
        return ("momentum", "velocity", "velocity_hat") if self.amsgrad else ("momentum", "velocity")

    def _lower(self, graph, parameter, gradient, hyper, state, scale, **attributes):
        graph.update(
            "adam",
            [parameter, gradient, *state[:2], hyper, scale, *state[2:]],
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            **attributes,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): ``w -= learning_rate * weight_decay * w`` before
    the update.

    Parameters
    ----------
    weight_decay : float
        Default 0.004.
    learning_rate, beta_1, beta_2, epsilon, amsgrad, clipnorm, clipvalue, global_clipnorm, name
        As of Adam.
    """

    def __init__(
        self,
        learning_rate=0.001,
        weight_decay=0.004,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        name="adamw",
    ):
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, clipnorm, clipvalue, global_clipnorm, name
        )
        if self.weight_decay is None:
            raise ValueError("AdamW: weight_decay must be a number, got None; use Adam to train without")
