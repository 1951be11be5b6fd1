"""The kinds of activation, by the engine's numbers, and which of them a gradient can do without the input of."""

(
    LINEAR,
    RELU,
    SIGMOID,
    TANH,
    ELU,
    SELU,
    GELU,
    GELU_TANH,
    SILU,
    SOFTPLUS,
    HARD_SIGMOID,
    HARD_SILU,
    SOFTSIGN,
    EXPONENTIAL,
    MISH,
) = range(15)

# Activations whose derivative follows from their output, so that their input need not be kept.
FROM_OUTPUT = {SIGMOID, TANH, ELU, SELU, SOFTPLUS, SOFTSIGN, EXPONENTIAL, HARD_SIGMOID}


def gradient_follows_from_output(operation):
    """Can the derivative of the operation's activation be computed from its output alone?"""
    kind = operation.attribute("activation")
    if kind == RELU:
        threshold = operation.attribute("threshold") if "threshold" in operation.definition.attributes else 0
        return threshold == 0 and operation.attribute("alpha") >= 0
    return kind in FROM_OUTPUT
