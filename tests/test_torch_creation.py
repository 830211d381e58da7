"""Lowerings of what makes tensors: tests/torch_same.py says what each case asserts."""

import pytest
from torch_same import exported, same, torch

from interchange.dims import Dim

X = torch.randn(4, 6)

CASES = {
    "one value": lambda x: (
        torch.zeros(x.shape[0], 2),
        torch.ones(2, x.shape[1], dtype=torch.int64),
        torch.full((x.shape[1],), -0.0),
        torch.full((2,), 7),
        torch.full((x.shape[0], 1), True),
        torch.full((2,), x.shape[0]),
    ),
    "like": lambda x: (
        torch.zeros_like(x, dtype=torch.bool),
        torch.ones_like(x),
        torch.full_like(x, float("-inf")),
        x.new_zeros(x.shape[1]),
        x.new_ones(x.shape[1], dtype=torch.int32),
        x.new_full((2,), 3),
        torch.empty_like(x).fill_(2),
        torch.empty(x.shape[0], dtype=torch.int8).zero_(),
    ),
    "filled with data": lambda x: (torch.zeros_like(x).fill_(x.sum()), x.clone().fill_(x[0, 0])),
    "arange": lambda x: (
        torch.arange(x.shape[0]),
        torch.arange(2, x.shape[1] + 7, 3),
        torch.arange(x.shape[1], 0, -1),
        torch.arange(x.shape[0], dtype=torch.float32),
        torch.arange(3, 3),
    ),
    "arange of fractions": lambda x: (torch.arange(0.1, 1, 0.1), torch.arange(1, -2, -0.7), torch.arange(2.5)),
    "long arange": lambda x: (
        torch.arange(300),
        torch.arange(0, 100, 0.3),
        torch.arange(500, 0, -2, dtype=torch.int32),
    ),
    "linspace": lambda x: (
        torch.linspace(-1, 1, 7),
        torch.linspace(0, 1, 300),
        torch.linspace(3, 3, 1),
        torch.linspace(10, -3, 6, dtype=torch.int64),
        torch.linspace(0, 15, 12, dtype=torch.int64),  # its last is 14.999 when it is counted from the front
        torch.linspace(1, 2, 0),
        torch.linspace(x[0, 0], x[0, 1], 5),
    ),
    "logspace": lambda x: (torch.logspace(-2, 2, 5), torch.logspace(0, 3, 4, 2, dtype=torch.int64)),
    "eye": lambda x: (torch.eye(x.shape[0]), torch.eye(2, x.shape[1], dtype=torch.bool), torch.eye(40)),
    "triangles": lambda x: (
        torch.ones(x.shape[0], x.shape[1], dtype=torch.bool).tril(),
        torch.full((x.shape[1], x.shape[1]), float("-inf")).triu(1),
        torch.arange(12, dtype=torch.int32).view(3, 4).tril(-1),
        x.tril(x.shape[1] - x.shape[0]),
        x.triu(-9),
    ),
    "places of triangles": lambda x: (torch.tril_indices(3, 4, 1), torch.triu_indices(20, 20, -1, dtype=torch.int32)),
    "windows": lambda x: (
        torch.hann_window(400),
        torch.hamming_window(9, periodic=False),
        torch.hamming_window(8, True, 0.6, 0.3),
        torch.blackman_window(16),
        torch.bartlett_window(7),
        torch.hann_window(1),
        torch.bartlett_window(2, periodic=False),
    ),
    "numbers": lambda x: (x + torch.tensor(2.5), torch.scalar_tensor(x.shape[0]), torch.scalar_tensor(2)),
}


@pytest.mark.parametrize("name", CASES)
def test_created(name):
    # beside x, so that there is an input
    same(lambda x: (x, *CASES[name](x)), X, dynamic=[{0: "batch", 1: Dim("time", min=2)}])


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.ones(1000, 1000).tril(),
        lambda: torch.full((1000, 1000), float("-inf")).triu(1),
        lambda: torch.arange(20_000).float(),
        lambda: torch.arange(0, 6000, 0.3),
        lambda: torch.eye(1000),
        lambda: torch.linspace(0, 1, 20_000),
        lambda: torch.zeros(1, 1000, 1000),
        lambda: torch.arange(1000)[:, None] <= torch.arange(1000),
        lambda: torch.hann_window(40_000),
    ],
)
def test_what_is_made_is_no_data(make):
    """A mask of the longest text is a few nodes of the file, not megabytes in it."""
    model = exported(lambda x: (x, make()), torch.randn(2), verify=False)
    assert len(model.source) < 20_000
    found = list(model.run(args_0=torch.zeros(2).numpy()).values())[1]
    torch.testing.assert_close(torch.from_numpy(found.copy()), make())
