"""Networks of `cnncore.models` in PyTorch, and the function that gives them the same weights.

Modules bear the names of our layers, with dots in place of underscores: "stage1_block1_conv1" is
`net.stage1.block1.conv1`. All return logits.
"""

from collections import OrderedDict

import numpy as np
import torch
from torch import nn
from torch.nn import functional

BN = {"momentum": 0.1, "eps": 1e-5}


def conv_bn(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            bn=nn.BatchNorm2d(outputs, **BN),
        )
    )


class LeNet(nn.Module):
    """`cnncore.models.LeNet(dropout=dropout)`."""

    def __init__(self, size=28, channels=1, classes=10, dropout=0.0):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.flattened = {"dense": (64, size // 4, size // 4)}
        self.dense = nn.Linear(64 * (size // 4) ** 2, 128)
        self.dropout = nn.Dropout(dropout)
        self.predictions = nn.Linear(128, classes)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.dense(x.flatten(1)))
        return self.predictions(self.dropout(x))


class VGG16(nn.Module):
    """`cnncore.models.VGG16`."""

    def __init__(self, size=224, channels=3, classes=1000, dropout=0.5):
        super().__init__()
        for stage, (filters, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
            convs = OrderedDict()
            for i in range(1, depth + 1):
                convs[f"conv{i}"] = nn.Conv2d(channels, filters, 3, padding=1)
                convs[f"relu{i}"] = nn.ReLU(inplace=True)
                channels = filters
            self.add_module(f"stage{stage}", nn.Sequential(convs))
        self.flattened = {"dense1": (512, size // 32, size // 32)}
        self.dense1 = nn.Linear(512 * (size // 32) ** 2, 4096)
        self.dense2 = nn.Linear(4096, 4096)
        self.dropout = nn.Dropout(dropout)
        self.predictions = nn.Linear(4096, classes)

    def forward(self, x):
        for stage in (self.stage1, self.stage2, self.stage3, self.stage4, self.stage5):
            x = functional.max_pool2d(stage(x), 2)
        x = self.dropout(functional.relu(self.dense1(x.flatten(1))))
        x = self.dropout(functional.relu(self.dense2(x)))
        return self.predictions(x)


class VGGCifar(nn.Module):
    """`cnncore.models.VGGCifar`."""

    def __init__(self, channels=3, classes=10):
        super().__init__()
        for stage, (filters, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3)), start=1):
            convs = OrderedDict()
            for i in range(1, depth + 1):
                convs[f"conv{i}"] = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
                convs[f"bn{i}"] = nn.BatchNorm2d(filters, **BN)
                convs[f"relu{i}"] = nn.ReLU(inplace=True)
                channels = filters
            self.add_module(f"stage{stage}", nn.Sequential(convs))
        self.predictions = nn.Linear(channels, classes)

    def forward(self, x):
        for stage in (self.stage1, self.stage2, self.stage3, self.stage4):
            x = functional.max_pool2d(stage(x), 2)
        return self.predictions(x.mean((2, 3)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters, **BN)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters, **BN)
        self.shortcut = nn.Identity() if stride == 1 and inputs == filters else conv_bn(inputs, filters, 1, stride)

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolutions and a shortcut."""

    expansion = 4

    def __init__(self, inputs, filters, stride):
        super().__init__()
        outputs = self.expansion * filters
        self.conv1 = nn.Conv2d(inputs, filters, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters, **BN)
        self.conv2 = nn.Conv2d(filters, filters, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters, **BN)
        self.conv3 = nn.Conv2d(filters, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs, **BN)
        self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else conv_bn(inputs, outputs, 1, stride)

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        return functional.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """Residual network with projection shortcuts; `small` is the 3x3 stem without pooling."""

    def __init__(self, block, widths, depths, small, channels=3, classes=10):
        super().__init__()
        self.small = small
        self.stem = conv_bn(channels, widths[0], 3 if small else 7, 1 if small else 2)
        self.stages = len(depths)
        channels = widths[0]
        for stage, (filters, depth) in enumerate(zip(widths, depths), start=1):
            blocks = OrderedDict()
            for i in range(1, depth + 1):
                blocks[f"block{i}"] = block(channels, filters, 2 if stage > 1 and i == 1 else 1)
                channels = block.expansion * filters
            self.add_module(f"stage{stage}", nn.Sequential(blocks))
        self.predictions = nn.Linear(channels, classes)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        if not self.small:
            x = functional.max_pool2d(x, 3, 2, 1)
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"stage{stage}")(x)
        return self.predictions(x.mean((2, 3)))


def ResNet18(**kwargs):
    """`cnncore.models.ResNet18`."""
    return ResNet(BasicBlock, (64, 128, 256, 512), (2, 2, 2, 2), False, **{"classes": 1000, **kwargs})


def ResNet50(**kwargs):
    """`cnncore.models.ResNet50`."""
    return ResNet(Bottleneck, (64, 128, 256, 512), (3, 4, 6, 3), False, **{"classes": 1000, **kwargs})


def ResNet18Cifar(**kwargs):
    """`cnncore.models.ResNet18Cifar`."""
    return ResNet(BasicBlock, (64, 128, 256, 512), (2, 2, 2, 2), True, **kwargs)


def ResNet20(**kwargs):
    """`cnncore.models.ResNet20()`."""
    return ResNet(BasicBlock, (16, 32, 64), (3, 3, 3), True, **kwargs)


class InvertedResidual(nn.Module):
    """Expansion, depthwise and linear projection, with a shortcut where the shapes agree."""

    def __init__(self, inputs, filters, stride, expansion):
        super().__init__()
        hidden = expansion * inputs
        self.add = stride == 1 and inputs == filters
        self.expand = conv_bn(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = conv_bn(hidden, hidden, 3, stride, groups=hidden)
        self.project = conv_bn(hidden, filters, 1)

    def forward(self, x):
        y = x if self.expand is None else functional.relu6(self.expand(x))
        y = self.project(functional.relu6(self.depthwise(y)))
        return x + y if self.add else y


class MobileNetV2(nn.Module):
    """`cnncore.models.MobileNetV2()`."""

    def __init__(self, channels=3, classes=1000, dropout=0.2):
        super().__init__()
        self.stem = conv_bn(channels, 32, 3, 2)
        channels = 32
        stages = (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        )
        self.stages = len(stages)
        for stage, (expansion, filters, depth, stride) in enumerate(stages, start=1):
            blocks = OrderedDict()
            for i in range(1, depth + 1):
                blocks[f"block{i}"] = InvertedResidual(channels, filters, stride if i == 1 else 1, expansion)
                channels = filters
            self.add_module(f"stage{stage}", nn.Sequential(blocks))
        self.head = conv_bn(channels, 1280, 1)
        self.dropout = nn.Dropout(dropout)
        self.predictions = nn.Linear(1280, classes)

    def forward(self, x):
        x = functional.relu6(self.stem(x))
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"stage{stage}")(x)
        x = functional.relu6(self.head(x)).mean((2, 3))
        return self.predictions(self.dropout(x))


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 convolutions side by side."""

    def __init__(self, inputs, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = functional.relu(self.squeeze(x))
        return torch.cat([functional.relu(self.expand1x1(x)), functional.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """`cnncore.models.SqueezeNet()`, version 1.1."""

    def __init__(self, channels=3, classes=1000, dropout=0.5):
        super().__init__()
        self.stem = nn.ModuleDict({"conv": nn.Conv2d(channels, 64, 3, 2)})
        channels = 64
        fires = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
        for i, (squeeze, expand) in enumerate(fires, start=1):
            self.add_module(f"fire{i}", Fire(channels, squeeze, expand))
            channels = 2 * expand
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.ModuleDict({"conv": nn.Conv2d(channels, classes, 1)})

    def forward(self, x):
        x = functional.relu(self.stem["conv"](x))
        for i in range(1, 9):
            if i in (1, 3, 5):
                x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
            x = getattr(self, f"fire{i}")(x)
        return functional.relu(self.classifier["conv"](self.dropout(x))).mean((2, 3))


class SmallCNN(nn.Module):
    """`bench.fashion_mnist.network`."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32, **BN)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64, **BN)
        self.conv3, self.bn3 = nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64, **BN)
        self.flattened = {"predictions": (64, 7, 7)}
        self.dropout = nn.Dropout(dropout)
        self.predictions = nn.Linear(64 * 7 * 7, 10)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 2)
        x = functional.relu(self.bn2(self.conv2(x)))
        x = functional.max_pool2d(functional.relu(self.bn3(self.conv3(x))), 2)
        return self.predictions(self.dropout(x.flatten(1)))


NETWORKS = {
    "lenet": LeNet,
    "vgg16": VGG16,
    "vgg_cifar": VGGCifar,
    "resnet18": ResNet18,
    "resnet18_cifar": ResNet18Cifar,
    "resnet20": ResNet20,
    "resnet50": ResNet50,
    "mobilenet_v2": MobileNetV2,
    "squeezenet": SqueezeNet,
}


def layers_of(net):
    """{name of a layer of ours: module of `net` with its weights}."""
    return {
        name.replace(".", "_"): module
        for name, module in net.named_modules()
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))
    }


def copy_weights(model, net):
    """Give `net` the weights of `model`, layer by layer, by name.

    Convolution kernels go from (height, width, in, out) to (out, in, height, width), depthwise ones from (height,
    width, channels, multiplier) to (channels * multiplier, 1, height, width), dense ones from (in, out) to (out, in);
    a dense layer behind a flattened image, listed in `net.flattened` as {name: (channels, height, width)}, has its
    rows reordered from (height, width, channels) to (channels, height, width). Batch normalisation has gamma, beta
    and the two moving moments.

    Parameters
    ----------
    model : cnncore.Model
    net : torch.nn.Module
        A network of this file.

    Raises
    ------
    ValueError
        If one of the two has a layer with weights that the other lacks.
    """
    modules = layers_of(net)
    layers = {layer.name: [np.array(w) for w in layer.get_weights()] for layer in model.layers if layer.get_weights()}
    if modules.keys() != layers.keys():
        raise ValueError(
            f"copy_weights: the networks must have the same layers, these differ: "
            f"{sorted(modules.keys() ^ layers.keys())}"
        )
    with torch.no_grad():
        for name, module in modules.items():
            weights = layers[name]
            if isinstance(module, nn.BatchNorm2d):
                targets = [module.weight, module.bias, module.running_mean, module.running_var]
            else:
                targets = [module.weight] + ([] if module.bias is None else [module.bias])
                weights[0] = _to_pytorch(weights[0], module, getattr(net, "flattened", {}).get(name))
            if len(targets) != len(weights):
                raise ValueError(f'copy_weights "{name}": there must be {len(targets)} weights, got {len(weights)}')
            for target, weight in zip(targets, weights):
                target.copy_(torch.from_numpy(np.ascontiguousarray(weight)))


def gradients(net):
    """{name of a layer: gradients of its weights, in our layout and order}, after a backward pass."""
    found = {}
    for name, module in layers_of(net).items():
        arrays = [p.grad.numpy() for p in (module.weight, module.bias) if p is not None]
        if not isinstance(module, nn.BatchNorm2d):
            arrays[0] = _from_pytorch(arrays[0], module, getattr(net, "flattened", {}).get(name))
        found[name] = arrays
    return found


def _to_pytorch(kernel, module, flattened):
    """A kernel of ours in PyTorch's layout."""
    if isinstance(module, nn.Conv2d):
        if module.groups > 1:
            height, width, channels, multiplier = kernel.shape
            return kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
        return kernel.transpose(3, 2, 0, 1)
    if flattened:
        channels, height, width = flattened
        return kernel.reshape(height, width, channels, -1).transpose(3, 2, 0, 1).reshape(-1, channels * height * width)
    return kernel.T


def _from_pytorch(kernel, module, flattened):
    """The inverse of `_to_pytorch`."""
    if isinstance(module, nn.Conv2d):
        if module.groups > 1:
            return kernel.reshape(module.groups, -1, *kernel.shape[2:]).transpose(2, 3, 0, 1)
        return kernel.transpose(2, 3, 1, 0)
    if flattened:
        return kernel.reshape(-1, *flattened).transpose(2, 3, 1, 0).reshape(-1, len(kernel))
    return kernel.T
