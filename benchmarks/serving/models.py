"""What is served: a small perceptron, a network of ResNet-50's size, a model with a guard; made with interchange."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx

import interchange as ix
from interchange.eager import nn


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, and the way around them."""

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        n_out = 4 * width
        self.body = nn.Sequential(
            *(nn.Conv2d(n_in, width, 1), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, stride=stride, padding=1), nn.ReLU()),
            nn.Conv2d(width, n_out, 1),
        )
        self.around = nn.Conv2d(n_in, n_out, 1, stride=stride) if n_in != n_out else nn.Identity()
        self.last = nn.ReLU()

    def forward(self, x):
        """x: float32[batch, n_in, h, w] -> float32[batch, 4 * width, h / stride, w / stride]."""
        return self.last(self.body(x) + self.around(x))


def resnet50() -> nn.Module:
    """ResNet-50 as it is deployed, its normalisation part of the convolutions: 25.6 million weights, at random."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    width_in = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(Bottleneck(width_in, width, stride if block == 0 else 1))
            width_in = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


def double(x):
    """Right for every size. x: float32[batch, time]."""
    return x + x


def write(folder: Path) -> dict[str, Path]:
    """The files, by the names of the models: NAME/1/model.onnx, with what belongs to it beside it."""
    paths = {name: folder / name / "1" / "model.onnx" for name in ("mlp", "resnet", "guarded", "unguarded")}
    for path in paths.values():
        path.parent.mkdir(parents=True)
    mlp = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    ix.export(mlp, {"x": "float32[batch, 64]"}, paths["mlp"])
    ix.export(resnet50(), {"x": "float32[batch, 3, 224, 224]"}, paths["resnet"], verify=False)
    ix.export(double, {"x": "float32[batch, time]"}, paths["unguarded"])
    guarded = onnx.load(paths["unguarded"])
    condition = {"condition": "time%4 == 0", "why": "it stands for one that a reshape would need", "where": ""}
    guarded.metadata_props.add(key="interchange.guards", value=json.dumps([condition]))
    onnx.save(guarded, paths["guarded"])
    return paths


def feeds(name: str, *, rows: int = 1, time: int = 64) -> dict[str, np.ndarray]:
    """The same random inputs every time."""
    shape = {"mlp": (rows, 64), "resnet": (rows, 3, 224, 224)}.get(name, (rows, time))
    return {"x": np.random.default_rng(rows + time).standard_normal(shape).astype(np.float32)}
