"""Batch normalisation."""

import warnings

from .. import checks, initializers, regularizers
from .base import Layer


class BatchNormalization(Layer):
    """``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`` per channel, over all but the last axis (Ioffe and
    Szegedy 2015).

    In training mean and (biased) variance are those of the batch, and the moving averages follow:
    ``moving = momentum * moving + (1 - momentum) * batch``, so momentum is the weight of the OLD statistic (PyTorch's
    `momentum` is that of the new one,
    1 - momentum here). In inference, and when trainable is False or the layer is called with training=False, the moving
    averages are used.

    Parameters
    ----------
    axis : int
        The last, -1.
    momentum : float
        In [0, 1], default 0.99. Below 0.5 a warning asks whether the other convention was meant.
    epsilon : float
        Default 1e-3.
    center, scale : bool
        Whether there is a beta and a gamma.
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer
        Default "zeros", "ones", "zeros", "ones".
    beta_regularizer, gamma_regularizer : Regularizer, optional
    """

    def __init__(
        self,
        axis=-1,
        momentum=0.99,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        moving_mean_initializer="zeros",
        moving_variance_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        owner = f'BatchNormalization "{self.name}"'
        self.axis = axis
        self.momentum = checks.number(owner, "momentum", momentum, "be in 0 to 1", lambda v: 0 <= v <= 1)
        if self.momentum < 0.5:
            warnings.warn(
                f"{owner}: momentum={momentum} is the weight of the old statistic, so the moving averages will "
                "follow the last batches; "
                f"PyTorch's momentum={momentum} is momentum={1 - momentum:g} here",
                stacklevel=3,
            )
        self.epsilon = checks.positive(owner, "epsilon", epsilon)
        self.center, self.scale = checks.boolean(owner, "center", center), checks.boolean(owner, "scale", scale)
        self.beta_initializer, self.gamma_initializer = (
            initializers.get(beta_initializer),
            initializers.get(gamma_initializer),
        )
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer, self.gamma_regularizer = (
            regularizers.get(beta_regularizer),
            regularizers.get(gamma_regularizer),
        )
        self.gamma = self.beta = self.moving_mean = self.moving_variance = None

    def build(self, shape):
        if len(shape) < 2 or self.axis not in (-1, len(shape) - 1):
            raise ValueError(
                f'layer "{self.name}": axis must be the last, -1, of an input (n, ..., channels), got axis '
                f"{self.axis} for {shape}"
            )
        channels = (shape[-1],)
        if self.scale:
            self.gamma = self.add_weight("gamma", channels, self.gamma_initializer, regularizer=self.gamma_regularizer)
        if self.center:
            self.beta = self.add_weight("beta", channels, self.beta_initializer, regularizer=self.beta_regularizer)
        self.moving_mean = self.add_weight("moving_mean", channels, self.moving_mean_initializer, trainable=False)
        self.moving_variance = self.add_weight(
            "moving_variance", channels, self.moving_variance_initializer, trainable=False
        )

    def lower(self, b, x):
        mean, variance = b.weight(self.moving_mean), b.weight(self.moving_variance)
        if b.training and self.trainable:
            batch_mean, batch_variance = b.op("batchnorm_moments", [x], 2)
            b.update("moving_average", [mean, batch_mean], momentum=self.momentum)
            b.update("moving_average", [variance, batch_variance], momentum=self.momentum)
            mean, variance = batch_mean, batch_variance
        return b.op("batchnorm", [x, mean, variance, b.weight(self.gamma), b.weight(self.beta)], epsilon=self.epsilon)

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
        }
