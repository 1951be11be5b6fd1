"""Noise in training: Dropout and GaussianNoise. In inference both pass their input on."""

from .. import checks
from .base import Layer


class Dropout(Layer):
    """In training sets each element to 0 with probability `rate` and multiplies the rest by ``1 / (1 - rate)``
    (Srivastava et al. 2014, inverted form).

    The mask is a function of the model's seed, the step, and the element's position, so it does not depend on the
    number of threads.

    Parameters
    ----------
    rate : float
        Probability of DROPPING, in 0 to 1 (1 not included).
    noise_shape : tuple, optional
        Shape of the mask, 1 where elements are dropped together: (None, 1, 1, channels) drops whole channels.
    seed : int, optional
        Gives the layer a stream of random numbers of its own; by default it gets the next one of its model.
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        owner = f'Dropout "{self.name}"'
        self.rate = checks.number(
            owner, "rate", rate, "be the probability of dropping, in 0 to 1 (1 not included)", lambda v: 0 <= v < 1
        )
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.seed = None if seed is None else checks.integer(owner, "seed", seed)

    def build(self, shape):
        if self.noise_shape is not None and (
            len(self.noise_shape) != len(shape)
            or any(d not in (None, 1) and d != s for d, s in zip(self.noise_shape, shape))
        ):
            raise ValueError(
                f'layer "{self.name}": noise_shape must have 1, None or the size of the input in every '
                f"dimension, got {self.noise_shape} for {shape}"
            )

    def lower(self, b, x):
        if not b.training or self.rate == 0:
            return x
        if self.noise_shape is None:
            return b.op("dropout", [x], rate=self.rate, stream=b.stream(self.seed))
        shape = [s if d is None else d for d, s in zip(self.noise_shape, x.shape)]
        ones = b.op("fill", [], value=1.0, rank=len(shape), **{f"d{i}": d for i, d in enumerate(shape)})
        return b.op("multiply", [x, b.op("dropout", [ones], rate=self.rate, stream=b.stream(self.seed))])

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "noise_shape": self.noise_shape, "seed": self.seed}


class GaussianNoise(Layer):
    """In training adds normally distributed noise of mean 0.

    Parameters
    ----------
    stddev : float
        Its standard deviation, at least 0.
    seed : int, optional
        As of Dropout.
    """

    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.stddev = checks.non_negative(f'GaussianNoise "{self.name}"', "stddev", stddev)
        self.seed = None if seed is None else checks.integer(f'GaussianNoise "{self.name}"', "seed", seed)

    def lower(self, b, x):
        return (
            b.op("gaussian_noise", [x], stddev=self.stddev, stream=b.stream(self.seed))
            if b.training and self.stddev
            else x
        )

    def get_config(self):
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}
