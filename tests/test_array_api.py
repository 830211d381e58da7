"""The Array API functions agree with NumPy: eagerly, and traced at symbolic sizes and run in ONNX Runtime."""

from __future__ import annotations

import math

import numpy as np
import pytest

from interchange import eager as E
from interchange.eager import Tensor, check_gradient
from tests.tracing import agrees, run, traced

SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1e-7,
    -1e-7,
    3.7,
    -2.5,
    88.0,
    -88.0,
    1e30,
    -1e30,
    math.inf,
    -math.inf,
    math.nan,
]
SIZES = [{"n": 1, "m": 1}, {"n": 1, "m": 4}, {"n": 5, "m": 1}, {"n": 7, "m": 3}]

UNARY = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "exp": np.exp,
    "expm1": np.expm1,
    "floor": np.floor,
    "isfinite": np.isfinite,
    "isinf": np.isinf,
    "isnan": np.isnan,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "negative": np.negative,
    "positive": np.positive,
    "real": np.real,
    "conj": np.conj,
    "imag": np.imag,
    "reciprocal": np.reciprocal,
    "round": np.round,
    "sign": np.sign,
    "signbit": lambda x: np.signbit(x) & ~np.isnan(x),
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
}
BINARY = {
    "add": np.add,
    "atan2": np.arctan2,
    "copysign": lambda a, b: np.copysign(a, np.where(np.isnan(b), 1, b)),
    "divide": np.divide,
    "equal": np.equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "hypot": np.hypot,
    "less": np.less,
    "less_equal": np.less_equal,
    "logaddexp": np.logaddexp,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "multiply": np.multiply,
    "nextafter": np.nextafter,
    "not_equal": np.not_equal,
    "pow": np.power,
    "subtract": np.subtract,
}
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def same_numbers(found, expected, rtol=2e-6):
    """Values, dtypes, NaN, and the signs of zeros."""
    found = found.numpy() if isinstance(found, Tensor) else found
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=0)
    if found.dtype.kind == "f":
        zero = (expected == 0) & (found == 0)
        np.testing.assert_array_equal(np.signbit(found)[zero], np.signbit(expected)[zero])


@pytest.fixture(autouse=True)
def _numpy_is_quiet():
    with np.errstate(all="ignore"):
        yield


# -- elementwise ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", UNARY)
def test_unary_functions_of_floats(name, dtype):
    x = np.array(SPECIAL + list(np.linspace(-3, 3, 40)), dtype)
    same_numbers(getattr(E, name)(E.asarray(x)), UNARY[name](x), rtol=5e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_of_floats(name, dtype):
    special = np.array([*SPECIAL, 1e-38, 3e38], dtype)
    a, b = (g.copy() for g in np.meshgrid(special, special))
    same_numbers(getattr(E, name)(E.asarray(a), E.asarray(b)), BINARY[name](a, b), rtol=2e-6)


@pytest.mark.parametrize("name", ["floor_divide", "remainder"])
def test_floor_division_is_exact_as_in_python(name):
    rng = np.random.default_rng(0)
    a = np.concatenate([rng.standard_normal(500) * 10, [1, -1, 0.3, 6, -6, 0.0, -0.0, 7.5]])
    b = np.concatenate([rng.standard_normal(500), [0.1, 0.1, 0.1, 3, 3, 2, 2, -2.5]])
    same_numbers(getattr(E, name)(E.asarray(a), E.asarray(b)), getattr(np, name)(a, b), rtol=1e-15)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers(dtype):
    info = np.iinfo(dtype)
    a = np.array([0, 1, 2, 7, 100, info.max, info.min, info.max - 1], dtype)
    b = np.array([1, 3, 2, 5, 7, 2, 3, 1], dtype)
    x, y = E.asarray(a), E.asarray(b)
    for name in ("add", "subtract", "multiply", "floor_divide", "remainder", "maximum", "minimum", "less", "equal"):
        same_numbers(getattr(E, name)(x, y), getattr(np, name)(a, b))
    same_numbers(E.pow(x[:5], y[:5]), a[:5] ** b[:5])
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        same_numbers(getattr(E, name)(x, y), getattr(np, name)(a, b))
    same_numbers(E.bitwise_left_shift(x, y), np.left_shift(a, b))
    same_numbers(E.bitwise_right_shift(x, y), np.right_shift(a, b))
    same_numbers(E.bitwise_invert(x), np.invert(a))
    for name in ("abs", "negative", "sign", "square", "positive"):
        same_numbers(getattr(E, name)(x), getattr(np, name)(a))
    for name in ("floor", "ceil", "round", "trunc"):
        same_numbers(getattr(E, name)(x), a)
    same_numbers(E.isnan(x), np.zeros(8, bool))
    same_numbers(E.isfinite(x), np.ones(8, bool))
    wide = "uint64" if dtype[0] == "u" else "int64"
    same_numbers(E.sum(x), a.sum(dtype=wide))
    same_numbers(E.prod(y), b.prod(dtype=wide))
    same_numbers(E.sum(x, dtype=dtype), np.asarray(a.sum(dtype=dtype)))
    same_numbers(E.max(x), np.asarray(a.max()))
    same_numbers(E.cumulative_sum(x), a.cumsum(dtype=wide))
    same_numbers(E.sort(x), np.sort(a))
    same_numbers(E.matmul(x, y), a @ b)


@pytest.mark.parametrize("name", sorted(UNARY))
def test_unary_functions_are_traced(name):
    agrees(getattr(E, name), ["x: float32[n, m]"], SIZES, rtol=2e-5)


@pytest.mark.parametrize("name", sorted({*BINARY, "floor_divide", "remainder"} - {"pow", "nextafter"}))
def test_binary_functions_are_traced(name):
    agrees(getattr(E, name), ["x: float32[n, m]", "y: float32[m]"], SIZES, rtol=2e-5)


def test_the_neighbours_of_numbers_are_exact_in_the_runtime_too():
    x = np.array([0, 1, -1, 1e-45, 1e-38, 1.1754944e-38, 2e-38, 5e-31, 3.4028235e38, np.inf, -np.inf, 1e10], np.float32)
    for toward in (np.inf, -np.inf, 0.0):
        y = np.full(x.shape, toward, np.float32)
        expected = np.nextafter(x, y)
        same_numbers(E.nextafter(E.asarray(x), E.asarray(y)), expected, rtol=0)
        trace, _ = traced(E.nextafter, "x: float32[12]", "y: float32[12]")
        same_numbers(run(trace, x, y)[0], expected, rtol=0)


@pytest.mark.parametrize("name", ["expm1", "log1p"])
def test_no_cancellation_near_zero_neither_in_the_value_nor_in_the_gradient(name):
    x = np.concatenate([np.logspace(-12, 0, 50), -np.logspace(-12, -0.1, 50), [0.0]])
    single = x.astype(np.float32)
    exact = getattr(np, name)(single.astype(np.float64))
    np.testing.assert_allclose(getattr(E, name)(E.asarray(single)).numpy(), exact, rtol=5e-7)
    slope = E.grad(lambda t: getattr(E, name)(t).sum())(E.asarray(single)).numpy()
    expected = np.exp(single.astype(float)) if name == "expm1" else 1 / (1 + single.astype(float))
    np.testing.assert_allclose(slope, expected, rtol=2e-6)


SMOOTH = {
    **dict.fromkeys(["acos", "asin", "atanh"], (-0.9, 0.9)),
    **dict.fromkeys(["log", "log2", "log10", "log1p", "sqrt", "reciprocal"], (0.2, 3.0)),
    **dict.fromkeys(
        ["sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "asinh", "exp", "expm1", "square"], (-1.4, 1.4)
    ),
    "acosh": (1.2, 3.0),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_of_unary_functions(name):
    low, high = SMOOTH[name]
    check_gradient(getattr(E, name), Tensor(np.linspace(low, high, 7)))


@pytest.mark.parametrize("name", ["atan2", "hypot", "logaddexp", "remainder", "pow", "copysign", "divide"])
def test_gradients_of_binary_functions(name):
    rng = np.random.default_rng(3)
    a, b = (Tensor(rng.uniform(0.3, 2, (3, 4)) * s) for s in (1, 1 if name == "pow" else -1))
    check_gradient(getattr(E, name), a, b[0])


def test_gradients_where_a_formula_has_no_slope_are_finite():
    x = E.asarray([0.0, 50.0, -50.0, 1.0])
    for f in (lambda t: E.hypot(t, t * 0), lambda t: E.logaddexp(t, t), E.expm1, lambda t: E.atan2(t, t)):
        slope = E.grad(lambda t, f=f: f(t).sum())(x).numpy()
        assert np.isfinite(slope).all() or f is E.expm1


@pytest.mark.parametrize(
    ("low", "high"), [(None, 1), (-1, None), (-0.5, 0.5), ([[-1.0], [0.0]], 1.0), (np.float32(0), None), (None, None)]
)
def test_clip(low, high):
    x = np.array([[-2, -0.3, 0.3], [2, np.nan, -0.0]], np.float32)
    bounds = [E.asarray(b) if isinstance(b, list) else b for b in (low, high)]
    expected = (
        x if low is None and high is None else np.clip(x, *(np.float32(b) if b is not None else b for b in (low, high)))
    )
    same_numbers(E.clip(E.asarray(x), *bounds), expected)


def test_variance_of_too_few_is_nan_as_in_numpy():
    x = E.asarray([2.0, 4.0])
    assert math.isnan(E.var(x[:1], correction=1).item())
    assert math.isinf(E.var(x, correction=3).item())
    trace, _ = traced(lambda t: E.var(t, correction=2), "x: float32[n]")
    assert math.isinf(run(trace, x.numpy())[0])


def test_a_choice_between_bools_runs_in_the_runtime():
    def model(x):
        return E.where(x > 0, x > 1, x < -1)

    agrees(model, ["x: float32[n, m]"], SIZES)


def test_python_numbers_take_the_dtype_of_the_tensor():
    for dtype in ("float32", "float64", "int8", "uint64"):
        x = E.ones((2,), dtype=dtype)
        assert E.add(x, 1).dtype == E.add(1, x).dtype == E.multiply(2, x).dtype == dtype
    assert E.where(E.asarray([True, False]), 1, 2.5).tolist() == [1.0, 2.5]
    assert E.maximum(E.asarray([1.0, 3.0]), 2).tolist() == [2.0, 3.0]


# -- everything else, eager and traced --------------------------------------------------------------------------------
CASES = {
    "sum": (lambda x: E.sum(x, axis=0), lambda x: x.sum(0)),
    "sum keepdims": (lambda x: E.sum(x, axis=(0, 1), keepdims=True), lambda x: x.sum((0, 1), keepdims=True)),
    "sum over none": (lambda x: E.sum(x, axis=()), lambda x: x),
    "prod": (lambda x: E.prod(x, axis=-1), lambda x: x.prod(-1)),
    "max": (lambda x: E.max(x, axis=1), lambda x: x.max(1)),
    "min": (E.min, np.min),
    "mean": (lambda x: E.mean(x, axis=1), lambda x: x.mean(1)),
    "var": (lambda x: E.var(x, axis=0), lambda x: x.var(0)),
    "var correction": (lambda x: E.var(x, axis=0, correction=1), lambda x: x.var(0, ddof=1)),
    "std": (lambda x: E.std(x, keepdims=True), lambda x: x.std(keepdims=True)),
    "all": (lambda x: E.all(x > 0, axis=1), lambda x: (x > 0).all(1)),
    "any": (lambda x: E.any(x > 0), lambda x: (x > 0).any()),
    "cumulative_sum": (lambda x: E.cumulative_sum(x, axis=1), lambda x: x.cumsum(1)),
    "cumulative_sum initial": (
        lambda x: E.cumulative_sum(x, axis=0, include_initial=True),
        lambda x: np.concatenate([np.zeros_like(x[:1]), x.cumsum(0)]),
    ),
    "cumulative_prod": (lambda x: E.cumulative_prod(x, axis=-1), lambda x: x.cumprod(-1)),
    "argmax": (lambda x: E.argmax(x, axis=1), lambda x: x.argmax(1)),
    "argmax all": (lambda x: E.argmax(x, keepdims=True), lambda x: x.argmax(keepdims=True)),
    "argmin": (lambda x: E.argmin(x, axis=0, keepdims=True), lambda x: x.argmin(0, keepdims=True)),
    "count_nonzero": (lambda x: E.count_nonzero(E.round(x), axis=1), lambda x: np.count_nonzero(np.round(x), axis=1)),
    "nonzero": (lambda x: E.nonzero(E.round(x)), lambda x: np.nonzero(np.round(x))),
    "searchsorted": (
        lambda x: E.searchsorted(E.sort(E.reshape(x, (-1,))), E.round(x)),
        lambda x: np.searchsorted(np.sort(x.reshape(-1)), np.round(x)),
    ),
    "searchsorted right": (
        lambda x: E.searchsorted(E.round(x[:, 0]), E.round(x), side="right", sorter=E.argsort(E.round(x[:, 0]))),
        lambda x: np.searchsorted(np.sort(np.round(x[:, 0])), np.round(x), side="right"),
    ),
    "where": (lambda x: E.where(x > 0, x, 0), lambda x: np.where(x > 0, x, np.float32(0))),
    "sort": (lambda x: E.sort(x, axis=0), lambda x: np.sort(x, axis=0)),
    "sort descending": (lambda x: E.sort(x, descending=True), lambda x: -np.sort(-x)),
    "argsort": (lambda x: E.argsort(E.round(x)), lambda x: np.argsort(np.round(x), kind="stable")),
    "argsort descending": (
        lambda x: E.argsort(E.round(x), axis=0, descending=True),
        lambda x: np.argsort(-np.round(x), axis=0, kind="stable"),
    ),
    "unique_all": (
        lambda x: tuple(E.unique_all(E.round(x))),
        lambda x: np.unique(np.round(x), return_index=True, return_inverse=True, return_counts=True),
    ),
    "unique_values": (lambda x: E.unique_values(E.round(x)), lambda x: np.unique(np.round(x))),
    "take": (lambda x: E.take(x, E.asarray([0, -1, 0]), axis=1), lambda x: x.take([0, -1, 0], 1)),
    "take_along_axis": (
        lambda x: E.take_along_axis(x, E.argsort(x, axis=0)[:1], axis=0),
        lambda x: np.take_along_axis(x, np.argsort(x, axis=0)[:1], 0),
    ),
    "take_along_axis broadcast": (
        lambda x: E.take_along_axis(x, E.asarray([[0, -1]]), axis=1),
        lambda x: np.take_along_axis(x, np.array([[0, -1]]), 1),
    ),
    "diff": (lambda x: E.diff(x, axis=0), lambda x: np.diff(x, axis=0)),
    "diff twice": (lambda x: E.diff(x, n=2, prepend=x, append=x), lambda x: np.diff(x, n=2, prepend=x, append=x)),
    "matmul": (lambda x: E.matmul(x, x.mT), lambda x: x @ x.T),
    "matrix_transpose": (E.matrix_transpose, lambda x: x.T),
    "tensordot": (lambda x: E.tensordot(x, x, axes=((0,), (0,))), lambda x: np.tensordot(x, x, ((0,), (0,)))),
    "tensordot all": (lambda x: E.tensordot(x, x), lambda x: np.asarray(np.tensordot(x, x))),
    "tensordot none": (lambda x: E.tensordot(x, x[0], axes=0), lambda x: np.tensordot(x, x[0], 0)),
    "vecdot": (lambda x: E.vecdot(x, x[0]), lambda x: (x * x[0]).sum(-1)),
    "vecdot first": (lambda x: E.vecdot(x, x, axis=0), lambda x: (x * x).sum(0)),
    "broadcast_arrays": (lambda x: E.broadcast_arrays(x, x[0]), lambda x: np.broadcast_arrays(x, x[0])),
    "broadcast_to": (lambda x: E.broadcast_to(x[0], x.shape), lambda x: np.broadcast_to(x[0], x.shape)),
    "concat": (lambda x: E.concat([x, x[:1]], axis=0), lambda x: np.concatenate([x, x[:1]])),
    "concat flat": (lambda x: E.concat([x, x[0]], axis=None), lambda x: np.concatenate([x, x[0]], None)),
    "expand_dims": (lambda x: E.expand_dims(x, axis=-1), lambda x: x[..., None]),
    "flip": (E.flip, np.flip),
    "flip one": (lambda x: E.flip(x, axis=0), lambda x: x[::-1]),
    "moveaxis": (lambda x: E.moveaxis(x, 0, -1), lambda x: x.T),
    "permute_dims": (lambda x: E.permute_dims(x, (1, 0)), lambda x: x.T),
    "repeat": (lambda x: E.repeat(x, 3, axis=0), lambda x: x.repeat(3, 0)),
    "repeat flat": (lambda x: E.repeat(x, 2), lambda x: x.repeat(2)),
    "reshape": (lambda x: E.reshape(x, (-1,)), lambda x: x.reshape(-1)),
    "roll": (lambda x: E.roll(x, 2, axis=0), lambda x: np.roll(x, 2, 0)),
    "roll both": (lambda x: E.roll(x, (-1, 3), axis=(0, 1)), lambda x: np.roll(x, (-1, 3), (0, 1))),
    "roll flat": (lambda x: E.roll(x, -5), lambda x: np.roll(x, -5)),
    "squeeze": (lambda x: E.squeeze(x[:, None], axis=1), lambda x: x),
    "stack": (lambda x: E.stack([x, x * 2], axis=1), lambda x: np.stack([x, x * 2], 1)),
    "tile": (lambda x: E.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3))),
    "tile fewer": (lambda x: E.tile(x, (2,)), lambda x: np.tile(x, (2,))),
    "unstack": (lambda x: E.unstack(E.stack([x, x + 1])), lambda x: (x, x + 1)),
    "astype": (lambda x: E.astype(x * 3, E.int32), lambda x: (x * 3).astype(np.int32)),
    "arange": (lambda x: E.arange(x.shape[0]), lambda x: np.arange(x.shape[0])),
    "arange step": (lambda x: E.arange(-1, 2 * x.shape[1], 3), lambda x: np.arange(-1, 2 * x.shape[1], 3)),
    "eye": (lambda x: E.eye(x.shape[0], x.shape[1], k=1), lambda x: np.eye(*x.shape, k=1, dtype=np.float32)),
    "full": (lambda x: E.full(x.shape, 7), lambda x: np.full(x.shape, 7)),
    "full of a value": (lambda x: E.full((2, x.shape[0]), x[0, 0]), lambda x: np.full((2, x.shape[0]), x[0, 0])),
    "zeros_like": (E.zeros_like, np.zeros_like),
    "ones_like": (lambda x: E.ones_like(x, dtype=E.int8), lambda x: np.ones_like(x, dtype=np.int8)),
    "linspace": (
        lambda x: E.linspace(-1, 2, x.shape[0] + 1),
        lambda x: np.linspace(-1, 2, len(x) + 1, dtype=np.float32),
    ),
    "linspace open": (
        lambda x: E.linspace(0, 1, x.shape[0], endpoint=False),
        lambda x: np.linspace(0, 1, len(x), endpoint=False, dtype=np.float32),
    ),
    "meshgrid": (lambda x: E.meshgrid(x[0], x[:, 0]), lambda x: np.meshgrid(x[0], x[:, 0])),
    "meshgrid ij": (
        lambda x: E.meshgrid(x[0], x[:, 0], indexing="ij"),
        lambda x: np.meshgrid(x[0], x[:, 0], indexing="ij"),
    ),
    "tril": (lambda x: E.tril(x, k=-1), lambda x: np.tril(x, -1)),
    "triu": (E.triu, np.triu),
    "asarray of tensors": (lambda x: E.asarray([x[0, 0], 2.0, x.shape[0]]), lambda x: np.float32([x[0, 0], 2, len(x)])),
}


@pytest.mark.parametrize("name", CASES)
def test_a_function_gives_what_numpy_gives(name):
    function, reference = CASES[name]
    for shape in ((1, 1), (3, 4), (5, 2)):
        if name == "var correction" and shape[0] == 1:
            continue
        x = np.random.default_rng(5).standard_normal(shape).astype(np.float32) * 2
        found, expected = function(E.asarray(x)), reference(x)
        if not isinstance(found, (tuple, list)):
            found, expected = [found], [expected]
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            b = np.asarray(b)
            if a.dtype != b.dtype:
                assert a.dtype.kind == b.dtype.kind == "i"
            assert a.shape == b.shape
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_a_traced_function_gives_what_the_eager_one_gives(name):
    sizes = [s for s in SIZES if name != "var correction" or s["n"] > 1]
    agrees(CASES[name][0], ["x: float32[n, m]"], sizes, rtol=1e-5, atol=1e-5)


DIFFERENTIABLE = sorted(
    set(CASES)
    - {"all", "any", "argmax", "argmax all", "argmin", "count_nonzero", "nonzero", "searchsorted", "searchsorted right"}
    - {"argsort", "argsort descending", "unique_all", "unique_values", "astype", "arange", "arange step", "eye", "full"}
    - {"zeros_like", "ones_like", "linspace", "linspace open"}
)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name):
    x = Tensor(np.random.default_rng(6).standard_normal((3, 4)))

    def weighted(t):
        found = CASES[name][0](t)
        total = None
        for part in found if isinstance(found, (tuple, list)) else [found]:
            weights = E.reshape(E.linspace(1, 2, part.size, dtype="float64"), part.shape)
            term = E.sum(part.astype("float64") * weights)
            total = term if total is None else total + term
        return total

    check_gradient(weighted, x, rtol=1e-4)
