"""Every operator: kernel against ONNX Runtime, gradient against central differences, shape rule against kernel.

The cases are in ops_cases.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper
from ops_cases import CASES, NORMAL, Case

from interchange import schemas
from interchange.dims import Guard, deciders, evaluate
from interchange.dtypes import BY_NAME, Array, is_float, to_onnx
from interchange.eager.tape import check_gradient, gradients
from interchange.eager.tensor import Tensor, enable_grad, no_grad, wrap
from interchange.errors import OperatorError, SchemaError
from interchange.ops import TABLE
from interchange.ops.frame import shapes_of
from interchange.ops.shape_rules import broadcast, same
from interchange.schemas.targets import ir_for_opset

BY_CASE = [pytest.param(c, id=c.id) for c in CASES]
FIRST = {c.op: c for c in reversed(CASES)}  # the first case of each operator
ort.set_default_logger_severity(4)


# what ONNX Runtime says where it has no kernel for the dtypes, or a broken body in the place of one (RMSNormalization)
_NO_KERNEL = ("NOT_IMPLEMENTED", "is invalid", "bound to different types")


# -- helpers ----------------------------------------------------------------------------------------------------------
def call(case: Case, arrays: Sequence[Array | None]) -> tuple[Tensor, ...]:
    result = case.operator(*(None if a is None else wrap(a) for a in arrays), **case.attributes)
    return result if isinstance(result, tuple) else (result,)


def numpy_kernel(case: Case, arrays: Sequence[Array | None]) -> tuple[Array, ...]:
    """The operator's own kernel, never the cached session."""
    op = case.operator
    bound = op.bind(case.attributes)
    with np.errstate(all="ignore"):
        result = partial(op.kernel, **bound.keywords())(*arrays)
    return tuple(np.asarray(r) for r in (result if isinstance(result, tuple) else (result,)))[: bound.n_outputs]


def in_runtime(case: Case, arrays: Sequence[Array | None], outputs: Sequence[Array]) -> list[Array] | None:
    """The results of ONNX Runtime; None where it has no kernel for these types."""
    op = case.operator
    attributes = dict(op.bind(case.attributes).attributes)
    names = ["" if a is None else f"x{i}" for i, a in enumerate(arrays)]
    node = helper.make_node(op.name, names, [f"y{i}" for i in range(len(outputs))])
    opset = max(21, op.since)
    there = schemas.schema(op.name, opset=opset).attributes
    for key, value in attributes.items():
        value = numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        if value is not None and key in there:
            node.attribute.append(helper.make_attribute(key, value))
    info = lambda n, a: helper.make_tensor_value_info(n, to_onnx(a.dtype), a.shape)  # noqa: E731
    graph = helper.make_graph(
        [node],
        "case",
        [info(n, a) for n, a in zip(names, arrays, strict=True) if a is not None],
        [helper.make_tensor_value_info(f"y{i}", to_onnx(a.dtype), None) for i, a in enumerate(outputs)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_for_opset(opset))
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if not any(t in str(error) for t in _NO_KERNEL):
            raise
        return None
    return session.run(None, {n: np.asarray(a) for n, a in zip(names, arrays, strict=True) if a is not None})


def close(found: Array, wanted: Array, rtol: float) -> None:
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    if found.dtype.kind in "fV" and is_float(found.dtype):
        np.testing.assert_allclose(found.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=rtol / 2)
    else:
        np.testing.assert_array_equal(found, wanted)


class Guards:
    """Takes the guards a shape rule states."""

    def __init__(self) -> None:
        self.conditions: list[Any] = []

    def guard(self, guard: Guard) -> None:
        self.conditions.append(guard.condition)


@contextmanager
def collecting() -> Iterator[Guards]:
    guards = Guards()
    deciders.stack.append(guards)
    try:
        yield guards
    finally:
        deciders.stack.pop()


# -- values -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", BY_CASE)
def test_kernel_is_onnx_runtimes(case: Case) -> None:
    arrays = case.arrays()
    before = [None if a is None else a.copy() for a in arrays]
    found = numpy_kernel(case, arrays)
    for eager, plain in zip(call(case, arrays), found, strict=True):
        close(eager._data, plain, case.rtol)
    for a, b in zip(arrays, before, strict=True):
        assert a is None or np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), (
            "a kernel must not write into its inputs"
        )
    wanted = None if case.runtime else in_runtime(case, arrays, found)
    if wanted is not None:
        for a, b in zip(found, wanted, strict=True):
            close(a, b, case.rtol)


SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, 100.0, -100.0, 1e-30, 3e38], np.float32
)
ELEMENTWISE = sorted(c.op for c in FIRST.values() if c.operator.shape_rule in (same, broadcast))
# operators whose zeros may have another sign than ONNX Runtime's
ZERO_SIGN = {
    "Where": "ONNX Runtime makes 0 of a -0 that was chosen",
    "Relu": "max(-0, 0) may be either",
    "Max": "max(-0, 0) may be either",
    "Min": "min(-0, 0) may be either",
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_special_values_and_sizes(name: str) -> None:
    """NaN, infinities, -0.0, no elements, no axes, one element."""
    case = FIRST[name]
    kinds = [a.dtype for a in case.arrays()]
    pairs = [p.reshape(-1) for p in np.meshgrid(SPECIAL, SPECIAL)]
    for values in ([*pairs, pairs[1]], [np.zeros((0, 3), np.float32)] * 3, [np.array(1.0, np.float32)] * 3):
        arrays = [v if k == np.float32 else np.asarray(v == 1, k) for v, k in zip(values, kinds, strict=False)]
        if name == "Mod":  # integers: nothing is divided by 0
            arrays[1] = np.ones_like(arrays[0])
        found = numpy_kernel(case, arrays)
        wanted = in_runtime(case, arrays, found)
        for a, e in zip(found, call(case, arrays), strict=True):
            close(e._data, a, case.rtol)
        if wanted is None:
            continue
        for a, b in zip(found, wanted, strict=True):
            close(a, b, case.rtol)
            if a.dtype == np.float32 and name not in ZERO_SIGN:
                zero = (a == 0) & (b == 0)
                np.testing.assert_array_equal(np.signbit(a[zero]), np.signbit(b[zero]))


_FLOATS = ["float64", "float16", "bfloat16"]
_DTYPES = [*_FLOATS, "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"]


def _retyped(case: Case, name: str) -> list[Array | None] | None:
    """The inputs with the first one's type variable bound to another dtype; None if the schema does not allow it."""
    from interchange.dtypes import BY_NAME

    op, arrays = case.operator, case.arrays()
    formals, first = op.schema.inputs, op.schema.inputs[0].type
    changed: list[Array | None] = []
    for i, a in enumerate(arrays):
        mine = formals[min(i, len(formals) - 1)].type == first
        with np.errstate(invalid="ignore"):
            changed.append(a.astype(BY_NAME[name]) if a is not None and mine else a)
    try:
        op.bind(case.attributes).types[tuple(None if a is None else a.dtype for a in changed)]
    except SchemaError:
        return None
    return changed


@pytest.mark.parametrize("case", [pytest.param(c, id=c.id) for c in FIRST.values()])
def test_every_dtype_the_schema_allows(case: Case) -> None:
    """The result's dtype follows the schema; its values are ONNX Runtime's where that has a kernel, else float32's."""
    if isinstance(case.inputs[0], np.ndarray):
        pytest.skip("the values are chosen for their dtype")
    for name in _DTYPES:
        arrays = _retyped(case, name)
        if arrays is None:
            continue
        try:
            shapes_of(case.operator.bind(case.attributes), [None if a is None else wrap(a) for a in arrays])
        except OperatorError:  # Mod of floats needs fmod=1
            continue
        found = numpy_kernel(case, arrays)
        dtypes = case.operator.bind(case.attributes).types[tuple(None if a is None else a.dtype for a in arrays)]
        ruled = case.operator.dtype_rule is not None
        for a, dtype in zip(found, dtypes, strict=False):
            assert ruled or a.dtype == dtype, f"{name}: {a.dtype} instead of {dtype}"
        half = name in ("float16", "bfloat16")
        wanted: Any = None
        if not half and not case.runtime:
            wanted = in_runtime(case, arrays, found)
        if half and case.half:
            exact = [None if a is None else a.astype(np.float32) if is_float(a.dtype) else a for a in arrays]
            wanted = [w.astype(f.dtype) for w, f in zip(numpy_kernel(case, exact), found, strict=True)]
        for a, b in zip(found, wanted or (), strict=False):
            tolerance = {"float16": 4e-3, "bfloat16": 4e-2}.get(name, case.rtol)
            close(a, b, tolerance)


# -- gradients --------------------------------------------------------------------------------------------------------
def _differentiable(case: Case, arrays: Sequence[Array | None]) -> list[int]:
    return [
        i for i, a in enumerate(arrays) if a is not None and a.dtype == np.float64 and (case.by is None or i in case.by)
    ]


def _weighted(case: Case, arrays: Sequence[Array | None], at: Sequence[int], *chosen: Tensor) -> Tensor:
    """The float outputs as one number, each element with a weight of its own."""
    full = [None if a is None else wrap(a) for a in arrays]
    for i, c in zip(at, chosen, strict=True):
        full[i] = c
    result = case.operator(*full, **case.attributes)
    total = wrap(np.array(0.0))
    for out in result if isinstance(result, tuple) else (result,):
        if is_float(out.dtype):
            weights = np.random.default_rng(3).uniform(0.5, 1.5, out.shape)
            total = total + (out * wrap(weights.astype(out.dtype))).sum().astype("float64")
    return total


WITH_GRADIENT = [
    p
    for p in BY_CASE
    if p.values[0].gradient
    and p.values[0].operator.rule
    and _differentiable(p.values[0], p.values[0].arrays("float64"))
]


@pytest.mark.parametrize("case", WITH_GRADIENT)
def test_gradient_is_the_derivative(case: Case) -> None:
    arrays = case.arrays("float64")
    at = _differentiable(case, arrays)
    check_gradient(partial(_weighted, case, arrays, at), *(wrap(arrays[i]) for i in at))


@pytest.mark.parametrize("case", [p for p in WITH_GRADIENT if p.values[0].second])
def test_gradient_of_the_gradient(case: Case) -> None:
    arrays = case.arrays("float64")
    at = _differentiable(case, arrays)

    def slope(*chosen: Tensor) -> Tensor:
        chosen = tuple(c if c.requires_grad else c.as_leaf() for c in chosen)
        total = wrap(np.array(0.0))
        with enable_grad():  # central differences call it without a tape
            for g in gradients([_weighted(case, arrays, at, *chosen)], chosen, [None], create_graph=True):
                if g is not None:
                    total = total + (g * wrap(np.random.default_rng(4).uniform(0.5, 1.5, g.shape))).sum()
        return total

    check_gradient(slope, *(wrap(arrays[i]) for i in at), rtol=1e-4)


# -- shapes -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", BY_CASE)
def test_static_shape_rule(case: Case) -> None:
    arrays = case.arrays()
    bound = case.operator.bind(case.attributes)
    rule = shapes_of(bound, [None if a is None else wrap(a) for a in arrays])[: bound.n_outputs]
    assert [tuple(s) for s in rule] == [a.shape for a in numpy_kernel(case, arrays)]


@pytest.mark.parametrize("case", [p for p in BY_CASE if p.values[0].symbolic and p.values[0].names()])
def test_symbolic_shape_rule(case: Case) -> None:
    bound = case.operator.bind(case.attributes)
    with collecting() as guards:
        rule = shapes_of(bound, case.abstract())[: bound.n_outputs]
    tried = 0
    for n in case.at:
        sizes = {**NORMAL, **case.sizes, "n": n}
        if not all(c.at(sizes) for c in guards.conditions):
            continue
        tried += 1
        found = numpy_kernel(case, case.arrays(n=n))
        assert [tuple(evaluate(d, sizes) for d in s) for s in rule] == [a.shape for a in found], f"at n = {n}"
    assert tried >= 2, "the guards leave no sizes to try"


# -- refusals ---------------------------------------------------------------------------------------------------------
F = np.zeros
REFUSED = [
    ("Add", [F((2, 3)), F((2, 4))], {}, "IX112"),
    ("Div", [np.array([1]), np.array([0])], {}, "IX112"),
    ("Mod", [F(2), F(2)], {}, "IX112"),
    ("Softmax", [F((2, 3))], {"axis": 2}, "IX112"),
    ("Clip", [F((2, 3)), F(3)], {}, "IX112"),
    ("PRelu", [F(3), F((2, 3))], {}, "IX112"),
    ("ReduceSum", [F((2, 3)), np.array([2])], {}, "IX112"),
    ("ReduceSum", [F((2, 3)), np.array([1, -1])], {}, "IX112"),
    ("ArgMax", [F((2, 3))], {"axis": 2}, "IX112"),
    ("ArgMax", [F((0, 3))], {"axis": 0}, "IX112"),
    ("Reshape", [F((2, 3)), np.array([4, 2])], {}, "IX112"),
    ("Reshape", [F((2, 3)), np.array([-1, -1])], {}, "IX112"),
    ("Reshape", [F((2, 3)), np.array([-2, 3])], {}, "IX112"),
    ("Flatten", [F((2, 3))], {"axis": 3}, "IX112"),
    ("Transpose", [F((2, 3))], {"perm": (0, 0)}, "IX112"),
    ("Transpose", [F((2, 3))], {"perm": (-1, 0)}, "IX112"),
    ("Squeeze", [F((2, 3)), np.array([0])], {}, "IX112"),
    ("Unsqueeze", [F((2, 3)), np.array([0, 0])], {}, "IX112"),
    ("Expand", [F((2, 3)), np.array([2, 2])], {}, "IX112"),
    ("Tile", [F((2, 3)), np.array([2])], {}, "IX112"),
    ("Tile", [F((2, 3)), np.array([-1, 2])], {}, "IX112"),
    ("Concat", [F((2, 3)), F((3, 3))], {"axis": 1}, "IX112"),
    ("Concat", [F(())], {"axis": 0}, "IX112"),
    ("Split", [F((2, 3)), np.array([1, 1])], {"axis": 1, "outputs": 2}, "IX112"),
    ("Split", [F((2, 3)), np.array([-1, 4])], {"axis": 1, "outputs": 2}, "IX112"),
    ("Split", [F((2, 3)), np.array([1, 2])], {"axis": 1, "outputs": 3}, "IX112"),
    ("Slice", [F((2, 3)), np.array([0]), np.array([1]), np.array([2])], {}, "IX112"),
    ("Slice", [F((2, 3)), np.array([0]), np.array([1]), np.array([0]), np.array([0])], {}, "IX112"),
    ("Slice", [F((2, 3)), np.array([0]), np.array([1, 2])], {}, "IX112"),
    ("ConstantOfShape", [np.array([-1])], {}, "IX112"),
    ("Range", [np.array(0), np.array(3), np.array(0)], {}, "IX112"),
    ("Range", [np.array([0, 1]), np.array(3), np.array(1)], {}, "IX112"),
    ("EyeLike", [F(3)], {}, "IX112"),
    ("OneHot", [np.array([0]), np.array(3), F(3)], {}, "IX112"),
    ("OneHot", [np.array([0]), np.array(-3), F(2)], {}, "IX112"),
    ("MatMul", [F((2, 3)), F((2, 3))], {}, "IX112"),
    ("MatMul", [F(()), F((2, 3))], {}, "IX112"),
    ("Gemm", [F((2, 2, 3)), F((3, 2))], {}, "IX112"),
    ("Gemm", [F((2, 3)), F((3, 2)), F((1, 2, 2))], {}, "IX112"),
    ("Gemm", [F((1, 3)), F((3, 2)), F((4, 2))], {}, "IX112"),
    ("Einsum", [F((2, 3))], {"equation": "ij,jk"}, "IX112"),
    ("Einsum", [F((2, 3))], {"equation": "i?->i"}, "IX112"),
    ("Trilu", [F(3)], {}, "IX112"),
    ("Where", [np.array([True, False]), F(3), F(3)], {}, "IX112"),
    ("Gather", [F((2, 3)), np.array([2])], {}, "IX115"),
    ("Gather", [F((2, 3)), np.array([-4])], {"axis": 1}, "IX115"),
    ("Gather", [F((2, 3)), np.array([0])], {"axis": 2}, "IX112"),
    ("GatherElements", [F((2, 3)), np.array([[5]])], {}, "IX115"),
    ("GatherElements", [F((2, 3)), np.array([0])], {}, "IX112"),
    ("GatherElements", [F((2, 3)), np.array([[0]])], {"axis": 2}, "IX112"),
    ("GatherND", [F((2, 3)), np.array([[0, 3]])], {}, "IX115"),
    ("GatherND", [F((2, 3)), np.array([[0, 0, 0]])], {}, "IX112"),
    ("ScatterElements", [F((2, 3)), np.array([[-3]]), F((1, 1))], {}, "IX115"),
    ("ScatterElements", [F((2, 3)), np.array([[0, 1]]), F((1, 1))], {}, "IX112"),
    ("ScatterElements", [F((2, 3)), np.array([[0]]), F((1, 1))], {"axis": 2}, "IX112"),
    ("ScatterND", [F((2, 3)), np.array([[2]]), F((1, 3))], {"reduction": "add"}, "IX115"),
    ("ScatterND", [F((2, 3)), np.array([[1]]), F(3)], {}, "IX112"),
    ("ScatterND", [F((2, 3)), np.array([[1]]), F((1, 1))], {}, "IX112"),
    ("Compress", [F((2, 3)), np.array([True] * 3)], {"axis": 0}, "IX112"),
    ("Compress", [F((2, 3)), np.array([[True]])], {}, "IX112"),
    ("TopK", [F((2, 3)), np.array([4])], {}, "IX112"),
    ("TopK", [F((2, 3)), np.array([-1])], {}, "IX112"),
    ("TopK", [F((2, 3)), np.array([1])], {"axis": 2}, "IX112"),
    ("CumSum", [F((2, 3)), np.array(2)], {}, "IX112"),
    ("SoftmaxCrossEntropyLoss", [F((2, 3)), np.array([0, 3])], {}, "IX115"),
    ("SoftmaxCrossEntropyLoss", [F((2, 3)), np.array([0, -1])], {}, "IX115"),
    ("SoftmaxCrossEntropyLoss", [F((2, 3)), np.array([[0, 1]])], {}, "IX112"),
    ("NegativeLogLikelihoodLoss", [F((2, 3)), np.array([0, 1]), F(4)], {}, "IX112"),
]


@pytest.mark.parametrize(("name", "arrays", "attributes", "code"), REFUSED)
def test_refuses(name: str, arrays: list[Array], attributes: dict[str, Any], code: str) -> None:
    """What ONNX does not allow is refused when it is run; numpy would often accept it."""
    with pytest.raises(OperatorError) as caught:
        TABLE["", name](*(wrap(a) for a in arrays), **attributes)
    assert caught.value.code == code
    assert caught.value.where is not None
    assert "test_ops_numeric.py" in caught.value.where
    assert caught.value.found
    assert caught.value.expected


def test_gradient_of_a_reduction_without_one_is_refused() -> None:
    x = wrap(np.ones(3)).as_leaf()
    y = TABLE["", "ScatterElements"](x, [0], np.ones(1), reduction="mul")
    with pytest.raises(OperatorError) as caught:
        y.sum().backward()
    assert caught.value.code == "IX116"


# -- conventions ------------------------------------------------------------------------------------------------------
def _grad(f: Any, *values: Any) -> list[list[float]]:
    leaves = [wrap(np.array(v, np.float64)).as_leaf() for v in values]
    f(*leaves).sum().backward()
    return [leaf.grad.tolist() for leaf in leaves]


def test_gradients_at_kinks_and_ties() -> None:
    """At a kink the gradient is a convention: PyTorch's, as the docstrings say."""
    op = {name: o for (_, name), o in TABLE.items()}
    assert _grad(op["Abs"], [0.0]) == [[0.0]]
    assert _grad(op["Relu"], [0.0]) == [[0.0]]
    assert _grad(op["Max"], [1.0], [1.0]) == [[0.5], [0.5]]
    assert _grad(op["Min"], [1.0, 2.0], [1.0, 3.0]) == [[0.5, 1.0], [0.5, 0.0]]
    assert _grad(lambda x: op["ReduceMax"](x), [2.0, 2.0, 1.0]) == [[0.5, 0.5, 0.0]]
    assert _grad(lambda x: op["Clip"](x, np.array(0.0), np.array(1.0)), [-1.0, 0.0, 0.5, 1.0, 2.0]) == [[0, 1, 1, 1, 0]]
    assert _grad(op["ReduceL2"], [0.0, 0.0]) == [[0.0, 0.0]]
    assert _grad(lambda x, y: op["Pow"](x, y), [0.0, 2.0], [0.0, 3.0]) == [[0.0, 12.0], [0.0, 8 * np.log(2)]]


def test_where_keeps_the_other_sides_nan_out() -> None:
    """The usual remedy, sqrt of a safe argument, works, and the branch not taken leaves no NaN."""
    op = {name: o for (_, name), o in TABLE.items()}

    def f(x: Tensor) -> Tensor:
        return op["Where"](x > 0, x * 2, op["Reciprocal"](x) * 0.0)

    (g,) = _grad(lambda x, y: op["Where"](np.array([True, False]), x, y), [1.0, np.inf], [np.nan, 2.0])[:1]
    assert g == [1.0, 0.0]
    assert np.isnan(_grad(f, [0.0])[0][0])  # 0 * inf inside the branch that was taken is still NaN


def test_kernels_leave_no_warning_at_special_values() -> None:
    with no_grad():
        for name in ELEMENTWISE:
            case = FIRST[name]
            arrays = case.arrays()
            if all(a is not None and a.dtype == np.float32 for a in arrays):
                call(case, [SPECIAL] * len(arrays))


def test_bfloat16_sums_do_not_stall() -> None:
    """A sum of 1000 ones is 1000, not the 256 at which adding 1 in bfloat16 has no effect."""
    ones = wrap(np.ones(1000, ml_dtypes.bfloat16))
    assert float(TABLE["", "ReduceSum"](ones, keepdims=0)) == 1000
    assert float(TABLE["", "ReduceMean"](ones, keepdims=0)) == 1


def test_float8_saturates_unless_told_otherwise() -> None:
    cast, far = TABLE["", "Cast"], wrap(np.array([1e6, -1e6, np.inf, 1.0], np.float32))
    for name in ("float8e5m2", "float8e4m3fn"):
        largest = float(ml_dtypes.finfo(BY_NAME[name]).max)
        assert cast(far, to=BY_NAME[name]).numpy().astype(np.float32).tolist() == [largest, -largest, largest, 1]
        wild = cast(far, to=BY_NAME[name], saturate=0).numpy().astype(np.float32)
        assert not np.isfinite(wild[:3]).any()
