"""Convolutional networks as people build them, with a dynamic batch and, where they allow it, dynamic sides."""

import inspect

import pytest
from torch_same import same, torch

nn, F = torch.nn, torch.nn.functional


def conv(inside, outside, kernel=3, stride=1, groups=1, act=nn.ReLU):
    layers = [nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm2d(outside), act(inplace=True) if act else nn.Identity())


class Residual(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.body = nn.Sequential(conv(inside, outside, 3, stride), conv(outside, outside, act=None))
        self.short = conv(inside, outside, 1, stride, act=None)

    def forward(self, x):
        out = self.body(x)
        out += self.short(x)
        return F.relu(out, inplace=True)


class Excite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x):
        gate = self.up(F.silu(self.down(x.mean((2, 3), keepdim=True))))
        return x * gate.sigmoid()


class Inverted(nn.Module):
    def __init__(self, channels, act):
        super().__init__()
        wide = channels * 4
        parts = [conv(channels, wide, 1, act=act), conv(wide, wide, 5, groups=wide, act=act), Excite(wide)]
        self.body = nn.Sequential(*parts, conv(wide, channels, 1, act=None))

    def forward(self, x):
        return x + self.body(x)


class NextBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.up, self.down = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 1e-1))

    def forward(self, x):
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = self.down(F.gelu(self.up(self.norm(y)))) * self.scale
        return x + y.permute(0, 3, 1, 2)


class UNet(nn.Module):
    def __init__(self, transposed):
        super().__init__()
        self.first, self.second, self.last = conv(3, 8), conv(8, 16), nn.Conv2d(16, 2, 1)
        self.transposed = transposed
        self.up = nn.ConvTranspose2d(16, 8, 2, 2) if transposed else nn.Conv2d(16, 8, 1)

    def forward(self, x):
        high = self.first(x)
        low = self.second(F.max_pool2d(high, 2))
        back = low if self.transposed else F.interpolate(low, size=high.shape[-2:], mode="bilinear")
        back = self.up(back)
        back = F.pad(back, (0, high.shape[3] - back.shape[3], 0, high.shape[2] - back.shape[2]))
        return self.last(torch.cat([back, high], 1))


def head(channels):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels, 5))


SIDES = {0: "batch", 2: "height", 3: "width"}
NETWORKS = {
    "resnet": (
        lambda: nn.Sequential(conv(3, 8, 7, 2), nn.MaxPool2d(3, 2, 1), Residual(8, 8, 1), Residual(8, 16, 2), head(16)),
        SIDES,
    ),
    "mobilenet": (lambda: nn.Sequential(conv(3, 8, act=nn.Hardswish), Inverted(8, nn.Hardswish), head(8)), SIDES),
    "efficientnet": (lambda: nn.Sequential(conv(3, 8, 3, 2, act=nn.SiLU), Inverted(8, nn.SiLU), head(8)), SIDES),
    "convnext": (lambda: nn.Sequential(nn.Conv2d(3, 8, 4, 4), NextBlock(8), NextBlock(8), head(8)), SIDES),
    "u-net, transposed": (lambda: UNet(True), SIDES),
    "u-net, interpolated": (lambda: UNet(False), SIDES),
    "vgg": (
        lambda: nn.Sequential(conv(3, 8), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(3), nn.Flatten(1), nn.Linear(72, 5)),
        SIDES,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name):
    make, dynamic = NETWORKS[name]
    torch.manual_seed(0)
    model = make().eval()
    others = [(torch.randn(1, 3, 32, 32),)] + ([(torch.randn(3, 3, 48, 40),)] if 2 in dynamic else [])
    parameter = next(iter(inspect.signature(model.forward).parameters))
    loaded = same(model, torch.randn(2, 3, 32, 32), dynamic={parameter: dynamic}, more=others)
    assert set(dict(model.named_parameters())) <= set(_initializers(loaded)), "weights keep their names"


def _initializers(loaded):
    import onnx

    return [i.name for i in onnx.load_from_string(loaded.source).graph.initializer]
