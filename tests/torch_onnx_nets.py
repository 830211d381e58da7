"""Networks as people write them in PyTorch, exported by torch.onnx: a checker of models has nothing to say of them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import onnx
import torch
from torch import nn

Net = tuple[nn.Module, tuple[Any, ...], dict[int, str] | None]  # module, arguments, names of the first argument's sizes
NETS: dict[str, Callable[[], Net]] = {}


def net(make: Callable[[], Net]) -> Callable[[], Net]:
    NETS[make.__name__] = make
    return make


@net
def mlp() -> Net:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), (torch.randn(2, 4),), {0: "batch"}


@net
def cnn() -> Net:
    features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5), nn.LogSoftmax(dim=1))
    return nn.Sequential(features, nn.Dropout(), head), (torch.randn(2, 3, 16, 16),), {0: "batch"}


@net
def residual() -> Net:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.Conv2d(4, 4, 1, bias=False)

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(x + self.b(nn.functional.silu(self.a(x))))

    return nn.Sequential(Block(), Block(), nn.AvgPool2d(2)), (torch.randn(2, 4, 8, 8),), {0: "batch"}


@net
def autoencoder() -> Net:
    down = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.LeakyReLU())
    up = nn.Sequential(nn.ConvTranspose2d(4, 1, 3, stride=2, padding=1, output_padding=1), nn.Sigmoid())
    return nn.Sequential(down, up), (torch.randn(2, 1, 8, 8),), {0: "batch"}


@net
def upsampling() -> Net:
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.GroupNorm(2, 4), nn.PReLU()), (torch.randn(1, 4, 5, 5),), None


class First(nn.Module):
    """The first output of a layer that has several."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> Any:
        return self.layer(x)[0]


@net
def lstm() -> Net:
    return First(nn.LSTM(4, 6, num_layers=2, batch_first=True, bidirectional=True)), (torch.randn(2, 5, 4),), None


@net
def gru() -> Net:
    return First(nn.GRU(4, 6)), (torch.randn(5, 2, 4),), None


@net
def transformer() -> Net:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu")
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return encoder, (torch.randn(2, 6, 8),), {0: "batch", 1: "time"}


@net
def attention() -> Net:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.qkv = nn.Embedding(11, 8), nn.Linear(8, 24)

        def forward(self, ids: Any) -> Any:
            q, k, v = self.qkv(self.words(ids)).chunk(3, dim=-1)
            scores = (q @ k.transpose(1, 2)).masked_fill(torch.ones(6, 6).triu(1).bool(), float("-inf"))
            return nn.functional.softmax(scores, dim=-1) @ v

    return Masked(), (torch.arange(12).reshape(2, 6) % 11,), {0: "batch"}


@net
def normalised() -> Net:
    return nn.Sequential(nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 8, bias=False)), (torch.randn(3, 8),), {0: "rows"}


@net
def arithmetic() -> Net:
    class Mixed(nn.Module):
        def forward(self, x: Any) -> Any:
            top, at = x.topk(2, dim=1)
            picked = torch.where(x > 0, x.exp(), x.abs().sqrt()).gather(1, at)
            return torch.cat([top, picked, x[:, 1:3].flip(1)], dim=1), x.sum(dim=1, keepdim=True).long() % 7

    return Mixed(), (torch.randn(4, 5),), {0: "rows"}


@net
def tied() -> Net:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(7, 4)
            self.out = nn.Linear(4, 7, bias=False)
            self.out.weight = self.words.weight

        def forward(self, ids: Any) -> Any:
            return self.out(torch.tanh(self.words(ids)))

    return Tied(), (torch.tensor([[1, 2, 3]]),), None


def exported(name: str, newer: bool, dynamic: bool) -> onnx.ModelProto:
    """The net as torch.onnx exports it. newer: by torch.export, else by tracing; dynamic: with names for sizes."""
    torch.manual_seed(0)
    module, args, names = NETS[name]()
    options: dict[str, Any] = {}
    if dynamic and newer:
        dims = dict.fromkeys(names or {}, torch.export.Dim.DYNAMIC)
        options["dynamic_shapes"] = (dims,)
    elif dynamic:
        options = {"input_names": ["x"], "dynamic_axes": {"x": names}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if newer:
            program = torch.onnx.export(module.eval(), args, dynamo=True, verbose=False, **options)
            assert program is not None
            return program.model_proto
        file = io.BytesIO()
        torch.onnx.export(module.eval(), args, file, dynamo=False, **options)
    return onnx.load_from_string(file.getvalue())
