"""The lowering of grouped matrix products: tests/torch_same.py says what each case asserts."""

import pytest
from torch_same import same, torch

pytest.importorskip("transformers", reason="transformers is not installed")
import transformers.integrations.moe  # noqa: F401  registers the operator

ROWS = torch.randn(6, 3)
MATRICES = torch.randn(4, 3, 5)
grouped = torch.ops.transformers.grouped_mm_fallback


def ends(*values):
    return torch.tensor(values, dtype=torch.int32)


@pytest.mark.parametrize(
    ("rows", "offs"),
    [
        (ROWS, ends(2, 2, 5, 6)),
        (ROWS, ends(6, 6, 6, 6)),
        (ROWS, ends(0, 0, 0, 6)),
        (ROWS[:1], ends(0, 1, 1, 1)),
        (ROWS, ends(2, 2, 3, 4)),  # the last two rows belong to no expert
    ],
)
def test_each_run_of_rows_meets_the_matrix_of_its_expert(rows, offs):
    """Experts without rows, and rows after the last expert's, are what a router makes of rare tokens."""
    same(lambda x, ends: grouped(x, MATRICES, ends), rows, offs)


def test_the_number_of_rows_is_free():
    first = torch.nn.Parameter(torch.randn(4, 5, 3))  # transposed, as linear layers have it
    model = lambda x: grouped(x, first.transpose(1, 2), ends(0, 1, 1, 1))  # noqa: E731
    same(model, ROWS, dynamic=[{0: "rows"}], more=[(ROWS[:1],), (torch.randn(50, 3),)])
