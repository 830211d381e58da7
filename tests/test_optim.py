"""Optimisers, clipping and schedules, without PyTorch: values worked out by hand, groups, state, mistakes."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

from interchange import eager as E
from interchange.eager import nn, optim
from interchange.errors import OperatorError


def code(call: Any) -> str:
    with pytest.raises(OperatorError) as info:
        call()
    return info.value.code


def descend(make: Any, steps: int = 3, start: float = 1.0) -> list[float]:
    """A float64 parameter whose gradient is always 2."""
    p = nn.Parameter(np.array(start))
    optimizer, values = make([p]), []
    for _ in range(steps):
        p.grad = E.Tensor(np.array(2.0))
        optimizer.step()
        values.append(float(p))
    return values


def test_values_by_hand() -> None:
    assert descend(lambda p: optim.SGD(p, 0.1)) == pytest.approx([0.8, 0.6, 0.4])
    assert descend(lambda p: optim.SGD(p, 0.1, maximize=True)) == pytest.approx([1.2, 1.4, 1.6])
    # b = 2, 3, 3.5
    assert descend(lambda p: optim.SGD(p, 0.1, momentum=0.5)) == pytest.approx([0.8, 0.5, 0.15])
    # the first step is not dampened: b = 2, 0.5*2 + 0.75*2
    assert descend(lambda p: optim.SGD(p, 0.1, momentum=0.5, dampening=0.25), 2) == pytest.approx([0.8, 0.55])
    # d = 2 + 0.5*2, then 2 + 0.5*3
    assert descend(lambda p: optim.SGD(p, 0.1, momentum=0.5, nesterov=True), 2) == pytest.approx([0.7, 0.35])
    assert descend(lambda p: optim.SGD(p, 0.1, weight_decay=0.5), 1) == pytest.approx([0.75])
    # a constant gradient: Adam's m' / sqrt(v') is its sign
    assert descend(lambda p: optim.Adam(p, 0.1)) == pytest.approx([0.9, 0.8, 0.7])
    assert descend(lambda p: optim.AdamW(p, 0.1, weight_decay=0.5), 1) == pytest.approx([0.95 - 0.1])
    assert descend(lambda p: optim.Adagrad(p, 0.1), 2) == pytest.approx([0.9, 0.9 - 0.1 / math.sqrt(2)])
    assert descend(lambda p: optim.RMSprop(p, 0.1, alpha=0.75), 1) == pytest.approx([0.8])
    assert descend(lambda p: optim.Adadelta(p, rho=0.0), 1) == pytest.approx([1 - math.sqrt(1e-6 / (4 + 1e-6)) * 2])


def test_values_that_were_saved_for_backward_stay() -> None:
    w = nn.Parameter(np.array([2.0]))
    optimizer = optim.SGD([w], 1.0)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    assert w.tolist() == [-2.0]
    w.grad = None
    loss.backward()
    assert w.grad.tolist() == [4.0]  # type: ignore[union-attr]


def test_dtypes_and_shapes_stay() -> None:
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta"):
            for shape in ((), (3,), (0, 2)):
                p = nn.Parameter(np.ones(shape), dtype)
                optimizer = getattr(optim, name)([p], lr=0.1)
                p.grad = E.Tensor(np.ones(shape), dtype)
                optimizer.step()
                assert (p.dtype, p.shape, type(p._data)) == (E.Tensor(0.0, dtype).dtype, shape, np.ndarray)
                state = optimizer.state[p].values()
                assert all((s.dtype, s.shape) == (p.dtype, shape) for s in state)


def test_groups_have_their_own_numbers() -> None:
    a, b = nn.Parameter(np.array(0.0)), nn.Parameter(np.array(0.0))
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1)
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.1]
    a.grad = b.grad = E.Tensor(np.array(1.0))
    optimizer.step()
    assert (float(a), float(b)) == (-0.5, -0.1)
    optimizer.add_param_group({"params": [nn.Parameter(np.zeros(1))], "momentum": 0.9})
    assert optimizer.param_groups[2]["momentum"] == 0.9
    assert "ParamGroup(1 parameters, lr=0.5, momentum=0.0" in repr(optimizer)
    assert optimizer.param_groups[0].keys()[0] == "params"


def test_closure_zero_grad_and_parameters_without_gradient() -> None:
    p, q = nn.Parameter(np.array(3.0)), nn.Parameter(np.array(1.0))
    optimizer = optim.SGD([p, q], 0.1)

    def closure() -> E.Tensor:
        optimizer.zero_grad()
        loss = p * p
        loss.backward()
        return loss

    assert float(optimizer.step(closure)) == 9.0
    assert (float(p), float(q)) == (pytest.approx(2.4), 1.0)
    optimizer.zero_grad()
    assert p.grad is None


def train(net: nn.Module, optimizer: optim.Optimizer, steps: range) -> None:
    for k in steps:
        x = E.Tensor(np.random.default_rng(k).standard_normal((8, 3)).astype(np.float32))
        optimizer.zero_grad()
        (net(x) ** 2).mean().backward()
        optimizer.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, 0.1, momentum=0.9, dampening=0.1),
        lambda p: optim.Adam(p, 0.01, amsgrad=True),
        lambda p: optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
        lambda p: optim.Adagrad(p, 0.01),
        lambda p: optim.Adadelta(p),
    ],
)
def test_a_run_continues_from_its_state_bit_by_bit(make: Any) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    net[2].requires_grad_(False)
    optimizer = make(net.named_parameters())
    train(net, optimizer, range(4))
    net[2].requires_grad_(True)  # its own step count is 4 less from here on
    twin, other = copy.deepcopy((net, optimizer))
    fresh = make(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).named_parameters())
    state, values = optimizer.state_dict(), net.state_dict()
    train(net, optimizer, range(4, 8))
    train(twin, other, range(4, 8))
    third = pickle.loads(pickle.dumps(net))
    third.load_state_dict(values)
    fresh = make(third.named_parameters())
    fresh.load_state_dict(state)
    train(third, fresh, range(4, 8))
    for a, b in ((twin, other), (third, fresh)):
        for key, value in net.state_dict().items():
            assert a.state_dict()[key].numpy().tobytes() == value.numpy().tobytes(), key
        for key, value in optimizer.state_dict().items():
            assert b.state_dict()[key].numpy().tobytes() == value.numpy().tobytes(), key
    assert any(".missed" in key for key in state)
    assert "groups.0.lr" in state


def test_a_state_of_another_optimiser_is_refused_and_changes_nothing() -> None:
    p = nn.Parameter(np.zeros(2))
    adam, sgd = optim.Adam([p]), optim.SGD([p], 0.1, momentum=0.9)
    sgd.zero_grad()
    sgd.step()  # no gradient: noted
    before = sgd.state_dict()
    assert code(lambda: sgd.load_state_dict(adam.state_dict())) == "IX121"
    assert {n: v.tolist() for n, v in sgd.state_dict().items()} == {n: v.tolist() for n, v in before.items()}


def test_mistakes() -> None:
    p = nn.Parameter(np.zeros(2))
    layer = nn.Linear(2, 2)
    for make in (
        lambda: optim.SGD([]),
        lambda: optim.SGD(layer),  # type: ignore[arg-type]
        lambda: optim.SGD(layer.weight),
        lambda: optim.SGD([p, p]),
        lambda: optim.SGD([E.Tensor([1.0], requires_grad=True)]),
        lambda: optim.SGD([{"params": [p], "learning_rate": 1}]),
        lambda: optim.SGD([{"lr": 1}]),
        lambda: optim.SGD([{"params": [p]}, {"params": [p]}]),
    ):
        assert code(make) == "IX128"
    for make in (
        lambda: optim.SGD([p], lr=-1),
        lambda: optim.SGD([p], lr=float("nan")),
        lambda: optim.SGD([p], lr="fast"),  # type: ignore[arg-type]
        lambda: optim.SGD([p], nesterov=True),
        lambda: optim.Adam([p], betas=(0.9, 1.0)),
        lambda: optim.Adam([p], betas=0.9),  # type: ignore[arg-type]
        lambda: optim.Adagrad([p], initial_accumulator_value=-1),
        lambda: optim.clip_grad_norm_(_with_grad(), 1.0, 0.0),
    ):
        assert code(make) == "IX127"
    group = optim.SGD([p], 0.1).param_groups[0]
    assert code(lambda: group.__setitem__("momentum", 0.9)) == "IX127"  # there is no buffer for it
    assert code(lambda: group.__setitem__("nesterov", True)) == "IX127"
    assert code(lambda: group["wd"]) == "IX127"
    group["lr"] = 0.0
    group["lr"] = E.Tensor(np.array(0.3))
    assert group["lr"] == 0.3


def _with_grad() -> nn.Parameter:
    p = nn.Parameter(np.zeros(2))
    p.grad = E.Tensor(np.array([3.0, 4.0]))
    return p


def test_clipping() -> None:
    p = _with_grad()
    assert optim.clip_grad_norm_([p], 1.0).item() == 5.0
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=1e-6)  # type: ignore[union-attr]
    assert optim.clip_grad_norm_([p], 9.0).item() == pytest.approx(1.0)
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=1e-6)  # type: ignore[union-attr]
    optim.clip_grad_value_(p, 0.7)
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.7], rtol=1e-6)  # type: ignore[union-attr]
    assert optim.clip_grad_norm_([nn.Parameter(np.zeros(1))], 1.0).item() == 0
    p.grad = E.Tensor(np.array([np.inf, 1.0]))
    assert code(lambda: optim.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)) == "IX134"


# -- schedules ---------------------------------------------------------------------------------------------------------
def rates(make: Any, steps: int, lr: float = 1.0) -> list[float]:
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr)
    schedule, found = make(optimizer), []
    for _ in range(steps):
        found.append(round(schedule.get_last_lr()[0], 6))
        schedule.step()
    return found


def test_schedules_by_hand() -> None:
    assert rates(lambda o: optim.StepLR(o, 2, 0.5), 5) == [1, 1, 0.5, 0.5, 0.25]
    assert rates(lambda o: optim.MultiStepLR(o, [3, 1], 0.1), 4) == [1, 0.1, 0.1, 0.01]
    assert rates(lambda o: optim.LinearLR(o, 0.5, 1.0, 2), 4) == [0.5, 0.75, 1, 1]
    assert rates(lambda o: optim.CosineAnnealingLR(o, 2), 3) == [1, 0.5, 0]
    assert rates(lambda o: optim.LambdaLR(o, [lambda k: 1 - k / 4]), 3) == [1, 0.75, 0.5]
    assert rates(lambda o: optim.warmup(optim.StepLR(o, 1, 0.5), 2, 0.5), 5) == [0.5, 0.75, 1, 0.5, 0.25]
    both = [
        optim.LinearLR,
        lambda o: optim.ExponentialLR(o, 0.5),
    ]  # the second starts from the rate at the beginning too
    chain = rates(lambda o: optim.SequentialLR(o, [make(o) for make in both], [5]), 8)
    assert chain[5:] == [1, 0.5, 0.25]
    assert rates(lambda o: optim.OneCycleLR(o, 10.0, 5, cycle_momentum=False, anneal_strategy="linear"), 6)[-1] == 4e-5


def test_a_plateau_waits_after_a_reduction() -> None:
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], 1.0)
    schedule, found = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, cooldown=2), []
    for _ in range(6):
        schedule.step(1.0)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_a_schedule_continues_from_its_state() -> None:
    def make() -> tuple[optim.Optimizer, optim.LRScheduler, optim.ReduceLROnPlateau]:
        optimizer = optim.SGD([nn.Parameter(np.zeros(1))], 1.0)
        return optimizer, optim.ExponentialLR(optimizer, 0.5), optim.ReduceLROnPlateau(optimizer, patience=1)

    one, two = make(), make()
    for metric in (3.0, 4.0):
        one[1].step()
        one[2].step(metric)
    for a, b in zip(one, two, strict=True):
        b.load_state_dict(a.state_dict())  # type: ignore[attr-defined]
    for optimizer, exponential, plateau in (one, two):
        exponential.step()
        plateau.step(E.Tensor(5.0))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0125)
        assert exponential.last_epoch == 3


def test_schedules_refuse_what_makes_no_sense() -> None:
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], 1.0)
    other = optim.SGD([nn.Parameter(np.zeros(1))], 1.0)
    for make in (
        lambda: optim.StepLR(nn.Linear(1, 1), 1),  # type: ignore[arg-type]
        lambda: optim.StepLR(optimizer, 0),
        lambda: optim.LinearLR(optimizer, total_iters=0),
        lambda: optim.CosineAnnealingLR(optimizer, 0),
        lambda: optim.CosineAnnealingWarmRestarts(optimizer, 0),
        lambda: optim.LambdaLR(optimizer, []),
        lambda: optim.OneCycleLR(optimizer, 1.0),
        lambda: optim.OneCycleLR(optimizer, 1.0, 5, anneal_strategy="cubic"),
        lambda: optim.OneCycleLR(optimizer, [1.0, 2.0], 5),
        lambda: optim.OneCycleLR(optim.Adagrad([nn.Parameter(np.zeros(1))]), 1.0, 5),
        lambda: optim.SequentialLR(optimizer, [optim.StepLR(optimizer, 1)], [3]),
        lambda: optim.SequentialLR(optimizer, [optim.StepLR(other, 1), optim.StepLR(optimizer, 1)], [3]),
        lambda: optim.ReduceLROnPlateau(optimizer, mode="mean"),
        lambda: optim.ReduceLROnPlateau(optimizer).step(),
    ):
        assert code(make) == "IX130"


def test_public_names() -> None:
    assert all(getattr(optim, name) is not None for name in optim.__all__)
