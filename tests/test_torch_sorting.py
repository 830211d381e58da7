"""Lowerings of orders, quantiles, counts and sets: tests/torch_same.py says what each case asserts."""

import math

import pytest
from torch_same import same, torch

nan, inf = math.nan, math.inf
SPECIAL = torch.tensor(
    [[1.0, nan, 3.0, 2.0, -inf, inf, 0.5], [nan, -1.0, nan, 4.0, 2.5, 0.0, 9.0], [6.0, 5.0, 4.5, 3.5, 1.5, 1.0, 0.25]]
)
SIZES = [{0: "batch", 1: "time"}]


def many(functions):
    """A function that returns the results of several, by name."""
    return lambda *args: {name: function(*args) for name, function in functions.items()}


def test_sorted():
    functions = {
        "up": lambda x: tuple(x.sort()),
        "down": lambda x: tuple(x.sort(0, descending=True)),
        "stable": lambda x: tuple(torch.sort(x.round(), stable=True, dim=1)),
        "places": lambda x: x.argsort(descending=True),
        "first": torch.msort,
    }
    same(many(functions), torch.randn(3, 6), dynamic=SIZES, more=[(SPECIAL,)])
    same(many({"up": lambda x: tuple(x.sort(stable=True))}), torch.tensor([[True, False, True], [False, True, False]]))
    same(lambda x: tuple(x.sort()), torch.tensor([3, 255, 7], dtype=torch.uint8))
    same(lambda x: tuple(x.sort(0)), torch.tensor(2.0))


def test_topk():
    functions = {
        "largest": lambda x: tuple(x.topk(3)),
        "smallest": lambda x: tuple(x.topk(2, dim=0, largest=False)),
        "some": lambda x: tuple(x.topk(x.shape[1] // 2)),
    }
    same(many(functions), torch.randn(4, 6), dynamic=SIZES, more=[(SPECIAL[[0, 2]],)])


def test_order_statistics():
    functions = {
        "kthvalue": lambda x: tuple(x.kthvalue(2, dim=1)),
        "median": lambda x: tuple(x.median(1)),
        "median kept": lambda x: tuple(x.median(0, keepdim=True)),
        "nanmedian": lambda x: tuple(x.nanmedian(-1)),
        "of all": lambda x: (x.median(), x.nanmedian()),
    }
    same(many(functions), torch.randn(3, 7), dynamic=SIZES, more=[(SPECIAL,), (torch.randn(3, 4),)])
    same(
        many({"median": torch.median, "along": lambda x: x.median(0)[0]}),
        torch.tensor([[4, 1], [3, 2], [3, 2], [0, 9]]),
    )


def test_mode():
    x = torch.tensor([[3, 1, 1, 3, 2], [5, 5, 5, 0, 0]])
    # of more than 16 elements PyTorch says where the last one is as its sort, which is not stable, left it
    same(lambda x: tuple(x.mode()), x, dynamic=SIZES, more=[(-x,)], verify=False)
    same(lambda x: tuple(x.mode(0, keepdim=True)), x.float())


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "nearest", "midpoint"])
def test_quantiles(interpolation):
    q = torch.tensor([0.0, 0.25, 0.6, 1.0])
    functions = {
        "all": lambda x: x.quantile(0.3, interpolation=interpolation),
        "along": lambda x: x.quantile(q, dim=1, interpolation=interpolation),
        "kept": lambda x: x.quantile(q, dim=0, keepdim=True, interpolation=interpolation),
        "numbers": lambda x: x.nanquantile(q, dim=1, interpolation=interpolation),
    }
    same(many(functions), torch.randn(4, 7), dynamic=SIZES, more=[(SPECIAL.clamp(-9, 9),)])


# -- counts -----------------------------------------------------------------------------------------------------------
def test_histc():
    functions = {
        "range": lambda x: torch.histc(x, bins=4, min=-1, max=1),
        "of the data": lambda x: torch.histc(x, bins=5),
        "experts": lambda x: torch.histc(x.round(), bins=8, min=0, max=7),
    }
    x = torch.tensor([-1.0, 1.0, 0.0, 0.49, 0.5, -0.5, 3.0, 7.0, -2.0])
    same(many(functions), x, dynamic=[{0: "n"}], more=[(torch.tensor([2.0, 2.0]),), (torch.rand(20) * 9 - 1,)])
    same(lambda x: torch.histc(x, bins=4, min=0, max=1), torch.tensor([nan, 0.1, inf, 0.9, -inf]))


def test_histogram():
    functions = {
        "edges": lambda x, w: tuple(torch.histogram(x, torch.tensor([-1.0, 0.0, 0.25, 2.0]), weight=w)),
        "density": lambda x, w: tuple(torch.histogram(x, 4, range=(-1.0, 1.0), density=True)),
        "of the data": lambda x, w: torch.histogram(x, 3)[0],
    }
    same(many(functions), torch.tensor([-1.0, 0.3, 0.25, 2.0, 0.9]), torch.rand(5))


def test_bincount():
    functions = {
        "plain": lambda x, w: torch.bincount(x),
        "at least": lambda x, w: torch.bincount(x, minlength=6),
        "weights": torch.bincount,
    }
    weights = torch.rand(4)
    sizes = [{0: "n"}, {0: "n"}]
    same(many(functions), torch.tensor([1, 3, 3, 0]), weights, dynamic=sizes, more=[(torch.tensor([9]), torch.ones(1))])


# -- sets -------------------------------------------------------------------------------------------------------------
def sets(**options):
    return {
        "unique": lambda x: torch.unique(x, **options),
        "runs": lambda x: torch.unique_consecutive(x, **options),
        "rows": lambda x: torch.unique(x, dim=0, **options),
        "runs of columns": lambda x: torch.unique_consecutive(x, dim=1, **options),
    }


@pytest.mark.parametrize("options", [{}, {"return_counts": True}, {"return_inverse": True, "return_counts": True}])
def test_unique(options):
    whole = torch.tensor([[3, 3, 1, 1], [2, 2, 2, 9], [3, 3, 1, 1]])
    special = torch.tensor([[nan, 1.0, 1.0, nan], [0.0, -0.0, 2.0, 2.0], [nan, 1.0, 1.0, nan]])
    for name, function in sets(**options).items():
        same(function, whole, dynamic=SIZES, more=[(torch.tensor([[5]]),)])
        if name != "unique" or not options:
            same(lambda x, f=function: torch.nan_to_num(f(x)) if not options else f(x), special + 0.0)


def test_isin():
    functions = {
        "tensors": torch.isin,
        "inverted": lambda x, y: torch.isin(x, y, invert=True),
        "a number": lambda x, y: torch.isin(x, 3),
        "of a number": lambda x, y: torch.isin(3, y),
    }
    same(many(functions), torch.tensor([[1, 2], [3, 4]]), torch.tensor([3, 1, 9]), dynamic=[{0: "n"}, {0: "m"}])


def searches():
    functions = {}
    for right in (False, True):
        functions[f"search {right}"] = lambda s, v, right=right: torch.searchsorted(s, v, right=right)
        functions[f"bucket {right}"] = lambda s, v, right=right: torch.bucketize(v, s[0], right=right, out_int32=True)
        functions[f"number {right}"] = lambda s, v, right=right: torch.searchsorted(s[0], 0.5, right=right)
    functions["sorter"] = lambda s, v: torch.searchsorted(-s, v, sorter=(-s).argsort(stable=True), side="right")
    return many(functions)


@pytest.mark.parametrize("dynamic", [[None, None], [{1: "n"}, {1: "m"}]], ids=["few", "sorted together"])
def test_searchsorted(dynamic):
    sequence = torch.tensor([[-1.0, 0.5, 0.5, 0.5, 2.0], [0.0, 1.0, 2.0, 3.0, 4.0]])
    values = torch.tensor([[0.5, -3.0, 2.0, 9.0], [0.0, 0.1, 4.0, inf]])
    same(searches(), sequence, values, dynamic=dynamic, verify=False)  # which would draw sequences out of order
