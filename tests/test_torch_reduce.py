"""Lowerings of reductions and running sums: tests/torch_same.py says what each case asserts."""

import math

import pytest
from torch_same import same, torch

from interchange.dims import Dim

nan, inf = math.nan, math.inf
SPECIAL = torch.tensor(
    [
        [1.0, nan, 3.0, 2.0],
        [nan, nan, -inf, inf],
        [3.0, 1.0, 3.0, 1.0],
        [inf, -inf, 0.0, -0.0],
        [-inf, -inf, -inf, -inf],
        [-1.0, -2.0, 5.0, nan],
    ]
)
INTEGERS = torch.tensor([[3, -1, 3, 0], [7, 7, -8, 2**40], [0, 0, 0, 0]])
SIZES = [{0: "batch", 1: "time"}]


def many(functions):
    """A function that returns the results of several, by name."""
    return lambda *args: {name: function(*args) for name, function in functions.items()}


def over(*names, keepdim=True):
    """Each reduction along the last axis, the first, and of all elements."""
    functions = {}
    for name in names:
        f = getattr(torch, name)
        functions[f"{name} last"] = lambda x, f=f: f(x, dim=-1)
        functions[f"{name} first"] = lambda x, f=f: f(x, dim=0, keepdim=keepdim)
        functions[f"{name} all"] = f
    return many(functions)


FLOATS = {
    "sums": over("sum", "mean", "nansum", "nanmean"),
    "products": over("prod"),
    "variances": over("var", "std"),
    "extremes": over("amax", "amin"),
    "extremes and places": over("max", "min"),
    "places": over("argmax", "argmin"),
    "truth": over("all", "any"),
    "both": many({"last": lambda x: tuple(torch.aminmax(x, dim=1)), "all": lambda x: tuple(torch.aminmax(x))}),
    "logsumexp": many({"last": lambda x: x.logsumexp(-1), "both": lambda x: x.logsumexp((0, 1), keepdim=True)}),
    "count": many({"all": torch.count_nonzero, "one": lambda x: torch.count_nonzero(x, dim=1)}),
}


@pytest.mark.parametrize("group", FLOATS)
def test_of_floats(group):
    same(FLOATS[group], torch.randn(3, 5), dynamic=SIZES, more=[(SPECIAL,), (SPECIAL.T.contiguous(),)])


def test_of_integers_and_bools():
    names = ("sum", "prod", "amax", "amin", "max", "min", "argmax", "argmin", "all", "any")
    same(over(*names), INTEGERS, dynamic=SIZES, more=[(-INTEGERS,)])
    same(over("sum", "prod", "all", "any", "amax", "amin"), INTEGERS > 0, dynamic=SIZES)
    same(over("sum", "amax", "all", "max"), torch.tensor([[1, 255], [200, 100]], dtype=torch.uint8))
    same(
        many({"mean": lambda x: x.mean(dtype=torch.float64), "sum": lambda x: x.sum(1, dtype=torch.int32)}),
        INTEGERS[2:],
    )


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
def test_corrections():
    same(over("var_mean", "std_mean"), torch.randn(3, 5), dynamic=SIZES, more=[(torch.tensor([[1.0, nan]]),)])
    functions = {
        "biased": lambda x: x.var(1, unbiased=False),
        "other": lambda x: x.std(1, correction=2, keepdim=True),
        "both": lambda x: x.var((0, 1), correction=0),
        "all": lambda x: x.std(False),
    }
    same(many(functions), torch.randn(3, 5), dynamic=SIZES)
    # of no more elements than are corrected for
    same(many({"nan": lambda x: x.var(0), "inf": lambda x: x.var(1, correction=3)}), torch.randn(1, 2))


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
def test_of_no_elements():
    functions = {"sum": torch.sum, "mean": torch.mean, "prod": torch.prod, "all": torch.all, "any": torch.any}
    same(many(functions), torch.randn(0, 3))
    sizes = [{0: Dim("batch", min=0)}]
    along = {
        "sum": lambda x: x.sum(0),
        "mean": lambda x: x.mean(0),
        "rows": lambda x: x.amax(1),
        "nan": lambda x: x.var(0),
    }
    same(many(along), torch.randn(2, 3), dynamic=sizes, more=[(torch.empty(0, 3),)])


def test_of_a_number():
    functions = {
        "sum": lambda x: x.sum(0, keepdim=True),
        "amax": lambda x: x.amax(-1),
        "max": lambda x: tuple(x.max(0)),
        "argmin": lambda x: x.argmin(0),
        "any": lambda x: x.any(),
        "cumsum": lambda x: x.cumsum(0),
        "cummax": lambda x: tuple(x.cummax(0)),
        "mean": torch.mean,
    }
    same(many(functions), torch.tensor(-2.5), more=[(torch.tensor(nan),)])


def test_half_precision():
    same(over("sum", "mean", "amax"), torch.randn(3, 5).half(), dynamic=SIZES)


def test_of_several_axes():
    functions = {
        "sum": lambda x: x.sum((0, -1)),
        "mean": lambda x: x.mean((1, 2), keepdim=True),
        "amax": lambda x: x.amax((0, 2)),
        "all": lambda x: (x > 0).all(dim=(0, 1)),
        "none": lambda x: x.sum(()),
        "prod": lambda x: (x * 3).long().prod(1),
    }
    same(many(functions), torch.randn(2, 3, 4), dynamic=[{0: "batch", 2: "time"}])


# -- running ----------------------------------------------------------------------------------------------------------
RUNNING = ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")


def running(dim):
    return many({name: lambda x, name=name: getattr(torch, name)(x, dim) for name in RUNNING})


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("dynamic", [[None], SIZES], ids=["static", "dynamic"])
def test_running(dim, dynamic):
    same(running(dim), torch.randn(6, 4), dynamic=dynamic, more=[(SPECIAL,)])


@pytest.mark.parametrize("dynamic", [[None], SIZES], ids=["static", "dynamic"])
def test_running_of_integers(dynamic):
    least = torch.iinfo(torch.int64).min
    functions = {"cummax": lambda x: tuple(x.cummax(1)), "cummin": lambda x: tuple(x.cummin(1))}
    functions |= {"cumsum": lambda x: (x > 0).cumsum(0), "cumprod": lambda x: x.cumprod(1)}
    same(many(functions), torch.tensor([[2, 2, 1, 3], [least, least, 5, 5], [-1, -1, -2, 0]]), dynamic=dynamic)


def test_differences():
    functions = {
        "one": lambda x, y: torch.diff(x),
        "two": lambda x, y: torch.diff(x, n=2, dim=0),
        "joined": lambda x, y: torch.diff(x, dim=1, prepend=y, append=y),
        "bools": lambda x, y: torch.diff(x > 0),
        "area": lambda x, y: torch.trapezoid(x, dim=1),
    }
    same(many(functions), torch.randn(4, 5), torch.randn(4, 1), dynamic=[{0: "batch"}, {0: "batch"}])
