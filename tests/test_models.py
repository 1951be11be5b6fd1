"""The networks of cnncore.models: published parameter counts, geometry, and the scores of the same networks in
PyTorch."""

import math
import pathlib

import numpy as np
import pytest

from cnncore import layers, models

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Trainable parameters as published.
PUBLISHED = [
    ("lenet5", {}, 61_706),  # LeCun et al. 1998 with full connection in C3: 156 + 2,416 + 48,120 + 10,164 + 850
    ("vgg16", {}, 138_357_544),  # torchvision vgg16
    ("resnet18", {}, 11_689_512),  # torchvision resnet18
    ("resnet50", {}, 25_557_032),  # torchvision resnet50
    ("resnet18_cifar", {}, 11_173_962),  # kuangliu/pytorch-cifar ResNet18
    ("resnet20", {"shortcut": "identity"}, 269_722),  # akamaster/pytorch_resnet_cifar10; 0.27 M in the paper
    ("resnet56", {"shortcut": "identity"}, 853_018),  # the same; 0.85 M
    ("resnet110", {"shortcut": "identity"}, 1_727_962),  # the same; 1.7 M
    ("mobilenet_v2", {}, 3_504_872),  # torchvision mobilenet_v2
    ("squeezenet", {"version": "1.1"}, 1_235_496),  # torchvision squeezenet1_1
    ("squeezenet", {"version": "1.0"}, 1_248_424),  # torchvision squeezenet1_0
]


def trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


@pytest.mark.parametrize("name, kwargs, count", PUBLISHED)
def test_published_parameter_count(name, kwargs, count):
    assert trainable(models.build(name, **kwargs)) == count


def test_counts_from_the_layer_sizes():
    lenet = 9 * 32 + 32 + 9 * 32 * 64 + 64 + 7 * 7 * 64 * 128 + 128 + 128 * 10 + 10
    assert trainable(models.LeNet()) == lenet
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512]
    vgg = sum(9 * a * b + 2 * b for a, b in zip(widths, widths[1:])) + 512 * 10 + 10
    assert trainable(models.VGGCifar()) == vgg
    projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert trainable(models.ResNet20()) == 269_722 + projections


SIZES = [
    # name, arguments, {layer: height and width}, from the formulas of the papers and of torchvision
    (
        "resnet50",
        {"input_shape": (224, 224, 3)},
        {
            "stem_conv": 112,
            "stem_pool": 56,
            "stage1_block3_relu3": 56,
            "stage2_block1_conv1": 56,
            "stage2_block1_conv2": 28,
            "stage3_block6_relu3": 14,
            "stage4_block3_relu3": 7,
        },
    ),
    (
        "resnet18",
        {"input_shape": (97, 97, 3)},
        {"stem_conv": 49, "stem_pool": 25, "stage2_block1_add": 13, "stage3_block1_add": 7, "stage4_block1_add": 4},
    ),
    (
        "resnet20",
        {"shortcut": "identity", "input_shape": (33, 33, 3)},
        {"stem_conv": 33, "stage2_block1_add": 17, "stage3_block1_add": 9},
    ),
    (
        "mobilenet_v2",
        {},
        {
            "stem_conv": 112,
            "stage2_block2_add": 56,
            "stage3_block3_add": 28,
            "stage4_block4_add": 14,
            "stage5_block3_add": 14,
            "stage6_block3_add": 7,
            "head_conv": 7,
        },
    ),
    (
        "squeezenet",
        {"version": "1.0"},
        {"stem_conv": 109, "pool1": 54, "pool2": 27, "pool3": 13, "classifier_conv": 13},
    ),
    ("squeezenet", {"version": "1.1"}, {"stem_conv": 111, "pool1": 55, "pool2": 27, "pool3": 13}),
    ("lenet", {}, {"conv1": 28, "pool1": 14, "conv2": 14, "pool2": 7}),
    ("vgg_cifar", {}, {"stage1_pool": 16, "stage2_pool": 8, "stage3_pool": 4, "stage4_pool": 2}),
]


@pytest.mark.parametrize("name, kwargs, sizes", SIZES)
def test_geometry(name, kwargs, sizes):
    model = models.build(name, **kwargs)
    assert {layer: tuple(model.get_layer(layer).output.shape[1:3]) for layer in sizes} == {
        layer: (size, size) for layer, size in sizes.items()
    }


@pytest.mark.parametrize(
    "name, classes, shape",
    [
        ("lenet", 7, (16, 12, 3)),
        ("lenet5", 3, (20, 32, 2)),
        ("vgg_cifar", 5, (32, 16, 1)),
        ("resnet20", 100, (16, 16, 3)),
        ("mobilenet_v2", 4, (64, 32, 3)),
        ("squeezenet", 6, (64, 48, 3)),
    ],
)
def test_probabilities_have_the_asked_shape(name, classes, shape):
    model = models.build(name, classes=classes, input_shape=shape, name="mine")
    assert model.name == "mine"
    y = np.asarray(model.predict(np.random.default_rng(0).random((3, *shape), dtype=np.float32), verbose=0))
    assert y.shape == (3, classes)
    np.testing.assert_allclose(y.sum(axis=1), 1, atol=classes * np.finfo(np.float32).eps * 2)


def test_identity_shortcut_takes_every_second_pixel_and_fills_with_zeros():
    """With the convolutions of the block at zero, the block is relu(shortcut)."""
    model = models.resnet_cifar(8, input_shape=(7, 6, 3), shortcut="identity")
    middle = type(model)(
        model.inputs, [model.get_layer("stage1_block1_relu2").output, model.get_layer("stage2_block1_relu2").output]
    )
    scale = model.get_layer("stage2_block1_bn2")
    scale.set_weights([np.zeros_like(w) for w in scale.get_weights()[:3]] + [np.ones_like(scale.get_weights()[3])])
    x, y = middle.predict(np.random.default_rng(1).normal(size=(2, 7, 6, 3)).astype(np.float32), verbose=0)
    expected = np.zeros((2, 4, 3, 32), np.float32)
    expected[..., 8:24] = x[:, ::2, ::2]
    assert x.any()
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    "name, size",
    [("lenet", 28), ("lenet5", 32), ("vgg_cifar", 32), ("resnet20", 32), ("mobilenet_v2", 64), ("squeezenet", 64)],
)
def test_weight_decay_is_on_every_kernel(name, size):
    """A decay of 1 adds half the sum of the squares of all kernels to the loss, so that the gradient gets 1 * kernel.

    Losses are float32, and so may be a sum of squares: of positive terms, added in blocks, it errs by less than 1e-5.
    """
    channels = 1 if name.startswith("lenet") else 3
    plain, decayed = (
        models.build(name, input_shape=(size, size, channels), classes=10, weight_decay=decay) for decay in (0.0, 1.0)
    )
    decayed.set_weights(plain.get_weights())
    x = np.random.default_rng(0).random((2, size, size, channels), dtype=np.float32)
    losses = []
    for model in (plain, decayed):
        model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
        losses.append(float(model.evaluate(x, np.array([1, 2], np.int32), verbose=0)))
    penalty = 0.5 * sum(float(np.square(w, dtype=np.float64).sum()) for w in plain.get_weights() if w.ndim > 1)
    assert math.isclose(losses[1] - losses[0], penalty, rel_tol=1e-5)


def test_dropout_is_there_only_when_asked():
    def rates(model):
        return [layer.rate for layer in model.layers if isinstance(layer, layers.Dropout)]

    assert rates(models.MobileNetV2(input_shape=(32, 32, 3))) == [0.2]
    assert rates(models.SqueezeNet(input_shape=(64, 64, 3))) == [0.5]
    assert rates(models.LeNet()) == []
    assert rates(models.LeNet(dropout=0.25)) == [0.25]
    assert rates(models.MobileNetV2(input_shape=(32, 32, 3), dropout=0)) == []


@pytest.mark.parametrize("alpha, stem, last", [(0.35, 16, 1280), (0.5, 16, 1280), (1.4, 48, 1792)])
def test_mobilenet_width(alpha, stem, last):
    """Widths as in the reference implementation of the paper: a multiple of 8, never more than a tenth too small."""
    model = models.MobileNetV2(input_shape=(32, 32, 3), alpha=alpha)
    assert model.get_layer("stem_conv").filters == stem
    assert model.get_layer("head_conv").filters == last


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="depth must be 6 n"):
        models.resnet_cifar(21)
    with pytest.raises(ValueError, match='shortcut must be "projection" or "identity"'):
        models.ResNet20(shortcut="zero")
    with pytest.raises(ValueError, match='version must be "1.0" or "1.1"'):
        models.SqueezeNet(version="2")
    with pytest.raises(ValueError, match="alpha must be positive"):
        models.MobileNetV2(alpha=0)
    with pytest.raises(ValueError, match="model must be one of lenet, .*'alexnet'"):
        models.build("alexnet")


@pytest.mark.parametrize(
    "name, shape, depth",
    [
        ("lenet", (28, 28, 1), 4),
        ("vgg_cifar", (32, 32, 3), 11),
        ("resnet20", (32, 32, 3), 20),
        ("resnet18_cifar", (16, 16, 3), 18),
        ("resnet50", (65, 65, 3), 50),
        ("mobilenet_v2", (65, 65, 3), 53),
        ("squeezenet", (65, 65, 3), 26),
    ],
)
def test_same_scores_as_pytorch(name, shape, depth, monkeypatch):
    """Same weights, same images, same logits, up to rounding.

    A float32 sum of k products errs by about eps sqrt(k) of its size, Winograd by less than 8 times that; `depth`
    such layers in a row, k at most 9 * 512 = 4608, give depth * 8 * sqrt(4608) * eps of the largest logit.
    """
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(ROOT)
    from bench import torch_networks

    rng = np.random.default_rng(0)
    model = models.build(name, input_shape=shape, classifier_activation=None)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            channels = layer.get_weights()[0].shape
            gamma, variance = rng.uniform(0.5, 1.5, (2, *channels)).astype(np.float32)
            beta, mean = rng.normal(0, 0.1, (2, *channels)).astype(np.float32)
            layer.set_weights([gamma, beta, mean, variance])
    net = torch_networks.NETWORKS[name]().eval()
    torch_networks.copy_weights(model, net)
    x = rng.normal(size=(2, *shape)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    bound = depth * 8 * math.sqrt(4608) * np.finfo(np.float32).eps
    found = np.asarray(model.predict(x, verbose=0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound * np.abs(expected).max())
