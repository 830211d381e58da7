"""Layers, losses and optimisers against PyTorch, where it is installed: outputs, gradients, state, texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch_cases import ACTIVATIONS, CONVS, NORMS, OPTIMIZERS, POOLS, TRANSPOSED

from interchange.eager import nn
from interchange.eager.nn import functional as F
from interchange.eager.tensor import Tensor

torch = pytest.importorskip("torch", reason="compares with PyTorch; the tests without it are in the other files")
TF = torch.nn.functional


def numbers(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def same(ours: Any, theirs: Any, tol: float = 3e-5) -> None:
    a, b = ours.numpy(), theirs.detach().numpy()
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


def with_gradients(ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: Any, tol: float = 3e-5) -> None:
    """Outputs, and the gradients of a weighted sum of them by every floating-point input."""
    a = [Tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    b = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    y, z = ours(*a), theirs(*b)
    same(y, z, tol)
    if not z.requires_grad:
        return
    weights = numbers(tuple(z.shape), 99)
    (y * Tensor(weights)).sum().backward()
    (z * torch.tensor(weights)).sum().backward()
    for p, q in zip(a, b, strict=True):
        if q.grad is not None:
            same(p.grad, q.grad, tol)


def module(ours: nn.Module, theirs: Any, *arrays: Any, tol: float = 3e-5, train: bool = True) -> None:
    """The same with the state of PyTorch's module loaded, its parameters' gradients and its buffers afterwards."""
    state = {n: v.numpy() for n, v in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    ours.train(train)
    theirs.train(train)
    with_gradients(ours, theirs, *arrays, tol=tol)
    for (n, p), (m, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert n == m
        if q.grad is not None:
            same(p.grad, q.grad, 3 * tol)
    for (n, u), (m, v) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
        assert n == m
        same(u, v, tol)
    if "affine=" not in repr(theirs).replace("elementwise_", ""):  # a text that differs between releases
        assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    args = ACTIVATIONS[name]
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    state = {n: v.numpy() for n, v in theirs.state_dict().items()}
    ours.load_state_dict(state)
    with_gradients(ours, theirs, 2.5 * numbers((4, 3, 5)))


def test_gelu_by_tanh() -> None:
    with_gradients(nn.GELU("tanh"), torch.nn.GELU("tanh"), numbers((3, 7)))


@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 3, 4), (2, 1, 3, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape: tuple[int, ...], bias: bool) -> None:
    module(nn.Linear(4, 6, bias), torch.nn.Linear(4, 6, bias), numbers(shape))


def test_bilinear() -> None:
    ours, theirs = nn.Bilinear(3, 4, 5), torch.nn.Bilinear(3, 4, 5)
    module(ours, theirs, numbers((7, 3)), numbers((7, 4), 1))


@pytest.mark.filterwarnings("ignore:Using padding")  # PyTorch copies the input for an even kernel
@pytest.mark.parametrize(("n", "args", "options"), CONVS)
def test_convolutions(n: int, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    name, shape = f"Conv{n}d", (2, 4, 9, 8, 6)[: n + 2]
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    module(ours, theirs, numbers(shape), tol=1e-4)
    with_gradients(ours, theirs, numbers(shape[1:]), tol=1e-4)


@pytest.mark.parametrize(
    ("n", "args", "options"),
    TRANSPOSED,
)
def test_transposed_convolutions(n: int, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    name, shape = f"ConvTranspose{n}d", (2, 4, 5, 4, 3)[: n + 2]
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    module(ours, theirs, numbers(shape), tol=1e-4)


@pytest.mark.parametrize(("kind", "n", "args", "options"), POOLS)
def test_pooling(kind: str, n: int, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    name, shape = f"{kind}{n}d", (2, 3, 9, 8, 6)[: n + 2]
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    with_gradients(ours, theirs, numbers(shape))
    with_gradients(ours, theirs, numbers(shape[1:]))
    if kind != "AvgPool":
        assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("name", "args", "options", "shape"),
    NORMS,
)
def test_normalisation(
    name: str, args: tuple[Any, ...], options: dict[str, Any], shape: tuple[int, ...], train: bool
) -> None:
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    for i, p in enumerate(theirs.parameters()):
        p.data = torch.tensor(numbers(tuple(p.shape), 7 + i))
    if options.get("track_running_stats", True) and hasattr(theirs, "running_var") and theirs.running_var is not None:
        theirs.running_var.data = torch.rand_like(theirs.running_var) + 0.5
    module(ours, theirs, 3 * numbers(shape) + 1, tol=1e-4, train=train)
    module(ours, theirs, numbers(shape, 5), tol=1e-4, train=False)


def test_embedding() -> None:
    indices = np.array([[0, 2, 2], [4, 1, 0]])
    module(nn.Embedding(5, 3), torch.nn.Embedding(5, 3), indices)
    ours, theirs = nn.Embedding(5, 3, padding_idx=-3), torch.nn.Embedding(5, 3, padding_idx=-3)
    assert not ours.weight.numpy()[2].any()
    module(ours, theirs, indices)
    assert not ours.weight.grad.numpy()[2].any()  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_padding(mode: str) -> None:
    for shape, pads in (((2, 3, 5), (2, 1)), ((2, 3, 5, 6), (1, 2, 3, 0))):
        with_gradients(lambda x: F.pad(x, pads, mode), lambda x: TF.pad(x, pads, mode), numbers(shape))  # noqa: B023
    x = numbers((2, 3, 5, 6))
    with_gradients(lambda x: F.pad(x, (1, -2), value=3.0), lambda x: TF.pad(x, (1, -2), value=3.0), x)


def test_padding_layers() -> None:
    x = numbers((2, 3, 5, 6))
    for name, args in (
        ("ConstantPad2d", ((1, 2, 0, 3), 1.5)),
        ("ZeroPad2d", (2,)),
        ("ReflectionPad2d", ((1, 2, 0, 3),)),
        ("ReplicationPad2d", (3,)),
        ("CircularPad2d", (2,)),
    ):
        with_gradients(getattr(nn, name)(*args), getattr(torch.nn, name)(*args), x)
        with_gradients(getattr(nn, name)(*args), getattr(torch.nn, name)(*args), x[0])


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 3, 5), {"scale_factor": 2}),
        ((2, 3, 5), {"size": 8, "mode": "linear"}),
        ((2, 3, 5, 4), {"scale_factor": (2, 3), "mode": "nearest"}),
        ((2, 3, 5, 4), {"size": (3, 9), "mode": "nearest"}),
        ((2, 3, 5, 4), {"size": (7, 3), "mode": "nearest-exact"}),
        ((2, 3, 5, 4), {"scale_factor": 2, "mode": "bilinear"}),
        ((2, 3, 5, 4), {"size": (3, 9), "mode": "bilinear", "align_corners": True}),
        ((2, 3, 5, 4), {"size": (1, 1), "mode": "bilinear"}),
        ((2, 3, 5, 4), {"scale_factor": 1.7, "mode": "bicubic"}),
        ((2, 3, 5, 4), {"size": (9, 7), "mode": "bicubic", "align_corners": True}),
        ((2, 3, 8, 9), {"size": (3, 4), "mode": "bilinear", "antialias": True}),
        ((1, 2, 3, 4, 3), {"scale_factor": 2, "mode": "trilinear"}),
    ],
)
def test_interpolate(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    with_gradients(
        lambda x: F.interpolate(x, **options), lambda x: TF.interpolate(x, **options), numbers(shape), tol=1e-4
    )


def test_pixel_shuffle() -> None:
    x, y = numbers((2, 12, 3, 4)), numbers((2, 3, 6, 4))
    with_gradients(nn.PixelShuffle(2), torch.nn.PixelShuffle(2), x)
    with_gradients(nn.PixelShuffle(2), torch.nn.PixelShuffle(2), x[0])
    with_gradients(nn.PixelUnshuffle(2), torch.nn.PixelUnshuffle(2), y)
    with_gradients(nn.PixelUnshuffle(2), torch.nn.PixelUnshuffle(2), y[0])


def test_flatten() -> None:
    x = numbers((2, 3, 4, 5))
    for args in ((), (0,), (2,), (1, 2), (0, -2)):
        with_gradients(nn.Flatten(*args), torch.nn.Flatten(*args), x)
    with_gradients(nn.Unflatten(1, (3, -1)), torch.nn.Unflatten(1, (3, -1)), numbers((2, 12, 3)))


# -- losses ------------------------------------------------------------------------------------------------------------
REDUCTIONS = ["mean", "sum", "none"]
ELEMENTWISE: dict[str, dict[str, Any]] = {
    "mse_loss": {},
    "l1_loss": {},
    "smooth_l1_loss": {"beta": 0.6},
    "huber_loss": {"delta": 0.6},
    "binary_cross_entropy_with_logits": {},
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_losses(name: str, reduction: str) -> None:
    options = {**ELEMENTWISE[name], "reduction": reduction}
    target = np.random.default_rng(3).random((4, 5)).astype(np.float32)
    with_gradients(
        lambda x, t: getattr(F, name)(x, t, **options),
        lambda x, t: getattr(TF, name)(x, t, **options),
        numbers((4, 5)),
        target,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy(reduction: str) -> None:
    rng = np.random.default_rng(0)
    p, t = rng.random((4, 5)).astype(np.float32), (rng.random((4, 5)) < 0.5).astype(np.float32)
    w = rng.random(5).astype(np.float32)
    for weight in (None, w):
        a = None if weight is None else Tensor(weight)
        b = None if weight is None else torch.tensor(weight)
        with_gradients(
            lambda x: F.binary_cross_entropy(x, t, a, reduction),  # noqa: B023
            lambda x: TF.binary_cross_entropy(x, torch.tensor(t), b, reduction=reduction),  # noqa: B023
            p,
        )
        with_gradients(
            lambda x: F.binary_cross_entropy_with_logits(x, t, None, reduction, a),  # noqa: B023
            lambda x: TF.binary_cross_entropy_with_logits(x, torch.tensor(t), None, reduction=reduction, pos_weight=b),  # noqa: B023
            numbers((4, 5)),
        )
    edge, label = np.array([0.0, 1.0], np.float32), np.array([1.0, 0.0], np.float32)
    same(F.binary_cross_entropy(Tensor(edge), label), TF.binary_cross_entropy(torch.tensor(edge), torch.tensor(label)))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 5), (2, 4, 3, 2)])
def test_cross_entropy(shape: tuple[int, ...], weighted: bool, smoothing: float, reduction: str) -> None:
    rng = np.random.default_rng(1)
    classes = rng.integers(0, 4, (shape[0], *shape[2:]))
    classes.reshape(-1)[2] = -100
    weight = rng.random(4).astype(np.float32) + 0.1 if weighted else None
    options = {"reduction": reduction, "label_smoothing": smoothing}
    w = None if weight is None else torch.tensor(weight)
    with_gradients(
        lambda x: F.cross_entropy(x, classes, weight, **options),
        lambda x: TF.cross_entropy(x, torch.tensor(classes), w, **options),
        numbers(shape),
    )
    shares = rng.random(shape).astype(np.float32)
    shares /= shares.sum(1, keepdims=True)
    with_gradients(
        lambda x, t: F.cross_entropy(x, t, weight, **options),
        lambda x, t: TF.cross_entropy(x, t, w, **options),
        numbers(shape),
        shares,
    )


def test_cross_entropy_of_one_item_and_another_ignored_class() -> None:
    x, t = numbers((4,)), np.array(2)
    with_gradients(lambda x: F.cross_entropy(x, t), lambda x: TF.cross_entropy(x, torch.tensor(2)), x)
    with_gradients(lambda x: F.nll_loss(x, t), lambda x: TF.nll_loss(x, torch.tensor(2)), x)
    y, labels = numbers((4, 3)), np.array([0, 1, 1, 2])
    with_gradients(
        lambda x: F.cross_entropy(x, labels, ignore_index=1, label_smoothing=0.2),
        lambda x: TF.cross_entropy(x, torch.tensor(labels), ignore_index=1, label_smoothing=0.2),
        y,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nll(reduction: str) -> None:
    t, w = np.array([0, 2, -100, 1]), np.array([0.5, 1.0, 2.0], np.float32)
    with_gradients(
        lambda x: F.nll_loss(x, t, w, reduction=reduction),
        lambda x: TF.nll_loss(x, torch.tensor(t), torch.tensor(w), reduction=reduction),
        numbers((4, 3)),
    )


@pytest.mark.filterwarnings("ignore:reduction")  # PyTorch announces a change of its mean
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
def test_kl_div(reduction: str) -> None:
    t = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    zero = np.zeros((4, 3), np.float32)
    same(F.kl_div(Tensor(t), zero, reduction), TF.kl_div(torch.tensor(t), torch.tensor(zero), reduction=reduction))
    for log in (False, True):
        with_gradients(
            lambda x, t: F.kl_div(x, t, reduction, log),  # noqa: B023
            lambda x, t: TF.kl_div(x, t, reduction=reduction, log_target=log),  # noqa: B023
            numbers((4, 3)),
            t,
        )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_embedding_losses(reduction: str) -> None:
    signs = np.array([1, -1, 1, -1])
    with_gradients(
        lambda x: F.hinge_embedding_loss(x, signs, 0.8, reduction),
        lambda x: TF.hinge_embedding_loss(x, torch.tensor(signs), 0.8, reduction=reduction),
        numbers((4,)),
    )
    with_gradients(
        lambda x, y: F.cosine_embedding_loss(x, y, signs, 0.1, reduction),
        lambda x, y: TF.cosine_embedding_loss(x, y, torch.tensor(signs), 0.1, reduction=reduction),
        numbers((4, 5)),
        numbers((4, 5), 1),
    )


def test_repr_of_a_tree() -> None:
    def build(lib: Any) -> Any:
        return lib.Sequential(
            lib.Conv2d(1, 8, 3, padding=1),
            lib.Sigmoid(),
            lib.ReLU(),
            lib.Sequential(lib.MaxPool2d(2), lib.Dropout(0.1), lib.Flatten()),
            lib.ModuleList([lib.Linear(4, 3), lib.LayerNorm(3)]),
        )

    theirs = repr(build(torch.nn)).replace("Dropout(p=0.1, inplace=False)", "Dropout(p=0.1)")
    assert repr(build(nn)) == theirs


def test_initial_values_are_spread_as_pytorchs() -> None:
    from interchange.eager.nn import init

    torch.manual_seed(0)
    for ours, theirs in (
        (nn.Linear(300, 200), torch.nn.Linear(300, 200)),
        (nn.Conv2d(16, 32, 5), torch.nn.Conv2d(16, 32, 5)),
        (nn.ConvTranspose2d(16, 32, 5), torch.nn.ConvTranspose2d(16, 32, 5)),
        (nn.Embedding(200, 100), torch.nn.Embedding(200, 100)),
    ):
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            a, b = p.numpy(), q.detach().numpy()
            assert abs(a.std() / b.std() - 1) < (0.02 if a.ndim > 1 else 0.2)
            if not isinstance(ours, nn.Embedding):
                assert abs(np.abs(a).max() / np.abs(b).max() - 1) < 0.1
    for name, args in (
        ("xavier_uniform_", (2.0,)),
        ("xavier_normal_", ()),
        ("kaiming_uniform_", (0.2,)),
        ("kaiming_normal_", (0.0, "fan_out", "relu")),
        ("trunc_normal_", (0.5, 2.0, -1.0, 3.0)),
        ("orthogonal_", (1.5,)),
    ):
        p, q = nn.Parameter(np.zeros((64, 32, 3), np.float32)), torch.empty(64, 32, 3)
        getattr(init, name)(p, *args)
        getattr(torch.nn.init, name)(q, *args)
        assert abs(p.numpy().std() / q.numpy().std() - 1) < 0.03, name
        assert abs(p.numpy().mean() - q.numpy().mean()) < 0.06, name


# -- optimisers --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_optimisers_over_ten_steps(name: str, options: dict[str, Any]) -> None:
    from interchange.eager import optim

    start = [np.random.default_rng(i).standard_normal(s) for i, s in enumerate(((4, 3), (3,), ()))]
    a = [nn.Parameter(x) for x in start]
    b = [torch.nn.Parameter(torch.tensor(x)) for x in start]
    ours, theirs = getattr(optim, name)(a, **options), getattr(torch.optim, name)(b, **options)
    for k in range(10):
        for i, (p, q) in enumerate(zip(a, b, strict=True)):
            skipped = i == 1 and k in (0, 4)  # a parameter that has no gradient in some steps
            g = np.random.default_rng(100 + 10 * k + i).standard_normal(p.shape)
            p.grad = None if skipped else Tensor(g)
            q.grad = None if skipped else torch.tensor(g)
        ours.step()
        theirs.step()
        for p, q in zip(a, b, strict=True):
            same(p, q, 1e-12)
        if k == 5:
            ours.param_groups[0]["lr"] = theirs.param_groups[0]["lr"] = 0.03


def test_clipping() -> None:
    from interchange.eager import optim

    for norm in (1.0, 2.0, 3.0, float("inf")):
        for limit in (0.5, 100.0):
            a = [nn.Parameter(np.zeros(4)), nn.Parameter(np.zeros((2, 3)))]
            b = [torch.nn.Parameter(torch.zeros(4).double()), torch.nn.Parameter(torch.zeros(2, 3).double())]
            for i, (p, q) in enumerate(zip(a, b, strict=True)):
                g = np.random.default_rng(i).standard_normal(p.shape)
                p.grad, q.grad = Tensor(g), torch.tensor(g)
            same(optim.clip_grad_norm_(a, limit, norm), torch.nn.utils.clip_grad_norm_(b, limit, norm), 1e-12)
            for p, q in zip(a, b, strict=True):
                same(p.grad, q.grad, 1e-12)
            optim.clip_grad_value_(a, 0.2)
            torch.nn.utils.clip_grad_value_(b, 0.2)
            for p, q in zip(a, b, strict=True):
                same(p.grad, q.grad, 1e-12)


SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "StepLR": lambda lib, o: lib.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda lib, o: lib.MultiStepLR(o, [2, 5, 5, 9], 0.3),
    "ConstantLR": lambda lib, o: lib.ConstantLR(o, 0.25, 4),
    "ExponentialLR": lambda lib, o: lib.ExponentialLR(o, 0.8),
    "LinearLR": lambda lib, o: lib.LinearLR(o, 0.2, 0.9, 6),
    "PolynomialLR": lambda lib, o: lib.PolynomialLR(o, 8, 2.0),
    "CosineAnnealingLR": lambda lib, o: lib.CosineAnnealingLR(o, 7, 0.01),
    "CosineAnnealingWarmRestarts": lambda lib, o: lib.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    "LambdaLR": lambda lib, o: lib.LambdaLR(o, lambda k: 1 / (1 + k)),
    "OneCycleLR": lambda lib, o: lib.OneCycleLR(o, max_lr=1.0, total_steps=20),
    "OneCycleLR linear": lambda lib, o: lib.OneCycleLR(
        o, max_lr=1.0, epochs=4, steps_per_epoch=5, anneal_strategy="linear", three_phase=True, pct_start=0.4
    ),
    "SequentialLR": lambda lib, o: lib.SequentialLR(
        o, [lib.LinearLR(o, 0.1, 1.0, 4), lib.ExponentialLR(o, 0.9), lib.StepLR(o, 2, 0.5)], [4, 9]
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str) -> None:
    from interchange.eager import optim

    a = optim.SGD([nn.Parameter(np.zeros(2))], lr=0.5, momentum=0.9)
    b = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.5, momentum=0.9)
    ours, theirs = SCHEDULES[name](optim, a), SCHEDULES[name](torch.optim.lr_scheduler, b)
    for _ in range(19):
        assert a.param_groups[0]["lr"] == pytest.approx(b.param_groups[0]["lr"], rel=1e-9)
        assert a.param_groups[0]["momentum"] == pytest.approx(b.param_groups[0]["momentum"], rel=1e-9)
        b.step()
        ours.step()
        theirs.step()


def test_plateau() -> None:
    from interchange.eager import optim

    for options in ({}, {"mode": "max", "threshold": 0.1, "threshold_mode": "abs", "cooldown": 2, "min_lr": 0.1}):
        a = optim.SGD([nn.Parameter(np.zeros(2))], lr=0.5)
        b = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.5)
        ours = optim.ReduceLROnPlateau(a, patience=2, factor=0.5, **options)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(b, patience=2, factor=0.5, **options)
        for metric in [1.0, 0.9, 0.95, 0.95, 0.93, 0.91, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]:
            ours.step(metric)
            theirs.step(metric)
            assert a.param_groups[0]["lr"] == pytest.approx(b.param_groups[0]["lr"])
