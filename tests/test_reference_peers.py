"""The reference against PyTorch in float64, and against Keras."""

import numpy as np
import pytest

import op_cases
import reference as ref
from reference import activations as act


def nchw(x, torch):
    return torch.tensor(np.moveaxis(np.asarray(x, dtype=np.float64), -1, 1).copy(), requires_grad=True)


def nhwc(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def close(actual, expected, what, rtol=1e-10):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-11, err_msg=str(what))


def torch_conv(a, torch, groups, multiplier=None):
    """The convolution of case `a` in torch: (x, w, y, grad of both).

    Depthwise weights (kh,kw,c,m) become (c m,1,kh,kw).
    """
    g = a["attributes"]
    x = nchw(a["x"], torch)
    w = a["w"] if multiplier is None else a["w"].reshape(*a["w"].shape[:2], 1, -1)
    w = torch.tensor(w.astype(np.float64).transpose(3, 2, 0, 1).copy(), requires_grad=True)
    pads = [g.get(f"pad_{side}", 0) for side in ("left", "right", "top", "bottom")]
    y = torch.nn.functional.conv2d(
        torch.nn.functional.pad(x, pads),
        w,
        stride=(g["stride_h"], g["stride_w"]),
        dilation=(g.get("dilation_h", 1), g.get("dilation_w", 1)),
        groups=groups,
    )
    y.backward(nchw(a["grad_y"], torch).detach())
    return nhwc(y), nhwc(x.grad), w.grad.numpy().transpose(2, 3, 1, 0)


def test_convolution_against_torch():
    torch = pytest.importorskip("torch")
    for index in range(60):
        a = op_cases.convolution(np.random.default_rng(index), max_products=200_000)
        g, size = a["attributes"], {"in_h": a["in_h"], "in_w": a["in_w"]}
        y, grad_x, grad_w = torch_conv(a, torch, g.get("groups", 1))
        close(ref.conv2d(a["x"], a["w"], **g)[0], y, g)
        close(ref.conv2d_backward_input(a["grad_y"], a["w"], **size, **g), grad_x, g)
        close(ref.conv2d_backward_weight(a["x"], a["grad_y"], **g)[0], grad_w, g)


def test_depthwise_convolution_against_torch():
    torch = pytest.importorskip("torch")
    for index in range(40):
        a = op_cases.depthwise(np.random.default_rng(index), max_products=200_000)
        g, size = a["attributes"], {"in_h": a["in_h"], "in_w": a["in_w"]}
        y, grad_x, grad_w = torch_conv(a, torch, a["x"].shape[3], a["multiplier"])
        close(ref.depthwise_conv2d(a["x"], a["w"], **g)[0], y, g)
        close(ref.depthwise_conv2d_backward_input(a["grad_y"], a["w"], **size, **g), grad_x, g)
        own = ref.depthwise_conv2d_backward_weight(a["x"], a["grad_y"], multiplier=a["multiplier"], **g)[0]
        close(own, grad_w.reshape(own.shape), g)


@pytest.mark.parametrize(
    "stride, dilation, kernel, padding, output_padding",
    [(1, 1, 3, 1, 0), (2, 1, 3, 1, 1), (2, 1, 4, 1, 0), (3, 1, 2, 0, 2), (2, 2, 3, 2, 1), (3, 1, 5, 2, 0)],
)
def test_transposed_convolution_against_torch(stride, dilation, kernel, padding, output_padding):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, w, bias = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(kernel, kernel, 6, 3)), rng.normal(size=6)
    y = torch.nn.functional.conv_transpose2d(
        nchw(x, torch),
        torch.tensor(w.transpose(3, 2, 0, 1).copy()),
        torch.tensor(bias),
        stride,
        padding,
        output_padding,
        dilation=dilation,
    )
    pads = {f"pad_{side}": padding for side in ("top", "left", "bottom", "right")}
    own = ref.conv2d_transpose(
        x,
        w,
        bias,
        kernel_h=kernel,
        kernel_w=kernel,
        stride_h=stride,
        stride_w=stride,
        dilation_h=dilation,
        dilation_w=dilation,
        **pads,
        out_h=y.shape[2],
        out_w=y.shape[3],
    )
    close(own, nhwc(y), "conv2d_transpose")


@pytest.mark.parametrize(
    "pool, stride, padding, size", [(2, 2, 0, 7), (3, 2, 1, 8), (3, 1, 1, 5), (5, 3, 2, 9), (4, 4, 0, 4), (2, 1, 1, 3)]
)
def test_pooling_against_torch(pool, stride, padding, size):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(pool)
    image = rng.normal(size=(2, size, size + 1, 5))
    g = dict(
        pool_h=pool,
        pool_w=pool,
        stride_h=stride,
        stride_w=stride,
        **{f"pad_{side}": padding for side in ("top", "left", "bottom", "right")},
    )
    x = nchw(image, torch)
    y = torch.nn.functional.max_pool2d(x, pool, stride, padding)
    grad_y = rng.normal(size=nhwc(y).shape)
    y.backward(nchw(grad_y, torch).detach())
    close(ref.max_pool2d(image, **g), nhwc(y), g)
    close(ref.max_pool2d_backward(image, nhwc(y), grad_y, **g), nhwc(x.grad), g)
    for count in (0, 1):
        x = nchw(image, torch)
        y = torch.nn.functional.avg_pool2d(x, pool, stride, padding, count_include_pad=bool(count))
        y.backward(nchw(grad_y, torch).detach())
        close(ref.avg_pool2d(image, count_include_pad=count, **g), nhwc(y), g)
        own = ref.avg_pool2d_backward(grad_y, in_h=size, in_w=size + 1, count_include_pad=count, **g)
        close(own, nhwc(x.grad), g)


@pytest.mark.parametrize("training", [1, 0])
def test_batchnorm_against_torch(training):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(training)
    image, gamma, beta = rng.normal(1, 3, size=(3, 4, 5, 6)), rng.normal(size=6), rng.normal(size=6)
    mean, var = ref.batchnorm_moments(image) if training else (rng.normal(size=6), rng.uniform(0.5, 2, 6))
    x, scale, shift = (
        nchw(image, torch),
        torch.tensor(gamma, requires_grad=True),
        torch.tensor(beta, requires_grad=True),
    )
    y = torch.relu(
        torch.nn.functional.batch_norm(
            x, torch.tensor(mean), torch.tensor(var), scale, shift, bool(training), 0.1, 1e-3
        )
    )
    grad_y = rng.normal(size=image.shape)
    y.backward(nchw(grad_y, torch).detach())
    own = ref.norm.normalise(image, mean, var, gamma, beta, epsilon=1e-3, activation=1)
    close(own, nhwc(y), "y")
    grads = ref.batchnorm_backward(grad_y, image, own, mean, var, gamma, epsilon=1e-3, activation=1, training=training)
    for grad, expected in zip(grads, (nhwc(x.grad), scale.grad.numpy(), shift.grad.numpy())):
        close(grad, expected, f"training={training}")


def torch_activations(torch):
    f = torch.nn.functional
    return {
        "linear": (lambda x: x, {}),
        "relu": (f.relu, {}),
        "sigmoid": (torch.sigmoid, {}),
        "tanh": (torch.tanh, {}),
        "elu": (lambda x: f.elu(x, 0.7), {"alpha": 0.7}),
        "selu": (f.selu, {}),
        "gelu": (f.gelu, {}),
        "gelu_tanh": (lambda x: f.gelu(x, approximate="tanh"), {}),
        "silu": (f.silu, {}),
        "softplus": (lambda x: f.softplus(x, threshold=1e9), {}),
        "hard_sigmoid": (f.hardsigmoid, {}),
        "hard_silu": (f.hardswish, {}),
        "softsign": (f.softsign, {}),
        "exponential": (torch.exp, {}),
        "mish": (f.mish, {}),
    }


@pytest.mark.parametrize("name", act.NAMES)
def test_activation_against_torch(name):
    torch = pytest.importorskip("torch")
    function, attributes = torch_activations(torch)[name]
    check_activation(torch, function, {"activation": act.NAMES.index(name), **attributes})


def test_relu_variants_against_torch():
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    check_activation(torch, lambda x: f.leaky_relu(x, 0.1), {"activation": act.RELU, "alpha": 0.1})
    check_activation(torch, f.relu6, {"activation": act.RELU, "max_value": 6.0})
    check_activation(torch, lambda x: f.threshold(x, 0.5, 0.0), {"activation": act.RELU, "threshold": 0.5})


def check_activation(torch, function, attributes):
    """Values and slopes at 500 points; torch rounds hard_sigmoid's 1/6 to float32 even in float64."""
    rtol = 2.0**-24 if attributes["activation"] == act.HARD_SIGMOID else 1e-10
    values = np.random.default_rng(0).normal(0, 3, size=500)
    x = torch.tensor(values, requires_grad=True)
    y = function(x)
    y.backward(torch.ones_like(y))
    close(ref.activation(values, **attributes), y.detach().numpy(), attributes)
    close(
        ref.activation_backward(np.ones(500), values, reference_is_input=1, **attributes),
        x.grad.numpy(),
        attributes,
        rtol,
    )
    if attributes["activation"] in act.FROM_OUTPUT and "threshold" not in attributes:
        own = ref.activation_backward(np.ones(500), y.detach().numpy(), reference_is_input=0, **attributes)
        close(own, x.grad.numpy(), attributes, rtol)


def test_softmax_against_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values, grad_y = rng.normal(0, 5, size=(4, 3, 7)), rng.normal(size=(4, 3, 7))
    x = torch.tensor(values, requires_grad=True)
    y = torch.softmax(x, -1)
    y.backward(torch.tensor(grad_y))
    close(ref.softmax(values), y.detach().numpy(), "y")
    close(ref.softmax_backward(grad_y, y.detach().numpy()), x.grad.numpy(), "grad_x")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["sparse", "dense", "ignore"])
def test_softmax_cross_entropy_against_torch(kind, smoothing):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits, grad = rng.normal(0, 4, size=(9, 6)), rng.normal(size=9)
    target = ref.softmax(rng.normal(size=(9, 6))) if kind == "dense" else rng.integers(0, 6, 9)
    z = torch.tensor(logits, requires_grad=True)
    ignore = {"ignore_class": 2} if kind == "ignore" else {}
    options = {"ignore_index": 2} if kind == "ignore" else {}
    loss = torch.nn.functional.cross_entropy(
        z, torch.tensor(target), reduction="none", label_smoothing=smoothing, **options
    )
    loss.backward(torch.tensor(grad))
    close(ref.softmax_cross_entropy(logits, target, label_smoothing=smoothing, **ignore), loss.detach().numpy(), kind)
    own = ref.softmax_cross_entropy_backward(logits, target, grad, label_smoothing=smoothing, **ignore)
    close(own, z.grad.numpy(), kind)


@pytest.mark.parametrize("op", ["sigmoid_cross_entropy", "binary_cross_entropy", "squared_error", "absolute_error"])
def test_elementwise_losses_against_torch(op):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    function = {
        "sigmoid_cross_entropy": f.binary_cross_entropy_with_logits,
        "binary_cross_entropy": f.binary_cross_entropy,
        "squared_error": f.mse_loss,
        "absolute_error": f.l1_loss,
    }[op]
    rng = np.random.default_rng(0)
    values, target, grad = rng.uniform(0.01, 0.99, (5, 7)), rng.random((5, 7)), rng.normal(size=5)
    x = torch.tensor(values, requires_grad=True)
    loss = function(x, torch.tensor(target), reduction="none").mean(-1)
    loss.backward(torch.tensor(grad))
    close(ref.OPS[op](values, target), loss.detach().numpy(), op)
    close(ref.OPS[op + "_backward"](values, target, grad), x.grad.numpy(), op)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_upsample_against_torch(mode):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    image, grad_y = rng.normal(size=(2, 3, 1, 5)), rng.normal(size=(2, 12, 3, 5))
    x = nchw(image, torch)
    options = {"align_corners": False} if mode == "bilinear" else {}
    y = torch.nn.functional.interpolate(x, scale_factor=(4, 3), mode=mode, **options)
    y.backward(nchw(grad_y, torch).detach())
    g = dict(factor_h=4, factor_w=3, mode=int(mode == "bilinear"))
    close(ref.upsample2d(image, **g), nhwc(y), mode)
    close(ref.upsample2d_backward(grad_y, **g), nhwc(x.grad), mode)


@pytest.mark.parametrize("nesterov", [0, 1])
def test_sgd_against_torch(nesterov):
    """At a constant rate Keras' velocity is -rate times torch's buffer, and the parameters are the same."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(nesterov)
    start = rng.normal(size=20)
    w = torch.tensor(start.copy(), requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9, nesterov=bool(nesterov))
    own, velocity = start, np.zeros(20)
    for step in range(1, 6):
        g = rng.normal(size=20)
        w.grad = torch.tensor(g)
        optimizer.step()
        own, velocity = ref.sgd(own, g, [0.1, step, 0, 0], velocity, momentum=0.9, nesterov=nesterov)
    close(own, w.detach().numpy(), "sgd")


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adamw_against_torch_without_epsilon(amsgrad):
    """Keras' epsilon stands beside the uncorrected sqrt(v), torch's beside the corrected one.

    With epsilon = 0 they agree.
    """
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start = rng.normal(size=20)
    w = torch.tensor(start.copy(), requires_grad=True)
    optimizer = torch.optim.AdamW([w], lr=0.01, eps=0.0, weight_decay=0.1, amsgrad=amsgrad)
    own, m, v = start, np.zeros(20), np.zeros(20)
    largest = np.zeros(20) if amsgrad else None
    for step in range(1, 6):
        g = rng.normal(size=20) / step**2  # falling gradients: vmax leaves v behind
        w.grad = torch.tensor(g)
        optimizer.step()
        own, m, v, largest = ref.adam(own, g, m, v, [0.01, step, 0, 0], None, largest, epsilon=0.0, weight_decay=0.1)
    close(own, w.detach().numpy(), "adam")


# ---- Keras ----


@pytest.mark.parametrize(
    "name, attributes, options",
    [
        ("SGD", {}, {}),
        ("SGD", {"momentum": 0.9}, {"momentum": 0.9}),
        (
            "SGD",
            {"momentum": 0.9, "nesterov": 1, "weight_decay": 0.01},
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        ),
        ("SGD", {"clip_value": 0.5}, {"clipvalue": 0.5}),
        ("Adam", {}, {}),
        ("Adam", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
        ("Adam", {"amsgrad": True, "weight_decay": 0.01}, {"amsgrad": True, "weight_decay": 0.01}),
    ],
)
def test_optimizers_against_keras(keras, name, attributes, options):
    """Five steps of Keras' float32.

    Its 1 - beta_2^t >= 0.001 is off by 2^-24, so each Adam step of 0.05 by 0.05 2^-24 / 0.002.
    """
    rng = np.random.default_rng(0)
    start = rng.normal(size=30).astype(np.float32)
    variable = keras.Variable(start)
    optimizer = getattr(keras.optimizers, name)(learning_rate=0.05, **options)
    w, state = start, [np.zeros(30), np.zeros(30), np.zeros(30) if attributes.pop("amsgrad", False) else None]
    for step in range(1, 6):
        g = rng.normal(size=30).astype(np.float32) / step
        optimizer.apply([keras.ops.convert_to_tensor(g)], [variable])
        hyper = [0.05, step, 0, 0]
        if name == "SGD":
            w, state[0] = ref.sgd(w, g, hyper, state[0] if "momentum" in attributes else None, **attributes)
        else:
            w, *state = ref.adam(w, g, state[0], state[1], hyper, None, state[2], **attributes)
    atol = 2.0**-20 + (5 * 0.05 * 2.0**-24 / 0.002 if name == "Adam" else 0.0)
    np.testing.assert_allclose(w, keras.ops.convert_to_numpy(variable), rtol=0, atol=atol)


@pytest.mark.parametrize(
    "op, function, options",
    [
        ("categorical_cross_entropy", "categorical_crossentropy", {}),
        ("categorical_cross_entropy", "categorical_crossentropy", {"label_smoothing": 0.1}),
        ("softmax_cross_entropy", "categorical_crossentropy", {"label_smoothing": 0.1}),
        ("binary_cross_entropy", "binary_crossentropy", {"label_smoothing": 0.1}),
        ("sigmoid_cross_entropy", "binary_crossentropy", {"label_smoothing": 0.1}),
    ],
)
def test_losses_against_keras(keras, op, function, options):
    rng = np.random.default_rng(0)
    from_logits = op.startswith(("softmax", "sigmoid"))
    x = rng.normal(size=(6, 5)) if from_logits else rng.uniform(0.01, 0.99, (6, 5))
    target = np.eye(5)[rng.integers(0, 5, 6)]
    expected = getattr(keras.losses, function)(
        target.astype("float32"), x.astype("float32"), from_logits=from_logits, **options
    )
    np.testing.assert_allclose(ref.OPS[op](x, target, **options), keras.ops.convert_to_numpy(expected), rtol=1e-5)


def test_same_padding_layers_against_keras(keras):
    """Keras pads the odd pixel at the bottom and right."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 6, 3)).astype(np.float32)
    pool = keras.ops.max_pool(x, 3, strides=2, padding="same")
    own = ref.max_pool2d(x, pool_h=3, pool_w=3, stride_h=2, stride_w=2, pad_top=1, pad_bottom=1, pad_right=1)
    np.testing.assert_allclose(own, keras.ops.convert_to_numpy(pool), atol=1e-5)
    w = rng.normal(size=(3, 3, 3, 4)).astype(np.float32)
    y = keras.ops.conv(x, w, strides=2, padding="same", data_format="channels_last")
    own = ref.conv2d(
        x, w, kernel_h=3, kernel_w=3, stride_h=2, stride_w=2, pad_top=1, pad_left=0, pad_bottom=1, pad_right=1
    )[0]
    np.testing.assert_allclose(own, keras.ops.convert_to_numpy(y), atol=1e-4)
    w = rng.normal(size=(3, 3, 3, 2)).astype(np.float32)
    y = keras.ops.depthwise_conv(x, w, padding="valid", data_format="channels_last")
    own = ref.depthwise_conv2d(x, w, kernel_h=3, kernel_w=3)[0]
    np.testing.assert_allclose(own, keras.ops.convert_to_numpy(y), atol=1e-4)
