"""Random small networks, and their value in float64 by the reference; what programs hold and give: for tests of the
compiler.
"""

import numpy as np

import cnncore as cc
import reference
from cnncore import _core, layers
from cnncore.compiler.ir import COMPUTE, Value
from cnncore.layers.base import Lowering

ACTIVATIONS = [
    "relu",
    "relu6",
    "leaky_relu",
    "sigmoid",
    "tanh",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "softsign",
    "hard_sigmoid",
    "hard_silu",
    "mish",
]


def random_model(seed, size=8, smooth=False):
    """A network of about `size` layers with branches, and two outputs: probabilities of 3 classes, and 2 numbers in 0
    to 1.

    smooth: only layers whose gradient is continuous, for comparisons across instruction sets and passes at any
    precision.
    """
    draw = np.random.default_rng(seed)
    pick = lambda options: options[draw.integers(len(options))]
    activations = [a for a in ACTIVATIONS if not smooth or a in ("sigmoid", "tanh", "gelu", "silu", "softplus", "mish")]
    inputs = cc.Input((int(draw.integers(5, 8)), int(draw.integers(5, 8)), int(draw.integers(1, 4))))
    open_ends = [inputs]

    def convolution(x):
        kernel, groups = int(draw.integers(1, 4)), pick([1, 1, x.shape[-1]])
        strides, dilation = pick([(1, 1), (2, 1), (1, 2)]) if kernel > 1 else (1, 1)
        return layers.Conv2D(
            groups * int(draw.integers(1, 5)),
            kernel,
            strides,
            "same",
            dilation_rate=dilation,
            groups=groups,
            use_bias=bool(draw.integers(2)),
            activation=pick([None, None, *activations]),
            kernel_regularizer=pick([None, "l2", cc.regularizers.L1L2(1e-2, 1e-2)]),
        )(x)

    def residual(x):
        y = layers.Conv2D(x.shape[-1], 3, padding="same", use_bias=False)(x)
        parts = [
            pick([layers.BatchNormalization(), layers.DepthwiseConv2D(1)])(y),
            pick([lambda v: v, layers.Conv2D(x.shape[-1], 1)])(x),
        ]
        total = layers.Add()(parts[::-1] if draw.integers(2) else parts)
        return pick([lambda v: v, layers.Activation(pick(activations))])(total)

    def merge(x):
        other = [t for t in open_ends if t.shape == x.shape and t is not x]
        y = pick(other) if other else layers.Conv2D(x.shape[-1], 1)(x)
        kinds = [layers.Add, layers.Multiply, layers.Subtract, layers.Average, layers.Concatenate] + [
            layers.Maximum,
            layers.Minimum,
        ] * (not smooth)
        return pick(kinds)()([x, y])

    def scale(x):  # squeeze and excitation: a product that broadcasts
        gate = layers.Dense(x.shape[-1], activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
        return layers.Multiply()([x, gate])

    makers = [
        convolution,
        convolution,
        residual,
        residual,
        merge,
        scale,
        lambda x: layers.BatchNormalization(center=bool(draw.integers(2)), scale=bool(draw.integers(2)))(x),
        lambda x: layers.Activation(pick(activations))(x),
        lambda x: layers.DepthwiseConv2D(
            3, padding="same", depth_multiplier=int(draw.integers(1, 3)), activation=pick([None, "tanh"])
        )(x),
        lambda x: (
            layers.Conv2DTranspose(int(draw.integers(1, 4)), 3, pick([1, 2]), "same")(x) if x.shape[1] < 10 else x
        ),
        lambda x: layers.AveragePooling2D(pick([2, 3]), pick([1, 2]), "same")(x),
        lambda x: layers.Dropout(0.3)(x),
        lambda x: layers.GaussianNoise(0.1)(x),
        lambda x: layers.UpSampling2D(2, interpolation=pick(["nearest", "bilinear"]))(x) if x.shape[1] < 8 else x,
        lambda x: layers.Cropping2D(((1, 0), (0, 1)))(layers.ZeroPadding2D(1)(x)),
        lambda x: layers.Dense(int(draw.integers(1, 5)), activation=pick([None, *activations]))(x),
    ]
    if not smooth:
        makers += [
            lambda x: layers.MaxPooling2D(pick([2, 3]), pick([1, 2]), "same")(x),
            lambda x: layers.ReLU(2.0, 0.1, 0.2)(x),
        ]
    while size > 0:
        x = pick(open_ends[-3:])
        y = pick(makers)(x)
        if y is not x:
            open_ends = [t for t in open_ends if t is not x or draw.integers(4) == 0] + [y]
            size -= 1
    pooled = [layers.GlobalAveragePooling2D()(t) for t in open_ends]
    features = layers.Concatenate()(pooled) if len(pooled) > 1 else pooled[0]
    model = cc.Model(
        inputs,
        [
            layers.Dense(3, activation="softmax", name="classes")(features),
            layers.Dense(2, activation="sigmoid", name="numbers")(features),
        ],
        name=f"random_{seed}",
    )
    for variable in model.variables:  # no zeros, no equal weights: nothing may hide behind them
        value = draw.normal(size=variable.shape) * (
            0.5
            if variable.name in ("bias", "beta", "moving_mean")
            else 1 / np.sqrt(max(1, np.prod(variable.shape[:-1])))
        )
        variable.assign(1 + 0.5 * np.abs(value) if variable.name in ("gamma", "moving_variance") else value)
    return model


def random_data(model, seed, n=3):
    """(x, [labels, numbers])."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, *model.inputs[0].shape[1:])).astype(np.float32)
    return x, [draw.integers(0, 3, n), draw.random((n, 2)).astype(np.float32)]


def compiled(model, optimizer=None, **arguments):
    """The model, compiled with a loss for each output."""
    model.compile(
        optimizer or cc.optimizers.SGD(0.0),
        ["sparse_categorical_crossentropy", "binary_crossentropy"],
        loss_weights=[1.0, 0.5],
        seed=11,
        **arguments,
    )
    return model


class Reference:
    """The losses of a model in training mode as a function of its weights, in float64, operation by operation as the
    layers say: not fused, not differentiated."""

    def __init__(self, model, x, y):
        self.model, b = model, Lowering(training=True)
        self._places = {}
        inputs = Value("float32", x.shape, storage="input0")
        self._places[inputs] = x.astype(np.float64)
        predictions = model.lower(b, inputs)
        parts = []
        for plan, prediction, target in zip(model.compiled_losses, predictions, y):
            value = Value("int32" if target.dtype.kind == "i" else "float32", target.shape)
            self._places[value] = target
            parts.append((plan.weight, b.op("weighted_mean", [plan.loss.lower(b, value, prediction)])))
        self._graph, self._losses, self._weights = b.graph, parts, b.weights
        self._noise = {}

    def __call__(self, weights):
        """The total loss for weights {variable: float64 array}, penalties included."""
        values = dict(self._places)
        values.update((value, weights.get(variable, variable.data)) for variable, value in self._weights.items())
        for operation in self._graph.operations:
            if operation.section != COMPUTE:
                continue
            inputs = [None if v is None else values[v] for v in operation.inputs]
            attributes = {
                name: int(value) if kind == "int" else value
                for (name, (kind, _)), value in zip(
                    operation.definition.attributes.items(), operation.definition.values(operation.attributes)
                )
            }
            if operation.name in ("dropout", "gaussian_noise"):
                inputs.append(self._drawn(operation, attributes, inputs[0].shape))
                del attributes["stream"]
            for value, result in zip(operation.outputs, reference.run(operation.name, inputs, attributes)):
                if value is not None:
                    values[value] = result
        total = sum(weight * float(values[loss][0]) for weight, loss in self._losses)
        for variable in self.model.trainable_variables:
            if variable.regularizer is not None:
                w = np.asarray(weights.get(variable, variable.data), np.float64)
                total += variable.regularizer.l1 * np.abs(w).sum() + variable.regularizer.l2 * (w * w).sum()
        return total

    def _drawn(self, operation, attributes, shape):
        """The mask or the noise of the model's first step: the engine's own draw, laid bare."""
        if operation not in self._noise:
            blank = np.ones(shape, np.float32) if operation.name == "dropout" else np.zeros(shape, np.float32)
            (drawn,) = _core.run_op(operation.name, [blank], attributes, seed=self.model._step_seed, step=0)
            self._noise[operation] = (
                drawn > 0 if operation.name == "dropout" else drawn.astype(np.float64) / attributes["stddev"]
            )
        return self._noise[operation]


def gradients(model):
    """{variable: its gradient in the last training step}."""
    program = model._programs.latest()
    return {variable: program.gradient(variable) for variable in model.trainable_variables}


def operations(model, training=True):
    """[(operation, layer)] of a program of the model."""
    executable = model._program_for(2, training)
    return [(operation["op"], layer) for operation, layer in zip(executable.operations, executable.layers)]


def one_step(model, x, y):
    """[loss, gradients, weights] of a training step."""
    loss = model.train_on_batch(x, y)
    return [np.asarray(loss), *gradients(model).values(), *model.get_weights()]


def assert_same_bits(results, others):
    for a, b in zip(results, others, strict=True):
        assert a.tobytes() == b.tobytes()


def assert_equal_but_for_rounding(results, others):
    for a, b in zip(results, others, strict=True):
        assert np.abs(a - b).max() <= 2**-13 * max(np.abs(b).sum(), 1e-3)
