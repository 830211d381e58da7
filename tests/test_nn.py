"""Modules: what belongs to them, state, hooks, modes, texts, and the errors of their use."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from interchange import eager as E
from interchange.eager import nn
from interchange.eager.nn import functional as F
from interchange.eager.nn import init
from interchange.errors import OperatorError


class Block(nn.Module):
    def __init__(self) -> None:
        self.norm = nn.LayerNorm(4)  # no super().__init__(): it is not needed
        self.scale = nn.Parameter(np.ones(4, np.float32))
        self.register_buffer("steps", np.array(0, np.int64))
        self.register_buffer("mask", np.ones(4, np.float32), persistent=False)
        self.register_parameter("absent", None)

    def forward(self, x: E.Tensor) -> E.Tensor:
        self.steps.assign(self.steps + 1)
        return self.norm(x) * self.scale * self.mask


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.block = Block()
        self.last = nn.Linear(3, 4, bias=False)
        self.last.weight = self.first.weight  # shared

    def forward(self, x: E.Tensor) -> E.Tensor:
        return self.block(self.first(x)) + self.last(x)


def code(call: Any) -> str:
    with pytest.raises(OperatorError) as info:
        call()
    return info.value.code


def x(*shape: int) -> E.Tensor:
    return E.Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


# -- what belongs to a module ------------------------------------------------------------------------------------------
def test_names_follow_attributes_and_shared_parameters_come_once() -> None:
    net = Net()
    names = ["first.weight", "first.bias", "block.scale", "block.norm.weight", "block.norm.bias"]
    assert [n for n, _ in net.named_parameters()] == names
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == [*names, "last.weight"]
    assert next(n for n, _ in net.named_parameters("top")) == "top.first.weight"
    assert [n for n, _ in net.block.named_parameters(recurse=False)] == ["scale"]
    assert [n for n, _ in net.named_buffers()] == ["block.steps", "block.mask"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "block", "block.norm", "last"]
    assert [n for n, _ in net.named_children()] == ["first", "block", "last"]
    assert len(list(net.parameters())) == 5
    assert net.get_submodule("block.norm") is net.block.norm
    assert net.get_submodule("") is net
    assert net.get_parameter("last.weight") is net.first.weight
    assert net.get_buffer("block.mask") is net.block.mask
    assert net.block.absent is None
    assert net.first.weight.name == "weight"


def test_a_module_that_occurs_twice_comes_once() -> None:
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    assert [n for n, _ in net.named_modules()] == ["", "0", "1"]
    assert [n for n, _ in net.named_modules(remove_duplicate=False)] == ["", "0", "1", "2"]
    assert len(list(net.parameters())) == 2
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_a_ring_of_modules_ends() -> None:
    a, b = nn.Module(), nn.Module()
    a.other, b.other = b, a
    assert [n for n, _ in a.named_modules()] == ["", "other"]
    assert [n for n, _ in a.named_modules(remove_duplicate=False)] == ["", "other"]


def test_reassigning_changes_what_belongs() -> None:
    m = nn.Module()
    m.a = nn.Linear(1, 1)
    m.a = nn.Parameter(np.zeros(2))
    assert [n for n, _ in m.named_modules()] == [""]
    assert [n for n, _ in m.named_parameters()] == ["a"]
    m.a = None
    assert list(m.parameters()) == []
    m.b = nn.Buffer(np.zeros(2))
    del m.b
    assert list(m.buffers()) == []
    m.register_buffer("c", np.zeros(2), persistent=False)
    m.c = None
    m.c = nn.Buffer(np.zeros(2))
    assert list(m.state_dict()) == ["c"]
    assert not hasattr(m, "b")


def test_a_plain_tensor_in_the_place_of_a_parameter_is_refused() -> None:
    net = Net()
    with pytest.raises(OperatorError, match=r"self.weight.assign\(value\)") as info:
        net.first.weight = x(4, 3)
    assert info.value.code == "IX123"
    net.first.weight.assign(x(4, 3))


def test_modules_hidden_in_a_list_are_found_out() -> None:
    for hidden in ([nn.Linear(1, 1)], (nn.Linear(1, 1),), {"a": nn.Linear(1, 1)}, [nn.Parameter(np.zeros(1))]):
        net = Net()
        net.layers = hidden
        assert code(lambda: list(net.parameters())) == "IX122"  # noqa: B023
        assert code(net.state_dict) == "IX122"
    net = Net()
    net.order = [net.block, net.first]  # also held properly
    assert len(list(net.parameters())) == 5


def test_names_that_mean_something_else_are_kept_beside() -> None:
    m = nn.Module()
    m.register_parameter("forward", nn.Parameter(np.zeros(1)))
    m.register_buffer("training", np.zeros(1))
    m.eval()
    assert m.training is False
    assert list(m.state_dict()) == ["forward", "training"]
    assert m.get_parameter("forward").shape == (1,)


def test_errors_name_what_is_near() -> None:
    net = Net()
    with pytest.raises(AttributeError, match="did you mean 'block'") as info:
        net.blok  # noqa: B018
    assert info.value.code == "IX120"
    assert not hasattr(net, "nothing")
    assert code(lambda: net.get_submodule("block.nrm")) == "IX120"
    assert code(lambda: net.get_parameter("block.wrong")) == "IX120"

    class Failing(nn.Module):
        @property
        def value(self) -> int:
            raise AttributeError("inner")

    with pytest.raises(AttributeError, match="inner"):
        Failing().value  # noqa: B018


def test_registering_what_is_no_part() -> None:
    m = nn.Module()
    assert code(lambda: m.register_module("a.b", nn.ReLU())) == "IX124"
    assert code(lambda: m.register_module("", nn.ReLU())) == "IX124"
    assert code(lambda: m.register_module("a", nn.ReLU)) == "IX124"  # type: ignore[arg-type]
    assert code(lambda: m.register_parameter("a", x(2))) == "IX124"  # type: ignore[arg-type]
    assert code(lambda: m(x(2))) == "IX126"
    assert code(lambda: nn.ModuleList()(x(2))) == "IX126"


# -- state -------------------------------------------------------------------------------------------------------------
def test_state_is_a_snapshot_that_loads_back() -> None:
    net = Net()
    state = net.state_dict()
    block = [f"block.{n}" for n in ("scale", "steps", "norm.weight", "norm.bias")]
    assert list(state) == ["first.weight", "first.bias", *block, "last.weight"]
    before = net(x(2, 3)).numpy()
    for p in net.parameters():
        p.assign(p * 2)
    assert net.block.steps.item() == 1
    assert (net(x(2, 3)).numpy() != before).any()
    assert net.load_state_dict(state) == ([], [])
    assert (net(x(2, 3)).numpy() == before).all()
    net.load_state_dict({n: v.numpy() for n, v in state.items()})


def test_all_differences_are_told_at_once_and_nothing_is_changed() -> None:
    net, other = Net(), Net().state_dict()
    before = {n: v.tolist() for n, v in net.state_dict().items()}
    wrong = {**other, "extra": x(1), "block.scale": x(5), "block.steps": E.Tensor([0.0])[0]}
    del wrong["first.bias"]
    with pytest.raises(OperatorError) as info:
        net.load_state_dict(wrong)
    text = str(info.value)
    assert info.value.code == "IX121"
    assert "4 problems" in text
    assert "first.bias: missing" in text
    assert "extra: unexpected" in text
    assert "block.scale: float32[5] in the state, float32[4]" in text
    assert "block.steps: float32[] in the state, int64[]" in text
    assert {n: v.tolist() for n, v in net.state_dict().items()} == before
    assert code(lambda: net.load_state_dict(wrong, strict=False)) == "IX121"  # shapes must fit all the same
    del wrong["block.scale"], wrong["block.steps"]
    missing, unexpected = net.load_state_dict(wrong, strict=False)
    assert (missing, unexpected) == (["first.bias", "block.scale", "block.steps"], ["extra"])


def test_a_shared_parameter_loads_under_either_name_but_not_two_values() -> None:
    net = Net()
    state = net.state_dict()
    state["last.weight"] = value = x(4, 3)
    assert code(lambda: net.load_state_dict(state)) == "IX121"
    del state["first.weight"]
    net.load_state_dict(state)
    assert (net.first.weight.numpy() == value.numpy()).all()
    assert net.first.weight is net.last.weight


def test_copies_and_pickles_keep_sharing_and_are_independent() -> None:
    net = Net()
    net.eval()
    net.block.requires_grad_(False)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin.first.weight is twin.last.weight
        assert twin.first.weight is not net.first.weight
        assert type(twin.block.steps) is nn.Buffer
        assert (twin.training, twin.block.scale.requires_grad, twin.first.weight.requires_grad) == (False, False, True)
        assert twin.first.weight.name == "weight"
        twin.first.weight.assign(twin.first.weight * 0)
        assert net.first.weight.numpy().any()
        assert list(twin.state_dict()) == list(net.state_dict())


# -- modes, hooks ------------------------------------------------------------------------------------------------------
def test_modes_and_freezing() -> None:
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.block.train()
    assert (net.training, net.block.norm.training) == (False, True)
    net.requires_grad_(False)
    assert not net(x(2, 3)).requires_grad
    net.requires_grad_()
    net(x(2, 3)).sum().backward()
    assert net.first.weight.grad is not None
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    seen: list[nn.Module] = []
    net.apply(seen.append)
    assert seen[-1] is net
    assert len(seen) == 5


def test_conversion_of_dtypes() -> None:
    net = Net().double()
    assert net.first.weight.dtype == np.float64
    assert net.block.steps.dtype == np.int64
    assert net(E.Tensor(np.zeros((2, 3)))).dtype == np.float64
    net(E.Tensor(np.zeros((2, 3)))).sum().backward()
    net.float()
    assert net.first.weight.grad.dtype == np.float32  # type: ignore[union-attr]
    assert net.to("bfloat16").first.bias.dtype == "bfloat16"  # type: ignore[union-attr]
    assert code(lambda: net.to("int32")) == "IX124"


def test_hooks_see_and_change_calls() -> None:
    net, seen = nn.Linear(3, 2), []
    before = net.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    after = net.register_forward_hook(lambda m, args, out: seen.append((args[0], out)))
    doubled = net(x(1, 3))
    assert (seen[0][0].numpy() == 2 * x(1, 3).numpy()).all()
    assert seen[0][1] is doubled
    before.remove()
    before.remove()
    with net.register_forward_hook(lambda m, args, out: out * 0):
        assert not net(x(1, 3)).numpy().any()
    after()
    count = len(seen)
    assert (net(x(1, 3)).numpy() != doubled.numpy()).any()
    assert len(seen) == count


def test_an_error_names_the_innermost_layer() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(5, 2)))
    with pytest.raises(OperatorError) as info:
        net(x(2, 3))
    assert info.value.code == "IX125"
    assert info.value.where is not None
    assert info.value.where.endswith("in Linear(in_features=5, out_features=2, bias=True)")
    assert "test_nn.py" in info.value.where


# -- containers --------------------------------------------------------------------------------------------------------
def test_sequential() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert len(net) == 3
    assert net[-1] is net[2]
    head = net[:2]
    assert isinstance(head, nn.Sequential)
    assert head[0] is net[0]
    net[1] = nn.Tanh()
    net.append(nn.ReLU()).insert(0, nn.Identity())
    assert [type(m).__name__ for m in net] == ["Identity", "Linear", "Tanh", "Linear", "ReLU"]
    del net[0]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    net.extend([nn.Softmax()])
    assert net(x(5, 3)).shape == (5, 2)
    with pytest.raises(IndexError):
        net[9]
    named = nn.Sequential(OrderedDict(a=nn.Linear(3, 3), b=nn.ReLU()))
    assert [n for n, _ in named.named_children()] == ["a", "b"]
    assert [n for n, _ in named[1:].named_children()] == ["b"]
    assert named.a is named[0]
    assert code(lambda: nn.Sequential(nn.ReLU)) == "IX124"  # type: ignore[arg-type]


def test_lists_and_dicts_of_modules() -> None:
    layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    assert [n for n, _ in layers.named_parameters()][::2] == ["0.weight", "1.weight", "2.weight"]
    assert isinstance(layers[1:], nn.ModuleList)
    assert len(layers[1:]) == 2
    heads = nn.ModuleDict({"a": nn.Linear(2, 1), "keys": nn.Linear(2, 2)})
    assert list(heads) == ["a", "keys"]
    assert heads["keys"].out_features == 2
    assert "a" in heads
    heads["a"] = nn.ReLU()
    del heads["keys"]
    assert [type(m).__name__ for m in heads.values()] == ["ReLU"]
    assert code(lambda: heads["b"]) == "IX120"
    values = nn.ParameterList([nn.Parameter(np.zeros(i)) for i in (1, 2)])
    values.append(nn.Parameter(np.zeros(3)))
    assert [p.shape for p in values] == [(1,), (2,), (3,)]
    assert list(values.state_dict()) == ["0", "1", "2"]


def test_the_text_of_a_tree() -> None:
    assert repr(nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU()))) == (
        "Sequential(\n"
        "  (0): Linear(in_features=3, out_features=4, bias=True)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        ")"
    )


# -- layers: values worked out by hand ---------------------------------------------------------------------------------
def test_linear_by_hand() -> None:
    layer = nn.Linear(2, 3)
    layer.weight.assign([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    layer.bias.assign([0.5, 0.0, -1.0])  # type: ignore[union-attr]
    for shape in ((2,), (1, 2), (1, 1, 2)):
        assert layer(E.Tensor(np.full(shape, 2.0, np.float32))).reshape(3).tolist() == [6.5, 14.0, 21.0]


def test_losses_by_hand() -> None:
    a, b = E.Tensor([1.0, 2.0, 4.0]), E.Tensor([1.0, 0.0, 1.0])
    assert F.mse_loss(a, b).item() == pytest.approx(13 / 3)
    assert F.mse_loss(a, b, "sum").item() == 13
    assert F.l1_loss(a, b, "none").tolist() == [0, 2, 3]
    assert F.huber_loss(a, b, "none").tolist() == [0, 1.5, 2.5]
    assert F.cross_entropy(E.Tensor([[0.0, 0.0, 0.0]]), [1]).item() == pytest.approx(np.log(3))
    assert F.binary_cross_entropy_with_logits(E.Tensor([0.0]), [1.0]).item() == pytest.approx(np.log(2))


def test_batch_norm_by_hand() -> None:
    layer = nn.BatchNorm1d(1)
    y = layer(E.Tensor([[1.0], [3.0]]))
    np.testing.assert_allclose(y.numpy(), [[-1], [1]], atol=1e-4)
    assert layer.running_mean.tolist() == pytest.approx([0.2])  # 0.9 * 0 + 0.1 * 2
    assert layer.running_var.tolist() == pytest.approx([1.1])  # 0.9 * 1 + 0.1 * 2: divided by count - 1
    assert layer.num_batches_tracked.item() == 1
    layer.eval()
    np.testing.assert_allclose(layer(E.Tensor([[0.2]])).numpy(), [[0]], atol=1e-6)
    assert layer.num_batches_tracked.item() == 1


def test_dropout() -> None:
    g = E.random.Generator(1)
    layer, ones = nn.Dropout(0.25, generator=g), E.Tensor(np.ones((100, 100), np.float32))
    y = layer(ones).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(4 / 3)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert (layer(ones).numpy() != y).any()
    assert layer.eval()(ones) is ones
    channels = nn.Dropout2d(0.5, generator=g)(E.Tensor(np.ones((20, 30, 4, 4), np.float32))).numpy()
    assert (channels.max((2, 3)) == channels.min((2, 3))).all()
    assert 0.4 < (channels[:, :, 0, 0] == 0).mean() < 0.6
    assert not nn.Dropout(1.0)(ones).numpy().any()
    z = E.Tensor(np.random.default_rng(0).standard_normal(200_000).astype(np.float32))
    kept = nn.AlphaDropout(0.2, generator=g)(F.selu(z)).numpy()
    assert abs(kept.mean()) < 0.02
    assert abs(kept.var() - 1) < 0.03
    leaf = E.Tensor(np.ones(1000, np.float32), requires_grad=True)
    out = nn.Dropout(0.5, generator=g)(leaf)
    out.sum().backward()
    assert (leaf.grad.numpy() == out.numpy()).all()  # type: ignore[union-attr]


def test_initial_values() -> None:
    E.random.manual_seed(5)
    a = nn.Linear(10, 10).weight.numpy()
    E.random.manual_seed(5)
    assert (nn.Linear(10, 10).weight.numpy() == a).all()
    q = init.orthogonal_(nn.Parameter(np.zeros((5, 3)))).numpy()
    np.testing.assert_allclose(q.T @ q, np.eye(3), atol=1e-12)
    q = init.orthogonal_(nn.Parameter(np.zeros((8, 8))), generator=E.random.Generator(1)).numpy()
    draws = E.random.normal((8, 8), dtype="float64", generator=E.random.Generator(1)).numpy()
    assert (np.diag(q.T @ draws) > 0).all()  # one rotation for each draw: uniform over all of them
    t = init.trunc_normal_(nn.Parameter(np.zeros(20_000)), 1.0, 2.0, 0.0, 3.0).numpy()
    assert 0 <= t.min() < t.max() <= 3
    from statistics import NormalDist

    p = np.array([1e-6, 0.01, 0.3, 0.5, 0.77, 0.999])
    np.testing.assert_allclose(init._quantile(p), [NormalDist().inv_cdf(v) for v in p], atol=1e-8)
    assert init.eye_(nn.Parameter(np.zeros((2, 3)))).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert code(lambda: init.xavier_uniform_(nn.Parameter(np.zeros(3)))) == "IX124"
    assert code(lambda: init.calculate_gain("relux")) == "IX124"
    assert code(lambda: init.kaiming_normal_(nn.Parameter(np.zeros((3, 3))), mode="fan")) == "IX124"


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(0, 3),
        lambda: nn.Conv2d(3, 4, 3, groups=2),
        lambda: nn.Conv2d(4, 4, (3, 3, 3)),
        lambda: nn.Conv2d(4, 4, 3, stride=2, padding="same"),
        lambda: nn.Conv2d(4, 4, 3, padding="full"),
        lambda: nn.Conv2d(4, 4, 3, padding_mode="mirror"),
        lambda: nn.ConvTranspose2d(4, 4, 3, output_padding=1),
        lambda: nn.MaxPool2d(2, padding=2),
        lambda: nn.AdaptiveAvgPool2d((2, 2, 2)),
        lambda: nn.GroupNorm(3, 4),
        lambda: nn.Embedding(3, 2, padding_idx=3),
        lambda: nn.Dropout(1.2),
        lambda: nn.Hardtanh(1, 1),
        lambda: F.softplus(x(2), beta=0),
        lambda: F.pad(x(2), (1,)),
        lambda: F.interpolate(x(1, 1, 2)),
        lambda: F.interpolate(x(1, 1, 2), size=2, mode="cube"),
    ],
)
def test_arguments_that_make_no_layer(make: Any) -> None:
    assert code(make) == "IX124"


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.Conv2d(3, 4, 3)(x(1, 2, 8, 8)),
        lambda: nn.Conv2d(3, 4, 3)(x(8, 8)),
        lambda: nn.BatchNorm2d(3)(x(2, 3, 4)),
        lambda: nn.BatchNorm1d(3)(x(1, 3)),
        lambda: nn.InstanceNorm2d(3)(x(2, 3, 1, 1)),
        lambda: nn.LayerNorm(4)(x(2, 3)),
        lambda: nn.GroupNorm(2, 4)(x(2, 6, 3)),
        lambda: nn.Embedding(3, 2)(x(2)),
        lambda: nn.Bilinear(2, 3, 4)(x(5, 3), x(5, 3)),
        lambda: nn.MaxPool2d(2)(x(4, 4)),
        lambda: F.interpolate(x(1, 1, 2), size=2, mode="bilinear"),
    ],
)
def test_inputs_that_do_not_fit_a_layer(call: Any) -> None:
    assert code(call) == "IX125"


@pytest.mark.parametrize(
    "call",
    [
        lambda: F.mse_loss(x(3), x(3, 1)),
        lambda: F.mse_loss(x(3), x(3), "avg"),
        lambda: F.cross_entropy(x(3, 4), E.Tensor([[1], [2], [0]])),
        lambda: F.cross_entropy(x(3, 4), E.Tensor([1, 2])),
        lambda: F.cross_entropy(x(3, 4), [1, 2, 0], label_smoothing=2),
        lambda: F.nll_loss(x(3, 4), E.Tensor([1.0, 2.0, 0.0])),
        lambda: F.huber_loss(x(3), x(3), delta=0),
    ],
)
def test_losses_refuse_what_they_would_get_wrong(call: Any) -> None:
    assert code(call) == "IX135"


def test_public_names() -> None:
    for namespace in (nn, F, init):
        for name in namespace.__all__:
            assert getattr(namespace, name) is not None
        assert len(set(namespace.__all__)) == len(namespace.__all__)
    layers = [v for n, v in vars(nn).items() if isinstance(v, type) and issubclass(v, nn.Module)]
    assert all(v.__doc__ for v in layers)
    assert {v.__name__ for v in layers} <= set(nn.__all__)
