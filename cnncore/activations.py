"""Activation functions by name: which operation of the engine each one is, with its parameters.

They are descriptions that layers lower to operations; called on arrays or tensors they apply themselves.
"""

from collections import namedtuple

from . import checks
from .compiler import kinds


class Activation(namedtuple("Activation", "name kind alpha max_value threshold")):
    """An elementwise activation of the engine, or the softmax over the last axis.

    Attributes
    ----------
    name : str
    kind : int or None
        Number in the engine's enumeration; None for softmax.
    alpha, max_value, threshold : float
        Parameters; see the operation `activation`.
    """

    __slots__ = ()

    def lower(self, b, value):
        """Append the operation to a Lowering; returns the result's Value."""
        if self.kind is None:
            return b.op("softmax", [value])
        return value if self.kind == kinds.LINEAR else b.op("activation", [value], **self.attributes())

    def attributes(self):
        """What differs from the operation's defaults, and the kind."""
        values = {"activation": self.kind}
        for name, default in (("alpha", 0.0), ("max_value", float("inf")), ("threshold", 0.0)):
            if getattr(self, name) != default:
                values[name] = getattr(self, name)
        return values

    def __call__(self, x):
        from .layers import Activation as ActivationLayer

        return ActivationLayer(self)(x)


def _elementwise(name, kind, alpha=0.0, max_value=float("inf"), threshold=0.0):
    return Activation(name, kind, alpha, max_value, threshold)


linear = _elementwise("linear", kinds.LINEAR)  # x
relu = _elementwise("relu", kinds.RELU)  # max(x, 0)
relu6 = _elementwise("relu6", kinds.RELU, max_value=6.0)  # min(max(x, 0), 6)
leaky_relu = _elementwise("leaky_relu", kinds.RELU, alpha=0.2)  # x where x > 0, else 0.2 x
sigmoid = _elementwise("sigmoid", kinds.SIGMOID)  # 1 / (1 + exp(-x))
tanh = _elementwise("tanh", kinds.TANH)
elu = _elementwise("elu", kinds.ELU, alpha=1.0)  # x where x > 0, else exp(x) - 1
selu = _elementwise("selu", kinds.SELU)  # 1.0507 * elu with alpha 1.6733 (Klambauer et al. 2017)
gelu = _elementwise("gelu", kinds.GELU)  # x Phi(x), exact (Hendrycks and Gimpel 2016)
silu = _elementwise("silu", kinds.SILU)  # x sigmoid(x)
softplus = _elementwise("softplus", kinds.SOFTPLUS)  # log(1 + exp(x))
softsign = _elementwise("softsign", kinds.SOFTSIGN)  # x / (1 + |x|)
hard_sigmoid = _elementwise("hard_sigmoid", kinds.HARD_SIGMOID)  # relu6(x + 3) / 6
hard_silu = _elementwise("hard_silu", kinds.HARD_SILU)  # x hard_sigmoid(x) (Howard et al. 2019)
exponential = _elementwise("exponential", kinds.EXPONENTIAL)
mish = _elementwise("mish", kinds.MISH)  # x tanh(softplus(x))
softmax = Activation("softmax", None, 0.0, float("inf"), 0.0)  # exp(x) / sum(exp(x)) over the last axis

_by_name = {
    a.name: a
    for a in (
        linear,
        relu,
        relu6,
        leaky_relu,
        sigmoid,
        tanh,
        elu,
        selu,
        gelu,
        silu,
        softplus,
        softsign,
        hard_sigmoid,
        hard_silu,
        exponential,
        mish,
        softmax,
    )
}
_by_name.update(swish=silu, hard_swish=hard_silu)
swish, hard_swish = silu, hard_silu


def get(identifier):
    """The Activation for an identifier: a name, an Activation, or None (linear).

    Raises ValueError for anything else: an activation is an operation of the engine, so Python functions cannot become
    one.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, Activation):
        return identifier
    if isinstance(identifier, str) and identifier in _by_name:
        return _by_name[identifier]
    raise ValueError(
        f"activation: must be one of {', '.join(_by_name)}, got {identifier!r}{checks.suggestion(identifier, _by_name)}"
    )


def serialize(activation):
    """The name of an activation."""
    return activation.name
