"""The engine beside PyTorch and Keras in float32.

Both have their own rounding, so twice the derived bound is allowed.
"""

import numpy as np
import pytest

import op_cases
import reference
from bounds import bounds
from cnncore import _core
from harness import compare, count, on_every_path
from op_cases import Case

PADS = {f"pad_{side}": 1 for side in ("top", "left", "bottom", "right")}


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def within_twice_the_bound(case, *peers):
    """Each wanted output within twice its bound of the peer's."""
    expected = [np.asarray(y) for y in reference.run(case.op, case.inputs, case.attributes)]
    limits = bounds(case, expected)
    for isa, results in on_every_path(case):
        for slot, (result, peer) in enumerate(zip(results, peers)):
            compare(result, np.asarray(peer, dtype=np.float64), 2 * limits[slot], f"{case}: output {slot} ({isa})")


def nchw(torch, x):
    return torch.tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)


def nhwc(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def test_convolution_and_gradients_beside_torch(torch):
    for index in range(count(30)):
        a = op_cases.convolution(np.random.default_rng([5, index]))
        g = a["attributes"]
        x, w = nchw(torch, a["x"]), torch.tensor(a["w"].transpose(3, 2, 0, 1).copy(), requires_grad=True)
        padded = torch.nn.functional.pad(x, [g.get(f"pad_{side}", 0) for side in ("left", "right", "top", "bottom")])
        y = torch.nn.functional.conv2d(
            padded,
            w,
            stride=(g["stride_h"], g["stride_w"]),
            groups=g.get("groups", 1),
            dilation=(g.get("dilation_h", 1), g.get("dilation_w", 1)),
        )
        y.backward(nchw(torch, a["grad_y"]).detach())
        size = {"in_h": a["in_h"], "in_w": a["in_w"]}
        within_twice_the_bound(Case("conv2d", index, [a["x"], a["w"], None, None], g, (True, False, False)), nhwc(y))
        within_twice_the_bound(
            Case("conv2d_backward_input", index, [a["grad_y"], a["w"], None], {**g, **size}), nhwc(x.grad)
        )
        within_twice_the_bound(
            Case("conv2d_backward_weight", index, [a["x"], a["grad_y"]], g, (True, False)),
            w.grad.numpy().transpose(2, 3, 1, 0),
        )


def test_pooling_beside_torch(torch):
    x = op_cases.normal(np.random.default_rng(0), 3, 9, 11, 17)
    g = dict(pool_h=3, pool_w=3, stride_h=2, stride_w=2, **PADS)
    maximum = torch.nn.functional.max_pool2d(nchw(torch, x), 3, 2, 1)
    within_twice_the_bound(Case("max_pool2d", 0, [x], g), nhwc(maximum))
    for include in (0, 1):
        mean = torch.nn.functional.avg_pool2d(nchw(torch, x), 3, 2, 1, count_include_pad=bool(include))
        within_twice_the_bound(Case("avg_pool2d", 0, [x], {**g, "count_include_pad": include}), nhwc(mean))


def test_batchnorm_beside_torch(torch):
    rng = np.random.default_rng(0)
    x, gamma, beta = op_cases.normal(rng, 4, 5, 6, 33), op_cases.normal(rng, 33), op_cases.normal(rng, 33)
    y = torch.nn.functional.batch_norm(
        nchw(torch, x), None, None, torch.tensor(gamma), torch.tensor(beta), True, 0.1, 1e-3
    )
    for isa in _core.available_isas():
        mean, var = _core.run_op("batchnorm_moments", [x], isa=isa)
        case = Case("batchnorm", 0, [x, mean, var, gamma, beta, None], {"epsilon": 1e-3})
        limit = bounds(case, reference.run("batchnorm", case.inputs, case.attributes))[0]
        (own,) = _core.run_op("batchnorm", case.inputs, case.attributes, isa=isa, outputs=(True,))
        compare(
            own, nhwc(y).astype(np.float64), (3 + x.size // 33) * limit, f"{case} ({isa})"
        )  # and the error of the moments


@pytest.mark.parametrize(
    "name",
    ["relu", "sigmoid", "tanh", "selu", "gelu", "silu", "softplus", "hard_sigmoid", "hard_silu", "softsign", "mish"],
)
def test_activations_beside_keras(keras, name):
    x = op_cases.normal(np.random.default_rng(0), 4, 331, scale=2.0)
    peer = keras.ops.convert_to_numpy(getattr(keras.activations, name)(keras.ops.convert_to_tensor(x)))
    case = Case("activation", 0, [x], {"activation": reference.activations.NAMES.index(name), "alpha": 0.0})
    limit = 2 * bounds(case, reference.run("activation", case.inputs, case.attributes))[0] + 2.0**-22 * np.maximum(
        np.abs(x), 1
    )
    for isa, (y,) in on_every_path(case):  # Keras may lose digits relative to max(1, |x|)
        compare(y, peer.astype(np.float64), limit, f"{name} ({isa})")


@pytest.mark.parametrize("padding, pads", [("valid", {}), ("same", PADS)])
def test_convolution_beside_keras(keras, padding, pads):
    rng = np.random.default_rng(0)
    x, w = op_cases.normal(rng, 2, 9, 7, 16), op_cases.normal(rng, 3, 3, 16, 33)
    peer = keras.ops.conv(x, w, padding=padding, data_format="channels_last")
    case = Case("conv2d", 0, [x, w, None, None], {"kernel_h": 3, "kernel_w": 3, **pads}, (True, False, False))
    within_twice_the_bound(case, keras.ops.convert_to_numpy(peer))


def test_softmax_cross_entropy_beside_torch(torch):
    rng = np.random.default_rng(0)
    logits, target = op_cases.normal(rng, 65, 10, scale=4.0), rng.integers(0, 10, 65).astype(np.int32)
    z = torch.tensor(logits, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(
        z, torch.tensor(target.astype(np.int64)), reduction="none", label_smoothing=0.125
    )
    loss.sum().backward()
    attributes = {"label_smoothing": 0.125}
    within_twice_the_bound(Case("softmax_cross_entropy", 0, [logits, target], attributes), loss.detach().numpy())
    case = Case("softmax_cross_entropy_backward", 0, [logits, target, np.ones(65, np.float32)], attributes)
    within_twice_the_bound(case, z.grad.numpy())
