"""Lowerings of creation, indexing, reductions and order under dynamic sizes and on special values.

That each is right for static sizes, with every option, PyTorch's own database says: tests/test_torch_opinfo.py.
"""

import pytest
from torch_same import same, torch

from interchange.dims import Dim

nan, inf = float("nan"), float("inf")
table = torch.randn(6, 4)
spoilt = torch.tensor([[1.0, nan, -inf, 0.0], [inf, 2.0, -0.0, -3.0], [0.0, 0.0, 0.0, nan]])
whole = torch.tensor([[3, -7, 0], [5, 2, -1]])
rows = torch.tensor([2, 0, -1])
ROWS = {0: "n"}

CREATED = {
    "zeros": lambda x: torch.zeros(x.shape[0], 3) + x[:, :3],
    "like": lambda x: (torch.ones_like(x), torch.full_like(x, 7), torch.zeros_like(x, dtype=torch.int64)),
    "arange": lambda x: torch.arange(x.shape[0]) * 2,
    "arange by steps": lambda x: torch.arange(1, x.shape[0] * 2, 3),
    "linspace": lambda x: torch.linspace(0, 1, 5) + x[:, :1],
    "eye": lambda x: torch.eye(x.shape[0]),
    "tril": lambda x: (x @ x.t()).tril(-1) + (x @ x.t()).triu(1),
    "causal mask": lambda x: torch.ones(x.shape[0], x.shape[0], dtype=torch.bool).tril(),
    "new": lambda x: (x.new_zeros(x.shape[0], 2), x.new_full((2, x.shape[0]), 3)),
    "scalar": lambda x: x * torch.tensor(2.5) + x.shape[0] ** 0.5,
    "one_hot": lambda x: torch.nn.functional.one_hot((x > 0).long(), 3),
}
VIEWED = {
    "slices": lambda x: (x[1:], x[:-1], x[::2, 1:3], x[..., -1]),
    "up to half": lambda x: x[: x.shape[0] // 2],
    "joined": lambda x: (torch.cat([x, x * 2]), torch.stack([x, x], 1), torch.hstack([x, x])),
    "split": lambda x: (x.split([1, 3], 1), x.chunk(2, 1), x.unbind(1)),
    "repeated": lambda x: (x.repeat(2, 3), x.repeat_interleave(2, 0), x.expand(3, -1, -1)),
    "turned": lambda x: (x.flip(0), x.roll(1, 0), x.rot90(), x.movedim(0, 1)),
    "shaped": lambda x: (x.reshape(-1, 2), x.flatten(), x.unflatten(1, (2, 2)), x[None].squeeze(0)),
    "diagonal": lambda x: (x @ x.t()).diagonal(),
    "windows": lambda x: x.unfold(1, 2, 1),
    "grid": lambda x: torch.meshgrid(x[:, 0], x[0], indexing="ij"),
}
REDUCED = {
    "sums": lambda x: (x.sum(), x.sum(0), x.mean(1, keepdim=True), x.prod(0)),
    "spread": lambda x: (x.var(0), x.std(1), torch.var_mean(x, 1, correction=0)),
    "extremes": lambda x: (x.amax(1), x.min(dim=0), x.max(), x.argmin(1), x.aminmax()),
    "logsumexp": lambda x: x.logsumexp(1),
    "norms": lambda x: (x.norm(), x.norm(p=1, dim=1), torch.linalg.vector_norm(x, inf, 0)),
    "truth": lambda x: ((x > 0).all(), (x > 0).any(1), (x > 0).sum(0), x.count_nonzero()),
    "running": lambda x: (x.cumsum(0), x.cumprod(1), x.cummax(1), x.logcumsumexp(0)),
    "ordered": lambda x: (x.sort(1), x.topk(2, 1), x.argsort(0), x.median(1), x.kthvalue(2, 1)),
    "ordered rows": lambda x: torch.sort(x, dim=0, stable=True, descending=True),
    "looked up": lambda x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 1.0])),
    "products": lambda x: (x @ x.t(), torch.einsum("ij,kj->ik", x, x), torch.outer(x[:, 0], x[0])),
}
INDEXED = {
    "rows": lambda x: x[torch.tensor([2, 0, -1])],
    "points": lambda x: x[torch.tensor([0, 1]), torch.tensor([1, -1])],
    "apart": lambda x: x[None][:, torch.tensor([0, 1]), :, None][..., torch.tensor([0])],
    "mask": lambda x: (x[x > 0], x.masked_select(x < 0), x.nonzero()),
    "gather": lambda x: (x.gather(1, (x > 0).long()), x.index_select(0, torch.tensor([1, 0]))),
    "filled": lambda x: (x.masked_fill(x > 0, -inf), torch.where(x > 0, x, 0.0), x.index_fill(1, rows, 2.0)),
    "put": lambda x: x.index_put((torch.tensor([0, 1]),), x[:2] * 2),
    "added": lambda x: (x.index_add(0, torch.tensor([0, 0]), x[:2]), x.scatter_add(1, (x > 0).long(), x)),
    "scattered": lambda x: (x.scatter(1, (x > 0).long(), 9.0), torch.zeros_like(x).scatter_(1, (x > 1).long(), x)),
    "taken": lambda x: x.take(torch.tensor([0, 3])),
    "assigned": lambda x: assigned(x.clone()),
}


def assigned(x):
    x[0] = 1.0
    x[:, 1] += 2
    x[x > 1] = -1
    x[1:, 2:] = x[:-1, 2:] * 3
    return x


@pytest.mark.parametrize("name", [*CREATED, *VIEWED, *REDUCED, *INDEXED])
def test_of_any_number_of_rows(name):
    least = 3 if name in INDEXED else 2 if name == "spread" else 1  # what PyTorch itself needs
    same((CREATED | VIEWED | REDUCED | INDEXED)[name], table, dynamic=[{0: Dim("n", min=least)}])


@pytest.mark.parametrize("name", ["sums", "extremes", "logsumexp", "truth", "running"])
def test_of_special_values(name):
    same(REDUCED[name], table[:3], dynamic=[{0: Dim("n", min=2)}], more=[(spoilt,)])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x.sum(), x.sum(0), x.prod(), x.cumsum(1)),
        lambda x: (x.max(), x.amin(1), x.argmax(0), x.sort(1), x.clamp(-2, 3)),
        lambda x: (x // 2, x % 3, torch.remainder(x, -3), torch.fmod(x, 3), x.div(2, rounding_mode="trunc")),
        lambda x: (x / 2, x.float().mean(), x * 1.5, x + True, x**2, x == 2),
        lambda x: (x & 6, x | 1, x ^ 3, ~x, x << 2, x >> 1, -x, x.abs(), x.sign()),
    ],
)
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int8])
def test_of_integers(function, dtype):
    same(function, whole.to(dtype), dynamic=[ROWS])


def test_of_bools():
    x = whole > 0
    same(lambda x: (x.sum(), x.any(0), x.all(1), x + x, x * x, ~x, x ^ x, x.float(), x.cumsum(0)), x, dynamic=[ROWS])


def test_of_no_rows():
    empty = torch.zeros(0, 4)
    same(lambda x: (x.sum(0), x * 2, torch.cat([x, x]), x.flatten(), x @ x.t()), empty)


def test_of_no_axes():
    same(lambda x: (x + 1, x.sum(), x.reshape(1), x.expand(3), x.cumsum(0), torch.stack([x, x])), torch.tensor(2.5))
