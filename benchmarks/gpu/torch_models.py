"""The models of mnemo's zoo as PyTorch modules: the same layers under the same names, so that a state_dict is what
`mnemo step --weights` reads, made with PyTorch's own initial values."""
import re

import torch
from torch import nn
from torch.nn import functional as F

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class SimpleConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.relu1, self.pool1 = nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2)
        self.conv2, self.relu2, self.pool2 = nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)
        self.fc = nn.Linear(64 * 5 * 5, 10)

    def forward(self, x):
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        return self.fc(x.flatten(1))


class FlatNetwork(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.fc1 = nn.Conv2d(3, channels, 3), nn.Linear(channels * 30 * 30, 128)

    def forward(self, x):
        return self.fc1(torch.relu(self.conv1(x)).flatten(1))


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 512), nn.Linear(512, 512), nn.Linear(512, 10)

    def forward(self, x):
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x.flatten(1))))))


class Single(nn.Module):
    """One convolution."""

    def __init__(self, rank, *sizes, **options):
        super().__init__()
        self.conv = CONVS[rank](*sizes, **options)

    def forward(self, x):
        return self.conv(x)


class Downsampled(nn.Module):
    def __init__(self):
        super().__init__()
        self.downsample, self.conv = nn.AvgPool1d(2), nn.Conv1d(128, 64, 3)

    def forward(self, x):
        return self.conv(self.downsample(x))


class Separable(nn.Module):
    def __init__(self):
        super().__init__()
        self.depthwise, self.pointwise = nn.Conv1d(128, 128, 3, groups=128), nn.Conv1d(128, 64, 1)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


class Vgg16(nn.Module):
    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
            if width == 0:
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(512 * 7 * 7, 4096), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, 4096),
            nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, 1000))

    def forward(self, x):
        return self.classifier(self.features(x))


class Block(nn.Module):
    """A residual block of the (in, out, kernel, stride) of its convolutions, each with its normalization."""

    def __init__(self, convolutions, stride):
        super().__init__()
        self.count = len(convolutions)
        for number, (i, o, k, s) in enumerate(convolutions, 1):
            setattr(self, f"conv{number}", nn.Conv2d(i, o, k, s, padding=k // 2, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(o))
        first, last = convolutions[0][0], convolutions[-1][1]
        self.downsample = None
        if first != last or stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(first, last, 1, stride, bias=False), nn.BatchNorm2d(last))

    def forward(self, x):
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            if number < self.count:
                y = F.relu(y, inplace=True)
        y = y + (x if self.downsample is None else self.downsample(x))
        return F.relu(y, inplace=True)


class ResNet(nn.Module):
    def __init__(self, depths, bottleneck):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for i, depth in enumerate(depths):
            blocks, width = [], 64 << i
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                if bottleneck:
                    convolutions = [(channels, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
                else:
                    convolutions = [(channels, width, 3, stride), (width, width, 3, 1)]
                blocks.append(Block(convolutions, stride))
                channels = convolutions[-1][1]
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, 1000)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


class DoubleConv(nn.Module):
    def __init__(self, channels, out):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv3d(channels, out, 3, padding=1, bias=False), nn.BatchNorm3d(out)
        self.conv2, self.bn2 = nn.Conv3d(out, out, 3, padding=1, bias=False), nn.BatchNorm3d(out)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)), inplace=True)


class UNet3d(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder1, self.encoder2, self.bottom = DoubleConv(1, 16), DoubleConv(16, 32), DoubleConv(32, 64)
        self.decoder2, self.decoder1 = DoubleConv(64 + 32, 32), DoubleConv(32 + 16, 16)
        self.head = nn.Conv3d(16, 3, 1)

    def forward(self, x):
        fine = self.encoder1(x)
        middle = self.encoder2(F.max_pool3d(fine, 2))
        y = self.bottom(F.max_pool3d(middle, 2))
        y = self.decoder2(torch.cat([F.interpolate(y, scale_factor=2, mode="nearest"), middle], 1))
        y = self.decoder1(torch.cat([F.interpolate(y, scale_factor=2, mode="nearest"), fine], 1))
        return self.head(y)


class Attention(nn.Module):
    def __init__(self, features, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(features, features) for _ in range(4))

    def forward(self, x):
        q, k, v = (layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    def __init__(self, features, heads):
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(features), Attention(features, heads)
        self.feed_norm = nn.LayerNorm(features)
        self.feed_in, self.feed_out = nn.Linear(features, 4 * features), nn.Linear(4 * features, features)

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.feed_out(F.gelu(self.feed_in(self.feed_norm(x))))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.positions = nn.Linear(64, 128), nn.Parameter(0.02 * torch.randn(1024, 128))
        self.blocks = nn.Sequential(*(TransformerBlock(128, 4) for _ in range(4)))
        self.norm, self.head = nn.LayerNorm(128), nn.Linear(128, 10)

    def forward(self, x):
        x = self.embed(x.transpose(1, 2)) + self.positions[:x.shape[2]]
        return self.head(self.norm(self.blocks(x)).mean(1))


class LSTM(nn.Module):
    """PyTorch's own layer, with parameters that are not moved into one piece of memory."""

    def __init__(self, channels, hidden):
        super().__init__()
        for name, parameter in nn.LSTM(channels, hidden).named_parameters():
            setattr(self, name, parameter)

    def forward(self, x):
        state = x.new_zeros(2, 1, len(x), self.weight_hh_l0.shape[1])
        parameters = [self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0]
        return torch.lstm(x, tuple(state), parameters, True, 1, 0.0, self.training, False, True)[0]


class RecurrentClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = LSTM(64, 128), LSTM(128, 128), nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.second(self.first(x.transpose(1, 2)))[:, -1])


# By mnemo's names: how a model is made, its classes (0: a regression towards zero), whether each pixel has one.
MODELS = {
    "simple-conv": (SimpleConv, 10, False),
    "small-network": (lambda: FlatNetwork(16), 128, False),
    "larger-conv-network": (lambda: FlatNetwork(64), 128, False),
    "conv1d": (lambda: Single(1, 128, 64, 3), 0, False),
    "conv1d-downsample": (Downsampled, 0, False),
    "conv1d-separable": (Separable, 0, False),
    "conv3d-pad2": (lambda: Single(3, 16, 32, 3, padding=2), 0, False),
    "conv3d-k3": (lambda: Single(3, 16, 32, 3), 0, False),
    "conv3d-k7": (lambda: Single(3, 16, 32, 7), 0, False),
    "mlp": (Perceptron, 10, False),
    "vgg16": (Vgg16, 1000, False),
    "resnet18": (lambda: ResNet((2, 2, 2, 2), False), 1000, False),
    "resnet50": (lambda: ResNet((3, 4, 6, 3), True), 1000, False),
    "unet3d": (UNet3d, 3, True),
    "lstm": (RecurrentClassifier, 10, False),
    "transformer": (Transformer, 10, False),
}

LAYER = re.compile(r"conv([123])d:(\d+),(\d+),k(\d+)(?:,p(\d+))?@([\dx]+)$")


def layer_shape(model):
    """The input's shape in a layer such as "conv3d:16,32,k7,p3@16x16x32x32x32"; None for a name."""
    match = LAYER.match(model)
    return [int(size) for size in match[6].split("x")] if match else None


def make(model):
    """(module, classes, dense) of a name or of a layer."""
    match = LAYER.match(model)
    if match is None:
        maker, classes, dense = MODELS[model]
        return maker(), classes, dense
    rank, channels, out, kernel = (int(match[i]) for i in range(1, 5))
    return Single(rank, channels, out, kernel, padding=int(match[5] or 0)), 0, False


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())
