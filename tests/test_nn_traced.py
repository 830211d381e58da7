"""Layers and training steps in a graph: exported and proven, or compiled and beside their eager selves."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import interchange as ix
from interchange import eager as E
from interchange.eager import nn, optim
from interchange.eager.nn import functional as F
from interchange.errors import InterchangeError, OperatorError


def data(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


LAYERS: dict[str, tuple[Any, str]] = {
    "Linear": (lambda: nn.Linear(6, 4), "float32[batch, 6]"),
    "Linear of sequences": (lambda: nn.Linear(6, 4), "float32[batch, time, 6]"),
    "Conv1d": (lambda: nn.Conv1d(6, 4, 3, padding=1), "float32[batch, 6, time]"),
    "Conv2d same": (lambda: nn.Conv2d(3, 4, 3, padding="same"), "float32[batch, 3, height, width]"),
    "Conv2d reflect": (lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), "float32[batch, 3, 6, 6]"),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2), "float32[batch, 3, height, 5]"),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), "float32[batch, 3, 6, 8]"),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, 2, 1), "float32[batch, 3, 6, 8]"),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(1), "float32[batch, 3, height, width]"),
    "AdaptiveAvgPool2d uneven": (lambda: nn.AdaptiveAvgPool2d((2, 3)), "float32[batch, 3, 5, 7]"),
    "AdaptiveMaxPool2d uneven": (lambda: nn.AdaptiveMaxPool2d((2, 3)), "float32[batch, 3, 5, 7]"),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3), "float32[batch, 3, height, 4]"),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(3, affine=True), "float32[batch, 3, 6]"),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), "float32[batch, 4, 6]"),
    "LayerNorm": (lambda: nn.LayerNorm(6), "float32[batch, time, 6]"),
    "RMSNorm": (lambda: nn.RMSNorm(6, eps=1e-5), "float32[batch, time, 6]"),
    "Embedding": (lambda: nn.Embedding(5, 3, padding_idx=0), "int64[batch, time]"),
    "Dropout": (lambda: nn.Dropout(0.3), "float32[batch, 6]"),
    "PReLU": (lambda: nn.PReLU(3), "float32[batch, 3, 6]"),
    "GELU": (lambda: nn.GELU(), "float32[batch, 6]"),
    "Softplus": (lambda: nn.Softplus(2.0), "float32[batch, 6]"),
    "Threshold": (lambda: nn.Threshold(0.1, 2.0), "float32[batch, 6]"),
    "Flatten": (lambda: nn.Flatten(), "float32[batch, 3, 4]"),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 3)), "float32[batch, 6]"),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), "float32[batch, 2, height, 4]"),
    "Upsample to a size": (lambda: nn.Upsample(size=(5, 7)), "float32[batch, 2, 4, 4]"),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), "float32[batch, 8, height, 4]"),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), "float32[batch, 2, 6, 4]"),
    "CircularPad1d": (lambda: nn.CircularPad1d(2), "float32[batch, 2, 6]"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_export_with_dynamic_sizes_and_are_proven_equal(name: str) -> None:
    make, spec = LAYERS[name]
    model = make().eval()
    inputs: dict[str, Any] = {"x": spec}
    dynamic = None
    if name == "Embedding":  # example numbers, so that they are rows of the table
        inputs, dynamic = {"indices": np.array([[0, 4], [2, 0]])}, {"indices": {0: "batch", 1: "time"}}
    exported = ix.export(model, inputs, dynamic=dynamic)
    assert "interchange.evidence" in exported.metadata


def test_an_exported_layer_keeps_names_and_transposes_no_weight() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with E.no_grad():
        ir = _graph(net, {"x": "float32[batch, 3]"})
    assert [n.op_type for n in ir.graph.nodes] == ["Gemm", "Relu", "Gemm"]
    assert sorted(ir.graph.initializers) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    assert [n.metadata["interchange.module"] for n in ir.graph.nodes] == ["0", "1", "2"]


def _graph(model: Any, inputs: Any) -> Any:
    from interchange.exporting import clean
    from interchange.frontends import capture

    found = capture(model, inputs, opset=21, dynamic=None, output_names=None, options={})
    clean(found.model, found, False)
    return found.model


def test_adaptive_pooling_of_a_dynamic_size_is_refused_with_the_remedy() -> None:
    with pytest.raises(InterchangeError) as info:
        ix.export(nn.AdaptiveAvgPool2d(3), {"x": "float32[batch, 2, height, 9]"})
    assert info.value.code == "IX125"
    assert "height" in str(info.value)


# -- compiled training steps -------------------------------------------------------------------------------------------
class Net(nn.Module):
    def __init__(self, generator: Any) -> None:
        self.conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)  # a bias before a BatchNorm has no gradient but noise
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.25, generator=generator)
        self.head = nn.Linear(4 * 4 * 4, 3)

    def forward(self, x: E.Tensor) -> Any:
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.head(self.drop(x.flatten(1)))


OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "SGD dampened": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2),
    "Adam": lambda p: optim.Adam(p, lr=0.01, amsgrad=True, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.05, lr_decay=0.1),
    "Adadelta": lambda p: optim.Adadelta(p),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_compiled_training_step_does_what_the_eager_one_does(name: str) -> None:
    E.random.manual_seed(0)
    nets, states, losses = [], [], []
    first = Net(None)
    for compiled in (False, True):
        generator = E.random.Generator(3)
        net = copy.deepcopy(first)
        net.drop.generator = generator
        optimizer = OPTIMIZERS[name](net.named_parameters())
        schedule = optim.ExponentialLR(optimizer, 0.9)

        def step(x: E.Tensor, y: E.Tensor) -> E.Tensor:
            optimizer.zero_grad()  # noqa: B023
            loss = F.cross_entropy(net(x), y)  # noqa: B023
            loss.backward()
            optim.clip_grad_norm_(net.parameters(), 1.0)  # noqa: B023
            optimizer.step()  # noqa: B023
            return loss

        run = E.compile(step) if compiled else step
        seen = []
        for k in range(6):
            x = E.Tensor(data(8, 1, 8, 8, seed=k))
            seen.append(float(run(x, E.Tensor(np.arange(8) % 3))))
            schedule.step()
        if compiled:
            assert run.compilations == 1
        losses.append(seen)
        nets.append(net.state_dict())
        states.append(optimizer.state_dict() | generator.state_dict())
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-4)
    for a, b in ((nets[0], nets[1]), (states[0], states[1])):
        assert list(a) == list(b)
        for key in a:
            np.testing.assert_allclose(a[key].numpy(), b[key].numpy(), rtol=5e-3, atol=2e-4, err_msg=key)
    assert (states[0]["counter"].item(), states[0]["groups.0.step"].item()) == (6, 6)
    assert nets[1]["norm.num_batches_tracked"].item() == 6


def test_a_parameter_that_missed_steps_keeps_its_own_count_when_compiled() -> None:
    found = []
    for compiled in (False, True):
        a, b = nn.Parameter(np.ones(2, np.float32)), nn.Parameter(np.ones(3, np.float32))
        optimizer = optim.Adam([a, b], lr=0.1)

        def step(both: bool) -> None:
            optimizer.zero_grad()  # noqa: B023
            (((a * 2).sum() + (b * 3).sum()) if both else (a * 2).sum()).backward()  # noqa: B023
            optimizer.step()  # noqa: B023

        run = E.compile(step) if compiled else step
        for both in (False, False, True, False, True):
            run(both)
        found.append((a.tolist(), b.tolist(), float(optimizer.state[b]["missed"])))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)
    assert found[0][2] == found[1][2] == 3


def test_train_and_eval_are_different_graphs() -> None:
    net = Net(E.random.Generator(1))
    run = E.compile(lambda x: net(x))
    x = E.Tensor(data(4, 1, 8, 8))
    net.eval()
    quiet = run(x).numpy()
    assert (run(x).numpy() == quiet).all()
    net.train()
    assert (run(x).numpy() != quiet).any()
    net.eval()
    assert run.compilations == 2


def test_a_schedule_inside_of_a_compiled_step_is_refused() -> None:
    optimizer = optim.SGD([nn.Parameter(np.zeros(2, np.float32))], lr=1.0)
    schedule = optim.StepLR(optimizer, 1)
    with pytest.raises(OperatorError) as info:
        E.compile(schedule.step)()
    assert info.value.code == "IX129"


def test_a_group_is_read_as_an_input_of_the_graph() -> None:
    optimizer = optim.SGD([nn.Parameter(np.zeros(2, np.float32))], lr=1.0)
    group = optimizer.param_groups[0]
    read = E.compile(lambda: group["lr"] * 2.0)
    assert read().item() == 2.0
    group["lr"] = 0.25
    assert read().item() == 0.5
    assert read.compilations == 1


def test_exporting_in_training_mode_has_the_state_as_outputs(tmp_path: Any) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model = ix.export(net, {"x": "float32[batch, 3]"}, tmp_path / "m.onnx")
    assert "running_mean" in model.metadata["interchange.state"]
    assert "batch >= 2" in model.metadata["interchange.guards"]
