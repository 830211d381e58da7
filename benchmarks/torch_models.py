"""The PyTorch models of export_torch.py, with an example of their inputs and the sizes that stay open."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional


@dataclass
class Case:
    """A model in eval mode with example arguments.

    dynamic: argument -> {axis: name of the size}. longest: the largest value of a size which has one.
    """

    model: nn.Module
    example: tuple[torch.Tensor, ...]
    dynamic: dict[str, dict[int, str]]
    longest: dict[str, int] = field(default_factory=dict)

    def sizes(self, dim: Callable[..., Any]) -> dict[str, dict[int, Any]]:
        """`dynamic` with a Dim in place of each name; dim: interchange's or torch's class."""
        names = {name for axes in self.dynamic.values() for name in axes.values()}
        dims = {n: dim(n, max=self.longest[n]) if n in self.longest else dim(n) for n in sorted(names)}
        return {argument: {axis: dims[n] for axis, n in axes.items()} for argument, axes in self.dynamic.items()}


# -- transformers ------------------------------------------------------------------------------------------------------
class Block(nn.Module):
    """GPT-2's block: attention and MLP, each behind a layer norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: float32[batch, time, width]."""
        batch, time, width = x.shape
        parts = self.qkv(self.norm_1(x)).split(width, dim=-1)
        q, k, v = (p.view(batch, time, self.heads, width // self.heads).transpose(1, 2) for p in parts)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, time, width))
        return x + self.down(functional.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class GPT(nn.Module):
    """GPT-2: learned positions, the embedding is the output layer's weight."""

    def __init__(self, layers: int, width: int, heads: int, vocabulary: int = 50257, context: int = 1024) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """int64[batch, time] -> float32[batch, time, vocabulary]."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def gpt(layers: int = 12) -> Case:
    """GPT-2 small."""
    ids = torch.randint(0, 50257, (2, 64))
    return Case(GPT(layers, 768, 12).eval(), (ids,), {"ids": {0: "batch", 1: "time"}}, {"time": 1024})


def encoder() -> Case:
    """PyTorch's own encoder."""
    layer = nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True)
    model = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False).eval()
    return Case(model, (torch.randn(2, 64, 512),), {"src": {0: "batch", 1: "time"}})


class Last(nn.Module):
    """A model of `transformers` with its last hidden state as the only output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


class Text(Last):
    """Of token ids and the mask of those that count."""

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """int64[batch, time] twice -> float32[batch, time, width]."""
        return self.model(input_ids=ids, attention_mask=mask).last_hidden_state


class Image(Last):
    """Of pixels."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """float32[batch, 3, 224, 224] -> float32[batch, patches, width]."""
        return self.model(pixel_values=pixels).last_hidden_state


def _text(model: nn.Module) -> Case:
    ids, mask = torch.randint(0, 1000, (2, 64)), torch.ones(2, 64, dtype=torch.int64)
    mask[1, 50:] = 0
    both = {name: {0: "batch", 1: "time"} for name in ("ids", "mask")}
    return Case(Text(model).eval(), (ids, mask), both, {"time": 512})


def bert() -> Case:
    """BERT, 4 layers."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=1000, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024
    )
    return _text(BertModel(config, add_pooling_layer=False))


def llama() -> Case:
    """Llama, 4 layers with grouped queries."""
    from transformers import LlamaConfig, LlamaModel

    heads = {"num_attention_heads": 8, "num_key_value_heads": 4}
    config = LlamaConfig(
        vocab_size=1000, hidden_size=256, num_hidden_layers=4, intermediate_size=688, use_cache=False, **heads
    )
    return _text(LlamaModel(config))


def vit() -> Case:
    """ViT, 4 layers."""
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)
    model = Image(ViTModel(config, add_pooling_layer=False)).eval()
    return Case(model, (torch.randn(2, 3, 224, 224),), {"pixels": {0: "batch"}})


# -- convolutions ------------------------------------------------------------------------------------------------------
class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, each with batch norm, around a shortcut."""

    def __init__(self, channels: int, middle: int, stride: int) -> None:
        super().__init__()
        out = 4 * middle
        self.conv_1, self.norm_1 = nn.Conv2d(channels, middle, 1, bias=False), nn.BatchNorm2d(middle)
        self.conv_2, self.norm_2 = nn.Conv2d(middle, middle, 3, stride, 1, bias=False), nn.BatchNorm2d(middle)
        self.conv_3, self.norm_3 = nn.Conv2d(middle, out, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32[batch, channels, height, width] -> float32[batch, 4 * middle, height / stride, width / stride]."""
        y = self.relu(self.norm_1(self.conv_1(x)))
        y = self.relu(self.norm_2(self.conv_2(y)))
        y = self.norm_3(self.conv_3(y))
        y += self.shortcut(x)
        return self.relu(y)


def resnet50() -> Case:
    """ResNet-50 v1.5. He et al., Deep Residual Learning for Image Recognition, table 1."""
    blocks, channels = [], 64
    for middle, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(count):
            blocks.append(Bottleneck(channels, middle, 2 if i == 0 and middle > 64 else 1))
            channels = 4 * middle
    model = nn.Sequential(
        *(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)),
        *(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)),
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training: no norm is the identity
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return Case(model.eval(), (torch.randn(2, 3, 224, 224),), {"input": {0: "batch"}})


# -- linear layers -----------------------------------------------------------------------------------------------------
def mlp(layers: int = 1000, width: int = 64) -> Case:
    """`layers` linear layers with a ReLU after each."""
    model = nn.Sequential(*(part for _ in range(layers) for part in (nn.Linear(width, width), nn.ReLU())))
    for module in model.modules():
        if isinstance(module, nn.Linear):  # so that the signal neither dies nor grows
            nn.init.normal_(module.weight, std=math.sqrt(2 / width))
    return Case(model.eval(), (torch.randn(4, width),), {"input": {0: "batch"}})


def wide(megabytes: int = 2400, width: int = 4096) -> Case:
    """Square linear layers with weights of `megabytes` together, for the memory that an export takes."""
    weight = torch.randn(width, width) / math.sqrt(width)
    layers = [nn.utils.skip_init(nn.Linear, width, width) for _ in range(round(megabytes * 1e6 / 4 / width / width))]
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(weight)
            layer.bias.zero_()
    return Case(nn.Sequential(*layers).eval(), (torch.randn(4, width),), {"input": {0: "batch"}})


MODELS: dict[str, tuple[str, Callable[[], Case]]] = {
    "gpt": ("GPT, 12 layers", gpt),
    "resnet50": ("ResNet-50", resnet50),
    "encoder": ("TransformerEncoder, 6 layers", encoder),
    "mlp": ("MLP, 1000 layers", mlp),
    "bert": ("BERT, 4 layers", bert),
    "llama": ("Llama, 4 layers", llama),
    "vit": ("ViT, 4 layers", vit),
}
