"""Layers, losses and optimisers as tables, and their numbers in PyTorch, so that tests need no PyTorch.

`python tests/torch_cases.py`, where PyTorch is installed, measures them again and writes tests/torch_numbers.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parent / "torch_numbers.json"
Row = tuple[str, tuple[Any, ...], dict[str, Any], tuple[Any, ...]]  # layer, arguments, options, inputs

ACTIVATIONS = {
    "ReLU": (),
    "ReLU6": (),
    "LeakyReLU": (0.2,),
    "PReLU": (3,),
    "ELU": (0.7,),
    "SELU": (),
    "CELU": (1.3,),
    "GELU": (),
    "SiLU": (),
    "Mish": (),
    "Sigmoid": (),
    "Tanh": (),
    "Hardsigmoid": (),
    "Hardswish": (),
    "Hardtanh": (-0.5, 0.7),
    "Softplus": (2.0,),
    "Softsign": (),
    "Tanhshrink": (),
    "Threshold": (0.1, -3.0),
    "LogSigmoid": (),
    "Softmax": (1,),
    "LogSoftmax": (-1,),
}

CONVS: list[tuple[int, tuple[Any, ...], dict[str, Any]]] = [
    (1, (4, 6, 3), {}),
    (1, (4, 6, 3), {"stride": 2, "padding": 1, "bias": False}),
    (1, (4, 6, 4), {"padding": "same", "dilation": 2}),
    (1, (4, 6, 3), {"padding": 2, "padding_mode": "circular"}),
    (2, (4, 6, 3), {}),
    (2, (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}),
    (2, (4, 6, 3), {"groups": 2, "padding": "valid"}),
    (2, (4, 4, 3), {"groups": 4, "padding": 1}),
    (2, (4, 6, 2), {"padding": "same"}),
    (2, (4, 6, 3), {"padding": 1, "padding_mode": "reflect"}),
    (2, (4, 6, 4), {"padding": "same", "padding_mode": "replicate"}),
    (3, (4, 2, 2), {"padding": 1}),
]

TRANSPOSED: list[tuple[int, tuple[Any, ...], dict[str, Any]]] = [
    (1, (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    (2, (4, 6, 3), {}),
    (2, (4, 6, (3, 2)), {"stride": (2, 3), "padding": (1, 0), "dilation": (2, 1), "bias": False}),
    (2, (4, 6, 3), {"groups": 2, "stride": 2}),
    (3, (4, 2, 2), {"stride": 2}),
]

POOLS: list[tuple[str, int, tuple[Any, ...], dict[str, Any]]] = [
    ("MaxPool", 1, (3,), {}),
    ("MaxPool", 1, (3, 2, 1), {"ceil_mode": True}),
    ("MaxPool", 2, (2,), {}),
    ("MaxPool", 2, (3,), {"stride": 2, "padding": 1}),
    ("MaxPool", 2, ((3, 2),), {"stride": (2, 1), "padding": (1, 1), "ceil_mode": True}),
    ("MaxPool", 2, (2,), {"dilation": 2, "stride": 1}),
    ("MaxPool", 3, (2,), {}),
    ("AvgPool", 1, (3,), {"stride": 2}),
    ("AvgPool", 2, (2,), {}),
    ("AvgPool", 2, (3,), {"stride": 2, "padding": 1}),
    ("AvgPool", 2, (3,), {"stride": 2, "padding": 1, "count_include_pad": False}),
    ("AvgPool", 2, (3,), {"stride": 2, "padding": 1, "ceil_mode": True}),
    ("AvgPool", 2, (3,), {"stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}),
    ("AvgPool", 3, (2,), {}),
    ("AdaptiveAvgPool", 1, (1,), {}),
    ("AdaptiveAvgPool", 1, (4,), {}),
    ("AdaptiveAvgPool", 2, (1,), {}),
    ("AdaptiveAvgPool", 2, ((3, 4),), {}),
    ("AdaptiveAvgPool", 2, ((None, 5),), {}),
    ("AdaptiveAvgPool", 2, ((1, 5),), {}),
    ("AdaptiveAvgPool", 3, ((2, 4, 3),), {}),
    ("AdaptiveMaxPool", 1, (4,), {}),
    ("AdaptiveMaxPool", 1, (5,), {}),
    ("AdaptiveMaxPool", 2, (1,), {}),
    ("AdaptiveMaxPool", 2, ((3, 4),), {}),
    ("AdaptiveMaxPool", 2, ((4, 1),), {}),
    ("AdaptiveMaxPool", 3, (2,), {}),
]

NORMS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("BatchNorm1d", (5,), {}, (6, 5)),
    ("BatchNorm1d", (5,), {"momentum": 0.3, "eps": 1e-3}, (6, 5, 4)),
    ("BatchNorm2d", (5,), {}, (3, 5, 4, 2)),
    ("BatchNorm2d", (5,), {"affine": False}, (3, 5, 4, 2)),
    ("BatchNorm2d", (5,), {"momentum": None}, (3, 5, 4, 2)),
    ("BatchNorm2d", (5,), {"track_running_stats": False}, (3, 5, 4, 2)),
    ("BatchNorm3d", (5,), {}, (2, 5, 3, 2, 2)),
    ("InstanceNorm1d", (5,), {}, (3, 5, 7)),
    ("InstanceNorm1d", (5,), {}, (5, 7)),
    ("InstanceNorm2d", (5,), {"affine": True}, (3, 5, 4, 2)),
    ("InstanceNorm2d", (5,), {"affine": True, "track_running_stats": True}, (3, 5, 4, 2)),
    ("InstanceNorm3d", (5,), {}, (2, 5, 3, 2, 2)),
    ("GroupNorm", (2, 6), {}, (3, 6, 4, 2)),
    ("GroupNorm", (3, 6), {"affine": False, "eps": 1e-3}, (3, 6, 4)),
    ("GroupNorm", (2, 6), {}, (4, 6)),
    ("LayerNorm", (5,), {}, (3, 4, 5)),
    ("LayerNorm", ((4, 5),), {"eps": 1e-3}, (3, 4, 5)),
    ("LayerNorm", (5,), {"bias": False}, (3, 5)),
    ("LayerNorm", (5,), {"elementwise_affine": False}, (3, 5)),
    ("RMSNorm", (5,), {}, (3, 4, 5)),
    ("RMSNorm", ((4, 5),), {"eps": 1e-3}, (3, 4, 5)),
    ("RMSNorm", (5,), {"elementwise_affine": False}, (3, 5)),
]

OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.01, "maximize": True, "momentum": 0.5}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "betas": (0.5, 0.6)}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "momentum": 0.7, "centered": True, "weight_decay": 0.1, "alpha": 0.8}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.1, "initial_accumulator_value": 0.3}),
    ("Adadelta", {"weight_decay": 0.1}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "maximize": True}),
]


def numbers(shape: tuple[int, ...], seed: int = 0) -> Any:
    """Numbers that are the same in every release of numpy."""
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def _losses() -> Iterator[tuple[str, Row]]:
    rng = np.random.RandomState(1)
    x, soft = numbers((6, 4)), np.abs(numbers((6, 4), 2)) / 4
    labels, signs = rng.randint(0, 4, 6), np.array([1, -1, 1, -1, -1, 1])
    labels[2] = -100
    maps, map_labels = numbers((2, 4, 3, 2), 3), rng.randint(0, 4, (2, 3, 2))
    weight = np.array([0.5, 1.0, 2.0, 0.25], np.float32)
    for reduction in ("mean", "sum", "none"):
        r = {"reduction": reduction}
        for name, options in (
            ("MSELoss", {}),
            ("L1Loss", {}),
            ("SmoothL1Loss", {"beta": 0.6}),
            ("HuberLoss", {"delta": 0.6}),
            ("BCEWithLogitsLoss", {"pos_weight": weight}),
            ("KLDivLoss", {}),
        ):
            yield f"{name} {reduction}", (name, (), {**options, **r}, (x, soft))
        yield f"BCELoss {reduction}", ("BCELoss", (), r, (soft, (soft > 0.2).astype(np.float32)))
        yield f"HingeEmbeddingLoss {reduction}", ("HingeEmbeddingLoss", (0.8,), r, (x[:, 0], signs))
        yield f"CosineEmbeddingLoss {reduction}", ("CosineEmbeddingLoss", (0.1,), r, (x, soft, signs))
        yield f"NLLLoss {reduction}", ("NLLLoss", (), {**r, "weight": weight}, (x, labels))
        for smoothing in (0.0, 0.1):
            for w in (None, weight):
                options = {**r, "label_smoothing": smoothing, "weight": w}
                tag = f"CrossEntropyLoss {reduction} {smoothing} {'plain' if w is None else 'weighted'}"
                yield f"{tag} labels", ("CrossEntropyLoss", (), options, (x, labels))
                yield f"{tag} shares", ("CrossEntropyLoss", (), options, (x, soft))
                yield f"{tag} maps", ("CrossEntropyLoss", (), options, (maps, map_labels))


def rows() -> dict[str, Row]:
    """Every case under a name of its own."""
    found: dict[str, Row] = {n: (n, args, {}, (2.5 * numbers((4, 3, 5)),)) for n, args in ACTIVATIONS.items()}

    def add(layer: str, args: Any, options: Any, shape: tuple[int, ...]) -> None:
        found[f"{layer}{args} {options} {shape}"] = (layer, args, options, (numbers(shape),))

    for n, args, options in CONVS:
        add(f"Conv{n}d", args, options, (2, 4, 7, 6, 5)[: n + 2])
    for n, args, options in TRANSPOSED:
        add(f"ConvTranspose{n}d", args, options, (2, 4, 5, 4, 3)[: n + 2])
    for kind, n, args, options in POOLS:
        add(f"{kind}{n}d", args, options, (2, 3, 9, 8, 6)[: n + 2])
    for layer, args, options, shape in NORMS:
        add(layer, args, options, shape)
    for layer, args, options, shape in (
        ("Linear", (4, 6), {}, (2, 4)),
        ("Linear", (4, 6), {"bias": False}, (2, 3, 4)),
        ("ConstantPad2d", ((1, 2, 0, 3), 1.5), {}, (2, 3, 5, 6)),
        ("ReflectionPad2d", ((1, 2, 0, 3),), {}, (2, 3, 5, 6)),
        ("ReplicationPad2d", (3,), {}, (2, 3, 5, 6)),
        ("CircularPad2d", (2,), {}, (2, 3, 5, 6)),
        ("Flatten", (), {}, (2, 3, 4, 5)),
        ("Unflatten", (1, (3, -1)), {}, (2, 12, 3)),
        ("PixelShuffle", (2,), {}, (2, 12, 3, 4)),
        ("PixelUnshuffle", (2,), {}, (2, 3, 6, 4)),
        ("Upsample", (), {"scale_factor": 2}, (2, 3, 5)),
        ("Upsample", (), {"size": 8, "mode": "linear"}, (2, 3, 5)),
        ("Upsample", (), {"size": (3, 9), "mode": "nearest"}, (2, 3, 5, 4)),
        ("Upsample", (), {"size": (7, 3), "mode": "nearest-exact"}, (2, 3, 5, 4)),
        ("Upsample", (), {"size": (3, 9), "mode": "bilinear", "align_corners": True}, (2, 3, 5, 4)),
        ("Upsample", (), {"scale_factor": 1.7, "mode": "bicubic"}, (2, 3, 5, 4)),
        ("Upsample", (), {"scale_factor": 2, "mode": "trilinear"}, (1, 2, 3, 4, 3)),
    ):
        add(layer, args, options, shape)
    found["Embedding"] = ("Embedding", (5, 3, 2), {}, (np.array([[0, 2, 2], [4, 1, 0]]),))
    found["Bilinear"] = ("Bilinear", (3, 4, 5), {}, (numbers((7, 3)), numbers((7, 4), 1)))
    return found | dict(_losses())


# -- measuring, with either library ------------------------------------------------------------------------------------
def measure(row: Row, library: Any, tensor: Callable[[Any, bool], Any], array: Callable[[Any], Any]) -> dict[str, Any]:
    """The output, the gradients of a weighted sum of it, and the buffers after it, by name."""
    layer, args, options, inputs = row
    given = {k: tensor(v, False) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    module = getattr(library, layer)(*args, **given)
    parameters = list(module.named_parameters())
    for i, (_, p) in enumerate(parameters):
        values = tensor(numbers(tuple(p.shape), 50 + i), False)
        if hasattr(p, "assign"):
            p.assign(values)
        else:
            p.data = values
    leaves = [tensor(x, x.dtype.kind == "f") for x in inputs]
    y = module(*leaves)
    found = {"output": array(y)}
    if any(x.dtype.kind == "f" for x in inputs) or parameters:
        (y * tensor(numbers(tuple(y.shape), 99), False)).sum().backward()
        for name, leaf in [*((f"input {i}", x) for i, x in enumerate(leaves)), *parameters]:
            if leaf.grad is not None:
                found[f"gradient of {name}"] = array(leaf.grad)
    found |= {f"buffer {n}": array(b) for n, b in module.named_buffers() if n not in ("weight", "pos_weight")}
    return found | {"output in evaluation": array(module.eval()(*leaves))}


def steps(name: str, options: dict[str, Any], library: Any, parameter: Any, tensor: Any, array: Any) -> dict[str, Any]:
    """Two parameters after each of ten steps; the second has no gradient in two of them."""
    params = [parameter(np.float64(numbers((4, 3)))), parameter(np.float64(numbers((3,), 1)))]
    optimizer, found = getattr(library, name)(params, **options), {}
    for k in range(10):
        for i, p in enumerate(params):
            g = np.float64(numbers(tuple(p.shape), 100 + 10 * k + i))
            p.grad = None if i == 1 and k in (0, 4) else tensor(g, False)
        optimizer.step()
        found |= {f"parameter {i} after step {k}": array(p) for i, p in enumerate(params)}
    return found


def digest(a: Any) -> list[Any]:
    """A shape and what three fixed weighted sums over the elements are."""
    flat = np.asarray(a, np.float64).reshape(-1)
    sums = [float(flat @ np.random.RandomState(k).uniform(-1, 1, flat.size)) for k in range(3)]
    return [list(np.shape(a)), [float(f"{s:.7g}") for s in sums], float(f"{np.abs(flat).sum():.4g}")]


def agrees(a: Any, stored: list[Any], tolerance: float) -> bool:
    """Whether an array has a stored digest, within a tolerance relative to the sum of its absolute values."""
    shape, sums, _ = digest(a)
    return bool(shape == stored[0] and np.allclose(sums, stored[1], rtol=0, atol=tolerance * (1 + stored[2])))


def key_of(name: str, options: dict[str, Any]) -> str:
    """The name of a case of an optimiser."""
    return re.sub(r"[{}']", "", f"{name} {options}")


def measure_pytorch() -> dict[str, Any]:
    """All digests, by PyTorch."""
    import warnings

    import torch

    def tensor(a: Any, grad: bool) -> Any:
        return torch.tensor(a, requires_grad=grad)

    def array(t: Any) -> Any:
        return t.detach().numpy().copy()  # PyTorch writes into it later

    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, row in rows().items():
            found[name] = {k: digest(v) for k, v in measure(row, torch.nn, tensor, array).items()}
        for name, options in OPTIMIZERS:
            made = steps(name, options, torch.optim, lambda a: torch.nn.Parameter(torch.tensor(a)), tensor, array)
            found[key_of(name, options)] = {k: digest(v) for k, v in made.items()}
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(measure_pytorch(), indent=0, sort_keys=True) + "\n")
