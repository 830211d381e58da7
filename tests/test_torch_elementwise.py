"""Lowerings of functions of each element: tests/torch_same.py says what each case asserts.

A case exports several functions as one model, its outputs named after them.
"""

import math

import numpy as np
import pytest
from torch_same import exported, same, torch

from interchange.dims import Dim

nan, inf = math.nan, math.inf
SPECIAL = torch.tensor(
    [nan, inf, -inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -2.5, 2.5, 1e-20, -1e-7, 3e-5, 7.25, -100.0]
)
ROWS, COLUMNS = SPECIAL[:, None].clone(), SPECIAL[None, :].clone()  # every pair of them
INTEGERS = torch.tensor([0, 1, -1, 2, -2, 3, -3, 7, -8, 100, -128, 127])
DIVISORS = torch.tensor([1, -1, 2, -2, 3, -3, 5, -7, 100])
BOOLS = torch.tensor([True, False])
BATCH = {0: "batch"}
EMPTY = {0: Dim("batch", min=0)}


def many(functions):
    """A function that returns the results of several, by name."""
    return lambda *args: {name: function(*args) for name, function in functions.items()}


def named(*names):
    return many({name: getattr(torch, name) for name in names})


UNARY = {
    "signs": named("abs", "neg", "sign", "sgn", "signbit", "positive", "square", "angle"),
    "rounding": named("floor", "ceil", "round", "trunc", "fix", "frac"),
    "tests": named("isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal", "logical_not", "nan_to_num"),
    "exponentials": named("exp", "exp2", "expm1", "sigmoid", "sinc"),
    "logarithms": named("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal"),
    "angles": named("sin", "cos", "tan", "asin", "acos", "atan", "deg2rad", "rad2deg", "erf"),
    "hyperbolic": named("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
}


@pytest.mark.parametrize("group", UNARY)
def test_unary(group):
    x = torch.randn(5)
    same(UNARY[group], x, dynamic=[BATCH], more=[(SPECIAL,)])


def test_of_no_elements():
    functions = {
        "a": torch.exp,
        "b": lambda x: x.clamp(0, 1),
        "c": lambda x: x**3,
        "d": lambda x: torch.where(x > 0, x, 1),
    }
    same(many(functions), torch.randn(3, 2), dynamic=[EMPTY], more=[(torch.empty(0, 2),)])


def test_unary_of_integers_and_bools():
    of_both = ("exp", "sqrt", "sin", "log1p", "isnan", "isfinite", "logical_not", "signbit", "sgn")
    same(named(*of_both, "neg", "abs", "floor", "round", "trunc", "square"), INTEGERS, dynamic=[BATCH])
    same(named(*of_both, "bitwise_not"), BOOLS, dynamic=[BATCH])
    same(named("neg", "abs", "sign", "bitwise_not", "square"), torch.tensor([0, 1, 200, 255], dtype=torch.uint8))


def test_double_has_functions_that_the_runtime_lacks():
    x = torch.cat(
        [torch.randn(40, dtype=torch.float64), torch.tensor([0.0, -0.0, 1e-12, -1e-12, 3e9, -3e9, inf, -inf, nan])]
    )
    same(named("tan", "sinh", "cosh", "asinh", "atanh", "expm1", "log1p"), x[:9] * 0.1, dynamic=[BATCH], more=[(x,)])
    same(named("acosh"), x.abs() + 1)


def test_precise_near_zero():
    x = torch.tensor([1e-7, -1e-7, 1e-10, -3e-5, 1e-3, 0.3])
    loaded = exported(named("expm1", "log1p", "sinh", "asinh", "atanh"), x)
    for name, found in loaded.run(args_0=x.numpy()).items():
        np.testing.assert_allclose(found, getattr(torch, name)(x.double()).numpy(), rtol=1e-6)


BINARY = {
    "arithmetic": named("add", "sub", "mul", "div"),
    "division": named("floor_divide", "remainder", "fmod"),
    "rounded division": many({m: lambda x, y, m=m: torch.div(x, y, rounding_mode=m) for m in ("floor", "trunc")}),
    "comparisons": named("eq", "ne", "lt", "le", "gt", "ge", "isclose"),
    "bounds": named("maximum", "minimum", "fmax", "fmin", "max", "min", "heaviside"),
    "logic": named("logical_and", "logical_or", "logical_xor"),
    "angles": named("atan2", "hypot", "copysign"),
    "exponentials": named("logaddexp", "logaddexp2", "pow", "xlogy"),
}


@pytest.mark.parametrize("group", BINARY)
def test_binary(group):
    x, y = torch.randn(3, 1), torch.randn(1, 4)
    same(BINARY[group], x, y, dynamic=[BATCH, {1: "columns"}], more=[(ROWS, COLUMNS)])


@pytest.mark.parametrize("group", ["division", "rounded division", "comparisons", "arithmetic", "logic"])
def test_binary_of_integers(group):
    same(BINARY[group], INTEGERS[:, None].clone(), DIVISORS[None].clone(), dynamic=[BATCH, None])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_small_integers_wrap(dtype):
    low = 0 if dtype == torch.uint8 else torch.iinfo(dtype).min
    x = torch.tensor([low, low + 1, 0, 1, 7, torch.iinfo(dtype).max], dtype=dtype)
    names = ("add", "sub", "mul", "maximum", "minimum", "lt", "eq", "bitwise_and", "bitwise_xor")
    same(named(*names), x[:, None].clone(), x[None].clone())
    same(
        many({"clamp": lambda x: x.clamp(1, 5), "where": lambda x: torch.where(x > 3, x, 2), "square": torch.square}), x
    )
    same(
        many({"relu": lambda x: x.clamp_min(0), "cumsum": lambda x: x.cumsum(0), "sum": torch.sum, "amax": torch.amax}),
        x,
    )


def test_bools_have_logic_for_arithmetic():
    x, y = torch.tensor([[True], [False]]), torch.tensor([True, False])
    names = ("add", "mul", "logical_and", "bitwise_or", "bitwise_xor", "maximum", "minimum", "eq", "lt", "ge")
    same(named(*names), x, y)
    same(lambda c, x, y: torch.where(c, x, y), x, y, ~y)


def test_promotion():
    whole, single, double = (
        torch.tensor([1, 2, 3]),
        torch.tensor([0.5, 1.5, 2.5]),
        torch.tensor(0.25, dtype=torch.float64),
    )
    small = torch.tensor([1, 2, 3], dtype=torch.uint8)
    functions = {
        "int with float": lambda a, b, c, d: a + b,
        "a 0-d tensor does not widen": lambda a, b, c, d: b + c,
        "but changes the kind": lambda a, b, c, d: a * c,
        "a number": lambda a, b, c, d: a * 0.5,
        "a bool": lambda a, b, c, d: d + True,
        "small with int": lambda a, b, c, d: d + a,
        "ints are divided as floats": lambda a, b, c, d: a / 2,
        "compared as floats": lambda a, b, c, d: a < 1.5,
        "alpha": lambda a, b, c, d: torch.add(a, d, alpha=3) + torch.rsub(a, 2, alpha=2),
    }
    same(many(functions), whole, single, double, small)


# -- powers -----------------------------------------------------------------------------------------------------------
def test_powers():
    exponents = (2, 3, 0.5, -0.5, -1, -2, 0, 1, 1.7, -3)
    same(many({f"to {e}".replace(".", "_"): lambda x, e=e: x**e for e in exponents}), SPECIAL, dynamic=[BATCH])
    same(many({f"to {e}".replace(".", "_"): lambda x, e=e: x**e for e in (0, 1, 2, 3, 5)}), INTEGERS)
    same(lambda x: 2.0**x, SPECIAL)
    same(torch.float_power, INTEGERS, torch.tensor(0.5))


def test_integer_powers_are_exact():
    x, y = torch.tensor([[3], [-7], [2], [1], [-1], [0]]), torch.tensor([[0, 1, 2, 20, 39, 62, 63, 101]])
    same(torch.pow, x, y, dynamic=[{0: "n"}, None])
    same(torch.pow, torch.tensor([[1], [-1], [5]]), torch.tensor([[-1, -2, -3]]))
    same(torch.pow, torch.tensor([2, 3], dtype=torch.uint8), torch.tensor([9, 6], dtype=torch.uint8))


def test_exponents():
    same(torch.frexp, torch.tensor([1.0, -3.5, 0.3, 1e38, 1e-38, 1e-44, 0.0, -0.0, 8.0, inf, nan]))
    same(torch.ldexp, torch.tensor([1.5, -2.0]), torch.tensor([3, -1]))
    same(torch.nextafter, torch.tensor([1.0, 0.0, -1.0]), torch.tensor([2.0, -1.0, -1.0]))


# -- bits -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.int64])
def test_shifts(dtype):
    info = torch.iinfo(dtype)
    x = torch.tensor([info.min, 0, 1, 2, 77, info.max] + [-1, -5] * (info.min < 0), dtype=dtype)
    shifts = {"right": lambda x: x >> 1, "left": lambda x: x << 3, "all": lambda x: x >> (info.bits - 1)}
    loaded = same(many(shifts), x, dynamic=[BATCH])
    assert all(s.dtype.name == str(dtype).removeprefix("torch.") for s in loaded.outputs.values())
    by = torch.tensor([0, 1, 3, info.bits - 1], dtype=dtype)
    same(named("bitwise_left_shift", "bitwise_right_shift"), x[:, None].clone(), by)


def test_shifts_out_of_range_are_those_of_pytorch():
    x = torch.tensor([[-9], [9]], dtype=torch.int32)
    by = torch.tensor([31, 32, 40, -1], dtype=torch.int32)
    same(named("bitwise_left_shift", "bitwise_right_shift"), x, by)


# -- several operands -------------------------------------------------------------------------------------------------
def test_clamp():
    functions = {
        "numbers": lambda x, a, b: x.clamp(-1, 0.5),
        "one": lambda x, a, b: x.clamp(max=0),
        "crossed": lambda x, a, b: x.clamp(2, 1),
        "nan": lambda x, a, b: x.clamp(min=nan),
        "tensors": lambda x, a, b: x.clamp(a, b),
        "least": lambda x, a, b: x.clamp_min(a),
        "most": lambda x, a, b: x.clamp_max(2.0),
    }
    a, b = torch.tensor([[-1.0], [nan]]), torch.tensor([[0.5], [2.0]])
    same(many(functions), SPECIAL, a, b)
    same(many({"promotes": lambda x: x.clamp(0.5, 4), "bound": lambda x: x.clamp(min=torch.tensor(2.5))}), INTEGERS)


def test_where():
    x, y = torch.randn(3, 1), torch.randn(4)
    functions = {
        "tensors": lambda x, y: torch.where(x > y, x, y),
        "a number": lambda x, y: torch.where(x > 0, x, 0.0),
        "the other": lambda x, y: torch.where(x > 0, 1, x),
        "numbers": lambda x, y: torch.where(x > 0, 1.0, -1.0),
        "whole numbers": lambda x, y: torch.where(x > 0, 1, 0),
        "mixed": lambda x, y: torch.where(x > 0, y.long(), y),
        "half": lambda x, y: torch.where(x > 0, y.half(), 0.0),
    }
    same(many(functions), x, y, dynamic=[BATCH, None], more=[(ROWS, y)])


def test_steps():
    a, b, c = torch.randn(3, 1), torch.randn(4), torch.rand(3, 4) + 0.1
    functions = {
        "lerp": lambda a, b, c: torch.lerp(a, b, 0.3),
        "lerp from the end": lambda a, b, c: torch.lerp(a, b, 0.9),
        "lerp by a tensor": torch.lerp,
        "addcmul": lambda a, b, c: torch.addcmul(a, b, c, value=0.5),
        "addcdiv": lambda a, b, c: torch.addcdiv(a, b, c, value=2),
        "logit": lambda a, b, c: torch.logit(c, 1e-3),
        "threshold": lambda a, b, c: torch.nn.functional.threshold(a, 0.1, 20.0),
        "decimals": lambda a, b, c: torch.round(a, decimals=2) + torch.round(b * 1000, decimals=-2),
    }
    same(many(functions), a, b, c, dynamic=[BATCH, None, BATCH])


def test_divisors_and_multiples():
    x, y = INTEGERS[:, None].clone(), torch.tensor([0, 1, 6, -9, 64, 89])
    same(named("gcd", "lcm"), x, y)
    same(named("gcd"), torch.tensor([12, 7], dtype=torch.uint8), torch.tensor([200, 0], dtype=torch.uint8))


def test_nan_to_num():
    same(lambda x: torch.nan_to_num(x, 1.0, 2.0, -3.0), SPECIAL)
    same(lambda x: torch.nan_to_num(x), SPECIAL.half())


# -- chance -----------------------------------------------------------------------------------------------------------
DROPOUTS = ("dropout", "dropout1d", "alpha_dropout", "feature_alpha_dropout")


def test_dropout_is_nothing_in_eval_mode():
    net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Dropout1d(0.2), torch.nn.AlphaDropout(0.1)).eval()
    loaded = same(net, torch.randn(2, 3, 4), dynamic=[BATCH])
    assert loaded.run(loaded.inputs and {next(iter(loaded.inputs)): np.ones((2, 3, 4), np.float32)})["output"].all()


@pytest.mark.parametrize("name", DROPOUTS)
def test_dropout_in_train_mode_draws_anew(name):
    function = getattr(torch.nn.functional, name)
    loaded = exported(lambda x: function(x, 0.5, training=True), torch.ones(4, 50, 8), verify=False)
    x = np.ones((4, 50, 8), np.float32)
    first, second = (loaded.run(args_0=x)["output"] for _ in range(2))
    assert (first != second).any()
    values, counts = np.unique(first.round(4), return_counts=True)
    assert len(values) == 2
    assert counts.min() > 0.3 * counts.sum()
    if "feature" in name or "1d" in name:  # whole channels
        assert (first == first[..., :1]).all()
    if "alpha" not in name:
        np.testing.assert_array_equal(values, [0, 2])


DRAWS = {
    "rand": (lambda x: torch.rand_like(x), 0.5, 12**-0.5),
    "randn": (lambda x: torch.randn(x.shape), 0, 1),
    "randint": (lambda x: torch.randint(3, 7, x.shape), 4.5, 1.25**0.5),
    "normal": (lambda x: torch.normal(x + 1, 2.0), 1, 2),
    "bernoulli": (lambda x: torch.bernoulli(x + 0.25), 0.25, 0.1875**0.5),
    "uniform": (lambda x: torch.empty_like(x).uniform_(-2, 4), 1, 3**0.5),
    "exponential": (lambda x: torch.empty_like(x).exponential_(2.0), 0.5, 0.5),
    "geometric": (lambda x: torch.empty_like(x).geometric_(0.25), 4, 12**0.5),
    "multinomial": (
        lambda x: torch.multinomial(x[0] + torch.arange(4.0).repeat(8), 20000, True) % 4,
        7 / 3,
        5**0.5 / 3,
    ),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_have_their_distribution(name):
    function, mean, deviation = DRAWS[name]
    loaded = exported(function, torch.zeros(100, 32), dynamic=[BATCH], verify=False)
    rows = 20000 // 32
    first, second = (loaded.run(args_0=np.zeros((rows, 32), np.float32))["output"] for _ in range(2))
    assert first.size >= rows * 32 or name == "multinomial"
    assert (first != second).any()
    assert abs(first.mean() - mean) < 6 * deviation / first.size**0.5
    assert abs(first.std() - deviation) < 0.1 * deviation


def test_a_permutation_is_drawn_anew():
    loaded = exported(lambda x: torch.randperm(x.shape[0]), torch.zeros(50), dynamic=[BATCH], verify=False)
    first, second = (loaded.run(args_0=np.zeros(70, np.float32))["output"] for _ in range(2))
    assert sorted(first.tolist()) == list(range(70))
    assert (first != second).any()


def test_without_replacement_no_position_is_drawn_twice():
    loaded = exported(lambda x: torch.multinomial(x, 5), torch.ones(3, 8), verify=False)
    weights = np.array([[1, 1, 1, 1, 1, 0, 0, 0]] * 3, np.float32)
    assert (np.sort(loaded.run(args_0=weights)["output"], 1) == np.arange(5)).all()
