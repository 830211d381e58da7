"""Layers, losses and optimisers have PyTorch's numbers: against those stored in torch_numbers.json."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch_cases as cases

from interchange.eager import nn, optim
from interchange.eager.tensor import Tensor

STORED = json.loads(cases.FILE.read_text(encoding="utf-8"))
ROWS = cases.rows()


def tensor(a: Any, grad: bool) -> Tensor:
    return Tensor(a, requires_grad=grad)


def array(t: Tensor) -> Any:
    return t.numpy()


def compare(found: dict[str, Any], stored: dict[str, Any], tolerance: float) -> None:
    assert sorted(found) == sorted(stored)
    for key, value in found.items():
        assert cases.agrees(value, stored[key], tolerance), f"{key}: {cases.digest(value)}, not {stored[key]}"


@pytest.mark.parametrize("name", ROWS)
def test_layers_and_losses(name: str) -> None:
    compare(cases.measure(ROWS[name], nn, tensor, array), STORED[name], 2e-5)


@pytest.mark.parametrize(("name", "options"), cases.OPTIMIZERS)
def test_optimisers(name: str, options: dict[str, Any]) -> None:
    found = cases.steps(name, options, optim, nn.Parameter, tensor, array)
    compare(found, STORED[cases.key_of(name, options)], 1e-6)


def test_every_case_is_stored_and_every_stored_case_is_one() -> None:
    assert sorted(STORED) == sorted([*ROWS, *(cases.key_of(n, o) for n, o in cases.OPTIMIZERS)])


def test_the_stored_numbers_are_those_of_the_pytorch_here() -> None:
    pytest.importorskip("torch", reason="checks the stored numbers against PyTorch itself")
    assert cases.measure_pytorch().keys() == STORED.keys()
    for name, found in cases.measure_pytorch().items():
        for key, (shape, sums, size) in found.items():
            assert shape == STORED[name][key][0], name
            assert sums == pytest.approx(STORED[name][key][1], abs=1e-5 * (1 + size)), (name, key)
