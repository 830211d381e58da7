"""Lowerings of views: tests/torch_same.py says what each case asserts."""

import pytest
from torch_same import same, torch

CASES = {
    "view": (lambda x: x.view(-1, 6), (torch.randn(4, 2, 3),), [{0: "batch"}]),
    "unsqueeze": (lambda x: x.unsqueeze(-1), (torch.randn(4, 3),), [{0: "batch"}]),
    "permute": (lambda x: x.permute(2, 0, 1), (torch.randn(4, 2, 3),), [{0: "batch", 2: "time"}]),
}


@pytest.mark.parametrize("name", CASES)
def test_view(name):
    function, inputs, dynamic = CASES[name]
    same(function, *inputs, dynamic=dynamic)
